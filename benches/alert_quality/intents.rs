//! What the rules say of intents, in Rust and slot by slot, so that many agents can be judged for weeks within seconds.
//!
//! Thresholds are those of `agntix-settings.yml`. `replay` holds it against the rules in a real Prometheus.

use super::activity::{Activity, SLOT};
use super::model::lower_bound;
use super::nuisance::DAY;
use super::spans::{Spans, firing};

const SLOTS_A_DAY: usize = DAY / SLOT;
const SLOTS_AN_HOUR: usize = 60 / SLOT;
const Z: f64 = 5.0;
const FLOOR: f64 = 0.35;
const LEAST: f64 = 20.0;
const PRIOR_SESSIONS: f64 = 25.0;
const PRIOR_SHARE: f64 = 0.3;
const PAST_SESSIONS: f64 = 200.0;
const MOST_EFFECTIVE: f64 = 400.0;
const LEAST_EFFECTIVE: f64 = 50.0;

/// Running totals by slot.
struct Totals {
    judged: Vec<f64>,
    bad: Vec<f64>,
}

impl Totals {
    fn new(counts: impl Iterator<Item = [u32; 2]>) -> Self {
        let mut totals = Self { judged: vec![0.0], bad: vec![0.0] };
        let (mut judged, mut bad) = (0.0, 0.0);
        for [more, worse] in counts {
            (judged, bad) = (judged + f64::from(more), bad + f64::from(worse));
            totals.judged.push(judged);
            totals.bad.push(bad);
        }
        totals
    }

    /// Sessions, and unresolved ones, in the `slots` that ended `offset` before the end of slot `at`.
    fn within(&self, at: usize, slots: usize, offset: usize) -> (f64, f64) {
        let end = (at + 1).saturating_sub(offset).min(self.judged.len() - 1);
        let start = end.saturating_sub(slots);
        (self.judged[end] - self.judged[start], self.bad[end] - self.bad[start])
    }

    /// The same in past weeks, from `ahead` slots later on; on past days in the first week.
    fn past(&self, at: usize, slots: usize, ahead: isize) -> (f64, f64) {
        let at = at.saturating_add_signed(ahead);
        let sum = |step: usize, most: usize| {
            let each = (1..=most).filter(|n| at >= n * step).map(|n| self.within(at, slots, n * step));
            each.fold((0.0, 0.0), |sum, found| (sum.0 + found.0, sum.1 + found.1))
        };
        if at >= 7 * SLOTS_A_DAY { sum(7 * SLOTS_A_DAY, 4) } else { sum(SLOTS_A_DAY, 6) }
    }
}

fn drawn((judged, bad): (f64, f64), weight: f64, towards: f64) -> f64 {
    (bad + weight * towards) / (judged + weight)
}

/// What is expected of the agent: recently, and at this hour.
struct Expected {
    recent: f64,
    hour: f64,
    slow: f64,
    slow_recent: f64,
    /// How much more than by chance the share of 6 hours strays.
    dispersion: f64,
}

impl Expected {
    fn new(agent: &Totals, at: usize) -> Self {
        let hours = |hours: usize| hours * SLOTS_AN_HOUR;
        let recent = drawn(agent.within(at, 7 * SLOTS_A_DAY, hours(1)), PRIOR_SESSIONS, PRIOR_SHARE);
        let of = |found| drawn(found, PAST_SESSIONS, recent);
        let ahead = isize::try_from(SLOTS_AN_HOUR).unwrap();
        let around = [ahead, 0, -ahead].map(|ahead| of(agent.past(at, hours(6), ahead)));
        let yesterday = of(agent.within(at, SLOTS_A_DAY, hours(6)));
        let slow = drawn(agent.within(at, 14 * SLOTS_A_DAY, 3 * SLOTS_A_DAY), PRIOR_SESSIONS, PRIOR_SHARE);
        let day = drawn(agent.past(at, SLOTS_A_DAY, ahead), PAST_SESSIONS, slow);
        Self {
            recent,
            hour: around.into_iter().chain([yesterday]).fold(recent, f64::max),
            slow: slow.max(day),
            slow_recent: slow,
            dispersion: 1.0,
        }
    }

