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
#[cfg(test)]
mod tests;
mod typing;
mod web;

pub use api::ApiConfig;
pub use changes::restart_only_changes;
pub use environment::Environment;
pub use error::{ConfigError, Violation};
pub use load::{Loaded, Overrides, load, load_without_credential};
pub use log::{LogConfig, LogFormat};
pub use metrics::{ExtractedField, ExtractedKind, MetricsConfig};
pub use origin::{Origin, Origins};
pub use poll::PollConfig;
use serde::{Deserialize, Serialize};
pub use sessions::SessionsConfig;
pub use state::StateConfig;
pub use web::{FIXED_PATHS, WebConfig};

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
        self.state.validate()?;
        self.metrics.validate()?;
        self.log.validate()
    }
}
