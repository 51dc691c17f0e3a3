//! What an answer with messages means: which changes it makes, and when to ask for more of them.

use std::sync::Arc;
use std::time::Duration;

use agntix_api::promise::{self, Unexpected};
use agntix_api::{ApiError, JsonText, Route, wire};
use bytes::Bytes;

use super::answer_head::AnswerHead;
use super::backoff::backoff;
use super::core::{Core, Now};
use super::messages::GIVE_UP_AFTER;
use super::notices::SessionTrouble;
use super::pipeline::Purpose;
use super::sessions::session_notice;
use super::updates::MetricUpdate;
use crate::clock::Tick;
use crate::ledger::{Change, Pending};
use crate::observation::{self, MOST_MESSAGES, may_have_more, states_more};
use crate::session::{MalformedReason, MessageTally, SkipReason};

/// A credential that lacks the scope, or a gateway without the route, is tried again after this.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// Messages have at most this part of the requests under way at once.
const PART_UNDER_WAY: usize = 4;

impl Core {
    /// A session that waited for its messages when the last process ended.
    pub(super) fn messages_restored(&mut self, pending: &Pending, now: Now) {
        self.messages_awaited(&pending.id, now.tick + GIVE_UP_AFTER, now);
        self.messages.since(&pending.id, pending.heard);
    }

    /// A session was counted: its messages are to be read, if they are of any.
    pub(super) fn messages_due(&mut self, id: &Arc<str>, is_historic: bool, now: Now) {
        let messages = self.config.messages;
        if !messages.enabled || !observation::is_sampled(id, messages.share) {
            return;
        }
        if is_historic {
            return self.updates.metric(MetricUpdate::MessagesSkipped(SkipReason::LookBack));
        }
        self.messages_awaited(id, now.tick + GIVE_UP_AFTER, now);
    }

    pub(super) fn messages_awaited(&mut self, id: &Arc<str>, until: Tick, now: Now) {
        if !self.config.messages.enabled {
            self.skip_messages(id, SkipReason::Off);
        } else if !self.messages.push(id, until, now.tick) {
            self.skip_messages(id, SkipReason::Backlog);
        }
    }

    /// Gives up those whose time is over.
    pub(super) fn give_up_messages(&mut self, now: Now) {
        // For how long those of the last process have waited is said by the API's clock, not by this machine's.
        if self.messages.has_restored() && self.api_time.is_trusted(now.tick, now.local) {
            self.messages.time_is_known(self.api_time.now(now.tick, now.local), now.tick);
        }
        while let Some((id, reason)) = self.messages.expired(now.tick) {
            self.skip_messages(&id, reason);
        }
    }

    fn skip_messages(&mut self, id: &Arc<str>, reason: SkipReason) {
        self.settle_messages(id, None, Some(reason), false);
    }

    /// Makes durable that the session waits no more.
    fn settle_messages(
        &mut self,
        id: &Arc<str>,
        tally: Option<MessageTally>,
        skipped: Option<SkipReason>,
        left_out: bool,
    ) {
        self.messages.settle(id);
        let change = Change::Messages { id: Arc::clone(id), tally: tally.map(Arc::new) };
        self.commits.push(vec![change], Purpose::Messages { id: Arc::clone(id), skipped, left_out });
    }

    /// It is durable; `is_news`: the session was waiting until then.
    pub(super) fn messages_committed(
        &mut self,
        id: &Arc<str>,
        is_news: bool,
        skipped: Option<SkipReason>,
        left_out: bool,
    ) {
        self.messages.settled(id);
        if !is_news {
            return;
        }
        if let Some(reason) = skipped {
            self.updates.metric(MetricUpdate::MessagesSkipped(reason));
        }
        if left_out {
            self.updates.malformed(MalformedReason::MessageTimes);
        }
    }

    /// The session whose messages are to be asked for next.
    pub(super) fn messages_to_ask(&self, now: Tick) -> Option<Arc<str>> {
        // They say nothing of how the API stands, and must not be what finds out.
        let most = (self.config.max_concurrency / PART_UNDER_WAY).max(1);
        self.messages
            .due(now, most)
            .filter(|_| self.contact.health.has_worked() && self.contact.health.has_no_trouble())
    }

