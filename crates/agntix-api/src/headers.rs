//! What the headers of an answer say: rate limit, waiting time, the API's clock. What cannot be understood counts as absent.

use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};

use crate::answer::{ApiRateLimit, Quota};
use crate::time::Timestamp;

/// Longest `Retry-After` that is obeyed; the vendor's windows are a minute long.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// 2001 to 5138 in seconds. A number in between the two ranges is a time in neither unit.
const SECONDS: std::ops::Range<f64> = 1e9..1e11;
/// 2001 to 9999 in milliseconds.
const MILLISECONDS: std::ops::RangeInclusive<f64> = 1e12..=253_402_300_799_999.0;

impl ApiRateLimit {
    /// Reads the `X-RateLimit-…` headers, and those that the IETF's drafts have in their place (`RateLimit-…`, and
    /// `RateLimit` with `RateLimit-Policy`).
    ///
    /// A limit without a window is one a minute, as the vendor documents it. Where limits have windows (`100;w=60`), one
    /// without is the one that counts at present, and is among them. Of several limits each holds.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut quotas = Vec::new();
        for name in ["x-ratelimit-limit", "ratelimit-limit", "ratelimit-policy"] {
            quotas.extend(stated(headers, name));
        }
        quotas.sort_unstable_by_key(|quota| (quota.per_minute(), quota.seconds));
        quotas.dedup();
        let minute = quotas.iter().find(|quota| quota.seconds == MINUTE).or(quotas.first());
        let limit = minute.map(|quota| quota.requests);
        let mut read = Self { limit, ..Self::default() };
        read.quotas.iter_mut().zip(quotas).for_each(|(place, quota)| *place = Some(quota));
        let service = text(headers, "ratelimit");
        let first = |names: [&str; 2]| names.into_iter().find_map(|name| text(headers, name)).and_then(count);
        read.remaining = first(["x-ratelimit-remaining", "ratelimit-remaining"])
            .or_else(|| service.and_then(|items| parameter(items, &["r", "remaining"])));
        let in_seconds = || {
            let wait = text(headers, "ratelimit-reset").and_then(count);
            let wait = wait.or_else(|| service.and_then(|items| parameter(items, &["t", "reset"])))?;
            Some(date(headers)?.plus(Duration::from_secs(wait.into())))
        };
        read.reset = text(headers, "x-ratelimit-reset").and_then(moment).or_else(in_seconds);
        read
    }
}

/// The vendor's window, in seconds.
const MINUTE: u32 = 60;

/// The limits that all lines of one header state.
fn stated(headers: &HeaderMap, name: &str) -> Vec<Quota> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let items: Vec<(u32, Option<u32>)> = lines
        .flat_map(|line| line.split(','))
        .filter_map(|item| {
            let requests = count(item).or_else(|| parameter(item, &["q"]))?;
            Some((requests, parameter(item, &["w"]).filter(|seconds| *seconds > 0)))
        })
        .collect();
    let with_window = items.iter().filter_map(|(requests, window)| Some((*requests, (*window)?)));
    let quotas: Vec<Quota> = with_window.map(|(requests, seconds)| Quota { requests, seconds }).collect();
    if !quotas.is_empty() {
        return quotas;
    }
    let least = items.into_iter().map(|(requests, _)| requests).min();
    least.map(|requests| Quota { requests, seconds: MINUTE }).into_iter().collect()
}

/// The number behind one of these names: `w` of `100;w=60`, `remaining` of `limit=100, remaining=7`.
fn parameter(text: &str, names: &[&str]) -> Option<u32> {
    let pairs = text.split([';', ',']).filter_map(|part| part.split_once('='));
    let mut found = pairs.filter(|(name, _)| names.iter().any(|wanted| name.trim().eq_ignore_ascii_case(wanted)));
    found.find_map(|(_, value)| value.trim().parse().ok())
}

/// `Date` (RFC 9110, section 6.6.1).
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    text(headers, DATE.as_str()).and_then(http_date)
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a time, which only counts against the `Date` of the same
/// answer because this machine's clock may differ.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let wait = text(headers, RETRY_AFTER.as_str())?;
    match wait.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => {
            Some(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_WAIT.as_secs_f64())))
        }
        Ok(_) => None,
        Err(_) => Some(http_date(wait)?.since(date(headers)?).min(LONGEST_WAIT)),
    }
}

