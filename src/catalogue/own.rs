//! What the exporter says of itself: the `agntix_exporter_…` metrics and `agntix_up`, on the `prometheus` crate, one entry
//! each. All of them are reset by a restart; the session metrics are not.

use std::sync::Arc;

use exposition::{BucketSchemas, Descriptor, Kind};
use prometheus::core::{Atomic, Collector, GenericCounter, GenericCounterVec, GenericGauge, GenericGaugeVec};
use prometheus::{
    Counter, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, Result,
};

use super::Exposition;

const COUNT_DELAY_BUCKETS: &[f64] =
    &[1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0];
const READ_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
const REQUEST_BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Version, revision, compiler and target, as the labels of `agntix_exporter_build_info`.
pub const BUILD: [&str; 4] =
    [env!("CARGO_PKG_VERSION"), env!("AGNTIX_BUILD_REVISION"), env!("AGNTIX_BUILD_RUSTC"), env!("AGNTIX_BUILD_TARGET")];

/// [`ExporterMetrics`], [`SHARED`], [`PROCESS`] and the registration from one table. An entry is
/// `field: Type = (name, labels, help)`, with the buckets of a histogram last. A metric that may be absent from the page
/// has a type with labels, even if it has none.
macro_rules! exporter_metrics {
    (
        shared { $($field:ident: $type:ident = ($name:literal, $labels:tt, $help:literal);)* }
        process {
            $($of_process:ident: $process_type:ident = (
                $process_name:literal, $process_labels:tt, $process_help:literal $(, $buckets:ident)?
            );)*
        }
    ) => {
        /// The exporter's own metrics. A field is one metric of the page.
        #[derive(Clone)]
        pub struct ExporterMetrics {
            /// What those are registered in that tell of this process.
            pub registry: Registry,
            /// What those are registered in that tell of the organization's numbers.
            pub shared: Registry,
            $(#[doc = concat!("`", $name, "`: ", $help)] pub $field: $type,)*
            $(#[doc = concat!("`", $process_name, "`: ", $process_help)] pub $of_process: $process_type,)*
        }

        /// Those that tell of the organization's numbers: the same on every replica.
        pub const SHARED: &[Descriptor] =
            &[$(Descriptor { name: $name, kind: <$type as Metric>::KIND, labels: &$labels, help: $help }),*];

        /// Those that tell of this process; the `process_…` metrics of the `prometheus` crate come on top.
        pub const PROCESS: &[Descriptor] = &[$(Descriptor {
            name: $process_name,
            kind: <$process_type as Metric>::KIND,
            labels: &$process_labels,
            help: $process_help,
        }),*];

        /// All of them, registered in registries of their own.
        fn registered() -> Result<ExporterMetrics> {
            let (registry, shared) = (Registry::new(), Registry::new());
            Ok(ExporterMetrics {
                $($field: register(&shared, Opts::new($name, $help), &$labels, &[])?,)*
                $($of_process: register(
                    &registry, Opts::new($process_name, $process_help), &$process_labels, &[$($buckets)?],
                )?,)*
                registry,
                shared,
            })
        }
    };
}

exporter_metrics! {
    // About the numbers of the organization: every replica that shares the counts shows the same.
    shared {
        up: GaugeVec = ("agntix_up", [], "1 while the Agntix API answers with our credential, else 0.");
        catching_up: GaugeVec = (
            "agntix_exporter_catching_up", [],
            "1 while the look-back or a backlog is being worked off and the session metrics lag behind, else 0."
        );
        sessions_tracked: GaugeVec = (
            "agntix_exporter_sessions_tracked", ["stage"],
            "Sessions not yet counted, by stage: known (not yet fetched), open, or ended (awaiting analysis); and counted ones whose messages are still to be read (messages)."
        );
        oldest_pending: GaugeVec = (
            "agntix_exporter_oldest_pending_timestamp_seconds", [],
            "When the longest-waiting ended but uncounted session ended, Unix time; absent when none waits."
        );
        source_last_success: GaugeVec = (
            "agntix_exporter_source_last_success_timestamp_seconds", ["source"],
            "When this source last gave its news without an error, Unix time: a whole sweep of the listing, a configured session, the files of ids. Absent until it did."
        );
        replicas: IntGaugeVec = (
            "agntix_exporter_replicas", [],
            "Replicas that share the counts and are there; only with state.url."
        );
        inbox_deliveries: IntGaugeVec = (
            "agntix_exporter_inbox_deliveries", [],
            "Deliveries that are acknowledged and still to be counted by the replica that counts; only with state.url."
        );
        ledger_synchronous: IntGaugeVec = (
            "agntix_exporter_ledger_synchronous", [],
            "1 if the database acknowledges a commit only when a standby has it as well, else 0; only with state.url."
        );
    }
    process {
        build_info: IntGaugeVec = (
            "agntix_exporter_build_info", ["version", "revision", "rustc", "target"],
            "The running version, the commit it was built from, the compiler and the target; always 1."
        );
        api_requests: IntCounterVec = (
            "agntix_exporter_api_requests_total", ["route", "code"],
            "Requests to the Agntix API by route and status; code is timeout, connect or body where there was no whole answer, credential where none could be sent."
        );
        api_request_duration: HistogramVec = (
            "agntix_exporter_api_request_duration_seconds", ["route"],
            "Time from sending a request to the last byte of its answer.",
            REQUEST_BUCKETS
        );
        api_rate_limit: IntGaugeVec = (
            "agntix_exporter_api_rate_limit", [],
            "The organization's requests per minute, as the API last said; absent until it says so."
        );
        api_rate_limit_remaining: IntGaugeVec = (
            "agntix_exporter_api_rate_limit_remaining", [],
            "What is left of the organization's requests in this window, as the API last said; absent until it says so."
        );
        api_rate_limit_reset: IntGaugeVec = (
            "agntix_exporter_api_rate_limit_reset_timestamp_seconds", [],
            "When the rate-limit window ends, Unix time, as the API last said; absent until it says so."
        );
        api_throttled: Counter = (
            "agntix_exporter_api_throttled_seconds_total", [],
            "Time in which due requests waited for the budget or for the API's Retry-After."
        );
        sessions_discovered: IntCounterVec = (
            "agntix_exporter_sessions_discovered_total", ["source"],
            "Sessions first heard of, by source: configured, file, listing, webhook or stream."
        );
        webhook_deliveries: IntCounterVec = (
            "agntix_exporter_webhook_deliveries_total", ["event", "outcome"],
            "Deliveries by event and by what became of them: counted, pending, known, ignored; else they were refused."
        );
        webhook_missed_sessions: IntCounter = (
            "agntix_exporter_webhook_missed_sessions_total", [],
            "Sessions that ended since the process started, counted by polling before any delivery told of them; only with the webhook."
        );
        count_delay: HistogramVec = (
            "agntix_exporter_count_delay_seconds", ["source"],
            "Time from the end of a session until it was counted, by the source that first told of it; look-back left out.",
            COUNT_DELAY_BUCKETS
        );
        malformed_sessions: IntCounterVec = (
            "agntix_exporter_malformed_sessions_total", ["reason"],
            "Answers about sessions in which something made no sense and was left out, by reason."
        );
        label_overflow: IntCounterVec = (
            "agntix_exporter_label_overflow_total", ["label"],
            "Sessions counted under other because a label had reached its bound, by label; for session_id watched sessions that were left out."
        );
        messages_skipped: IntCounterVec = (
            "agntix_exporter_messages_skipped_total", ["reason"],
            "Sessions whose messages were to be read and were not, by reason: budget (no request was left for an hour), failed (nor could they be read), missing, too_long, backlog, look_back or off."
        );
        repeat_contacts_skipped: IntCounterVec = (
            "agntix_exporter_repeat_contacts_skipped_total", ["reason"],
            "Sessions left out of agntix_session_repeat_contacts_total, by reason: shared (more than 50 sessions of the customer on a day)."
        );
        state_writable: IntGauge = (
            "agntix_exporter_state_writable", [],
            "1 while the last write to the state directory succeeded, else 0."
        );
        state_commits: IntCounterVec = (
            "agntix_exporter_state_commits_total", ["outcome"],
            "Commits to the state directory, by outcome: success or error."
        );
        active: IntGaugeVec = (
            "agntix_exporter_active", [],
            "1 on the replica that counts, 0 on the others; only with state.url."
        );
        ledger_regressions: IntCounterVec = (
            "agntix_exporter_ledger_regressions_total", [],
            "How often commits that were acknowledged were not in the database any more, or may not have been; only with state.url."
        );
        ledger_replayed_commits: IntCounterVec = (
            "agntix_exporter_ledger_replayed_commits_total", [],
            "Commits that the database had lost and that were committed again; only with state.url."
        );
        ledger_lost_sessions: IntCounterVec = (
            "agntix_exporter_ledger_lost_sessions_total", [],
            "Ended sessions that this replica had shown, and that the database had lost for good; only with state.url."
        );
        ledger_read: HistogramVec = (
            "agntix_exporter_ledger_read_seconds", [],
            "Time to read what is new from the database while another replica counts; only with state.url.",
            READ_BUCKETS
        );
        config_last_reload_successful: IntGauge = (
            "agntix_exporter_config_last_reload_successful", [],
            "1 if the configuration that was last read is in effect, 0 if it was refused."
        );
        config_last_reload_success: Gauge = (
            "agntix_exporter_config_last_reload_success_timestamp_seconds", [],
            "When the configuration in effect was read, Unix time."
        );
        web_config_last_reload_successful: IntGaugeVec = (
            "agntix_exporter_web_config_last_reload_successful", ["listener"],
            "1 while the web configuration file and its certificates are in effect as they were last read, 0 while that was refused; by listener: metrics or webhook. Absent without a file."
        );
        web_info: IntGaugeVec = (
            "agntix_exporter_web_info", ["external_url"],
            "Where people reach the exporter, as web.external_url says; always 1. Absent without a whole URL there."
        );
        web_certificate_not_after: GaugeVec = (
            "agntix_exporter_web_certificate_not_after_timestamp_seconds", ["listener"],
            "When the certificate that a listener shows expires, Unix time; by listener: metrics or webhook. Absent without TLS."
        );
    }
}

impl ExporterMetrics {
    /// Registers all of them, each known label value at 0, in a registry of their own, and the metrics of this process.
    ///
    /// # Errors
    /// Only if two entries share a name, which a test rules out.
    pub fn new() -> Result<Self> {
        let metrics = Self::without_process()?;
        #[cfg(target_os = "linux")]
        metrics.registry.register(Box::new(super::process::ProcessMetrics::new()?))?;
        Ok(metrics)
    }

    /// The same without the metrics of this process.
    ///
    /// # Errors
    /// Only if two entries share a name, which a test rules out.
    pub fn without_process() -> Result<Self> {
        let metrics = registered()?;
        metrics.build_info.with_label_values(&BUILD).set(1);
        for outcome in ["success", "error"] {
            metrics.state_commits.with_label_values(&[outcome]);
        }
        for source in ["configured", "file", "listing", "webhook", "stream"] {
            metrics.sessions_discovered.with_label_values(&[source]);
            metrics.count_delay.with_label_values(&[source]);
        }
        // There before they happen, so that the first one is a rise.
        for (event, outcomes) in [
            ("session.created", &["pending", "known"][..]),
            ("session.ended", &["counted", "pending", "known", "busy", "failed"]),
            ("unread", &["malformed", "missing", "stale", "forged"]),
        ] {
            for outcome in outcomes {
                metrics.webhook_deliveries.with_label_values(&[event, outcome]);
            }
        }
        metrics.repeat_contacts_skipped.with_label_values(&["shared"]);
        for stage in ["known", "open", "ended", "messages"] {
            metrics.sessions_tracked.with_label_values(&[stage]);
        }
        // Nothing was seen to work, and nothing to be current.
        metrics.up.with_label_values::<&str>(&[]).set(0.0);
        metrics.catching_up.with_label_values::<&str>(&[]).set(1.0);
        Ok(metrics)
    }

    /// Pages of these and of session series with these buckets.
    pub fn exposition(&self, schemas: Arc<BucketSchemas>) -> Exposition {
        Exposition::new(schemas, self.registry.clone()).with_metrics_beside_series(self.shared.clone())
    }
}

/// A type of metric that an entry of the table may have.
trait Metric: Collector + Clone + Sized + 'static {
    /// What it is on the page.
    const KIND: Kind;

    /// One with this name and help. Labels and buckets are for the types that have some; a histogram has one list of buckets.
    fn make(opts: Opts, labels: &[&str], buckets: &[&[f64]]) -> Result<Self>;
}

fn register<M: Metric>(registry: &Registry, opts: Opts, labels: &[&str], buckets: &[&[f64]]) -> Result<M> {
    let metric = M::make(opts, labels, buckets)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

impl<P: Atomic + 'static> Metric for GenericCounter<P> {
    const KIND: Kind = Kind::Counter;

    fn make(opts: Opts, _: &[&str], _: &[&[f64]]) -> Result<Self> {
        Self::with_opts(opts)
    }
}

impl<P: Atomic + 'static> Metric for GenericCounterVec<P> {
    const KIND: Kind = Kind::Counter;

    fn make(opts: Opts, labels: &[&str], _: &[&[f64]]) -> Result<Self> {
        Self::new(opts, labels)
    }
}

impl<P: Atomic + 'static> Metric for GenericGauge<P> {
    const KIND: Kind = Kind::Gauge;

    fn make(opts: Opts, _: &[&str], _: &[&[f64]]) -> Result<Self> {
        Self::with_opts(opts)
    }
}

impl<P: Atomic + 'static> Metric for GenericGaugeVec<P> {
    const KIND: Kind = Kind::Gauge;

    fn make(opts: Opts, labels: &[&str], _: &[&[f64]]) -> Result<Self> {
        Self::new(opts, labels)
    }
}

impl Metric for HistogramVec {
    const KIND: Kind = Kind::Histogram { sum: true };

    fn make(opts: Opts, labels: &[&str], buckets: &[&[f64]]) -> Result<Self> {
        Self::new(HistogramOpts::from(opts).buckets(buckets.concat()), labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_registers_once() {
        let metrics = ExporterMetrics::new().unwrap();
        assert!(metrics.shared.gather().iter().any(|family| family.name() == "agntix_up"));
        let has_process = |metrics: &ExporterMetrics| {
            metrics.registry.gather().iter().any(|family| family.name().starts_with("process_"))
        };
        assert!(has_process(&metrics) && !has_process(&ExporterMetrics::without_process().unwrap()));
    }
}
