//! Points in time, and where "now" comes from. Nothing else in this crate reads the machine's clock for a simulation.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time, in milliseconds since the Unix epoch, UTC. Displayed as `2026-04-08T05:00:10.546Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const DAY_MS: i64 = 86_400_000;
/// The last millisecond of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// The point `ms` milliseconds after the Unix epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Days since the Unix epoch, UTC.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }

    /// Seconds since the Unix epoch.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ms, the year 287396")]
    pub fn as_seconds_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Parses RFC 3339; `None` for anything else and for years outside 1970..=9999.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let ms = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        (0..=LAST_MS).contains(&ms).then_some(Self(ms))
    }

    /// This point moved later by `by`, saturating.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// This point moved earlier by `by`, saturating.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    /// How long after `earlier` this point is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Where "now" comes from.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 reads as 1970.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(millis(since_epoch))
    }
}

/// A clock that stands still until it is moved: for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves the clock to `now`, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// What the simulated clock showed at one real moment, and how fast it goes from there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimulatedClock {
    pub(crate) real: Timestamp,
    pub(crate) simulated: Timestamp,
    pub(crate) speed: f64,
}

impl SimulatedClock {
    /// What it shows when the real clock shows `real`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "milliseconds since the simulator was made, far below 2^53; the conversion saturates"
    )]
    pub(crate) fn at(&self, real: Timestamp) -> Timestamp {
        let elapsed = real.as_millis().saturating_sub(self.real.as_millis());
        let passed = (elapsed as f64 * self.speed) as i64;
        Timestamp::from_millis(self.simulated.as_millis().saturating_add(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_is_read_and_written() {
        let whole = Timestamp::parse_rfc3339("2026-04-08T05:00:10Z").unwrap();
        let fraction = Timestamp::parse_rfc3339("2026-04-08T07:00:10.546+02:00").unwrap();
        assert_eq!(fraction.since(whole), Duration::from_millis(546));
        assert_eq!(fraction.to_string(), "2026-04-08T05:00:10.546Z");
        for bad in ["", "yesterday", "2026-13-01T00:00:00Z", "1950-01-01T00:00:00Z", "12345", "2026-04-08T05:00:10"] {
            assert_eq!(Timestamp::parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn days_begin_at_midnight_utc() {
        let last = Timestamp::parse_rfc3339("2026-04-08T23:59:59.999Z").unwrap();
        let next = last.plus(Duration::from_millis(1));
        assert_eq!(next.day(), last.day() + 1);
    }
}
