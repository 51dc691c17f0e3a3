//! How many series there may be in all (`metrics.max_series`, promise P8). Pure.
//!
//! What is counted is what Prometheus stores: a line for each bucket. Each agent and each channel is charged once for all that
//! it can ever bring with values that are known beforehand, `other` among them, so that a session can always be counted, and a
//! channel's zero-initialized series fit together or not at all. What has a value of its own (an intent, a language) is
//! charged when it comes. The charge follows from the series that are there, so that it is the same after a restart.

use std::sync::Arc;

use crate::catalogue::{Family, SeriesKey, buckets};
use crate::config::{ExtractedKind, MetricsConfig};
use crate::observation::{OTHER, RESOLUTIONS, ROLES, SENTIMENTS, STATES};
use exposition::{BucketSchemaId, BucketSchemas, Kind, LabelSet};

/// How many sessions of a customer one more can make repeat contacts, itself included.
const CONTACTS_HELD: u64 = 17;

/// What series are charged.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct Charges {
    bucket_schemas: Arc<BucketSchemas>,
    channel: u64,
    agent: u64,
    change: u64,
    /// The series of messages are charged with their channel.
    reads_messages: bool,
}

impl Charges {
    /// The charges under a configuration.
    pub(in crate::ledger) fn new(
        bucket_schemas: &Arc<BucketSchemas>,
        config: &MetricsConfig,
        reads_messages: bool,
    ) -> Self {
        let windows = config.repeat_contacts.as_ref().map_or(0, |contacts| contacts.windows.len() as u64);
        let (extracted, variables) = (&config.extracted, config.variables.len() as u64);
        let lines = |family, schema| lines(family, schema, bucket_schemas);
        let (resolutions, sentiments) = (RESOLUTIONS.len() as u64 + 1, SENTIMENTS.len() as u64 + 1);
        let outcomes = resolutions * sentiments;
        // Roles, turns, both response times, unanswered and silent.
        let messages = (ROLES.len() as u64 + 1)
            + lines(Family::Turns, buckets::TURNS)
            + lines(Family::FirstResponse, buckets::RESPONSE)
            + lines(Family::Response, buckets::RESPONSE)
            + 2;
        let confidence = lines(Family::ResolutionConfidence, buckets::CONFIDENCE);
        // Started, ended, outcomes, handle times, both histograms, both sums of scores, and the gauge of open sessions.
        let channel = 1
            + (STATES.len() as u64 + 1)
            + outcomes
            + resolutions
            + lines(Family::Duration, buckets::DURATION)
            + lines(Family::SentimentScore, buckets::SENTIMENT_SCORE)
            + 2
            + 1
            + if reads_messages { messages } else { 0 };
        let fields = extracted.iter().enumerate().map(|(index, field)| match field.kind {
            ExtractedKind::Number => lines(Family::ExtractedValue, buckets::extracted(index)),
            ExtractedKind::Enum | ExtractedKind::Boolean => 1,
        });
        // Time-outs, reclassifications, intents and languages that are folded, confidences, fields, variables, and two gauges.
        let agent = 1
            + 3
            + 2 * outcomes
            + resolutions * confidence
            + lines(Family::IntentConfidence, buckets::CONFIDENCE)
            + fields.sum::<u64>()
            + windows
            + variables * resolutions
            + 2;
        // All that one session can bring: under its own channel, or under `other` if it turns out that nothing fits.
        let change =
            2 * (channel + agent) + confidence + 6 + extracted.len() as u64 + variables + CONTACTS_HELD * windows;
        Self { bucket_schemas: Arc::clone(bucket_schemas), channel, agent, change, reads_messages }
    }

