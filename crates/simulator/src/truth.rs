//! What `/metrics` must show in the end, computed straight from the simulated sessions.
//!
//! This is the oracle of the black-box tests, so it shares nothing with the exporter; it is only given the configured
//! bucket bounds. Keep it plain: whoever doubts a test must be able to check this file by eye.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::{TruthField, TruthFieldKind, TruthMetrics};
use crate::labels::label_set;
use crate::listing::{self, Filter};
use crate::session::{Analysis, Extracted, Session, State};
use crate::simulator::Simulator;
use crate::time::Timestamp;

/// Which sessions count, and how long an analysis is waited for.
#[derive(Clone, Debug)]
pub struct TruthFilter {
    /// Only sessions created then or later.
    pub created_after: Option<Timestamp>,
    /// Only sessions created then or earlier.
    pub created_before: Option<Timestamp>,
    /// Only these sessions.
    pub ids: Option<BTreeSet<String>>,
    /// The messages of sessions that ended later only: when the exporter was first started.
    pub messages_after: Option<Timestamp>,
    /// `poll.analysis_deadline`. An analysis that takes longer counts as one that never arrives; an exporter that
    /// first sees the session later than that may well find it, so keep the simulated delays clearly below.
    pub analysis_deadline: Duration,
}

impl Default for TruthFilter {
    fn default() -> Self {
        Self {
            created_after: None,
            created_before: None,
            ids: None,
            messages_after: None,
            analysis_deadline: Duration::from_secs(15 * 60),
        }
    }
}

/// Values as whole numbers of units, and how many units make 1, so that the order of additions cannot matter.
#[derive(Default)]
struct Totals(BTreeMap<String, (u64, f64)>);

const WHOLE: f64 = 1.0;
const MILLI: f64 = 1_000.0;
const MICRO: f64 = 1_000_000.0;
const CHANNEL: [&str; 4] = ["agent_id", "session_type", "platform", "direction"];

impl Simulator {
    /// What the durable families must show at `at` (simulated time) once everything known then is counted: from the
    /// full sample name, as it stands on the text page, to its value. Samples that are 0 are left out. Sessions
    /// marked bad in the faults are left out.
    ///
    /// `agntix_session_reclassifications_total` assumes that the first analysis was seen before it changed.
    pub fn truth(&self, filter: &TruthFilter, metrics: &TruthMetrics, at: Timestamp) -> BTreeMap<String, f64> {
        let from = filter.created_after.unwrap_or(self.config().start);
        let to = filter.created_before.map_or(at, |before| before.min(at));
        let faults = self.faults();
        let created = Filter::created(from, to);
        let sessions: Box<dyn Iterator<Item = Session<'_>>> = if let Some(ids) = &filter.ids {
            Box::new(ids.iter().filter_map(|id| self.session(id, at)))
        } else {
            let outlines = listing::all(self.generator(), &created);
            Box::new(outlines.filter_map(|outline| self.generator().session(outline)))
        };
        let counted = sessions
            .filter(|session| (from..=to).contains(&session.created) && !faults.bad_sessions.contains(&session.id));
        truth_of(counted, metrics, filter, at)
    }
}

