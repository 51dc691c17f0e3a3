//! From simulated sessions to the series of the exporter, as a Prometheus that scrapes each minute would have stored them.
//!
//! What a session adds is asked of the exporter's own code. Left out are the network, the budget and the store: a session's
//! start and end are counted 30 s after they happened, as a listing finds them, and its outcome 10 s after its analysis.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use agntix_exporter::catalogue::{Family, SeriesKey, buckets};
use agntix_exporter::config::MetricsConfig;
use agntix_exporter::observation::{Addition, Admit, Named, Step, additions, zero_initialized};
use agntix_exporter::session::{Channel, Ended, Facts, Outcome};
use exposition::{BucketSchemaId, BucketSchemas, Kind};
use simulator::{Session, Simulator, SimulatorConfig, Timestamp, TruthFilter, TruthMetrics};

/// Samples are this far apart.
pub const SCRAPE: u64 = 60;
/// Labels that the scrape adds.
const TARGET: &str = r#"job="agntix",instance="agntix-exporter:9899""#;
const LISTING_LAG: Duration = Duration::from_secs(30);
const POLL_LAG: Duration = Duration::from_secs(10);
const ANALYSIS_DEADLINE: Duration = Duration::from_secs(15 * 60);
const DAY: Duration = Duration::from_secs(86_400);

/// Everything has its own series; an organization this small reaches no bound.
struct AdmitAll;

impl Admit for AdmitAll {
    fn admit(&mut self, _label: &str, _agent: &str, _value: &str) -> bool {
        true
    }
}

struct Series {
    key: SeriesKey,
    counts: Box<[u64]>,
    /// The beginning of each line, and which counts make its value.
    lines: Vec<(String, Shown)>,
    /// Not yet shown at 0, as a new series is before it rises.
    not_yet_scraped: bool,
}

enum Shown {
    /// The sum of the counts up to this one.
    Count(usize),
    /// The last count, in units of so many to 1.
    Sum(f64),
}

/// One agent: its sessions, and its series as they stand.
pub struct Exporter {
    simulator: std::sync::Arc<Simulator>,
    schemas: BucketSchemas,
    series: Vec<Series>,
    index: HashMap<SeriesKey, usize>,
    /// What is to be counted, latest first.
    pending: Vec<(Timestamp, Addition)>,
    made_until: Timestamp,
    open: i64,
    open_line: String,
    agent_line: String,
}

impl Exporter {
    pub fn new(config: SimulatorConfig) -> Self {
        let profile = config.agents[0].clone();
        let start = config.start;
        let channel = &profile.channels[0].0;
        let direction = channel.direction.as_deref().unwrap_or("unknown").to_lowercase();
        let open_line = format!(
            r#"agntix_sessions_open{{agent_id="{}",session_type="{}",platform="{}",direction="{direction}",{TARGET}}} "#,
            profile.id,
            channel.session_type.to_lowercase(),
            channel.platform.to_lowercase(),
        );
        let agent_line = format!(
            r#"agntix_agent_info{{agent_id="{}",agent_name="{}",language="en",active="true",voice_enabled="true",{TARGET}}} 1"#,
            profile.id, profile.name
        );
        Self {
            simulator: Simulator::new(config),
            schemas: buckets::schemas(&MetricsConfig::default()),
            series: Vec::new(),
            index: HashMap::new(),
            pending: Vec::new(),
            made_until: start,
            open: 0,
            open_line,
            agent_line,
        }
    }

    /// Counts what is known at `at`.
    fn advance(&mut self, at: Timestamp) {
        while self.made_until <= at {
            self.make_day();
        }
        while self.pending.last().is_some_and(|(due, _)| *due <= at) {
            let (_, addition) = self.pending.pop().unwrap();
            self.add(&addition);
        }
    }

