//! `[ha]`: how replicas that share the counts take turns.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::Violation;
use super::{duration, rules};

/// See `config.toml`, section `[ha]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HaConfig {
    /// How long the replica that counts may be silent before another one takes over. Only used with `state.url`.
    #[serde(with = "duration")]
    pub lease: Duration,
}

impl Default for HaConfig {
    fn default() -> Self {
        Self { lease: Duration::from_secs(10) }
    }
}

impl HaConfig {
    /// Rejects what is too short for a renewal to come in time, or so long that nobody would wait for it.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self) -> Result<(), Violation> {
        let bounds = (Duration::from_secs(2), Duration::from_secs(300));
        rules::duration("ha.lease", self.lease, bounds, "must be from 2s to 5m")
    }
}
