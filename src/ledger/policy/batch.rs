//! A batch of changes being decided: which steps of a session are still to be counted, and what is remembered of it. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::admission::Gate;
use super::classification::{self, Judgement, STARTED_ONLY};
use super::overlay::Overlay;
use super::repeats::Customers;
use super::room::Room;
use super::rows::{CountedRow, LeaseWrite, Number, Rows, SeriesWrite, Writes};
use super::state::{Decision, Policy, PolicyConfig};
use super::sums::{Additions, LookBack, Sums};
use crate::catalogue::Family;
use crate::catalogue::SeriesKey;
use crate::clock::Timestamp;
use crate::ledger::{Change, CommitOutcome, Pending};
use crate::observation::{
    Addition, Named, OTHER, Step, additions, admitted_channel, message_additions, zero_initialized,
};
use crate::session::{Channel, Ended, Facts, MessageTally, Outcome, Parts, Source, Stage};
use exposition::BucketSchemaId;
use exposition::LabelSet;

const DAY_MS: i64 = 86_400_000;
/// Covers the window of the budget, the validity of a lease and a request's time-out.
const LEASES_KEPT: Duration = Duration::from_secs(120);

/// A batch, and what its changes so far have come to.
pub(super) struct Batch<'b> {
    pub(super) policy: &'b mut Policy,
    pub(super) sessions: Overlay,
    pub(super) writes: Writes,
    pub(super) sums: Sums,
    pub(super) customers: Customers,
    /// The latest time of a change.
    pub(super) now: Timestamp,
    /// How many changes the batch has.
    changes: usize,
    /// What the series are charged that the batch brings.
    charged: u64,
    exists: &'b mut dyn FnMut(&SeriesKey) -> bool,
}

impl<'b> Batch<'b> {
    /// Nothing decided yet.
    pub(super) fn new(
        policy: &'b mut Policy,
        rows: Rows,
        changes: usize,
        exists: &'b mut dyn FnMut(&SeriesKey) -> bool,
    ) -> Self {
        Self {
            policy,
            sessions: Overlay::new(rows),
            writes: Writes::default(),
            sums: Sums::of_changes(changes),
            customers: Customers::default(),
            now: Timestamp::default(),
            changes,
            charged: 0,
            exists,
        }
    }

    /// Decides on one change.
    pub(super) fn apply(&mut self, change: &Change) -> CommitOutcome {
        match change {
            Change::Session { facts, source, now } => return self.session(facts, *source, *now),
            Change::Heard { id, source, now } => self.heard(id, *source, *now),
            Change::GiveUp { id, now } => self.give_up(id, *now),
            Change::Messages { id, tally } if !self.messages(id, tally.as_deref()) => {
                return CommitOutcome::AlreadyCounted;
            }
            Change::Messages { .. } => {}
            Change::Release(keys) => self.writes.series.push(SeriesWrite::Release(Arc::clone(keys))),
            Change::FirstStart(at) => self.first_start(*at),
            Change::Watermark(at) => {
                if self.policy.watermark.is_none_or(|known| *at > known) {
                    self.policy.watermark = Some(*at);
                    self.set(Number::Watermark, at.as_millis());
                }
            }
            Change::OpenListed => self.set(Number::OpenListed, 1),
            Change::Path { path, place } => self.set(Number::Path(*path), i64::from(*place)),
            Change::LookBackDone => {
                // What came before it in the same batch is in the starting values still.
                self.add_up();
                if !self.policy.look_back.done {
                    self.writes.series.push(SeriesWrite::Starting);
                }
                self.set(Number::LookBackDone, 1);
                self.policy.look_back.done = true;
            }
            Change::Lease(lease) => {
                let forget_before = lease.granted.minus(LEASES_KEPT);
                self.writes.leases.push(LeaseWrite::Grant { lease: *lease, forget_before });
            }
            Change::LeaseUnused(count) => self.writes.leases.push(LeaseWrite::Shorten(*count)),
            Change::ApiLimit(limit) => self.set(Number::ApiLimit, i64::from(*limit)),
        }
        CommitOutcome::Done
    }

