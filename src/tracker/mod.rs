//! Every session that is not yet counted, and when to ask for it next. Pure: time is handed in.
//!
//! What is remembered of counted sessions is the ledger's; the tracker holds only what is pending, and the watched
//! sessions, whose gauges are refreshed after they are counted.

mod schedule;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub use schedule::Schedule;

use crate::clock::{Tick, Timestamp};
use crate::ledger::Pending;
use crate::session::Channel;
use crate::session::{Source, Stage};

/// How far a tracked session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Not yet wholly counted.
    Pending(Stage),
    /// Counted, and tracked on because it is watched.
    Counted,
}

/// Whether a delivery has told of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// None has.
    No,
    /// It was heard of elsewhere, and before the process started, which no longer knows what was delivered then.
    Unknown,
    /// One has.
    Yes,
}

/// What is known of the end of a session besides its date, which is of somebody else's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndSeen {
    /// When a look first showed that it was over.
    pub at: Option<Tick>,
    /// It certainly ended while this process was running: it was seen open, or began after everything had been listed.
    pub is_recent: bool,
}

/// A tracked session.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// How far it is.
    pub progress: Progress,
    /// Where it was first heard of.
    pub source: Source,
    /// It is exposed one by one.
    pub watched: bool,
    /// Looks at it in its present progress, successful ones, and failed ones in a row.
    pub looks: u16,
    /// Failed looks in a row.
    pub failures: u16,
    /// Since when every look has failed.
    pub failing_since: Option<Tick>,
    /// Since when the API has answered every look without the session.
    pub missing_since: Option<Tick>,
    /// The listing says that it is over, but not since when: it is still to be read.
    pub end_unread: bool,
    /// Whether a delivery has told of it.
    pub announced: Announced,
    /// What is known of its end besides its date.
    pub end: EndSeen,
    /// The API has said that there is no such session; an answer that makes no sense does not.
    pub refused: bool,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// When it was first heard of.
    pub heard: Timestamp,
    /// The channel it is counted under.
    pub channel: Option<Arc<Channel>>,
    /// When to ask next; `None` while a request or a commit is under way.
    due: Option<Tick>,
}

/// Failures in a row after which the look-back of a first start does not wait for a session any more. With every fourth
/// request failing, one session in 65,000 is as unlucky.
pub const LOOK_BACK_FAILURES: u16 = 8;
/// Where each failure takes long, as a time-out does, these are enough once they have lasted so long. So many refusals of a
/// session that is known to exist are no accident.
const LOOK_BACK_SLOW_FAILURES: u16 = 3;
const LOOK_BACK_PATIENCE: Duration = Duration::from_secs(20);

impl Tracked {
    /// Whether the first page waits for this session: not for one that the API does not give or that keeps failing, which
    /// is counted when it answers.
    fn may_answer(&self, now: Tick) -> bool {
        let failing_for = self.failing_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let keeps_failing = self.failures >= LOOK_BACK_FAILURES
            || (self.failures >= LOOK_BACK_SLOW_FAILURES && failing_for >= LOOK_BACK_PATIENCE);
        // An id that nothing else is known of may be a typing error.
        let refusals = if self.progress == Progress::Pending(Stage::Known) { 1 } else { LOOK_BACK_SLOW_FAILURES };
        let is_refused = self.refused && self.failures >= refusals;
        !is_refused && !keeps_failing
    }
}

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

/// After so many failed looks in a row, a session's failures are most likely its own.
pub const PERSISTENT: u16 = 6;
/// A session whose looks have failed for so long is missing in the numbers.
const LATE: Duration = Duration::from_secs(60);