    /// What a series adds to the charge.
    pub(in crate::ledger) fn of(&self, family: Family, labels: &str, schema: BucketSchemaId) -> u64 {
        let is_listed = |name: &str, known: &[&str]| {
            value(labels, name).is_none_or(|value| value == OTHER || known.contains(&value))
        };
        let has_listed_outcome = || is_listed("resolution", &RESOLUTIONS) && is_listed("sentiment", &SENTIMENTS);
        let is_charged_before = match family {
            Family::SessionsStarted => return self.channel,
            Family::AnalysisTimeouts => return self.agent,
            Family::SessionsEnded => is_listed("state", &STATES),
            Family::Outcomes | Family::ResolutionConfidence | Family::OutcomeDuration => has_listed_outcome(),
            Family::Intents => is_listed("intent", &[]) && has_listed_outcome(),
            Family::Languages => is_listed("language", &[]) && has_listed_outcome(),
            Family::Variables => is_listed("value", &[]) && has_listed_outcome(),
            Family::ExtractedValues => is_listed("value", &[]),
            Family::RepeatContacts => is_listed("agent_id", &[]),
            // Of an earlier configuration, if they are not read any more.
            Family::Messages => self.reads_messages && is_listed("role", &ROLES),
            Family::Turns | Family::FirstResponse | Family::Response | Family::Unanswered | Family::Silent => {
                self.reads_messages
            }
            Family::Duration
            | Family::SentimentScore
            | Family::SentimentPositive
            | Family::SentimentNegative
            | Family::IntentConfidence
            | Family::ExtractedValue
            | Family::Reclassifications => true,
        };
        if is_charged_before { 0 } else { lines(family, schema, &self.bucket_schemas) }
    }

    /// What is kept for the sessions of agents that do not fit.
    const fn reserve(&self) -> u64 {
        self.channel + self.agent
    }
}

/// Samples that Prometheus stores of a series.
pub(in crate::ledger) fn lines(family: Family, schema: BucketSchemaId, bucket_schemas: &BucketSchemas) -> u64 {
    match family.descriptor().kind {
        Kind::Counter | Kind::Gauge => 1,
        // The buckets, +Inf, the count, and perhaps the sum.
        Kind::Histogram { sum } => bucket_schemas.get(schema).map_or(0, |l| l.bounds.len()) as u64 + 2 + u64::from(sum),
    }
}

/// The value of a label, escaped as it stands.
fn value<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    let mut rest = labels;
    loop {
        let (found, after) = rest.split_once("=\"")?;
        let mut escaped = false;
        let end = after.bytes().position(|byte| {
            let is_end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            is_end
        })?;
        let (text, after) = after.split_at_checked(end)?;
        if found == name {
            return Some(text);
        }
        rest = after.strip_prefix("\",")?;
    }
}

/// What there is room for, as a transaction goes on.
pub(super) struct Room<'r> {
    charges: &'r Charges,
    max: u64,
    /// The charge of the series that were there when the transaction began.
    charged: u64,
    /// The charge of those that it has brought since.
    new: &'r mut u64,
    exists: &'r mut dyn FnMut(&SeriesKey) -> bool,
}

impl<'r> Room<'r> {
    /// The room of a transaction; `None` where there is so much of it that nothing need be looked up.
    pub(super) fn of(
        costs: &'r Charges,
        (max, charged): (u64, u64),
        batch: usize,
        new: &'r mut u64,
        exists: &'r mut dyn FnMut(&SeriesKey) -> bool,
    ) -> Option<Self> {
        let most = costs.change.saturating_mul(batch as u64);
        (charged.saturating_add(most) > max).then_some(Self { charges: costs, max, charged, new, exists })
    }

    fn has(&mut self, family: Family, values: &[&str]) -> bool {
        let labels = LabelSet::new(family.descriptor().labels, values.iter().copied());
        (self.exists)(&SeriesKey { family, labels })
    }

    fn take(&mut self, charge: u64, reserve: u64) -> bool {
        let after = self.charged.saturating_add(*self.new).saturating_add(charge);
        let fits = after.saturating_add(reserve) <= self.max;
        if fits {
            *self.new += charge;
        }
        fits
    }

