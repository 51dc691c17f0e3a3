//! The requests of the API that polling needs.
//!
//! The listing shows most sessions while they are open, so that few of these are asked for one by one; most requests are for sessions
//! that have ended and wait for their analysis. `cargo bench --bench scaling -- requests` lets the poller's core run beside a simulated
//! API and prints what it asks for beside what is reckoned here.

use std::time::Duration;

use agntix_api::ApiRateLimit;

use crate::config::Config;

/// Sessions a page of the listing.
const PAGE: f64 = 100.0;
/// A sweep reads on while there is news on a page: as far as sessions are unfinished, which is longer for some than for most.
const UNFINISHED: f64 = 1.7;
/// Every five minutes a sweep reads ten minutes deeper.
const DEEP_SWEEP: (f64, f64) = (5.0, 10.0);
/// An open session is asked for after this part of its age (see `tracker`), but at least so often, in seconds.
const AGE_PART: f64 = 20.0;
const OPEN_AT_MOST: f64 = 300.0;
/// How the wait for an analysis grows from look to look, and how long it is at most, in seconds.
const ENDED_GROWTH: f64 = 1.5;
const ENDED_AT_MOST: f64 = 120.0;
/// How long an analysis takes where nothing is known of it, in seconds.
const USUAL_ANALYSIS: f64 = 60.0;

/// What there is to follow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Sessions that are open.
    pub open: u64,
    /// Sessions that have ended and wait for their analysis.
    pub ended: u64,
    /// Sessions that start in a minute.
    pub starts_per_minute: f64,
    /// Listed sessions carry their analysis.
    pub listed_whole: bool,
    /// Pages of agents.
    pub agent_pages: u32,
}

/// Requests a minute that may be sent, and whether the limit is the API's own.
pub fn allowed(limit: ApiRateLimit, config: &Config) -> (u32, bool) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    let share = |limit: u32| (f64::from(limit) * config.api.budget_share) as u32;
    limit.per_minute().map_or((config.api.requests_per_minute, false), |limit| (share(limit).max(1), true))
}

/// Requests a minute that polling needs.
#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 sessions")]
pub fn needed(load: &Load, config: &Config) -> f64 {
    let &Load { starts_per_minute, .. } = load;
    let (open, ended) = (load.open as f64, load.ended as f64);
    let mut needed = f64::from(load.agent_pages.max(1)) * per_minute(config.poll.agents_interval);
    if config.sessions.listing {
        let unfinished = UNFINISHED * (open + ended);
        needed += per_minute(config.poll.listing_interval) * (1.0 + unfinished / PAGE);
        let (every, back) = DEEP_SWEEP;
        needed += (starts_per_minute * back - unfinished).max(0.0) / PAGE / every;
    }
    // By Little's law: those that are there at once are those that come in a minute, times the minutes that each stays.
    let stay = |count: f64| if starts_per_minute > 0.0 { count / starts_per_minute * 60.0 } else { 0.0 };
    let mut looks_at_open = looks_at_an_open_session(stay(open), config);
    // Where sweeps come less often than an open session is due, it is asked for all the same.
    if config.sessions.listing && config.poll.listing_interval <= config.poll.open_interval {
        looks_at_open -= looks_at_an_open_session(stay(open).min(DEEP_SWEEP.1 * 60.0), config);
    }
    let waits = if ended > 0.0 { stay(ended) } else { USUAL_ANALYSIS };
    let mut looks_at_ended = looks_at_an_ended_session(waits, config);
    if !load.listed_whole && !config.webhook.enabled {
        // The one that finds the analysis.
        looks_at_ended += 1.0;
    }
    needed + starts_per_minute * (looks_at_open + looks_at_ended)
}

/// How often a session that is open for so many seconds is asked for: every `poll.open_interval`, then after a twentieth of its age,
/// and at last every five minutes.
fn looks_at_an_open_session(open_for: f64, config: &Config) -> f64 {
    let interval = config.poll.open_interval.as_secs_f64();
    let (slower, slowest) = (interval * AGE_PART, interval.max(OPEN_AT_MOST) * AGE_PART);
    let even = open_for.min(slower) / interval;
    let growing = if open_for > slower { AGE_PART * (open_for.min(slowest) / slower).ln() } else { 0.0 };
    let slow = (open_for - slowest).max(0.0) / interval.max(OPEN_AT_MOST);
    even + growing + slow
}

