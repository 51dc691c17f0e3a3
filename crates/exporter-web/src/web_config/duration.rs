//! Durations as Go writes them: `1s`, `1h30m`, `250ms`; a bare number is nanoseconds.

use std::time::Duration;

const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9)];

/// The duration that the text stands for; `None` if it is none, or is negative.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if let Ok(nanoseconds) = text.parse() {
        return Some(Duration::from_nanos(nanoseconds));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(number)?;
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit)?;
        let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale)?;
        let seconds = number.parse::<f64>().ok()? * scale / 1e9;
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("1s", 1_000),
            ("250ms", 250),
            ("1.5s", 1_500),
            ("1h2m3s", 3_723_000),
            ("2000000", 2),
            ("5µs", 0),
            ("+1s", 1_000),
        ] {
            assert_eq!(parse(text).map(|d| d.as_millis()), Some(milliseconds), "{text}");
        }
        for text in ["", "s", "1", "-1s", "1 s", "1d", "1.2.3s", "1s2", ".s", "9e9h", "é", "1é"] {
            assert!(parse(text).is_none_or(|duration| duration.as_nanos() == 1), "{text}");
        }
    }
}