/// What the tracker holds, counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Sessions of which only the id is known.
    pub known: usize,
    /// Configured sessions that have not been asked for yet.
    pub unasked: usize,
    /// Open sessions.
    pub open: usize,
    /// Ended sessions that wait for their analysis.
    pub ended: usize,
    /// Open sessions by channel.
    pub open_by_channel: HashMap<Arc<Channel>, u64>,
    /// Ended sessions that wait for their analysis, by agent.
    pub awaiting_by_agent: HashMap<String, u64>,
    /// When the longest-waiting ended session ended.
    pub oldest_ended: Option<Timestamp>,
    /// Sessions that ended before the first start, or of which only the id is known, without those that keep failing.
    pub look_back: usize,
    /// Of those, the ones that were read well and only wait for their analysis.
    pub look_back_waiting: usize,
    /// Sessions that are due, being asked for, or to be asked for again after a failure, for the first time.
    pub unlooked: usize,
    /// Sessions that could not be read for a minute, but may be at the next attempts. Those that the API says it does not
    /// have are not among them.
    pub late: usize,
    /// The same, after so many attempts in a row that it is most likely the session's own fault.
    pub unreadable: usize,
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

    /// Takes up a session that the ledger remembered over a restart; it is due at once.
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

    /// Takes up a session that was heard of; it is due at once. Whether it is new.
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

    /// The session was looked at, and this is where it stands; it is due again `after` from `now`.
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

    /// Fills in what a look has shown.
    pub fn learn(&mut self, id: &str, created: Timestamp, ended: Option<Timestamp>, channel: Option<&Arc<Channel>>) {
        if let Some(tracked) = self.sessions.get_mut(id) {
            tracked.created = Some(created);
            tracked.ended = ended.or(tracked.ended);
            if let Some(channel) = channel {
                tracked.channel = Some(Arc::clone(channel));
            }
        }
    }

    /// The look failed; it is due again `after` from `now`.
    pub fn fail(&mut self, id: &Arc<str>, now: Tick, after: impl FnOnce(&Tracked) -> Duration) {
        self.take(id);
        let Some(tracked) = self.sessions.get_mut(id) else { return };
        (tracked.failures, tracked.missing_since) = (tracked.failures.saturating_add(1), None);
        tracked.failing_since.get_or_insert(now);
        let due = now + after(tracked);
        self.due_at(id, due);
    }

    /// The look failed by no fault of the session's; it keeps its place.
    pub fn put_back(&mut self, id: &Arc<str>, now: Tick) {
        self.take(id);
        self.due_at(id, now);
    }

    /// What kept failing may be there now, and with `refused` also what the API said it does not have.
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

    /// A delivery has told of the session.
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

    /// Counts what is tracked.
    pub fn summary(&self, first_start: Option<Timestamp>, now: Tick) -> Summary {
        let mut summary = Summary::default();
        let (mut open, mut awaiting) = (ByChannel::default(), ByChannel::default());
        for tracked in self.sessions.values() {
            let Progress::Pending(stage) = tracked.progress else { continue };
            // One that keeps failing is no backlog.
            let is_first = tracked.looks == 0 && tracked.failures < 3;
            let is_due = tracked.failures > 0 || tracked.due.is_none_or(|due| due <= now);
            summary.unlooked += usize::from(is_first && is_due);
            if !tracked.refused && tracked.failing_since.is_some_and(|since| since + LATE < now) {
                let may_be_read = tracked.failures <= PERSISTENT;
                *if may_be_read { &mut summary.late } else { &mut summary.unreadable } += 1;
            }
            match stage {
                Stage::Known => {
                    summary.known += 1;
                    summary.look_back += usize::from(tracked.may_answer(now));
                    let is_unasked = tracked.failures < 3 && !tracked.refused && tracked.source != Source::Listing;
                    summary.unasked += usize::from(is_unasked);
                }
                Stage::Open => {
                    summary.open += 1;
                    summary.look_back += usize::from(tracked.end_unread && tracked.may_answer(now));
                    open.count(tracked);
                }
                Stage::Ended => {
                    summary.ended += 1;
                    awaiting.count(tracked);
                    summary.oldest_ended = match (summary.oldest_ended, tracked.ended) {
                        (Some(a), Some(b)) => Some(a.min(b)),
                        (a, b) => a.or(b),
                    };
                    let historic = tracked.ended.zip(first_start).is_some_and(|(ended, start)| ended <= start);
                    summary.look_back += usize::from(historic && tracked.may_answer(now));
                    summary.look_back_waiting += usize::from(historic && tracked.failures == 0);
                }
            }
        }
        for (channel, count) in open.0.into_values() {
            *summary.open_by_channel.entry(Arc::clone(channel)).or_default() += count;
        }
        for (channel, count) in awaiting.0.into_values() {
            *summary.awaiting_by_agent.entry(channel.agent_id.clone()).or_default() += count;
        }
        summary
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

/// Sessions by the address of their channel. The ledger shares a channel among its sessions, so that there are few
/// addresses, and hashing one is much cheaper than hashing four texts for each of 100,000 sessions.
#[derive(Default)]
struct ByChannel<'t>(HashMap<*const Channel, (&'t Arc<Channel>, u64)>);

impl<'t> ByChannel<'t> {
    fn count(&mut self, tracked: &'t Tracked) {
        if let Some(channel) = &tracked.channel {
            self.0.entry(Arc::as_ptr(channel)).or_insert((channel, 0)).1 += 1;
        }
    }
}