    fn make_day(&mut self) {
        let next = self.made_until.plus(DAY);
        let sessions = self.simulator.sessions(self.made_until, next.minus(Duration::from_millis(1)));
        let mut made = Vec::with_capacity(sessions.len() * 12);
        for session in &sessions {
            let facts = facts(session);
            if made.is_empty() && self.series.is_empty() {
                let at = session.created.plus(LISTING_LAG);
                made.extend(zero_initialized(&facts.channel, clock_time(at)).into_iter().map(|series| (at, series)));
            }
            let analysed = session.analysis_at.unwrap_or(session.ended.plus(ANALYSIS_DEADLINE));
            let steps = [
                (Step::Started, session.created.plus(LISTING_LAG)),
                (Step::Ended, session.ended.plus(LISTING_LAG)),
                (Step::Outcome, analysed.plus(POLL_LAG).max(session.ended.plus(LISTING_LAG))),
            ];
            for (step, at) in steps {
                let added = additions(&facts, step, &facts.channel, &self.schemas, Named::default(), &mut AdmitAll);
                made.extend(added.into_iter().map(|addition| (at, addition)));
            }
        }
        self.pending.extend(made);
        self.pending.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        self.made_until = next;
    }

    fn add(&mut self, addition: &Addition) {
        match addition.key.family {
            Family::SessionsStarted if addition.amount > 0 => self.open += 1,
            Family::SessionsEnded if addition.amount > 0 => self.open -= 1,
            _ => {}
        }
        let place = *self.index.entry(addition.key.clone()).or_insert_with(|| {
            let width = self.schemas.width(addition.schema);
            self.series.push(Series {
                key: addition.key.clone(),
                counts: vec![0; width].into(),
                lines: lines(&addition.key, addition.schema, &self.schemas),
                not_yet_scraped: true,
            });
            self.series.len() - 1
        });
        let counts = &mut self.series[place].counts;
        counts[usize::from(addition.bucket)] += addition.amount;
        if counts.len() > 1 {
            *counts.last_mut().unwrap() += addition.sum;
        }
    }

    /// Writes what a scrape at `at` (Unix seconds) stores of `families`.
    fn scrape(&mut self, at: u64, families: &HashSet<Family>, out: &mut impl std::io::Write) {
        self.advance(super::organization::timestamp(at));
        for series in self.series.iter_mut().filter(|series| families.contains(&series.key.family)) {
            for (line, shown) in &series.lines {
                match shown {
                    _ if series.not_yet_scraped => writeln!(out, "{line}0 {at}").unwrap(),
                    Shown::Count(last) => {
                        writeln!(out, "{line}{} {at}", series.counts[..=*last].iter().sum::<u64>()).unwrap();
                    }
                    Shown::Sum(scale) => {
                        let sum = *series.counts.last().unwrap();
                        #[expect(clippy::cast_precision_loss, reason = "far below 2^53 units")]
                        writeln!(out, "{line}{} {at}", sum as f64 / scale).unwrap();
                    }
                }
            }
            series.not_yet_scraped = false;
        }
        writeln!(out, "{}{} {at}\n{} {at}", self.open_line, self.open, self.agent_line).unwrap();
    }

    /// Stops unless everything counted is what the simulator says was to be counted.
    pub fn check(mut self) {
        let end = self.simulator.config().until.unwrap().plus(DAY);
        self.advance(end);
        let truth = self.simulator.truth(&TruthFilter::default(), &TruthMetrics::default(), end);
        let mut counted: BTreeMap<String, f64> = BTreeMap::new();
        for series in self.series.iter().filter(|series| series.counts.len() == 1 && series.counts[0] > 0) {
            let descriptor = series.key.family.descriptor();
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53 units")]
            let value = series.counts[0] as f64 / series.key.family.scale() as f64;
            counted.insert(format!("{}{{{}}}", descriptor.name, series.key.labels.as_str()), value);
        }
        assert!(!counted.is_empty());
        for (name, value) in &counted {
            assert_eq!(truth.get(name), Some(value), "{name}");
        }
    }
}

