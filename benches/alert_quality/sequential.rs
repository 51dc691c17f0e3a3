//! What is about the best that can be done: a cumulative sum of likelihood ratios (CUSUM) for a share that is three times the usual one. It is told
//! the usual share, and tuned to one false alarm in ten weeks, on agents whose share never changes.

use super::nuisance::{Counts, WEEK};

/// How much worse the share is that it looks for.
const TIMES: f64 = 3.0;
const FALSE_ALARMS_A_WEEK: f64 = 0.1;

pub struct Sequential {
    threshold: f64,
}

impl Sequential {
    /// With the lowest threshold at which these, from `from` on, give so few alarms.
    pub fn tuned(calm: &[Counts], share: f64, from: usize) -> Self {
        let weeks: usize = calm.iter().map(|counts| counts.judged.len() - from).sum();
        #[expect(clippy::cast_precision_loss, reason = "some thousands of minutes")]
        let allowed = weeks as f64 / WEEK as f64 * FALSE_ALARMS_A_WEEK;
        let alarms = |threshold: f64| {
            let test = Self { threshold };
            let count = |counts: &Counts| {
                let (mut alarms, mut at) = (0, from);
                while let Some(next) = test.first(counts, share, at) {
                    (alarms, at) = (alarms + 1, next);
                }
                alarms
            };
            f64::from(calm.iter().map(count).sum::<u32>())
        };
        let (mut low, mut high) = (1.0, 40.0);
        while high - low > 0.05 {
            let middle = f64::midpoint(low, high);
            if alarms(middle) > allowed { low = middle } else { high = middle }
        }
        Self { threshold: high }
    }

    /// When it first says so after `from`, having begun anew there: what came before says nothing against a change.
    pub fn first(&self, counts: &Counts, share: f64, from: usize) -> Option<usize> {
        let worse = (share * TIMES).min(0.95);
        let (bad, good) = ((worse / share).ln(), ((1.0 - worse) / (1.0 - share)).ln());
        let mut sum: f64 = 0.0;
        let minutes = counts.judged.iter().zip(&counts.bad).enumerate().skip(from);
        for (minute, (judged, was_bad)) in minutes {
            let (all, was_bad) = (f64::from(*judged), f64::from(*was_bad));
            sum = (sum + was_bad * bad + (all - was_bad) * good).max(0.0);
            if sum > self.threshold {
                return Some(minute + 1);
            }
        }
        None
    }
}
