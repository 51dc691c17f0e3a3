//! From the sessions of agents to what a Prometheus has stored of them, as blocks.
//!
//! Series and labels are those of the exporter. Handle times and intents are sampled every three minutes, the interval of their rules.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use super::activity::{Activity, BOUNDS, SLOT};
use super::prometheus::Import;

/// Labels of the scrape.
const TARGET: &str = r#"job="agntix",instance="agntix-exporter:9899""#;
const CHANNEL: &str = r#"session_type="voice",platform="phone",direction="inbound""#;
/// Samples are made into blocks in parts of so many minutes.
const PART: usize = 162 * 60;

/// What a Prometheus knows of the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// All of them, scraped each minute.
    Lived,
    /// What was scraped from this minute on.
    Since(usize),
    /// The same, and before it what `agntix-exporter backfill` has made.
    Imported(usize),
}

/// The look-back of the exporter's first start.
const LOOK_BACK: usize = 60;
/// Minutes between two samples of the import.
const IMPORT_STEP: usize = 2;

impl Known {
    /// The minutes whose sessions a sample at this minute counts for the first time.
    fn news(self, minute: usize) -> std::ops::Range<usize> {
        match self {
            Self::Imported(begin) if minute < begin - LOOK_BACK => {
                let of = |minute: usize| minute - minute % IMPORT_STEP;
                if minute.is_multiple_of(IMPORT_STEP) {
                    of(minute).saturating_sub(IMPORT_STEP)..minute
                } else {
                    minute..minute
                }
            }
            // The history falls to 0 there, and what it counts from then on is in the live counters.
            Self::Imported(begin) if minute == begin - LOOK_BACK => minute..minute,
            _ => minute.saturating_sub(1)..minute,
        }
    }

    /// Whether there is a sample of sessions at this minute, and whether the exporter was scraped then.
    fn has(self, minute: usize) -> (bool, bool) {
        match self {
            Self::Lived => (true, true),
            Self::Since(begin) => (minute >= begin, minute >= begin),
            Self::Imported(begin) => (true, minute >= begin),
        }
    }

    /// Whether counters begin at 0 here.
    fn begins(self, minute: usize) -> bool {
        matches!(self, Self::Imported(begin) | Self::Since(begin) if minute == begin - LOOK_BACK)
    }
}

/// An agent of an organization.
#[derive(Debug)]
pub struct Exposed {
    pub organization: String,
    pub agent: String,
    pub activity: Activity,
}

/// The counters of an agent as they stand.
struct Counters<'a> {
    exposed: &'a Exposed,
    labels: String,
    started: u64,
    /// Resolved and unresolved, of each first those that are not negative.
    outcomes: [[u64; 2]; 2],
    durations: [u64; BOUNDS.len() + 1],
    intents: Vec<[u64; 2]>,
}

