//! The requests that polling needs, compared with those that it may send.

use agntix_api::ApiRateLimit;

use super::Finding;
use super::finding::grouped;
use crate::capacity::{Load, allowed, needed};
use crate::config::Config;

const CHECK: &str = "budget";
/// If polling needs more than this share of the budget, a busy hour exceeds it.
const TIGHT: f64 = 0.7;

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
        "raise {raise}, or let the webhook bring the analyses and lengthen poll.ended_interval, which saves most requests"
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
    fn need_near_or_beyond_the_budget_is_a_warning() {
        let config = Config::default();
        let judged = |starts_per_minute| judge(&Load { starts_per_minute, ..Load::default() }, limit(None), &config);
        assert_eq!(judged(5.0).status, Status::Ok);
        assert!(judged(5.0).says.starts_with("polling needs about 23 requests a minute, of 50 that it may send"));
        assert!(judged(10.0).says.ends_with("at busy hours counts will come late"), "{}", judged(10.0).says);
        assert!(judged(20.0).says.ends_with(": counts will come late"));
        assert!(judged(20.0).advice.unwrap().starts_with("raise api.requests_per_minute"));
    }
}
