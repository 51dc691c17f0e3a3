//! The rules of `metrics.static_labels`: which names and values every series of an exporter can carry beside its own labels.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::error::{Violation, shown, shown_name};
use super::rules;

const KEY: &str = "metrics.static_labels";
/// Each of them is on every line of the page.
const MAX_LABELS: usize = 10;
/// A longer name or value is a mistake; it would be on every line of the page.
const MAX_BYTES: usize = 128;
/// Prometheus gives these to every series that it scrapes, and would rename ours to `exported_…`.
const OF_PROMETHEUS: [&str; 2] = ["instance", "job"];
/// Histograms and summaries have these on some of their lines.
const OF_FORMATS: [&str; 2] = ["le", "quantile"];
/// The alert rules that come with the exporter give these to their own series.
const OF_RULES: [&str; 7] = ["alertname", "alertstate", "pace", "severity", "signal", "week", "window"];

/// The labels that the exporter's own metrics have, in the order of the alphabet. A static label of the same name would be on
/// a line twice. A test of the catalogue keeps the list current.
pub const METRIC_LABELS: [&str; 34] = [
    "active",
    "agent_id",
    "agent_name",
    "code",
    "direction",
    "event",
    "external_url",
    "field",
    "intent",
    "label",
    "language",
    "listener",
    "outcome",
    "part",
    "platform",
    "previous_resolution",
    "reason",
    "resolution",
    "revision",
    "role",
    "route",
    "rustc",
    "sentiment",
    "session_id",
    "session_type",
    "source",
    "stage",
    "state",
    "target",
    "value",
    "variable",
    "version",
    "voice_enabled",
    "within",
];

/// Reads a table, or the pairs that [`typing::text_table`](super::typing::text_table) makes of one.
pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Table(BTreeMap<String, String>),
        Pairs(Vec<(String, String)>),
    }
    Ok(match Form::deserialize(from)? {
        Form::Table(labels) => labels,
        Form::Pairs(pairs) => pairs.into_iter().collect(),
    })
}

/// Rejects labels that would be wrong on some series, or that Prometheus would not take.
pub(super) fn validate(labels: &BTreeMap<String, String>) -> Result<(), Violation> {
    let count = labels.len();
    let most = format!("must have at most {MAX_LABELS} labels, since each of them is on every line of the page");
    rules::check(count <= MAX_LABELS, KEY, format!("a table of {count} labels"), most)?;
    for (name, value) in labels {
        let table = || format!("a table with the label {} in it", shown_name(name));
        if let Some(rule) = broken_by_name(name) {
            rules::check(false, KEY, table(), rule)?;
        }
        if let Some(rule) = broken_by_value(value) {
            rules::check(false, KEY, format!("a table in which {name} is {}", shown(value)), rule)?;
        }
    }
    Ok(())
}

fn broken_by_name(name: &str) -> Option<String> {
    let is_one_of = |names: &[&str]| names.contains(&name);
    let mut bytes = name.bytes();
    let starts_well = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !starts_well || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') || name.len() > MAX_BYTES {
        Some(format!(
            "must name labels of 1 to {MAX_BYTES} letters, digits and underscores that do not begin with a digit"
        ))
    } else if name.starts_with("__") {
        Some("must not name labels that begin with two underscores: Prometheus keeps them for itself".into())
    } else if is_one_of(&OF_PROMETHEUS) {
        Some(format!(
            "must not name {name}: Prometheus sets that label itself, and would store this one as exported_{name}"
        ))
    } else if is_one_of(&OF_FORMATS) {
        Some(format!("must not name {name}: histograms and summaries have that label"))
    } else if is_one_of(&METRIC_LABELS) {
        Some(format!("must not name {name}: metrics of this exporter have that label; choose another name"))
    } else if is_one_of(&OF_RULES) {
        Some(format!("must not name {name}: the exporter's alert rules set that label; choose another name"))
    } else {
        None
    }
}

fn broken_by_value(value: &str) -> Option<String> {
    if value.is_empty() {
        return Some("must have a value for each label: Prometheus takes an empty one for no label".into());
    }
    (value.len() > MAX_BYTES || value.contains(char::is_control))
        .then(|| format!("must have values of at most {MAX_BYTES} bytes without control characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(labels: &[(&str, &str)]) -> String {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        validate(&labels).map_or_else(|v| format!("{} is {}; it {}", v.key, v.value, v.rule), |()| "kept".into())
    }

    #[test]
    fn names_that_prometheus_or_our_metrics_need_are_rejected() {
        assert_eq!(said(&[]), "kept");
        assert_eq!(said(&[("organization", "Acme \"West\""), ("_r2", "ä")]), "kept");
        for (name, reason) in [
            ("job", "Prometheus sets that label itself, and would store this one as exported_job"),
            ("instance", "Prometheus sets that label itself, and would store this one as exported_instance"),
            ("le", "histograms and summaries have that label"),
            ("quantile", "histograms and summaries have that label"),
            ("agent_id", "metrics of this exporter have that label; choose another name"),
            ("listener", "metrics of this exporter have that label; choose another name"),
            ("severity", "the exporter's alert rules set that label; choose another name"),
        ] {
            let expected = format!(
                "metrics.static_labels is a table with the label {name} in it; it must not name {name}: {reason}"
            );
            assert_eq!(said(&[(name, "x")]), expected);
        }
        assert_eq!(
            said(&[("__tenant", "x")]),
            "metrics.static_labels is a table with the label __tenant in it; it must not name labels that begin with two underscores: Prometheus keeps them for itself"
        );
        for name in ["", "9lives", "a-b", "größe", "a.b", "a b", &"a".repeat(129)] {
            let said = said(&[(name, "x")]);
            assert!(
                said.ends_with("1 to 128 letters, digits and underscores that do not begin with a digit"),
                "{said}"
            );
        }
    }

    #[test]
    fn values_are_short_text() {
        assert_eq!(
            said(&[("organization", "")]),
            "metrics.static_labels is a table in which organization is \"\"; it must have a value for each label: Prometheus takes an empty one for no label"
        );
        let rule = "must have values of at most 128 bytes without control characters";
        for value in [&"x".repeat(129), "a\nb", "\u{7f}"] {
            let said = said(&[("organization", value)]);
            assert!(said.ends_with(rule), "{said}");
        }
        assert!(!said(&[("organization", "pk_live_42\n")]).contains("pk_live"));
        let many: Vec<_> = (0..11).map(|n| format!("l{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "x")).collect();
        assert!(
            said(&many).starts_with("metrics.static_labels is a table of 11 labels; it must have at most 10 labels")
        );
    }
}
