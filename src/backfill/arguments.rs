//! What a backfill was asked for, and the record of it in the output, which a resumed run must match.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::step::Step;
use crate::clock::Timestamp;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct BackfillOptions {
    /// Where the history begins.
    pub from: Timestamp,
    /// Where it ends; `None`: where the live counters begin.
    pub to: Option<Timestamp>,
    /// The directory of the files.
    pub output: PathBuf,
    /// The Prometheus that the history is for, to look what it would not take.
    pub prometheus: Option<String>,
    /// Labels of every sample, besides those of the page.
    pub labels: BTreeMap<String, String>,
    /// Distance of the samples.
    pub step: Step,
    /// Share of the organization's rate limit.
    pub budget_share: f64,
    /// Goes on with a run that was broken off.
    pub resume: bool,
    /// For whom.
    pub format: FileFormat,
}

/// What the files are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// `promtool tsdb create-blocks-from openmetrics`
    OpenMetrics,
    /// `/api/v1/import` of VictoriaMetrics
    VictoriaMetrics,
}

impl FileFormat {
    /// As `--format` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenMetrics => "openmetrics",
            Self::VictoriaMetrics => "victoriametrics",
        }
    }

    /// How the names of the files end.
    pub(super) const fn ending(self) -> &'static str {
        match self {
            Self::OpenMetrics => "om",
            Self::VictoriaMetrics => "jsonl",
        }
    }
}

/// What is kept of the arguments: all that the files depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Arguments {
    pub from: i64,
    pub to: Option<i64>,
    pub labels: BTreeMap<String, String>,
    pub step_seconds: i64,
    pub format: FileFormat,
    /// A digest of what the configuration says of metrics.
    pub configuration: String,
    /// All files are there.
    #[serde(default)]
    pub is_done: bool,
}

impl Arguments {
    /// Of these options; `configuration` is what the configuration says of metrics, as text.
    pub(super) fn of(options: &BackfillOptions, configuration: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, configuration.as_bytes());
        let hex = digest.as_ref().iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self {
            from: options.from.as_millis(),
            to: options.to.map(Timestamp::as_millis),
            labels: options.labels.clone(),
            step_seconds: options.step.seconds(),
            format: options.format,
            configuration: hex,
            is_done: false,
        }
    }

    /// The first argument in which a run differs from this one, as it is called.
    pub(super) fn differs_from(&self, other: &Self) -> Option<&'static str> {
        [
            ("--from", self.from != other.from),
            ("--to", self.to != other.to),
            ("--label", self.labels != other.labels),
            ("--step", self.step_seconds != other.step_seconds),
            ("--format", self.format != other.format),
            ("the configuration of the metrics", self.configuration != other.configuration),
        ]
        .into_iter()
        .find_map(|(name, differs)| differs.then_some(name))
    }
}