    /// How far above what is expected the agent's share of 6 hours is, in variances.
    fn deviation(&self, agent: &Totals, at: usize) -> Option<f64> {
        let (judged, bad) = agent.within(at, 6 * SLOTS_AN_HOUR, 0);
        let variance = self.hour * (1.0 - self.hour) * (1.0 / judged + 1.0 / MOST_EFFECTIVE);
        (judged >= 15.0).then(|| ((bad / judged - self.hour).max(0.0).powi(2) / variance).min(16.0))
    }

    /// Of each slot.
    fn all(agent: &Totals, slots: usize) -> Vec<Self> {
        let mut all: Vec<Self> = (0..slots).map(|slot| Self::new(agent, slot)).collect();
        let (mut sums, mut counts) = (vec![0.0], vec![0.0]);
        for (slot, expected) in all.iter().enumerate() {
            let deviation = expected.deviation(agent, slot);
            sums.push(sums[slot] + deviation.unwrap_or(0.0));
            counts.push(counts[slot] + if deviation.is_some() { 1.0 } else { 0.0 });
        }
        for (slot, expected) in all.iter_mut().enumerate() {
            let end = (slot + 1).saturating_sub(SLOTS_AN_HOUR + SLOTS_A_DAY);
            let start = end.saturating_sub(7 * SLOTS_A_DAY);
            if counts[end] > counts[start] {
                expected.dispersion = (2.0 * (sums[end] - sums[start]) / (counts[end] - counts[start])).max(1.0);
            }
        }
        all
    }
}

/// When `AgntixIntentUnresolved` fires for each intent, in minutes, from `from` on.
pub fn judge(activity: &Activity, from: usize) -> Vec<Spans> {
    let slots = activity.durations.len();
    let sum =
        |slot: usize| activity.intents.iter().fold([0; 2], |[a, b], counts| [a + counts[slot][0], b + counts[slot][1]]);
    let agent = Totals::new((0..slots).map(sum));
    let expected = Expected::all(&agent, slots);
    let judge = |counts: &Vec<[u32; 2]>| {
        let intent = Totals::new(counts.iter().copied());
        let is = |slot: &usize| is_unresolved(&intent, *slot, &expected[*slot]);
        let on: Vec<usize> = (from / SLOT..slots).filter(is).collect();
        let minutes: Vec<usize> =
            on.iter().flat_map(|slot| slot * SLOT..(slot + 1) * SLOT).filter(|minute| *minute >= from).collect();
        firing(&minutes, 5, 60)
    };
    activity.intents.iter().map(judge).collect()
}

fn is_unresolved(intent: &Totals, at: usize, agent: &Expected) -> bool {
    // Without a day of the agent nothing is usual.
    if at < SLOTS_A_DAY {
        return false;
    }
    let offset = if at >= 3 * SLOTS_A_DAY { 3 * SLOTS_A_DAY } else { 6 * SLOTS_AN_HOUR };
    let before = intent.within(at, 7 * SLOTS_A_DAY, offset);
    let own = drawn(before, PRIOR_SESSIONS, agent.slow);
    let lately = intent.within(at, SLOTS_A_DAY, 6 * SLOTS_AN_HOUR);
    let worse = (agent.hour / agent.recent).max(agent.slow / agent.slow_recent);
    let expected = (own * worse).max(drawn(lately, PAST_SESSIONS, own)).min(0.95);
    [6 * SLOTS_AN_HOUR, 3 * SLOTS_A_DAY].into_iter().any(|slots| {
        let (judged, bad) = intent.within(at, slots, 0);
        if judged < LEAST || bad / judged < FLOOR {
            return false;
        }
        let worth = 1.0 / (1.0 + judged / MOST_EFFECTIVE) / agent.dispersion;
        let worth = worth.max(1.0 / (1.0 + judged / LEAST_EFFECTIVE));
        lower_bound(judged, bad, judged * worth, Z) > expected
    })
}
