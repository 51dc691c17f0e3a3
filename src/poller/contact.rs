//! What the answers of the API show of its routes: whether they promise what they give, and under which spelling they are
//! (promise P11).

use std::sync::Arc;
use std::time::Duration;

use agntix_api::paths::{AfterWrong, ApiPath, PathChoice};
use agntix_api::promise::{self, Unkept};
use agntix_api::{Answer, Route, wire};

use super::answers::session_notice;
use super::core::{Ask, Core, Now};
use super::health::backoff;
use super::notices::{ApiNotice, Notice, SessionTrouble};
use super::route_health::WrongAnswer;
use super::time::Head;
use crate::clock::Tick;
use crate::ledger::Change;
use crate::session::Source;

/// A listing that is not there is asked for again after this much at most: it may come.
const ABSENT_CAP: Duration = Duration::from_secs(600);
/// The same where nothing at all answers as it should.
const NOTHING_WORKS_CAP: Duration = Duration::from_secs(60);

/// How an answer came: its head.
#[derive(Clone, Debug)]
pub(super) struct Came {
    pub(super) path: Arc<str>,
    pub(super) status: Option<u16>,
    pub(super) content_type: Option<&'static str>,
    pub(super) request_id: Option<String>,
    pub(super) head: Head,
}

impl Came {
    pub(super) fn of(answer: &Answer, now: Now) -> Self {
        Self {
            path: Arc::clone(&answer.path),
            status: answer.status,
            content_type: answer.content_type,
            request_id: answer.request_id.clone(),
            head: Head::of(answer, now),
        }
    }

    /// Whether `page` is written as `route` promises it, and does not stand for nothing at all.
    pub(super) fn is_written(&self, route: Route, body: &[u8], page: &wire::Page<'_>) -> bool {
        promise::is_written(body, page, || self.unkept(route, body))
    }

    /// What the body of a 2xx answer is that is not what `route` promises.
    pub(super) fn unkept(&self, route: Route, body: &[u8]) -> Unkept {
        promise::of_body(route, self.status.unwrap_or(200), self.content_type, body)
    }
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

impl Core {
    /// The event stream was opened.
    pub(super) fn stream_opened(&mut self, path: Arc<str>, place: Option<u32>) {
        let stream = self.stream.get_or_insert_default();
        (stream.path, stream.trouble) = (path, None);
        if let Some(place) = place {
            self.commits.note(Change::Path { path: ApiPath::Stream, place });
        }
    }

    /// Something else came in place of the event stream.
    pub(super) fn stream_missing(&mut self, path: Arc<str>, why: String) {
        let stream = self.stream.get_or_insert_default();
        (stream.path, stream.trouble) = (path, Some(why));
    }

    /// `source` has brought something.
    pub(super) fn stream_lives(&mut self, source: Source, now: Now) {
        if let Some(stream) = self.stream.as_mut().filter(|_| source == Source::Stream) {
            stream.alive = Some(now.tick);
        }
    }

    /// The path under which `route` is to be asked.
    pub fn path(&self, route: Route) -> Arc<str> {
        self.paths.get(route as usize).map(PathChoice::current).unwrap_or_default()
    }

