//! Sessions from nothing but the configuration: how many each slot of time holds, when each is created and ends
//! ([`Outline`]), and all the rest of one ([`Session`]). Any instant can be asked for; only outlines are cached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;

use crate::config::{Incident, IncidentKind, Rhythm, SimulatorConfig};
use crate::id::{self, Place};
use crate::profile::{AgentProfile, ExtractedValues};
use crate::random::{mix, normal, pick, pick_index, unit};
use crate::session::{Analysis, Extracted, Missing, Part, Session, State};
use crate::time::Timestamp;

/// What chance is drawn for. The draws must not touch each other: a longer analysis must not move a session in time.
pub(crate) mod purpose {
    pub(crate) const COUNT: u64 = 1;
    pub(crate) const OUTLINE: u64 = 2;
    pub(crate) const REST: u64 = 3;
    pub(crate) const UNLISTED: u64 = 4;
    pub(crate) const HIDDEN: u64 = 5;
    pub(crate) const DELIVERIES: u64 = 6;
    pub(crate) const TRUNCATION: u64 = 7;
}

const DAY_MS: f64 = 86_400_000.0;
/// Tells the draws for half-written analyses from all others.
const HALF_WRITTEN: u64 = 0x4a1f;
/// Tells the draws for numbers from all others.
const NUMBERS: u64 = 0x90b1;
/// Tells the draws for session variables from all others.
const VARIABLES: u64 = 0x7a21;
const MAX_AGENTS: usize = 4096;
/// Outlines kept at once: about 40 MB. When there are more, all are dropped and made anew as they are asked for.
const CACHED_OUTLINES: usize = 1_000_000;

/// When and where a session is; what listing needs to sort, filter and count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) created: Timestamp,
    pub(crate) ended: Timestamp,
    pub(crate) place: Place,
    pub(crate) channel: u16,
    pub(crate) expired: bool,
}

impl Outline {
    pub(crate) fn state(&self, at: Timestamp) -> State {
        if at < self.ended {
            State::Open
        } else if self.expired {
            State::Expired
        } else {
            State::Closed
        }
    }
}

/// Makes sessions, and remembers the outlines of the slots asked for lately.
#[derive(Debug)]
pub(crate) struct Generator {
    config: SimulatorConfig,
    slot_ms: i64,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    slots: HashMap<u64, Arc<[Outline]>>,
    outlines: usize,
}

impl Generator {
    pub(crate) fn new(mut config: SimulatorConfig) -> Self {
        config.agents.truncate(MAX_AGENTS);
        let slot_ms = i64::try_from(config.slot.as_millis()).unwrap_or(i64::MAX).max(1);
        Self { config, slot_ms, cache: Mutex::default() }
    }

    pub(crate) fn config(&self) -> &SimulatorConfig {
        &self.config
    }

    /// The slots that sessions created from `from` to `to`, both included, can be in; `None` when there are none.
    pub(crate) fn slots(&self, from: Timestamp, to: Timestamp) -> Option<std::ops::RangeInclusive<u64>> {
        let to = self.config.until.map_or(to, |until| to.min(until));
        let from = from.max(self.config.start);
        (from <= to).then(|| self.slot_of(from)..=self.slot_of(to))
    }

    fn slot_of(&self, at: Timestamp) -> u64 {
        u64::try_from((at.as_millis() - self.config.start.as_millis()) / self.slot_ms).unwrap_or(0)
    }

    fn slot_start(&self, slot: u64) -> Timestamp {
        let offset = i64::try_from(slot).unwrap_or(i64::MAX).saturating_mul(self.slot_ms);
        Timestamp::from_millis(self.config.start.as_millis().saturating_add(offset))
    }

    /// The last moment of `slot`.
    pub(crate) fn slot_end(&self, slot: u64) -> Timestamp {
        self.slot_start(slot).plus(Duration::from_millis(u64::try_from(self.slot_ms - 1).unwrap_or(0)))
    }

    /// Whether every session of `slot` is created from `from` to `to`, both included, and none is cut by `until`.
    pub(crate) fn is_whole(&self, slot: u64, from: Timestamp, to: Timestamp) -> bool {
        let (first, last) = (self.slot_start(slot), self.slot_end(slot));
        from <= first && last <= to && self.config.until.is_none_or(|until| last <= until)
    }