/// What an answer is, by its content type, if it is not an event stream. `None` if it is one, or has no content type.
pub(super) fn not_event_stream(headers: &HeaderMap) -> Option<&'static str> {
    media_type(headers).filter(|media| *media != EVENT_STREAM)
}

const EVENT_STREAM: &str = "text/event-stream";
/// The content types that have a name of their own here.
const MEDIA: [&str; 10] = [
    EVENT_STREAM,
    "text/html",
    "text/plain",
    "text/xml",
    "application/xhtml+xml",
    "application/xml",
    "application/json",
    "application/problem+json",
    "application/x-ndjson",
    "application/octet-stream",
];

/// `Content-Type` in this program's own words: the header's text may be anything and must not reach a log (promise P7).
pub(super) fn media_type(headers: &HeaderMap) -> Option<&'static str> {
    let value = headers.get(CONTENT_TYPE)?.as_bytes();
    let media = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let known = MEDIA.into_iter().find(|known| known.as_bytes().eq_ignore_ascii_case(media));
    Some(known.unwrap_or(if media.is_empty() { "of no type" } else { "of a type that is not known here" }))
}

/// The value of a header, if it is text.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// `100`, and what gateways make of it: `100, 100;w=60`.
fn count(value: &str) -> Option<u32> {
    value.split([',', ';']).next()?.trim().parse().ok()
}

/// Unix time in seconds, or in milliseconds, with or without a fraction.
fn moment(value: &str) -> Option<Timestamp> {
    let number: f64 = value.parse().ok()?;
    let ms = if SECONDS.contains(&number) { number * 1000.0 } else { number };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range is checked first, and a fraction of a ms is nothing"
    )]
    MILLISECONDS.contains(&ms).then_some(Timestamp::from_millis(ms as i64))
}