    /// A request to `route` is sent.
    pub(super) fn sent(&mut self, route: Route) {
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

    /// Whether it is known under which path `route` is.
    pub(super) fn path_is_known(&self, route: Route) -> bool {
        self.paths.get(route as usize).is_none_or(PathChoice::is_known)
    }

    /// Whether `route` has to wait: until its path is known, one request at a time finds it out.
    pub(super) fn waits_for_path(&self, route: Route) -> bool {
        !self.path_is_known(route) && self.asking.get(route as usize).is_some_and(|asking| *asking > 0)
    }

    /// `route` has answered as it promises.
    pub(super) fn kept(&mut self, route: Route, came: &Came, now: Now) {
        let before = self.health.route(route);
        let was_doubtful = before.is_some_and(super::route_health::RouteHealth::is_doubtful);
        let did_not_work = before.is_some_and(|route| route.does_not_work(true, now.tick).is_some());
        self.health.good(route, now.tick);
        if did_not_work {
            // What stood in its place may have stood before the others as well.
            self.health.retry_beside(route);
            self.agents.retry(now.tick);
            self.listing.sweep.due_by(now.tick);
        }
        self.take_path(route, came);
        let sessions = self.health.route(Route::Session);
        let sessions_fail = self.health.is_refused(Route::Session)
            || sessions.is_some_and(|route| route.does_not_work(false, now.tick).is_some())
            || (did_not_work && sessions.is_some_and(super::route_health::RouteHealth::has_failed));
        if (was_doubtful && route == Route::Session) || sessions_fail {
            // What was answered in their place said nothing of the sessions, and may be over.
            self.tracker.retry_failing(now.tick, false);
        }
    }

    /// The path under which `route` was asked is the right one.
    pub(super) fn take_path(&mut self, route: Route, came: &Came) {
        let Some(choice) = self.paths.get_mut(route as usize) else { return };
        let Some(place) = choice.good(&came.path) else { return };
        let (path, key) = (ApiPath::from(route), choice.key());
        self.updates.notice(Notice::Api(ApiNotice::PathFound { route, path: Arc::clone(&came.path), key }));
        self.commits.note(Change::Path { path, place });
    }

    /// What came is not what the route of `ask` promises. What follows for the path; the caller puts off what was asked.
    fn doubt(&mut self, ask: &Ask, came: &Came, what: &str, is_absent: bool, now: Now) -> AfterWrong {
        let (route, random) = (ask.route(), self.rng.f64());
        let Some(choice) = self.paths.get_mut(route as usize) else { return AfterWrong::Stay };
        if *choice.current() != *came.path {
            return AfterWrong::Stale;
        }
        let may_search =
            choice.is_choice() && !choice.is_searching() && self.health.may_search(route, choice.is_known(), now.tick);
        let after = choice.wrong(&came.path, what.to_owned(), may_search);
        let session = if let Ask::Session(id) = ask { Some(Arc::clone(id)) } else { None };
        let says = format!("GET {}", choice.tried());
        let answer = WrongAnswer { says, session, is_absent, goes_on: after == AfterWrong::TryNext };
        self.health.wrong(route, answer, now.tick, random);
        after
    }

    /// The answer to `ask` was not the API's, or not of this route: `what` came. It is asked for again, under another
    /// spelling of the path if there is one to try.
    pub(super) fn wrong_answer(&mut self, ask: &Ask, came: &Came, what: &str, is_absent: bool, now: Now) {
        let after = self.doubt(ask, came, what, is_absent, now);
        let (route, path, said) = (ask.route(), Arc::clone(&came.path), what.to_owned());
        self.updates.notice(Notice::Api(ApiNotice::NotAsPromised { route, path, what: said, after }));
        if matches!(after, AfterWrong::Stale | AfterWrong::TryNext) {
            return self.ask_again(ask, now);
        }
        let random = self.rng.f64();
        match ask {
            Ask::Session(id) => self.session_wrong(id, came, what, now),
            Ask::List(_) if self.health.route(Route::List).is_some_and(super::route_health::RouteHealth::is_absent) => {
                let cap = if self.health.has_worked() { ABSENT_CAP } else { NOTHING_WORKS_CAP };
                self.listing.absent(now.tick, cap);
            }
            Ask::List(_) => self.reread_page(now),
            Ask::Agents(_) => {
                let is_absent = self.health.is_absent(Route::Agents);
                let cap = self.config.agents_interval;
                self.agents.failed(now.tick, |failures| {
                    let usual = backoff(failures, random);
                    // A gateway that has no agents may get some.
                    if is_absent && failures > 5 { cap.max(usual) } else { usual }
                });
            }
        }
    }

    /// The same is asked for at once.
    fn ask_again(&mut self, ask: &Ask, now: Now) {
        match ask {
            Ask::Session(id) => self.tracker.put_back(id, now.tick),
            // Its page is due still.
            Ask::List(_) => self.listing.put_back(),
            Ask::Agents(_) => self.agents.again(now.tick),
        }
    }

    /// Something was answered in place of a session. It is the session's own only where the route works and the status can
    /// be said of one session.
    fn session_wrong(&mut self, id: &Arc<str>, came: &Came, what: &str, now: Now) {
        let route = self.health.route(Route::Session);
        let works = route.is_some_and(|route| route.has_been_good() && route.does_not_work(false, now.tick).is_none());
        let is_of_a_session = matches!(came.status, Some(400 | 404 | 405 | 409 | 410 | 422));
        let why = format!("the API answered {what}");
        if works && is_of_a_session {
            return self.session_missing(id, &why, true, came.request_id.as_deref(), now);
        }
        let random = self.rng.f64();
        self.tracker.fail(id, now.tick, |tracked| backoff(u32::from(tracked.failures), random));
        // That the API is down is said once, and not of each session.
        if self.reported.down_since.is_none()
            && let Some(suppressed) = self.complaints.admit(now.tick)
        {
            let trouble = SessionTrouble::Unreadable { why, again: None };
            self.updates.notice(session_notice(id, trouble, came.request_id.as_deref(), suppressed));
        }
    }

    /// Whether this organization's gateway has no listing: it was looked for under every spelling, and never was there.
    pub(super) fn has_no_listing(&self) -> bool {
        self.config.listing && self.listing.sweep.is_unavailable() && self.health.is_absent(Route::List)
    }
}
