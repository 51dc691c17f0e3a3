//! What an answer of the API means: which changes it makes, and when to ask again.

use std::time::Duration;

use agntix_api::promise::{self, Unexpected};
use agntix_api::{Answer, ApiError, ApiRateLimit, JsonText, Quota, Route, wire};

use super::answer_head::AnswerHead;
use super::backoff::backoff;
use super::core::{Ask, Core, Now};
use super::notices::{ApiNotice, LimitNotice, ListNotice, Notice};
use super::route_health::WrongAnswer;
use super::sessions::{missing_wait, paced};
use super::updates::{MetricUpdate, StatedLimit, Update};
use crate::clock::Tick;
use crate::ledger::Change;
use crate::status::ApiStatus;
use crate::tracker::{Announced, PERSISTENT};

impl Core {
    /// An answer has come, or its time is over.
    pub fn answered(&mut self, ask: &Ask, answer: Answer, now: Now) {
        self.settle_budget(&answer, now.tick);
        self.came_back(ask);
        if self.is_sent_again(ask, &answer, now) {
            return;
        }
        self.note(&answer, now);
        let head = AnswerHead::of(&answer, now);
        if let Ask::Messages(id, page) = ask {
            return self.messages_answered((id, *page), answer.result, &head, now);
        }
        match answer.result {
            Ok(body) => match ask {
                Ask::Session(id) => self.session_answered(ask, id, &body, &head, now),
                Ask::List(page) => self.page_answered(ask, *page, &body, &head, now),
                Ask::Agents(_) => self.agents_answered(ask, &body, &head, now),
                Ask::Messages(..) => {}
            },
            Err(ApiError::Connect(why)) if self.contact.shared_lost_connection(answer.elapsed, now.tick) => {
                self.updates.notice(Notice::Api(ApiNotice::ConnectionLost { why }));
                let random = self.rng.f64();
                self.put_off(ask, now.tick, |failures| backoff(failures, random));
            }
            Err(error) => self.refused_or_failed(ask, &error, &head, now),
        }
    }

    fn came_back(&mut self, ask: &Ask) {
        self.contact.came_back(ask.route());
        if let Ask::Messages(..) = ask {
            self.messages.came_back();
        }
    }

    /// A request that the API had not begun with is sent again, as if it had not been sent: it is no failure.
    fn is_sent_again(&mut self, ask: &Ask, answer: &Answer, now: Now) -> bool {
        let is_begun = !matches!(answer.result, Err(ApiError::Unprocessed(_)));
        let is_again = self.contact.is_sent_again(is_begun);
        if is_again {
            self.updates.notice(Notice::Api(ApiNotice::RequestNotTaken { route: ask.route() }));
            self.put_back(ask, now.tick);
        }
        is_again
    }

    /// [`answered`](Self::answered), for a request that was sent with a configuration that is no longer in effect: what
    /// went wrong with it is no evidence about the present one.
    pub fn answered_before_reload(&mut self, ask: &Ask, answer: Answer, now: Now) {
        if answer.result.is_ok() {
            return self.answered(ask, answer, now);
        }
        self.settle_budget(&answer, now.tick);
        self.came_back(ask);
        self.put_back(ask, now.tick);
    }

    /// A request counts for a while after its answer; one that was never sent does not count at all.
    fn settle_budget(&mut self, answer: &Answer, now: Tick) {
        match answer.result {
            Err(ApiError::Credential(_) | ApiError::Id | ApiError::Unprocessed(_)) => self.choice.budget.give_back(now),
            Err(_) if answer.is_unsent => self.choice.budget.give_back(now),
            _ => self.choice.budget.finished(now),
        }
    }

    fn note(&mut self, answer: &Answer, now: Now) {
        let rate = answer.rate_limit;
        self.updates.metric(MetricUpdate::Request {
            route: answer.route,
            code: answer.result.as_ref().map_or_else(ApiError::code_label, |_| "200".into()),
            elapsed: answer.elapsed,
            stated: StatedLimit { limit: rate.limit, remaining: rate.remaining, reset: rate.reset },
        });
        if let (Some(reset), Some(0)) = (rate.reset, rate.remaining) {
            // Somebody else has used the rest of the window; asking now would only be refused.
            let longest = rate.quotas.iter().flatten().map(|quota| quota.seconds).max().unwrap_or_default().max(60);
            let stated_at = answer.date.unwrap_or_else(|| self.api_time.now(now.tick, now.local));
            let wait = reset.since(stated_at).min(Duration::from_secs(longest.into()));
            self.choice.budget.pause(now.tick + wait, now.tick);
        }
        self.note_limit(rate, answer.result.is_ok());
    }

