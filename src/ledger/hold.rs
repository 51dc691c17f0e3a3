//! The initial-zero windows of new series (promise P3): the one place that says which series are in theirs, since when, and
//! when it is over. Pure but for the lock that its owner and the ledger share; it is told the time.
//!
//! A new series is shown at its starting value first, for `metrics.new_series_hold`, so that a scraper sees the rise from
//! there. That it is in its window is a row like any other: the ledger stores what is shown meanwhile beside what was counted
//! ([`SeriesState::held_counts`]), and a change ([`Change::Release`](super::Change::Release)) ends the window. When it began is
//! not stored: a window begins when the page first shows the series, and begins again after a restart. Whoever counts
//! decides that a window is over; whoever only serves the page learns it from the rows.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::catalogue::{SeriesKey, SeriesState};

/// The series that are in their initial-zero window. Clones share it: the ledger tells of commits, and who counts asks which
/// windows are over.
#[derive(Clone, Debug, Default)]
pub struct InitialZeroWindows(Arc<Mutex<Windows>>);

impl InitialZeroWindows {
    /// The page shows session metrics from `now` on: the windows of all series that are there begin.
    pub fn publish(&self, now: Instant) {
        self.lock().publish(now);
    }

    /// The series whose window has lasted for at least `hold`, longest first; none before [`publish`](Self::publish). To be
    /// called often (each second, say): the window of a new series begins with the first call after its commit, so never
    /// early, and late by one call at most. A series stays due until its release is committed.
    pub fn due(&self, now: Instant, hold: Duration) -> Arc<[SeriesKey]> {
        self.lock().due(now, hold)
    }

    /// Everything that is stored was read, and is on the page: these series, and no others, are in their window.
    pub(super) fn read(&self, stored: Vec<SeriesKey>) {
        self.lock().read(stored);
    }

    /// A commit is durable, and on the page: these series began with it, and the windows of those are over.
    pub(super) fn committed(&self, zero_initialized: Vec<SeriesKey>, released: &[Arc<[SeriesKey]>]) {
        let mut windows = self.lock();
        windows.new.extend(zero_initialized);
        for released in released {
            windows.remove(released);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Windows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The series that are in their window by what is stored of them.
pub(super) fn stored(series: &[SeriesState]) -> Vec<SeriesKey> {
    series.iter().filter(|state| state.held_counts.is_some()).map(|state| state.key.clone()).collect()
}

/// The windows; the rules.
#[derive(Debug, Default)]
struct Windows {
    is_published: bool,
    /// Series whose window has not begun.
    new: Vec<SeriesKey>,
    /// Series whose window has begun, and when; the longest first.
    begun: VecDeque<(Instant, SeriesKey)>,
}

impl Windows {
    fn publish(&mut self, now: Instant) {
        if !self.is_published {
            self.is_published = true;
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Instant) {
        self.begun.extend(self.new.drain(..).map(|key| (now, key)));
    }

    fn due(&mut self, now: Instant, hold: Duration) -> Arc<[SeriesKey]> {
        if !self.is_published {
            return Arc::default();
        }
        self.begin(now);
        let is_over = |since: &Instant| now.saturating_duration_since(*since) >= hold;
        self.begun.iter().take_while(|(since, _)| is_over(since)).map(|(_, key)| key.clone()).collect()
    }

    fn remove(&mut self, released: &[SeriesKey]) {
        let released: HashSet<&SeriesKey> = released.iter().collect();
        self.begun.retain(|(_, key)| !released.contains(key));
        self.new.retain(|key| !released.contains(key));
    }

    /// Windows that have begun go on.
    fn read(&mut self, stored: Vec<SeriesKey>) {
        let among: HashSet<&SeriesKey> = stored.iter().collect();
        self.begun.retain(|(_, key)| among.contains(key));
        let begun: HashSet<&SeriesKey> = self.begun.iter().map(|(_, key)| key).collect();
        let is_begun: Vec<bool> = stored.iter().map(|key| begun.contains(key)).collect();
        let new = stored.into_iter().zip(is_begun).filter(|(_, is_begun)| !is_begun);
        self.new = new.map(|(key, _)| key).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Family;
    use exposition::{BucketSchemaId, LabelSet};

    const HOLD: Duration = Duration::from_secs(60);

    fn key(agent: &str) -> SeriesKey {
        let family = Family::Languages;
        SeriesKey { family, labels: LabelSet::new(family.descriptor().labels, [agent, "en"]) }
    }

    fn keys(agents: &[&str]) -> Vec<SeriesKey> {
        agents.iter().map(|agent| key(agent)).collect()
    }

    fn commit(windows: &InitialZeroWindows, zero_initialized: &[&str], released: &[&str]) {
        windows.committed(keys(zero_initialized), &[keys(released).into()]);
    }

    fn state(agent: &str, is_held: bool) -> SeriesState {
        SeriesState {
            key: key(agent),
            schema: BucketSchemaId::NONE,
            created_ms: 0,
            counts: [1].into(),
            held_counts: is_held.then(|| [0].into()),
        }
    }

    #[test]
    fn a_window_begins_with_publication_or_with_the_first_call_after_the_commit() {
        let windows = InitialZeroWindows::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        commit(&windows, &["a"], &[]);
        assert!(windows.due(after(500), HOLD).is_empty());
        windows.publish(after(1000));
        assert!(windows.due(after(1059), HOLD).is_empty());
        let due = windows.due(after(1060), HOLD);
        assert_eq!(*due, [key("a")]);
        assert_eq!(windows.due(after(1061), HOLD), due, "due until it is released");
        commit(&windows, &[], &["a"]);
        assert!(windows.due(after(9999), HOLD).is_empty());

        commit(&windows, &["b"], &[]);
        assert!(windows.due(after(10_000), HOLD).is_empty());
        assert!(windows.due(after(10_059), HOLD).is_empty());
        assert_eq!(*windows.due(after(10_060), HOLD), [key("b")]);
    }

    #[test]
    fn a_release_out_of_order_leaves_the_others_in_their_windows() {
        let windows = InitialZeroWindows::default();
        let start = Instant::now();
        windows.publish(start);
        commit(&windows, &["a", "b", "c"], &[]);
        assert!(windows.due(start, HOLD).is_empty());
        commit(&windows, &[], &["b"]);
        assert_eq!(*windows.due(start + HOLD, HOLD), [key("a"), key("c")]);
    }

    /// After a failed commit the rows are read again: what is durable is known from them alone.
    #[test]
    fn windows_that_are_read_again_go_on_and_those_that_are_over_end() {
        let windows = InitialZeroWindows::default();
        let start = Instant::now();
        windows.read(stored(&[state("a", true), state("b", true), state("shown", false)]));
        windows.publish(start);
        windows.read(stored(&[state("a", false), state("b", true), state("c", true), state("shown", false)]));
        assert_eq!(*windows.due(start + HOLD, HOLD), [key("b")], "its window did not begin anew");
        assert_eq!(*windows.due(start + HOLD * 2, HOLD), [key("b"), key("c")]);
        // Another start begins with what is stored.
        let later = InitialZeroWindows::default();
        later.read(stored(&[state("b", true)]));
        later.publish(start);
        assert_eq!(*later.due(start + HOLD, HOLD), [key("b")]);
    }
}
