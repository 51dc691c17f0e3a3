//! The policy alone: rows in memory, and crashes at will.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Backend;
use crate::catalogue::{SeriesKey, SeriesState};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::ledger::policy::rows::{
    Admitted, CountedRow, Known, LeaseWrite, Number, PendingWrite, Rows, SeriesWrite, SessionKey, Writes, session_key,
    wanted_contacts, wanted_counted, wanted_pending,
};
use crate::ledger::policy::sums::Additions;
use crate::ledger::policy::{Decision, Policy, PolicyConfig};
use crate::ledger::{Change, CommitOutcome, Lease, Opened, Pending};

/// A ledger that keeps its rows in memory.
pub(super) struct Memory {
    config: Config,
    policy: Policy,
    stored: Stored,
    overflow: Vec<Box<str>>,
}

/// What would be on the disk.
#[derive(Debug, Default)]
struct Stored {
    pending: BTreeMap<Arc<str>, Pending>,
    counted: HashMap<SessionKey, CountedRow>,
    days: BTreeSet<i64>,
    series: BTreeMap<SeriesKey, SeriesState>,
    numbers: Vec<(Number, i64)>,
    admitted: Vec<Admitted>,
    agents: BTreeMap<Box<str>, i64>,
    leases: Vec<Lease>,
    contacts: HashMap<[u8; 16], Box<[u8]>>,
    contact_places: Vec<(Box<str>, Box<str>)>,
}

impl Memory {
    /// Decides on a batch, and crashes before any of it is durable: the daemon starts again from what is stored.
    pub(super) fn crash(&mut self, changes: &[Change]) {
        let _ = self.decide(changes);
        self.restart();
    }

    fn restart(&mut self) {
        self.policy = Policy::new(PolicyConfig::from(&self.config), self.stored.known());
    }

    fn decide(&mut self, changes: &[Change]) -> Decision {
        let Stored { pending, counted, series, contacts, .. } = &self.stored;
        let price = self.policy.config().charges();
        let of = |state: &SeriesState| price.of(state.key.family, state.key.labels.as_str(), state.schema);
        let mut rows = Rows { charged: series.values().map(of).sum(), ..Rows::default() };
        rows.pending = wanted_pending(changes).filter_map(|id| Some((id.clone(), pending.get(id)?.clone()))).collect();
        let counted = |(id, _): (&Arc<str>, Timestamp)| Some((Arc::clone(id), *counted.get(&session_key(id))?));
        rows.counted = wanted_counted(changes, &rows.pending).filter_map(counted).collect();
        rows.contacts = wanted_contacts(changes).filter_map(|key| Some((key, contacts.get(&key)?.clone()))).collect();
        self.policy.decide(rows, changes, &mut |key| series.contains_key(key))
    }
}

impl Backend for Memory {
    fn begin(config: Config) -> Self {
        let policy = Policy::new(PolicyConfig::from(&config), Known::default());
        Self { config, policy, stored: Stored::default(), overflow: Vec::new() }
    }

    fn commit(&mut self, changes: Vec<Change>) -> Vec<CommitOutcome> {
        let Decision { outcomes, writes, overflow, .. } = self.decide(&changes);
        self.stored.write(writes);
        self.overflow.extend(overflow);
        outcomes
    }

    fn reopen(&mut self) -> Opened {
        self.restart();
        let Stored { pending, series, leases, .. } = &self.stored;
        Opened {
            pending: pending.values().cloned().collect(),
            series: series.values().cloned().collect(),
            first_start: self.policy.look_back().first_start,
            look_back_done: self.policy.look_back().done,
            watermark: self.policy.watermark(),
            leases: leases.clone(),
            agents: self.policy.config().agents.clone(),
            ..Opened::default()
        }
    }

    fn take_overflow(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.overflow)
    }
}

impl Stored {
    fn number(&self, number: Number) -> Option<i64> {
        self.numbers.iter().rev().find(|(known, _)| *known == number).map(|(_, value)| *value)
    }

    fn known(&self) -> Known {
        Known {
            admitted: self.admitted.clone(),
            agents: self.agents.iter().map(|(agent, code)| (agent.clone(), *code)).collect(),
            days: self.days.clone(),
            initial_floor: self.number(Number::InitialFloor),
            floor: self.number(Number::Floor),
            first_start: self.number(Number::FirstStart).map(Timestamp::from_millis),
            look_back_done: self.number(Number::LookBackDone) == Some(1),
            watermark: self.number(Number::Watermark).map(Timestamp::from_millis),
            contact_places: self.contact_places.clone(),
        }
    }

    fn write(&mut self, writes: Writes) {
        for day in &writes.keep_for_good {
            assert!(self.days.remove(day), "a day that is kept for good was stored");
            self.counted.values_mut().filter(|row| row.day == Some(*day)).for_each(|row| row.day = None);
        }
        self.days.extend(&writes.new_days);
        for write in writes.pending {
            match write {
                PendingWrite::Insert(row) => assert_eq!(self.pending.insert(row.id.clone(), row), None),
                PendingWrite::Replace(row) => assert!(self.pending.insert(row.id.clone(), row).is_some()),
                PendingWrite::Delete(id) => assert!(self.pending.remove(&id).is_some()),
            }
        }
        for write in writes.counted {
            let before = match write.after {
                Some(row) => {
                    assert!(row.day.is_none_or(|day| self.days.contains(&day)), "{row:?} has a day to be under");
                    self.counted.insert(write.key, row)
                }
                None => self.counted.remove(&write.key),
            };
            assert_eq!(before, write.before, "a row is as it was loaded");
        }
        if let Some(day) = writes.forget {
            assert!(self.days.remove(&day));
            self.counted.retain(|_, row| row.day != Some(day));
        }
        for write in writes.contacts {
            let before = match write.record {
                Some(record) => self.contacts.insert(write.key, record),
                None => self.contacts.remove(&write.key),
            };
            assert_eq!(before.is_some(), write.is_known, "a row is as it was loaded");
        }
        for (number, agent, session_type) in writes.contact_places {
            assert_eq!(usize::from(number), self.contact_places.len());
            self.contact_places.push((agent, session_type));
        }
        self.numbers.extend(writes.numbers);
        self.agents.extend(writes.agents);
        for admitted in writes.admitted {
            assert!(!self.admitted.contains(&admitted), "{admitted:?} is admitted once");
            self.admitted.push(admitted);
        }
        for write in writes.leases {
            match write {
                LeaseWrite::Grant { lease, forget_before } => {
                    self.leases.retain(|known| known.granted >= forget_before);
                    self.leases.iter_mut().for_each(|known| known.granted = known.granted.min(lease.granted));
                    self.leases.push(lease);
                }
                LeaseWrite::Shorten(unused) => {
                    if let Some(last) = self.leases.last_mut() {
                        last.count = last.count.saturating_sub(unused);
                    }
                }
            }
        }
        for write in writes.series {
            match write {
                SeriesWrite::Add(additions) => self.add(additions),
                // Nothing that counts goes by them.
                SeriesWrite::Starting => {}
                SeriesWrite::Release(keys) => keys.iter().for_each(|key| {
                    if let Some(state) = self.series.get_mut(key) {
                        state.held_counts = None;
                    }
                }),
            }
        }
    }

    fn add(&mut self, Additions { sums, look_back, now }: Additions) {
        for (key, delta) in sums.deltas {
            match self.series.get_mut(&key) {
                Some(state) => delta.add_to(state, look_back),
                None => drop(self.series.insert(key.clone(), delta.into_new_series(key, now, look_back))),
            }
        }
    }
}
