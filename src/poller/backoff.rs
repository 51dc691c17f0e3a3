//! How long to wait before the next attempt. Pure.

use std::time::Duration;

/// The vendor asks for exponential backoff with jitter, capped at 60 s.
pub(super) const BACKOFF_CAP: Duration = Duration::from_secs(60);
const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// Backoff with full jitter: anywhere from nothing to the cap that grows with every failure. `random` is from 0 to 1.
pub fn backoff(failures: u32, random: f64) -> Duration {
    let cap = BACKOFF_BASE.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX)).min(BACKOFF_CAP);
    cap.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn backoff_grows_to_a_minute_and_is_spread_from_nothing() {
        assert_eq!([1, 3, 6, 40].map(|failures| backoff(failures, 1.0).as_secs()), [2, 8, 60, 60]);
        assert_eq!((backoff(9, 0.0), backoff(9, 0.5)), (Duration::ZERO, S * 30));
    }
}
