//! Every session that is not yet counted, and when to ask for it next. Pure: time is handed in.
//!
//! What is remembered of counted sessions is the ledger's; the tracker holds only what is pending, and the watched
//! sessions, whose gauges are refreshed after they are counted.

mod schedule;
mod summary;
mod tracked;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub use schedule::Schedule;
pub use summary::Summary;
pub use tracked::{Announced, EndSeen, LOOK_BACK_FAILURES, PERSISTENT, Progress, Tracked};

use crate::clock::{Tick, Timestamp};
use crate::ledger::Pending;
use crate::session::Channel;
use crate::session::{Source, Stage};

/// Which queue a session waits in; the earlier one goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Ended, and waiting for its analysis.
    Finishing,
    /// Open, or only heard of.
    Open,
    /// Counted, and watched.
    Watched,
}

/// The sessions that are not yet counted.
#[derive(Debug, Default)]
pub struct Tracker {
    sessions: HashMap<Arc<str>, Tracked>,
    /// How many of them are counted, and tracked on because they are watched.
    counted: usize,
    /// Everything had been listed lately, so that what is heard of now has only just begun.
    caught_up: bool,
    queues: [BTreeSet<(Tick, Arc<str>)>; 3],
}

impl Tracker {
    /// How many sessions are tracked.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// How many of them are not yet wholly counted.
    pub fn pending(&self) -> usize {
        self.sessions.len() - self.counted
    }

    /// Whether no session is tracked.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The session called `id`.
    pub fn get(&self, id: &str) -> Option<&Tracked> {
        self.sessions.get(id)
    }

    /// Tracks a session that the ledger remembered over a restart; it is due at once.
    pub fn restore(&mut self, pending: Pending, now: Tick) {
        let announced = if pending.source == Source::Webhook { Announced::Yes } else { Announced::Unknown };
        self.take_up(pending, announced, now);
    }

    fn take_up(&mut self, pending: Pending, announced: Announced, now: Tick) {
        let tracked = Tracked {
            progress: Progress::Pending(pending.stage),
            source: pending.source,
            watched: false,
            looks: 0,
            failures: 0,
            failing_since: None,
            missing_since: None,
            end_unread: false,
            announced,
            end: EndSeen {
                at: None,
                is_recent: self.caught_up && !matches!(pending.source, Source::Configured | Source::File),
            },
            refused: false,
            created: pending.created,
            ended: pending.ended,
            heard: pending.heard,
            channel: pending.channel,
            due: None,
        };
        self.sessions.insert(Arc::clone(&pending.id), tracked);
        self.due_at(&pending.id, now);
    }

    /// Tracks a session that a source has reported; it is due at once. Whether it is new.
    pub fn hear(&mut self, id: &Arc<str>, source: Source, heard: Timestamp, now: Tick) -> bool {
        if self.sessions.contains_key(id) {
            return false;
        }
        let (id, stage) = (Arc::clone(id), Stage::Known);
        let announced = if source == Source::Webhook { Announced::Yes } else { Announced::No };
        let pending = Pending { id, created: None, stage, ended: None, channel: None, heard, source };
        self.take_up(pending, announced, now);
        true
    }

    /// Says which sessions are watched. Others are tracked on only until they are counted.
    pub fn watch(&mut self, ids: &BTreeSet<Arc<str>>) {
        let mut gone = Vec::new();
        for (id, tracked) in &mut self.sessions {
            tracked.watched = ids.contains(id);
            if !tracked.watched && tracked.progress == Progress::Counted {
                gone.push(Arc::clone(id));
            }
        }
        for id in &gone {
            self.forget(id);
        }
    }

    /// The session of a class that has been due for longest.
    pub fn due_in(&self, class: Class, now: Tick) -> Option<Arc<str>> {
        let (due, id) = self.queues.get(class as usize)?.first()?;
        (*due <= now).then(|| Arc::clone(id))
    }

    /// When the next session is due.
    pub fn next_due(&self) -> Option<Tick> {
        self.queues.iter().filter_map(|queue| queue.first()).map(|(due, _)| *due).min()
    }

    /// Whether a session that waits for its analysis is overdue by more than `by`.
    pub fn is_behind(&self, now: Tick, by: Duration) -> bool {
        self.queues.iter().take(2).filter_map(|queue| queue.first()).any(|(due, _)| *due + by < now)
    }

    /// Whether the session called `id` is due by `now`.
    pub fn is_due(&self, id: &str, now: Tick) -> bool {
        self.sessions.get(id).is_some_and(|tracked| tracked.due.is_some_and(|due| due <= now))
    }

    /// Whether the session called `id` is tracked and not being asked for just now.
    pub fn is_waiting(&self, id: &str) -> bool {
        self.sessions.get(id).is_some_and(|tracked| tracked.due.is_some())
    }

    /// Takes the session out of its queue while it is asked for.
    pub fn take(&mut self, id: &Arc<str>) {
        if let Some(tracked) = self.sessions.get_mut(id)
            && let Some(due) = tracked.due.take()
        {
            let class = class(tracked.progress);
            if let Some(queue) = self.queues.get_mut(class as usize) {
                queue.remove(&(due, Arc::clone(id)));
            }
        }
    }