    /// All that the batch comes to.
    pub(super) fn finish(mut self, outcomes: Vec<CommitOutcome>) -> Decision {
        self.add_up();
        if self.now > Timestamp::default() {
            let forgetting = self.policy.retention.forget(self.now);
            if let Some(floor) = forgetting.floor {
                self.set(Number::Floor, floor);
            }
            self.writes.forget = forgetting.day;
            let longest = self.policy.config.windows.iter().map(|(_, length)| *length).max();
            // The newest session holds it down, so that a clock that jumps ahead forgets nobody.
            let newest = self.policy.newest_contact.map(|newest| newest.min(self.now));
            self.writes.forget_contacts = newest.zip(longest).map(|(newest, longest)| newest.minus(longest));
        }
        let Self { policy, sessions, customers, mut writes, .. } = self;
        sessions.write_to(&mut writes);
        let shared_contacts = customers.shared;
        customers.write_to(&mut writes);
        writes.admitted = policy.admission.take_added();
        Decision { outcomes, writes, overflow: policy.admission.take_overflow(), shared_contacts }
    }

    fn set(&mut self, number: Number, value: i64) {
        self.writes.numbers.push((number, value));
    }

    /// Closes the sums so far, as the look-back stands.
    fn add_up(&mut self) {
        let (sums, look_back, now) = (std::mem::take(&mut self.sums), self.policy.look_back, self.now);
        if !sums.deltas.is_empty() {
            self.writes.series.push(SeriesWrite::Add(Additions { sums, look_back, now }));
        }
    }

    /// Dates the first start, once. What was counted before stays as it was counted.
    fn first_start(&mut self, at: Timestamp) {
        if self.policy.look_back.first_start.is_some() {
            return;
        }
        self.policy.look_back.first_start = Some(at);
        let (floor, before) = self.policy.retention.begin(at);
        self.sessions.keep_for_good(&before);
        // One that is new with this batch is not stored yet.
        self.writes.keep_for_good = before.into_iter().filter(|day| !self.writes.new_days.remove(day)).collect();
        self.set(Number::FirstStart, at.as_millis());
        self.set(Number::InitialFloor, floor);
        self.set(Number::Floor, floor);
    }

    fn session(&mut self, facts: &Facts, source: Source, now: Timestamp) -> CommitOutcome {
        self.now = self.now.max(now);
        let look_back = self.policy.look_back;
        let rows = self.sessions.session(&facts.id);
        // One that only waits for its messages is counted, and is one that nobody waits for here.
        let waits_for_messages = rows.pending().is_some_and(|pending| pending.stage == Stage::Messages);
        let known = rows.pending().filter(|_| !waits_for_messages);
        let known = known.map(|pending| (pending.stage, pending.heard, pending.source));
        let mut stage = known.map_or(Stage::Known, |(stage, ..)| stage);
        let mut is_resumed = false;
        // A configured id is heard of again at every start, so that it says nothing of what was counted.
        if stage == Stage::Known {
            let counted = rows.counted();
            if counted.is_some_and(|found| found.parts == STARTED_ONLY) {
                // It was given up while it was open, and here it is again: its start is counted, the rest is not.
                rows.set_counted(None);
                (stage, is_resumed) = (Stage::Open, true);
            } else if counted.is_some() || self.policy.retention.is_forgotten(facts.created) {
                if known.is_some() {
                    rows.set_pending(None);
                }
                let Some(found) = counted else { return CommitOutcome::TooOld };
                self.reclassify(facts, found, look_back);
                return if waits_for_messages { CommitOutcome::AwaitsMessages } else { CommitOutcome::AlreadyCounted };
            }
        }
        let folded = self.policy.admission.folded();
        let channel = self.channel(&facts.channel, &facts.id, now, look_back);
        if stage >= Stage::Open {
            // That the session is counted under `other` was reported with its start.
            self.policy.admission.keep_folded(folded);
        }
        if stage < Stage::Open {
            self.step(facts, Step::Started, &channel, look_back);
        }
        if stage < Stage::Ended && facts.ended.is_some() {
            self.step(facts, Step::Ended, &channel, look_back);
        }
        if let (Some(ended), Some(outcome)) = (&facts.ended, &facts.outcome) {
            self.step(facts, Step::Outcome, &channel, look_back);
            self.hold(facts, &channel, look_back);
            self.counted(&facts.id, facts.created, classification::remember(facts, outcome));
            let historic = look_back.is_historic(ended.at);
            if self.policy.config.reads_messages_of(&facts.id) && !historic {
                // It waits from now on.
                let stage = Stage::Messages;
                let (id, created, ended) = (Arc::clone(&facts.id), Some(facts.created), Some(ended.at));
                let source = known.map_or(source, |(.., source)| source);
                let row = Pending { id, created, stage, ended, channel: Some(channel), heard: now, source };
                self.sessions.session(&facts.id).set_pending(Some(row));
            } else if known.is_some() {
                self.sessions.session(&facts.id).set_pending(None);
            }
            if !outcome.timed_out {
                self.learn(facts);
            }
            let new = known.is_none() && !is_resumed;
            return CommitOutcome::Counted { historic, new };
        }
        let reached = if facts.ended.is_some() { Stage::Ended } else { Stage::Open };
        if known.is_none_or(|(stage, ..)| stage < reached) {
            self.sessions.session(&facts.id).set_pending(Some(Pending {
                id: Arc::clone(&facts.id),
                created: Some(facts.created),
                stage: reached,
                ended: facts.ended.as_ref().map(|ended| ended.at),
                channel: Some(Arc::clone(&channel)),
                heard: known.map_or(now, |(_, heard, _)| heard),
                source: known.map_or(source, |(.., source)| source),
            }));
        }
        // A stage that was reached is never left again, even if the API says OPEN after CLOSED.
        CommitOutcome::Pending { stage: reached.max(stage), channel }
    }

