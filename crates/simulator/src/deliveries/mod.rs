//! Webhooks as Svix delivers them: signed, at least once, retried, several at once, in no order that can be relied on.
//!
//! What is delivered when is pure (`plan`, `body`), what is attempted next as well (`queue`). `state` keeps them, and `send`
//! makes the attempts.

mod body;
pub(super) mod client;
pub(super) mod config;
mod plan;
pub(super) mod queue;
pub(super) mod record;
pub(super) mod secret;
pub(super) mod send;
pub(super) mod state;
#[cfg(test)]
mod tests;
