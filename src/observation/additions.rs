//! What the steps of a session add to which series: [`additions`], and which series start at 0 together with a channel:
//! [`zero_initialized`].

use crate::catalogue::{Family, SeriesKey, buckets};
use crate::clock::Timestamp;
use crate::config::ExtractedField;
use crate::session::{Channel, Extracted, Facts, MessageTally, Outcome};
use exposition::{BucketSchemaId, BucketSchemas, LabelSet};

/// A step of a session's life that is counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The session exists.
    Started,
    /// The session has ended.
    Ended,
    /// Its outcome is known, or given up.
    Outcome,
}

/// An amount for one series. An amount of nothing (see [`zero_initialized`]) brings the series into being at 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Addition {
    /// Which series.
    pub key: SeriesKey,
    /// The bounds of its buckets.
    pub schema: BucketSchemaId,
    /// The count that rises: 0 for a counter, the bucket for a histogram.
    pub bucket: u16,
    /// By how much, in units of the family.
    pub amount: u64,
    /// By how much the sum rises, in units of the family; 0 for a counter.
    pub sum: u64,
    /// When what is counted happened.
    pub at: Timestamp,
    /// The observed value, where the sample may carry an exemplar.
    pub exemplar: Option<f64>,
}

/// Decides whether a label value may have series of its own, or is folded into `other` (promise P8).
pub trait Admit {
    /// Whether `value` of `label` is admitted for `agent`. Asking admits it if there is room.
    fn admit(&mut self, label: &str, agent: &str, value: &str) -> bool;

    /// Whether [`admit`](Self::admit) would say yes. Asking admits nothing.
    fn would_admit(&mut self, label: &str, agent: &str, value: &str) -> bool {
        self.admit(label, agent, value)
    }

    /// Whether there is room for all zero-initialized series of a channel; `true` if they are there. Asking takes it.
    fn has_room_for_channel(&mut self, _channel: &Channel) -> bool {
        true
    }

    /// Whether an agent has series already.
    fn knows_agent(&mut self, _agent: &str) -> bool {
        true
    }

    /// Whether there is room for one more series; `true` if it is there. Asking takes it.
    fn has_room_for(&mut self, _key: &SeriesKey, _schema: BucketSchemaId) -> bool {
        true
    }

    /// Notes that a value of `label` was folded because there is no room.
    fn folded(&mut self, _label: &str) {}
}

/// A longer value is text, not a label, and is not admitted.
pub const MAX_VALUE: usize = 512;
/// What stands for the values that were not admitted.
pub const OTHER: &str = "other";
/// What stands for a part of the analysis that is absent.
pub const NONE: &str = "none";

/// The resolutions that are known beforehand.
pub const RESOLUTIONS: [&str; 5] = ["resolved", "partially_resolved", "unresolved", "not_applicable", NONE];
/// The sentiments that are known beforehand.
pub const SENTIMENTS: [&str; 4] = ["positive", "neutral", "negative", NONE];
/// The states of an ended session that are known beforehand.
pub const STATES: [&str; 2] = ["closed", "expired"];
/// The roles of messages that are known beforehand.
pub const ROLES: [&str; 4] = ["user", "assistant", "system", "tool"];
const PARTS: [&str; 3] = ["resolution", "sentiment", "intent"];

/// The channel under which a session is counted: its own, or with `other` where a bound is reached.
pub fn admitted_channel(channel: &Channel, admit: &mut dyn Admit) -> Channel {
    let other = || OTHER.to_owned();
    let of_agent =
        |agent: &str| Channel { agent_id: agent.into(), session_type: other(), platform: other(), direction: other() };
    let [agent, rest @ ..] = channel.values();
    // The three together are one label as far as the bound goes: their product is what makes series.
    let way = rest.join("/");
    let is_admitted = admit.would_admit("agent_id", "", agent);
    let has_values = is_admitted && admit.would_admit("channel", agent, &way);
    // Room is asked for first: a value that is admitted and has no series would keep another one out.
    if has_values && admit.has_room_for_channel(channel) {
        admit.admit("agent_id", "", agent);
        admit.admit("channel", agent, &way);
        return channel.clone();
    }
    let folded = of_agent(agent);
    if is_admitted && (!has_values || admit.knows_agent(agent)) && admit.has_room_for_channel(&folded) {
        admit.admit("agent_id", "", agent);
        admit.folded("channel");
        return folded;
    }
    let folded = of_agent(OTHER);
    admit.has_room_for_channel(&folded);
    admit.folded("agent_id");
    folded
}

