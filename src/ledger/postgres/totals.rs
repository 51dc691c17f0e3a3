//! The series in memory, by their numbers: whoever counts adds to them what a batch comes to and says it in the row that is
//! appended; whoever follows reads the rows and so comes to the same. Pure.
//!
//! None of them is looked up in the database: there is one writer, and it has them all.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use exposition::{BucketSchema, BucketSchemaId, BucketSchemas, LabelSet};
use hashbrown::{DefaultHashBuilder, HashTable};

use super::news::{self, Item, Row, State};
use crate::catalogue::{Family, SeriesKey, SeriesState};
use crate::ledger::policy::PolicyConfig;
use crate::ledger::policy::room::Charges;
use crate::ledger::policy::sums::Additions;
use crate::ledger::{Committed, encoding};

/// How many numbers may be missing in a row. None is, but where rows were taken out by hand.
const MOST_MISSING: usize = 1_000_000;

/// A series as it is stored.
#[derive(Clone, Debug)]
pub(super) struct StoredSeries {
    /// Its number.
    pub(super) id: u32,
    /// The code of its family.
    pub(super) family: u8,
    /// Its labels.
    pub(super) labels: Box<str>,
    /// The name of its buckets.
    pub(super) buckets: Box<str>,
    /// Its state.
    pub(super) state: State,
}

/// All series.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// The numbers of those that are shown, by their keys, which are not repeated here: labels are most of what a series takes.
    ids: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// By number.
    series: Vec<Slot>,
    /// The numbers of those that have changed since they were last stored.
    changed: BTreeSet<u32>,
    /// What all of them are charged.
    charged: u64,
}

/// What a number stands for.
#[derive(Clone, Debug, Default)]
enum Slot {
    /// Nothing.
    #[default]
    Free,
    /// A series that is shown.
    Shown(SeriesState),
    /// A series that this version or configuration does not know. It is kept as it is for those that do.
    Hidden(StoredSeries),
}

/// What a row has made of the series.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// The new states, the windows that have ended.
    pub(super) committed: Committed,
    /// The look-back is done.
    pub(super) look_back_done: bool,
    /// Everything has to be read again.
    pub(super) is_stale: bool,
}

impl Totals {
    /// Takes in a series as it is stored. `None`: it makes no sense.
    pub(super) fn insert(&mut self, stored: StoredSeries, schemas: &BucketSchemas, charges: &Charges) -> Option<()> {
        let place = usize::try_from(stored.id).ok()?;
        // Numbers follow one another, so that a huge one is damage.
        if place > self.series.len() + MOST_MISSING {
            return None;
        }
        if self.series.len() <= place {
            self.series.resize_with(place + 1, Slot::default);
        }
        if !matches!(self.series.get(place)?, Slot::Free) {
            return None;
        }
        let id = stored.id;
        let slot = match (Family::from_code(stored.family), schemas.by_name(&stored.buckets)) {
            (Some(family), Some(schema)) => {
                let StoredSeries { labels, state: State { created_ms, counts, held_counts }, .. } = stored;
                let width = schemas.width(schema);
                if counts.len() != width || held_counts.as_ref().is_some_and(|held| held.len() != width) {
                    return None;
                }
                let labels = LabelSet::parse(family.descriptor().labels, &labels)?;
                let key = SeriesKey { family, labels };
                if self.has(&key) {
                    return None;
                }
                self.charged += charges.of(family, key.labels.as_str(), schema);
                Slot::Shown(SeriesState { key, schema, created_ms, counts, held_counts })
            }
            _ => Slot::Hidden(stored),
        };
        let is_shown = matches!(slot, Slot::Shown(_));
        *self.series.get_mut(place)? = slot;
        if is_shown {
            self.index(id);
        }
        Some(())
    }

    /// Counts the histograms of these buckets on under other bounds than they were counted with.
    pub(super) fn carry_over(&mut self, buckets: BucketSchemaId, before: &[f64], schema: &BucketSchema) {
        for (id, slot) in (0..).zip(&mut self.series) {
            let Slot::Shown(state) = slot else { continue };
            if state.schema == buckets {
                let carry = |counts: &[u64]| encoding::carried_over(counts, before, schema).into_boxed_slice();
                let held = state.held_counts.as_deref().map(carry);
                (state.counts, state.held_counts) = (carry(&state.counts), held);
                self.changed.insert(id);
            }
        }
    }

