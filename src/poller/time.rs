//! What time it is for the sessions: the API's, as far as its answers have said it and can be trusted.

use std::time::Duration;

use agntix_api::Answer;

use super::api_time::{Decision, TOLERANCE};
use super::core::{Core, Now};
use super::notices::Notice;
use super::updates::Update;
use crate::clock::{Tick, Timestamp};
use crate::ledger::Change;
use crate::observation::Moment;

/// A difference between this machine's clock and the API's that is worth a line in the log.
const WORTH_A_LINE: Duration = Duration::from_secs(10);
/// After so long without the API's time, this machine's is used.
const TIME_OVERDUE: Duration = Duration::from_secs(60);
/// While a first start waits for the API's time to be trusted, the next answer that says it is asked for this soon.
const SOON: Duration = Duration::from_secs(1);

/// What the head of an answer says of the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadTime {
    date: Option<Timestamp>,
    received: Tick,
}

impl HeadTime {
    pub(super) fn of(answer: &Answer, now: Now) -> Self {
        // The body, and the way through the queue, took time that `Date` knows nothing of.
        let since = answer.head_received.map_or(Duration::ZERO, |at| now.instant.saturating_duration_since(at));
        Self { date: answer.date, received: now.tick.saturating_sub(since) }
    }
}

impl Core {
    /// An answer brought the body that its route promises, so that the time in its head is the API's.
    ///
    /// The API's time, which is that of the answer itself if it is close.
    pub(super) fn note_time(&mut self, head: HeadTime, now: Now) -> Timestamp {
        let decision = if let Some(date) = head.date {
            self.api_time.observe(date, head.received, now.tick, now.local)
        } else {
            self.api_time.observe_undated();
            Decision::Kept
        };
        if let Decision::Moved { ahead_of_machine_ms: ms } = decision
            && Duration::from_millis(ms.unsigned_abs()) > WORTH_A_LINE
        {
            self.updates.notice(Notice::ClocksDiffer { ahead_of_machine_ms: ms });
        }
        let is_trusted = self.api_time.is_trusted(now.tick, now.local);
        let known = is_trusted.then(|| self.api_time.now(now.tick, now.local));
        self.updates.push(Update::ApiTime { at: now.instant, time: known });
        if self.startup.first_start.is_none() {
            self.startup.first_contact.get_or_insert((head.received, head.date));
            if is_trusted {
                self.date_first_start(now);
            }
        }
        let api_now = self.api_time.now(now.tick, now.local);
        let own = head.date.map(|date| date.plus(now.tick.saturating_sub(head.received)));
        own.filter(|own| own.since(api_now) <= TOLERANCE).map_or(api_now, |own| own.max(api_now))
    }

    /// Makes the first start durable. A wrong one would hide the first event of every new series until its time has come,
    /// so it is dated only when the API's time is trusted.
    fn date_first_start(&mut self, now: Now) {
        let Some((tick, date)) = self.startup.first_contact else { return };
        let local = now.local.minus(now.tick.saturating_sub(tick));
        let at = self.api_time.now(tick, local);
        let apart = |date: Timestamp| date.since(at).max(at.since(date));
        let first_start = date.filter(|date| apart(*date) <= TOLERANCE).unwrap_or(at);
        self.startup.first_start = Some(first_start);
        self.commits.note(Change::FirstStart(first_start));
    }

    /// How far back a sweep goes that has no watermark: to the recent window before the first start, since nothing has been
    /// heard of for certain that came after it, but no further than sessions are remembered. While it is not known whose
    /// clock is right, the earlier one says it: a sweep that goes too deep costs requests, one that ends too early would
    /// miss sessions.
    pub(super) fn recent_window_begin(&self, now: Now) -> Timestamp {
        let known = self.api_time.now(now.tick, now.local);
        let earliest = match self.api_time.latest(now.tick) {
            Some(latest) if !self.api_time.is_trusted(now.tick, now.local) => known.min(latest),
            _ => known,
        };
        let first_start = match (self.startup.first_start, self.startup.first_contact) {
            (Some(first_start), _) => first_start.min(earliest),
            (None, Some((tick, _))) => earliest.minus(now.tick.saturating_sub(tick)),
            (None, None) => earliest,
        };
        first_start.minus(self.config.recent_window).max(earliest.minus(self.config.retention))
    }

    /// The moment at which the session is looked at.
    ///
    /// A session that ended while this process was running is given up only when the deadline has passed on the clock that
    /// never jumps as well, since its end was seen. One that may have ended before (found by the look-back, by the first
    /// sweep after a restart, or waiting since then) need not wait again: there this machine's clock may confirm that of
    /// the API, if that is trusted.
    pub(super) fn moment(&self, id: &str, now: Now) -> Moment {
        let tracked = self.tracker.get(id);
        let waited =
            tracked.and_then(|tracked| tracked.end.at).map_or(Duration::ZERO, |at| now.tick.saturating_sub(at));
        let may_confirm =
            tracked.is_none_or(|tracked| !tracked.end.is_recent) && self.api_time.is_trusted(now.tick, now.local);
        Moment { now: self.api_time.now(now.tick, now.local), waited, machine: may_confirm.then_some(now.local) }
    }

    /// Shows when each source last succeeded, as soon as the API's time is known or overdue.
    pub(super) fn show_succeeded(&mut self, now: Now) {
        if !self.api_time.is_known() && now.tick.saturating_sub(self.started) < TIME_OVERDUE {
            return;
        }
        let api_now = self.api_time.now(now.tick, now.local);
        for (source, at) in self.succeeded_by_machine.take().into_iter().flatten() {
            self.succeeded(source, api_now.minus(now.local.since(at)));
        }
    }

    /// An interval, but for a first start that waits for the API's time.
    pub(super) fn sooner_without_time(&self, interval: Duration) -> Duration {
        if self.startup.first_start.is_none() { interval.min(SOON) } else { interval }
    }
}