    /// Remembers a session as counted.
    fn counted(&mut self, id: &Arc<str>, created: Timestamp, parts: i64) {
        let (day, is_new) = self.policy.retention.remember(created);
        if let (Some(day), true) = (day, is_new) {
            self.writes.new_days.insert(day);
        }
        self.sessions.session(id).set_counted(Some(CountedRow { parts, day }));
    }

    /// Remembers which parts the analysis of a counted session has.
    fn learn(&mut self, facts: &Facts) {
        let PolicyConfig { agents, extracted, .. } = &self.policy.config;
        let agent = &facts.channel.agent_id;
        if let Some(code) = agents.learn(agent, facts.parts, Parts::counted(!extracted.is_empty())) {
            self.writes.agents.push((agent.as_str().into(), code));
        }
    }

    /// The channel under which a session is counted. Its series are zero-initialized the first time.
    fn channel(&mut self, channel: &Channel, session: &Arc<str>, now: Timestamp, look_back: LookBack) -> Arc<Channel> {
        // One that has series under its own values was admitted. With `other` in it, it may stand for those that were not.
        if let Some(known) = self.policy.channels.get(channel)
            && !channel.values().contains(&OTHER)
        {
            return Arc::clone(known);
        }
        let channel = self.gated(|gate| admitted_channel(channel, gate));
        let Policy { config, channels, .. } = &mut *self.policy;
        if let Some(known) = channels.get(&channel) {
            return Arc::clone(known);
        }
        self.sums.add(zero_initialized(&channel, now), session, &config.bucket_schemas, look_back);
        let channel = Arc::new(channel);
        channels.insert(Arc::clone(&channel));
        channel
    }

