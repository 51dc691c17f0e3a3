//! `[web]`: the HTTP listener.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

/// See `config.toml`, section `[web]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// Address and port of the listener.
    pub listen_address: String,
    /// Route of the metrics.
    pub telemetry_path: String,
    /// Scrapes answered at once; further ones get 503 at once. 0 is without bound.
    pub max_requests: usize,
    /// How long a client may take to send its request headers, and to sit idle between requests.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// How long a client may take to read an answer before it is disconnected.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            listen_address: "0.0.0.0:9899".into(),
            telemetry_path: "/metrics".into(),
            max_requests: 40,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
        }
    }
}
