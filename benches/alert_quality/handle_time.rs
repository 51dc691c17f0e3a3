//! What the rules say of handle time, in Rust and slot by slot, so that many agents can be judged for weeks within seconds.
//!
//! Thresholds are those of `agntix-settings.yml`. `replay` holds it against the rules in a real Prometheus.

use super::activity::{Activity, BOUNDS, SLOT};
use super::nuisance::DAY;
use super::spans::{Spans, firing};

const SLOTS_A_DAY: usize = DAY / SLOT;
const SLOTS_AN_HOUR: usize = 60 / SLOT;
const RATIO: f64 = 1.5;
const DEVIATIONS: f64 = 3.0;
/// What a window may count as a deviation: no incident makes the rule blind for a week.
const MOST_DEVIATION: f64 = 0.5;
/// Length of the windows in slots, sessions that they need, days of the baseline and its offset in slots.
const WINDOWS: [(usize, f64, usize, usize); 3] = [
    (SLOTS_AN_HOUR, 100.0, 7, SLOTS_AN_HOUR),
    (6 * SLOTS_AN_HOUR, 50.0, 7, 6 * SLOTS_AN_HOUR),
    (3 * SLOTS_A_DAY, 30.0, 14, 3 * SLOTS_A_DAY),
];

/// Running sums of what is known at some slots only.
struct Known {
    sum: Vec<f64>,
    squares: Vec<f64>,
    count: Vec<f64>,
}

impl Known {
    fn new(values: &[Option<f64>]) -> Self {
        let mut known = Self { sum: vec![0.0], squares: vec![0.0], count: vec![0.0] };
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for value in values {
            if let Some(value) = value {
                (sum, squares, count) = (sum + value, squares + value * value, count + 1.0);
            }
            known.sum.push(sum);
            known.squares.push(squares);
            known.count.push(count);
        }
        known
    }

    /// Mean, mean of the squares and number in the `slots` that end with slot `at`.
    fn within(&self, at: Option<usize>, slots: usize) -> Option<(f64, f64, f64)> {
        let end = at? + 1;
        let start = end.saturating_sub(slots);
        let of = |sums: &[f64]| sums[end] - sums[start];
        let count = of(&self.count);
        (count > 0.0).then(|| (of(&self.sum) / count, of(&self.squares) / count, count))
    }
}

/// When `AgntixHandleTimeShift` fires, in minutes, from `from` on.
pub fn judge(activity: &Activity, from: usize) -> Spans {
    let mut on = Vec::new();
    for (slots, least, days, offset) in WINDOWS {
        on.extend(shifted(activity, slots, least, days, offset));
    }
    on.sort_unstable();
    on.dedup();
    let minutes: Vec<usize> =
        on.iter().flat_map(|slot| slot * SLOT..(slot + 1) * SLOT).filter(|minute| *minute >= from).collect();
    firing(&minutes, 10, 60)
}

/// The median of the window that ends with each slot.
fn medians(activity: &Activity, slots: usize, least: f64) -> Vec<Option<f64>> {
    let mut window = [0_u32; BOUNDS.len() + 1];
    let mut found = Vec::with_capacity(activity.durations.len());
    for (slot, counts) in activity.durations.iter().enumerate() {
        for (bucket, count) in window.iter_mut().enumerate() {
            *count += counts[bucket];
            if slot >= slots {
                *count -= activity.durations[slot - slots][bucket];
            }
        }
        let all = f64::from(window.iter().sum::<u32>());
        found.push((all >= least).then(|| median(&window, all)));
    }
    found
}

/// As `histogram_quantile(0.5, …)`.
fn median(buckets: &[u32], all: f64) -> f64 {
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, bound) in buckets.iter().zip(BOUNDS) {
        let count = f64::from(*count);
        if below + count >= all / 2.0 {
            return lower + (bound - lower) * (all / 2.0 - below) / count;
        }
        (below, lower) = (below + count, bound);
    }
    lower
}

/// The slots in which the median of a window is none that is usual.
fn shifted(activity: &Activity, slots: usize, least: f64, days: usize, offset: usize) -> Vec<usize> {
    let medians = medians(activity, slots, least);
    let known = Known::new(&medians);
    let logs: Vec<Option<f64>> = medians.iter().map(|median| median.map(f64::ln)).collect();
    // The same window an hour later, in past weeks, or on past days before there is a past week.
    let following: Vec<Option<f64>> = (0..medians.len())
        .map(|slot| {
            let mean = |step: usize, most: usize| {
                let past = (1..=most).filter_map(|n| medians[(slot + SLOTS_AN_HOUR).checked_sub(n * step)?]);
                let (sum, count) = past.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
                (count > 0.0).then(|| sum / count)
            };
            mean(7 * SLOTS_A_DAY, 4).or_else(|| mean(SLOTS_A_DAY, 6))
        })
        .collect();
    let recent = |slot: usize| known.within(slot.checked_sub(offset), days * SLOTS_A_DAY).map(|found| found.0);
    // An hour before and after included, since clocks change; what is recent where nothing is known of the hour.
    let hours = slots < SLOTS_A_DAY;
    let bounds: Vec<Option<(f64, f64)>> = (0..medians.len())
        .map(|slot| {
            let a_week_ago = slot.checked_sub(7 * SLOTS_A_DAY).and_then(|slot| medians[slot]);
            let around = (0..=2).filter_map(|hours| following[slot.checked_sub(hours * SLOTS_AN_HOUR)?]);
            let all = around.filter(|_| hours).chain(recent(slot).filter(|_| !hours || a_week_ago.is_none()));
            all.fold(None, |bounds: Option<(f64, f64)>, value| {
                Some(bounds.map_or((value, value), |(least, most)| (least.min(value), most.max(value))))
            })
        })
        .collect();
    let strayed: Vec<Option<f64>> = logs
        .iter()
        .enumerate()
        .map(|(slot, log)| {
            let usual = slot
                .checked_sub(SLOTS_AN_HOUR)
                .and_then(|same| following[same])
                .filter(|_| hours)
                .or_else(|| recent(slot))?;
            Some(((*log)? - usual.ln()).clamp(-MOST_DEVIATION, MOST_DEVIATION))
        })
        .collect();
    let outside: Vec<Option<f64>> = logs
        .iter()
        .zip(&bounds)
        .map(|(log, bounds)| {
            let (log, (least, most)) = ((*log)?, (*bounds)?);
            Some((log - most.ln()).max(least.ln() - log).max(0.0))
        })
        .collect();
    let strayed = Known::new(&strayed);
    let is = |slot: &usize| {
        let (Some(outside), Some((_, _, count))) =
            (outside[*slot], known.within(slot.checked_sub(offset), days * SLOTS_A_DAY))
        else {
            return false;
        };
        let deviation =
            strayed.within(slot.checked_sub(offset), 7 * SLOTS_A_DAY).map_or(0.0, |(_, squares, _)| squares.sqrt());
        outside > RATIO.ln() && outside > DEVIATIONS * deviation && count >= 480.0
    };
    (0..medians.len()).filter(is).collect()
}
