//! The series of a history as they stand at one moment, and how each came there in the present day. Pure.

use std::collections::BTreeMap;

use crate::catalogue::SeriesKey;
use crate::clock::Timestamp;
use exposition::{BucketSchemaId, BucketSchemas};

/// The place that stands for all counts of a series: they fall to 0.
const ALL: u16 = u16::MAX;

/// A count of a series rises, or all of them fall to 0, at a sample of the day. There are many: it is as small as it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    sample: u16,
    place: u16,
    amount: u32,
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

    fn rise(&mut self, sample: u16, amounts: &[u64]) {
        for (place, (amount, now)) in (0_u16..).zip(amounts.iter().zip(&mut self.now)) {
            *now = now.saturating_add(*amount);
            let mut left = *amount;
            while left > 0 {
                let amount = u32::try_from(left).unwrap_or(u32::MAX);
                self.steps.push(Step { sample, place, amount });
                left -= u64::from(amount);
            }
        }
    }

    fn fall(&mut self, sample: u16) {
        if self.now.iter().any(|count| *count > 0) {
            self.now.fill(0);
            self.steps.push(Step { sample, place: ALL, amount: 0 });
        }
    }

    /// Gives its counts at each of `times`, which are in order, from its first sample on.
    pub(super) fn at_each(&self, times: &[Timestamp], mut each: impl FnMut(Timestamp, &[u64])) {
        let mut counts = self.base.clone();
        let mut steps = self.steps.iter().peekable();
        for (sample, at) in (0_u16..).zip(times) {
            while let Some(step) = steps.next_if(|step| step.sample <= sample) {
                if step.place == ALL {
                    counts.fill(0);
                } else if let Some(count) = counts.get_mut(usize::from(step.place)) {
                    *count = count.saturating_add(step.amount.into());
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
pub(super) struct History {
    series: BTreeMap<SeriesKey, SeriesHistory>,
    /// The present sample of the day: there are 8,641 at most.
    sample: u16,
}

impl History {
    /// Lets a series begin with 0 at `at`, if it is not there.
    pub(super) fn begin(&mut self, key: &SeriesKey, schema: BucketSchemaId, schemas: &BucketSchemas, at: Timestamp) {
        if !self.series.contains_key(key) {
            self.series.insert(key.clone(), SeriesHistory::new(schema, schemas.width(schema), at));
        }
    }

    /// What happens from now on is shown first by the sample of the day with that number.
    pub(super) fn at_sample(&mut self, number: usize) {
        self.sample = u16::try_from(number).unwrap_or(u16::MAX);
    }

    /// A series rises.
    pub(super) fn rise(&mut self, key: &SeriesKey, amounts: &[u64]) {
        if let Some(series) = self.series.get_mut(key) {
            series.rise(self.sample, amounts);
        }
    }

    /// Every series falls to 0.
    pub(super) fn fall(&mut self) {
        let sample = self.sample;
        self.series.values_mut().for_each(|series| series.fall(sample));
    }

    /// A day is over: what stands now is what the next one begins with.
    pub(super) fn next_day(&mut self) {
        for series in self.series.values_mut() {
            series.base.clone_from(&series.now);
            series.steps = Vec::new();
        }
    }

    /// Whether no series has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// A series.
    pub(super) fn get(&self, key: &SeriesKey) -> Option<&SeriesHistory> {
        self.series.get(key)
    }

    /// All of them, in the order of the page.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&SeriesKey, &SeriesHistory)> {
        self.series.iter()
    }
}
