//! Whether the API answers us, what a person should look at when it does not, and how gently it is asked until it
//! does. Pure.

use std::time::Duration;

use crate::agntix::{ApiError, Route};
use crate::clock::Tick;
use crate::web::ApiStatus;

/// The vendor asks for exponential backoff with jitter, capped at 60 s.
const BACKOFF_CAP: Duration = Duration::from_secs(60);
const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// How often a route that refuses the credential is asked.
const PROBE: Duration = Duration::from_secs(60);
/// So many failures in a row are not one session's, but the API's.
const BROKEN: u32 = 5;
/// From so many failures in a row on, the API counts as down.
const DOWN: u32 = 3;

/// Backoff with full jitter: anywhere from nothing to the cap that grows with every failure. `random` is from 0 to 1.
pub fn backoff(failures: u32, random: f64) -> Duration {
    let cap = BACKOFF_BASE.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX)).min(BACKOFF_CAP);
    cap.mul_f64(random.clamp(0.0, 1.0))
}

/// What is known of the API's health.
#[derive(Clone, Debug, Default)]
pub struct Health {
    answered: bool,
    /// By route: whether it has ever given what it was asked for.
    worked: [bool; Route::ALL.len()],
    /// Why there is no credential to send, while there is none.
    no_credential: Option<String>,
    /// By route: the status with which it refuses the credential.
    refusals: [Option<u16>; Route::ALL.len()],
    probe_due: Tick,
    failures: u32,
    last_failure: String,
    held_until: Tick,
    /// The one request that a broken API gets is under way.
    probing: bool,
}

impl Health {
    /// Whether `route` may be asked at `now`.
    ///
    /// # Errors
    /// When not: from when on it may.
    pub fn may_ask(&self, route: Route, now: Tick) -> Result<(), Tick> {
        let until = self.held_until.max(if self.is_refused(route) { self.probe_due } else { Tick::ZERO });
        if until > now { Err(until) } else { Ok(()) }
    }

    /// A request is sent to `route`: while it is refused, or the API broken, it is the only one for a while.
    pub fn asked(&mut self, route: Route, now: Tick) {
        if self.is_refused(route) {
            self.probe_due = now + PROBE;
        }
        if self.failures >= BROKEN {
            (self.held_until, self.probing) = (now + BACKOFF_CAP, true);
        }
    }

    /// `route` gave an answer that shows that the API works and takes the credential: any but the failures below.
    pub fn answered(&mut self, route: Route) {
        self.heard();
        if self.is_unauthorized() {
            self.refusals = [None; Route::ALL.len()];
        }
        self.set_refusal(route, None);
        if let Some(worked) = self.worked.get_mut(route as usize) {
            *worked = true;
        }
    }

    /// Whether `route` has ever given what it was asked for.
    pub fn has_answered(&self, route: Route) -> bool {
        self.worked.get(route as usize) == Some(&true)
    }

    /// The configuration was reloaded: what was refused or failed is tried afresh.
    pub fn forgive(&mut self) {
        *self = Self { answered: self.answered, ..Self::default() };
    }

    /// `route` refused the credential with 401, which concerns all of them, or with 403. Whether that is news.
    pub fn refused(&mut self, route: Route, status: u16, now: Tick) -> bool {
        self.heard();
        let news = self.refusal(route) != Some(status) && !(status == 401 && self.is_unauthorized());
        self.set_refusal(route, Some(status));
        self.probe_due = now + PROBE;
        news
    }

    /// There is no credential to send, so that nothing was sent. Whether that is news.
    pub fn without_credential(&mut self, why: &str, now: Tick) -> bool {
        self.probe_due = now + PROBE;
        let news = self.no_credential.as_deref() != Some(why);
        self.no_credential = Some(why.to_owned());
        news
    }

    /// Whether another credential may be what is missing.
    pub fn waits_for_credential(&self) -> bool {
        Route::ALL.into_iter().any(|route| self.is_refused(route))
    }

    /// There is another credential, which is tried at once.
    pub fn credential_changed(&mut self) {
        self.probe_due = Tick::ZERO;
    }

    /// Whether the API has ever answered with what it was asked for.
    pub fn has_worked(&self) -> bool {
        self.worked.contains(&true)
    }

