//! What the core needs of the configuration. Values only.

use std::time::Duration;

use crate::config::{Config, MessagesConfig};
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
    /// Another source than the listing reports sessions.
    pub(super) elsewhere: bool,
    pub(super) hold: Duration,
    pub(super) messages: MessagesConfig,
    pub(super) max_concurrency: usize,
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
            messages: config.messages,
            max_concurrency: config.api.max_concurrency,
        }
    }
}