/// The series that start at 0 together when a channel is first seen, so that the first event of each is a rise from 0:
/// started, ended, every outcome, the histograms and totals of the channel, and the agent's own counters.
pub fn zero_initialized(channel: &Channel, at: Timestamp) -> Vec<Addition> {
    let mut list = List { out: Vec::with_capacity(32), at };
    let ch = channel.values();
    list.zero(Family::SessionsStarted, &ch, BucketSchemaId::NONE);
    for state in STATES {
        list.zero(Family::SessionsEnded, &with(&ch, &[state]), BucketSchemaId::NONE);
    }
    for resolution in RESOLUTIONS {
        for sentiment in SENTIMENTS {
            list.zero(Family::Outcomes, &with(&ch, &[resolution, sentiment]), BucketSchemaId::NONE);
        }
    }
    for resolution in RESOLUTIONS {
        list.zero(Family::OutcomeDuration, &with(&ch, &[resolution]), BucketSchemaId::NONE);
    }
    list.zero(Family::Duration, &ch, buckets::DURATION);
    list.zero(Family::SentimentScore, &ch, buckets::SENTIMENT_SCORE);
    list.zero(Family::SentimentPositive, &ch, BucketSchemaId::NONE);
    list.zero(Family::SentimentNegative, &ch, BucketSchemaId::NONE);
    list.zero(Family::AnalysisTimeouts, &[&channel.agent_id], BucketSchemaId::NONE);
    for part in PARTS {
        list.zero(Family::Reclassifications, &[&channel.agent_id, part], BucketSchemaId::NONE);
    }
    list.out
}

/// What of a session the operator has named to be counted, in the order of the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'n> {
    /// `metrics.extracted`
    pub extracted: &'n [ExtractedField],
    /// `metrics.variables`
    pub variables: &'n [String],
}

/// What `step` of a session adds, counted under `channel` (see [`admitted_channel`]).
///
/// Empty if the facts do not hold the step yet.
pub fn additions(
    facts: &Facts,
    step: Step,
    channel: &Channel,
    schemas: &BucketSchemas,
    named: Named<'_>,
    admit: &mut dyn Admit,
) -> Vec<Addition> {
    let at = match (step, &facts.ended) {
        (Step::Started, _) => facts.created,
        (_, Some(ended)) => ended.at,
        (_, None) => return Vec::new(),
    };
    let mut list = List { out: Vec::with_capacity(12), at };
    let ch = channel.values();
    match step {
        Step::Started => list.count(Family::SessionsStarted, &ch),
        Step::Ended => {
            let state = bounded(admit, "state", &channel.agent_id, &facts.state, &STATES);
            let choices = [with(&ch, &[&state]), with(&ch, &[listed(&state, &STATES)])];
            list.count(
                Family::SessionsEnded,
                fitting(admit, Family::SessionsEnded, BucketSchemaId::NONE, "state", &choices),
            );
            if let Some(ms) = facts.ended.as_ref().and_then(|ended| ended.duration_ms) {
                list.measure(Family::Duration, &ch, buckets::DURATION, schemas, ms, true);
            }
        }
        Step::Outcome => {
            if let Some(outcome) = &facts.outcome {
                let duration_ms = facts.ended.as_ref().and_then(|ended| ended.duration_ms);
                list.outcome(outcome, duration_ms, channel, schemas, admit);
                list.named(outcome, channel, schemas, named, admit);
            }
        }
    }
    list.out
}

/// What the messages of a session add that is counted under `channel` and ended at `at`. The channel's series of messages begin
/// together.
pub fn message_additions(
    tally: &MessageTally,
    channel: &Channel,
    at: Timestamp,
    schemas: &BucketSchemas,
    admit: &mut dyn Admit,
) -> Vec<Addition> {
    let mut list = List { out: Vec::with_capacity(16), at };
    let ch = channel.values();
    for role in ROLES {
        list.zero(Family::Messages, &with(&ch, &[role]), BucketSchemaId::NONE);
    }
    for family in [Family::Unanswered, Family::Silent] {
        list.zero(family, &ch, BucketSchemaId::NONE);
    }
    for family in [Family::FirstResponse, Family::Response] {
        list.zero(family, &ch, buckets::RESPONSE);
    }
    for (role, count) in &tally.roles {
        let role = bounded(admit, "role", &channel.agent_id, role, &ROLES);
        let choices = [with(&ch, &[&role]), with(&ch, &[listed(&role, &ROLES)])];
        let labels = fitting(admit, Family::Messages, BucketSchemaId::NONE, "role", &choices);
        list.push(Family::Messages, labels, BucketSchemaId::NONE, (0, *count, 0));
    }
    list.measure(Family::Turns, &ch, buckets::TURNS, schemas, tally.turns, false);
    if let Some(ms) = tally.first_response_ms {
        list.measure(Family::FirstResponse, &ch, buckets::RESPONSE, schemas, ms, false);
    }
    for ms in &tally.responses_ms {
        list.measure(Family::Response, &ch, buckets::RESPONSE, schemas, *ms, false);
    }
    if tally.unanswered {
        list.count(Family::Unanswered, &ch);
    }
    if tally.turns == 0 {
        list.count(Family::Silent, &ch);
    }
    list.out
}