    /// Sessions of one agent in one slot, before `until` cuts any.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the conversions saturate, and a slot is short"
    )]
    fn count(&self, slot: u64, agent: u16) -> u32 {
        let Some(profile) = self.config.agents.get(usize::from(agent)) else { return 0 };
        let chance = mix(&[self.config.seed, purpose::COUNT, slot, u64::from(agent)]);
        let mut expected = profile.sessions_per_day * self.slot_ms as f64 / DAY_MS;
        if self.config.rhythm == Rhythm::Daily {
            let start = self.slot_start(slot);
            let weekend = if is_weekend(start) { self.config.weekend_share } else { 1.0 };
            expected *= daily_rhythm(start) * weekend;
        }
        if self.config.rhythm != Rhythm::Even {
            expected *= 0.5 + unit(mix(&[chance]));
        }
        for kind in self.incidents(profile, self.slot_start(slot)) {
            if let IncidentKind::Traffic(factor) = kind {
                expected *= factor;
            }
        }
        let whole = expected.floor();
        (whole as u32 + u32::from(unit(chance) < expected - whole)).min(0xff_ffff)
    }

    /// What is wrong with an agent at `at`.
    fn incidents<'c>(&'c self, agent: &'c AgentProfile, at: Timestamp) -> impl Iterator<Item = IncidentKind> + 'c {
        let hits = move |incident: &&Incident| incident.agent == agent.id && incident.from <= at && at < incident.to;
        self.config.incidents.iter().filter(hits).map(|incident| incident.kind)
    }

    /// Sessions in a whole slot, or of one agent in it.
    pub(crate) fn count_all(&self, slot: u64, agent: Option<u16>) -> u64 {
        match agent {
            Some(agent) => u64::from(self.count(slot, agent)),
            None => self.agents().map(|agent| u64::from(self.count(slot, agent))).sum(),
        }
    }

    fn agents(&self) -> impl Iterator<Item = u16> + use<> {
        0..u16::try_from(self.config.agents.len()).unwrap_or(u16::MAX)
    }

    /// All sessions of a slot, oldest first, those created after the present included, those after `until` not.
    pub(crate) fn outlines(&self, slot: u64) -> Arc<[Outline]> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.slots.get(&slot) {
            return Arc::clone(found);
        }
        let mut made: Vec<Outline> = self
            .agents()
            .flat_map(|agent| (0..self.count(slot, agent)).map(move |index| Place { slot, agent, index }))
            .filter_map(|place| self.outline(place))
            .collect();
        made.sort_unstable_by_key(|outline| (outline.created, outline.place));
        let made: Arc<[Outline]> = made.into();
        if cache.outlines + made.len() > CACHED_OUTLINES {
            *cache = Cache::default();
        }
        // An empty slot costs an entry as well.
        cache.outlines += made.len() + 1;
        cache.slots.insert(slot, Arc::clone(&made));
        made
    }

    /// The outline of the session at `place`; `None` if there is none.
    fn outline(&self, place: Place) -> Option<Outline> {
        if place.index >= self.count(place.slot, place.agent) {
            return None;
        }
        let profile = self.config.agents.get(usize::from(place.agent))?;
        let mut rng = self.rng(purpose::OUTLINE, place);
        let offset = rng.u64(0..u64::try_from(self.slot_ms).unwrap_or(1));
        let created = self.slot_start(place.slot).plus(Duration::from_millis(offset));
        if self.config.until.is_some_and(|until| created > until) {
            return None;
        }
        let channel = pick_index(&mut rng, &profile.channels)?;
        let longer = self.incidents(profile, created).filter_map(|kind| match kind {
            IncidentKind::Length(factor) => Some(factor),
            _ => None,
        });
        let length = draw_length(&mut rng, profile, longer.product());
        let expired = rng.f64() < self.config.expired_share;
        Some(Outline { created, ended: created.plus(length), place, channel: u16::try_from(channel).ok()?, expired })
    }

    /// Chance about the session at `place`, the same each time.
    pub(crate) fn chance(&self, purpose: u64, place: Place) -> u64 {
        let Place { slot, agent, index } = place;
        mix(&[self.config.seed, purpose, slot, u64::from(agent), u64::from(index)])
    }

    fn rng(&self, purpose: u64, place: Place) -> Rng {
        Rng::with_seed(self.chance(purpose, place))
    }

    /// Whether the session at `place` is refused when its id is asked for.
    pub(crate) fn is_hidden(&self, place: Place) -> bool {
        unit(self.chance(purpose::HIDDEN, place)) < self.config.hidden_share
    }

    /// Whether the session at `place` is in the listing.
    pub(crate) fn is_listed(&self, place: Place) -> bool {
        unit(self.chance(purpose::UNLISTED, place)) >= self.config.unlisted_share && !self.is_hidden(place)
    }

    /// Whether every session is in the listing.
    pub(crate) fn lists_all(&self) -> bool {
        self.config.unlisted_share <= 0.0 && self.config.hidden_share <= 0.0
    }

    /// The session called `id`, if it is created by `at`.
    pub(crate) fn find(&self, id: &str, at: Timestamp) -> Option<Session<'_>> {
        let outline = self.outline(id::decode(self.config.seed, id)?)?;
        let session = self.session(outline)?;
        (outline.created <= at && session.id == id).then_some(session)
    }

    /// The id of a session.
    pub(crate) fn id(&self, outline: Outline) -> String {
        id::encode(self.config.seed, outline.place, self.config.id_style)
    }

    /// All of a session.
    pub(crate) fn session(&self, outline: Outline) -> Option<Session<'_>> {
        let agent = self.config.agents.get(usize::from(outline.place.agent))?;
        let (channel, _) = agent.channels.get(usize::from(outline.channel))?;
        let mut rng = self.rng(purpose::REST, outline.place);
        let customer = rng.u64(..);
        let (least, most) = self.config.analysis_delay;
        let delay = least + most.saturating_sub(least).mul_f64(rng.f64());
        let arrives = rng.f64() >= self.config.no_analysis_share;
        let analysis_at = arrives.then(|| outline.ended.plus(delay));
        let changes = rng.f64() < self.config.reclassified_share;
        let analysis = self.analysis(&mut rng, agent, outline.created);
        let change = analysis_at.filter(|_| changes).map(|arrival| {
            (arrival.plus(self.config.reclassified_after), self.analysis(&mut rng, agent, outline.created))
        });
        let half = analysis_at.and_then(|arrival| self.half_written(arrival, &analysis, customer));
        Some(Session {
            id: self.id(outline),
            agent,
            channel,
            created: outline.created,
            ended: outline.ended,
            expired: outline.expired,
            analysis_at,
            analysis,
            half,
            change,
            messages: self.config.messages,
            number: self.number(customer),
            variables: variables(agent, customer),
            customer,
        })
    }

    /// The last digits of a customer's number.
    fn number(&self, customer: u64) -> u32 {
        let mut rng = Rng::with_seed(mix(&[customer, NUMBERS]));
        if rng.f64() < self.config.shared_number_share {
            return 0;
        }
        match self.config.customers {
            Some(customers) => rng.u32(1..=customers.clamp(1, 99_999)),
            None => u32::try_from(customer % 100_000).unwrap_or(0),
        }
    }

    /// What is there of an analysis while it is being written, and when it is whole.
    fn half_written<'c>(
        &self,
        arrival: Timestamp,
        whole: &Analysis<'c>,
        customer: u64,
    ) -> Option<(Timestamp, Analysis<'c>)> {
        let mut rng = Rng::with_seed(mix(&[customer, HALF_WRITTEN]));
        if rng.f64() >= self.config.half_written_share {
            return None;
        }
        let mut later = Part::ALL;
        rng.shuffle(&mut later);
        let mut half = whole.clone();
        half.off.extend(later.into_iter().take(rng.usize(1..Part::ALL.len())));
        Some((arrival.plus(self.config.half_written_for), half))
    }

    /// The parts that are switched off for sessions created then.
    fn switched_off(&self, agent: &AgentProfile, created: Timestamp) -> Vec<Part> {
        let switches = self.config.part_switches.iter().filter(|switch| {
            switch.from <= created && switch.agent.as_ref().is_none_or(|switched| *switched == agent.id)
        });
        let mut off = Vec::new();
        for switch in switches {
            off.retain(|part| *part != switch.part);
            if !switch.on {
                off.push(switch.part);
            }
        }
        off
    }

    fn analysis<'c>(&'c self, rng: &mut Rng, agent: &'c AgentProfile, created: Timestamp) -> Analysis<'c> {
        let (mut unresolved, mut negative, mut broken) = (None, None, None);
        for kind in self.incidents(agent, created) {
            match kind {
                IncidentKind::UnresolvedShare(share) => unresolved = Some(share),
                IncidentKind::NegativeWave(share) => negative = Some(share),
                IncidentKind::IntentUnresolved { intent, share } => broken = Some((intent, share)),
                IncidentKind::Traffic(_) | IncidentKind::Length(_) => {}
            }
        }
        let missing = (rng.f64() < self.config.missing_part_share).then(|| {
            let part = rng.choice(Part::ALL).unwrap_or(Part::Summary);
            (part, if rng.bool() { Missing::Absent } else { Missing::Null })
        });
        let has_intent = rng.f64() >= agent.no_intent_share;
        let intent = pick(rng, &agent.intents).filter(|_| has_intent).map(String::as_str);
        if let Some((broken, share)) = broken
            && agent.intents.get(broken).is_some_and(|(name, _)| intent == Some(name))
        {
            unresolved = Some(share);
        }
        let sentiment = draw_sentiment(rng, agent, negative);
        Analysis {
            missing,
            off: self.switched_off(agent, created),
            intent,
            intent_percent: if intent.is_some() { rng.u32(50..=99) } else { 0 },
            resolution: draw_resolution(rng, agent, unresolved),
            resolution_percent: rng.u32(40..=99),
            sentiment,
            score_percent: match sentiment {
                Some("POSITIVE") => rng.i32(20..=95),
                Some("NEUTRAL") => rng.i32(-19..=19),
                Some(_) => -rng.i32(20..=95),
                None => 0,
            },
            language: pick(rng, &agent.languages).map(String::as_str).filter(|code| !code.is_empty()),
            extracted: agent
                .extracted
                .iter()
                .filter_map(|spec| Some((spec.name.as_str(), draw_extracted(rng, &spec.values)?)))
                .collect(),
        }
    }
}

