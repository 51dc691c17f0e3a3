//! Under which day a counted session is remembered, and when it is forgotten. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clock::Timestamp;

/// How far back the ledger remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Retention {
    /// The days under which sessions are remembered.
    days: BTreeSet<i64>,
    /// `sessions.retention`
    length: i64,
    /// Sessions created before this day were older than the retention when the ledger began: they are remembered for
    /// ever, and not by day.
    initial_floor: Option<i64>,
    /// Sessions created from the initial floor up to this day are forgotten. It never moves back, whatever the clock does.
    floor: Option<i64>,
}

/// What the end of a batch means for what is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Forgetting {
    /// The floor, if it has moved.
    pub(in crate::ledger) floor: Option<i64>,
    /// A day to forget.
    pub(in crate::ledger) day: Option<i64>,
}

impl Retention {
    /// As it is stored, with `sessions.retention`.
    pub(in crate::ledger) fn new(days: BTreeSet<i64>, retention: Duration, floors: (Option<i64>, Option<i64>)) -> Self {
        let (initial_floor, floor) = floors;
        Self { days, length: days_of(retention), initial_floor, floor }
    }

    /// Takes a reloaded `sessions.retention` into effect.
    pub(in crate::ledger) fn set(&mut self, retention: Duration) {
        self.length = days_of(retention);
    }

    /// Whether a session created then may have been counted and forgotten.
    pub(in crate::ledger) fn is_forgotten(&self, created: Timestamp) -> bool {
        let day = created.day();
        self.initial_floor.is_some_and(|initial| day >= initial) && self.floor.is_some_and(|floor| day < floor)
    }

    /// Whether a session created then is remembered for good, and not by its day.
    pub(in crate::ledger) fn is_old(&self, created: Timestamp) -> bool {
        self.initial_floor.is_some_and(|initial| created.day() < initial) || self.is_forgotten(created)
    }

    /// Whether sessions are remembered under that day.
    pub(in crate::ledger) fn remembers(&self, day: i64) -> bool {
        self.days.contains(&day)
    }

    /// Under which day a session created then is to be remembered from now on, if under any, and whether none was before.
    pub(in crate::ledger) fn remember(&mut self, created: Timestamp) -> (Option<i64>, bool) {
        if self.is_old(created) {
            return (None, false);
        }
        let day = created.day();
        (Some(day), self.days.insert(day))
    }

    /// Sets the floor at the first start, and gives it. The days before it that were counted while it was not known are to be
    /// kept for good.
    pub(in crate::ledger) fn begin(&mut self, first_start: Timestamp) -> (i64, BTreeSet<i64>) {
        let floor = first_start.day() - self.length;
        let kept = self.days.split_off(&floor);
        (self.initial_floor, self.floor) = (Some(floor), Some(floor));
        (floor, std::mem::replace(&mut self.days, kept))
    }

    /// Forgets what is older than the retention, one day a call. The newest counted day holds the floor down, so that
    /// a clock that jumps ahead forgets nothing that discovery may still meet.
    pub(in crate::ledger) fn forget(&mut self, now: Timestamp) -> Forgetting {
        let mut forgetting = Forgetting::default();
        let Some(newest) = self.days.last().copied() else { return forgetting };
        let floor = newest.min(now.day()) - self.length;
        if self.floor.is_some_and(|known| floor > known) {
            (self.floor, forgetting.floor) = (Some(floor), Some(floor));
        }
        let oldest = self.days.first().copied();
        if let (Some(oldest), Some(floor)) = (oldest, self.floor)
            && oldest < floor
        {
            self.days.remove(&oldest);
            forgetting.day = Some(oldest);
        }
        forgetting
    }
}

fn days_of(retention: Duration) -> i64 {
    i64::try_from(retention.as_secs().div_ceil(86_400)).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn day(day: u32) -> Timestamp {
        Timestamp::default().plus(DAY * day)
    }

    #[test]
    fn days_are_forgotten_one_at_a_time_and_a_clock_that_jumps_ahead_forgets_none() {
        let mut retention = Retention::new(BTreeSet::new(), DAY * 2, (None, None));
        assert_eq!(retention.begin(day(100)).0, 98);
        for created in 98..=103 {
            assert_eq!(retention.remember(day(created)), (Some(created.into()), true));
        }
        assert_eq!(retention.forget(day(5_000)), Forgetting { floor: Some(101), day: Some(98) });
        assert_eq!(retention.forget(day(103)), Forgetting { floor: None, day: Some(99) });
        assert!(retention.is_forgotten(day(99)) && retention.is_old(day(99)) && !retention.is_forgotten(day(101)));
        // Older than all that was ever remembered by day.
        assert!(!retention.is_forgotten(day(97)) && retention.is_old(day(97)));
        assert_eq!(retention.remember(day(97)), (None, false));
    }

    #[test]
    fn days_counted_before_the_first_start_is_known_are_kept_for_good() {
        let mut retention = Retention::new([1, 99, 100].into(), DAY * 2, (None, None));
        assert_eq!(retention.forget(day(100)), Forgetting::default());
        assert_eq!(retention.begin(day(101)), (99, [1].into()));
        assert_eq!(retention.remember(day(99)), (Some(99), false));
    }
}
