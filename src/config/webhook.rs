//! `[webhook]`: signed deliveries from Agntix, which arrive sooner than polling finds out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::WebConfig;
use super::error::{Violation, shown};
use super::rules;

/// See `config.toml`, section `[webhook]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Take deliveries.
    pub enabled: bool,
    /// Route of the deliveries.
    pub path: String,
    /// File that holds the signing secret, or several while one is replaced; re-read when it changes.
    /// `AGNTIX_WEBHOOK_SECRET` is the alternative.
    pub secret_file: Option<PathBuf>,
    /// A listener of its own for the deliveries; `web.listen_address` if absent.
    pub listen_address: Option<String>,
    /// File that sets TLS for that listener; `web.config_file` if absent.
    pub web_config_file: Option<PathBuf>,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            path: "/webhooks/agntix".into(),
            secret_file: None,
            listen_address: None,
            web_config_file: None,
        }
    }
}

impl WebhookConfig {
    /// Rejects what could not be served beside `web`. Whether there is a secret is not known here.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self, web: &WebConfig) -> Result<(), Violation> {
        let path = &self.path;
        rules::served_route("webhook.path", path)?;
        let check = |kept, rule: &str| rules::check(kept, "webhook.path", shown(path), rule);
        let free = path != "/" && path != "/-" && !path.starts_with("/-/");
        check(free, "must be another path: the exporter serves something else there")?;
        if let Some(file) = &self.secret_file {
            rules::path("webhook.secret_file", file, "file")?;
        }
        if let Some(file) = &self.web_config_file {
            rules::path("webhook.web_config_file", file, "file")?;
        }
        let Some(address) = &self.listen_address else { return self.validate_shared(web) };
        rules::listen_address("webhook.listen_address", address, "0.0.0.0:9897")?;
        // With port 0 the system chooses two.
        let apart = address.ends_with(":0") || web.listen_addresses().all(|other| other != address);
        let rule = "must differ from web.listen_address, or be left out to share that listener";
        rules::check(apart, "webhook.listen_address", shown(address), rule)
    }

    /// Rejects what could not be served on the listener of the metrics.
    fn validate_shared(&self, web: &WebConfig) -> Result<(), Violation> {
        let (path, prefix) = (&self.path, web.prefix());
        let check = |kept, rule: &str| rules::check(kept, "webhook.path", shown(path), rule);
        let metrics = format!("{prefix}{}", web.telemetry_path);
        check(*path != metrics, "must differ from web.telemetry_path, on the same listener")?;
        let below = path.strip_prefix(prefix).filter(|_| !prefix.is_empty());
        let free = below.is_none_or(|rest| !matches!(rest, "" | "/") && !rest.starts_with("/-/"));
        check(free, "must be another path: the exporter serves something else there")?;
        let file = self.web_config_file.as_deref().map(|file| file.display().to_string()).unwrap_or_default();
        let rule = "must be left out without webhook.listen_address: on the shared listener web.config_file holds";
        rules::check(self.web_config_file.is_none(), "webhook.web_config_file", shown(&file), rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(change: impl FnOnce(&mut WebhookConfig)) -> String {
        let mut config = WebhookConfig::default();
        change(&mut config);
        let result = config.validate(&WebConfig::default());
        result.map_or_else(|v| format!("{} is {}; it {}", v.key, v.value, v.rule), |()| "kept".into())
    }

    #[test]
    fn webhook_path_is_plain_and_not_taken() {
        let said = |path: &str| said(|c| c.path = path.into());
        for good in ["/webhooks/agntix", "/w", "/a/b-c_d.e~f", "/-webhook", "/a:b"] {
            assert_eq!(said(good), "kept", "{good}");
        }
        assert_eq!(said("webhook"), "webhook.path is \"webhook\"; it must begin with a slash");
        assert!(said("/a?b").ends_with("it must be a plain path, without spaces, braces, queries or fragments"));
        for bad in ["/:id", "/a/:id", "/*", "/a/*rest"] {
            assert!(said(bad).ends_with("without stars, and no part of it may begin with a colon"), "{bad}");
        }
        for taken in ["/", "/-/healthy", "/-/anything", "/-"] {
            assert!(said(taken).ends_with("the exporter serves something else there"), "{taken}");
        }
        assert_eq!(
            said("/metrics"),
            "webhook.path is \"/metrics\"; it must differ from web.telemetry_path, on the same listener"
        );
    }

    #[test]
    fn webhook_listener_differs_from_the_web_listener() {
        let with =
            |address: &str, path: &str| said(|c| (c.listen_address, c.path) = (Some(address.into()), path.into()));
        assert_eq!(with("127.0.0.1:9897", "/metrics"), "kept");
        assert_eq!(
            with("9897", "/w"),
            "webhook.listen_address is \"9897\"; it must be host:port, such as \"0.0.0.0:9897\" or \"[::]:9897\""
        );
        assert_eq!(
            with("0.0.0.0:9899", "/w"),
            "webhook.listen_address is \"0.0.0.0:9899\"; it must differ from web.listen_address, or be left out to share that listener"
        );
        let (web, webhook) = (
            WebConfig { listen_address: "127.0.0.1:0".into(), ..WebConfig::default() },
            WebhookConfig { listen_address: Some("127.0.0.1:0".into()), ..WebhookConfig::default() },
        );
        assert_eq!(webhook.validate(&web), Ok(()));
    }

    #[test]
    fn secret_in_place_of_its_file_is_rejected() {
        assert_eq!(
            said(|c| c.secret_file = Some("whsec_hunter2".into())),
            "webhook.secret_file is something that looks like a credential (not shown); it must be the path of a file, not what is in it"
        );
    }

    #[test]
    fn webhook_path_is_not_taken_below_the_prefix_either() {
        let web = WebConfig { route_prefix: Some("/a".into()), ..WebConfig::default() };
        let kept = |path: &str| WebhookConfig { path: path.into(), ..WebhookConfig::default() }.validate(&web).is_ok();
        assert!(kept("/metrics") && kept("/a/hook") && kept("/ab"));
        assert!(!["/a/metrics", "/a", "/a/", "/a/-/ready", "/-/ready"].into_iter().any(kept));
    }

    #[test]
    fn webhook_web_configuration_needs_a_webhook_listener() {
        let with = |listener: Option<&str>| {
            said(|c| (c.listen_address, c.web_config_file) = (listener.map(Into::into), Some("hook.yml".into())))
        };
        assert_eq!(with(Some("127.0.0.1:9897")), "kept");
        assert_eq!(
            with(None),
            "webhook.web_config_file is \"hook.yml\"; it must be left out without webhook.listen_address: on the shared listener web.config_file holds"
        );
    }
}
