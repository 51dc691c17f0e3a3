//! Times as the command line and the files spell them. Pure.

use crate::clock::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// A time as `--from` and `--to` give it: a date, which is its midnight in UTC, or RFC 3339.
///
/// # Errors
/// A sentence.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let with_midnight = format!("{text}T00:00:00Z");
    let parsed =
        if text.len() == 10 { Timestamp::parse_rfc3339(&with_midnight) } else { Timestamp::parse_rfc3339(text) };
    parsed.ok_or_else(|| format!("{text:?} is no time; write a date such as 2026-08-01, or 2026-08-01T12:00:00Z"))
}

/// A day since 1970 as its date: `2026-08-01`.
pub(super) fn date(day: i64) -> String {
    let text = Timestamp::from_millis(day.saturating_mul(DAY_MS)).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_midnights() {
        let midnight = parse_time("2026-08-01").unwrap();
        assert_eq!(parse_time("2026-08-01T00:00:00Z").unwrap(), midnight);
        assert_eq!(date(midnight.day()), "2026-08-01");
        for bad in ["", "yesterday", "2026-8-1", "2026-13-01"] {
            assert!(parse_time(bad).unwrap_err().contains("2026-08-01"), "{bad}");
        }
    }
}
