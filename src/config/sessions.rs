//! `[sessions]`: which sessions to follow and how they are found.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

/// See `config.toml`, section `[sessions]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionsConfig {
    /// Sessions to follow and to expose one by one.
    pub ids: Vec<String>,
    /// Files of session ids (a JSON array, or one id a line), watched.
    pub files: Vec<PathBuf>,
    /// Find recent sessions by listing them.
    pub listing: bool,
    /// How far back "recently seen" reaches on a first start.
    #[serde(with = "duration")]
    pub recent_window: Duration,
    /// How long a first start may hide the session metrics while it looks back.
    #[serde(with = "duration")]
    pub look_back_deadline: Duration,
    /// How long a counted session is remembered.
    #[serde(with = "duration")]
    pub retention: Duration,
    /// Sessions that are not yet counted, at most; beyond it discovery waits.
    pub max_tracked: usize,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            files: Vec::new(),
            listing: true,
            recent_window: Duration::from_secs(3600),
            look_back_deadline: Duration::from_secs(300),
            retention: Duration::from_secs(30 * 86_400),
            max_tracked: 100_000,
        }
    }
}
