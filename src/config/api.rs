//! `[api]`: where the Agntix API is, with which credential, and how much of it may be used.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

/// See `config.toml`, section `[api]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// Scheme, host and port of the API; no credentials in it.
    pub base_url: String,
    /// File that holds the organization's API key; re-read when it changes. `AGNTIX_API_KEY` is the alternative.
    pub key_file: Option<PathBuf>,
    /// File that holds a JWT to send instead of a key; re-read when it changes.
    pub bearer_token_file: Option<PathBuf>,
    /// Whole request, from connect to the last byte of the answer.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// TCP and TLS handshake.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// Requests in flight at once.
    pub max_concurrency: usize,
    /// Share of `X-RateLimit-Limit` that the exporter may use, over any 60 s.
    pub budget_share: f64,
    /// The budget until the headers say more.
    pub requests_per_minute: u32,
    /// Route of one session; `{id}` is replaced.
    pub session_path: String,
    /// Route of the session listing.
    pub list_path: String,
    /// Route of the agents.
    pub agents_path: String,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            base_url: "https://api.agntix.ai".into(),
            key_file: None,
            bearer_token_file: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            max_concurrency: 16,
            budget_share: 0.5,
            requests_per_minute: 50,
            session_path: "/api/v1/chat/sessions/{id}".into(),
            list_path: "/api/v1/chat/sessions".into(),
            agents_path: "/v1/chat/agents".into(),
        }
    }
}
