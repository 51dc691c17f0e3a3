//! `[web]`: the HTTP listener.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::error::{Violation, shown};
use super::rules::{self, HOUR};

/// Routes that the exporter serves besides the metrics, which cannot be there.
pub const FIXED_PATHS: [&str; 4] = ["/-/healthy", "/-/ready", "/-/reload", "/-/reference"];

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

impl WebConfig {
    /// Refuses an address or a route that could not be served. Whether the address is free shows only when it is bound.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self) -> Result<(), Violation> {
        rules::listen_address("web.listen_address", &self.listen_address, "0.0.0.0:9899")?;
        let path = &self.telemetry_path;
        rules::served_route("web.telemetry_path", path)?;
        let taken = FIXED_PATHS.contains(&path.as_str());
        let rule = "must be another path: the exporter serves something else there";
        rules::check(!taken, "web.telemetry_path", shown(path), rule)?;
        let bounds = (Duration::from_nanos(1), HOUR);
        for (key, timeout) in [("web.header_timeout", self.header_timeout), ("web.write_timeout", self.write_timeout)] {
            rules::duration(key, timeout, bounds, "must be more than 0s and at most 1h")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_say_what_would_do() {
        let said = |change: fn(&mut WebConfig)| {
            let mut config = WebConfig::default();
            change(&mut config);
            config.validate().map_or_else(|v| format!("{} is {}; it {}", v.key, v.value, v.rule), |()| "kept".into())
        };
        assert_eq!(said(|_| ()), "kept");
        assert_eq!(
            said(|c| c.listen_address = ":9899".into()),
            "web.listen_address is \":9899\"; it must be host:port, such as \"0.0.0.0:9899\" or \"[::]:9899\""
        );
        assert_eq!(
            said(|c| c.telemetry_path = "metrics".into()),
            "web.telemetry_path is \"metrics\"; it must begin with a slash"
        );
        assert_eq!(
            said(|c| c.telemetry_path = "/-/ready".into()),
            "web.telemetry_path is \"/-/ready\"; it must be another path: the exporter serves something else there"
        );
        for strange in ["/:id", "/a/*"] {
            let mut config = WebConfig { telemetry_path: strange.into(), ..WebConfig::default() };
            assert!(config.validate().is_err(), "{strange}");
            config.telemetry_path = "/a:b".into();
            assert_eq!(config.validate(), Ok(()));
        }
        assert_eq!(
            said(|c| c.write_timeout = Duration::ZERO),
            "web.write_timeout is \"0s\"; it must be more than 0s and at most 1h"
        );
    }
}