    /// Takes the limits into effect that an answer states; what is said of them is durable, for the next start.
    fn note_limit(&mut self, rate: ApiRateLimit, is_good: bool) {
        let mut quotas: Vec<Quota> = rate.quotas.into_iter().flatten().collect();
        if quotas.is_empty() {
            quotas.extend(rate.limit.map(|requests| Quota { requests, seconds: 60 }));
        }
        let limit = match rate.per_minute() {
            Some(limit) => {
                if !self.choice.budget.learn(&quotas) {
                    return;
                }
                let stated = quotas.iter().map(|quota| format!("{} in {} s", quota.requests, quota.seconds));
                let (stated, may_send) = (stated.collect::<Vec<_>>().join(", "), self.choice.budget.per_window());
                self.updates.notice(Notice::Limit(match limit {
                    0 => LimitNotice::Zero { stated },
                    _ => LimitNotice::Stated { stated, may_send },
                }));
                limit
            }
            None if is_good && self.choice.budget.learn_no_limit() => {
                self.updates.notice(Notice::Limit(LimitNotice::NotStated));
                0
            }
            None => return,
        };
        self.commits.note(Change::ApiLimit(limit));
    }

    /// Whatever was asked for: the API wants to be left alone for a while.
    pub(super) fn obey_retry_after(&mut self, error: &ApiError, now: Now, random: f64) {
        let ApiError::Status { status, retry_after: Some(wait), .. } = error else { return };
        // Of a 429 more is said and done. What is refused for itself (a session that is not there) stops nothing else.
        if !matches!(status, 300..=399 | 408 | 413 | 425 | 500..=599) || wait.is_zero() {
            return;
        }
        let wait = *wait + Duration::from_secs_f64(random);
        self.choice.budget.pause(now.tick + wait, now.tick);
        if let Some(suppressed) = self.log_limit.admit(now.tick) {
            let (status, request_id) = (*status, error.request_id().map(ToOwned::to_owned));
            self.updates.notice(Notice::Limit(LimitNotice::RetryAfter { status, wait, request_id, suppressed }));
        }
    }

    /// There were too many requests (429).
    pub(super) fn obey_limit(&mut self, error: &ApiError, now: Now, random: f64) {
        let wait = error.retry_after().unwrap_or_else(|| backoff(4, random)) + Duration::from_secs_f64(random);
        self.choice.budget.pause(now.tick + wait, now.tick);
        if let Some(suppressed) = self.log_limit.admit(now.tick) {
            let request_id = error.request_id().map(ToOwned::to_owned);
            self.updates.notice(Notice::Limit(LimitNotice::TooManyRequests { wait, request_id, suppressed }));
        }
    }

    fn refused_or_failed(&mut self, ask: &Ask, error: &ApiError, head: &AnswerHead, now: Now) {
        let route = ask.route();
        let random = self.rng.f64();
        self.obey_retry_after(error, now, random);
        match error {
            ApiError::Status { status: 403, .. } if self.is_this_sessions_refusal(ask) => {
                if let Ask::Session(id) = ask {
                    self.session_missing(id, &error.to_string(), true, error.request_id(), now);
                }
            }
            ApiError::Status { status: status @ (401 | 403), .. } => {
                if self.contact.health.refused(route, *status, now.tick)
                    && let ApiStatus::Down(why) = self.contact.status(now.tick)
                {
                    self.reported.down_since.get_or_insert(now.tick);
                    self.updates.notice(Notice::Api(ApiNotice::CredentialRefused { route, error: error.clone(), why }));
                }
                self.put_back(ask, now.tick);
            }
            ApiError::Status { status: 429, .. } => {
                self.contact.health.paused(route, error, now.tick);
                self.obey_limit(error, now, random);
                self.put_back(ask, now.tick);
            }
            ApiError::Body(why) => {
                // It was answered, only not so that it could be used.
                self.malformed_answer(ask, head, &format!("an answer that is {why}"), now);
                if let Ask::List(_) = ask {
                    self.page_unreadable(error.request_id(), &error.to_string(), now);
                } else {
                    self.put_off(ask, now.tick, |failures| backoff(failures, random));
                }
            }
            ApiError::Credential(why) => {
                if self.contact.health.without_credential(why, now.tick)
                    && let ApiStatus::Down(why) = self.contact.status(now.tick)
                {
                    self.reported.down_since.get_or_insert(now.tick);
                    self.updates.notice(Notice::Api(ApiNotice::Down { why }));
                }
                self.put_off(ask, now.tick, |_| Duration::ZERO);
            }
            error if error.is_transient() => {
                if self.contact.health.failed(route, error, now.tick, random) {
                    self.reported.down_since.get_or_insert(now.tick);
                    let host = self.contact.host.clone();
                    self.updates.notice(Notice::Api(ApiNotice::Unusable { host, error: error.clone() }));
                }
                self.updates.notice(Notice::Api(ApiNotice::RequestFailed { route, error: error.clone() }));
                if let Ask::Session(id) = ask
                    && self.is_lost_to_errors(id, error, now)
                {
                    return self.session_missing(id, &error.to_string(), false, error.request_id(), now);
                }
                self.put_off(ask, now.tick, |failures| backoff(failures, random));
            }
            error => match (promise::of_error(route, error, head.content_type), ask) {
                // What is refused is the filter, where the listing works without it.
                (Unexpected::Foreign { .. }, Ask::List(page))
                    if page.open_only
                        && self.contact.health.has_answered(Route::List)
                        && matches!(error, ApiError::Status { status: 400 | 404 | 405 | 422, .. }) =>
                {
                    self.open_listing_refused(error, now);
                }
                (Unexpected::Foreign { came: what, is_absent }, _) => {
                    let request_id = error.request_id().map(ToOwned::to_owned).or_else(|| head.request_id.clone());
                    let head = AnswerHead { request_id, ..head.clone() };
                    self.wrong_answer(ask, &head, &what, is_absent, now);
                }
                (unexpected, Ask::Session(id)) => {
                    if unexpected == Unexpected::NoSuchSession {
                        self.contact.health.right(route);
                        self.take_path(route, head);
                    }
                    // For an id that fits into no request, none was sent.
                    self.session_missing(id, &error.to_string(), true, error.request_id(), now);
                }
                (_, Ask::List(_) | Ask::Agents(_) | Ask::Messages(..)) => {
                    self.put_off(ask, now.tick, |failures| backoff(failures, random));
                }
            },
        }
    }

