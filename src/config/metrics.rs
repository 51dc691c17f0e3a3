//! `[metrics]`: what is exposed, and how much of it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::error::{Violation, shown};
use super::metric_names;
use super::repeat_contacts::RepeatContacts;
use super::rules::{self, HOUR};
use super::static_labels;

/// Longer names of extracted fields are a mistake.
const MAX_FIELD: usize = 256;
/// With fewer series there is no room for an agent beside `other`.
const MIN_SERIES: u64 = 1_000;

/// See `config.toml`, section `[metrics]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Labels that every series of this exporter carries beside its own.
    #[serde(deserialize_with = "static_labels::read")]
    pub static_labels: BTreeMap<String, String>,
    /// Values of one label per agent; further ones are folded into `other`.
    pub max_label_values: usize,
    /// Agents, at most; further ones are folded into `other`.
    pub max_agents: usize,
    /// Session series in all, as Prometheus stores them; beyond it new label values are folded into `other`.
    pub max_series: u64,
    /// The initial-zero window: how long a new series is exposed at 0 before it may rise.
    #[serde(with = "duration")]
    pub new_series_hold: Duration,
    /// Recent unresolved or negative sessions to expose one by one, besides the configured ones.
    pub watch_recent: usize,
    /// Upper bounds of `agntix_session_duration_seconds`, in seconds, ascending.
    pub duration_buckets: Vec<f64>,
    /// Upper bounds of `agntix_session_sentiment_score`, from -1 to 1, ascending.
    pub sentiment_score_buckets: Vec<f64>,
    /// Upper bounds of the confidence histograms, from 0 to 1, ascending.
    pub confidence_buckets: Vec<f64>,
    /// Upper bounds of `agntix_session_turns`, ascending.
    pub turn_buckets: Vec<f64>,
    /// Upper bounds of the histograms of response times, in seconds, ascending.
    pub response_buckets: Vec<f64>,
    /// Session variables whose values are counted.
    pub variables: Vec<String>,
    /// Families that are left off the page. They are counted all the same.
    pub disabled: Vec<String>,
    /// Whether OpenMetrics says when each series began to count, in `_created` lines.
    pub created_lines: bool,
    /// Whether the same customer came back; `None`: nothing of customers is read or remembered.
    pub repeat_contacts: Option<RepeatContacts>,
    /// Fields of `extractedData` to count or to measure.
    pub extracted: Vec<ExtractedField>,
}

/// One field of `extractedData` that the operator names, and so allows to be exposed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtractedField {
    /// The field's name in `extractedData`, verbatim.
    pub field: String,
    /// What to make of it.
    pub kind: ExtractedKind,
    /// Upper bounds of the histogram; only for `number`.
    #[serde(default)]
    pub buckets: Vec<f64>,
}

/// What to make of an extracted field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExtractedKind {
    /// Text from a short list: counted by value.
    Enum,
    /// True or false: counted by value.
    Boolean,
    /// A quantity: measured in a histogram.
    Number,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            static_labels: BTreeMap::new(),
            max_label_values: 100,
            max_agents: 1000,
            max_series: 250_000,
            new_series_hold: Duration::from_secs(60),
            watch_recent: 50,
            duration_buckets: vec![
                5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 420.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0, 7200.0,
            ],
            sentiment_score_buckets: vec![-0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            confidence_buckets: vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
            turn_buckets: vec![0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0],
            response_buckets: vec![0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0, 300.0],
            repeat_contacts: None,
            extracted: Vec::new(),
            variables: Vec::new(),
            disabled: Vec::new(),
            created_lines: false,
        }
    }
}

impl MetricsConfig {
    /// Rejects limits of 0, invalid histograms, and extracted fields that contradict themselves.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self) -> Result<(), Violation> {
        static_labels::validate(&self.static_labels)?;
        rules::check(self.max_label_values >= 1, "metrics.max_label_values", "0", "must be 1 or more")?;
        rules::check(self.max_agents >= 1, "metrics.max_agents", "0", "must be 1 or more")?;
        let least = MIN_SERIES;
        rules::check(self.max_series >= least, "metrics.max_series", self.max_series, "must be 1000 or more")?;
        let bounds = (Duration::ZERO, HOUR);
        rules::duration("metrics.new_series_hold", self.new_series_hold, bounds, "must be at most 1h")?;
        rules::check(self.watch_recent <= 1000, "metrics.watch_recent", self.watch_recent, "must be at most 1000")?;
        rules::buckets("metrics.duration_buckets", &self.duration_buckets, (0.0, f64::INFINITY))?;
        rules::buckets("metrics.sentiment_score_buckets", &self.sentiment_score_buckets, (-1.0, 1.0))?;
        rules::buckets("metrics.confidence_buckets", &self.confidence_buckets, (0.0, 1.0))?;
        rules::buckets("metrics.turn_buckets", &self.turn_buckets, (0.0, f64::INFINITY))?;
        rules::buckets("metrics.response_buckets", &self.response_buckets, (0.0, f64::INFINITY))?;
        let mut seen = HashSet::new();
        for extracted in &self.extracted {
            extracted.validate(&mut seen)?;
        }
        validate_variables(&self.variables)?;
        metric_names::validate(&self.disabled)?;
        self.repeat_contacts.as_ref().map_or(Ok(()), RepeatContacts::validate)
    }
}

fn validate_variables(names: &[String]) -> Result<(), Violation> {
    let mut seen = HashSet::new();
    for name in names {
        let check = |kept, rule: &str| {
            rules::check(kept, "metrics.variables", format!("a list with the variable {} in it", shown(name)), rule)
        };
        let plain = !name.is_empty() && name.len() <= MAX_FIELD && !name.contains(char::is_control);
        check(plain, &format!("must name variables of 1 to {MAX_FIELD} bytes without control characters"))?;
        check(seen.insert(name), "must name each variable once")?;
    }
    Ok(())
}

