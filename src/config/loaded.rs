//! A configuration that was loaded.

use std::path::PathBuf;

use secrecy::SecretString;

use super::origin::Origins;
use super::root::Config;

/// A configuration that is valid, and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is in effect.
    pub config: Config,
    /// `AGNTIX_API_KEY`
    pub api_key: Option<SecretString>,
    /// `AGNTIX_WEBHOOK_SECRET`, if the webhook is enabled: one secret or several.
    pub webhook_secret: Option<SecretString>,
    /// Where each value came from.
    pub origins: Origins,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// What is allowed but probably not meant, a sentence each.
    pub warnings: Vec<String>,
}