impl<'a> Counters<'a> {
    fn new(exposed: &'a Exposed) -> Self {
        let labels = format!(r#"{TARGET},organization="{}",agent_id="{}""#, exposed.organization, exposed.agent);
        let intents = vec![[0; 2]; exposed.activity.intents.len()];
        Self { exposed, labels, started: 0, outcomes: [[0; 2]; 2], durations: [0; BOUNDS.len() + 1], intents }
    }

    /// Begins at 0.
    fn begin(&mut self) {
        *self = Self::new(self.exposed);
    }

    /// Counts the sessions of a minute.
    fn count(&mut self, minute: usize) {
        let activity = &self.exposed.activity;
        let of = |counts: &[u32]| u64::from(counts[minute]);
        let (all, bad) = (of(&activity.started), of(&activity.unresolved));
        let (negative, both) = (of(&activity.negative), of(&activity.both));
        self.started += all;
        self.outcomes[0][0] += all + both - bad - negative;
        self.outcomes[0][1] += negative - both;
        self.outcomes[1][0] += bad - both;
        self.outcomes[1][1] += both;
        if (minute + 1).is_multiple_of(SLOT) {
            for (sum, count) in self.durations.iter_mut().zip(&activity.durations[minute / SLOT]) {
                *sum += u64::from(*count);
            }
            for ([all, bad], counts) in self.intents.iter_mut().zip(&activity.intents) {
                let [more, worse] = counts[minute / SLOT];
                (*all, *bad) = (*all + u64::from(more), *bad + u64::from(worse));
            }
        }
    }

    /// Writes what a scrape at `at` (Unix seconds) stores.
    fn write(&self, at: u64, details: bool, out: &mut impl std::io::Write) {
        let labels = &self.labels;
        writeln!(out, "agntix_sessions_started_total{{{labels},{CHANNEL}}} {} {at}", self.started).unwrap();
        for (resolution, counts) in ["resolved", "unresolved"].iter().zip(self.outcomes) {
            for (sentiment, count) in ["neutral", "negative"].iter().zip(counts) {
                let outcome = format!(r#"{CHANNEL},resolution="{resolution}",sentiment="{sentiment}""#);
                writeln!(out, "agntix_session_outcomes_total{{{labels},{outcome}}} {count} {at}").unwrap();
            }
        }
        if !details {
            return;
        }
        let mut sum = 0;
        let bounds = BOUNDS.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
        for (count, bound) in self.durations.iter().zip(bounds) {
            sum += count;
            writeln!(out, r#"agntix_session_duration_seconds_bucket{{{labels},{CHANNEL},le="{bound}"}} {sum} {at}"#)
                .unwrap();
        }
        for (number, [all, bad]) in self.intents.iter().enumerate() {
            for (resolution, count) in [("resolved", all - bad), ("unresolved", *bad)] {
                let intent = format!(r#"intent="intent-{number}",resolution="{resolution}",sentiment="neutral""#);
                writeln!(out, "agntix_session_intents_total{{{labels},{intent}}} {count} {at}").unwrap();
            }
        }
    }
}

/// Makes blocks in `data` of what was scraped, or imported, from `start` (Unix seconds) on: once a minute, after the sessions of it. What an import has at a
/// sample is there until the next one.
pub fn make_blocks(known: Known, agents: &[Exposed], start: u64, directory: &Path, data: &Path) {
    let minutes = agents.iter().map(|agent| agent.activity.started.len()).max().unwrap_or(0);
    let mut organizations: Vec<&str> = agents.iter().map(|agent| agent.organization.as_str()).collect();
    organizations.sort_unstable();
    organizations.dedup();
    let mut counters: Vec<Counters<'_>> = agents.iter().map(Counters::new).collect();
    let mut under_way: Option<Import> = None;
    for first in (0..=minutes).step_by(PART) {
        let file = directory.join(format!("{first}.om"));
        let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(&file).unwrap());
        for minute in first..(first + PART).min(minutes + 1) {
            let at = start + u64::try_from(minute * 60).unwrap();
            let (has_sessions, has_exporter) = known.has(minute);
            for counters in &mut counters {
                if known.begins(minute) {
                    counters.begin();
                } else {
                    known.news(minute).for_each(|minute| counters.count(minute));
                }
                if has_sessions {
                    counters.write(at, minute.is_multiple_of(SLOT), &mut out);
                }
            }
            for organization in organizations.iter().filter(|_| has_exporter) {
                let labels = format!(r#"{TARGET},organization="{organization}""#);
                writeln!(out, "agntix_up{{{labels}}} 1 {at}\nagntix_exporter_catching_up{{{labels}}} 0 {at}").unwrap();
            }
        }
        writeln!(out, "# EOF").unwrap();
        out.flush().unwrap();
        drop(out);
        if let Some(import) = under_way.replace(Import::begin(file, data)) {
            import.end();
        }
    }
    if let Some(import) = under_way {
        import.end();
    }
}
