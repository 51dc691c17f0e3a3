//! The sessions whose messages are still to be read, and when to ask for the next page of which. Pure.
//!
//! Nothing waits for them: they come after everything else. What is read of a session is kept here until it is whole; after a
//! restart it is read again from its first page, and counted once, since the ledger remembers whose messages are missing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Tick, Timestamp};
use crate::observation::MessageReader;
use crate::session::SkipReason;

/// After this long without them, the messages of a session are given up.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(3600);
/// For so long they are tried after a restart all the same: the API has them still, however long the exporter was away.
const LEAST_AFTER_RESTART: Duration = Duration::from_secs(600);
/// How many sessions may wait: each takes some 300 bytes.
const MOST_WAITING: usize = 100_000;
/// How many may be read in part. What more of them fail begin anew, so that no API makes what is read of them grow.
const MOST_PARTLY_READ: usize = 64;
/// After so many pages in a row with nothing new, a list that states more of it has no more.
const MOST_IDLE: u32 = 3;
/// While the route gives nothing, it is asked again after this much at most.
const PAUSE_CAP: Duration = Duration::from_secs(60);

/// A session whose messages are to be read.
#[derive(Debug)]
struct Waiting {
    /// When its messages are given up.
    until: Tick,
    /// When to ask; `None` while a request is under way.
    due: Option<Tick>,
    was_asked: bool,
    /// The page to ask for.
    page: u32,
    /// Pages in a row on which nothing was new, though there should be more.
    idle: u32,
    failures: u32,
    reader: MessageReader,
}

/// The sessions that wait for their messages.
#[derive(Debug, Default)]
pub(super) struct MessageQueue {
    sessions: HashMap<Arc<str>, Waiting>,
    due: BTreeSet<(Tick, Arc<str>)>,
    until: BTreeSet<(Tick, Arc<str>)>,
    under_way: usize,
    /// Sessions of which a page was read.
    partly_read: usize,
    /// Sessions that wait no more, which is not durable yet: the ledger may still say that they do.
    settling: HashSet<Arc<str>>,
    /// The route has given what it promises once.
    has_worked: bool,
    /// The route gives nothing: it is left alone until then.
    paused_until: Tick,
    /// Requests in a row to which the route gave nothing.
    failures: u32,
    /// The sessions of the last process, and since when each waits, until the time is known.
    restored: Vec<(Arc<str>, Timestamp)>,
}

impl MessageQueue {
    /// Takes in a session, whose messages are given up at `until`. Whether there was room for it.
    pub(super) fn push(&mut self, id: &Arc<str>, until: Tick, now: Tick) -> bool {
        if self.sessions.contains_key(id) || self.settling.contains(id) {
            return true;
        }
        if self.sessions.len() >= MOST_WAITING {
            return false;
        }
        let reader = MessageReader::default();
        let waiting = Waiting { until, due: Some(now), was_asked: false, page: 1, idle: 0, failures: 0, reader };
        self.sessions.insert(Arc::clone(id), waiting);
        self.due.insert((now, Arc::clone(id)));
        self.until.insert((until, Arc::clone(id)));
        true
    }

    /// The session has waited since then already.
    pub(super) fn since(&mut self, id: &Arc<str>, since: Timestamp) {
        self.restored.push((Arc::clone(id), since));
    }

    /// Whether it is still to be told the time, for the sessions that have waited already.
    pub(super) fn has_restored(&self) -> bool {
        !self.restored.is_empty()
    }

    /// It is `time` now: what a session has waited for before counts.
    pub(super) fn time_is_known(&mut self, time: Timestamp, now: Tick) {
        for (id, since) in std::mem::take(&mut self.restored) {
            let Some(waiting) = self.sessions.get_mut(&id) else { continue };
            let until = now + GIVE_UP_AFTER.saturating_sub(time.since(since)).max(LEAST_AFTER_RESTART);
            self.until.remove(&(waiting.until, Arc::clone(&id)));
            waiting.until = waiting.until.min(until);
            self.until.insert((waiting.until, id));
        }
    }

    /// How many sessions wait.
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// The session that has been due for longest, unless `most` are being asked for.
    pub(super) fn due(&self, now: Tick, most: usize) -> Option<Arc<str>> {
        let (due, id) = self.due.first()?;
        (*due <= now && self.paused_until <= now && self.under_way < most).then(|| Arc::clone(id))
    }

