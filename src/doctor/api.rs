//! What answers of the API say of the credential, its scopes, the clock and the budget.

use std::time::Duration;

use super::{Finding, span};
use crate::agntix::{ApiError, RateLimit};
use crate::clock::Timestamp;
use crate::config::Config;

/// Of the `Date` of an answer only whole seconds are known, and the way there takes time; less than this is no skew.
const SKEW: Duration = Duration::from_secs(5);
/// Svix's tolerance: a delivery that seems older or younger than this is refused.
const WEBHOOK_TOLERANCE: Duration = Duration::from_secs(300);

/// Who was asked, with what.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Host of the API.
    pub host: &'a str,
    /// How the credential is named to a person.
    pub credential: &'a str,
}

/// Why there is no answer to a request for `what`, such as "the agents".
pub fn refusal(check: &'static str, what: &str, asked: Asked<'_>, error: &ApiError) -> Finding {
    let Asked { host, credential } = asked;
    let status = |status: u16| matches!(error, ApiError::Status { status: found, .. } if *found == status);
    if status(401) {
        let found = format!("{host} does not accept {credential}: {error}");
        return Finding::failure(
            "credential",
            found,
            "it is wrong, expired or deleted: make a new one in the Agntix dashboard",
        );
    }
    if status(403) {
        let found = format!("{credential} lacks the scope to read {what}: {error}");
        return Finding::failure(check, found, "give it the scope in the Agntix dashboard, or use a key that has it");
    }
    let found = format!("{host} does not give {what}: {error}");
    let advice = match error {
        ApiError::Status { status: 404, .. } => "the route is not there: check api.base_url and the paths in [api]",
        ApiError::Status { status: 429, .. } => {
            return Finding::warning(
                check,
                found,
                "others use up the organization's rate limit: try again in a minute, and lower api.budget_share if it lasts",
            );
        }
        ApiError::Status { status: 500.., .. } => {
            return Finding::warning(
                check,
                found,
                "the trouble is Agntix's: try again later; the exporter does so by itself",
            );
        }
        ApiError::Connect(_) => {
            "check api.base_url, the network, and HTTPS_PROXY and NO_PROXY; a certificate of your own needs SSL_CERT_FILE"
        }
        ApiError::Timeout => "a firewall may drop what is sent: check the network, and HTTPS_PROXY and NO_PROXY",
        ApiError::Credential(_) => "correct the path or the permissions of the file",
        _ => "something other than Agntix may answer there: check api.base_url, and what stands between",
    };
    Finding::failure(check, found, advice)
}

/// Whether it makes no sense to ask for anything else after this.
pub fn is_hopeless(error: &ApiError) -> bool {
    matches!(error, ApiError::Connect(_) | ApiError::Timeout | ApiError::Credential(_))
        || matches!(error, ApiError::Status { status: 401, .. })
}

/// This machine's clock against the API's.
pub fn clock(api: Option<Timestamp>, here: Timestamp, webhook: bool) -> Finding {
    const CHECK: &str = "clock";
    let Some(api) = api else {
        return Finding::warning(
            CHECK,
            "the answers of the API have no date, so that this machine's clock dates what is counted",
            "something between here and the API takes the header Date away: let it pass",
        );
    };
    let (skew, side) = if here >= api { (here.since(api), "ahead of") } else { (api.since(here), "behind") };
    if skew < SKEW {
        return Finding::ok(CHECK, "this machine's clock and the API's agree");
    }
    let found = format!("this machine's clock is {} {side} the API's", span(skew));
    let advice = "let NTP set it (systemd-timesyncd, chrony)";
    if webhook && skew >= WEBHOOK_TOLERANCE {
        let found = format!("{found}, so that deliveries of the webhook are refused as stale");
        return Finding::failure(CHECK, found, advice);
    }
    Finding::warning(CHECK, found, advice)
}

/// What polling takes, in requests a minute, with so many open sessions and so many that end a minute.
pub fn demand(config: &Config, open: u64, ended_a_minute: f64) -> f64 {
    let a_minute = |every: Duration| 60.0 / every.as_secs_f64().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let open = open as f64;
    // A sweep of the listing is a page while little is new; then one of the open sessions.
    let listing = if config.sessions.listing { 2.0 * a_minute(config.poll.listing_interval) } else { 0.0 };
    listing + open * a_minute(config.poll.open_interval) + ended_a_minute + a_minute(config.poll.agents_interval)
}

