//! How far a start is, and how far the session metrics may lag behind after it. Values only.

use crate::clock::{Tick, Timestamp};

/// How far the look-back of a first start is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LookBackStage {
    /// It goes on.
    #[default]
    Running,
    /// It is over, which is being made durable.
    Closing,
    /// The session metrics are shown.
    Done,
}

/// How far the first start is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Startup {
    /// When the daemon first started, in the API's time; `None` until that is known.
    pub(super) first_start: Option<Timestamp>,
    /// What the first start is dated by, until the API's time is trusted: the tick of the first good answer, or of the end
    /// of the look-back without one, and the `Date` of that answer.
    pub(super) first_contact: Option<(Tick, Option<Timestamp>)>,
    pub(super) look_back: LookBackStage,
    /// Pages of the listing that this process has read.
    pub(super) pages: u64,
    /// There are files of ids that have not been read yet.
    pub(super) files_unread: bool,
    /// Every source has been read once.
    pub(super) ready: bool,
    /// `sessions.look_back_deadline` passed before the look-back was done.
    pub(super) deadline_passed: bool,
    /// Sessions counted since the state was begun.
    pub(super) counted: u64,
}

/// How far the session metrics lag behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lag {
    /// There are sessions that should have been counted by now.
    pub(super) is_behind: bool,
    /// Until then the session metrics lag behind: what was counted late may be in the initial-zero window of its series.
    pub(super) caught_up_at: Tick,
}
