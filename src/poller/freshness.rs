//! How fresh and how complete the numbers are (promise P10), once a second; and when a first start may show its session
//! metrics (P3).

use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Now};
use super::notices::{LookBackEnd, Notice};
use super::pipeline::Purpose;
use super::snapshot::{Snapshot, Standing};
use super::startup::LookBackStage;
use crate::catalogue::SeriesKey;
use crate::ledger::Change;
use crate::status::LookBack;
use crate::tracker::Summary;

/// A session that waits this much longer than it should is a backlog.
const BEHIND: Duration = Duration::from_secs(60);

impl Core {
    /// To be called about once a second, with the series whose initial-zero window is over. How things stand.
    pub fn tick(&mut self, due: Arc<[SeriesKey]>, now: Now) -> Snapshot {
        self.show_succeeded(now);
        self.tracker
            .set_caught_up(self.listing.sweep.is_caught_up() && self.config.listing && !self.listing_is_late(now));
        let summary = self.tracker.summary(self.startup.first_start, now.tick);
        if self.unreadable.look(summary.unreadable, now.tick) {
            self.tracker.retry_failing(now.tick, false);
        }
        self.give_up_messages(now);
        self.look_back(&summary, now);
        self.commits.release(due);
        self.snapshot(summary, now)
    }

    /// How long a new series has to be seen at 0, if it is to be asked which ones have been; else some are being released.
    pub fn asks_for_release(&self) -> Option<Duration> {
        (!self.commits.is_releasing()).then_some(self.config.hold)
    }

    fn sources_read(&self) -> bool {
        let is_listed = !self.first_sweep_missing() && self.listing.sweep.is_looked_back();
        (!self.config.listing || is_listed) && !self.startup.files_unread
    }

    /// Whether the listing, which has been read to its end before, has not been for long.
    fn listing_is_late(&self, now: Now) -> bool {
        let since = self.listing.sweep.last_done().map(|done| now.tick.saturating_sub(done));
        !self.listing.sweep.is_unavailable()
            && since.is_some_and(|since| since > self.config.listing_interval * 2 + BEHIND)
    }

    fn look_back(&mut self, summary: &Summary, now: Now) {
        if self.startup.look_back != LookBackStage::Running {
            return;
        }
        // Where the API has answered, it is waited for until its time can be trusted: it decides which sessions ended before the start.
        let is_dated = self.startup.first_start.is_some() || self.startup.first_contact.is_none();
        // One that has never answered as it should has not said what there is.
        let is_read = self.contact.health.has_worked() && self.sources_read();
        let is_done = is_read && summary.look_back == 0 && is_dated && self.commits.is_empty();
        let deadline_passed = now.tick.saturating_sub(self.started) >= self.config.look_back_deadline;
        if !is_done && !deadline_passed {
            return;
        }
        self.startup.look_back = LookBackStage::Closing;
        // From here on, what ends is news.
        self.startup.first_contact.get_or_insert((now.tick, None));
        self.commits.push(vec![Change::LookBackDone], Purpose::LookBackDone);
        let waiting = summary.look_back;
        let end = if is_done {
            LookBackEnd::Complete
        } else if is_read && is_dated && waiting == summary.look_back_waiting {
            LookBackEnd::AwaitingAnalysis { waiting }
        } else {
            self.startup.deadline_passed = true;
            LookBackEnd::DeadlinePassed { waiting }
        };
        self.updates.notice(Notice::LookBackOver(end));
    }

    fn snapshot(&mut self, summary: Summary, now: Now) -> Snapshot {
        let api = self.contact.status(now.tick);
        self.report(&api, now);
        let look_back_done = self.startup.look_back == LookBackStage::Done;
        // What a start or a backlog has left to be looked at is caught up with when all of it was looked at once.
        self.lag.is_behind = !look_back_done
            || (self.config.listing && (!self.listing.sweep.is_caught_up() || self.listing_is_late(now)))
            || self.first_sweep_missing()
            || !self.contact.health.has_worked()
            || self.tracker.pending() >= self.config.max_tracked
            || self.tracker.is_behind(now.tick, BEHIND)
            || summary.late > 0
            || self.unreadable.is_general()
            || (self.lag.is_behind && summary.unlooked > 0);
        if self.lag.is_behind {
            self.lag.caught_up_at = now.tick + self.config.hold;
        }
        if self.all_read(&summary) && !std::mem::replace(&mut self.startup.ready, true) {
            self.updates.notice(Notice::Ready);
        }
        let ready = self.readiness(&api, now);
        let status = Standing {
            progress: self.progress(&summary, ready.is_ok(), now),
            lagging: self.lag.is_behind.then(|| self.left(&summary)),
            missing: self.missing(),
            nothing_found: self.nothing_found(&summary),
            routes: self.route_lines(now),
            api_host: self.contact.host.clone(),
            look_back: match self.startup.look_back {
                _ if self.startup.deadline_passed => LookBack::DeadlinePassed,
                LookBackStage::Done => LookBack::Done,
                LookBackStage::Running | LookBackStage::Closing => LookBack::Running,
            },
            api,
            ready,
        };
        Snapshot {
            awaiting_messages: self.messages.len(),
            watched: self.watched.gauges(),
            is_catching_up: self.lag.is_behind || now.tick < self.lag.caught_up_at,
            has_no_listing: self.has_no_listing(),
            status,
            summary,
        }
    }
}