    /// No answer, or one of a broken server. Whether the API counts as down since now.
    pub fn failed(&mut self, error: &ApiError, now: Tick, random: f64) -> bool {
        self.no_credential = None;
        self.last_failure = error.to_string();
        if self.failures >= BROKEN && !std::mem::take(&mut self.probing) {
            // It was under way when the API broke, and so says nothing new: one blip is not many failures in a row.
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= BROKEN {
            self.held_until = now + backoff(self.failures - BROKEN + 1, random);
        }
        self.failures == DOWN
    }

    /// Whether it answers, and if not, why, as a sentence. `credential` and `host` are named to the reader.
    pub fn status(&self, credential: &str, host: &str) -> ApiStatus {
        if let Some(why) = &self.no_credential {
            return ApiStatus::Down(format!(
                "There is no credential to send: {why}. Put it there; it is looked for every second."
            ));
        }
        if self.is_unauthorized() {
            return ApiStatus::Down(format!(
                "{host} does not accept the credential in {credential} (401): it is wrong, expired or deleted. \
                 It is tried once a minute."
            ));
        }
        let forbidden = Route::ALL.into_iter().filter(|route| self.refusal(*route) == Some(403));
        let (what, scopes): (Vec<_>, Vec<_>) = forbidden
            .map(|route| match route {
                Route::Session => ("single sessions", "to read sessions"),
                Route::List => ("the listing of sessions", "to list sessions (or set sessions.listing = false)"),
                Route::Agents => ("the agents", "to read agents"),
            })
            .unzip();
        if !what.is_empty() {
            return ApiStatus::Down(format!(
                "The credential in {credential} lacks the scope for {} (403): give it the scope {} in the Agntix \
                 dashboard. It is tried once a minute.",
                what.join(" and "),
                scopes.join(" and "),
            ));
        }
        if self.failures >= DOWN {
            return ApiStatus::Down(format!(
                "{host} cannot be used: {}. It is tried again and again.",
                self.last_failure
            ));
        }
        if self.answered { ApiStatus::Up } else { ApiStatus::Unknown }
    }

    /// An answer came, whatever it says.
    fn heard(&mut self) {
        (self.answered, self.failures, self.held_until, self.probing) = (true, 0, Tick::ZERO, false);
        self.no_credential = None;
    }

    fn is_refused(&self, route: Route) -> bool {
        self.no_credential.is_some() || self.is_unauthorized() || self.refusal(route).is_some()
    }

    fn is_unauthorized(&self) -> bool {
        self.refusals.contains(&Some(401))
    }

    fn refusal(&self, route: Route) -> Option<u16> {
        self.refusals.get(route as usize).copied().flatten()
    }

    fn set_refusal(&mut self, route: Route, status: Option<u16>) {
        if let Some(refusal) = self.refusals.get_mut(route as usize) {
            *refusal = status;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn backoff_grows_to_a_minute_and_is_spread_from_nothing() {
        assert_eq!([1, 3, 6, 40].map(|failures| backoff(failures, 1.0).as_secs()), [2, 8, 60, 60]);
        assert_eq!((backoff(9, 0.0), backoff(9, 0.5)), (Duration::ZERO, S * 30));
    }

    #[test]
    fn a_refused_credential_is_probed_once_a_minute_on_any_route() {
        let mut health = Health::default();
        health.answered(Route::List);
        assert!(health.refused(Route::Session, 401, S) && !health.refused(Route::Session, 401, S));
        assert_eq!(health.may_ask(Route::Agents, S * 60), Err(S * 61));
        assert_eq!(health.may_ask(Route::Agents, S * 61), Ok(()));
        health.asked(Route::Agents, S * 61);
        assert_eq!(health.may_ask(Route::List, S * 62), Err(S * 121));
        let status = health.status("AGNTIX_API_KEY", "api.agntix.ai");
        assert!(matches!(&status, ApiStatus::Down(why) if why.contains("AGNTIX_API_KEY") && why.contains("401")));
        health.answered(Route::Agents);
        assert_eq!((health.may_ask(Route::Session, S * 62), health.status("", "")), (Ok(()), ApiStatus::Up));
    }

    #[test]
    fn another_credential_is_tried_at_once_and_one_refusal_is_news_once() {
        let mut health = Health::default();
        assert!(health.refused(Route::List, 401, S) && !health.refused(Route::Agents, 401, S));
        assert!(health.waits_for_credential() && !health.has_worked());
        health.credential_changed();
        assert_eq!(health.may_ask(Route::List, S * 2), Ok(()));
        health.asked(Route::List, S * 2);
        assert_eq!(health.may_ask(Route::Agents, S * 2), Err(S * 62));
        assert!(health.without_credential("x is empty", S * 2) && !health.without_credential("x is empty", S * 2));
        assert!(matches!(health.status("key", "host"), ApiStatus::Down(why) if why.contains("x is empty")));
        health.answered(Route::List);
        assert!(!health.waits_for_credential() && health.has_worked());
    }

    #[test]
    fn a_missing_scope_concerns_its_route() {
        let mut health = Health::default();
        health.refused(Route::Agents, 403, S);
        assert_eq!((health.may_ask(Route::List, S), health.may_ask(Route::Agents, S)), (Ok(()), Err(S * 61)));
        health.answered(Route::List);
        assert!(matches!(health.status("key", "host"), ApiStatus::Down(why) if why.contains("the agents")));
        health.answered(Route::Agents);
        assert_eq!(health.status("key", "host"), ApiStatus::Up);
    }

    #[test]
    fn a_broken_api_is_asked_by_one_request_at_a_time() {
        let mut health = Health::default();
        let timeout = ApiError::Timeout;
        assert_eq!([1; 3].map(|_| health.failed(&timeout, S, 1.0)), [false, false, true]);
        assert!(matches!(health.status("key", "host"), ApiStatus::Down(_)));
        assert_eq!(health.may_ask(Route::List, S), Ok(()));
        health.failed(&timeout, S, 1.0);
        health.failed(&timeout, S, 1.0);
        assert_eq!(health.may_ask(Route::List, S), Err(S * 3));
        health.failed(&timeout, S * 2, 1.0);
        assert_eq!(health.may_ask(Route::List, S * 2), Err(S * 3), "it was under way before");
        health.asked(Route::List, S * 3);
        assert_eq!(health.may_ask(Route::Session, S * 4), Err(S * 63));
        health.answered(Route::List);
        assert_eq!((health.may_ask(Route::Session, S * 4), health.status("key", "host")), (Ok(()), ApiStatus::Up));
    }
}