    /// What came is the API's by its looks and cannot be read. Of a session it is that session's own.
    pub(super) fn malformed_answer(&mut self, ask: &Ask, head: &AnswerHead, what: &str, now: Now) {
        let (route, random) = (ask.route(), self.rng.f64());
        if route != Route::Session {
            let says = format!("GET {} was answered with {what}", head.path);
            let answer = WrongAnswer { says, session: None, is_absent: false, goes_on: false };
            self.contact.health.wrong(route, answer, now.tick, random);
        }
    }

    /// A session of another organization is refused with 403, which says nothing of the rest; of a credential without the
    /// scope, nothing else is ever heard. A webhook tells also of sessions that the credential cannot read, and may have had
    /// one counted and forgotten by the time that it is refused.
    fn is_this_sessions_refusal(&mut self, ask: &Ask) -> bool {
        let Ask::Session(id) = ask else { return false };
        if self.tracker.get(id).is_none_or(|tracked| tracked.announced == Announced::Yes) {
            return true;
        }
        self.contact.is_one_sessions_refusal()
    }

    /// Whether an old session is one that the API answers with nothing but errors, while it answers for others.
    fn is_lost_to_errors(&self, id: &str, error: &ApiError, now: Now) -> bool {
        let failures = self.tracker.get(id).map_or(0, |tracked| tracked.failures);
        matches!(error, ApiError::Status { .. })
            && failures >= PERSISTENT
            && self.contact.health.has_answered(Route::Session)
            && self.is_outlived(id, now)
    }

    /// What went wrong was no fault of what was asked for: it keeps its place, and is asked for when the route may be.
    fn put_back(&mut self, ask: &Ask, now: Tick) {
        match ask {
            Ask::Session(id) => self.tracker.put_back(id, now),
            Ask::Messages(id, _) => self.messages.put_back(id, now),
            Ask::List(_) | Ask::Agents(_) => self.put_off(ask, now, |_| Duration::ZERO),
        }
    }

    fn put_off(&mut self, ask: &Ask, now: Tick, after: impl Fn(u32) -> Duration) {
        let look_back = self.startup.look_back;
        match ask {
            Ask::Session(id) => {
                let cap = self.missing_cap(false);
                self.tracker.fail(id, now, |tracked| {
                    let (failures, persistent) = (u32::from(tracked.failures), u32::from(PERSISTENT));
                    // A session whose requests keep failing must not use up the budget of the others.
                    let is_persistent = failures > persistent;
                    let wait =
                        if is_persistent { missing_wait(failures - persistent, 0.5, cap) } else { after(failures) };
                    paced(look_back, failures, wait)
                });
            }
            Ask::List(_) => self.listing.put_off(now, |failures| paced(look_back, failures, after(failures))),
            Ask::Agents(_) => self.agents.failed(now, after),
            Ask::Messages(id, _) => self.messages.failed(id, now, after),
        }
    }

    fn agents_answered(&mut self, ask: &Ask, body: &[u8], head: &AnswerHead, now: Now) {
        let random = self.rng.f64();
        let text = JsonText::new(body);
        let page = wire::Page::read(body, &text).ok();
        let Some(page) = page.filter(|page| head.is_written(Route::Agents, body, page)) else {
            if let Unexpected::Foreign { came: what, is_absent } = head.unexpected(Route::Agents, body) {
                return self.wrong_answer(ask, head, &what, is_absent, now);
            }
            self.malformed_answer(ask, head, "JSON that is not well-formed", now);
            return self.agents.failed(now.tick, |failures| backoff(failures, random));
        };
        self.promise_kept(Route::Agents, head, now);
        self.note_time(head.time, now);
        let interval = self.sooner_without_time(self.config.agents_interval.mul_f64(0.9 + 0.2 * random));
        if let Some(series) = self.agents.read(&page, now.tick, interval, self.config.max_agents) {
            self.updates.push(Update::Agents(series));
            if let Some(contradiction) = self.agents.take_contradiction() {
                self.updates.notice(Notice::List(ListNotice::AgentsContradict(contradiction)));
            }
        }
    }
}
