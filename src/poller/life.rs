//! How far a start is, and what the core needs of the configuration. Values only.

use std::time::Duration;

use crate::clock::{Tick, Timestamp};
use crate::config::Config;
use crate::observation::ObservationConfig;
use crate::tracker::Schedule;

/// What the core needs of the configuration.
#[derive(Clone, Debug)]
pub(super) struct CoreConfig {
    pub(super) observation: ObservationConfig,
    pub(super) schedule: Schedule,
    pub(super) listing: bool,
    pub(super) listing_interval: Duration,
    pub(super) agents_interval: Duration,
    pub(super) ended_interval: Duration,
    pub(super) recent_window: Duration,
    pub(super) retention: Duration,
    pub(super) look_back_deadline: Duration,
    pub(super) max_tracked: usize,
    pub(super) max_agents: usize,
    pub(super) open_interval: Duration,
    /// Deliveries are expected.
    pub(super) webhook: bool,
    /// Something else than the listing tells of sessions.
    pub(super) elsewhere: bool,
    pub(super) hold: Duration,
}

impl From<&Config> for CoreConfig {
    fn from(config: &Config) -> Self {
        Self {
            observation: ObservationConfig::from(config),
            schedule: Schedule::from(&config.poll),
            listing: config.sessions.listing,
            listing_interval: config.poll.listing_interval,
            agents_interval: config.poll.agents_interval,
            ended_interval: config.poll.ended_interval,
            recent_window: config.sessions.recent_window,
            retention: config.sessions.retention,
            look_back_deadline: config.sessions.look_back_deadline,
            max_tracked: config.sessions.max_tracked,
            max_agents: config.metrics.max_agents,
            open_interval: config.poll.open_interval,
            webhook: config.webhook.enabled,
            elsewhere: config.webhook.enabled
                || config.stream.enabled
                || !config.sessions.ids.is_empty()
                || !config.sessions.files.is_empty(),
            hold: config.metrics.new_series_hold,
        }
    }
}

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
pub(super) struct Life {
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
    /// There are sessions that should have been counted by now.
    pub(super) lags: bool,
    /// Until then the session metrics lag behind: what was counted late may be in the initial-zero window of its series.
    pub(super) caught_up_at: Tick,
}
