//! What is the matter with an installation: each check looks at one thing, says how it is in one sentence with the
//! value, and what to do about it.
//!
//! `gather` is the edge: it asks the API, the disk and the listeners, each within bounds. All else in here is pure: from
//! what was seen to a [`Finding`]. Nothing in here counts, writes to the state, or shows a secret or an id of a session.

mod api;
mod budget;
mod clock;
mod finding;
mod gather;
mod listeners;
mod report;
mod routes;
mod secrets;
mod seen;
mod series;
mod state;

pub use finding::{Finding, Status};
pub use gather::{Progress, examine};
pub use report::Report;
