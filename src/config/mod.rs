//! The configuration: one struct and its `validate()` per section, with the defaults that `config.toml` states.
//!
//! [`load`](mod@load) reads it (flag, then environment, then file, then default) and names mistakes. Nothing in here
//! opens anything but the configuration file, and nothing prints a credential.

mod api;
mod changes;
mod credential;
pub mod duration;
mod environment;
mod error;
mod file;
mod keys;
mod layer;
pub mod load;
mod log;
mod metrics;
mod origin;
mod poll;
mod report;
mod rules;
mod sessions;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod typing;
mod web;
mod webhook;

pub use api::{AUTO_PATH, ApiConfig};
pub use changes::restart_only_changes;
pub use environment::Environment;
pub use error::{ConfigError, Violation};
pub use load::{CredentialFaults, Loaded, Overrides, load, load_with_faults, load_without_credential};
pub use log::{LogConfig, LogFormat};
pub use metrics::{ExtractedField, ExtractedKind, MetricsConfig};
pub use origin::{Origin, Origins};
pub use poll::PollConfig;
use serde::{Deserialize, Serialize};
pub use sessions::SessionsConfig;
pub use state::StateConfig;
pub use stream::StreamConfig;
pub use web::{FIXED_PATHS, WebConfig};
pub use webhook::WebhookConfig;

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
    /// What is exposed, and how much of it.
    pub metrics: MetricsConfig,
    /// The log on standard error.
    pub log: LogConfig,
}

impl Config {
    /// Refuses a configuration that the daemon could not run with, section by section.
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
        self.metrics.validate()?;
        self.log.validate()
    }
}
