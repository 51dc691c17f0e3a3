//! Whether the API answers us, what a person should look at when it does not, and how gently it is asked until it
//! does. Pure.

use std::time::Duration;

use agntix_api::paths::ApiPath;
use agntix_api::{ApiError, Route};

use super::backoff::{BACKOFF_CAP, backoff};
use super::route_health::{BROKEN, RouteHealth, WrongAnswer};
use crate::clock::Tick;
use crate::status::ApiStatus;

/// How often a route that refuses the credential is asked.
const PROBE: Duration = Duration::from_secs(60);
/// From so many failures in a row on, the API counts as down.
const DOWN: u32 = 3;
/// Without any good answer for so long, it counts as down whatever comes instead.
const NOTHING_GOOD_FOR: Duration = Duration::from_secs(120);

/// What is known of the API's health.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// What each route has shown.
    routes: [RouteHealth; Route::ALL.len()],
    /// Since when nothing good has come of any route although it was asked for, how often it was, and what came last.
    unheard: Option<(Tick, u32, String)>,
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
    /// Of an API that an earlier process has had good answers of, on these routes.
    pub fn with_history(routes: &[Route]) -> Self {
        let mut health = Self::default();
        for route in routes {
            health.with(*route, |route| *route = RouteHealth::worked_before());
        }
        health
    }

    /// Whether `route` may be asked at `now`.
    ///
    /// # Errors
    /// When not: from when on it may.
    pub fn may_ask(&self, route: Route, now: Tick) -> Result<(), Tick> {
        let until = self.held_until.max(if self.is_refused(route) { self.probe_due } else { Tick::ZERO });
        if until > now { Err(until) } else { self.route(route).map_or(Ok(()), |route| route.may_ask(now)) }
    }

    /// A request is sent to `route`: while it is refused, or the API broken, it is the only one for a while.
    pub fn asked(&mut self, route: Route, now: Tick) {
        if self.is_refused(route) {
            self.probe_due = now + PROBE;
        }
        if self.failures >= BROKEN {
            (self.held_until, self.probing) = (now + BACKOFF_CAP, true);
        }
        self.with(route, |route| route.asked(now));
    }

    /// `route` answered as it promises.
    pub fn good(&mut self, route: Route, now: Tick) {
        self.accepted(route);
        self.with(route, |route| route.good(now));
    }

    /// `route` said in the API's own words that there is no such session: the route is right, and the credential good.
    pub fn right(&mut self, route: Route) {
        self.accepted(route);
        self.with(route, RouteHealth::right);
    }

    /// `route` asks for a pause (429): it is there, and has given nothing.
    pub fn paused(&mut self, route: Route, error: &ApiError, now: Tick) {
        self.heard();
        self.count_unheard(&error.to_string(), now);
        self.with(route, |route| route.unheard(&error.to_string(), now));
    }

    /// `route` gave something that it does not promise.
    pub fn wrong(&mut self, route: Route, answer: WrongAnswer, now: Tick, random: f64) {
        self.heard();
        self.count_unheard(&answer.says, now);
        self.with(route, |route| route.wrong(answer, now, random));
    }

    fn accepted(&mut self, route: Route) {
        self.heard();
        self.unheard = None;
        if self.is_unauthorized() {
            self.refusals = [None; Route::ALL.len()];
        }
        if self.refusal(route).is_some() {
            // It has got what it lacked, and so may the others have.
            self.probe_due = Tick::ZERO;
        }
        self.set_refusal(route, None);
    }

    fn count_unheard(&mut self, why: &str, now: Tick) {
        let (_, count, last) = self.unheard.get_or_insert((now, 0, String::new()));
        *count = count.saturating_add(1);
        why.clone_into(last);
    }

    /// What `route` has shown.
    pub fn route(&self, route: Route) -> Option<&RouteHealth> {
        self.routes.get(route as usize)
    }

    /// Whether `route` may be searched for under other spellings; see [`RouteHealth::may_search`].
    pub fn may_search(&mut self, route: Route, is_known: bool, now: Tick) -> bool {
        self.routes.get_mut(route as usize).is_some_and(|route| route.may_search(is_known, now))
    }

    /// Whether `route` has ever given what it was asked for.
    pub fn has_answered(&self, route: Route) -> bool {
        self.route(route).is_some_and(RouteHealth::has_been_good)
    }

    /// Whether `route` is not there: it has never answered otherwise than with 404 or 405, while another route works.
    pub fn is_absent(&self, route: Route) -> bool {
        self.has_worked() && self.route(route).is_some_and(RouteHealth::is_absent)
    }

    /// The configuration was reloaded: what was refused or failed is tried at once. What is known of it stays true until it
    /// answers, but only if it `is_same_api`, asked in the same way.
    pub fn retry(&mut self, is_same_api: bool) {
        if !is_same_api {
            *self = Self::default();
            return;
        }
        self.routes.iter_mut().for_each(RouteHealth::retry);
        (self.probe_due, self.held_until, self.probing) = (Tick::ZERO, Tick::ZERO, false);
        self.failures = self.failures.min(BROKEN - 1);
    }

    /// `route` is not used any more.
    pub fn forget(&mut self, route: Route) {
        self.with(route, |route| *route = RouteHealth::default());
        self.set_refusal(route, None);
    }

    /// `route` works again: the others may have come back with it, and are not left alone any longer.
    pub fn retry_beside(&mut self, route: Route) {
        for other in Route::ALL.into_iter().filter(|other| *other != route) {
            self.with(other, RouteHealth::release);
        }
    }

    /// `route` refused the credential with 401, which concerns all of them, or with 403. Whether that is news.
    pub fn refused(&mut self, route: Route, status: u16, now: Tick) -> bool {
        self.heard();
        self.count_unheard(&format!("it answers {status}"), now);
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

    /// Whether any route has ever answered as it promises.
    pub fn has_worked(&self) -> bool {
        self.routes.iter().any(RouteHealth::has_been_good)
    }

    /// No answer of `route`, or one of a broken server. Whether the API counts as down since now.
    pub fn failed(&mut self, route: Route, error: &ApiError, now: Tick, random: f64) -> bool {
        self.no_credential = None;
        self.count_unheard(&error.to_string(), now);
        self.with(route, |route| route.unheard(&error.to_string(), now));
        self.last_failure = error.to_string();
        if self.failures >= BROKEN && !std::mem::take(&mut self.probing) {
            // It was under way when the API broke, so it is the same failure, and not another one in a row.
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= BROKEN {
            self.held_until = now + backoff(self.failures - BROKEN + 1, random);
        }
        self.failures == DOWN
    }

    /// Whether nothing is in the way of requests about sessions.
    pub fn has_no_trouble(&self) -> bool {
        self.failures == 0 && !self.is_refused(Route::Session)
    }

    /// Whether it answers as it promises, and if not, why, as a sentence. `credential` and `host` are named to the reader.
    pub fn status(&self, credential: &str, host: &str, now: Tick) -> ApiStatus {
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
                Route::Messages => ("messages", "to read messages"),
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
        if let Some(why) = self.wrong_routes(host, now) {
            return ApiStatus::Down(why);
        }
        if let Some((silent, last)) = self.nothing_good(now) {
            let silent = humantime::format_duration(Duration::from_secs(silent.as_secs()));
            return ApiStatus::Down(format!(
                "{host} has given no good answer for {silent}: {last}. It is tried again and again."
            ));
        }
        let is_doubtful = |route: Route| {
            self.route(route).is_some_and(|health| health.is_doubtful() && !health.has_been_good())
                && !self.is_absent(route)
        };
        let is_up = self.has_worked() && !Route::ALL.into_iter().any(is_doubtful);
        if is_up { ApiStatus::Up } else { ApiStatus::Unknown }
    }

    /// For how long no route has given a good answer, and what came last, once that is too long.
    fn nothing_good(&self, now: Tick) -> Option<(Duration, &str)> {
        let (since, count, last) = self.unheard.as_ref()?;
        let silent = now.saturating_sub(*since);
        (*count >= DOWN && silent >= NOTHING_GOOD_FOR).then_some((silent, last))
    }

    /// Whether what has worked can no longer be relied on: something else answers, or nothing good has come for long.
    pub fn is_lost(&self, now: Tick) -> bool {
        self.nothing_good(now).is_some() || self.wrong_routes("", now).is_some()
    }

    /// Which routes answer something else than they promise, as sentences, if any does.
    fn wrong_routes(&self, host: &str, now: Tick) -> Option<String> {
        // That requests for single sessions fail without an answer may be those sessions' own trouble.
        let trouble = |route: Route| self.route(route)?.does_not_work(route != Route::Session, now);
        let is_there = |route: &Route| !self.is_absent(*route);
        if !Route::ALL.into_iter().filter(is_there).any(|route| trouble(route).is_some()) {
            return None;
        }
        let doubt = |route: Route| {
            let health = self.route(route).filter(|health| health.is_doubtful() && !health.has_been_good())?;
            Some(health.last_trouble())
        };
        let wrong: Vec<_> = Route::ALL
            .into_iter()
            .filter(is_there)
            .filter_map(|route| Some((ApiPath::from(route), trouble(route).or_else(|| doubt(route))?)))
            .collect();
        let nothing_works = Route::ALL
            .into_iter()
            .all(|route| trouble(route).is_some() || self.route(route).is_none_or(|health| !health.has_been_good()));
        let what: Vec<_> = wrong.iter().map(|(path, says)| format!("{}: {says}", path.gives())).collect();
        let keys: Vec<_> = wrong.iter().map(|(path, _)| path.key()).collect();
        let advice = if nothing_works {
            "Check api.base_url, and whether a proxy, a gateway or a login page answers in its place".to_owned()
        } else {
            format!("Check {}, and the gateway in front of the API", keys.join(" and "))
        };
        Some(format!(
            "{host} does not answer as the Agntix API does ({}). {advice}. It is tried again at least once a minute.",
            what.join("; ")
        ))
    }

    /// An answer came, whatever it says.
    fn heard(&mut self) {
        (self.failures, self.held_until, self.probing) = (0, Tick::ZERO, false);
        self.no_credential = None;
    }

    /// Whether `route` does not take the credential, or there is none.
    pub fn is_refused(&self, route: Route) -> bool {
        self.no_credential.is_some() || self.is_unauthorized() || self.refusal(route).is_some()
    }

    fn is_unauthorized(&self) -> bool {
        self.refusals.contains(&Some(401))
    }

    fn with(&mut self, route: Route, change: impl FnOnce(&mut RouteHealth)) {
        if let Some(route) = self.routes.get_mut(route as usize) {
            change(route);
        }
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
    fn a_refused_credential_is_probed_once_a_minute_on_any_route() {
        let mut health = Health::default();
        health.good(Route::List, S);
        assert!(health.refused(Route::Session, 401, S) && !health.refused(Route::Session, 401, S));
        assert_eq!(health.may_ask(Route::Agents, S * 60), Err(S * 61));
        assert_eq!(health.may_ask(Route::Agents, S * 61), Ok(()));
        health.asked(Route::Agents, S * 61);
        assert_eq!(health.may_ask(Route::List, S * 62), Err(S * 121));
        let status = health.status("AGNTIX_API_KEY", "api.agntix.ai", S);
        assert!(matches!(&status, ApiStatus::Down(why) if why.contains("AGNTIX_API_KEY") && why.contains("401")));
        health.good(Route::Agents, S);
        assert_eq!((health.may_ask(Route::Session, S * 62), health.status("", "", S)), (Ok(()), ApiStatus::Up));
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
        assert!(matches!(health.status("key", "host", S), ApiStatus::Down(why) if why.contains("x is empty")));
        health.good(Route::List, S);
        assert!(!health.waits_for_credential() && health.has_worked());
    }

    #[test]
    fn a_missing_scope_concerns_its_route() {
        let mut health = Health::default();
        health.refused(Route::Agents, 403, S);
        assert_eq!((health.may_ask(Route::List, S), health.may_ask(Route::Agents, S)), (Ok(()), Err(S * 61)));
        health.good(Route::List, S);
        assert!(matches!(health.status("key", "host", S), ApiStatus::Down(why) if why.contains("the agents")));
        health.good(Route::Agents, S);
        assert_eq!(health.status("key", "host", S), ApiStatus::Up);
    }

    #[test]
    fn a_broken_api_is_asked_by_one_request_at_a_time() {
        let mut health = Health::default();
        let timeout = ApiError::Timeout;
        assert_eq!([1; 3].map(|_| health.failed(Route::List, &timeout, S, 1.0)), [false, false, true]);
        assert!(matches!(health.status("key", "host", S), ApiStatus::Down(_)));
        assert_eq!(health.may_ask(Route::List, S), Ok(()));
        health.failed(Route::List, &timeout, S, 1.0);
        health.failed(Route::List, &timeout, S, 1.0);
        assert_eq!(health.may_ask(Route::List, S), Err(S * 3));
        health.failed(Route::List, &timeout, S * 2, 1.0);
        assert_eq!(health.may_ask(Route::List, S * 2), Err(S * 3), "it was under way before");
        health.asked(Route::List, S * 3);
        assert_eq!(health.may_ask(Route::Session, S * 4), Err(S * 63));
        health.good(Route::List, S);
        assert_eq!((health.may_ask(Route::Session, S * 4), health.status("key", "host", S)), (Ok(()), ApiStatus::Up));
    }
}