impl ExtractedField {
    fn validate<'f>(&'f self, seen: &mut HashSet<&'f str>) -> Result<(), Violation> {
        let name = self.field.as_str();
        let check = |kept, rule: &str| {
            rules::check(kept, "metrics.extracted", format!("a list with the field {} in it", shown(name)), rule)
        };
        let plain = !name.is_empty() && name.len() <= MAX_FIELD && !name.contains(char::is_control);
        check(plain, &format!("must name fields of 1 to {MAX_FIELD} bytes without control characters"))?;
        check(seen.insert(name), "must name each field once")?;
        let number = self.kind == ExtractedKind::Number;
        check(number || self.buckets.is_empty(), "must have buckets only where kind is \"number\"")?;
        check(!number || !self.buckets.is_empty(), "must have buckets where kind is \"number\"")?;
        if !number {
            return Ok(());
        }
        let bounds = (f64::NEG_INFINITY, f64::INFINITY);
        rules::buckets("metrics.extracted", &self.buckets, bounds).map_err(|violation| Violation {
            value: format!("a list with the field {} and its buckets {}", shown(name), violation.value),
            ..violation
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(change: impl FnOnce(&mut MetricsConfig)) -> String {
        let mut config = MetricsConfig::default();
        change(&mut config);
        config.validate().map_or_else(|v| format!("{} is {}; it {}", v.key, v.value, v.rule), |()| "kept".into())
    }

    fn field(name: &str, kind: ExtractedKind, buckets: &[f64]) -> ExtractedField {
        ExtractedField { field: name.into(), kind, buckets: buckets.to_vec() }
    }

    #[test]
    fn limits_stay_in_their_range() {
        assert_eq!(said(|c| c.max_label_values = 0), "metrics.max_label_values is 0; it must be 1 or more");
        assert_eq!(said(|c| c.max_agents = 0), "metrics.max_agents is 0; it must be 1 or more");
        assert_eq!(said(|c| c.max_series = 999), "metrics.max_series is 999; it must be 1000 or more");
        assert_eq!(said(|c| c.new_series_hold = Duration::ZERO), "kept");
        assert_eq!(said(|c| c.new_series_hold = 2 * HOUR), "metrics.new_series_hold is \"2h\"; it must be at most 1h");
        assert_eq!(said(|c| c.watch_recent = 1001), "metrics.watch_recent is 1001; it must be at most 1000");
        assert_eq!(
            said(|c| c.confidence_buckets = vec![0.5, 2.0]),
            "metrics.confidence_buckets is a list with 2 in it; it must hold numbers from 0 to 1 only"
        );
    }

    #[test]
    fn variables_have_names_and_are_named_once() {
        let said = |names: &[&str]| said(|c| c.variables = names.iter().map(ToString::to_string).collect());
        assert_eq!(said(&["campaign", "tenant"]), "kept");
        let named = |name| format!("metrics.variables is a list with the variable \"{name}\" in it; it must ");
        assert_eq!(said(&[""]), named("") + "name variables of 1 to 256 bytes without control characters");
        assert_eq!(said(&["campaign", "campaign"]), named("campaign") + "name each variable once");
    }

    #[test]
    fn families_that_do_not_exist_cannot_be_disabled() {
        let said = |names: &[&str]| said(|c| c.disabled = names.iter().map(ToString::to_string).collect());
        assert_eq!(said(&["agntix_session_languages_total", "process_open_fds"]), "kept");
        let wrong = |name, advice| {
            format!("metrics.disabled is a list with \"{name}\" in it; it must name metrics of this exporter; {advice}")
        };
        assert_eq!(
            said(&["agntix_sesion_languages_total"]),
            wrong("agntix_sesion_languages_total", "did you mean agntix_session_languages_total?")
        );
        assert_eq!(
            said(&["agntix_session_languages"]),
            wrong("agntix_session_languages", "did you mean agntix_session_languages_total?")
        );
        assert_eq!(
            said(&["agntix_session_score"]),
            wrong(
                "agntix_session_score",
                "near are agntix_session_sentiment_score, agntix_watched_session_sentiment_score, agntix_session_sentiment_score_negative_total and agntix_session_sentiment_score_positive_total"
            )
        );
        assert_eq!(said(&["no_such_thing"]), wrong("no_such_thing", "docs/metrics.md lists them"));
    }

    #[test]
    fn extracted_fields_do_not_contradict_themselves() {
        use ExtractedKind::{Boolean, Enum, Number};
        let said = |fields: Vec<ExtractedField>| said(|c| c.extracted = fields);
        assert_eq!(said(vec![field("a", Enum, &[]), field("b", Number, &[-1.0, 1.0])]), "kept");
        let named = |name| format!("metrics.extracted is a list with the field \"{name}\" in it; it must ");
        assert_eq!(
            said(vec![field("", Enum, &[])]),
            named("") + "name fields of 1 to 256 bytes without control characters"
        );
        assert_eq!(said(vec![field("a", Enum, &[]), field("a", Boolean, &[])]), named("a") + "name each field once");
        assert_eq!(said(vec![field("a", Enum, &[1.0])]), named("a") + "have buckets only where kind is \"number\"");
        assert_eq!(said(vec![field("a", Number, &[])]), named("a") + "have buckets where kind is \"number\"");
        assert_eq!(
            said(vec![field("a", Number, &[2.0, 1.0])]),
            "metrics.extracted is a list with the field \"a\" and its buckets a list with [2.0, 1.0] in it; it must ascend, and no bound may be there twice"
        );
    }
}
