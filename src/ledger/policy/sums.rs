//! What a batch adds to each series, and what a series is after it. Pure.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::catalogue::{Exemplar, SeriesKey, SeriesState};
use crate::clock::Timestamp;
use crate::observation::Addition;
use exposition::{BucketSchemaId, BucketSchemas};

/// When the daemon first started, and whether the look-back behind it is done.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::ledger) struct LookBack {
    /// `None` while no time is known that can be trusted.
    pub(in crate::ledger) first_start: Option<Timestamp>,
    pub(in crate::ledger) done: bool,
}

impl LookBack {
    /// Whether what happened at `at` belongs to the starting values. Without a first start, everything does that the
    /// look-back finds, and nothing that comes after it.
    pub(in crate::ledger) fn is_historic(self, at: Timestamp) -> bool {
        self.first_start.map_or(!self.done, |first_start| at <= first_start)
    }
}

/// What a batch adds to one series.
#[derive(Debug)]
pub(in crate::ledger) struct Delta {
    schema: BucketSchemaId,
    pub(in crate::ledger) counts: Box<[u64]>,
    /// The part of `counts` that happened before the first start.
    historic: Box<[u64]>,
    earliest_historic: Option<Timestamp>,
    pub(in crate::ledger) rises: bool,
}

impl Delta {
    /// Nothing, for a series of so many counts.
    pub(in crate::ledger) fn new(schema: BucketSchemaId, width: usize) -> Self {
        let zeros = || vec![0; width].into();
        Self { schema, counts: zeros(), historic: zeros(), earliest_historic: None, rises: false }
    }

    /// The bounds of the buckets.
    pub(in crate::ledger) fn schema(&self) -> BucketSchemaId {
        self.schema
    }

    /// The state of a series that begins with it. Only the look-back gives it a starting value: once the page is shown, what
    /// ended before the first start and could not be read in time is an event like any other, and would be hidden in a
    /// series that begins with it.
    pub(in crate::ledger) fn into_new_series(self, key: SeriesKey, now: Timestamp, look_back: LookBack) -> SeriesState {
        let Self { schema, counts, mut historic, earliest_historic, .. } = self;
        let began = if look_back.done {
            historic.fill(0);
            now
        } else {
            earliest_historic.unwrap_or(now)
        };
        SeriesState { key, schema, created_ms: began.as_millis(), counts, held_counts: Some(historic) }
    }

    /// Adds it to the state of a series.
    pub(in crate::ledger) fn add_to(&self, state: &mut SeriesState, look_back: LookBack) {
        add_all(&mut state.counts, &self.counts);
        if !look_back.done {
            // The page is not shown yet, so what the look-back finds still belongs to the starting value.
            if let Some(held) = &mut state.held_counts {
                add_all(held, &self.historic);
            }
            let earliest = self.earliest_historic.map(Timestamp::as_millis);
            state.created_ms = earliest.map_or(state.created_ms, |ms| state.created_ms.min(ms));
        }
    }
}

/// The additions of a batch, summed per series.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Sums {
    pub(in crate::ledger) deltas: HashMap<SeriesKey, Delta>,
    pub(in crate::ledger) exemplars: HashMap<(SeriesKey, u16), Exemplar>,
}

/// Sums, and what has to be known to add them to the series.
#[derive(Debug)]
pub(in crate::ledger) struct Additions {
    pub(in crate::ledger) sums: Sums,
    /// As it stood when they were made.
    pub(in crate::ledger) look_back: LookBack,
    /// When a series begins that they bring (the API's time).
    pub(in crate::ledger) now: Timestamp,
}

impl Sums {
    /// Adds what a step of `session` adds.
    pub(in crate::ledger) fn add(
        &mut self,
        additions: Vec<Addition>,
        session: &Arc<str>,
        bucket_schemas: &BucketSchemas,
        look_back: LookBack,
    ) {
        for addition in additions {
            let Addition { key, schema, bucket, amount, sum, at, exemplar } = addition;
            if let Some(value) = exemplar {
                let exemplar =
                    Exemplar { key: key.clone(), bucket, id: Arc::clone(session), value, at_ms: at.as_millis() };
                match self.exemplars.entry((key.clone(), bucket)) {
                    Entry::Occupied(newest) if newest.get().at_ms >= at.as_millis() => {}
                    entry => drop(entry.insert(exemplar)),
                }
            }
            let delta = self.deltas.entry(key).or_insert_with(|| Delta::new(schema, bucket_schemas.width(schema)));
            if amount == 0 {
                continue;
            }
            delta.rises = true;
            raise(&mut delta.counts, bucket, amount, sum);
            if look_back.is_historic(at) {
                raise(&mut delta.historic, bucket, amount, sum);
                delta.earliest_historic = Some(delta.earliest_historic.map_or(at, |earliest| earliest.min(at)));
            }
        }
    }
}

fn raise(counts: &mut [u64], bucket: u16, amount: u64, sum: u64) {
    if let Some(bucket) = counts.get_mut(usize::from(bucket)) {
        *bucket = bucket.saturating_add(amount);
    }
    // A counter has no sum, and its additions carry none.
    if let (true, Some(last)) = (sum > 0, counts.last_mut()) {
        *last = last.saturating_add(sum);
    }
}

/// Adds each count to the one in its place.
pub(in crate::ledger) fn add_all(to: &mut [u64], from: &[u64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = to.saturating_add(*from);
    }
}