const fn class(progress: Progress) -> Class {
    match progress {
        Progress::Pending(Stage::Ended) => Class::Finishing,
        Progress::Pending(Stage::Known | Stage::Open) => Class::Open,
        Progress::Counted => Class::Watched,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn id(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn a_session_waits_in_the_queue_of_its_class_the_earlier_before_the_later() {
        let mut tracker = Tracker::default();
        for name in ["a", "b", "c"] {
            assert!(tracker.hear(&id(name), Source::Listing, Timestamp::default(), S));
        }
        assert!(!tracker.hear(&id("a"), Source::Listing, Timestamp::default(), S));
        tracker.settle(&id("b"), Progress::Pending(Stage::Open), S, |_| S);
        tracker.settle(&id("c"), Progress::Pending(Stage::Ended), S, |_| S * 2);
        assert_eq!((tracker.due_in(Class::Finishing, S), tracker.due_in(Class::Open, S)), (None, Some(id("a"))));
        assert_eq!(tracker.due_in(Class::Finishing, S * 3), Some(id("c")));
        tracker.take(&id("c"));
        assert_eq!(tracker.due_in(Class::Finishing, S * 3), None);
        tracker.forget(&id("a"));
        assert_eq!((tracker.due_in(Class::Open, S * 3), tracker.next_due()), (Some(id("b")), Some(S * 2)));
    }

    #[test]
    fn a_session_is_in_one_queue_once_however_it_is_settled() {
        let mut tracker = Tracker::default();
        tracker.hear(&id("a"), Source::Listing, Timestamp::default(), S);
        tracker.settle(&id("a"), Progress::Pending(Stage::Open), S, |_| S);
        tracker.settle(&id("a"), Progress::Pending(Stage::Open), S * 2, |_| S);
        tracker.fail(&id("a"), S * 3, |tracked| {
            assert_eq!((tracked.looks, tracked.failures), (1, 1));
            S
        });
        assert_eq!(tracker.queues.iter().map(BTreeSet::len).sum::<usize>(), 1);
        assert_eq!(tracker.next_due(), Some(S * 4));
    }

    #[test]
    fn sessions_are_summed_up_by_channel_and_agent_whoever_holds_the_channel() {
        let channel = |platform: &str| {
            Arc::new(Channel {
                agent_id: "A".into(),
                session_type: "voice".into(),
                platform: platform.into(),
                direction: "inbound".into(),
            })
        };
        let (phone, web) = (channel("phone"), channel("web"));
        let mut tracker = Tracker::default();
        let sessions = [
            ("a", Stage::Open, &phone),
            ("b", Stage::Open, &phone),
            ("c", Stage::Open, &channel("phone")),
            ("d", Stage::Ended, &phone),
            ("e", Stage::Ended, &web),
        ];
        for (name, stage, channel) in sessions {
            tracker.hear(&id(name), Source::Listing, Timestamp::default(), S);
            tracker.learn(name, Timestamp::default(), None, Some(channel));
            tracker.settle(&id(name), Progress::Pending(stage), S, |_| S);
        }
        let summary = tracker.summary(None, S);
        assert_eq!(summary.open_by_channel, HashMap::from([(phone, 3)]));
        assert_eq!(summary.awaiting_by_agent, HashMap::from([("A".to_owned(), 2)]));
    }

    #[test]
    fn look_back_waits_for_a_session_until_it_keeps_failing() {
        let (start, ended) = (Timestamp::from_millis(2_000), Timestamp::from_millis(1_000));
        let waits = |failures: u16, apart: Duration, refused: bool| {
            let mut tracker = Tracker::default();
            tracker.hear(&id("a"), Source::Listing, start, S);
            tracker.learn("a", Timestamp::default(), Some(ended), None);
            tracker.settle(&id("a"), Progress::Pending(Stage::Ended), S, |_| S);
            for failure in 0..u32::from(failures) {
                let now = S + apart * failure;
                if refused {
                    tracker.miss(&id("a"), true, now, |_| S);
                } else {
                    tracker.fail(&id("a"), now, |_| S);
                }
            }
            let now = S + apart * u32::from(failures.saturating_sub(1));
            let waited_for = tracker.summary(Some(start), now).look_back;
            tracker.settle(&id("a"), Progress::Pending(Stage::Ended), now, |_| S);
            assert_eq!(tracker.summary(Some(start), now).look_back, 1, "it answers again, and is waited for again");
            waited_for == 1
        };
        assert!(waits(0, S, false) && waits(7, S, false) && !waits(8, S, false));
        assert!(waits(2, S * 30, false) && !waits(3, S * 10, false), "time-outs take long");
        assert!(waits(2, S, true) && !waits(3, S, true), "one 404 may be an accident");
    }

    #[test]
    fn watched_sessions_are_tracked_on_after_they_are_counted() {
        let mut tracker = Tracker::default();
        for name in ["watched", "other"] {
            tracker.hear(&id(name), Source::Configured, Timestamp::default(), S);
        }
        tracker.watch(&BTreeSet::from([id("watched")]));
        tracker.settle(&id("watched"), Progress::Counted, S, |_| S);
        let summary = tracker.summary(None, S);
        assert_eq!((summary.known, summary.unlooked), (1, 1));
        tracker.watch(&BTreeSet::new());
        assert!(tracker.get("watched").is_none() && tracker.get("other").is_some());
    }
}
