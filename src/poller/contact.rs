//! What is known of the API: how each route stands, under which spelling of its path it is asked, and what the event stream has
//! shown (promise P11). Pure.

use std::sync::Arc;
use std::time::Duration;

use agntix_api::Route;
use agntix_api::paths::{AfterWrong, ApiPath, PathChoice};

use super::choice::RouteState;
use super::health::Health;
use super::route_health::WrongAnswer;
use crate::api;
use crate::clock::Tick;
use crate::config::{ApiConfig, Config};
use crate::status::ApiStatus;

/// So many requests in a row may be sent again because the API had not begun with them: several connections of them.
const NOT_BEGUN: u32 = 256;
/// So many sessions in a row that are refused with 403 are not of another organization: the scope is missing.
const FORBIDDEN_SESSIONS: u8 = 3;

/// What is known of the API.
#[derive(Debug)]
pub(super) struct Contact {
    pub(super) health: Health,
    /// How the credential is named to a person.
    pub(super) credential: String,
    pub(super) host: String,
    /// The event stream, once it was asked for.
    pub(super) stream: Option<StreamSeen>,
    /// What the paths and the credential were made from.
    config: ApiConfig,
    /// By route: under which path it is asked.
    paths: [PathChoice; Route::ALL.len()],
    /// By route: requests under way.
    asking: [u32; Route::ALL.len()],
    /// Sessions in a row for which the credential was refused with 403.
    forbidden_in_row: u8,
    /// Requests in a row that the API had not begun with.
    not_begun: u32,
    /// When a lost connection was last counted as a failure.
    connection_lost: Option<Tick>,
}

/// The event stream, as far as it is not followed here.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamSeen {
    /// Under which path it is asked for.
    pub(super) path: Arc<str>,
    /// When it last brought anything.
    pub(super) alive: Option<Tick>,
    /// What came since in its place.
    pub(super) trouble: Option<String>,
}

/// Something else than the route promises came, under a path.
#[derive(Debug)]
pub(super) struct WrongPath<'a> {
    /// The path that was asked.
    pub(super) asked: &'a str,
    /// What came.
    pub(super) what: &'a str,
    /// It says that there is nothing at this path (404, 405).
    pub(super) is_absent: bool,
    /// Of which session, if of one.
    pub(super) session: Option<Arc<str>>,
}

impl Contact {
    /// With an API that nothing is known of but what an earlier process left: the places of the paths that it found, and
    /// whether it `has_listed` sessions.
    pub(super) fn new(
        config: &ApiConfig,
        found: &[Option<u32>; ApiPath::ALL.len()],
        has_listed: bool,
        credential: String,
        host: String,
    ) -> Self {
        Self {
            health: Health::with_history(if has_listed { &[Route::List] } else { &[] }),
            credential,
            host,
            stream: None,
            config: config.clone(),
            paths: Route::ALL.map(|route| {
                let path = ApiPath::from(route);
                PathChoice::new(path, &api::paths(config), found.get(path as usize).copied().flatten())
            }),
            asking: [0; Route::ALL.len()],
            forbidden_in_row: 0,
            not_begun: 0,
            connection_lost: None,
        }
    }

    /// Takes a reloaded configuration into effect.
    pub(super) fn reconfigure(&mut self, config: &Config, credential: String, host: String) {
        // What was refused, unreachable or missing may be none of it any more.
        let is_same_api = self.config.is_asked_like(&config.api) && self.credential == credential;
        self.health.retry(is_same_api);
        if !config.sessions.listing {
            self.health.forget(Route::List);
        }
        if !is_same_api {
            self.paths = self.paths.each_ref().map(|path| path.reconfigured(&api::paths(&config.api)));
        }
        self.config = config.api.clone();
        (self.credential, self.host) = (credential, host);
    }

    /// Whether the API answers as it promises, and if not, why, as a sentence.
    pub(super) fn status(&self, now: Tick) -> ApiStatus {
        self.health.status(&self.credential, &self.host, now)
    }

    /// The path under which `route` is to be asked; messages are asked for beside their session.
    pub(super) fn path(&self, route: Route) -> Arc<str> {
        let route = if route == Route::Messages { Route::Session } else { route };
        self.paths.get(route as usize).map(PathChoice::current).unwrap_or_default()
    }

