//! What a backfill has come to, for a person and for programs. Nothing in it depends on how often the run was broken off.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Of this form.
    pub version: u32,
    /// The first sample.
    pub from: String,
    /// The last sample.
    pub to: String,
    /// Distance of the samples.
    pub step_seconds: i64,
    /// What the files are for.
    pub format: &'static str,
    /// Labels of every sample besides those of the page.
    pub labels: BTreeMap<String, String>,
    /// Where the live counters begin, if the history reaches there.
    pub junction: Option<Junction>,
    /// A Prometheus was asked, and has nothing in memory that is as old as this.
    pub head_checked: bool,
    /// Sessions whose outcome is counted.
    pub sessions: u64,
    /// Agents of these.
    pub agents: u64,
    /// Series, as Prometheus counts them.
    pub series: u64,
    /// Samples in all files.
    pub samples: u64,
    /// Sessions that are in the live counters, and were left to these.
    pub live: u64,
    /// What could not be counted, by reason.
    pub missing: BTreeMap<String, u64>,
    /// Values that were folded into `other`, by label.
    pub folded: BTreeMap<String, u64>,
    /// The files.
    pub days: Vec<DaySummary>,
}

/// Where the live counters begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Junction {
    /// Every series falls to 0 there.
    pub look_back_begin: String,
    /// The live counters begin there.
    pub first_start: String,
    /// The starting values are known, and the history rises to them.
    pub starting_values: bool,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DaySummary {
    /// The day, UTC.
    pub date: String,
    /// Its file.
    pub file: String,
    /// Sessions whose outcome is counted in it.
    pub sessions: u64,
    /// Agents of these.
    pub agents: u64,
    /// Samples.
    pub samples: u64,
    /// Size of the file.
    pub bytes: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<12} {:>10} {:>8} {:>14} {:>14}", "day", "sessions", "agents", "samples", "bytes")?;
        for day in &self.days {
            let DaySummary { date, sessions, agents, samples, bytes, .. } = day;
            writeln!(f, "{date:<12} {sessions:>10} {agents:>8} {samples:>14} {bytes:>14}")?;
        }
        let bytes: u64 = self.days.iter().map(|day| day.bytes).sum();
        writeln!(f, "{:<12} {:>10} {:>8} {:>14} {bytes:>14}", "all", self.sessions, self.agents, self.samples)?;
        writeln!(
            f,
            "\nfrom {} to {}, a sample every {} s, {} series",
            self.from, self.to, self.step_seconds, self.series
        )?;
        match &self.junction {
            Some(Junction { look_back_begin, first_start, starting_values: true }) => writeln!(
                f,
                "the live counters begin at {first_start}; their starting values, from {look_back_begin} on, are in the history ({} sessions are theirs)",
                self.live
            )?,
            Some(Junction { look_back_begin, first_start, .. }) => writeln!(
                f,
                "the live counters begin at {first_start}. Their starting values were not kept by the version that began the state: the history ends at {look_back_begin}, and what came in between appears at the first start ({} sessions)",
                self.live
            )?,
            None => writeln!(f, "the history ends at 0 by itself; the live counters may begin at any later time")?,
        }
        for (reason, sessions) in &self.missing {
            writeln!(f, "missing: {sessions} ({reason})")?;
        }
        for (label, times) in &self.folded {
            writeln!(f, "folded into \"other\": {times} values of {label}")?;
        }
        Ok(())
    }
}
