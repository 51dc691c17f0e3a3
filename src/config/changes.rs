//! Which changes of the configuration a reload cannot bring into effect.

use super::{Config, keys};

/// The keys that differ and take effect only at a restart: the listeners, the stream, the state and the log are opened
/// once, and a histogram keeps the buckets that it has begun with. What is in `webhook.secret_file` is read again anyway.
pub fn restart_only_changes(old: &Config, new: &Config) -> Vec<&'static str> {
    let (Ok(old), Ok(new)) = (toml::Table::try_from(old), toml::Table::try_from(new)) else { return Vec::new() };
    let value = |table: &toml::Table, key: &keys::Key| table.get(&key.section)?.get(&key.leaf).cloned();
    let differ = keys::all().iter().filter(|key| value(&old, key) != value(&new, key));
    differ.map(|key| key.name.as_str()).filter(|name| needs_restart(name)).collect()
}

fn needs_restart(key: &str) -> bool {
    ["web.", "webhook.", "stream."].iter().any(|section| key.starts_with(section))
        || (key.starts_with("metrics.") && key.ends_with("_buckets"))
        || matches!(key, "state.path" | "metrics.extracted" | "log.format")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{ExtractedField, ExtractedKind, LogFormat};

    #[test]
    fn only_what_is_opened_once_needs_a_restart() {
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
                "metrics.duration_buckets",
                "metrics.extracted",
                "log.format"
            ]
        );
    }
}