    /// The paths of `route` that were tried, and what came, for a person.
    pub(super) fn tried(&self, route: Route) -> String {
        self.paths.get(route as usize).map(PathChoice::tried).unwrap_or_default()
    }

    /// Whether `route` was asked under every spelling of its path, in vain.
    pub(super) fn has_tried_all(&self, route: Route) -> bool {
        self.paths.get(route as usize).is_some_and(PathChoice::has_tried_all)
    }

    /// Whether it is known under which path `route` is.
    pub(super) fn path_is_known(&self, route: Route) -> bool {
        self.paths.get(route as usize).is_none_or(PathChoice::is_known)
    }

    /// How the routes stand, in the order of [`Route::ALL`].
    pub(super) fn route_states(&self, now: Tick) -> [RouteState; Route::ALL.len()] {
        Route::ALL.map(|route| RouteState {
            may_ask: self.health.may_ask(route, now),
            // Until its path is known, one request at a time finds it out.
            waits_for_path: !self.path_is_known(route)
                && self.asking.get(route as usize).is_some_and(|asking| *asking > 0),
            has_answered: self.health.has_answered(route),
        })
    }

    /// A request to `route` is sent.
    pub(super) fn asked(&mut self, route: Route, now: Tick) {
        self.health.asked(route, now);
        if let Some(asking) = self.asking.get_mut(route as usize) {
            *asking += 1;
        }
    }

    /// A request to `route` has come back.
    pub(super) fn came_back(&mut self, route: Route) {
        if let Some(asking) = self.asking.get_mut(route as usize) {
            *asking = asking.saturating_sub(1);
        }
    }

    /// A request came back that the API had begun with, or (`is_begun` is false) not. Whether it is to be sent again: a
    /// server that takes none at all is one that fails.
    pub(super) fn is_sent_again(&mut self, is_begun: bool) -> bool {
        self.not_begun = if is_begun { 0 } else { self.not_begun.saturating_add(1) };
        !is_begun && self.not_begun <= NOT_BEGUN
    }

    /// Whether a request that lost its connection `elapsed` after it was sent was under way already when a lost connection
    /// was last counted: then it shared that one, which is one failure.
    pub(super) fn shared_lost_connection(&mut self, elapsed: Duration, now: Tick) -> bool {
        let asked = now.saturating_sub(elapsed);
        let is_counted = self.connection_lost.is_some_and(|at| asked < at);
        if !is_counted {
            self.connection_lost = Some(now);
        }
        is_counted
    }

    /// A session was refused with 403. Whether that may be the session's own: it is of another organization.
    pub(super) fn is_one_sessions_refusal(&mut self) -> bool {
        if !self.health.has_answered(Route::Session) {
            return false;
        }
        self.forbidden_in_row = self.forbidden_in_row.saturating_add(1);
        self.forbidden_in_row <= FORBIDDEN_SESSIONS
    }

    /// A session was not refused.
    pub(super) fn session_answered(&mut self) {
        self.forbidden_in_row = 0;
    }

    /// `route` has answered as it promises under the path `asked`. Its place among the spellings and its key in the
    /// configuration, if that is news.
    pub(super) fn path_answered(&mut self, route: Route, asked: &str) -> Option<(u32, &'static str)> {
        let choice = self.paths.get_mut(route as usize)?;
        Some((choice.good(asked)?, choice.key()))
    }

    /// What came is not what `route` promises. What follows for its path. `random` gives a number from 0 to 1.
    pub(super) fn doubt(
        &mut self,
        route: Route,
        wrong: WrongPath<'_>,
        now: Tick,
        random: impl FnOnce() -> f64,
    ) -> AfterWrong {
        let (WrongPath { asked, what, is_absent, session }, random) = (wrong, random());
        let Some(choice) = self.paths.get_mut(route as usize) else { return AfterWrong::Stay };
        if *choice.current() != *asked {
            return AfterWrong::Stale;
        }
        let may_search =
            choice.is_choice() && !choice.is_searching() && self.health.may_search(route, choice.is_known(), now);
        let after = choice.wrong(asked, what.to_owned(), may_search);
        let says = format!("GET {}", choice.tried());
        let answer = WrongAnswer { says, session, is_absent, goes_on: after == AfterWrong::TryNext };
        self.health.wrong(route, answer, now, random);
        after
    }

