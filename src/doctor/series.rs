//! An estimate of how many series Prometheus will store: from the state if there is one, else from what the API shows and
//! from usual numbers.
//!
//! A series is what Prometheus calls one: each bucket of a histogram counts.

use super::Finding;
use super::finding::{grouped, many};
use super::watched::SERIES_OF_A_SESSION;
use crate::catalogue::{self, Family, GaugeFamily, buckets};
use crate::clock::Timestamp;
use crate::config::{Config, ExtractedKind, MetricsConfig};
use crate::observation::{Admit, message_additions, zero_initialized};
use crate::session::{Channel, MessageTally};
use exposition::{BucketSchemaId, BucketSchemas, Kind};

const CHECK: &str = "series";
/// A usual Prometheus stores a few million series in all, so one target with this many matters.
const MANY: u64 = 100_000;
/// Series of the exporter's own metrics and of its process.
const OWN: u64 = 250;
/// What one agent usually has, where nothing is known: two channels, and what its operator gave it.
const USUAL: Shape = Shape { channels: 2, intents: 12, languages: 2 };
/// Resolutions and sentiments that an intent meets in time, without `none`.
const OUTCOMES_OF_AN_INTENT: u64 = 4 * 3;
/// Resolutions that have a confidence.
const RESOLUTIONS: u64 = 4;
/// Values of an extracted field from a short list, or of a session variable.
const ENUM_VALUES: u64 = 6;

/// What an agent brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Combinations of type, platform and direction.
    pub channels: u64,
    /// Intents.
    pub intents: u64,
    /// Languages.
    pub languages: u64,
}

/// What there is already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Series of the session metrics.
    pub series: u64,
    /// Agents that have any.
    pub agents: u64,
    /// Who knows it: "the state", "the running exporter".
    pub by: &'static str,
}

/// What the estimate is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inputs {
    /// What there is already.
    pub known: Option<Known>,
    /// Agents of the organization, if the API has said.
    pub agents: Option<u64>,
    /// What an agent of the listed sessions brings on average, if there are any.
    pub listed: Option<Shape>,
}

/// Series of rows that are stored: how many there are of a family, and with which buckets.
pub(super) fn of_rows<'r>(rows: impl IntoIterator<Item = (Family, &'r str, u64)>, metrics: &MetricsConfig) -> u64 {
    let schemas = buckets::schemas(metrics);
    let of = |(family, schema, rows): (Family, &str, u64)| {
        rows.saturating_mul(of_one(family, schemas.by_name(schema).unwrap_or(BucketSchemaId::NONE), &schemas))
    };
    rows.into_iter().map(of).fold(0, u64::saturating_add)
}

/// Series that one set of labels makes.
fn of_one(family: Family, schema: BucketSchemaId, schemas: &BucketSchemas) -> u64 {
    match family.descriptor().kind {
        // The buckets with `+Inf`, the count, and the sum if it is shown.
        Kind::Histogram { sum } => {
            let buckets = schemas.get(schema).map_or(0, |schema| schema.bounds.len());
            buckets as u64 + 2 + u64::from(sum)
        }
        Kind::Counter | Kind::Gauge => 1,
    }
}

/// Refuses no label.
struct Everything;

impl Admit for Everything {
    fn admit(&mut self, _label: &str, _agent: &str, _value: &str) -> bool {
        true
    }
}

