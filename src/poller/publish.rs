//! Carries out the core's updates and shows its snapshots: here, and nowhere else, they reach the page, the exporter's own
//! metrics, the status and the log.

use std::sync::Arc;

use super::core::{Core, Now};
use super::log;
use super::snapshot::Snapshot;
use super::updates::{MetricUpdate, StatedLimit, Update};
use crate::catalogue::ExporterMetrics;
use crate::catalogue::{Exposition, GaugeFamily};
use crate::clock::{ApiClock, Timestamp};
use crate::ledger::InitialZeroWindows;
use crate::session::{MalformedReason, SkipReason, Source};
use crate::status::{ApiStatus, Status};
use crate::tracker::Summary;
use exposition::LabelSet;

/// Where the core's updates and snapshots go.
pub(super) struct Publisher {
    exposition: Arc<Exposition>,
    own: ExporterMetrics,
    status: Arc<Status>,
    api_clock: Arc<ApiClock>,
    windows: InitialZeroWindows,
}

impl Publisher {
    pub(super) fn new(
        exposition: Arc<Exposition>,
        own: ExporterMetrics,
        status: Arc<Status>,
        api_clock: Arc<ApiClock>,
        windows: InitialZeroWindows,
    ) -> Self {
        // There before they happen, so that the first one is a rise.
        for reason in MalformedReason::ALL.into_iter().filter(|reason| *reason != MalformedReason::InPart) {
            own.malformed_sessions.with_label_values(&[reason.as_str()]);
        }
        for reason in SkipReason::ALL {
            own.messages_skipped.with_label_values(&[reason.as_str()]);
        }
        Self { exposition, own, status, api_clock, windows }
    }

    /// Carries out the core's updates since the last call.
    pub(super) fn apply(&self, core: &mut Core) {
        let mut counted = 0;
        // The last word of each source stands; the status is copied for every change.
        let mut succeeded: Vec<(Source, Option<Timestamp>)> = Vec::new();
        for update in core.drain_updates() {
            match update {
                Update::Notice(notice) => log::write(&notice),
                Update::Metric(update) => count(&self.own, update),
                Update::Publish(at) => {
                    self.exposition.publish();
                    self.windows.publish(at);
                }
                Update::Agents(series) => self.exposition.set_gauges(GaugeFamily::AgentInfo, series),
                Update::SessionCounted => counted += 1,
                Update::SourceSucceeded { source, at } => {
                    match succeeded.iter_mut().find(|(known, _)| *known == source) {
                        Some((_, known)) => *known = at,
                        None => succeeded.push((source, at)),
                    }
                }
                Update::ApiTime { at, time } => self.api_clock.set(at, time),
            }
        }
        if counted == 0 && succeeded.is_empty() {
            return;
        }
        let last_success = &self.own.source_last_success;
        for (source, at) in &succeeded {
            match at {
                Some(at) => last_success.with_label_values(&[source.as_str()]).set(at.as_seconds_f64()),
                // It is not there if the source never was on.
                None => drop(last_success.remove_label_values(&[source.as_str()])),
            }
        }
        self.status.update(|status| {
            status.counted += counted;
            for (source, at) in &succeeded {
                match at {
                    Some(at) => drop(status.last_success.insert(source.as_str().to_owned(), *at)),
                    None => drop(status.last_success.remove(source.as_str())),
                }
            }
        });
    }

    /// Gives the core its turn of once a second, and shows how things stand.
    pub(super) fn tick(&self, core: &mut Core, now: Now) {
        let due = core.asks_for_release().map(|hold| self.windows.due(now.instant, hold));
        let snapshot = core.tick(due.unwrap_or_default(), now);
        // What has led there comes first.
        self.apply(core);
        self.show(snapshot);
    }

    fn show(&self, snapshot: Snapshot) {
        let Snapshot { summary, awaiting_messages, watched, is_catching_up, has_no_listing, status: standing } =
            snapshot;
        self.show_gauges(&summary);
        for (family, series) in watched.into_iter().flatten() {
            self.exposition.set_gauges(family, series);
        }
        let own = &self.own;
        own.up.with_label_values::<&str>(&[]).set(flag(standing.api == ApiStatus::Up));
        own.catching_up.with_label_values::<&str>(&[]).set(flag(is_catching_up));
        let stages = [
            ("known", summary.known),
            ("open", summary.open),
            ("ended", summary.ended),
            ("messages", awaiting_messages),
        ];
        for (stage, count) in stages {
            own.sessions_tracked.with_label_values(&[stage]).set(number(count as u64));
        }
        match summary.oldest_ended {
            Some(at) => own.oldest_pending.with_label_values::<&str>(&[]).set(at.as_seconds_f64()),
            None => own.oldest_pending.reset(),
        }
        if has_no_listing {
            // It has never succeeded, which is to be seen as if it were long ago.
            own.source_last_success.with_label_values(&[Source::Listing.as_str()]).set(0.0);
        }
        self.status.update(|status| {
            status.api.clone_from(&standing.api);
            status.ready.clone_from(&standing.ready);
            status.progress.clone_from(&standing.progress);
            status.lagging.clone_from(&standing.lagging);
            status.missing.clone_from(&standing.missing);
            status.nothing_found.clone_from(&standing.nothing_found);
            status.routes.clone_from(&standing.routes);
            status.api_host.clone_from(&standing.api_host);
            status.sessions_known = summary.known as u64;
            status.sessions_open = summary.open as u64;
            status.sessions_ended = summary.ended as u64;
            status.oldest_pending = summary.oldest_ended;
            status.look_back = standing.look_back;
        });
    }

    fn show_gauges(&self, summary: &Summary) {
        let value = |count: &u64| number(*count);
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
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[expect(clippy::cast_precision_loss, reason = "sessions.max_tracked is far below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

fn count(own: &ExporterMetrics, update: MetricUpdate) {
    match update {
        MetricUpdate::Request { route, code, elapsed, stated } => {
            let route = route.as_str();
            own.api_requests.with_label_values(&[route, &code]).inc();
            own.api_request_duration.with_label_values(&[route]).observe(elapsed.as_secs_f64());
            let StatedLimit { limit, remaining, reset } = stated;
            if let Some(limit) = limit {
                own.api_rate_limit.with_label_values::<&str>(&[]).set(limit.into());
            }
            if let Some(remaining) = remaining {
                own.api_rate_limit_remaining.with_label_values::<&str>(&[]).set(remaining.into());
            }
            if let Some(reset) = reset {
                own.api_rate_limit_reset.with_label_values::<&str>(&[]).set(reset.as_millis() / 1000);
            }
        }
        MetricUpdate::Throttled(length) => own.api_throttled.inc_by(length.as_secs_f64()),
        MetricUpdate::Discovered { source, sessions } => {
            own.sessions_discovered.with_label_values(&[source.as_str()]).inc_by(sessions);
        }
        MetricUpdate::CountDelay { source, delay } => {
            own.count_delay.with_label_values(&[source.as_str()]).observe(delay.as_secs_f64());
        }
        MetricUpdate::WebhookMissed => own.webhook_missed_sessions.inc(),
        MetricUpdate::Malformed(reason) => own.malformed_sessions.with_label_values(&[reason.as_str()]).inc(),
        MetricUpdate::MessagesSkipped(reason) => own.messages_skipped.with_label_values(&[reason.as_str()]).inc(),
        MetricUpdate::WatchedLeftOut(sessions) => {
            own.label_overflow.with_label_values(&["session_id"]).inc_by(sessions);
        }
    }
}
