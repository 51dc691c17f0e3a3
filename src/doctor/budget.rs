//! The requests that polling needs, compared with those that it may send. The estimate is an upper bound: sessions that
//! stay open for long are asked for less and less often.

use agntix_api::ApiRateLimit;

use super::Finding;
use super::finding::grouped;
use crate::config::Config;

const CHECK: &str = "budget";
/// Sessions a page of the listing.
const PAGE: f64 = 100.0;
/// Every five minutes a sweep reads ten minutes deeper.
const DEEP_SWEEP: (f64, f64) = (5.0, 10.0);
/// Requests for a session that has ended: one that sees the end, one that finds the analysis.
const AFTER_THE_END: f64 = 2.0;
/// If polling needs more than this share of the budget, a busy hour exceeds it.
const TIGHT: f64 = 0.7;

/// What there is to follow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    /// Sessions that are open or wait for their analysis.
    pub pending: u64,
    /// Sessions that start in a minute.
    pub starts_per_minute: f64,
    /// Listed sessions carry their analysis, so that a session that has ended is not asked for.
    pub listed_whole: bool,
    /// Pages of agents.
    pub agent_pages: u32,
}

/// Requests a minute that may be sent, and whether the limit is the API's own.
pub(super) fn allowed(limit: ApiRateLimit, config: &Config) -> (u32, bool) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    let share = |limit: u32| (f64::from(limit) * config.api.budget_share) as u32;
    limit.per_minute().map_or((config.api.requests_per_minute, false), |limit| (share(limit).max(1), true))
}

/// Requests a minute that polling needs.
pub(super) fn needed(load: &Load, config: &Config) -> f64 {
    let per_minute = |interval: std::time::Duration| 60.0 / interval.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 sessions")]
    let pending = load.pending as f64;
    let mut needed = f64::from(load.agent_pages.max(1)) * per_minute(config.poll.agents_interval);
    if config.sessions.listing {
        let sweeps = per_minute(config.poll.listing_interval);
        needed += sweeps * (load.starts_per_minute / sweeps / PAGE).ceil().max(1.0);
        let (every, back) = DEEP_SWEEP;
        needed += (load.starts_per_minute * back / PAGE).ceil() / every;
    }
    needed += pending * per_minute(config.poll.open_interval);
    if !load.listed_whole && !config.webhook.enabled {
        needed += load.starts_per_minute * AFTER_THE_END;
    }
    needed
}

/// Judges the budget.
pub(super) fn judge(load: &Load, limit: ApiRateLimit, config: &Config) -> Finding {
    let (allowed, is_said) = allowed(limit, config);
    let needed = needed(load, config);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    let shown = grouped(needed.ceil() as u64);
    let behind = match limit.limit {
        Some(limit) if is_said => {
            let share = config.api.budget_share;
            format!("api.budget_share = {share} of the organization's {}", grouped(limit.into()))
        }
        _ => "api.requests_per_minute, as the API does not say its limit".to_owned(),
    };
    let says = format!(
        "polling needs about {shown} requests a minute, of {} that it may send ({behind})",
        grouped(allowed.into())
    );
    let raise = if is_said { "api.budget_share" } else { "api.requests_per_minute" };
    let advice = format!(
        "raise {raise}, lengthen poll.open_interval or poll.listing_interval, or enable the webhook, which saves most requests"
    );
    if needed > f64::from(allowed) {
        return Finding::warning(CHECK, format!("{says}: counts will come late"), advice);
    }
    if needed > TIGHT * f64::from(allowed) {
        return Finding::warning(CHECK, format!("{says}: at busy hours counts will come late"), advice);
    }
    Finding::ok(CHECK, says)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

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
        let busy = Load { pending: 10, starts_per_minute: 30.0, agent_pages: 2, ..Load::default() };
        close(busy, &config, 0.2 + 2.0 + 3.0 / 5.0 + 20.0 + 60.0);
        close(Load { listed_whole: true, ..busy }, &config, 0.2 + 2.0 + 3.0 / 5.0 + 20.0);
        config.webhook.enabled = true;
        config.sessions.listing = false;
        close(busy, &config, 0.2 + 20.0);
    }

    #[test]
    fn budget_is_the_share_of_the_limit_or_the_configured_rate() {
        let config = Config::default();
        assert_eq!(allowed(limit(Some(600)), &config), (300, true));
        assert_eq!(allowed(limit(None), &config), (50, false));
    }

    #[test]
    fn need_near_or_beyond_the_budget_is_a_warning() {
        let config = Config::default();
        let judged = |pending| judge(&Load { pending, ..Load::default() }, limit(None), &config);
        assert_eq!(judged(10).status, Status::Ok);
        assert!(judged(10).says.starts_with("polling needs about 23 requests a minute, of 50 that it may send"));
        assert!(judged(20).says.ends_with("at busy hours counts will come late"));
        assert!(judged(30).says.ends_with(": counts will come late"));
        assert!(judged(30).advice.unwrap().starts_with("raise api.requests_per_minute"));
    }
}
