//! What is in the log already, so that each change is reported once. Values only.

use crate::clock::Tick;

/// What the log says of the API and of the start at present.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// The API does not answer as it should, since then, and the log says so.
    pub(super) down_since: Option<Tick>,
    /// When the progress of a start is reported next.
    pub(super) progress_due: Option<Tick>,
    /// That there is no listing.
    pub(super) no_listing: bool,
    /// That the agents cannot be read.
    pub(super) no_agents: bool,
}
