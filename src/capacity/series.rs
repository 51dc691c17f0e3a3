//! How many series Prometheus stores of an agent, and of what is stored.
//!
//! A series is what Prometheus calls one: each bucket of a histogram counts.

use exposition::{BucketSchemaId, BucketSchemas, Kind};

use crate::catalogue::{Family, GaugeFamily, buckets};
use crate::clock::Timestamp;
use crate::config::{Config, ExtractedKind, MetricsConfig};
use crate::observation::{Admit, message_additions, zero_initialized};
use crate::session::{Channel, MessageTally};

/// Series of the exporter's own metrics and of its process.
pub const OWN: u64 = 250;
/// What one agent usually has, where nothing is known: two channels, and what its operator gave it.
pub const USUAL: Shape = Shape { channels: 2, intents: 12, languages: 2 };
/// Resolutions and sentiments that an intent meets in time, without `none`.
const OUTCOMES_OF_AN_INTENT: u64 = 4 * 3;
/// Resolutions that have a confidence.
const RESOLUTIONS: u64 = 4;
/// Values of an extracted field from a short list, or of a session variable.
const ENUM_VALUES: u64 = 6;

/// Series of a session that is shown by itself: its info, duration, score, confidence and last activity.
pub const SERIES_OF_A_SESSION: u64 = 5;

/// What an agent brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Combinations of type, platform and direction.
    pub channels: u64,
    /// Intents.
    pub intents: u64,
    /// Languages.
    pub languages: u64,
}

/// Series of rows that are stored: how many there are of a family, and with which buckets.
pub fn of_rows<'r>(rows: impl IntoIterator<Item = (Family, &'r str, u64)>, metrics: &MetricsConfig) -> u64 {
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
pub fn of_agent(shape: Shape, config: &Config) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RepeatContacts;

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
}