    /// When the next session is due.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.due.first().map(|(due, _)| (*due).max(self.paused_until))
    }

    /// The session is asked for: for this page.
    pub(super) fn ask(&mut self, id: &Arc<str>) -> u32 {
        self.under_way += 1;
        self.take(id);
        self.sessions.get_mut(id).map_or(1, |waiting| {
            waiting.was_asked = true;
            waiting.page
        })
    }

    /// A request has come back.
    pub(super) fn came_back(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// The route has given what it promises.
    pub(super) fn works(&mut self) {
        (self.failures, self.paused_until, self.has_worked) = (0, Tick::ZERO, true);
    }

    /// Whether the route has given what it promises once.
    pub(super) fn has_worked(&self) -> bool {
        self.has_worked
    }

    /// The session waits no more, once that is durable.
    pub(super) fn settle(&mut self, id: &Arc<str>) {
        self.remove(id);
        self.settling.insert(Arc::clone(id));
    }

    /// It is durable that the session waits no more.
    pub(super) fn settled(&mut self, id: &Arc<str>) {
        self.settling.remove(id);
        self.remove(id);
    }

    /// What was read of a session so far.
    pub(super) fn reader(&mut self, id: &str) -> Option<&mut MessageReader> {
        self.sessions.get_mut(id).map(|waiting| &mut waiting.reader)
    }

    /// The next page of the session is due, before any of another one: few are read in part at a time.
    pub(super) fn next_page(&mut self, id: &Arc<str>) {
        if let Some(waiting) = self.sessions.get_mut(id) {
            self.partly_read += usize::from(waiting.page == 1);
            (waiting.page, waiting.failures) = (waiting.page.saturating_add(1), 0);
        }
        self.due_at(id, Tick::ZERO);
    }

    /// Whether to go on to the next page after one that had `new` messages and stated that there are more.
    pub(super) fn goes_on(&mut self, id: &str, new: usize) -> bool {
        let Some(waiting) = self.sessions.get_mut(id) else { return false };
        waiting.idle = if new > 0 { 0 } else { waiting.idle + 1 };
        waiting.idle < MOST_IDLE
    }

    /// The session is due `after` so many failures in a row.
    pub(super) fn failed(&mut self, id: &Arc<str>, now: Tick, after: impl FnOnce(u32) -> Duration) {
        let Some(waiting) = self.sessions.get_mut(id) else { return };
        waiting.failures = waiting.failures.saturating_add(1);
        let due = now + after(waiting.failures);
        if waiting.page > 1 && self.partly_read > MOST_PARTLY_READ {
            self.partly_read -= 1;
            (waiting.page, waiting.idle, waiting.reader) = (1, 0, MessageReader::default());
        }
        self.due_at(id, due);
    }

    /// The request failed by no fault of the session's, which keeps its place.
    pub(super) fn put_back(&mut self, id: &Arc<str>, now: Tick) {
        let is_partly_read = self.sessions.get(id).is_some_and(|waiting| waiting.page > 1);
        self.due_at(id, if is_partly_read { Tick::ZERO } else { now });
    }

    /// The route refused: it is left alone for `longer` if it did so to the request before as well.
    pub(super) fn refused(&mut self, longer: Duration, now: Tick) {
        // Those that were under way with the one that was refused say nothing more.
        if self.paused_until <= now {
            self.pause(if self.failures > 0 { longer } else { Duration::ZERO }, now);
        }
    }

    /// The route gave nothing: it is left alone for a while, `at_least` so long.
    pub(super) fn pause(&mut self, at_least: Duration, now: Tick) {
        self.failures = self.failures.saturating_add(1);
        let growing = Duration::from_secs(1).saturating_mul(1_u32.checked_shl(self.failures.min(16)).unwrap_or(1));
        self.paused_until = self.paused_until.max(now + growing.min(PAUSE_CAP).max(at_least));
    }

    /// Takes a session out, with what was read of it.
    pub(super) fn remove(&mut self, id: &Arc<str>) -> Option<MessageReader> {
        self.take(id);
        let waiting = self.sessions.remove(id)?;
        self.partly_read -= usize::from(waiting.page > 1);
        self.until.remove(&(waiting.until, Arc::clone(id)));
        Some(waiting.reader)
    }

    /// Takes out a session whose time is over, and says why it was not read; one that is being asked for is waited for.
    pub(super) fn expired(&mut self, now: Tick) -> Option<(Arc<str>, SkipReason)> {
        let is_over = |(until, id): &&(Tick, Arc<str>)| {
            *until <= now && self.sessions.get(id).is_some_and(|waiting| waiting.due.is_some())
        };
        let (_, id) = self.until.iter().take_while(|(until, _)| *until <= now).find(is_over)?.clone();
        let was_asked = self.sessions.get(&id).is_some_and(|waiting| waiting.was_asked);
        self.remove(&id);
        Some((id, if was_asked { SkipReason::Failed } else { SkipReason::Budget }))
    }

    fn take(&mut self, id: &Arc<str>) {
        if let Some(due) = self.sessions.get_mut(id).and_then(|waiting| waiting.due.take()) {
            self.due.remove(&(due, Arc::clone(id)));
        }
    }

    fn due_at(&mut self, id: &Arc<str>, due: Tick) {
        self.take(id);
        if let Some(waiting) = self.sessions.get_mut(id) {
            waiting.due = Some(due);
            self.due.insert((due, Arc::clone(id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn sessions_are_asked_for_in_turn_and_given_up_with_a_reason() {
        let mut queue = MessageQueue::default();
        let ids: Vec<Arc<str>> = ["a", "b", "c"].map(Arc::from).into();
        for id in &ids {
            assert!(queue.push(id, S * 100, S) && queue.push(id, S * 900, S));
        }
        assert_eq!((queue.len(), queue.due(S, 2), queue.ask(&ids[0])), (3, Some(Arc::clone(&ids[0])), 1));
        queue.ask(&ids[1]);
        assert_eq!(queue.due(S, 2), None, "two are under way");
        queue.came_back();
        queue.next_page(&ids[0]);
        assert_eq!((queue.due(S * 2, 2), queue.next_due()), (Some(Arc::clone(&ids[0])), Some(Tick::ZERO)));
        assert_eq!(queue.ask(&ids[0]), 2);
        queue.came_back();
        queue.failed(&ids[0], S * 2, |failures| S * 200 * failures);
        assert_eq!(queue.expired(S * 99), None);
        assert_eq!(queue.expired(S * 100), Some((Arc::clone(&ids[0]), SkipReason::Failed)));
        assert_eq!(queue.expired(S * 100), Some((Arc::clone(&ids[2]), SkipReason::Budget)));
        assert_eq!(queue.expired(S * 100), None, "the other one is being asked for");
        assert!(queue.remove(&ids[1]).is_some() && queue.len() == 0 && queue.next_due().is_none());
    }

    #[test]
    fn few_sessions_are_read_in_part_however_many_fail_in_the_middle() {
        let mut queue = MessageQueue::default();
        let ids: Vec<Arc<str>> = (0..300).map(|number| format!("{number:03}").into()).collect();
        assert!(ids.iter().all(|id| queue.push(id, S * 9_000, S)));
        for id in &ids {
            assert_eq!((queue.due(S, 1).as_ref(), queue.ask(id)), (Some(id), 1));
            queue.came_back();
            queue.next_page(id);
            assert_eq!(
                (queue.due(S, 1).as_ref(), queue.ask(id)),
                (Some(id), 2),
                "its next page comes before other sessions"
            );
            queue.came_back();
            queue.failed(id, S, |_| S * 60);
        }
        let partly_read = ids.iter().filter(|id| queue.sessions[*id].page > 1).count();
        assert_eq!((partly_read, queue.partly_read), (MOST_PARTLY_READ, MOST_PARTLY_READ));
        assert!(ids.iter().all(|id| queue.remove(id).is_some()));
        assert_eq!((queue.partly_read, queue.next_due()), (0, None));
    }

    #[test]
    fn what_a_session_waited_for_before_a_restart_counts_once_the_time_is_known() {
        let mut queue = MessageQueue::default();
        let (id, counted) = (Arc::<str>::from("a"), Timestamp::from_millis(1_775_628_000_000));
        queue.push(&id, S * 3_600, Duration::ZERO);
        queue.since(&id, counted);
        assert!(queue.has_restored() && queue.expired(S * 3_599).is_none());
        queue.time_is_known(counted.plus(S * 2_000), S * 10);
        assert!(!queue.has_restored() && queue.expired(S * 1_609).is_none());
        assert_eq!(queue.expired(S * 1_610), Some((Arc::clone(&id), SkipReason::Budget)));
        queue.push(&id, S * 3_600, Duration::ZERO);
        queue.since(&id, counted);
        queue.time_is_known(counted.plus(S * 9_000), S * 10);
        assert!(queue.expired(S * 609).is_none() && queue.expired(S * 610).is_some(), "they are tried all the same");
    }

    #[test]
    fn a_route_that_gives_nothing_is_left_alone_for_longer_and_longer() {
        let mut queue = MessageQueue::default();
        queue.push(&"a".into(), S * 3_600, S);
        queue.pause(Duration::ZERO, S);
        assert_eq!((queue.due(S * 2, 1), queue.next_due()), (None, Some(S * 3)));
        (0..9).for_each(|_| queue.pause(Duration::ZERO, S * 3));
        assert_eq!(queue.next_due(), Some(S * 63));
        queue.works();
        assert_eq!(queue.next_due(), Some(S));
        queue.refused(S * 60, S * 3);
        assert_eq!(queue.next_due(), Some(S * 5), "it may be the session's alone");
        queue.refused(S * 60, S * 4);
        assert_eq!(queue.next_due(), Some(S * 5), "they were under way together");
        queue.refused(S * 60, S * 5);
        assert_eq!(queue.next_due(), Some(S * 65));
    }
}