    pub(super) fn messages_answered(
        &mut self,
        (id, page): (&Arc<str>, u32),
        result: Result<Bytes, ApiError>,
        head: &AnswerHead,
        now: Now,
    ) {
        let random = self.rng.f64();
        match result {
            Ok(body) => self.messages_read(id, page, &body, head, now),
            Err(error) => {
                self.obey_retry_after(&error, now, random);
                match promise::of_error(Route::Messages, &error, head.content_type) {
                    Unexpected::NoSuchSession => self.skip_messages(id, SkipReason::Missing),
                    Unexpected::Inconclusive if matches!(error, ApiError::Status { status: 429, .. }) => {
                        self.obey_limit(&error, now, random);
                        // If only this route is limited, it must not make all others wait again and again.
                        self.messages.pause(Duration::ZERO, now.tick);
                        self.messages.put_back(id, now.tick);
                    }
                    Unexpected::Inconclusive if matches!(error, ApiError::Status { status: 401 | 403, .. }) => {
                        self.messages_refused(id, &error.to_string(), head, now);
                    }
                    Unexpected::Foreign { came, .. } => self.messages_refused(id, &came, head, now),
                    // The same page would be as long the next time.
                    _ if error.is_too_long() => self.skip_messages(id, SkipReason::TooLong),
                    Unexpected::Malformed(_) => {
                        self.messages.failed(id, now.tick, |failures| backoff(failures, random));
                    }
                    Unexpected::Inconclusive => {
                        self.messages.pause(Duration::ZERO, now.tick);
                        self.messages.failed(id, now.tick, |failures| backoff(failures, random));
                    }
                }
            }
        }
    }

    /// The route gives no messages of this session, and perhaps of none: it is left alone for a while.
    fn messages_refused(&mut self, id: &Arc<str>, why: &str, head: &AnswerHead, now: Now) {
        let random = self.rng.f64();
        self.messages.refused(REFUSED_PAUSE, now.tick);
        self.messages.failed(id, now.tick, |failures| backoff(failures, random));
        if let Some(suppressed) = self.log_limit.admit(now.tick) {
            let trouble = SessionTrouble::NoMessages { why: why.to_owned() };
            self.updates.notice(session_notice(id, trouble, head.request_id.as_deref(), suppressed));
        }
    }

    fn messages_read(&mut self, id: &Arc<str>, page: u32, body: &[u8], head: &AnswerHead, now: Now) {
        let text = JsonText::new(body);
        let is_written = |page: &wire::Page<'_>| {
            // Where lists are written, this may be how an empty one is.
            head.is_written(Route::Messages, body, page)
                || (self.messages.has_worked() && page.items().is_empty() && head.may_be_an_empty_list(body))
        };
        let read = wire::Page::read(body, &text).ok().filter(is_written);
        let Some(read) = read else {
            if let Unexpected::Foreign { came, .. } = head.unexpected(Route::Messages, body) {
                return self.messages_refused(id, &came, head, now);
            }
            let random = self.rng.f64();
            return self.messages.failed(id, now.tick, |failures| backoff(failures, random));
        };
        self.messages.works();
        let Some(reader) = self.messages.reader(id) else { return };
        let new = reader.read(&read);
        if reader.len() >= MOST_MESSAGES {
            return self.skip_messages(id, SkipReason::TooLong);
        }
        let stated = states_more(&read, page, reader.len(), new);
        let may_go_on = stated || may_have_more(&read, page, reader.len(), new);
        if may_go_on && self.messages.goes_on(id, new) {
            return self.messages.next_page(id);
        }
        // Empty pages are behind the end, whatever the list states. Those that were there before stand in place of the rest.
        if stated && !read.items().is_empty() {
            return self.skip_messages(id, SkipReason::Failed);
        }
        let Some(reader) = self.messages.remove(id) else { return };
        let (tally, left_out) = reader.finish();
        self.settle_messages(id, Some(tally), None, left_out);
    }
}
