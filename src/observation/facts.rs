//! What a session says, checked: [`observe`].

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use agntix_api::value::{Object, Scalar};
use agntix_api::{JsonText, wire};
use serde_json::value::RawValue;

use super::contacts::ContactHash;
use super::parts::AgentParts;
use crate::clock::Timestamp;
use crate::config::{Config, ExtractedField, ExtractedKind};
use crate::session::{Channel, Ended, Extracted, Facts, MalformedReason, Outcome, Parts};

/// What the observation needs of the configuration.
#[derive(Clone, Debug)]
pub struct ObservationConfig {
    /// `metrics.extracted`
    pub extracted: Arc<[ExtractedField]>,
    /// `metrics.variables`
    pub variables: Arc<[String]>,
    /// `metrics.repeat_contacts`, once its key was read
    pub contacts: Option<ContactHash>,
    /// `poll.analysis_deadline`
    pub analysis_deadline: Duration,
    /// Which parts of an analysis are waited for: what the agent's earlier sessions carried.
    pub agents: AgentParts,
}

impl From<&Config> for ObservationConfig {
    fn from(config: &Config) -> Self {
        Self {
            extracted: config.metrics.extracted.clone().into(),
            variables: config.metrics.variables.clone().into(),
            contacts: config.metrics.repeat_contacts.as_ref().and_then(ContactHash::new),
            analysis_deadline: config.poll.analysis_deadline,
            agents: AgentParts::default(),
        }
    }
}

impl ObservationConfig {
    /// The same, with what is known of the agents.
    #[must_use]
    pub fn knowing(self, agents: AgentParts) -> Self {
        Self { agents, ..self }
    }

    /// The parts of an analysis that are counted.
    pub fn counted_parts(&self) -> Parts {
        Parts::counted(!self.extracted.is_empty())
    }

    /// The parts that the sessions of an agent carry and that are counted; `None` while that is not known.
    fn awaited_parts(&self, agent: &str) -> Option<Parts> {
        self.agents.of(agent).map(|carried| carried.and(self.counted_parts()))
    }
}

/// When a session is looked at, and what shows that a deadline since its end has passed.
///
/// The API's clock alone does not: one that is wrong would have sessions counted before their analysis came. What shows
/// it besides is either this machine's clock or that the end was seen so long ago by a clock that never jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The API's time.
    pub now: Timestamp,
    /// How long ago, by a clock that never jumps, the end of the session was first seen.
    pub waited: Duration,
    /// This machine's clock, where it may confirm the API's.
    pub machine: Option<Timestamp>,
}

impl From<Timestamp> for Moment {
    /// A moment at which the API's clock is believed without more.
    fn from(now: Timestamp) -> Self {
        Self { now, waited: Duration::MAX, machine: None }
    }
}

impl Moment {
    /// Whether `deadline` has passed since `end`.
    pub fn is_past(&self, end: Timestamp, deadline: Duration) -> bool {
        let due = end.plus(deadline);
        self.now >= due && (self.waited >= deadline || self.machine.is_some_and(|machine| machine >= due))
    }
}

/// A session of which nothing can be counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing of the session can be counted: {}", reason.as_str())]
pub struct Unusable {
    /// Why.
    pub reason: MalformedReason,
    /// The session's id, if at least that could be read.
    pub id: Option<Arc<str>>,
}

/// The longest id that is taken for one; longer ones are nonsense and would swell the state.
const MAX_ID: usize = 512;
/// How far ahead of the API's time a session may be created: time zones are at most so far apart.
const MAX_AHEAD: Duration = Duration::from_secs(86_400);
/// A session longer than this is a broken clock, not a conversation.
const MAX_DURATION: Duration = Duration::from_secs(366 * 86_400);
/// Extracted numbers beyond this would lose their thousandths in a sum.
const MAX_EXTRACTED: f64 = 1e9;

