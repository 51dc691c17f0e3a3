//! The whole configuration, section by section.

use serde::{Deserialize, Serialize};

use super::api::ApiConfig;
use super::error::Violation;
use super::ha::HaConfig;
use super::log::LogConfig;
use super::messages::MessagesConfig;
use super::metrics::MetricsConfig;
use super::poll::PollConfig;
use super::sessions::SessionsConfig;
use super::state::StateConfig;
use super::stream::StreamConfig;
use super::web::WebConfig;
use super::webhook::WebhookConfig;

/// Everything an operator can set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the Agntix API is and how much of it may be used.
    pub api: ApiConfig,
    /// Which sessions to follow and how they are found.
    pub sessions: SessionsConfig,
    /// How often the API is asked.
    pub poll: PollConfig,
    /// Signed deliveries from Agntix.
    pub webhook: WebhookConfig,
    /// The event stream of Agntix.
    pub stream: StreamConfig,
    /// The HTTP listener.
    pub web: WebConfig,
    /// Where the counts are kept.
    pub state: StateConfig,
    /// How replicas take turns.
    pub ha: HaConfig,
    /// Whether the messages of ended sessions are read.
    pub messages: MessagesConfig,
    /// What is exposed, and how much of it.
    pub metrics: MetricsConfig,
    /// The log on standard error.
    pub log: LogConfig,
}

impl Config {
    /// Rejects a configuration that the daemon could not run with, section by section.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self) -> Result<(), Violation> {
        self.api.validate()?;
        self.sessions.validate()?;
        self.poll.validate()?;
        self.web.validate()?;
        self.webhook.validate(&self.web)?;
        self.state.validate()?;
        self.ha.validate()?;
        self.messages.validate()?;
        self.metrics.validate()?;
        self.log.validate()
    }
}
