//! This machine's clock against that of the API.

use std::time::Duration;

use super::Finding;
use crate::clock::Timestamp;

const CHECK: &str = "clock";
/// `Date` has whole seconds, and NTP keeps a machine far closer.
const FINE: Duration = Duration::from_secs(5);
/// Deliveries are rejected at a difference of five minutes; a minute less is too close.
const REFUSES_DELIVERIES: Duration = Duration::from_secs(240);
/// `Date` is cut off to the second below.
const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// An answer of the API by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockSeen {
    /// This machine's time when the head of the answer arrived.
    pub here: Timestamp,
    /// How long the answer took.
    pub elapsed: Duration,
    /// The answer's `Date`.
    pub api: Timestamp,
}

impl ClockSeen {
    /// By how many milliseconds this machine's clock is ahead. The API wrote its date at some time during the request.
    fn machine_ahead_ms(self) -> i64 {
        let (here, api) = (self.here.minus(self.elapsed / 2), self.api.plus(HALF_A_SECOND));
        here.as_millis().saturating_sub(api.as_millis())
    }

    /// How uncertain the difference is.
    fn doubt(self) -> Duration {
        self.elapsed / 2 + HALF_A_SECOND
    }
}

/// Judges the clock by the dates of all good answers.
pub(super) fn judge(seen: &[ClockSeen], takes_deliveries: bool) -> Finding {
    let Some(first @ ClockSeen { elapsed, .. }) = seen.first().copied() else {
        return Finding::warning(
            CHECK,
            "the API's answers carry no Date, so this machine's clock cannot be compared",
            "look whether a proxy takes the header away; the exporter then goes by this machine's clock",
        );
    };
    let doubts = seen.iter().map(|seen| seen.doubt()).max().unwrap_or_default();
    let ahead = || seen.iter().map(|seen| seen.machine_ahead_ms());
    let spread = ahead().max().zip(ahead().min()).map_or(0, |(most, least)| most.saturating_sub(least));
    let spread = Duration::from_millis(spread.unsigned_abs());
    if spread.saturating_sub(doubts * 2) > FINE {
        return Finding::warning(
            CHECK,
            format!("the API's answers are up to {} apart in what time it is", whole(spread)),
            "one of the servers behind it has a wrong clock: tell the vendor's support; the exporter goes by most of the \
             answers, and gives no session up before poll.analysis_deadline has passed here as well",
        );
    }
    let ms = first.machine_ahead_ms();
    let (apart, side) = (Duration::from_millis(ms.unsigned_abs()), if ms >= 0 { "ahead of" } else { "behind" });
    let doubt = elapsed / 2 + HALF_A_SECOND;
    let certain = apart.saturating_sub(doubt);
    if certain <= FINE {
        return Finding::ok(CHECK, format!("this machine's clock is within {} of the API's", whole(apart + doubt)));
    }
    let says = format!("this machine's clock is {} {side} the API's", whole(apart));
    let advice = "synchronise it, with systemd-timesyncd or chrony";
    if takes_deliveries && certain >= REFUSES_DELIVERIES {
        let says =
            format!("{says}: after each start deliveries are refused until the API's answers have said its time");
        return Finding::failure(CHECK, says, advice);
    }
    Finding::warning(
        CHECK,
        says,
        format!(
            "{advice}; counts and deliveries go by the API's clock, logs and the budget over a restart by this one"
        ),
    )
}

/// In whole seconds, and never none.
fn whole(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1000).max(1);
    humantime::format_duration(Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    const API: Timestamp = Timestamp::from_millis(1_775_628_000_000);

    fn judged(ms_ahead: i64, takes_deliveries: bool) -> (Status, String) {
        let elapsed = Duration::from_millis(200);
        let here = Timestamp::from_millis(API.as_millis() + ms_ahead);
        let finding = judge(&[ClockSeen { here, elapsed, api: API }], takes_deliveries);
        (finding.status, finding.says)
    }

    #[test]
    fn difference_within_rounding_is_ok() {
        assert_eq!(judged(600, true), (Status::Ok, "this machine's clock is within 1s of the API's".into()));
        assert_eq!(judged(-4_000, true).0, Status::Ok);
    }

    #[test]
    fn clock_difference_warns_and_fails_where_deliveries_would_be_rejected() {
        let (status, says) = judged(42_600, true);
        assert_eq!((status, says.as_str()), (Status::Warning, "this machine's clock is 42s ahead of the API's"));
        assert!(judged(-60_000, true).1.contains("1m 1s behind the API's"));
        assert_eq!((judged(300_000, true).0, judged(300_000, false).0), (Status::Failure, Status::Warning));
        assert_eq!(judged(-300_000, true).0, Status::Failure);
        assert_eq!(judge(&[], true).status, Status::Warning);
    }

    #[test]
    fn contradicting_dates_are_a_warning() {
        let seen =
            |ms| ClockSeen { here: API, elapsed: Duration::from_millis(200), api: API.plus(Duration::from_millis(ms)) };
        assert_eq!(judge(&[seen(0), seen(2_000), seen(0)], true).status, Status::Ok);
        let finding = judge(&[seen(0), seen(1_200_000), seen(0)], true);
        assert_eq!(finding.status, Status::Warning);
        assert!(finding.says.contains("up to 20m apart"), "{}", finding.says);
    }
}
