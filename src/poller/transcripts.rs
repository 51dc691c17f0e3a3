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
use crate::observation::{self, MOST_MESSAGES};
use crate::session::{MalformedReason, SkipReason};

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
        self.messages.remove(id);
        self.updates.metric(MetricUpdate::MessagesSkipped(reason));
        self.commits.push(vec![Change::Messages { id: Arc::clone(id), tally: None }], Purpose::Note);
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
                        self.messages.put_back(id, now.tick);
                    }
                    Unexpected::Inconclusive if matches!(error, ApiError::Status { status: 401 | 403, .. }) => {
                        self.messages_refused(id, &error.to_string(), head, now);
                    }
                    Unexpected::Foreign { came, .. } => self.messages_refused(id, &came, head, now),
                    Unexpected::Inconclusive | Unexpected::Malformed(_) => {
                        self.messages.pause(Duration::ZERO, now.tick);
                        self.messages.failed(id, now.tick, |failures| backoff(failures, random));
                    }
                }
            }
        }
    }

    /// The route gives no messages of any session: it is left alone for a while.
    fn messages_refused(&mut self, id: &Arc<str>, why: &str, head: &AnswerHead, now: Now) {
        self.messages.pause(REFUSED_PAUSE, now.tick);
        self.messages.put_back(id, now.tick);
        if let Some(suppressed) = self.log_limit.admit(now.tick) {
            let trouble = SessionTrouble::NoMessages { why: why.to_owned() };
            self.updates.notice(session_notice(id, trouble, head.request_id.as_deref(), suppressed));
        }
    }

    fn messages_read(&mut self, id: &Arc<str>, page: u32, body: &[u8], head: &AnswerHead, now: Now) {
        let text = JsonText::new(body);
        let read = wire::Page::read(body, &text).ok().filter(|page| head.is_written(Route::Messages, body, page));
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
        // A page without anything new is the last one, whatever the list says of its length.
        let is_last = new == 0 || !has_more(&read, page, reader.len());
        if !is_last {
            return self.messages.next_page(id, now.tick);
        }
        let Some(reader) = self.messages.remove(id) else { return };
        let (tally, left_out) = reader.finish();
        if left_out {
            self.updates.malformed(MalformedReason::MessageTimes);
        }
        let change = Change::Messages { id: Arc::clone(id), tally: Some(Arc::new(tally)) };
        self.commits.push(vec![change], Purpose::Note);
    }
}

/// Whether the list goes on behind `page`, `read` messages of which are known. Where it does not say, a full page may be followed
/// by another one.
fn has_more(list: &wire::Page<'_>, page: u32, read: usize) -> bool {
    let limit = list.limit().map_or(100, |limit| usize::try_from(limit).unwrap_or(usize::MAX)).max(1);
    match (list.total(), list.total_pages()) {
        (Some(total), _) => total > read as u64,
        (None, Some(pages)) => page < pages,
        (None, None) => list.items().len() >= limit,
    }
}