fn with<'v>(first: &[&'v str], more: &[&'v str]) -> Vec<&'v str> {
    first.iter().chain(more).copied().collect()
}

fn bounded(admit: &mut dyn Admit, label: &str, agent: &str, value: &str, known: &[&str]) -> String {
    if known.contains(&value) || admit.admit(label, agent, value) { value } else { OTHER }.to_owned()
}

/// The value, if it is one of those that are known beforehand.
fn listed<'v>(value: &'v str, known: &[&str]) -> &'v str {
    if known.contains(&value) { value } else { OTHER }
}

/// The first of `choices` for whose series there is room. The last one always has it.
fn fitting<'c, 'v>(
    admit: &mut dyn Admit,
    family: Family,
    schema: BucketSchemaId,
    label: &str,
    choices: &'c [Vec<&'v str>],
) -> &'c [&'v str] {
    let Some((last, before)) = choices.split_last() else { return &[] };
    for values in before.iter().filter(|values| *values != last) {
        let labels = LabelSet::new(family.descriptor().labels, values.iter().copied());
        if admit.has_room_for(&SeriesKey { family, labels }, schema) {
            return values;
        }
    }
    if before.iter().any(|values| values != last) {
        admit.folded(label);
    }
    last
}

/// Additions of one step, which all happened at the same time.
struct List {
    out: Vec<Addition>,
    at: Timestamp,
}

impl List {
    fn push(
        &mut self,
        family: Family,
        values: &[&str],
        schema: BucketSchemaId,
        (bucket, amount, sum): (u16, u64, u64),
    ) {
        let labels = LabelSet::new(family.descriptor().labels, values.iter().copied());
        let key = SeriesKey { family, labels };
        self.out.push(Addition { key, schema, bucket, amount, sum, at: self.at, exemplar: None });
    }

    fn zero(&mut self, family: Family, values: &[&str], schema: BucketSchemaId) {
        self.push(family, values, schema, (0, 0, 0));
    }

    fn count(&mut self, family: Family, values: &[&str]) {
        self.push(family, values, BucketSchemaId::NONE, (0, 1, 0));
    }

    fn measure(
        &mut self,
        family: Family,
        values: &[&str],
        schema: BucketSchemaId,
        schemas: &BucketSchemas,
        units: u64,
        exemplar: bool,
    ) {
        #[expect(clippy::cast_precision_loss, reason = "units are at most 1e12")]
        self.observe(family, values, schema, schemas, units as f64 / family.scale() as f64, units, exemplar);
    }

    #[expect(clippy::too_many_arguments, reason = "value and units are one fact in two precisions")]
    fn observe(
        &mut self,
        family: Family,
        values: &[&str],
        schema: BucketSchemaId,
        schemas: &BucketSchemas,
        value: f64,
        sum: u64,
        exemplar: bool,
    ) {
        let Some(bounds) = schemas.get(schema) else { return };
        self.push(family, values, schema, (bounds.bucket(value), 1, sum));
        if let (true, Some(last)) = (exemplar, self.out.last_mut()) {
            last.exemplar = Some(value);
        }
    }

