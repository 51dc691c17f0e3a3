//! How things stand at a moment (promise P10): what the core gives once a second for the gauges, the landing page and
//! readiness. Values only; the shell shows them (`publish`).

use super::watched::Gauges;
use crate::status::{ApiStatus, LookBack, RouteLine};
use crate::tracker::Summary;

/// How things stand.
#[derive(Debug)]
pub struct Snapshot {
    /// What is tracked, counted.
    pub summary: Summary,
    /// Counted sessions whose messages are still to be read.
    pub awaiting_messages: usize,
    /// The watched sessions one by one, if anything about them has changed.
    pub watched: Option<Gauges>,
    /// Sessions are left that should have been counted by now, or were so late that their series may lag behind still.
    pub is_catching_up: bool,
    /// The gateway has no listing.
    pub has_no_listing: bool,
    /// The same for a reader.
    pub status: Standing,
}

/// What the daemon says of itself to a person; each sentence is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether the API answers as it should.
    pub api: ApiStatus,
    /// Whether the daemon is ready, else why not.
    pub ready: Result<(), String>,
    /// How far a start is that takes longer than a moment.
    pub progress: Option<String>,
    /// What is left to be read while sessions that should have been counted are not.
    pub lagging: Option<String>,
    /// What does not work although the rest does, and what to do about it.
    pub missing: Vec<String>,
    /// That no session has been found, where nothing is wrong.
    pub nothing_found: Option<String>,
    /// The routes of the API that are in use.
    pub routes: Vec<RouteLine>,
    /// The API's host.
    pub api_host: String,
    /// How far the look-back of a first start is.
    pub look_back: LookBack,
}
