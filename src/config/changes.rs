//! Which changes of the configuration need a restart.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Config, keys};

/// The keys that a reload brings into effect: the code that reads them is given the new configuration. A key that is not
/// listed needs a restart, so a new key needs one until it is added here.
const RELOADABLE: [&str; 33] = [
    "api.base_url",
    "api.key_file",
    "api.bearer_token_file",
    "api.ca_file",
    "api.timeout",
    "api.connect_timeout",
    "api.max_concurrency",
    "api.budget_share",
    "api.requests_per_minute",
    "api.session_path",
    "api.list_path",
    "api.agents_path",
    "api.stream_path",
    "sessions.ids",
    "sessions.files",
    "sessions.listing",
    "sessions.recent_window",
    "sessions.look_back_deadline",
    "sessions.retention",
    "sessions.max_tracked",
    "poll.open_interval",
    "poll.ended_interval",
    "poll.listing_interval",
    "poll.agents_interval",
    "poll.analysis_deadline",
    "metrics.static_labels",
    "metrics.max_label_values",
    "metrics.max_agents",
    "metrics.new_series_hold",
    "metrics.watch_recent",
    "metrics.disabled",
    "metrics.created_lines",
    "log.level",
];

/// The keys that differ and take effect only at a restart: the listeners, the stream, the state and the log are opened
/// once, and a histogram keeps the buckets that it has begun with. What is in `webhook.secret_file` is read again anyway.
pub fn restart_only_changes(old: &Config, new: &Config) -> Vec<&'static str> {
    if old == new {
        return Vec::new();
    }
    let changes = match (serde_json::to_value(old), serde_json::to_value(new)) {
        (Ok(old), Ok(new)) => changed(&old, &new),
        _ => Vec::new(),
    };
    // Its password is not among what is compared.
    if changes.is_empty() && old.state.url != new.state.url {
        return vec!["state.url"];
    }
    if changes.is_empty() {
        // They differ in something that is not a key, so a reload may not be enough.
        return vec!["something that is no key"];
    }
    changes.into_iter().filter(|key| !is_reloadable(key)).map(|key| key.name.as_str()).collect()
}

/// Settings that are to be the same wherever a ledger is shared, by key: those that say what is counted and shown, and how Agntix
/// is asked. Each replica has its own listeners, files, log and password.
pub fn shared_settings(config: &Config) -> BTreeMap<String, String> {
    let value = serde_json::to_value(config).unwrap_or_default();
    let is_shared = |key: &&keys::Key| {
        matches!(&*key.section, "metrics" | "poll" | "sessions" | "stream" | "ha") && key.name != "sessions.files"
            || matches!(
                key.name.as_str(),
                "api.base_url" | "api.budget_share" | "api.requests_per_minute" | "webhook.enabled"
            )
    };
    let setting = |key: &keys::Key| Some((key.name.clone(), value.get(&key.section)?.get(&key.leaf)?.to_string()));
    keys::all().iter().filter(is_shared).filter_map(setting).collect()
}

/// The keys that differ.
fn changed(old: &Value, new: &Value) -> Vec<&'static keys::Key> {
    let value = |config: &Value, key: &keys::Key| config.get(&key.section)?.get(&key.leaf).cloned();
    keys::all().iter().filter(|key| value(old, key) != value(new, key)).collect()
}

fn is_reloadable(key: &keys::Key) -> bool {
    RELOADABLE.contains(&key.name.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{ExtractedField, ExtractedKind, LogFormat};

    #[test]
    fn only_listeners_stream_state_log_and_buckets_need_a_restart() {
        let old = Config::default();
        assert!(restart_only_changes(&old, &old.clone()).is_empty());
        let mut new = old.clone();
        new.api.timeout = Duration::from_secs(1);
        new.api.key_file = Some("key".into());
        new.sessions.ids.push("a".into());
        new.log.level = "debug".into();
        new.metrics.max_agents = 5;
        assert!(restart_only_changes(&old, &new).is_empty());
        new.webhook.enabled = true;
        new.webhook.secret_file = Some("secret".into());
        new.webhook.listen_address = Some("127.0.0.1:2".into());
        new.stream.enabled = true;
        new.web.listen_address = "127.0.0.1:1".into();
        new.web.write_timeout = Duration::from_secs(1);
        new.state.path = "elsewhere".into();
        new.state.url = Some("postgres://u@db/x".into());
        new.ha.lease = Duration::from_secs(20);
        new.metrics.duration_buckets.push(1e6);
        new.metrics.extracted.push(ExtractedField {
            field: "plan".into(),
            kind: ExtractedKind::Enum,
            buckets: Vec::new(),
        });
        new.log.format = LogFormat::Json;
        assert_eq!(
            restart_only_changes(&old, &new),
            [
                "webhook.enabled",
                "webhook.secret_file",
                "webhook.listen_address",
                "stream.enabled",
                "web.listen_address",
                "web.write_timeout",
                "state.path",
                "state.url",
                "ha.lease",
                "metrics.duration_buckets",
                "metrics.extracted",
                "log.format"
            ]
        );
    }

    #[test]
    fn another_password_in_the_url_of_the_database_needs_a_restart() {
        let of = |url: &str| {
            let mut config = Config::default();
            config.state.url = Some(url.into());
            config
        };
        assert_eq!(restart_only_changes(&of("postgres://u:a@db/x"), &of("postgres://u:b@db/x")), ["state.url"]);
    }

    /// For any value: the second configuration is the first one with another value for one key.
    #[test]
    fn every_key_is_known_to_be_reloadable_or_needs_a_restart() {
        let whole = serde_json::to_value(Config::default()).unwrap();
        let mut reloadable = Vec::new();
        for key in keys::all() {
            let mut other = whole.clone();
            other[&key.section][&key.leaf] = Value::String("another".into());
            let found: Vec<_> = changed(&whole, &other).iter().map(|key| key.name.as_str()).collect();
            assert_eq!(found, [key.name.as_str()], "a change of it is not seen");
            if is_reloadable(key) {
                reloadable.push(key.name.as_str());
            }
        }
        assert_eq!(reloadable, RELOADABLE, "a name there is no key");
        for section in ["web", "webhook", "stream", "state", "ha"] {
            assert!(!reloadable.iter().any(|key| key.starts_with(&format!("{section}."))), "{section}");
        }
    }
}
