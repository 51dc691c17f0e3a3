//! `[state]`: where the counts are kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::Violation;
use super::rules;

/// See `config.toml`, section `[state]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateConfig {
    /// Directory of the ledger, on a local disk; made if it is missing.
    pub path: PathBuf,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { path: "./data".into() }
    }
}

impl StateConfig {
    /// Rejects what cannot be a directory. Whether it can be used shows when it is opened.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self) -> Result<(), Violation> {
        rules::path("state.path", &self.path, "directory")
    }
}
