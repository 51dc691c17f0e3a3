//! `[metrics]`: what is exposed, and how much of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

/// See `config.toml`, section `[metrics]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Values of one label that one agent may bring; further ones are folded into `other`.
    pub max_label_values: usize,
    /// Agents, at most; further ones are folded into `other`.
    pub max_agents: usize,
    /// How long a new series stands at 0 before it may rise.
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
            max_label_values: 100,
            max_agents: 1000,
            new_series_hold: Duration::from_secs(60),
            watch_recent: 0,
            duration_buckets: vec![
                5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 420.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0, 7200.0,
            ],
            sentiment_score_buckets: vec![-0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            confidence_buckets: vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
            extracted: Vec::new(),
        }
    }
}
