//! What the simulator does wrong in the heads of its answers: a wrong clock, other forms of the rate limit, waits.

use serde::{Deserialize, Serialize};

use crate::random::{mix, unit};
use crate::time::Timestamp;

/// What is wrong in the heads of answers from now on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadFaults {
    /// Some answers have another `Date` than the simulated time.
    pub date: Option<DateFault>,
    /// Every answer but 2xx has this `Retry-After`.
    pub retry_after: Option<RetryAfter>,
    /// These lines in place of the `X-RateLimit-…` headers, each a name and a value; `{limit}`, `{remaining}` and `{reset}`
    /// stand for the numbers.
    pub rate_limit: Vec<(String, String)>,
}

/// A `Date` that lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DateFault {
    /// Share of the answers that lie, 0 to 1.
    pub share: f64,
    /// By how much they are ahead; behind if negative.
    pub ahead_seconds: f64,
    /// By how much more with each request, for a clock that drifts.
    #[serde(default)]
    pub drift_seconds: f64,
    /// Only answers to requests with a number below this lie; the first request has number 0.
    #[serde(default)]
    pub until_request: Option<u64>,
}

/// A `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryAfter {
    /// How long to wait.
    pub seconds: u32,
    /// As a date and not as a number.
    #[serde(default)]
    pub as_date: bool,
}

/// The headers that can be put in place of the usual ones.
pub(crate) const LIMIT_HEADERS: [&str; 8] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "ratelimit-policy",
    "ratelimit",
];

const DATES: u64 = 0xda7e;
/// A century: beyond it a date cannot be written.
const MOST_SECONDS: f64 = 3.2e9;

impl HeadFaults {
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(DateFault { share, ahead_seconds, drift_seconds, .. }) = self.date {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("date.share is {share}, but must be from 0 to 1"));
            }
            for (name, value) in [("ahead_seconds", ahead_seconds), ("drift_seconds", drift_seconds)] {
                if !(-MOST_SECONDS..=MOST_SECONDS).contains(&value) {
                    return Err(format!("date.{name} is {value}, but must be at most a century"));
                }
            }
        }
        match self.rate_limit.iter().find(|(name, _)| !LIMIT_HEADERS.contains(&name.as_str())) {
            Some((name, _)) => Err(format!("{name:?} is not one of {}", LIMIT_HEADERS.join(", "))),
            None => Ok(()),
        }
    }
}

impl DateFault {
    /// What the answer to this request says when the simulated time is `now`; the same for the same seed and number.
    pub(crate) fn shifted(&self, now: Timestamp, seed: u64, request: u64) -> Timestamp {
        let lies =
            self.until_request.is_none_or(|until| request < until) && unit(mix(&[seed, DATES, request])) < self.share;
        if !lies {
            return now;
        }
        #[expect(clippy::cast_precision_loss, reason = "the number of a request is far below 2^53")]
        let seconds = (self.ahead_seconds + self.drift_seconds * request as f64).clamp(-MOST_SECONDS, MOST_SECONDS);
        #[expect(clippy::cast_possible_truncation, reason = "it is bounded above")]
        Timestamp::from_millis(now.as_millis().saturating_add((seconds * 1000.0) as i64).max(0))
    }
}
