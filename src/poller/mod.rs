//! From what is known of sessions to what is asked of the API, and from its answers to changes of the ledger.
//!
//! [`core`] decides, without a clock, a network or a disk of its own; `run` is the shell that sends what it asks for,
//! commits what it wants durable, and tells it what came of either.

mod agents;
mod answers;
mod api_time;
mod complaints;
mod contact;
pub mod core;
mod freshness;
mod health;
mod pages;
mod route_health;
mod run;
mod standing;
#[cfg(test)]
mod tests;
mod time;
mod unreadable;
mod verdicts;
mod watched;

pub use run::{Inbox, Poller, PollerError, Reconfigure};