/// Reads what a session says. `moment` decides whether a missing analysis is given up.
///
/// The outcome is present when the analysis is and has every part that the agent's earlier sessions carried (of an agent
/// that nothing is known of: any part), or when the session ended at least `analysis_deadline` ago.
///
/// # Errors
/// If the session has no usable id or creation time, without which it can be neither recognised nor remembered, or no
/// readable state, so that it is not known whether it has ended.
pub fn observe(
    session: &wire::Session<'_>,
    config: &ObservationConfig,
    moment: impl Into<Moment>,
) -> Result<Facts, Unusable> {
    let moment = moment.into();
    let id: Arc<str> = match session.id.text() {
        Some(id) if id.len() <= MAX_ID => id.into(),
        _ => return Err(Unusable { reason: MalformedReason::Id, id: None }),
    };
    let Some(created) = session.created_at.time() else {
        return Err(Unusable { reason: MalformedReason::CreatedAt, id: Some(id) });
    };
    if created > moment.now.plus(MAX_AHEAD) {
        return Err(Unusable { reason: MalformedReason::CreatedInFuture, id: Some(id) });
    }
    if !matches!(session.state, Scalar::Absent | Scalar::Text(_)) {
        return Err(Unusable { reason: MalformedReason::State, id: Some(id) });
    }
    let mut malformed = Vec::new();
    let state = lower(&session.state).unwrap_or_else(|| "unknown".into());
    let last_activity = session.last_activity_at.time();
    // What shows, if nothing better does, when a session was last alive.
    let updated = session.updated_at.time();
    let last_sign = last_activity.max(updated).unwrap_or(created).max(created);
    let ended = ended(session, &state, created, last_sign, config, moment, &mut malformed);
    let agent_id = session.agent_id.text().unwrap_or("unknown");
    let parts = session.analysis.value().map_or(Parts::NONE, |analysis| parts(analysis, true));
    let of_session = malformed.len();
    let outcome = ended.as_ref().and_then(|ended| {
        let is_late = moment.is_past(ended.at, config.analysis_deadline);
        let is_awaited = || !parts.contains(config.awaited_parts(agent_id).unwrap_or_default());
        match outcome(session, config, &mut malformed) {
            // It is being written, and is judged when it is whole.
            Some(_) if !is_late && is_awaited() => {
                malformed.truncate(of_session);
                None
            }
            Some(outcome) => Some(outcome),
            None => is_late.then(|| Outcome { timed_out: true, ..Outcome::default() }),
        }
    });
    let outcome = outcome.map(|outcome| Outcome {
        variables: variables(session.metadata, &config.variables, &mut malformed),
        ..outcome
    });
    // A session is counted once under each reason, wherever in it the same one stands again.
    let mut named = HashSet::new();
    malformed.retain(|reason| named.insert(*reason));
    let dimension = |scalar: &Scalar<'_>| lower(scalar).unwrap_or_else(|| "unknown".into());
    let channel = Channel {
        agent_id: agent_id.into(),
        session_type: dimension(&session.session_type),
        platform: dimension(&session.platform),
        direction: dimension(&session.direction),
    };
    let contact = config.contacts.as_ref().zip(session.metadata).and_then(|(contacts, metadata)| contacts.of(metadata));
    Ok(Facts { id, created, channel, state, last_activity, updated, ended, outcome, contact, parts, malformed })
}

/// Reads a session that may be told in part, as a listing or a webhook may: what [`is_complete`] says no to is taken for
/// its beginning and its end only, and its analysis is neither counted nor given up.
///
/// # Errors
/// As [`observe`], and if a dimension is missing under which the session would be counted ([`MalformedReason::InPart`]).
pub fn observe_entry(
    session: &wire::Session<'_>,
    config: &ObservationConfig,
    moment: impl Into<Moment>,
) -> Result<Facts, Unusable> {
    let mut facts = observe(session, config, moment)?;
    if !is_complete(session, config) {
        let dimensions = [&session.agent_id, &session.session_type, &session.platform, &session.state];
        if dimensions.iter().any(|dimension| dimension.text().is_none()) {
            return Err(Unusable { reason: MalformedReason::InPart, id: Some(facts.id) });
        }
        facts.outcome = None;
        // An end that the entry does not date is left to the session itself.
        facts.ended = facts.ended.filter(|ended| ended.duration_ms.is_some());
        facts.malformed.clear();
    }
    Ok(facts)
}

/// Reads an entry of a listing, of which `session` is what could be read, as [`observe_entry`] does.
///
/// # Errors
/// As [`observe_entry`]; and [`MalformedReason::Json`] of one that is no session, whose id may be readable all the same.
pub fn observe_listed(
    entry: &JsonText<'_>,
    session: Option<&wire::Session<'_>>,
    config: &ObservationConfig,
    moment: impl Into<Moment>,
) -> Result<Facts, Unusable> {
    if let Some(session) = session {
        return observe_entry(session, config, moment);
    }
    let id_only = entry.read::<wire::IdOnly<'_>>().unwrap_or_default();
    let id = id_only.id.text().filter(|id| id.len() <= MAX_ID).map(Arc::from);
    Err(Unusable { reason: MalformedReason::Json, id })
}

