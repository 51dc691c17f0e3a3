//! Counts a history with the ledger's own policy: [`Replay`] takes sessions in the order of time and answers by how much each
//! series rises. Pure: what it remembers is in memory, and nothing is stored.
//!
//! Whoever replays gives each session once. What is remembered is therefore little: sessions between their start and their
//! outcome, customers within the longest window, and which series there are.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::Change;
use super::Pending;
use super::past::Past;
use super::policy::contacts::ContactKey;
use super::policy::rows::{Known, PendingWrite, Rows, SeriesWrite, Writes, wanted_contacts, wanted_pending};
use super::policy::{Decision, Policy, PolicyConfig};
use crate::catalogue::SeriesKey;
use crate::clock::Timestamp;
use exposition::BucketSchemaId;

/// By how much a series rises. One that begins without a rise has an amount of 0 at each place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rise {
    /// Which series.
    pub key: SeriesKey,
    /// The bounds of its buckets.
    pub schema: BucketSchemaId,
    /// What is added to each of its counts.
    pub counts: Box<[u64]>,
}

/// A policy, and the rows that it wants of a history.
#[derive(Debug)]
pub struct Replay {
    policy: Policy,
    pending: HashMap<Arc<str>, Pending>,
    contacts: HashMap<ContactKey, (Timestamp, Box<[u8]>)>,
    series: HashSet<SeriesKey>,
    charged: u64,
    /// How often a value was folded into `other`, by label.
    folded: std::collections::BTreeMap<Box<str>, u64>,
}

impl Replay {
    /// Begins with the label values and the series that the live counters have, so that both name the same series and keep
    /// within one bound (promise P8).
    pub fn new(config: PolicyConfig, past: &Past) -> Self {
        let prices = config.charges();
        let charged = past
            .series
            .iter()
            .map(|(key, layout)| {
                let schema = config.bucket_schemas.by_name(layout).unwrap_or(BucketSchemaId::NONE);
                prices.of(key.family, key.labels.as_str(), schema)
            })
            .sum();
        let series = past.series.iter().map(|(key, _)| key.clone()).collect();
        // The look-back is over: what is replayed are events, and no starting values.
        let known = Known { admitted: past.admitted.clone(), look_back_done: true, ..Known::default() };
        Self {
            policy: Policy::new(config, known),
            pending: HashMap::new(),
            contacts: HashMap::new(),
            series,
            charged,
            folded: std::collections::BTreeMap::new(),
        }
    }

    /// Counts `changes`, which are in the order of time and not before any that were counted. The rises are in the order of
    /// the page.
    pub fn count(&mut self, changes: &[Change]) -> Vec<Rise> {
        let mut rows = Rows { charged: self.charged, ..Rows::default() };
        for id in wanted_pending(changes) {
            if let Some(found) = self.pending.get(id) {
                rows.pending.insert(Arc::clone(id), found.clone());
            }
        }
        for key in wanted_contacts(changes) {
            if let Some((_, record)) = self.contacts.get(&key) {
                rows.contacts.insert(key, record.clone());
            }
        }
        let series = &self.series;
        let Decision { writes, overflow, .. } =
            self.policy.decide(rows, changes, &mut |key: &SeriesKey| series.contains(key));
        for label in overflow {
            *self.folded.entry(label).or_default() += 1;
        }
        self.write(writes)
    }

    /// How often a value was folded into `other`, by label.
    pub fn folded(&self) -> &std::collections::BTreeMap<Box<str>, u64> {
        &self.folded
    }

    fn write(&mut self, writes: Writes) -> Vec<Rise> {
        for write in writes.pending {
            match write {
                PendingWrite::Insert(row) | PendingWrite::Replace(row) => {
                    self.pending.insert(Arc::clone(&row.id), row);
                }
                PendingWrite::Delete(id) => drop(self.pending.remove(&id)),
            }
        }
        for write in writes.contacts {
            match write.record {
                Some(record) => {
                    self.contacts.insert(write.key, (Timestamp::from_millis(write.newest), record));
                }
                None => drop(self.contacts.remove(&write.key)),
            }
        }
        if let Some(before) = writes.forget_contacts {
            self.contacts.retain(|_, (newest, _)| *newest >= before);
        }
        let mut rises = Vec::new();
        for write in writes.series {
            let SeriesWrite::Add(additions) = write else { continue };
            for (key, delta) in additions.sums.deltas {
                let schema = delta.schema();
                let is_new = self.series.insert(key.clone());
                if is_new {
                    let charges = self.policy.config().charges();
                    self.charged += charges.of(key.family, key.labels.as_str(), schema);
                }
                rises.push(Rise { key, schema, counts: delta.counts });
            }
        }
        rises.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        rises
    }
}