fn lines(key: &SeriesKey, schema: BucketSchemaId, schemas: &BucketSchemas) -> Vec<(String, Shown)> {
    let (name, labels) = (key.family.descriptor().name, key.labels.as_str());
    if schema == BucketSchemaId::NONE {
        return vec![(format!("{name}{{{labels},{TARGET}}} "), Shown::Count(0))];
    }
    let bounds = &schemas.get(schema).unwrap().bounds;
    let bucket = |le: String, last| (format!(r#"{name}_bucket{{{labels},{TARGET},le="{le}"}} "#), Shown::Count(last));
    let mut lines: Vec<_> = bounds.iter().enumerate().map(|(n, bound)| bucket(format!("{bound:?}"), n)).collect();
    lines.push(bucket("+Inf".into(), bounds.len()));
    lines.push((format!("{name}_count{{{labels},{TARGET}}} "), Shown::Count(bounds.len())));
    if key.family.descriptor().kind == (Kind::Histogram { sum: true }) {
        #[expect(clippy::cast_precision_loss, reason = "at most a million")]
        lines.push((format!("{name}_sum{{{labels},{TARGET}}} "), Shown::Sum(key.family.scale() as f64)));
    }
    lines
}

/// The simulator has its own points in time.
fn clock_time(time: Timestamp) -> agntix_exporter::clock::Timestamp {
    agntix_exporter::clock::Timestamp::from_millis(time.as_millis())
}

/// The session as the exporter reads it in the end.
fn facts(session: &Session<'_>) -> Facts {
    let lower = |word: &str| word.to_lowercase();
    let micros = |percent: i32| percent * 10_000;
    let analysis = &session.analysis;
    let given_up = session.analysis_at.is_none_or(|at| at > session.ended.plus(ANALYSIS_DEADLINE));
    let outcome = if given_up {
        Outcome { timed_out: true, ..Outcome::default() }
    } else {
        Outcome {
            resolution: analysis.resolution().map(|(word, _)| lower(word)),
            resolution_confidence: analysis.resolution().map(|(_, percent)| percent * 10_000),
            sentiment: analysis.sentiment().map(|(word, _)| lower(word)),
            sentiment_score: analysis.sentiment().map(|(_, percent)| micros(percent)),
            language: analysis.language().filter(|code| *code != "N/A").map(lower),
            intent: analysis.intent().map(|(intent, _)| intent.to_owned()),
            intent_confidence: analysis.intent().map(|(_, percent)| percent * 10_000),
            ..Outcome::default()
        }
    };
    Facts {
        id: session.id.as_str().into(),
        created: clock_time(session.created),
        channel: Channel {
            agent_id: session.agent.id.clone(),
            session_type: lower(&session.channel.session_type),
            platform: lower(&session.channel.platform),
            direction: session.channel.direction.as_deref().map_or("unknown".into(), lower),
        },
        state: if session.expired { "expired" } else { "closed" }.into(),
        last_activity: None,
        updated: None,
        ended: Some(Ended {
            at: clock_time(session.ended),
            duration_ms: Some(u64::try_from(session.ended.since(session.created).as_millis()).unwrap()),
        }),
        outcome: Some(outcome),
        contact: None,
        parts: agntix_exporter::session::Parts::counted(false),
        malformed: Vec::new(),
    }
}

/// Writes what was scraped from `from` until before `to`, in OpenMetrics with timestamps.
pub fn write(exporters: &mut [Exporter], families: &HashSet<Family>, from: u64, to: u64, path: &Path) {
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    let mut at = from.next_multiple_of(SCRAPE);
    while at < to {
        for exporter in exporters.iter_mut() {
            exporter.scrape(at, families, &mut out);
        }
        for (name, labels, value) in [
            ("up", "", 1),
            ("agntix_up", "", 1),
            ("agntix_exporter_catching_up", "", 0),
            ("agntix_exporter_sessions_tracked", r#"stage="awaiting_analysis","#, 0),
            ("agntix_exporter_source_last_success_timestamp_seconds", r#"source="listing","#, at - at % 30),
            ("agntix_exporter_config_last_reload_successful", "", 1),
        ] {
            writeln!(out, "{name}{{{labels}{TARGET}}} {value} {at}").unwrap();
        }
        at += SCRAPE;
    }
    writeln!(out, "# EOF").unwrap();
    out.flush().unwrap();
}