/// What these sessions come to at `at`.
pub(crate) fn truth_of<'c>(
    sessions: impl Iterator<Item = Session<'c>>,
    metrics: &TruthMetrics,
    filter: &TruthFilter,
    at: Timestamp,
) -> BTreeMap<String, f64> {
    let mut totals = Totals::default();
    let mut contacts: BTreeMap<u32, Vec<Session<'c>>> = BTreeMap::new();
    for session in sessions {
        let is_handled = totals.add_session(&session, metrics, filter.analysis_deadline, at);
        let is_news = filter.messages_after.is_none_or(|after| session.ended > after);
        let is_taken = metrics.messages_share.is_some_and(|share| is_in_share(&session.id, share));
        if is_handled && is_news && is_taken {
            totals.add_messages(&session, metrics);
        }
        if is_handled {
            contacts.entry(session.number).or_default().push(session);
        }
    }
    for sessions in contacts.into_values() {
        totals.add_repeat_contacts(sessions, metrics, filter.analysis_deadline);
    }
    totals.0.into_iter().map(|(name, (units, scale))| (name, as_f64(units) / scale)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a simulation stays far below 2^53 units")]
fn as_f64(units: u64) -> f64 {
    units as f64
}

impl Totals {
    /// Adds a session; whether its outcome is among it, so that it is done with.
    fn add_session(
        &mut self,
        session: &Session<'_>,
        metrics: &TruthMetrics,
        deadline: Duration,
        at: Timestamp,
    ) -> bool {
        let agent = session.agent.id.as_str();
        let channel = channel_of(session);
        let channel = channel.each_ref().map(String::as_str);
        if session.created > at {
            return false;
        }
        self.count("agntix_sessions_started_total", &CHANNEL, &channel);

        let state = match session.state(at) {
            State::Open => return false,
            State::Closed => "closed",
            State::Expired => "expired",
        };
        self.count("agntix_sessions_ended_total", &with(&CHANNEL, &["state"]), &with(&channel, &[state]));
        let ms = session.ended.as_millis().abs_diff(session.created.as_millis());
        self.observe(
            "agntix_session_duration_seconds",
            &CHANNEL,
            &channel,
            as_f64(ms) / 1000.0,
            &metrics.duration_buckets,
            Some((ms, MILLI)),
        );

        let give_up = session.ended.plus(deadline);
        match session.whole_at() {
            Some(arrival) if arrival <= give_up => {
                if arrival <= at {
                    self.add_analysis(&session.analysis, agent, &channel, metrics);
                    let resolution =
                        session.analysis.resolution().map_or("none".to_owned(), |(name, _)| name.to_lowercase());
                    self.add_handled(session, ms, &resolution, &channel, metrics);
                    self.add_change(session, at);
                }
                arrival <= at
            }
            _ => {
                if give_up <= at {
                    self.add_outcome(&channel, "none", "none");
                    self.add_handled(session, ms, "none", &channel, metrics);
                    self.count("agntix_session_analysis_timeouts_total", &["agent_id"], &[agent]);
                }
                give_up <= at
            }
        }
    }

    /// Which sessions of one customer had one before that ended so long before, to the second. The number of a switchboard, with
    /// more than 50 sessions on a day, is not what this can tell: which of them come first decides.
    fn add_repeat_contacts(&mut self, mut sessions: Vec<Session<'_>>, metrics: &TruthMetrics, deadline: Duration) {
        let second = |at: Timestamp| at.as_millis().div_euclid(1000);
        sessions.sort_by_key(|session| session.created);
        for later in &sessions {
            let earlier = sessions
                .iter()
                .filter(|earlier| second(earlier.ended) <= second(later.created) && earlier.id != later.id);
            let Some(nearest) = earlier.max_by_key(|earlier| earlier.ended) else { continue };
            let gap = second(later.created).abs_diff(second(nearest.ended));
            let is_analysed = nearest.whole_at().is_some_and(|whole| whole <= nearest.ended.plus(deadline));
            let resolution = nearest.analysis.resolution().filter(|_| is_analysed);
            let resolution = resolution.map_or("none".to_owned(), |(name, _)| name.to_lowercase());
            let [agent, session_type, ..] = channel_of(later);
            for (within, _) in metrics.repeat_windows.iter().filter(|(_, length)| gap <= length.as_secs()) {
                let labels = ["agent_id", "session_type", "previous_resolution", "within"];
                let values = [agent.as_str(), &session_type, &resolution, within];
                self.count("agntix_session_repeat_contacts_total", &labels, &values);
            }
        }
    }

    /// Who spoke how often, and how long the customer had to wait for each answer.
    fn add_messages(&mut self, session: &Session<'_>, metrics: &TruthMetrics) {
        let channel = channel_of(session);
        let channel = channel.each_ref().map(String::as_str);
        let said = session.said();
        for message in &said {
            let role = message.role.unwrap_or("unknown").to_lowercase();
            self.count("agntix_session_messages_total", &with(&CHANNEL, &["role"]), &with(&channel, &[&role]));
        }
        // Tools, the system and whoever else is in the list are not heard by the customer.
        let heard: Vec<_> = said.iter().filter(|message| matches!(message.role, Some("USER" | "ASSISTANT"))).collect();
        let is_user = |place: usize| heard.get(place).is_some_and(|message| message.role == Some("USER"));
        let turns = heard.iter().filter(|message| message.role == Some("USER")).count();
        let turns = u64::try_from(turns).unwrap_or(u64::MAX);
        let name = "agntix_session_turns";
        self.observe(name, &CHANNEL, &channel, as_f64(turns), &metrics.turn_buckets, Some((turns, WHOLE)));
        if turns == 0 {
            self.count("agntix_sessions_silent_total", &CHANNEL, &channel);
        }
        if heard.last().is_some_and(|message| message.role == Some("USER")) {
            self.count("agntix_sessions_unanswered_total", &CHANNEL, &channel);
        }
        let answers = (1..heard.len()).filter(|place| is_user(*place - 1) && !is_user(*place));
        let first_word = (0..heard.len()).find(|place| is_user(*place));
        for (number, place) in answers.enumerate() {
            let waits = [
                ("agntix_session_response_seconds", Some(place - 1)),
                ("agntix_session_first_response_seconds", first_word.filter(|_| number == 0)),
            ];
            for (name, since) in waits {
                let time = |place: usize| heard.get(place).and_then(|message| message.at).map(Timestamp::as_millis);
                let Some((since, until)) = since.and_then(time).zip(time(place)) else { continue };
                // Times that stand still or run backwards are no waits.
                if until > since {
                    let ms = until.abs_diff(since);
                    let bounds = &metrics.response_buckets;
                    self.observe(name, &CHANNEL, &channel, as_f64(ms) / 1000.0, bounds, Some((ms, MILLI)));
                }
            }
        }
    }

    fn add_outcome(&mut self, channel: &[&str], resolution: &str, sentiment: &str) {
        self.count(
            "agntix_session_outcomes_total",
            &with(&CHANNEL, &["resolution", "sentiment"]),
            &with(channel, &[resolution, sentiment]),
        );
    }

    /// What is counted by resolution once that is known or given up: handle time and variables.
    fn add_handled(
        &mut self,
        session: &Session<'_>,
        ms: u64,
        resolution: &str,
        channel: &[&str],
        metrics: &TruthMetrics,
    ) {
        self.add(
            "agntix_session_outcome_duration_seconds_total",
            &with(&CHANNEL, &["resolution"]),
            &with(channel, &[resolution]),
            ms,
            MILLI,
        );
        for (name, value) in session.variables.iter().filter(|(name, _)| metrics.variables.iter().any(|n| n == name)) {
            let labels = ["agent_id", "variable", "value", "resolution"];
            self.count("agntix_session_variables_total", &labels, &[&session.agent.id, name, value, resolution]);
        }
    }

    fn add_analysis(&mut self, analysis: &Analysis<'_>, agent: &str, channel: &[&str], metrics: &TruthMetrics) {
        let confidence_buckets = &metrics.confidence_buckets;
        let resolution = analysis.resolution().map_or("none".to_owned(), |(name, _)| name.to_lowercase());
        let sentiment = analysis.sentiment().map_or("none".to_owned(), |(name, _)| name.to_lowercase());
        self.add_outcome(channel, &resolution, &sentiment);

        if let Some((_, percent)) = analysis.resolution() {
            self.observe(
                "agntix_session_resolution_confidence",
                &["agent_id", "resolution"],
                &[agent, &resolution],
                f64::from(percent) / 100.0,
                confidence_buckets,
                Some((u64::from(percent) * 10_000, MICRO)),
            );
        }
        if let Some((intent, percent)) = analysis.intent() {
            let labels = ["agent_id", "intent", "resolution", "sentiment"];
            self.count("agntix_session_intents_total", &labels, &[agent, intent, &resolution, &sentiment]);
            self.observe(
                "agntix_session_intent_confidence",
                &["agent_id"],
                &[agent],
                f64::from(percent) / 100.0,
                confidence_buckets,
                Some((u64::from(percent) * 10_000, MICRO)),
            );
        }
        if let Some((_, percent)) = analysis.sentiment() {
            let score = f64::from(percent) / 100.0;
            self.observe(
                "agntix_session_sentiment_score",
                &CHANNEL,
                channel,
                score,
                &metrics.sentiment_score_buckets,
                None,
            );
            let name = if percent > 0 { "positive" } else { "negative" };
            let name = format!("agntix_session_sentiment_score_{name}_total");
            self.add(&name, &CHANNEL, channel, u64::from(percent.unsigned_abs()) * 10_000, MICRO);
        }
        if let Some(language) = analysis.language().filter(|language| *language != "N/A") {
            let language = language.to_lowercase();
            let labels = ["agent_id", "language", "resolution", "sentiment"];
            self.count("agntix_session_languages_total", &labels, &[agent, &language, &resolution, &sentiment]);
        }
        for field in &metrics.extracted {
            for (_, value) in analysis.extracted().iter().filter(|(name, _)| *name == field.field) {
                self.add_extracted(agent, field, *value);
            }
        }
    }

    fn add_extracted(&mut self, agent: &str, field: &TruthField, value: Extracted<'_>) {
        let value = match (field.kind, value) {
            (TruthFieldKind::Enum, Extracted::Text(text)) => text.to_owned(),
            (TruthFieldKind::Boolean, Extracted::Boolean(value)) => value.to_string(),
            (TruthFieldKind::Number, Extracted::Tenths(tenths)) => {
                self.observe(
                    "agntix_session_extracted_value",
                    &["agent_id", "field"],
                    &[agent, &field.field],
                    f64::from(tenths) / 10.0,
                    &field.buckets,
                    Some((u64::from(tenths) * 100, MILLI)),
                );
                return;
            }
            // A field of another kind than configured: nothing to count.
            _ => return,
        };
        let labels = ["agent_id", "field", "value"];
        self.count("agntix_session_extracted_values_total", &labels, &[agent, &field.field, &value]);
    }

    fn add_change(&mut self, session: &Session<'_>, at: Timestamp) {
        let Some((changed_at, changed)) = &session.change else { return };
        if *changed_at > at {
            return;
        }
        let first = &session.analysis;
        let name = |found: Option<(&'static str, i32)>| found.map(|(name, _)| name);
        let parts = [
            ("resolution", first.resolution().map(|(name, _)| name) != changed.resolution().map(|(name, _)| name)),
            ("sentiment", name(first.sentiment()) != name(changed.sentiment())),
            ("intent", first.intent().map(|(name, _)| name) != changed.intent().map(|(name, _)| name)),
        ];
        for (part, differs) in parts {
            if differs {
                let labels = ["agent_id", "part"];
                self.count("agntix_session_reclassifications_total", &labels, &[&session.agent.id, part]);
            }
        }
    }

    fn count(&mut self, name: &str, labels: &[&str], values: &[&str]) {
        self.add(name, labels, values, 1, WHOLE);
    }

    fn observe(
        &mut self,
        name: &str,
        labels: &[&str],
        values: &[&str],
        value: f64,
        bounds: &[f64],
        sum: Option<(u64, f64)>,
    ) {
        let set = label_set(labels, values);
        for bound in bounds.iter().filter(|bound| value <= **bound) {
            // `{:?}` is what spells 5 as `5.0`.
            self.add_sample(format!("{name}_bucket{{{set},le=\"{bound:?}\"}}"), 1, WHOLE);
        }
        self.add_sample(format!("{name}_bucket{{{set},le=\"+Inf\"}}"), 1, WHOLE);
        self.add_sample(format!("{name}_count{{{set}}}"), 1, WHOLE);
        if let Some((units, scale)) = sum {
            self.add_sample(format!("{name}_sum{{{set}}}"), units, scale);
        }
    }

    fn add(&mut self, name: &str, labels: &[&str], values: &[&str], units: u64, scale: f64) {
        let set = label_set(labels, values);
        self.add_sample(format!("{name}{{{set}}}"), units, scale);
    }

    fn add_sample(&mut self, sample: String, units: u64, scale: f64) {
        if units > 0 {
            self.0.entry(sample).or_insert((0, scale)).0 += units;
        }
    }
}

fn channel_of(session: &Session<'_>) -> [String; 4] {
    let channel = session.channel;
    let direction = channel.direction.as_ref().map_or("unknown".to_owned(), |d| d.to_lowercase());
    [session.agent.id.clone(), channel.session_type.to_lowercase(), channel.platform.to_lowercase(), direction]
}

/// `messages.share`, as it is documented: the first four bytes of the SHA-256 of the id, as a part of all that they can be.
fn is_in_share(id: &str, share: f64) -> bool {
    let digest = ::ring::digest::digest(&::ring::digest::SHA256, id.as_bytes());
    let part = digest.as_ref().iter().take(4).fold(0.0, |part, byte| part * 256.0 + f64::from(*byte));
    part / 4_294_967_296.0 < share
}

fn with<'a>(first: &[&'a str], then: &[&'a str]) -> Vec<&'a str> {
    first.iter().chain(then).copied().collect()
}
