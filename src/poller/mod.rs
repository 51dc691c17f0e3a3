//! From what is known of sessions to what is asked of the API, and from its answers to changes of the ledger.
//!
//! [`core`] decides, without a clock, a network or a disk of its own; `run` is the shell that sends what it asks for,
//! commits what it wants durable, and reports what came of either. `publish` and `log` carry out its updates: on the page, in the
//! exporter's own metrics, in the status and in the log.

mod agents;
mod answer_head;
mod answers;
mod api_time;
mod backoff;
mod choice;
mod config;
mod contact;
pub mod core;
mod entries;
mod freshness;
mod half_written;
mod health;
mod listing_driver;
mod log;
mod log_limit;
mod messages;
mod news;
mod notices;
mod outcomes;
mod pages;
mod pipeline;
mod publish;
mod reported;
mod route_health;
mod run;
mod sessions;
mod snapshot;
mod spare;
mod standing;
mod startup;
#[cfg(test)]
mod tests;
mod time;
mod transcripts;
mod turn;
mod unreadable;
mod updates;
mod watched;
mod wrong_answers;

pub use run::{Inbox, Poller, PollerError, Reconfigure};