fn variables(agent: &AgentProfile, customer: u64) -> Vec<(&str, &str)> {
    let mut rng = Rng::with_seed(mix(&[customer, VARIABLES]));
    let drawn =
        agent.variables.iter().filter_map(|(name, values)| Some((name.as_str(), pick(&mut rng, values)?.as_str())));
    drawn.filter(|(_, value)| !value.is_empty()).collect()
}

/// Busy afternoons (14:00 UTC), quiet nights; 1 on average over a day.
fn daily_rhythm(at: Timestamp) -> f64 {
    let hour = (at.as_seconds_f64() / 3600.0).rem_euclid(24.0);
    1.0 + 0.6 * ((hour - 14.0) / 24.0 * std::f64::consts::TAU).cos()
}

/// Saturday or Sunday; day 0 was a Thursday.
fn is_weekend(at: Timestamp) -> bool {
    matches!(at.day().rem_euclid(7), 2 | 3)
}

/// A log-normal length with the profile's mean, times `longer`, and spread, in whole milliseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the conversion saturates")]
fn draw_length(rng: &mut Rng, profile: &AgentProfile, longer: f64) -> Duration {
    let variance = (1.0 + profile.duration_spread * profile.duration_spread).ln();
    let factor = (variance.sqrt() * normal(rng) - variance / 2.0).exp();
    let ms = profile.mean_duration.as_secs_f64() * longer * factor * 1000.0;
    Duration::from_millis(ms as u64).min(profile.longest).max(profile.shortest)
}

