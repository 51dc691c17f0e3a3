//! Checks of an installation: each one looks at one thing and reports in one sentence how it is, with the value, and what
//! to do about it.
//!
//! `gather` does the I/O: it asks the API, the disk and the listeners, each with a time limit. Everything else in here is
//! pure: from what was seen to a [`Finding`]. Nothing in here counts, writes to the state, or shows a secret or a session id.

mod api;
mod budget;
mod clock;
mod database;
mod finding;
mod gather;
mod listeners;
mod report;
mod routes;
mod secrets;
mod seen;
mod series;
mod state;
mod watched;

pub use finding::{Finding, Status};
pub use gather::{Progress, examine};
pub use report::Report;
