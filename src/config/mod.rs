//! The configuration: one struct and its `validate()` per section, with the defaults that `config.toml` states.
//!
//! Reading (flag, then environment, then file, then default) and the naming of mistakes live in `load`; nothing in
//! here opens anything but the configuration file.

mod api;
pub mod duration;
mod log;
mod metrics;
mod poll;
mod sessions;
mod state;
mod web;

pub use api::ApiConfig;
pub use log::{LogConfig, LogFormat};
pub use metrics::{ExtractedField, ExtractedKind, MetricsConfig};
pub use poll::PollConfig;
use serde::{Deserialize, Serialize};
pub use sessions::SessionsConfig;
pub use state::StateConfig;
pub use web::WebConfig;

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
