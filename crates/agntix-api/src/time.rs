//! Points in time and spans since the start of the process. No clock is read here: whoever calls says what time it is.

use std::borrow::Cow;
use std::time::Duration;

/// Time since the process started: it never jumps, whatever is done to the machine's clock.
pub type Tick = Duration;

/// A point in time, in milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const DAY_MS: i64 = 86_400_000;

impl Timestamp {
    /// The point `ms` milliseconds after the Unix epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch, as Prometheus counts time.
    #[allow(clippy::cast_precision_loss, reason = "exact below 2^53 ms, the year 287396")]
    pub fn as_seconds_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Days since the Unix epoch, UTC.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }

    /// Parses RFC 3339 with or without fractional seconds, of which nine are read, and without a zone, which is UTC then;
    /// `None` for anything else and for years outside 1970..=9999.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let text = nine_decimals(text.trim());
        let parsed = text.parse().ok().or_else(|| without_zone(&text))?;
        let ms = parsed.as_millisecond();
        (0..=253_402_300_799_999).contains(&ms).then_some(Self(ms))
    }

    #[must_use]
    /// This point moved later by `by`, saturating.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    #[must_use]
    /// This point moved earlier by `by`, saturating.
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
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// `text` without the tenth and further digits of its fraction.
fn nine_decimals(text: &str) -> Cow<'_, str> {
    let Some((whole, fraction)) = text.split_once(['.', ',']) else { return Cow::Borrowed(text) };
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    match (fraction.get(..9), fraction.get(digits..)) {
        (Some(kept), Some(zone)) if digits > 9 => Cow::Owned(format!("{whole}.{kept}{zone}")),
        _ => Cow::Borrowed(text),
    }
}

/// `2026-04-08T05:00:00` as a time in UTC; a date alone is no point in time.
fn without_zone(text: &str) -> Option<jiff::Timestamp> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let is_plain = |text: &str, more: &[u8]| text.bytes().all(|byte| byte.is_ascii_digit() || more.contains(&byte));
    if !(is_plain(date, b"-") && is_plain(time, b":.,") && time.contains(':')) {
        return None;
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_is_read_with_and_without_fractions() {
        let whole = Timestamp::parse_rfc3339("2026-04-08T05:00:10Z").unwrap();
        let fraction = Timestamp::parse_rfc3339("2026-04-08T05:00:10.546Z").unwrap();
        assert_eq!(fraction.since(whole), Duration::from_millis(546));
        assert_eq!(whole.to_string(), "2026-04-08T05:00:10.000Z");
        for bad in ["", "yesterday", "2026-13-01T00:00:00Z", "1950-01-01T00:00:00Z", "12345"] {
            assert_eq!(Timestamp::parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_utc_and_more_than_nine_decimals_are_cut() {
        let expected = Timestamp::parse_rfc3339("2026-04-08T05:00:10.546Z").unwrap();
        for same in [
            "2026-04-08T05:00:10.546",
            "2026-04-08 05:00:10.546",
            "2026-04-08t05:00:10.546",
            "2026-04-08T05:00:10.546000000000Z",
            "2026-04-08T05:00:10.5469999999999999999999999999999999999999999Z",
            "2026-04-08T05:00:10.5460000000001",
            "2026-04-08T07:00:10.5460000000+02:00",
            " 2026-04-08T05:00:10.546z ",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(same), Some(expected), "{same}");
        }
        assert_eq!(Timestamp::parse_rfc3339("2026-04-08T05:00:10"), Timestamp::parse_rfc3339("2026-04-08T05:00:10Z"));
        for bad in [
            "2026-04-08",
            "2026-04-08T",
            "2026-04-08T05",
            "T05:00:10",
            "2026-04-08T05:00:10.",
            "2026-02-30T05:00:10",
            "2026-04-08T05:00:10 local",
            "2026-04-08T25:00:10",
            "1950-01-01T00:00:00",
            "2026-04-08T05:00:10.1234567890x",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn days_begin_at_midnight_utc() {
        let last = Timestamp::parse_rfc3339("2026-04-08T23:59:59.999Z").unwrap();
        assert_eq!(last.plus(Duration::from_millis(1)).day(), last.day() + 1);
    }
}