/// How often a session is asked for that waits so many seconds for its analysis, until that is there: after `poll.ended_interval`, and
/// then half as long again each time, up to two minutes.
fn looks_at_an_ended_session(waits: f64, config: &Config) -> f64 {
    let mut interval = config.poll.ended_interval.as_secs_f64();
    let at_most = interval.max(ENDED_AT_MOST);
    let (mut at, mut looks) = (interval, 0.0);
    while at < waits && interval < at_most {
        looks += 1.0;
        interval = (interval * ENDED_GROWTH).min(at_most);
        at += interval;
    }
    // From here on they are evenly apart.
    looks + ((waits - at).max(0.0) / interval).ceil()
}

fn per_minute(interval: Duration) -> f64 {
    60.0 / interval.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(limit: Option<u32>) -> ApiRateLimit {
        ApiRateLimit { limit, ..ApiRateLimit::default() }
    }

    #[test]
    fn needed_requests_add_up() {
        let close = |load: Load, config: &Config, expected: f64| {
            let needed = needed(&load, config);
            assert!((needed - expected).abs() < 1e-9, "{needed} and not {expected}");
        };
        let mut config = Config::default();
        // Two sweeps a minute, and the agents every ten.
        close(Load::default(), &config, 2.0 + 0.1);
        // Each is open for four minutes and waits for one: 250 sessions of which news is to be had, and three looks at each ended one.
        let busy = Load { open: 400, ended: 100, starts_per_minute: 100.0, listed_whole: true, agent_pages: 2 };
        let lists = 0.2 + 2.0 * (1.0 + 8.5) + (1_000.0 - 850.0) / 100.0 / 5.0;
        close(busy, &config, lists + 300.0);
        close(Load { listed_whole: false, ..busy }, &config, lists + 400.0);
        config.webhook.enabled = true;
        close(Load { listed_whole: false, ..busy }, &config, lists + 300.0);
        config.poll.ended_interval = Duration::from_secs(120);
        close(busy, &config, lists);
        config.poll.listing_interval = Duration::from_secs(60);
        close(busy, &config, 0.2 + 9.5 + 0.3 + 800.0);
        config.poll.listing_interval = Duration::from_secs(30);
        // Nothing but single requests shows that a session has ended.
        config.sessions.listing = false;
        close(busy, &config, 0.2 + 800.0);
    }

    #[test]
    fn sessions_beyond_the_listing_are_asked_for_less_and_less_often() {
        let config = Config::default();
        let looks = |minutes: u32| looks_at_an_open_session(60.0 * f64::from(minutes), &config);
        assert!((looks(4) - 8.0).abs() < 1e-9 && (looks(10) - 20.0).abs() < 1e-9);
        assert!((looks(100) - (20.0 + 20.0 * 10.0_f64.ln())).abs() < 1e-9, "{}", looks(100));
        assert!((looks(105) - looks(100) - 1.0).abs() < 1e-9);
        let of = |open| needed(&Load { open, starts_per_minute: 1.0, ..Load::default() }, &config);
        assert!(of(60) - of(10) > 20.0 * 6.0_f64.ln(), "an hour is longer than the listing is read back");
    }

    #[test]
    fn analysis_is_waited_for_with_growing_patience() {
        let config = Config::default();
        let looks = |seconds: f64| looks_at_an_ended_session(seconds, &config);
        // After 10, 25, 47.5, 81, 132 s.
        let close =
            |seconds: f64, expected: f64| assert!((looks(seconds) - expected).abs() < 1e-9, "{}", looks(seconds));
        close(5.0, 0.0);
        close(60.0, 3.0);
        close(90.0, 4.0);
        assert!(looks(86_400.0) > 700.0 && looks(86_400.0) < 730.0, "{}", looks(86_400.0));
    }

    #[test]
    fn budget_is_the_share_of_the_limit_or_the_configured_rate() {
        let config = Config::default();
        assert_eq!(allowed(limit(Some(600)), &config), (300, true));
        assert_eq!(allowed(limit(None), &config), (50, false));
    }
}