    /// Lets `act` ask which values and series are admitted.
    pub(super) fn gated<T>(&mut self, act: impl FnOnce(&mut Gate<'_>) -> T) -> T {
        let Self { policy, sessions, writes, sums, changes, charged, exists, .. } = self;
        let Policy { config, admission, .. } = &mut **policy;
        let mut exists = |key: &SeriesKey| {
            let is_in = |write: &SeriesWrite| matches!(write, SeriesWrite::Add(additions) if additions.sums.deltas.contains_key(key));
            sums.deltas.contains_key(key) || writes.series.iter().any(is_in) || exists(key)
        };
        let limit = (admission.max_series(), sessions.charged());
        let room = Room::of(&config.charges, limit, *changes, charged, &mut exists);
        act(&mut Gate { admission, room })
    }

    fn step(&mut self, facts: &Facts, step: Step, channel: &Channel, look_back: LookBack) {
        let PolicyConfig { bucket_schemas, extracted, variables, .. } = &self.policy.config;
        let bucket_schemas = Arc::clone(bucket_schemas);
        let (extracted, variables) = (Arc::clone(extracted), Arc::clone(variables));
        let named = Named { extracted: &extracted, variables: &variables };
        let additions = self.gated(|gate| additions(facts, step, channel, &bucket_schemas, named, gate));
        self.sums.add(additions, &facts.id, &bucket_schemas, look_back);
    }

    fn reclassify(&mut self, facts: &Facts, found: CountedRow, look_back: LookBack) {
        // Without an analysis there is nothing to compare with: a session does not lose the one it had.
        let Some(outcome) = facts.outcome.as_ref().filter(|outcome| !outcome.timed_out) else { return };
        // What is remembered of when an analysis was made counts from the day under which the session was counted.
        let counted_as = found
            .day
            .filter(|day| *day != facts.created.day())
            .map(|day| Facts { created: Timestamp::from_millis(day.saturating_mul(DAY_MS)), ..facts.clone() });
        let (parts, remember) = match classification::judge(found.parts, counted_as.as_ref().unwrap_or(facts), outcome)
        {
            Judgement::Stands => return,
            Judgement::Confirmed(remember) => (Vec::new(), remember),
            Judgement::Replaced { parts, remember } => (parts, remember),
        };
        let folded = self.policy.admission.folded();
        let channel = self.channel(&facts.channel, &facts.id, self.now, look_back);
        self.policy.admission.keep_folded(folded);
        for part in parts {
            let family = Family::Reclassifications;
            let labels = LabelSet::new(family.descriptor().labels, [channel.agent_id.as_str(), part]);
            let addition = Addition {
                key: SeriesKey { family, labels },
                schema: BucketSchemaId::NONE,
                bucket: 0,
                amount: 1,
                sum: 0,
                at: self.now,
                exemplar: None,
            };
            self.sums.add(vec![addition], &facts.id, &self.policy.config.bucket_schemas, look_back);
        }
        self.sessions.session(&facts.id).set_counted(Some(CountedRow { parts: remember, ..found }));
    }

    fn heard(&mut self, id: &Arc<str>, source: Source, now: Timestamp) {
        let rows = self.sessions.session(id);
        if rows.pending().is_none() {
            let stage = Stage::Known;
            let pending =
                Pending { id: Arc::clone(id), created: None, stage, ended: None, channel: None, heard: now, source };
            rows.set_pending(Some(pending));
        }
    }

    /// Counts the messages of a session that waits for them, once.
    /// Whether the session was waiting for them.
    fn messages(&mut self, id: &Arc<str>, tally: Option<&MessageTally>) -> bool {
        let look_back = self.policy.look_back;
        let rows = self.sessions.session(id);
        let Some(row) = rows.pending().filter(|row| row.stage == Stage::Messages).cloned() else { return false };
        rows.set_pending(None);
        if let (Some(tally), Some(channel), Some(at)) = (tally, &row.channel, row.ended) {
            // What begins with it begins when it was counted, so that no clock is needed here.
            self.now = self.now.max(row.heard);
            let schemas = Arc::clone(&self.policy.config.bucket_schemas);
            let additions = self.gated(|gate| message_additions(tally, channel, at, &schemas, gate));
            self.sums.add(additions, id, &schemas, look_back);
        }
        true
    }

    fn give_up(&mut self, id: &Arc<str>, now: Timestamp) {
        self.now = self.now.max(now);
        let look_back = self.policy.look_back;
        let rows = self.sessions.session(id);
        let Some(pending) = rows.pending().filter(|row| row.stage != Stage::Messages).cloned() else { return };
        rows.set_pending(None);
        if let (Stage::Open, Some(created)) = (pending.stage, pending.created) {
            // It may come back, and its start is counted.
            self.counted(id, created, STARTED_ONLY);
        }
        if let (Some(created), Some(channel), Some(at)) = (pending.created, &pending.channel, pending.ended) {
            let outcome = Outcome { timed_out: true, ..Outcome::default() };
            let facts = Facts {
                id: Arc::clone(id),
                created,
                channel: Channel::clone(channel),
                state: String::new(),
                last_activity: None,
                updated: None,
                ended: Some(Ended { at, duration_ms: None }),
                outcome: Some(outcome.clone()),
                contact: None,
                parts: Parts::NONE,
                malformed: Vec::new(),
            };
            self.step(&facts, Step::Outcome, channel, look_back);
            self.counted(id, created, classification::remember(&facts, &outcome));
        }
    }
}