fn draw_resolution(rng: &mut Rng, agent: &AgentProfile, unresolved: Option<f64>) -> &'static str {
    let (incident, chance) = (rng.f64(), rng.f64());
    if unresolved.is_some_and(|share| incident < share) {
        return "UNRESOLVED";
    }
    let shares = agent.resolutions;
    if chance < shares.resolved {
        "RESOLVED"
    } else if chance < shares.resolved + shares.partially_resolved {
        "PARTIALLY_RESOLVED"
    } else if chance < shares.resolved + shares.partially_resolved + shares.unresolved {
        "UNRESOLVED"
    } else {
        "NOT_APPLICABLE"
    }
}

fn draw_sentiment(rng: &mut Rng, agent: &AgentProfile, negative: Option<f64>) -> Option<&'static str> {
    let (incident, chance) = (rng.f64(), rng.f64());
    if negative.is_some_and(|share| incident < share) {
        return Some("NEGATIVE");
    }
    let shares = agent.sentiments;
    if chance < shares.positive {
        Some("POSITIVE")
    } else if chance < shares.positive + shares.neutral {
        Some("NEUTRAL")
    } else if chance < shares.positive + shares.neutral + shares.negative {
        Some("NEGATIVE")
    } else {
        None
    }
}

fn draw_extracted<'c>(rng: &mut Rng, values: &'c ExtractedValues) -> Option<Extracted<'c>> {
    Some(match values {
        ExtractedValues::Enum(values) => Extracted::Text(pick(rng, values)?),
        ExtractedValues::Boolean(share) => Extracted::Boolean(rng.f64() < *share),
        ExtractedValues::Tenths(least, most) => Extracted::Tenths(rng.u32(*least..=(*most).max(*least))),
        ExtractedValues::Text => Extracted::Personal,
    })
}
