//! How fresh and how complete the numbers are (promise P10): told once a second to the exporter's own metrics, the
//! gauges of open sessions, the landing page and readiness; and when a first start may show its session metrics (P3).

use std::time::Duration;

use super::core::{Batch, Core, LookBackStage, Now, Purpose};
use crate::exposition::catalogue::GaugeFamily;
use crate::exposition::labels::LabelSet;
use crate::ledger::Change;
use crate::session::Source;
use crate::status::{ApiStatus, LookBack};
use crate::tracker::Summary;

/// A session that waits this much longer than it should is a backlog.
const BEHIND: Duration = Duration::from_secs(60);

impl Core {
    /// To be called about once a second.
    pub fn tick(&mut self, now: Now) {
        self.show_succeeded(now);
        self.tracker.set_caught_up(self.listing.is_caught_up() && self.config.listing && !self.listing_is_late(now));
        let summary = self.tracker.summary(self.life.first_start, now.tick);
        if self.unreadable.look(summary.unreadable, now.tick) {
            self.tracker.retry_failing(now.tick, false);
        }
        self.look_back(&summary, now);
        self.release(now);
        self.show_gauges(&summary);
        self.show_status(&summary, now);
    }

    fn sources_read(&self) -> bool {
        let is_listed = !self.first_sweep_missing() && self.listing.is_looked_back();
        (!self.config.listing || is_listed) && !self.life.files_unread
    }

    /// Whether the listing, which has been read to its end before, has not been for long.
    fn listing_is_late(&self, now: Now) -> bool {
        let since = self.listing.last_done().map(|done| now.tick.saturating_sub(done));
        !self.listing.is_unavailable() && since.is_some_and(|since| since > self.config.listing_interval * 2 + BEHIND)
    }

    fn look_back(&mut self, summary: &Summary, now: Now) {
        if self.life.look_back != LookBackStage::Running {
            return;
        }
        // Where the API has answered, it is waited for until its time can be trusted: what ended before is told by that.
        let is_dated = self.life.first_start.is_some() || self.life.first_contact.is_none();
        // One that has never answered as it should has not said what there is.
        let is_read = self.health.has_worked() && self.sources_read();
        let is_done = is_read && summary.look_back == 0 && is_dated && self.ready.is_empty();
        let deadline_passed = now.tick.saturating_sub(self.started) >= self.config.look_back_deadline;
        if !is_done && !deadline_passed {
            return;
        }
        self.life.look_back = LookBackStage::Closing;
        // From here on, what ends is news.
        self.life.first_contact.get_or_insert((now.tick, None));
        self.ready.push_back(Batch { changes: vec![Change::LookBackDone], purpose: Purpose::LookBackDone });
        if !is_done && is_read && is_dated && summary.look_back == summary.look_back_waiting {
            tracing::info!(
                waiting = summary.look_back,
                "the look-back is over; session metrics are shown from now on, and sessions that wait for their analysis \
                 are counted as usual"
            );
        } else if is_done {
            tracing::info!("the look-back is done; session metrics are shown from now on");
        } else {
            tracing::warn!(
                waiting = summary.look_back,
                "sessions.look_back_deadline has passed; session metrics are shown, and older sessions are counted as they are found"
            );
            self.status.update(|status| status.look_back = LookBack::DeadlinePassed);
        }
    }

    fn release(&mut self, now: Now) {
        if self.releasing {
            return;
        }
        let due = self.exposition.due_for_release(now.instant, self.config.hold);
        if !due.is_empty() {
            self.releasing = true;
            let changes = vec![Change::Release(due.clone())];
            self.ready.push_back(Batch { changes, purpose: Purpose::Release(due) });
        }
    }

    fn show_gauges(&mut self, summary: &Summary) {
        #[expect(clippy::cast_precision_loss, reason = "sessions.max_tracked is far below 2^53")]
        let value = |count: &u64| *count as f64;
        let labels =
            |family: GaugeFamily, values: &[&str]| LabelSet::new(family.descriptor().labels, values.iter().copied());
        let mut open: Vec<_> = summary
            .open_by_channel
            .iter()
            .map(|(channel, count)| (labels(GaugeFamily::Open, &channel.values()), value(count)))
            .collect();
        open.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut awaiting: Vec<_> = summary
            .awaiting_by_agent
            .iter()
            .map(|(agent, count)| (labels(GaugeFamily::AwaitingAnalysis, &[agent]), value(count)))
            .collect();
        awaiting.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.exposition.set_gauges(GaugeFamily::Open, open);
        self.exposition.set_gauges(GaugeFamily::AwaitingAnalysis, awaiting);
        if let Some(gauges) = self.watched.gauges() {
            for (family, series) in gauges {
                self.exposition.set_gauges(family, series);
            }
        }
    }

    fn show_status(&mut self, summary: &Summary, now: Now) {
        let api = self.health.status(&self.credential, &self.host, now.tick);
        self.tell(&api, now);
        let look_back_done = self.life.look_back == LookBackStage::Done;
        // What a start or a backlog has left to be looked at is caught up with when all of it was looked at once.
        self.life.lags = !look_back_done
            || (self.config.listing && (!self.listing.is_caught_up() || self.listing_is_late(now)))
            || self.first_sweep_missing()
            || !self.health.has_worked()
            || self.tracker.pending() >= self.config.max_tracked
            || self.tracker.is_behind(now.tick, BEHIND)
            || summary.late > 0
            || self.unreadable.is_general()
            || (self.life.lags && summary.unlooked > 0);
        if self.life.lags {
            self.life.caught_up_at = now.tick + self.config.hold;
        }
        let catching_up = self.life.lags || now.tick < self.life.caught_up_at;
        let own = self.exposition.own();
        own.up.set(i64::from(api == ApiStatus::Up));
        own.catching_up.set(i64::from(catching_up));
        for (stage, count) in [("known", summary.known), ("open", summary.open), ("ended", summary.ended)] {
            own.sessions_tracked.with_label_values(&[stage]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        match summary.oldest_ended {
            Some(at) => own.oldest_pending.with_label_values::<&str>(&[]).set(at.as_seconds_f64()),
            None => own.oldest_pending.reset(),
        }
        if self.has_no_listing() {
            // It has never succeeded, which is to be seen as if it were long ago.
            own.source_last_success.with_label_values(&[Source::Listing.as_str()]).set(0.0);
        }
        if self.all_read(summary) && !std::mem::replace(&mut self.life.ready, true) {
            tracing::info!("ready: every source has been read once");
        }
        let ready = self.readiness(&api, now);
        let progress = self.progress(summary, ready.is_ok(), now);
        let lagging = self.life.lags.then(|| self.left(summary));
        let (missing, nothing_found, routes) = (self.missing(), self.nothing_found(summary), self.route_lines(now));
        self.status.update(|status| {
            status.api = api.clone();
            status.ready.clone_from(&ready);
            status.progress.clone_from(&progress);
            status.lagging.clone_from(&lagging);
            status.missing.clone_from(&missing);
            status.nothing_found.clone_from(&nothing_found);
            status.routes.clone_from(&routes);
            status.api_host.clone_from(&self.host);
            status.sessions_known = summary.known as u64;
            status.sessions_open = summary.open as u64;
            status.sessions_ended = summary.ended as u64;
            status.oldest_pending = summary.oldest_ended;
            if look_back_done && status.look_back == LookBack::Running {
                status.look_back = LookBack::Done;
            }
        });
    }
}
