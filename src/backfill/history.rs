//! The series of a history as they stand at one moment, and how each came there in the present day. Pure.

use std::collections::BTreeMap;

use crate::catalogue::SeriesKey;
use crate::clock::Timestamp;
use exposition::{BucketSchemaId, BucketSchemas};

/// The place that stands for all counts of a series: they fall to 0.
const ALL: u16 = u16::MAX;

/// A count of a series rises, or all of them fall to 0, at a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    at: Timestamp,
    place: u16,
    amount: u64,
}

/// A series, and what has become of it since the day began.
#[derive(Clone, Debug)]
pub(super) struct SeriesHistory {
    pub schema: BucketSchemaId,
    /// Its first sample, which is 0.
    begun: Timestamp,
    /// Its counts when the day began.
    base: Box<[u64]>,
    /// Its counts now.
    now: Box<[u64]>,
    steps: Vec<Step>,
}

impl SeriesHistory {
    fn new(schema: BucketSchemaId, width: usize, begun: Timestamp) -> Self {
        let zeros = || vec![0; width].into_boxed_slice();
        Self { schema, begun, base: zeros(), now: zeros(), steps: Vec::new() }
    }

    /// Its counts now.
    pub(super) fn now(&self) -> &[u64] {
        &self.now
    }

    fn rise(&mut self, at: Timestamp, amounts: &[u64]) {
        for (place, (amount, now)) in (0_u16..).zip(amounts.iter().zip(&mut self.now)) {
            if *amount > 0 {
                *now = now.saturating_add(*amount);
                self.steps.push(Step { at, place, amount: *amount });
            }
        }
    }

    fn fall(&mut self, at: Timestamp) {
        if self.now.iter().any(|count| *count > 0) {
            self.now.fill(0);
            self.steps.push(Step { at, place: ALL, amount: 0 });
        }
    }

    /// Gives its counts at each of `times`, which are in order, from its first sample on.
    pub(super) fn at_each(&self, times: &[Timestamp], mut each: impl FnMut(Timestamp, &[u64])) {
        let mut counts = self.base.clone();
        let mut steps = self.steps.iter().peekable();
        for at in times {
            while let Some(step) = steps.next_if(|step| step.at <= *at) {
                if step.place == ALL {
                    counts.fill(0);
                } else if let Some(count) = counts.get_mut(usize::from(step.place)) {
                    *count = count.saturating_add(step.amount);
                }
            }
            if *at >= self.begun {
                each(*at, &counts);
            }
        }
    }
}

/// All series, by family and labels.
#[derive(Clone, Debug, Default)]
pub(super) struct History(BTreeMap<SeriesKey, SeriesHistory>);

impl History {
    /// Lets a series begin with 0 at `at`, if it is not there.
    pub(super) fn begin(&mut self, key: &SeriesKey, schema: BucketSchemaId, schemas: &BucketSchemas, at: Timestamp) {
        if !self.0.contains_key(key) {
            self.0.insert(key.clone(), SeriesHistory::new(schema, schemas.width(schema), at));
        }
    }

    /// A series rises at a sample.
    pub(super) fn rise(&mut self, key: &SeriesKey, at: Timestamp, amounts: &[u64]) {
        if let Some(series) = self.0.get_mut(key) {
            series.rise(at, amounts);
        }
    }

    /// Every series falls to 0.
    pub(super) fn fall(&mut self, at: Timestamp) {
        self.0.values_mut().for_each(|series| series.fall(at));
    }

    /// A day is over: what stands now is what the next one begins with.
    pub(super) fn next_day(&mut self) {
        for series in self.0.values_mut() {
            series.base.clone_from(&series.now);
            series.steps = Vec::new();
        }
    }

    /// Whether no series has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A series.
    pub(super) fn get(&self, key: &SeriesKey) -> Option<&SeriesHistory> {
        self.0.get(key)
    }

    /// All of them, in the order of the page.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&SeriesKey, &SeriesHistory)> {
        self.0.iter()
    }
}