    fn reserve(&mut self) -> u64 {
        if self.has(Family::SessionsStarted, &[OTHER; 4]) { 0 } else { self.charges.reserve() }
    }

    /// Whether the agent has series.
    pub(super) fn knows_agent(&mut self, agent: &str) -> bool {
        self.has(Family::AnalysisTimeouts, &[agent])
    }

    /// Whether the zero-initialized series of a channel are there, or fit.
    pub(super) fn take_channel(&mut self, channel: &[&str; 4]) -> bool {
        if self.has(Family::SessionsStarted, channel) {
            return true;
        }
        if *channel == [OTHER; 4] {
            // Kept free from the beginning.
            *self.new += self.charges.reserve();
            return true;
        }
        let [agent, ..] = channel;
        let agent = if self.knows_agent(agent) { 0 } else { self.charges.agent };
        let reserve = self.reserve();
        self.take(self.charges.channel + agent, reserve)
    }

    /// Whether a series is there, or fits.
    pub(super) fn take_series(&mut self, key: &SeriesKey, schema: BucketSchemaId) -> bool {
        let charge = self.charges.of(key.family, key.labels.as_str(), schema);
        if charge == 0 || (self.exists)(key) {
            return true;
        }
        let reserve = self.reserve();
        self.take(charge, reserve)
    }

    /// Whether a value that has no series yet may have any.
    pub(super) fn has_any(&mut self) -> bool {
        let reserve = self.reserve();
        self.charged.saturating_add(*self.new).saturating_add(reserve) < self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_between_their_quotes() {
        let labels = r#"agent_id="a \"b\",intent=\"x\"\\",intent="y",resolution="resolved""#;
        assert_eq!(value(labels, "intent"), Some("y"));
        assert_eq!(value(labels, "resolution"), Some("resolved"));
        assert_eq!(value(labels, "agent_id"), Some(r#"a \"b\",intent=\"x\"\\"#));
        assert_eq!(value(labels, "language"), None);
        assert_eq!(value("", "language"), None);
    }

    fn charges() -> Charges {
        Charges::new(
            &Arc::new(buckets::schemas(&crate::config::MetricsConfig::default())),
            &MetricsConfig::default(),
            false,
        )
    }

    #[test]
    fn only_series_with_values_not_known_beforehand_are_charged_by_themselves() {
        let charges = charges();
        let of = |family, labels| charges.of(family, labels, buckets::CONFIDENCE);
        assert_eq!(of(Family::Intents, r#"agent_id="a",intent="x",resolution="none",sentiment="none""#), 1);
        assert_eq!(of(Family::Intents, r#"agent_id="a",intent="other",resolution="none",sentiment="other""#), 0);
        assert_eq!(of(Family::Intents, r#"agent_id="a",intent="other",resolution="new",sentiment="none""#), 1);
        assert_eq!(of(Family::ResolutionConfidence, r#"agent_id="a",resolution="new""#), 13);
        assert_eq!(of(Family::ResolutionConfidence, r#"agent_id="a",resolution="resolved""#), 0);
    }

    #[test]
    fn room_is_checked_only_near_the_bound_and_keeps_a_reserve_for_other() {
        let charges = charges();
        let (mut new, mut none) = (0, |_: &SeriesKey| false);
        assert!(Room::of(&charges, (250_000, 0), 64, &mut new, &mut none).is_none());
        let max = 2 * charges.reserve();
        let mut room = Room::of(&charges, (max, 0), 1, &mut new, &mut none).unwrap();
        assert!(room.take_channel(&["a", "voice", "phone", "inbound"]));
        // Another channel of the agent would fit if nothing were kept for the rest.
        assert!(!room.take_channel(&["a", "voice", "phone", "outbound"]) && !room.has_any());
        assert!(room.take_channel(&[OTHER; 4]));
        assert_eq!(new, max);
    }
}