fn http_date(value: &str) -> Option<Timestamp> {
    let since_epoch = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(0).plus(since_epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn wait(value: &str) -> Option<Duration> {
        retry_after(&headers(&[("retry-after", value), ("date", "Wed, 08 Apr 2026 06:00:00 GMT")]))
    }

    #[test]
    fn the_waiting_time_is_seconds_or_a_date_and_an_hour_at_most() {
        for (value, ms) in [
            ("0", 0),
            ("30", 30_000),
            (" 1.5 ", 1500),
            ("-5", 0),
            ("86400", 3_600_000),
            ("1e300", 3_600_000),
            ("Wed, 08 Apr 2026 06:00:20 GMT", 20_000),
            ("Wednesday, 08-Apr-26 06:00:20 GMT", 20_000),
            ("Wed, 08 Apr 2026 05:00:00 GMT", 0),
            ("Thu, 09 Apr 2026 06:00:00 GMT", 3_600_000),
        ] {
            assert_eq!(wait(value), Some(Duration::from_millis(ms)), "{value:?}");
        }
        for nonsense in ["", "soon", "inf", "NaN", "1 minute", "08 Apr 2026"] {
            assert_eq!(wait(nonsense), None, "{nonsense:?}");
        }
        let without_date = headers(&[("retry-after", "Wed, 08 Apr 2026 06:00:20 GMT")]);
        assert_eq!(retry_after(&without_date), None);
    }

    #[test]
    fn unreadable_rate_limit_is_absent() {
        let read = |limit, remaining, reset| {
            ApiRateLimit::read(&headers(&[
                ("x-ratelimit-limit", limit),
                ("x-ratelimit-remaining", remaining),
                ("x-ratelimit-reset", reset),
            ]))
        };
        let reset = Some(Timestamp::from_millis(1_800_000_000_000));
        let mut whole = ApiRateLimit { limit: Some(600), remaining: Some(0), reset, ..ApiRateLimit::default() };
        whole.quotas[0] = Some(Quota { requests: 600, seconds: 60 });
        assert_eq!(read("600", "0", "1800000000"), whole);
        assert_eq!(read("600, 600;w=60", " 0 ", "1800000000000"), whole);
        assert_eq!(read("600;w=60", "0,1", "1800000000.0"), whole);
        let half = Some(Timestamp::from_millis(1_800_000_000_500));
        assert_eq!(read("1", "1", "1800000000.5").reset, half);
        for nonsense in ["", "-1", "many", "99999999999999999999", "60", "1e400", "NaN", "500000000000"] {
            assert_eq!(read("1", "1", nonsense).reset, None, "{nonsense:?}");
        }
        for nonsense in ["", "-1", "many", "99999999999", "1.5", ",", "0x10"] {
            assert_eq!(read(nonsense, nonsense, ""), ApiRateLimit::default(), "{nonsense:?}");
        }
        assert_eq!(ApiRateLimit::read(&HeaderMap::new()), ApiRateLimit::default());
    }

    #[test]
    fn limits_are_read_with_all_their_windows() {
        let read = |lines: &[(&str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in lines {
                let name: reqwest::header::HeaderName = name.parse().unwrap();
                map.append(name, value.parse().unwrap());
            }
            let read = ApiRateLimit::read(&map);
            let quotas: Vec<_> = read.quotas.iter().flatten().map(|q| (q.requests, q.seconds)).collect();
            (read.limit, quotas, read.remaining, read.reset.is_some())
        };
        let limit = |value| {
            let (limit, quotas, ..) = read(&[("x-ratelimit-limit", value)]);
            (limit, quotas)
        };
        assert_eq!(limit("0"), (Some(0), vec![(0, 60)]));
        assert_eq!(limit("100, 100;w=60"), (Some(100), vec![(100, 60)]));
        assert_eq!(limit("10;w=1, 600;w=60"), (Some(10 * 60), vec![(10, 1), (600, 60)]));
        assert_eq!(limit("600;w=3600"), (Some(600), vec![(600, 3600)]));
        assert_eq!(limit("10, 10;w=1;burst=5, 5000;w=3600;comment=\"x\""), (Some(5000), vec![(5000, 3600), (10, 1)]));
        assert_eq!(limit("100;w=0, 7;w=x"), (Some(7), vec![(7, 60)]), "no windows");
        assert_eq!(limit("1;w=1,2;w=2,3;w=3,4;w=4,5;w=5,6;w=60").1.len(), 4, "bounded, the strictest first");
        let lines = [("x-ratelimit-limit", "600"), ("x-ratelimit-limit", "100")];
        assert_eq!(read(&lines).1, [(100, 60)], "of two lines the stricter one");
        let drafts = [
            [("ratelimit-limit", "100, 100;w=60"), ("ratelimit-remaining", "7"), ("ratelimit-reset", "30")],
            [("ratelimit-policy", "\"default\";q=100;w=60"), ("ratelimit", "\"default\";r=7;t=30"), ("x", "")],
            [("ratelimit-policy", "100;w=60"), ("ratelimit", "limit=100, remaining=7, reset=30"), ("x", "")],
        ];
        for draft in drafts {
            let dated: Vec<_> = draft.into_iter().chain([("date", "Wed, 08 Apr 2026 06:00:00 GMT")]).collect();
            assert_eq!(read(&dated), (Some(100), vec![(100, 60)], Some(7), true), "{draft:?}");
            assert!(!read(&draft).3, "without a date it is not known since when");
        }
    }

    #[test]
    fn event_stream_is_known_by_its_content_type() {
        let read = |value| not_event_stream(&headers(&[("content-type", value)]));
        assert_eq!((read("text/event-stream"), read("Text/Event-Stream; charset=utf-8")), (None, None));
        assert_eq!(read("text/html; charset=utf-8"), Some("text/html"));
        assert_eq!(read("Application/JSON;x=Ms Smith"), Some("application/json"));
        assert_eq!((read(""), read("; text/event-stream")), (Some("of no type"), Some("of no type")));
        for secret in ["x", "text/Ms-Smith", "Ms Smith", "+971501234567", "text/html, text/Smith", &"x".repeat(1_000)] {
            assert_eq!(read(secret), Some("of a type that is not known here"), "{secret}");
        }
        assert_eq!(not_event_stream(&HeaderMap::new()), None);
    }

    #[test]
    fn a_date_is_the_clock_of_the_api() {
        let read = |value| date(&headers(&[("date", value)]));
        assert_eq!(read("Wed, 08 Apr 2026 06:00:00 GMT"), Timestamp::parse_rfc3339("2026-04-08T06:00:00Z"));
        assert_eq!((read("today"), date(&HeaderMap::new())), (None, None));
    }
}