    fn outcome(
        &mut self,
        outcome: &Outcome,
        duration_ms: Option<u64>,
        channel: &Channel,
        schemas: &BucketSchemas,
        admit: &mut dyn Admit,
    ) {
        let agent = channel.agent_id.as_str();
        let ch = channel.values();
        if outcome.timed_out {
            self.count(Family::AnalysisTimeouts, &[agent]);
        }
        let resolution = outcome.resolution.as_deref().unwrap_or(NONE);
        let resolution = bounded(admit, "resolution", agent, resolution, &RESOLUTIONS);
        let sentiment = outcome.sentiment.as_deref().unwrap_or(NONE);
        let sentiment = bounded(admit, "sentiment", agent, sentiment, &SENTIMENTS);
        let (known_resolution, known_sentiment) = (listed(&resolution, &RESOLUTIONS), listed(&sentiment, &SENTIMENTS));
        let choices = [with(&ch, &[&resolution, &sentiment]), with(&ch, &[known_resolution, known_sentiment])];
        self.count(Family::Outcomes, fitting(admit, Family::Outcomes, BucketSchemaId::NONE, "resolution", &choices));
        if let Some(counted) = self.out.last_mut() {
            counted.exemplar = Some(1.0);
        }
        if let Some(ms) = duration_ms {
            let family = Family::OutcomeDuration;
            let choices = [with(&ch, &[&resolution]), with(&ch, &[known_resolution])];
            let labels = fitting(admit, family, BucketSchemaId::NONE, "resolution", &choices);
            self.push(family, labels, BucketSchemaId::NONE, (0, ms, 0));
        }

        if let Some(micros) = outcome.sentiment_score {
            let value = f64::from(micros) / 1e6;
            self.observe(Family::SentimentScore, &ch, buckets::SENTIMENT_SCORE, schemas, value, 0, true);
            let total = if micros > 0 { Family::SentimentPositive } else { Family::SentimentNegative };
            if micros != 0 {
                self.push(total, &ch, BucketSchemaId::NONE, (0, micros.unsigned_abs().into(), 0));
            }
        }
        if let Some(micros) = outcome.resolution_confidence {
            let (family, schema) = (Family::ResolutionConfidence, buckets::CONFIDENCE);
            let choices = [vec![agent, &resolution], vec![agent, known_resolution]];
            let labels = fitting(admit, family, schema, "resolution", &choices);
            self.measure(family, labels, schema, schemas, micros.into(), false);
        }
        if let Some(intent) = &outcome.intent {
            let intent = bounded(admit, "intent", agent, intent, &[]);
            let choices = [
                vec![agent, &intent, &resolution, &sentiment],
                vec![agent, &intent, known_resolution, known_sentiment],
                vec![agent, OTHER, known_resolution, known_sentiment],
            ];
            self.count(Family::Intents, fitting(admit, Family::Intents, BucketSchemaId::NONE, "intent", &choices));
            if let Some(micros) = outcome.intent_confidence {
                self.measure(Family::IntentConfidence, &[agent], buckets::CONFIDENCE, schemas, micros.into(), false);
            }
        }
        if let Some(language) = &outcome.language {
            let language = bounded(admit, "language", agent, language, &[]);
            let choices = [
                vec![agent, &language, &resolution, &sentiment],
                vec![agent, &language, known_resolution, known_sentiment],
                vec![agent, OTHER, known_resolution, known_sentiment],
            ];
            self.count(
                Family::Languages,
                fitting(admit, Family::Languages, BucketSchemaId::NONE, "language", &choices),
            );
        }
    }

