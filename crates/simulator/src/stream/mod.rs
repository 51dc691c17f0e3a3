//! The organization's event stream: what happens to sessions, fire and forget.
//!
//! What is said of a session is pure (`moment`); all connections share one numbered list of events (`hub`, kept in
//! `state`); what one client is sent of it, and how badly, is `connection`'s. `open` answers a request with a stream.

mod body;
pub(super) mod config;
mod connection;
pub(super) mod faults;
mod follow;
mod hub;
mod moment;
pub(super) mod open;
pub(super) mod state;
#[cfg(test)]
mod tests;