/// Whether the budget is enough for it.
pub fn budget(config: &Config, rate_limit: RateLimit, demand: f64) -> Finding {
    const CHECK: &str = "budget";
    let share = config.api.budget_share;
    let (budget, whence) = match rate_limit.limit {
        Some(limit) => (f64::from(limit) * share, format!("{share} of the organization's {limit}")),
        None => {
            (f64::from(config.api.requests_per_minute), "api.requests_per_minute, since the API tells no limit".into())
        }
    };
    let found = format!("polling takes some {demand:.0} of {budget:.0} requests a minute ({whence})");
    if demand > budget {
        return Finding::warning(
            CHECK,
            found,
            "sessions will be counted late: enable webhooks, raise poll.open_interval and poll.listing_interval, or raise api.budget_share",
        );
    }
    if rate_limit.remaining.zip(rate_limit.limit).is_some_and(|(left, limit)| left < limit / 10) {
        let left = rate_limit.remaining.unwrap_or_default();
        return Finding::warning(
            CHECK,
            format!("{found}, but only {left} are left in this minute"),
            "others use up the organization's rate limit: find out who, or lower api.budget_share",
        );
    }
    Finding::ok(CHECK, found)
}

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::*;

    const ASKED: Asked<'static> = Asked { host: "api.example", credential: "AGNTIX_API_KEY" };

    fn status(status: u16) -> ApiError {
        ApiError::Status { status, code: None, request_id: None, retry_after: None }
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let found = |error: &ApiError| refusal("agents", "the agents", ASKED, error);
        assert_eq!(found(&status(401)).check, "credential");
        for (error, standing, word) in [
            (status(401), Standing::Failure, "make a new one"),
            (status(403), Standing::Failure, "scope"),
            (status(404), Standing::Failure, "paths"),
            (status(429), Standing::Warning, "rate limit"),
            (status(503), Standing::Warning, "later"),
            (ApiError::Connect("refused".into()), Standing::Failure, "HTTPS_PROXY"),
            (ApiError::Timeout, Standing::Failure, "firewall"),
            (ApiError::Body("HTML".into()), Standing::Failure, "api.base_url"),
            (ApiError::Credential("no file".into()), Standing::Failure, "permissions"),
        ] {
            let finding = found(&error);
            assert_eq!(finding.standing, standing, "{finding:?}");
            assert!(finding.advice.as_ref().unwrap().contains(word), "{finding:?}");
        }
        assert!(is_hopeless(&status(401)) && is_hopeless(&ApiError::Timeout));
        assert!(!is_hopeless(&status(403)) && !is_hopeless(&status(404)));
    }

    #[test]
    fn a_skew_matters_to_webhooks_from_five_minutes_on() {
        let now = Timestamp::from_millis(1_775_628_000_000);
        let at = |seconds: u64, webhook| clock(Some(now), now.plus(Duration::from_secs(seconds)), webhook);
        assert_eq!(at(4, true).standing, Standing::Ok);
        assert_eq!(at(5, true).standing, Standing::Warning);
        assert_eq!(at(300, false).standing, Standing::Warning);
        assert_eq!(at(300, true).standing, Standing::Failure);
        assert!(
            at(300, true).found.starts_with("this machine's clock is 5m ahead of the API's"),
            "{:?}",
            at(300, true)
        );
        let behind = clock(Some(now), now.minus(Duration::from_secs(60)), true);
        assert!(behind.found.contains("1m behind"), "{behind:?}");
        assert_eq!(clock(None, now, false).standing, Standing::Warning);
    }

    #[test]
    fn a_budget_is_held_against_what_polling_takes() {
        let config = Config::default();
        // Two pages each 30 s, agents each 10 minutes, and what there is of sessions.
        assert!((demand(&config, 0, 0.0) - 4.1).abs() < 1e-9);
        assert!((demand(&config, 10, 3.0) - 27.1).abs() < 1e-9);
        let with = |limit, remaining| RateLimit { limit, remaining, reset: None };
        let limited = budget(&config, with(Some(100), Some(90)), 27.0);
        assert_eq!(
            limited,
            Finding::ok("budget", "polling takes some 27 of 50 requests a minute (0.5 of the organization's 100)")
        );
        assert_eq!(budget(&config, with(Some(100), Some(90)), 51.0).standing, Standing::Warning);
        assert_eq!(budget(&config, with(Some(100), Some(9)), 27.0).standing, Standing::Warning);
        assert!(
            budget(&config, with(None, None), 27.0).found.contains("of 50 requests a minute (api.requests_per_minute")
        );
    }
}
