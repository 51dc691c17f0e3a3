//! A tracked session: how far it is, and what its requests have shown.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Tick, Timestamp};
use crate::session::{Channel, Source, Stage};

/// After so many failed requests in a row, a session's failures are most likely its own.
pub const PERSISTENT: u16 = 6;
/// How far a tracked session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Not yet wholly counted.
    Pending(Stage),
    /// Counted, and tracked on because it is watched.
    Counted,
}

/// Whether a delivery has reported a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// None has.
    No,
    /// It was found by another source before this process started, which does not know what was delivered then.
    Unknown,
    /// One has.
    Yes,
}

/// What is known of the end of a session besides its date, which comes from the API's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndSeen {
    /// When an answer first showed that it was over.
    pub at: Option<Tick>,
    /// It certainly ended while this process was running: it was seen open, or began after everything had been listed.
    pub is_recent: bool,
}

/// A tracked session.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// How far it is.
    pub progress: Progress,
    /// Where it was first heard of.
    pub source: Source,
    /// It is exposed one by one.
    pub watched: bool,
    /// Successful requests for it in its present progress.
    pub looks: u16,
    /// Failed requests for it in a row.
    pub failures: u16,
    /// Since when every request for it has failed.
    pub failing_since: Option<Tick>,
    /// Since when every answer came without the session.
    pub missing_since: Option<Tick>,
    /// The listing says that it is over, but not since when: it is still to be read.
    pub end_unread: bool,
    /// Whether a delivery has reported it.
    pub announced: Announced,
    /// What is known of its end besides its date.
    pub end: EndSeen,
    /// The API has said that there is no such session; an answer that makes no sense does not.
    pub refused: bool,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// When it was first heard of.
    pub heard: Timestamp,
    /// The channel it is counted under.
    pub channel: Option<Arc<Channel>>,
    /// When to ask next; `None` while a request or a commit is under way.
    pub(super) due: Option<Tick>,
}

/// Failures in a row after which the look-back of a first start does not wait for a session any more. With every fourth
/// request failing, one session in 65,000 is as unlucky.
pub const LOOK_BACK_FAILURES: u16 = 8;
/// Where each failure takes long, as a time-out does, these are enough once they have lasted so long. So many refusals of a
/// session that is known to exist are no accident.
const LOOK_BACK_SLOW_FAILURES: u16 = 3;
const LOOK_BACK_PATIENCE: Duration = Duration::from_secs(20);

impl Tracked {
    /// Whether the first page waits for this session: not for one that the API does not give or that keeps failing, which
    /// is counted when it answers.
    pub(super) fn may_answer(&self, now: Tick) -> bool {
        let failing_for = self.failing_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let keeps_failing = self.failures >= LOOK_BACK_FAILURES
            || (self.failures >= LOOK_BACK_SLOW_FAILURES && failing_for >= LOOK_BACK_PATIENCE);
        // A configured id of which nothing else is known may be a typing error.
        let refusals = if self.progress == Progress::Pending(Stage::Known) { 1 } else { LOOK_BACK_SLOW_FAILURES };
        let is_refused = self.refused && self.failures >= refusals;
        !is_refused && !keeps_failing
    }
}
