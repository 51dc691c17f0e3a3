//! `[state]`: where the counts are kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
