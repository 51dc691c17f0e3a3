//! `[web]`: the HTTP listener.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::error::{Violation, shown};
use super::rules::{self, HOUR};

/// Routes of the exporter itself, which the metrics cannot use.
pub const FIXED_PATHS: [&str; 6] = ["/-/healthy", "/-/ready", "/-/active", "/-/reload", "/-/reference", "/-/runbooks"];

/// See `config.toml`, section `[web]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// Address and port of the listener, or several, separated by commas.
    pub listen_address: String,
    /// Listen on the sockets that systemd hands over, in place of `listen_address`.
    pub systemd_socket: bool,
    /// File that sets TLS and users, in the format of Prometheus' exporter-toolkit; re-read when it changes.
    pub config_file: Option<PathBuf>,
    /// Answer the health and readiness probes without asking for a user.
    pub probes_without_credentials: bool,
    /// Route of the metrics.
    pub telemetry_path: String,
    /// URL under which users reach the exporter, if a proxy stands before it.
    pub external_url: Option<String>,
    /// What all routes begin with; the path of `external_url` if absent.
    pub route_prefix: Option<String>,
    /// Leave the metrics of the process itself (`process_…`) out.
    pub disable_exporter_metrics: bool,
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
            systemd_socket: false,
            config_file: None,
            probes_without_credentials: true,
            telemetry_path: "/metrics".into(),
            external_url: None,
            route_prefix: None,
            disable_exporter_metrics: false,
            max_requests: 40,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
        }
    }
}

impl WebConfig {
    /// Rejects an address or a route that could not be served. Whether the address is free shows only when it is bound.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self) -> Result<(), Violation> {
        let mut addresses: Vec<&str> = self.listen_addresses().collect();
        rules::check(
            !addresses.is_empty(),
            "web.listen_address",
            shown(&self.listen_address),
            "must be host:port, or several",
        )?;
        for address in &addresses {
            rules::listen_address("web.listen_address", address, "0.0.0.0:9899")?;
        }
        // With port 0 the system chooses several.
        addresses.retain(|address| !address.ends_with(":0"));
        addresses.sort_unstable();
        let twice = addresses.windows(2).any(|pair| matches!(pair, [first, second] if first == second));
        rules::check(!twice, "web.listen_address", shown(&self.listen_address), "must not hold an address twice")?;
        if let Some(file) = &self.config_file {
            rules::path("web.config_file", file, "file")?;
        }
        if let Some(url) = &self.external_url {
            let rule = "must be a URL, such as \"https://monitoring.example/agntix/\", or the path of one";
            rules::check(url_path(url).is_some(), "web.external_url", shown(url), rule)?;
            rules::served_route("web.external_url", url_path(url).unwrap_or_default())?;
        }
        if let Some(prefix) = &self.route_prefix {
            rules::served_route("web.route_prefix", prefix)?;
        }
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

    /// The addresses to listen on.
    pub fn listen_addresses(&self) -> impl Iterator<Item = &str> {
        self.listen_address.split(',').map(str::trim).filter(|address| !address.is_empty())
    }

    /// What all routes begin with: empty, or a path that ends with no slash.
    pub fn prefix(&self) -> &str {
        let prefix = match &self.route_prefix {
            Some(prefix) => prefix,
            None => self.external_url.as_deref().and_then(url_path).unwrap_or_default(),
        };
        prefix.trim_end_matches('/')
    }

    /// Where people reach the exporter, if `external_url` says more than a path.
    pub fn external_address(&self) -> Option<&str> {
        self.external_url.as_deref().filter(|url| !url.starts_with('/'))
    }

    /// What all links begin with: empty, or a path that ends with no slash. Other than the routes where a proxy takes a
    /// part of the path away.
    pub fn link_prefix(&self) -> &str {
        self.external_url.as_deref().and_then(url_path).map_or_else(|| self.prefix(), |path| path.trim_end_matches('/'))
    }
}

/// The path of an HTTP URL, `/` if it has none. A path alone will do, as in Prometheus.
fn url_path(url: &str) -> Option<&str> {
    if url.starts_with('/') {
        return Some(url);
    }
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let host_ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(host_ends)?;
    if host.is_empty() || host.contains(['@', ' ']) {
        return None;
    }
    Some(if path.is_empty() { "/" } else { path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_expected_type() {
        let said = |change: fn(&mut WebConfig)| {
            let mut config = WebConfig::default();
            change(&mut config);
            config.validate().map_or_else(|v| format!("{} is {}; it {}", v.key, v.value, v.rule), |()| "kept".into())
        };
        assert_eq!(said(|_| ()), "kept");
        assert_eq!(
            said(|c| c.listen_address = "9899".into()),
            "web.listen_address is \"9899\"; it must be host:port, such as \"0.0.0.0:9899\" or \"[::]:9899\""
        );
        assert_eq!(said(|c| c.listen_address = ":9899, [::1]:9100,127.0.0.1:0,127.0.0.1:0".into()), "kept");
        assert_eq!(
            said(|c| c.listen_address = "a:1,b:1,a:1".into()),
            "web.listen_address is \"a:1,b:1,a:1\"; it must not hold an address twice"
        );
        assert_eq!(
            said(|c| c.external_url = Some("monitoring.example".into())),
            "web.external_url is \"monitoring.example\"; it must be a URL, such as \"https://monitoring.example/agntix/\", or the path of one"
        );
        assert_eq!(
            said(|c| c.route_prefix = Some("agntix".into())),
            "web.route_prefix is \"agntix\"; it must begin with a slash"
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

    #[test]
    fn route_prefix_defaults_to_the_path_of_the_external_url() {
        let prefixes = |url: Option<&str>, prefix: Option<&str>| {
            let config = WebConfig {
                external_url: url.map(Into::into),
                route_prefix: prefix.map(Into::into),
                ..WebConfig::default()
            };
            assert_eq!(config.validate(), Ok(()));
            (config.prefix().to_owned(), config.link_prefix().to_owned())
        };
        let pair = |routes: &str, links: &str| (routes.to_owned(), links.to_owned());
        assert_eq!(prefixes(None, None), pair("", ""));
        assert_eq!(prefixes(Some("/agntix/"), None), pair("/agntix", "/agntix"));
        assert_eq!(prefixes(Some("https://x"), None), pair("", ""));
        assert_eq!(prefixes(Some("https://x:1/a/b/"), None), pair("/a/b", "/a/b"));
        assert_eq!(prefixes(Some("https://x/a"), Some("/")), pair("", "/a"));
        assert_eq!(prefixes(None, Some("/a/")), pair("/a", "/a"));
        let address = |url: &str| {
            WebConfig { external_url: Some(url.into()), ..WebConfig::default() }.external_address().map(str::to_owned)
        };
        assert_eq!(address("https://x:1/a/"), Some("https://x:1/a/".into()));
        assert_eq!((address("/a/"), WebConfig::default().external_address()), (None, None));
        for bad in ["x", "ftp://x", "https://", "https://me@x/", "https:///a", "https://x/a?b", "https://x/{a}"] {
            let config = WebConfig { external_url: Some(bad.into()), ..WebConfig::default() };
            assert!(config.validate().is_err(), "{bad}");
        }
    }
}