    /// The session was read, and this is its progress; it is due again `after` from `now`.
    pub fn settle(&mut self, id: &Arc<str>, progress: Progress, now: Tick, after: impl FnOnce(&Tracked) -> Duration) {
        self.take(id);
        let Some(tracked) = self.sessions.get_mut(id) else { return };
        (tracked.failures, tracked.failing_since) = (0, None);
        (tracked.missing_since, tracked.refused) = (None, false);
        tracked.looks = if tracked.progress == progress { tracked.looks.saturating_add(1) } else { 0 };
        let is_counted = |progress| usize::from(progress == Progress::Counted);
        self.counted = self.counted + is_counted(progress) - is_counted(tracked.progress);
        tracked.progress = progress;
        tracked.end_unread = false;
        let due = now + after(tracked);
        self.due_at(id, due);
    }

    /// Fills in what an answer has shown.
    pub fn learn(&mut self, id: &str, created: Timestamp, ended: Option<Timestamp>, channel: Option<&Arc<Channel>>) {
        if let Some(tracked) = self.sessions.get_mut(id) {
            tracked.created = Some(created);
            tracked.ended = ended.or(tracked.ended);
            if let Some(channel) = channel {
                tracked.channel = Some(Arc::clone(channel));
            }
        }
    }

    /// The request failed; the session is due again `after` from `now`.
    pub fn fail(&mut self, id: &Arc<str>, now: Tick, after: impl FnOnce(&Tracked) -> Duration) {
        self.take(id);
        let Some(tracked) = self.sessions.get_mut(id) else { return };
        (tracked.failures, tracked.missing_since) = (tracked.failures.saturating_add(1), None);
        tracked.failing_since.get_or_insert(now);
        let due = now + after(tracked);
        self.due_at(id, due);
    }

    /// The request failed by no fault of the session's, which is due from `now` on.
    pub fn put_back(&mut self, id: &Arc<str>, now: Tick) {
        self.take(id);
        self.due_at(id, now);
    }

    /// Makes all sessions due whose requests kept failing; with `refused` also those that the API said it does not have.
    pub fn retry_failing(&mut self, now: Tick, refused: bool) {
        let failing =
            |tracked: &Tracked| tracked.failures > 0 && tracked.due.is_some() && (refused || !tracked.refused);
        let ids: Vec<_> = self.sessions.iter().filter(|(_, t)| failing(t)).map(|(id, _)| Arc::clone(id)).collect();
        for id in ids {
            self.put_back(&id, now);
        }
    }

    /// Whether everything was listed lately, so that what is heard of from now on has only just begun.
    pub fn set_caught_up(&mut self, caught_up: bool) {
        self.caught_up = caught_up;
    }

    /// The API says that the session is open.
    pub fn saw_open(&mut self, id: &str) {
        if let Some(tracked) = self.sessions.get_mut(id) {
            tracked.end = EndSeen { at: None, is_recent: true };
        }
    }

    /// The API says that the session is over.
    pub fn saw_end(&mut self, id: &str, now: Tick) {
        if let Some(tracked) = self.sessions.get_mut(id) {
            tracked.end.at.get_or_insert(now);
        }
    }

    /// A delivery has reported the session.
    pub fn note_announced(&mut self, id: &str) {
        if let Some(tracked) = self.sessions.get_mut(id) {
            tracked.announced = Announced::Yes;
        }
    }

    /// The session is due at `due`, unless it is being asked for already.
    pub fn reschedule(&mut self, id: &Arc<str>, due: Tick) {
        if self.is_waiting(id) {
            self.put_back(id, due);
        }
    }

    /// The listing says that the session is over, but not since when.
    pub fn note_unread_end(&mut self, id: &str) {
        if let Some(tracked) = self.sessions.get_mut(id) {
            tracked.end_unread = true;
        }
    }

    /// The API answered, but without the session, and `refused` it or not; it is due again `after` from `now`. For how
    /// long that has been so.
    pub fn miss(
        &mut self,
        id: &Arc<str>,
        refused: bool,
        now: Tick,
        after: impl FnOnce(&Tracked) -> Duration,
    ) -> Duration {
        let since = self.sessions.get(id).and_then(|tracked| tracked.missing_since).unwrap_or(now);
        self.fail(id, now, after);
        if let Some(tracked) = self.sessions.get_mut(id) {
            (tracked.missing_since, tracked.refused) = (Some(since), refused);
        }
        now.saturating_sub(since)
    }

    /// Stops tracking the session.
    pub fn forget(&mut self, id: &Arc<str>) {
        self.take(id);
        if self.sessions.remove(id).is_some_and(|tracked| tracked.progress == Progress::Counted) {
            self.counted -= 1;
        }
    }

    fn due_at(&mut self, id: &Arc<str>, due: Tick) {
        if let Some(tracked) = self.sessions.get_mut(id) {
            tracked.due = Some(due);
            if let Some(queue) = self.queues.get_mut(class(tracked.progress) as usize) {
                queue.insert((due, Arc::clone(id)));
            }
        }
    }
}

const fn class(progress: Progress) -> Class {
    match progress {
        Progress::Pending(Stage::Ended) => Class::Finishing,
        Progress::Pending(Stage::Known | Stage::Open) => Class::Open,
        // What waits for its messages is counted, and tracked elsewhere.
        Progress::Pending(Stage::Messages) | Progress::Counted => Class::Watched,
    }
}

#[cfg(test)]
mod tests;