    /// What all series are charged.
    pub(super) fn charged(&self) -> u64 {
        self.charged
    }

    /// Whether the series is there.
    pub(super) fn has(&self, key: &SeriesKey) -> bool {
        self.id(key).is_some()
    }

    fn id(&self, key: &SeriesKey) -> Option<u32> {
        let is_it = |id: &u32| self.shown(*id).is_some_and(|state| state.key == *key);
        self.ids.find(self.hasher.hash_one(key), is_it).copied()
    }

    /// Lets the series of that number, which is shown, be found by its key.
    fn index(&mut self, id: u32) {
        let Self { ids, hasher, series, .. } = self;
        let hash = |id: &u32| match usize::try_from(*id).ok().and_then(|place| series.get(place)) {
            Some(Slot::Shown(state)) => hasher.hash_one(&state.key),
            // Only series that are shown are in the table, and they stay so.
            _ => 0,
        };
        ids.insert_unique(hash(&id), id, hash);
    }

    /// The series, by family and labels.
    pub(super) fn all(&self) -> Vec<SeriesState> {
        let shown = |slot: &Slot| if let Slot::Shown(state) = slot { Some(state.clone()) } else { None };
        let mut all: Vec<_> = self.series.iter().filter_map(shown).collect();
        all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// Those that have changed since the last call, as they are to be stored.
    pub(super) fn take_changed(&mut self, schemas: &BucketSchemas) -> Vec<StoredSeries> {
        let changed = std::mem::take(&mut self.changed);
        let stored = |id: u32| match self.slot(id)? {
            Slot::Free => None,
            Slot::Hidden(stored) => Some(stored.clone()),
            Slot::Shown(state) => Some(stored(id, state, schemas)),
        };
        changed.into_iter().filter_map(stored).collect()
    }

    /// All of them, as they are to be stored.
    pub(super) fn into_stored(self, schemas: &BucketSchemas) -> impl Iterator<Item = StoredSeries> {
        (0..).zip(self.series).filter_map(|(id, slot)| match slot {
            Slot::Free => None,
            Slot::Hidden(hidden) => Some(hidden),
            Slot::Shown(state) => Some(stored(id, &state, schemas)),
        })
    }

    /// How many have changed since [`take_changed`](Self::take_changed).
    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }

    fn slot(&self, id: u32) -> Option<&Slot> {
        self.series.get(usize::try_from(id).ok()?)
    }

    fn shown(&self, id: u32) -> Option<&SeriesState> {
        if let Slot::Shown(state) = self.slot(id)? { Some(state) } else { None }
    }

    fn shown_mut(&mut self, id: u32) -> Option<&mut SeriesState> {
        if let Slot::Shown(state) = self.series.get_mut(usize::try_from(id).ok()?)? { Some(state) } else { None }
    }

    /// Adds what a batch comes to, says it in `row`, and gives the new states of the series that changed.
    pub(super) fn add(&mut self, additions: Additions, config: &PolicyConfig, row: &mut Row) -> Committed {
        let Additions { mut sums, look_back, now } = additions;
        let mut committed = Committed { exemplars: sums.take_exemplars(), ..Committed::default() };
        for (key, delta) in sums.deltas {
            let Some(id) = self.id(&key) else {
                let state = delta.into_new_series(key, now, look_back);
                committed.zero_initialized.push(state.key.clone());
                committed.series.push(state.clone());
                row.push(&self.begin(state, config));
                continue;
            };
            if !delta.rises {
                continue;
            }
            let Some(state) = self.shown_mut(id) else { continue };
            delta.add_to(state, look_back);
            row.push(&if look_back.done {
                let rising = (0_u16..).zip(&delta.counts).filter(|(_, amount)| **amount > 0);
                Item::Add(id, rising.map(|(place, amount)| (place, *amount)).collect())
            } else {
                // Starting values change with it.
                Item::Set(id, state_of(state))
            });
            committed.series.push(state.clone());
            self.changed.insert(id);
        }
        committed
    }

