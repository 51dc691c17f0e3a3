//! This machine's clock against that of the API.

use std::time::Duration;

use super::Finding;
use crate::clock::Timestamp;

const CHECK: &str = "clock";
/// `Date` has whole seconds, and NTP keeps a machine far closer.
const FINE: Duration = Duration::from_secs(5);
/// Deliveries are refused from five minutes on; a minute less is as good as there.
const REFUSES_DELIVERIES: Duration = Duration::from_secs(240);
/// `Date` is cut off to the second below.
const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// An answer of the API by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockSeen {
    /// This machine's, when the answer had come.
    pub here: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
    /// The answer's `Date`.
    pub api: Timestamp,
}

/// Judges the clock.
pub(super) fn judge(seen: Option<ClockSeen>, takes_deliveries: bool) -> Finding {
    let Some(ClockSeen { here, elapsed, api }) = seen else {
        return Finding::warning(
            CHECK,
            "the API's answers carry no Date, so this machine's clock cannot be compared",
            "look whether a proxy takes the header away; the exporter then goes by this machine's clock",
        );
    };
    // The API wrote it somewhere on the way of the request.
    let (here, api) = (here.minus(elapsed / 2), api.plus(HALF_A_SECOND));
    let (apart, side) = if here >= api { (here.since(api), "ahead of") } else { (api.since(here), "behind") };
    let doubt = elapsed / 2 + HALF_A_SECOND;
    let certain = apart.saturating_sub(doubt);
    if certain <= FINE {
        return Finding::ok(CHECK, format!("this machine's clock is within {} of the API's", whole(apart + doubt)));
    }
    let says = format!("this machine's clock is {} {side} the API's", whole(apart));
    let advice = "synchronise it, with systemd-timesyncd or chrony";
    if takes_deliveries && certain >= REFUSES_DELIVERIES {
        let says = format!("{says}: deliveries that are 5 minutes off are refused");
        return Finding::failure(CHECK, says, advice);
    }
    Finding::warning(
        CHECK,
        says,
        format!("{advice}; the counts go by the API's clock, logs and deliveries by this one"),
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
        let finding = judge(Some(ClockSeen { here, elapsed, api: API }), takes_deliveries);
        (finding.status, finding.says)
    }

    #[test]
    fn a_second_of_rounding_is_no_difference() {
        assert_eq!(judged(600, true), (Status::Ok, "this machine's clock is within 1s of the API's".into()));
        assert_eq!(judged(-4_000, true).0, Status::Ok);
    }

    #[test]
    fn a_difference_is_told_and_one_that_refuses_deliveries_fails() {
        let (status, says) = judged(42_600, true);
        assert_eq!((status, says.as_str()), (Status::Warning, "this machine's clock is 42s ahead of the API's"));
        assert!(judged(-60_000, true).1.contains("1m 1s behind the API's"));
        assert_eq!((judged(300_000, true).0, judged(300_000, false).0), (Status::Failure, Status::Warning));
        assert_eq!(judged(-300_000, true).0, Status::Failure);
        assert_eq!(judge(None, true).status, Status::Warning);
    }
}