/// Series of one agent.
pub(super) fn of_agent(shape: Shape, config: &Config) -> u64 {
    let metrics = &config.metrics;
    let schemas = buckets::schemas(metrics);
    let text = String::new;
    let channel = Channel { agent_id: text(), session_type: text(), platform: text(), direction: text() };
    let (mut of_channel, mut of_agent) = (0, 0);
    for series in zero_initialized(&channel, Timestamp::default()) {
        let is_of_channel = series.key.family.descriptor().labels.contains(&"session_type");
        let place = if is_of_channel { &mut of_channel } else { &mut of_agent };
        *place += of_one(series.key.family, series.schema, &schemas);
    }
    for gauge in [GaugeFamily::Open, GaugeFamily::AwaitingAnalysis, GaugeFamily::AgentInfo] {
        let place = if gauge == GaugeFamily::Open { &mut of_channel } else { &mut of_agent };
        *place += 1;
    }
    of_agent += RESOLUTIONS * of_one(Family::ResolutionConfidence, buckets::CONFIDENCE, &schemas);
    of_agent += of_one(Family::IntentConfidence, buckets::CONFIDENCE, &schemas);
    let most = metrics.max_label_values as u64;
    of_agent += shape.intents.min(most) * OUTCOMES_OF_AN_INTENT + (shape.languages.min(most)) * OUTCOMES_OF_AN_INTENT;
    of_agent += metrics.variables.len() as u64 * ENUM_VALUES.min(most) * RESOLUTIONS;
    for (index, field) in metrics.extracted.iter().enumerate() {
        of_agent += match field.kind {
            ExtractedKind::Enum => ENUM_VALUES.min(most),
            ExtractedKind::Boolean => 2,
            ExtractedKind::Number => of_one(Family::ExtractedValue, buckets::extracted(index), &schemas),
        };
    }
    if config.messages.enabled {
        let tally = MessageTally { turns: 1, ..MessageTally::default() };
        let messages = message_additions(&tally, &channel, Timestamp::default(), &schemas, &mut Everything);
        of_channel += messages.iter().map(|series| of_one(series.key.family, series.schema, &schemas)).sum::<u64>();
    }
    let windows = metrics.repeat_contacts.as_ref().map_or(0, |contacts| contacts.windows.len() as u64);
    of_agent += windows * shape.channels.min(most) * RESOLUTIONS;
    of_agent + shape.channels.min(most) * of_channel
}

/// What is expected in time, and from what, as the end of a sentence.
fn expected(inputs: &Inputs, config: &Config) -> (u64, String) {
    let metrics = &config.metrics;
    let watched = (config.sessions.ids.len() + metrics.watch_recent) as u64;
    let rest = OWN + watched * SERIES_OF_A_SESSION;
    let most = metrics.max_agents as u64;
    let known = inputs.known.filter(|known| known.agents > 0);
    let agents = inputs.agents.or(known.map(|known| known.agents)).unwrap_or(1).min(most);
    if let Some(Known { series, agents: counted, by }) = known {
        // Those that have not been heard of yet will be as the others on average.
        let in_time = (series / counted).saturating_mul(agents.max(counted.min(most))).max(series);
        let text = format!("{} of {} are known to {by} now", grouped(series), many(counted, "agent"));
        return (in_time.saturating_add(rest), text);
    }
    let shape = inputs.listed.map_or(USUAL, |listed| Shape {
        channels: listed.channels.max(1),
        intents: listed.intents.max(USUAL.intents),
        languages: listed.languages.max(1),
    });
    let how = if inputs.listed.is_some() { "from the newest sessions and what is usual" } else { "as is usual" };
    let unsure = if inputs.agents.is_some() { "" } else { ", though how many there are is not known" };
    let text = format!(
        "reckoned from {} with {}, {} and {} each, {how}{unsure}",
        many(agents, "agent"),
        many(shape.channels, "channel"),
        many(shape.intents, "intent"),
        many(shape.languages, "language")
    );
    (of_agent(shape, config).saturating_mul(agents).saturating_add(rest), text)
}

