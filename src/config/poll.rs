//! `[poll]`: how often the API is asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

/// See `config.toml`, section `[poll]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PollConfig {
    /// Between two looks at an open session.
    #[serde(with = "duration")]
    pub open_interval: Duration,
    /// Before the second look at an ended session whose analysis has not arrived; each later look waits longer.
    #[serde(with = "duration")]
    pub ended_interval: Duration,
    /// Between two sweeps of the listing.
    #[serde(with = "duration")]
    pub listing_interval: Duration,
    /// Between two looks at the agents' names.
    #[serde(with = "duration")]
    pub agents_interval: Duration,
    /// How long after a session's end its analysis is waited for.
    #[serde(with = "duration")]
    pub analysis_deadline: Duration,
}

impl Default for PollConfig {
    fn default() -> Self {
        Self {
            open_interval: Duration::from_secs(30),
            ended_interval: Duration::from_secs(10),
            listing_interval: Duration::from_secs(30),
            agents_interval: Duration::from_secs(600),
            analysis_deadline: Duration::from_secs(900),
        }
    }
}
