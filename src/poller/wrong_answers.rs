//! What follows when a route gives what it promises, or something else (promise P11): which path is asked next, what is asked
//! for again, and what is put off.

use std::sync::Arc;
use std::time::Duration;

use agntix_api::Route;
use agntix_api::paths::{AfterWrong, ApiPath};

use super::answer_head::AnswerHead;
use super::backoff::backoff;
use super::contact::WrongPath;
use super::core::{Ask, Core, Now};
use super::notices::{ApiNotice, Notice, SessionTrouble};
use super::route_health::RouteHealth;
use super::sessions::session_notice;
use crate::ledger::Change;

/// A listing that is not there is asked for again after this much at most: it may come.
const ABSENT_CAP: Duration = Duration::from_secs(600);
/// The same where nothing at all answers as it should.
const NOTHING_WORKS_CAP: Duration = Duration::from_secs(60);

impl Core {
    /// The path under which `route` is to be asked.
    pub fn path(&self, route: Route) -> Arc<str> {
        self.contact.path(route)
    }

    /// `route` has answered as it promises.
    pub(super) fn promise_kept(&mut self, route: Route, head: &AnswerHead, now: Now) {
        let before = self.contact.health.route(route);
        let was_doubtful = before.is_some_and(RouteHealth::is_doubtful);
        let did_not_work = before.is_some_and(|route| route.does_not_work(true, now.tick).is_some());
        self.contact.health.good(route, now.tick);
        if did_not_work {
            // What stood in its place may have stood before the others as well.
            self.contact.health.retry_beside(route);
            self.agents.retry(now.tick);
            self.listing.sweep.due_by(now.tick);
        }
        self.take_path(route, head);
        let sessions = self.contact.health.route(Route::Session);
        let sessions_fail = self.contact.health.is_refused(Route::Session)
            || sessions.is_some_and(|route| route.does_not_work(false, now.tick).is_some())
            || (did_not_work && sessions.is_some_and(RouteHealth::has_failed));
        if (was_doubtful && route == Route::Session) || sessions_fail {
            // What was answered in their place said nothing of the sessions, and may be over.
            self.tracker.retry_failing(now.tick, false);
        }
    }

    /// The path under which `route` was asked is the right one.
    pub(super) fn take_path(&mut self, route: Route, head: &AnswerHead) {
        let Some((place, key)) = self.contact.path_answered(route, &head.path) else { return };
        self.updates.notice(Notice::Api(ApiNotice::PathFound { route, path: Arc::clone(&head.path), key }));
        self.commits.note(Change::Path { path: ApiPath::from(route), place });
    }

    /// The answer to `ask` was not the API's, or not of this route: `what` came. It is asked for again, under another
    /// spelling of the path if there is one to try.
    pub(super) fn wrong_answer(&mut self, ask: &Ask, head: &AnswerHead, what: &str, is_absent: bool, now: Now) {
        let session = if let Ask::Session(id) = ask { Some(Arc::clone(id)) } else { None };
        let wrong = WrongPath { asked: &head.path, what, is_absent, session };
        let after = self.contact.doubt(ask.route(), wrong, now.tick, || self.rng.f64());
        let (route, path, said) = (ask.route(), Arc::clone(&head.path), what.to_owned());
        self.updates.notice(Notice::Api(ApiNotice::NotAsPromised { route, path, what: said, after }));
        if matches!(after, AfterWrong::Stale | AfterWrong::TryNext) {
            return self.ask_again(ask, now);
        }
        let random = self.rng.f64();
        match ask {
            Ask::Session(id) => self.session_wrong(id, head, what, now),
            Ask::List(_) if self.contact.health.route(Route::List).is_some_and(RouteHealth::is_absent) => {
                let cap = if self.contact.health.has_worked() { ABSENT_CAP } else { NOTHING_WORKS_CAP };
                self.listing.absent(now.tick, cap);
            }
            Ask::List(_) => self.reread_page(now),
            Ask::Messages(id, _) => self.messages.put_back(id, now.tick),
            Ask::Agents(_) => {
                let is_absent = self.contact.health.is_absent(Route::Agents);
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
            Ask::Messages(id, _) => self.messages.put_back(id, now.tick),
            // Its page is due still.
            Ask::List(_) => self.listing.put_back(),
            Ask::Agents(_) => self.agents.again(now.tick),
        }
    }

    /// Something was answered in place of a session. It is the session's own only where the route works and the status can
    /// be said of one session.
    fn session_wrong(&mut self, id: &Arc<str>, head: &AnswerHead, what: &str, now: Now) {
        let route = self.contact.health.route(Route::Session);
        let works = route.is_some_and(|route| route.has_been_good() && route.does_not_work(false, now.tick).is_none());
        let is_of_a_session = matches!(head.status, Some(400 | 404 | 405 | 409 | 410 | 422));
        let why = format!("the API answered {what}");
        if works && is_of_a_session {
            return self.session_missing(id, &why, true, head.request_id.as_deref(), now);
        }
        let random = self.rng.f64();
        self.tracker.fail(id, now.tick, |tracked| backoff(u32::from(tracked.failures), random));
        // That the API is down is said once, and not of each session.
        if self.reported.down_since.is_none()
            && let Some(suppressed) = self.log_limit.admit(now.tick)
        {
            let trouble = SessionTrouble::Unreadable { why, again: None };
            self.updates.notice(session_notice(id, trouble, head.request_id.as_deref(), suppressed));
        }
    }

    /// Whether this organization's gateway has no listing: it was looked for under every spelling, and never was there.
    pub(super) fn has_no_listing(&self) -> bool {
        self.config.listing && self.listing.sweep.is_unavailable() && self.contact.health.is_absent(Route::List)
    }
}