/// Whether nothing more can come: the session has ended, and every part of its analysis is there that the agent's earlier
/// sessions carried and that is counted; of an agent that nothing is known of, every part that is counted.
///
/// The listing and the webhook may carry a session cut short. What this says no to is asked for by itself.
pub fn is_complete(session: &wire::Session<'_>, config: &ObservationConfig) -> bool {
    let has_ended = session.state.text().is_some_and(|state| !state.eq_ignore_ascii_case("open"));
    let needs_metadata = !config.variables.is_empty() || config.contacts.is_some();
    if needs_metadata && session.metadata.is_none() {
        return false;
    }
    let Some(analysis) = session.analysis.value().filter(|_| has_ended && session.ended_at.time().is_some()) else {
        return false;
    };
    let there = parts(analysis, false);
    match session.agent_id.text().and_then(|agent| config.awaited_parts(agent)) {
        None => there.contains(config.counted_parts()),
        // What only has other parts than are counted is complete once it has any.
        Some(Parts::NONE) => there != Parts::NONE || analysis.summary.0,
        Some(awaited) => there.contains(awaited),
    }
}

/// The parts of an analysis that are there; one of the wrong type is with `wrong_too`.
fn parts(analysis: &wire::Analysis<'_>, wrong_too: bool) -> Parts {
    fn conversation<T>(part: Option<&Object<T>>, wrong_too: bool) -> bool {
        part.is_some_and(|part| part.value().is_some() || wrong_too && part.is_wrong())
    }

    let is_there = |part: bool, is_wrong: bool| part || wrong_too && is_wrong;
    let (resolution, sentiment, intent) = (&analysis.resolution, &analysis.sentiment, &analysis.intent);
    let has_sentiment = conversation(sentiment.value().map(|part| &part.conversation), wrong_too);
    let has_intent = conversation(intent.value().map(|part| &part.conversation), wrong_too);
    Parts::RESOLUTION
        .only_if(is_there(resolution.value().is_some(), resolution.is_wrong()))
        .or(Parts::SENTIMENT.only_if(is_there(has_sentiment, sentiment.is_wrong())))
        .or(Parts::INTENT.only_if(is_there(has_intent, intent.is_wrong())))
        .or(Parts::EXTRACTED.only_if(analysis.extracted_data.is_some()))
}

fn ended(
    session: &wire::Session<'_>,
    state: &str,
    created: Timestamp,
    last_sign: Timestamp,
    config: &ObservationConfig,
    moment: Moment,
    malformed: &mut Vec<MalformedReason>,
) -> Option<Ended> {
    if state == "open" {
        return None;
    }
    let at = session.ended_at.time();
    if at.is_none() && !session.ended_at.is_absent() {
        malformed.push(MalformedReason::EndedAt);
    }
    if let Some(at) = at {
        let duration = at.since(created);
        if at < created || duration > MAX_DURATION {
            malformed.push(MalformedReason::EndBeforeStart);
            return Some(Ended { at: at.max(created), duration_ms: None });
        }
        return Some(Ended { at, duration_ms: u64::try_from(duration.as_millis()).ok() });
    }
    // Closed, but `endedAt` is not there yet (or never will be): it is given as long as the analysis.
    let is_final = matches!(state, "closed" | "expired");
    if is_final && moment.is_past(last_sign, config.analysis_deadline) {
        malformed.push(MalformedReason::EndedAt);
        return Some(Ended { at: last_sign, duration_ms: None });
    }
    None
}

fn outcome(
    session: &wire::Session<'_>,
    config: &ObservationConfig,
    malformed: &mut Vec<MalformedReason>,
) -> Option<Outcome> {
    let analysis = match &session.analysis {
        Object::Value(analysis) => analysis,
        Object::Absent => return None,
        Object::Wrong => {
            malformed.push(MalformedReason::Analysis);
            return None;
        }
    };
    let wrong = analysis.intent.is_wrong() || analysis.resolution.is_wrong() || analysis.sentiment.is_wrong();
    if wrong {
        malformed.push(MalformedReason::Analysis);
    }
    let arrived = wrong
        || analysis.summary.0
        || analysis.extracted_data.is_some()
        || analysis.intent.value().is_some()
        || analysis.resolution.value().is_some()
        || analysis.sentiment.value().is_some();
    if !arrived {
        return None;
    }

    let mut outcome = Outcome::default();
    if let Some(resolution) = analysis.resolution.value() {
        outcome.resolution = enum_value(&resolution.classification, malformed);
        if outcome.resolution.is_some() {
            outcome.resolution_confidence = fraction(&resolution.confidence_score, malformed);
        }
    }
    // A score or a confidence beside a null classification is the vendor's placeholder 0, not a measurement.
    if let Some(sentiment) = conversation(analysis.sentiment.value().map(|s| &s.conversation), malformed) {
        outcome.sentiment = enum_value(&sentiment.sentiment, malformed);
        if outcome.sentiment.is_some() {
            outcome.sentiment_score = millionths(&sentiment.score, -1.0, MalformedReason::SentimentScore, malformed);
        }
        outcome.language = lower(&sentiment.detected_language).filter(|language| language != "n/a");
    }
    if let Some(intent) = conversation(analysis.intent.value().map(|i| &i.conversation), malformed) {
        outcome.intent = text_value(&intent.intent, malformed).map(str::to_owned);
        if outcome.intent.is_some() {
            outcome.intent_confidence = fraction(&intent.confidence, malformed);
        }
    }
    if let Some(raw) = analysis.extracted_data {
        extracted(raw, config, &mut outcome, malformed);
    }
    Some(outcome)
}