    fn begin(&mut self, state: SeriesState, config: &PolicyConfig) -> Item {
        let id = u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        self.charged += config.charges().of(state.key.family, state.key.labels.as_str(), state.schema);
        self.changed.insert(id);
        let StoredSeries { id, family, labels, buckets, state: stored } = stored(id, &state, &config.bucket_schemas);
        self.series.push(Slot::Shown(state));
        self.index(id);
        Item::New { id, family, labels, buckets, state: stored }
    }

    /// Ends the initial-zero window of these series.
    pub(super) fn release(&mut self, keys: &Arc<[SeriesKey]>, row: &mut Row) {
        for key in &**keys {
            let Some(id) = self.id(key) else { continue };
            if let Some(state) = self.shown_mut(id)
                && state.held_counts.take().is_some()
            {
                row.push(&Item::Release(id));
                self.changed.insert(id);
            }
        }
    }

    /// Takes in the row of a commit. `None`: it makes no sense, or is of a later version.
    pub(super) fn learn(&mut self, row: &[u8], schemas: &BucketSchemas, charges: &Charges) -> Option<Learned> {
        let mut learned = Learned::default();
        let mut touched = BTreeSet::new();
        let mut released = Vec::new();
        for item in news::read(row)? {
            match item {
                Item::New { id, family, labels, buckets, state } => {
                    self.insert(StoredSeries { id, family, labels, buckets, state }, schemas, charges)?;
                    touched.insert(id);
                    learned.committed.zero_initialized.extend(self.shown(id).map(|state| state.key.clone()));
                }
                Item::Set(id, new) => {
                    let State { created_ms, counts, held_counts } = new;
                    let (created, old, held) = self.parts(id)?;
                    (*created, *old, *held) = (created_ms, counts, held_counts);
                    touched.insert(id);
                }
                Item::Add(id, amounts) => {
                    let (_, counts, _) = self.parts(id)?;
                    for (place, amount) in amounts {
                        let count = counts.get_mut(usize::from(place))?;
                        *count = count.saturating_add(amount);
                    }
                    touched.insert(id);
                }
                Item::Release(id) => {
                    let (_, _, held) = self.parts(id)?;
                    *held = None;
                    released.extend(self.shown(id).map(|state| state.key.clone()));
                    touched.insert(id);
                }
                Item::LookBackDone => learned.look_back_done = true,
                Item::BucketsChanged => learned.is_stale = true,
            }
        }
        self.changed.extend(&touched);
        learned.committed.series = touched.iter().filter_map(|id| self.shown(*id).cloned()).collect();
        learned.committed.released.push(released.into());
        Some(learned)
    }
}

/// What of a series can change: when it began, its counts, and what is shown in their place.
type Parts<'t> = (&'t mut i64, &'t mut Box<[u64]>, &'t mut Option<Box<[u64]>>);

impl Totals {
    /// The parts of the series with that number; `None` if there is none.
    fn parts(&mut self, id: u32) -> Option<Parts<'_>> {
        match self.series.get_mut(usize::try_from(id).ok()?)? {
            Slot::Free => None,
            Slot::Shown(state) => Some((&mut state.created_ms, &mut state.counts, &mut state.held_counts)),
            Slot::Hidden(StoredSeries { state, .. }) => {
                Some((&mut state.created_ms, &mut state.counts, &mut state.held_counts))
            }
        }
    }
}

fn stored(id: u32, state: &SeriesState, schemas: &BucketSchemas) -> StoredSeries {
    StoredSeries {
        id,
        family: state.key.family.code(),
        labels: state.key.labels.as_str().into(),
        buckets: schemas.get(state.schema).map_or("".into(), |schema| schema.name.clone()),
        state: state_of(state),
    }
}

fn state_of(state: &SeriesState) -> State {
    let SeriesState { created_ms, counts, held_counts, .. } = state;
    State { created_ms: *created_ms, counts: counts.clone(), held_counts: held_counts.clone() }
}
