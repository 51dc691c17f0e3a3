//! Counts sessions in the order of time, sample by sample, and says when a day is complete. Pure: what is counted is handed in,
//! and what a day holds is handed out.

use std::collections::{BTreeMap, BTreeSet};

use super::history::History;
use super::samples::{Moment, MomentKind};
use super::sessions::{Counted, SessionStep};
use crate::catalogue::{Family, SeriesKey};
use crate::clock::Timestamp;
use crate::ledger::Change;
use crate::ledger::past::StartingValue;
use crate::ledger::policy::PolicyConfig;
use crate::ledger::replay::{Replay, Rise};
use crate::observation::is_sampled;
use exposition::BucketSchemaId;

/// The families that are made of messages. Those of sessions that ended before the first start were never read, so that none
/// of them is in a starting value.
const OF_MESSAGES: [Family; 6] =
    [Family::Messages, Family::Turns, Family::FirstResponse, Family::Response, Family::Unanswered, Family::Silent];

/// A day whose samples are all known.
#[derive(Debug)]
pub(super) struct Day<'h> {
    /// Days since 1970.
    pub number: i64,
    /// The times of its samples.
    pub times: &'h [Timestamp],
    pub history: &'h History,
    /// Sessions whose outcome is counted in it.
    pub sessions: u64,
    /// Agents of these.
    pub agents: u64,
}

/// The history so far.
#[derive(Debug)]
pub(super) struct Chronicle {
    config: PolicyConfig,
    replay: Replay,
    history: History,
    starting: BTreeMap<SeriesKey, StartingValue>,
    times: Vec<Timestamp>,
    /// Sessions and agents of the day.
    sessions: u64,
    agents: BTreeSet<String>,
    all_agents: BTreeSet<String>,
}

impl Chronicle {
    /// A history that has not begun. `starting` is what the live counters began with.
    pub(super) fn new(config: PolicyConfig, replay: Replay, starting: BTreeMap<SeriesKey, StartingValue>) -> Self {
        Self {
            config,
            replay,
            history: History::default(),
            starting,
            times: Vec::new(),
            sessions: 0,
            agents: BTreeSet::new(),
            all_agents: BTreeSet::new(),
        }
    }

    /// What is counted of sessions whose start lies before the first sample: it is known, and in no sample.
    pub(super) fn before(&mut self, counted: &[Counted]) {
        self.replay(counted);
    }

    /// A sample, and what it shows first. `of_day` is given the day before, if this is the first sample of another one.
    ///
    /// # Errors
    /// If `of_day` fails.
    pub(super) fn sample<E>(
        &mut self,
        moment: Moment,
        counted: &[Counted],
        of_day: &mut impl FnMut(Day<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let rises = self.replay(counted);
        // A series is 0 at the sample before its first rise, so that no rise is missed. That sample may be of the day before.
        let before = self.times.last().copied().unwrap_or(moment.at);
        match moment.kind {
            MomentKind::Past => self.begin(rises.iter().map(|rise| (&rise.key, rise.schema)), before),
            MomentKind::Fall => {
                let starting: Vec<_> = self.starting.iter().map(|(key, value)| (key.clone(), value.schema)).collect();
                self.begin(starting.iter().map(|(key, schema)| (key, *schema)), moment.at);
            }
            MomentKind::LookBack | MomentKind::Junction => {}
        }
        if self.times.last().is_some_and(|last| last.day() != moment.at.day()) {
            self.end_day(of_day)?;
        }
        self.history.at_sample(self.times.len());
        self.times.push(moment.at);
        self.note(counted);
        match moment.kind {
            MomentKind::Past => self.rise(&rises),
            MomentKind::Fall => self.history.fall(),
            MomentKind::LookBack => self.rise_to_starting_values(&rises),
            MomentKind::Junction => self.reach_starting_values(),
        }
        Ok(())
    }

    /// Counts of sessions in the look-back only what their messages come to, which the live counters never will.
    pub(super) fn messages_of_look_back(&mut self, counted: &[Counted], at: Timestamp) {
        let mut rises = self.replay(counted);
        rises.retain(|rise| OF_MESSAGES.contains(&rise.key.family));
        let before = self.times.iter().rev().nth(1).copied().unwrap_or(at);
        self.begin(rises.iter().map(|rise| (&rise.key, rise.schema)), before);
        self.rise(&rises);
    }

    /// Whether sessions' messages are counted.
    pub(super) fn reads_messages(&self) -> bool {
        self.config.messages.enabled
    }

    /// The history is complete: `of_day` is given the last day.
    ///
    /// # Errors
    /// If `of_day` fails.
    pub(super) fn end<E>(mut self, of_day: &mut impl FnMut(Day<'_>) -> Result<(), E>) -> Result<(u64, Replay), E> {
        if !self.times.is_empty() {
            self.end_day(of_day)?;
        }
        Ok((self.all_agents.len() as u64, self.replay))
    }

    fn replay(&mut self, counted: &[Counted]) -> Vec<Rise> {
        let messages = self.config.messages;
        let changes: Vec<Change> = counted
            .iter()
            .flat_map(|counted| counted.changes(messages.enabled && is_sampled(&counted.facts.id, messages.share)))
            .collect();
        if changes.is_empty() { Vec::new() } else { self.replay.count(&changes) }
    }

    fn begin<'r>(&mut self, series: impl Iterator<Item = (&'r SeriesKey, BucketSchemaId)>, at: Timestamp) {
        for (key, schema) in series {
            self.history.begin(key, schema, &self.config.bucket_schemas, at);
        }
    }

    fn rise(&mut self, rises: &[Rise]) {
        for rise in rises {
            self.history.rise(&rise.key, &rise.counts);
        }
    }

    /// A series never rises above its starting value: a page that shows less would be taken for a reset.
    fn rise_to_starting_values(&mut self, rises: &[Rise]) {
        for Rise { key, counts, .. } in rises {
            let (Some(now), Some(starting)) = (self.history.get(key), self.starting.get(key)) else { continue };
            let room = starting.counts.iter().zip(now.now()).map(|(starting, now)| starting.saturating_sub(*now));
            let fits: Vec<u64> = counts.iter().zip(room).map(|(amount, room)| room.min(*amount)).collect();
            self.history.rise(key, &fits);
        }
    }

    fn reach_starting_values(&mut self) {
        for (key, StartingValue { counts, .. }) in &self.starting {
            let Some(now) = self.history.get(key) else { continue };
            let left: Vec<u64> = counts.iter().zip(now.now()).map(|(to, now)| to.saturating_sub(*now)).collect();
            self.history.rise(key, &left);
        }
    }

    fn note(&mut self, counted: &[Counted]) {
        for counted in counted.iter().filter(|counted| counted.step == SessionStep::Outcome) {
            self.sessions += 1;
            if !self.agents.contains(&counted.facts.channel.agent_id) {
                self.agents.insert(counted.facts.channel.agent_id.clone());
            }
        }
    }

    fn end_day<E>(&mut self, of_day: &mut impl FnMut(Day<'_>) -> Result<(), E>) -> Result<(), E> {
        let Some(last) = self.times.last() else { return Ok(()) };
        let (number, sessions) = (last.day(), std::mem::take(&mut self.sessions));
        let mut of_day_before = std::mem::take(&mut self.agents);
        let agents = of_day_before.len() as u64;
        self.all_agents.append(&mut of_day_before);
        of_day(Day { number, times: &self.times, history: &self.history, sessions, agents })?;
        self.history.next_day();
        self.times.clear();
        Ok(())
    }
}