    /// The event stream was opened under `path`.
    pub(super) fn stream_opened(&mut self, path: Arc<str>) {
        let stream = self.stream.get_or_insert_default();
        (stream.path, stream.trouble) = (path, None);
    }

    /// Something else came in place of the event stream.
    pub(super) fn stream_missing(&mut self, path: Arc<str>, why: String) {
        let stream = self.stream.get_or_insert_default();
        (stream.path, stream.trouble) = (path, Some(why));
    }

    /// The event stream has brought something.
    pub(super) fn stream_lives(&mut self, now: Tick) {
        if let Some(stream) = &mut self.stream {
            stream.alive = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use agntix_api::ApiError;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn contact() -> Contact {
        let found = [None; ApiPath::ALL.len()];
        Contact::new(&ApiConfig::default(), &found, false, "AGNTIX_API_KEY".into(), "api.agntix.ai".into())
    }

    fn wrong(asked: &str) -> WrongPath<'_> {
        WrongPath { asked, what: "404", is_absent: true, session: None }
    }

    #[test]
    fn one_request_at_a_time_finds_out_a_path() {
        let mut contact = contact();
        let waits = |contact: &Contact| contact.route_states(S)[Route::List as usize].waits_for_path;
        assert!(!waits(&contact) && !contact.path_is_known(Route::List));
        contact.asked(Route::List, S);
        assert!(waits(&contact));
        contact.came_back(Route::List);
        assert!(!waits(&contact));
        let path = contact.path(Route::List);
        assert_eq!(contact.path_answered(Route::List, &path), Some((0, "api.list_path")));
        assert_eq!(contact.path_answered(Route::List, &path), None, "it is known");
        contact.asked(Route::List, S);
        assert!(!waits(&contact));
    }

    #[test]
    fn wrong_answer_leads_to_the_next_spelling_and_does_not_count_against_another() {
        let mut contact = contact();
        let first = contact.path(Route::List);
        assert_eq!(contact.doubt(Route::List, wrong(&first), S, || 0.5), AfterWrong::TryNext);
        assert_ne!(contact.path(Route::List), first);
        assert_eq!(contact.doubt(Route::List, wrong(&first), S, || 0.5), AfterWrong::Stale);
    }

    #[test]
    fn requests_that_were_not_begun_are_sent_again_but_not_for_ever() {
        let mut contact = contact();
        let again = (0..1_000).filter(|_| contact.is_sent_again(false)).count();
        assert_eq!(again, NOT_BEGUN as usize);
        assert!(!contact.is_sent_again(true) && contact.is_sent_again(false));
    }

    #[test]
    fn a_lost_connection_is_one_failure_however_many_requests_shared_it() {
        let mut contact = contact();
        assert!(!contact.shared_lost_connection(S, S * 10));
        assert!(contact.shared_lost_connection(S * 2, S * 10) && contact.shared_lost_connection(S * 2, S * 11));
        assert!(!contact.shared_lost_connection(S, S * 12), "it was sent later");
    }

    #[test]
    fn sessions_refused_one_after_another_are_not_of_another_organization() {
        let mut contact = contact();
        assert!(!contact.is_one_sessions_refusal(), "no session was ever given");
        contact.health.good(Route::Session, S);
        let refusals = |contact: &mut Contact| (0..5).filter(|_| contact.is_one_sessions_refusal()).count();
        assert_eq!(refusals(&mut contact), usize::from(FORBIDDEN_SESSIONS));
        contact.session_answered();
        assert_eq!(refusals(&mut contact), usize::from(FORBIDDEN_SESSIONS));
    }

    #[test]
    fn a_reload_keeps_what_is_known_of_the_same_api_only() {
        let mut contact = contact();
        let path = contact.path(Route::List);
        contact.path_answered(Route::List, &path);
        contact.health.failed(Route::List, &ApiError::Timeout, S, 0.5);
        contact.reconfigure(&Config::default(), "AGNTIX_API_KEY".into(), "api.agntix.ai".into());
        assert!(contact.path_is_known(Route::List));
        contact.reconfigure(&Config::default(), "api.key_file /key".into(), "api.agntix.ai".into());
        assert!(!contact.path_is_known(Route::List));
        assert_eq!((contact.path(Route::List), contact.status(S)), (path, ApiStatus::Unknown), "it is tried first");
    }
}
