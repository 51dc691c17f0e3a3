//! A token bucket: `burst` requests at once, and one more each `interval`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The bucket.
#[derive(Debug)]
pub(crate) struct RateLimit {
    interval: Duration,
    burst: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: u32,
    /// The time up to which the tokens have been refilled.
    filled: Instant,
}

impl RateLimit {
    /// A full bucket. `interval` is more than 0.
    pub(super) fn new(interval: Duration, burst: u32, now: Instant) -> Self {
        Self { interval, burst, state: Mutex::new(State { tokens: burst, filled: now }) }
    }

    /// Takes a token, or returns how long it takes until there is one.
    pub(crate) fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(state.filled);
        let whole = passed.as_nanos() / self.interval.as_nanos().max(1);
        let missing = self.burst - state.tokens.min(self.burst);
        if whole >= u128::from(missing) {
            (state.tokens, state.filled) = (self.burst, now);
        } else {
            let whole = u32::try_from(whole).unwrap_or(u32::MAX);
            state.tokens += whole;
            state.filled += self.interval.saturating_mul(whole);
        }
        if state.tokens == 0 {
            let waited = now.saturating_duration_since(state.filled);
            return Err(self.interval.saturating_sub(waited));
        }
        // A full bucket begins to fill when the first token is taken.
        state.tokens -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_an_interval() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let limit = RateLimit::new(Duration::from_secs(1), 3, start);
        for _ in 0..3 {
            assert_eq!(limit.take(at(0)), Ok(()));
        }
        assert_eq!(limit.take(at(400)), Err(Duration::from_millis(600)));
        assert_eq!(limit.take(at(1_000)), Ok(()));
        assert_eq!(limit.take(at(1_999)), Err(Duration::from_millis(1)));
        assert_eq!(limit.take(at(2_000)), Ok(()));
        // After a long pause there is the burst again, and no more than it.
        let taken = (0..10).filter(|_| limit.take(at(1_000_000)).is_ok()).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn a_burst_of_0_lets_nothing_through() {
        let start = Instant::now();
        let limit = RateLimit::new(Duration::from_secs(1), 0, start);
        assert!(limit.take(start + Duration::from_secs(100)).is_err());
        let endless = RateLimit::new(Duration::from_nanos(1), u32::MAX, start);
        assert_eq!(endless.take(start + Duration::from_secs(1_000_000)), Ok(()));
    }
}
