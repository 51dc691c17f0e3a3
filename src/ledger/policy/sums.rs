//! What a batch adds to each series, and what a series is after it. Pure.

use std::sync::Arc;

use hashbrown::HashMap;

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
    /// The part of `counts` that happened before the first start; empty if there is none.
    historic: Box<[u64]>,
    earliest_historic: Option<Timestamp>,
    pub(in crate::ledger) rises: bool,
    /// By bucket: the newest session behind a count. Few, since few sessions of a batch add to the same series.
    exemplars: Vec<(u16, Newest)>,
}

/// The newest session behind a count.
#[derive(Debug)]
struct Newest {
    id: Arc<str>,
    value: f64,
    at: Timestamp,
}

impl Delta {
    /// Nothing, for a series of so many counts.
    pub(in crate::ledger) fn new(schema: BucketSchemaId, width: usize) -> Self {
        let (counts, historic) = (vec![0; width].into(), Box::default());
        Self { schema, counts, historic, earliest_historic: None, rises: false, exemplars: Vec::new() }
    }

    /// The bounds of the buckets.
    pub(in crate::ledger) fn schema(&self) -> BucketSchemaId {
        self.schema
    }

    /// The state of a series that begins with it. Only the look-back gives it a starting value: once the page is shown, what
    /// ended before the first start and could not be read in time is an event like any other, and would be hidden in a
    /// series that begins with it.
    pub(in crate::ledger) fn into_new_series(self, key: SeriesKey, now: Timestamp, look_back: LookBack) -> SeriesState {
        let Self { schema, counts, historic, earliest_historic, .. } = self;
        let began = if look_back.done { now } else { earliest_historic.unwrap_or(now) };
        let held = if look_back.done || historic.is_empty() { vec![0; counts.len()].into() } else { historic };
        SeriesState { key, schema, created_ms: began.as_millis(), counts, held_counts: Some(held) }
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
}

/// Series that a session adds to and that no other session of the same batch has added to before, at a guess.
const SERIES_A_SESSION: usize = 4;
/// Room that is made for series beforehand.
const MOST_ROOM: usize = 2048;

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
    /// Nothing yet, with room for what so many changes may add.
    pub(in crate::ledger) fn of_changes(changes: usize) -> Self {
        Self { deltas: HashMap::with_capacity(MOST_ROOM.min(changes.saturating_mul(SERIES_A_SESSION))) }
    }

    /// The newest session behind each count that may carry an exemplar; none is left.
    pub(in crate::ledger) fn take_exemplars(&mut self) -> Vec<Exemplar> {
        let mut taken = Vec::new();
        for (key, delta) in &mut self.deltas {
            taken.extend(delta.exemplars.drain(..).map(|(bucket, Newest { id, value, at })| Exemplar {
                key: key.clone(),
                bucket,
                id,
                value,
                at_ms: at.as_millis(),
            }));
        }
        taken
    }

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
            let delta = self.deltas.entry(key).or_insert_with(|| Delta::new(schema, bucket_schemas.width(schema)));
            if let Some(value) = exemplar {
                let newest = || Newest { id: Arc::clone(session), value, at };
                match delta.exemplars.iter_mut().find(|(of, _)| *of == bucket) {
                    Some((_, known)) if known.at >= at => {}
                    Some((_, known)) => *known = newest(),
                    None => delta.exemplars.push((bucket, newest())),
                }
            }
            if amount == 0 {
                continue;
            }
            delta.rises = true;
            raise(&mut delta.counts, bucket, amount, sum);
            if look_back.is_historic(at) {
                if delta.historic.is_empty() {
                    delta.historic = vec![0; delta.counts.len()].into();
                }
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