    /// Counts what the operator has named.
    fn named(
        &mut self,
        outcome: &Outcome,
        channel: &Channel,
        schemas: &BucketSchemas,
        named: Named<'_>,
        admit: &mut dyn Admit,
    ) {
        let agent = channel.agent_id.as_str();
        for (index, extracted) in &outcome.extracted {
            let Some(field) = named.extracted.get(*index) else { continue };
            match extracted {
                Extracted::Value(value) => {
                    let label = format!("value/{}", field.field);
                    let value = bounded(admit, &label, agent, value, &[]);
                    let family = Family::ExtractedValues;
                    let choices = [vec![agent, &field.field, &value], vec![agent, &field.field, OTHER]];
                    self.count(family, fitting(admit, family, BucketSchemaId::NONE, "value", &choices));
                }
                Extracted::Number(units) => {
                    let labels = [agent, field.field.as_str()];
                    let schema = buckets::extracted(*index);
                    self.measure(Family::ExtractedValue, &labels, schema, schemas, *units, false);
                }
            }
        }
        if outcome.variables.is_empty() {
            return;
        }
        let resolution = outcome.resolution.as_deref().unwrap_or(NONE);
        let resolution = bounded(admit, "resolution", agent, resolution, &RESOLUTIONS);
        let known_resolution = listed(&resolution, &RESOLUTIONS);
        for (index, value) in &outcome.variables {
            let Some(variable) = named.variables.get(*index) else { continue };
            // Behind a character that no name of a field has, so that a field and a variable do not share their bound.
            let value = bounded(admit, &format!("value/\u{1}{variable}"), agent, value, &[]);
            let family = Family::Variables;
            let choices = [
                vec![agent, variable, &value, &resolution],
                vec![agent, variable, &value, known_resolution],
                vec![agent, variable, OTHER, known_resolution],
            ];
            self.count(family, fitting(admit, family, BucketSchemaId::NONE, "value", &choices));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MetricsConfig;
    use crate::session::Ended;

    struct Everything;
    impl Admit for Everything {
        fn admit(&mut self, _: &str, _: &str, _: &str) -> bool {
            true
        }
    }

    struct Nothing;
    impl Admit for Nothing {
        fn admit(&mut self, _: &str, _: &str, _: &str) -> bool {
            false
        }
    }

    fn facts() -> Facts {
        Facts {
            id: "s".into(),
            created: Timestamp::from_millis(1_000),
            channel: Channel {
                agent_id: "A".into(),
                session_type: "voice".into(),
                platform: "phone".into(),
                direction: "inbound".into(),
            },
            state: "closed".into(),
            last_activity: None,
            updated: None,
            ended: Some(Ended { at: Timestamp::from_millis(11_000), duration_ms: Some(10_000) }),
            outcome: Some(Outcome {
                resolution: Some("unresolved".into()),
                sentiment: Some("negative".into()),
                sentiment_score: Some(-250_000),
                intent: Some("Refund".into()),
                ..Outcome::default()
            }),
            contact: None,
            parts: crate::session::Parts::counted(false),
            malformed: vec![],
        }
    }

    fn text(additions: &[Addition]) -> Vec<String> {
        additions
            .iter()
            .map(|a| {
                let name = a.key.family.descriptor().name;
                format!("{name}{{{}}} [{}] +{} sum {}", a.key.labels.as_str(), a.bucket, a.amount, a.sum)
            })
            .collect()
    }

    #[test]
    fn each_step_adds_its_own() {
        let schemas = buckets::schemas(&MetricsConfig::default());
        let facts = facts();
        let all = |step| text(&additions(&facts, step, &facts.channel, &schemas, Named::default(), &mut Everything));
        let ch = r#"agent_id="A",session_type="voice",platform="phone",direction="inbound""#;
        assert_eq!(all(Step::Started), [format!("agntix_sessions_started_total{{{ch}}} [0] +1 sum 0")]);
        assert_eq!(
            all(Step::Ended),
            [
                format!("agntix_sessions_ended_total{{{ch},state=\"closed\"}} [0] +1 sum 0"),
                format!("agntix_session_duration_seconds{{{ch}}} [1] +1 sum 10000"),
            ]
        );
        assert_eq!(
            all(Step::Outcome),
            [
                format!(
                    "agntix_session_outcomes_total{{{ch},resolution=\"unresolved\",sentiment=\"negative\"}} [0] +1 sum 0"
                ),
                format!(
                    "agntix_session_outcome_duration_seconds_total{{{ch},resolution=\"unresolved\"}} [0] +10000 sum 0"
                ),
                format!("agntix_session_sentiment_score{{{ch}}} [3] +1 sum 0"),
                format!("agntix_session_sentiment_score_negative_total{{{ch}}} [0] +250000 sum 0"),
                r#"agntix_session_intents_total{agent_id="A",intent="Refund",resolution="unresolved",sentiment="negative"} [0] +1 sum 0"#
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn what_is_not_admitted_is_folded_into_other() {
        let schemas = buckets::schemas(&MetricsConfig::default());
        let facts = facts();
        let channel = admitted_channel(&facts.channel, &mut Nothing);
        assert_eq!(channel.values(), [OTHER; 4]);
        let outcome = text(&additions(&facts, Step::Outcome, &channel, &schemas, Named::default(), &mut Nothing));
        assert!(outcome.iter().any(|line| line.contains(r#"intent="other""#)), "{outcome:?}");
        assert!(outcome.iter().any(|line| line.contains(r#"resolution="unresolved""#)), "{outcome:?}");
    }

    #[test]
    fn steps_of_a_channel_add_only_to_zero_initialized_series() {
        let facts = facts();
        let schemas = buckets::schemas(&MetricsConfig::default());
        let initialized: Vec<_> = zero_initialized(&facts.channel, facts.created).into_iter().map(|a| a.key).collect();
        for step in [Step::Started, Step::Ended, Step::Outcome] {
            for addition in additions(&facts, step, &facts.channel, &schemas, Named::default(), &mut Everything) {
                assert!(
                    addition.key.family == Family::Intents || initialized.contains(&addition.key),
                    "{:?} is not zero-initialized with its channel",
                    addition.key
                );
            }
        }
    }
}