/// Judges how many series there will be.
pub(super) fn judge(inputs: &Inputs, config: &Config) -> Vec<Finding> {
    let metrics = &config.metrics;
    let (series, from) = expected(inputs, config);
    let limits = format!(
        "metrics.max_agents = {} and metrics.max_label_values = {} per label and agent bound them",
        metrics.max_agents, metrics.max_label_values
    );
    let says = format!("about {} series are to be expected ({from}); {limits}", grouped(series));
    let mut findings = vec![if series > MANY {
        let advice = "take fewer buckets (metrics.duration_buckets, …), name fewer metrics.extracted, lower the bounds, or see that Prometheus has room and its sample_limit lets them pass";
        Finding::warning(CHECK, says, advice)
    } else {
        Finding::ok(CHECK, says)
    }];
    let labels = catalogue::static_labels(metrics);
    if !labels.as_str().is_empty() {
        let says = format!("every series carries {{{}}} (metrics.static_labels)", labels.as_str());
        findings.push(Finding::ok("static-labels", says));
    }
    if let Some(agents) = inputs.agents.filter(|agents| *agents > metrics.max_agents as u64) {
        let says = format!(
            "the organization has {}, but metrics.max_agents is {}: further ones are counted together as agent_id=\"other\"",
            many(agents, "agent"),
            metrics.max_agents
        );
        findings.push(Finding::warning(
            "agent-limit",
            says,
            "raise metrics.max_agents if each is to be seen by itself",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RepeatContacts;
    use crate::doctor::Status;

    #[test]
    fn histogram_counts_as_one_series_per_line() {
        let metrics = MetricsConfig { duration_buckets: vec![1.0, 2.0, 3.0], ..MetricsConfig::default() };
        let rows = [(Family::SessionsStarted, "", 2), (Family::Duration, "duration", 10)];
        // Three bounds, +Inf, count and sum.
        assert_eq!(of_rows(rows, &metrics), 2 + 10 * 6);
        // Ten bounds, +Inf and count: scores have no sum.
        assert_eq!(of_rows([(Family::SentimentScore, "sentiment_score", 1)], &metrics), 12);
    }

    #[test]
    fn all_metrics_of_an_agent_are_counted() {
        let mut config = Config::default();
        config.metrics.max_label_values = 10;
        let of = |channels, intents, languages| of_agent(Shape { channels, intents, languages }, &config);
        let none = of(0, 0, 0);
        // Timeouts, three parts, waiting, info, and five histograms of ten buckets.
        assert_eq!(none, 1 + 3 + 1 + 1 + 5 * 13);
        // Started, ended, outcomes, handle times, durations, scores, their two sums, open.
        assert_eq!(of(1, 0, 0) - none, 1 + 2 + 20 + 5 + 17 + 12 + 2 + 1);
        assert_eq!((of(0, 1, 0) - none, of(0, 0, 1) - none), (12, 12));
        assert_eq!(of(0, 99, 0), of(0, 10, 0), "the bound holds");
        let before = of(1, 0, 0);
        config.messages.enabled = true;
        let schemas = buckets::schemas(&config.metrics);
        let of_histogram = |family, schema| of_one(family, schema, &schemas);
        let histograms =
            of_histogram(Family::Turns, buckets::TURNS) + 2 * of_histogram(Family::Response, buckets::RESPONSE);
        let channel = Shape { channels: 1, intents: 0, languages: 0 };
        // Four roles, unanswered, silent.
        assert_eq!(of_agent(channel, &config) - before, 4 + 1 + 1 + histograms);
        config.metrics.repeat_contacts = Some(RepeatContacts {
            field: "phone".into(),
            windows: vec!["1h".into(), "24h".into()],
            key_file: "key".into(),
            key: None,
        });
        assert_eq!(of_agent(channel, &config) - before, 4 + 1 + 1 + histograms + 2 * RESOLUTIONS);
    }

    #[test]
    fn known_series_are_extrapolated_to_unseen_agents() {
        let known = Some(Known { series: 1_000, agents: 4, by: "the state" });
        let judged = |agents| judge(&Inputs { known, agents, listed: None }, &Config::default()).remove(0).says;
        assert!(
            judged(None)
                .starts_with("about 1,500 series are to be expected (1,000 of 4 agents are known to the state now)")
        );
        assert!(judged(Some(10)).starts_with("about 3,000 series"), "{}", judged(Some(10)));
        assert!(judged(Some(2)).starts_with("about 1,500 series"), "what is there stays");
    }

    #[test]
    fn static_labels_are_shown() {
        let mut config = Config::default();
        assert_eq!(judge(&Inputs::default(), &config).len(), 1);
        config.metrics.static_labels.insert("organization".into(), "acme".into());
        let finding = judge(&Inputs::default(), &config).remove(1);
        assert_eq!((finding.check, finding.status), ("static-labels", Status::Ok));
        assert_eq!(finding.says, "every series carries {organization=\"acme\"} (metrics.static_labels)");
    }

    #[test]
    fn too_many_series_are_a_warning_that_names_the_limits() {
        let inputs = Inputs { agents: Some(5_000), ..Inputs::default() };
        let findings = judge(&inputs, &Config::default());
        let statuses: Vec<_> = findings.iter().map(|finding| (finding.check, finding.status)).collect();
        assert_eq!(statuses, [("series", Status::Warning), ("agent-limit", Status::Warning)]);
        assert!(findings[0].says.contains("metrics.max_agents = 1000 and metrics.max_label_values = 100"));
        let few = Inputs { agents: Some(5), ..Inputs::default() };
        assert_eq!(judge(&few, &Config::default())[0].status, Status::Ok);
    }
}
