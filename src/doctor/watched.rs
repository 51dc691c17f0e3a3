//! The sessions that are shown one by one (`metrics.watch_recent`): how long each is shown, and how many series Prometheus gets
//! from them in a day.

use super::Finding;
use super::finding::grouped;
use super::seen::Listing;
use crate::capacity::SERIES_OF_A_SESSION;
use crate::config::Config;

const CHECK: &str = "watched";
/// The usual scrape interval, in minutes: what is shown for less is not seen by each Prometheus.
const SCRAPE: f64 = 1.0;
const MINUTES_A_DAY: f64 = 1_440.0;
/// Series that come and go burden Prometheus more than those that stay, of which `series` allows as many.
const MANY_A_DAY: f64 = 100_000.0;

/// Judges it by the listed sessions that have been analysed; `None` if no listing was read.
pub(super) fn judge(listing: Option<&Listing>, config: &Config) -> Option<Finding> {
    let listing = listing?;
    let limit = config.metrics.watch_recent;
    if limit == 0 {
        let says = "no session is shown one by one (metrics.watch_recent = 0), so alerts do not lead to any";
        return Some(Finding::ok(CHECK, says));
    }
    let shown = format!("the last {limit} unresolved or negative sessions are shown one by one (metrics.watch_recent)");
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 sessions")]
    let number = |count: u64| count as f64;
    if listing.analysed == 0 {
        let says = format!("{shown}; how many there are is not known, as no listed session carries an analysis");
        return Some(Finding::ok(CHECK, says));
    }
    let a_minute = listing.starts_per_minute * number(listing.bad) / number(listing.analysed);
    let series_a_day = a_minute * MINUTES_A_DAY * number(SERIES_OF_A_SESSION);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    let whole = |number: f64| grouped(number.round() as u64);
    let says = format!(
        "{shown}: at the pace of the listed ones about {} a day, {} new series in Prometheus",
        whole(a_minute * MINUTES_A_DAY),
        whole(series_a_day)
    );
    #[expect(clippy::cast_precision_loss, reason = "it is at most 1000")]
    let minutes = limit as f64 / a_minute;
    if minutes < SCRAPE {
        let says = format!(
            "{says}; each is shown for about {} s, so that a scrape a minute misses some",
            whole(minutes * 60.0)
        );
        let advice = "raise metrics.watch_recent (at most 1000), or set it to 0 if nobody looks at single sessions";
        return Some(Finding::warning(CHECK, says, advice));
    }
    if series_a_day > MANY_A_DAY {
        let advice = "see that Prometheus has room for series that come and go, or set metrics.watch_recent = 0: alerts then lead to no sessions";
        return Some(Finding::warning(CHECK, says, advice));
    }
    Some(Finding::ok(CHECK, says))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status::{self, Ok as Fine, Warning};

    fn judged(starts_per_minute: f64, bad: u64, limit: usize) -> (Status, String) {
        let mut config = Config::default();
        config.metrics.watch_recent = limit;
        let listing = Listing { starts_per_minute, analysed: 10, bad, ..Listing::default() };
        judge(Some(&listing), &config).map(|finding| (finding.status, finding.says)).unwrap()
    }

    #[test]
    fn sessions_shown_too_shortly_or_too_many_are_a_warning() {
        let (status, says) = judged(10.0, 1, 50);
        assert_eq!(status, Fine, "{says}");
        assert!(says.ends_with("about 1,440 a day, 7,200 new series in Prometheus"), "{says}");
        let (status, says) = judged(200.0, 5, 50);
        assert_eq!(status, Warning, "{says}");
        assert!(says.ends_with("each is shown for about 30 s, so that a scrape a minute misses some"), "{says}");
        let (status, says) = judged(100.0, 2, 1000);
        assert_eq!(status, Warning, "{says}");
        assert!(says.contains("144,000 new series"), "{says}");
        assert_eq!(judged(10.0, 0, 50).0, Fine);
        assert_eq!(judged(1_000.0, 10, 0).0, Fine, "nothing is shown");
    }

    #[test]
    fn nothing_is_reckoned_from_sessions_without_an_analysis() {
        let config = Config::default();
        let says = judge(Some(&Listing::default()), &config).unwrap().says;
        assert!(says.contains("not known"), "{says}");
        assert_eq!(judge(None, &config), None);
    }
}
