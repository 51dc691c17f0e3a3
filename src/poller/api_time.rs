//! The API's time: what its answers' `Date` headers say, carried on by a clock that never jumps. Pure.
//!
//! Sessions are dated by the API, so that "ended long ago" is judged by its clock, not by this machine's, which may be
//! wrong or be set while the daemon runs.

use std::time::Duration;

use crate::clock::{Tick, Timestamp};

/// A `Date` has whole seconds and travels a while; smaller differences say nothing.
const TOLERANCE: Duration = Duration::from_secs(3);

/// The API's clock as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApiTime {
    known: Option<(Tick, Timestamp)>,
    /// The last date was far ahead of what was known; one server with a wrong clock must not decide what is late.
    suspicious: bool,
}

impl ApiTime {
    /// An answer that arrived at `now` carried this date.
    pub fn observe(&mut self, date: Timestamp, now: Tick) {
        let expected = self.now(now, date);
        let is_far_ahead = date.since(expected) > TOLERANCE;
        if is_far_ahead && !std::mem::replace(&mut self.suspicious, true) {
            return;
        }
        self.suspicious = false;
        // The latest estimate is the closest: each one is early by its fraction of a second and its way.
        if self.known.is_none() || date > expected || expected.since(date) > TOLERANCE {
            self.known = Some((now, date));
        }
    }

    /// The API's time; this machine's, `local`, until an answer has said it.
    pub fn now(&self, now: Tick, local: Timestamp) -> Timestamp {
        self.known.map_or(local, |(at, known)| known.plus(now.saturating_sub(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_estimate_is_kept_and_a_real_difference_is_followed() {
        let at = |ms| Timestamp::from_millis(ms);
        let second = Duration::from_secs(1);
        let mut time = ApiTime::default();
        assert_eq!(time.now(second, at(7)), at(7));
        time.observe(at(100_000), second);
        time.observe(at(101_000), second * 3);
        assert_eq!(time.now(second * 4, at(7)), at(103_000), "the second date was merely older");
        time.observe(at(900_000), second * 5);
        assert_eq!(time.now(second * 5, at(7)), at(104_000), "one date far ahead is not believed");
        time.observe(at(104_500), second * 5);
        time.observe(at(900_000), second * 6);
        assert_eq!(time.now(second * 6, at(7)), at(105_500));
        time.observe(at(901_000), second * 7);
        assert_eq!(time.now(second * 7, at(7)), at(901_000), "two in a row are");
        time.observe(at(50_000), second * 8);
        assert_eq!(time.now(second * 8, at(7)), at(50_000), "the API's clock was set back");
    }
}
