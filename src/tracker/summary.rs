//! What the tracker holds, counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{PERSISTENT, Progress, Tracked, Tracker};
use crate::clock::{Tick, Timestamp};
use crate::session::{Channel, Source, Stage};

/// A session whose requests have failed for so long is missing in the numbers.
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

impl Tracker {
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
                Stage::Messages => {}
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
