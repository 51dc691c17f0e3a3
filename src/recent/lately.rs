//! Slots of time: what was counted in each, and what a number of them say together.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::Agent;
use super::totals::Totals;
use crate::clock::Timestamp;

/// What was counted in a length of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lately {
    /// Sessions that got their outcome, or will have none.
    pub sessions: u64,
    /// Sessions that ended unresolved, of those that were judged.
    pub unresolved: Trend,
    /// Negative sessions, of those with a sentiment.
    pub negative: Trend,
    /// Half of the sessions took at most so long, in seconds; `None` if there is none.
    pub median_seconds: Option<f64>,
}

/// A share, and how it came about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trend {
    /// In all of the time.
    pub whole: Share,
    /// Over time, from old to new; `None` where it would be a share of nothing.
    pub course: Vec<Option<f64>>,
    /// At the end of the course: in its last place, which has not ended, and in the one before.
    pub now: Share,
}

impl Trend {
    /// Of what was counted in each place of time.
    fn of(places: impl Iterator<Item = Share>) -> Self {
        let (mut trend, mut before) = (Self::default(), Share::default());
        for share in places {
            trend.course.push(share.ratio());
            trend.whole = trend.whole.and(share);
            trend.now = before.and(share);
            before = share;
        }
        trend
    }
}

/// A part of a number of sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many there are.
    pub of: u64,
    /// How many of them are meant.
    pub part: u64,
}

impl Share {
    /// Both together.
    fn and(self, other: Self) -> Self {
        Self { of: self.of + other.of, part: self.part + other.part }
    }

    /// As a number between 0 and 1; `None` if it is a share of nothing.
    #[expect(clippy::cast_precision_loss, reason = "a share is shown in percent")]
    pub fn ratio(self) -> Option<f64> {
        (self.of > 0).then(|| self.part as f64 / self.of as f64)
    }
}

/// The slots of the last hour, or of the last day.
#[derive(Debug, Default)]
pub(super) struct Slots(VecDeque<Slot>);

/// What was counted in a slot, by agent.
#[derive(Debug)]
pub(super) struct Slot {
    begins: Timestamp,
    by_agent: HashMap<Agent, Totals>,
}

impl Slots {
    /// The length of a slot and how many there are.
    pub(super) const OF_AN_HOUR: (Duration, usize) = (Duration::from_secs(120), 30);
    /// The same for a day.
    pub(super) const OF_A_DAY: (Duration, usize) = (Duration::from_secs(3_600), 24);

    /// Begins the slot of `now`, and forgets the oldest.
    pub(super) fn advance(&mut self, now: Timestamp, (length, most): (Duration, usize)) {
        let begin = |begins| Slot { begins, by_agent: HashMap::new() };
        match self.0.back().map(|slot| slot.begins) {
            // A clock that was set back does not end what has begun.
            Some(begins) if now.since(begins) < length => {}
            Some(begins) => {
                let passed = now.since(begins).as_secs() / length.as_secs();
                // A machine that has slept.
                let first = passed.saturating_sub(most as u64) + 1;
                for place in first..=passed {
                    self.0
                        .push_back(begin(begins.plus(length.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX)))));
                }
            }
            None => self.0.push_back(begin(now)),
        }
        // The slot that has just begun is part of the time.
        while self.0.len() > most {
            self.0.pop_front();
        }
    }

    pub(super) fn add(&mut self, agent: &Agent, grown: &Totals) {
        if let Some(slot) = self.0.back_mut() {
            slot.by_agent.entry(agent.clone()).or_default().add(grown);
        }
    }

    /// The agents with sessions, and how many each has.
    pub(super) fn agents(&self) -> Vec<(Agent, u64)> {
        let mut sessions: HashMap<&Agent, u64> = HashMap::new();
        for (agent, totals) in self.0.iter().flat_map(|slot| &slot.by_agent) {
            *sessions.entry(agent).or_default() += totals.sessions;
        }
        sessions
            .into_iter()
            .filter(|(_, sessions)| *sessions > 0)
            .map(|(agent, sessions)| (agent.clone(), sessions))
            .collect()
    }

    /// What all slots say of one agent, or of all if that is `None`.
    pub(super) fn sum(&self, of: Option<&Agent>, bounds: &[f64]) -> Lately {
        let of_slot = |slot: &Slot| {
            let mut totals = Totals::default();
            match of {
                Some(agent) => slot.by_agent.get(agent).into_iter().for_each(|one| totals.add(one)),
                None => slot.by_agent.values().for_each(|one| totals.add(one)),
            }
            totals
        };
        let slots: Vec<Totals> = self.0.iter().map(of_slot).collect();
        let mut sum = Totals::default();
        for slot in &slots {
            sum.add(slot);
        }
        Lately {
            sessions: sum.sessions,
            unresolved: Trend::of(slots.iter().map(|slot| Share { of: slot.judged, part: slot.unresolved })),
            negative: Trend::of(slots.iter().map(|slot| Share { of: slot.toned, part: slot.negative })),
            median_seconds: median(&sum.handled, bounds),
        }
    }
}

/// The median by buckets, as Prometheus' `histogram_quantile` takes it: evenly spread in its bucket, and the highest bound for what
/// is above it.
#[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
fn median(counts: &[u64], bounds: &[f64]) -> Option<f64> {
    let half = counts.iter().sum::<u64>() as f64 / 2.0;
    if half == 0.0 {
        return None;
    }
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, upper) in counts.iter().zip(bounds) {
        let count = *count as f64;
        if below + count >= half && count > 0.0 {
            return Some(lower + (upper - lower) * (half - below) / count);
        }
        (below, lower) = (below + count, *upper);
    }
    bounds.last().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn median_is_where_prometheus_has_it() {
        let bounds = [10.0, 30.0, 60.0];
        assert_eq!(median(&[0, 0, 0, 0], &bounds), None);
        assert_eq!(median(&[4, 0, 0, 0], &bounds), Some(5.0));
        assert_eq!(median(&[1, 2, 1, 0], &bounds), Some(20.0));
        assert_eq!(median(&[0, 0, 1, 3], &bounds), Some(60.0));
    }

    proptest! {
        #[test]
        fn slots_are_bounded_and_in_order_whatever_the_clock_does(steps in prop::collection::vec(0..10_000_000_u64, 1..40)) {
            let mut slots = Slots::default();
            for now in steps {
                slots.advance(Timestamp::from_millis(i64::try_from(now).unwrap() * 100), Slots::OF_AN_HOUR);
                let (length, most) = Slots::OF_AN_HOUR;
                prop_assert!((1..=most).contains(&slots.0.len()));
                let begins: Vec<Timestamp> = slots.0.iter().map(|slot| slot.begins).collect();
                prop_assert!(begins.windows(2).all(|two| two[1].since(two[0]) == length));
            }
        }
    }
}