fn conversation<'s, T>(object: Option<&'s Object<T>>, malformed: &mut Vec<MalformedReason>) -> Option<&'s T> {
    if object.is_some_and(Object::is_wrong) {
        malformed.push(MalformedReason::Analysis);
    }
    object.and_then(Object::value)
}

fn extracted(
    raw: &serde_json::value::RawValue,
    config: &ObservationConfig,
    outcome: &mut Outcome,
    malformed: &mut Vec<MalformedReason>,
) {
    if config.extracted.is_empty() {
        return;
    }
    let names: Vec<&str> = config.extracted.iter().map(|field| field.field.as_str()).collect();
    let Ok(values) = wire::named_fields(raw, &names) else {
        malformed.push(MalformedReason::ExtractedValue);
        return;
    };
    for (index, (field, scalar)) in config.extracted.iter().zip(&values).enumerate() {
        if scalar.is_absent() {
            continue;
        }
        let value = match field.kind {
            ExtractedKind::Enum => scalar.text().map(|text| Extracted::Value(text.to_owned())),
            ExtractedKind::Boolean => scalar.boolean().map(|b| Extracted::Value(b.to_string())),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
            ExtractedKind::Number => scalar
                .number()
                .filter(|n| (0.0..=MAX_EXTRACTED).contains(n))
                .map(|n| Extracted::Number((n * 1e3).round() as u64)),
        };
        match value {
            Some(value) => outcome.extracted.push((index, value)),
            None => malformed.push(MalformedReason::ExtractedValue),
        }
    }
}

/// The named session variables that are there. All others are skipped unread.
fn variables(
    metadata: Option<&RawValue>,
    names: &[String],
    malformed: &mut Vec<MalformedReason>,
) -> Vec<(usize, String)> {
    let Some(metadata) = metadata.filter(|_| !names.is_empty()) else { return Vec::new() };
    let Ok(variables) = wire::nested(metadata, "sessionVariables") else {
        malformed.push(MalformedReason::Variable);
        return Vec::new();
    };
    let Some(variables) = variables else { return Vec::new() };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let Ok(values) = wire::named_fields(variables, &names) else {
        malformed.push(MalformedReason::Variable);
        return Vec::new();
    };
    let mut found = Vec::new();
    for (place, value) in values.iter().enumerate() {
        match value {
            Scalar::Absent => {}
            Scalar::Text(_) => found.extend(value.text().map(|text| (place, text.to_owned()))),
            Scalar::Bool(value) => found.push((place, value.to_string())),
            Scalar::Number(number) => found.push((place, number.to_string())),
            Scalar::Wrong => malformed.push(MalformedReason::Variable),
        }
    }
    found
}

fn lower(scalar: &Scalar<'_>) -> Option<String> {
    scalar.text().map(str::to_lowercase)
}

fn text_value<'s>(scalar: &'s Scalar<'_>, malformed: &mut Vec<MalformedReason>) -> Option<&'s str> {
    if !matches!(scalar, Scalar::Absent | Scalar::Text(_)) {
        malformed.push(MalformedReason::Analysis);
    }
    scalar.text()
}

fn enum_value(scalar: &Scalar<'_>, malformed: &mut Vec<MalformedReason>) -> Option<String> {
    text_value(scalar, malformed).map(str::to_lowercase)
}

fn fraction(scalar: &Scalar<'_>, malformed: &mut Vec<MalformedReason>) -> Option<u32> {
    millionths(scalar, 0.0, MalformedReason::Confidence, malformed).and_then(|n| u32::try_from(n).ok())
}

fn millionths(
    scalar: &Scalar<'_>,
    least: f64,
    reason: MalformedReason,
    malformed: &mut Vec<MalformedReason>,
) -> Option<i32> {
    if scalar.is_absent() {
        return None;
    }
    let value = scalar.number().filter(|value| (least..=1.0).contains(value));
    if value.is_none() {
        malformed.push(reason);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked above")]
    value.map(|value| (value * 1e6).round() as i32)
}

#[cfg(test)]
mod tests;
