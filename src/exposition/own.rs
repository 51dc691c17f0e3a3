//! What this process did: the `agntix_exporter_…` metrics and `agntix_up`, on the `prometheus` crate. All of them
//! are reset by a restart; the session metrics are not.

use prometheus::core::Collector;
use prometheus::{
    Counter, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use super::catalogue::{Descriptor, Kind};

/// The exporter's own metrics. A field is one metric of the page.
#[derive(Clone)]
#[allow(missing_docs, reason = "the help text of each metric is its documentation")]
pub struct ExporterMetrics {
    pub registry: Registry,
    pub up: IntGauge,
    pub build_info: IntGaugeVec,
    pub api_requests: IntCounterVec,
    pub api_request_duration: HistogramVec,
    pub api_rate_limit: IntGaugeVec,
    pub api_rate_limit_remaining: IntGaugeVec,
    pub api_rate_limit_reset: IntGaugeVec,
    pub api_throttled: Counter,
    pub sessions_discovered: IntCounterVec,
    pub webhook_deliveries: IntCounterVec,
    pub webhook_missed_sessions: IntCounter,
    pub sessions_tracked: IntGaugeVec,
    pub oldest_pending: GaugeVec,
    pub count_delay: HistogramVec,
    pub catching_up: IntGauge,
    pub source_last_success: GaugeVec,
    pub malformed_sessions: IntCounterVec,
    pub label_overflow: IntCounterVec,
    pub state_writable: IntGauge,
    pub state_commits: IntCounterVec,
    pub config_last_reload_successful: IntGauge,
    pub config_last_reload_success: Gauge,
    pub web_config_last_reload_successful: IntGaugeVec,
    pub web_certificate_not_after: GaugeVec,
}

const COUNT_DELAY_BUCKETS: &[f64] =
    &[1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0];
const REQUEST_BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const UP: Descriptor = gauge("agntix_up", &[], "1 while the Agntix API answers with our credential, else 0.");
const BUILD_INFO: Descriptor = gauge("agntix_exporter_build_info", &["version"], "The running version; always 1.");
const API_REQUESTS: Descriptor = counter(
    "agntix_exporter_api_requests_total",
    &["route", "code"],
    "Requests to the Agntix API by route and status; code is timeout, connect or body where there was no whole answer, credential where none could be sent.",
);
const API_REQUEST_DURATION: Descriptor = histogram(
    "agntix_exporter_api_request_duration_seconds",
    &["route"],
    "Time from sending a request to the last byte of its answer.",
);
const API_RATE_LIMIT: Descriptor = gauge(
    "agntix_exporter_api_rate_limit",
    &[],
    "The organization's requests per minute, as the API last said; absent until it says so.",
);
const API_RATE_LIMIT_REMAINING: Descriptor = gauge(
    "agntix_exporter_api_rate_limit_remaining",
    &[],
    "What is left of the organization's requests in this window, as the API last said; absent until it says so.",
);
const API_RATE_LIMIT_RESET: Descriptor = gauge(
    "agntix_exporter_api_rate_limit_reset_timestamp_seconds",
    &[],
    "When the rate-limit window ends, Unix time, as the API last said; absent until it says so.",
);
const API_THROTTLED: Descriptor = counter(
    "agntix_exporter_api_throttled_seconds_total",
    &[],
    "Time in which due requests waited for the budget or for the API's Retry-After.",
);
const SESSIONS_DISCOVERED: Descriptor = counter(
    "agntix_exporter_sessions_discovered_total",
    &["source"],
    "Sessions first heard of, by source: configured, file, listing, webhook or stream.",
);
const WEBHOOK_DELIVERIES: Descriptor = counter(
    "agntix_exporter_webhook_deliveries_total",
    &["event", "outcome"],
    "Deliveries by event and by what became of them: counted, pending, known, ignored; else they were refused.",
);
const WEBHOOK_MISSED_SESSIONS: Descriptor = counter(
    "agntix_exporter_webhook_missed_sessions_total",
    &[],
    "Sessions that ended since the process started, counted by polling before any delivery told of them; only with the webhook.",
);
const SESSIONS_TRACKED: Descriptor = gauge(
    "agntix_exporter_sessions_tracked",
    &["stage"],
    "Sessions not yet counted, by stage: known (not yet fetched), open, or ended (awaiting analysis).",
);
const OLDEST_PENDING: Descriptor = gauge(
    "agntix_exporter_oldest_pending_timestamp_seconds",
    &[],
    "When the longest-waiting ended but uncounted session ended, Unix time; absent when none waits.",
);
const COUNT_DELAY: Descriptor = histogram(
    "agntix_exporter_count_delay_seconds",
    &["source"],
    "Time from the end of a session until it was counted, by the source that first told of it; look-back left out.",
);
const CATCHING_UP: Descriptor = gauge(
    "agntix_exporter_catching_up",
    &[],
    "1 while the look-back or a backlog is being worked off and the session metrics lag behind, else 0.",
);
const SOURCE_LAST_SUCCESS: Descriptor = gauge(
    "agntix_exporter_source_last_success_timestamp_seconds",
    &["source"],
    "When this source last gave its news without an error, Unix time: a whole sweep of the listing, a configured session, the files of ids. Absent until it did.",
);
const MALFORMED_SESSIONS: Descriptor = counter(
    "agntix_exporter_malformed_sessions_total",
    &["reason"],
    "Answers about sessions in which something made no sense and was left out, by reason.",
);
const LABEL_OVERFLOW: Descriptor = counter(
    "agntix_exporter_label_overflow_total",
    &["label"],
    "Sessions counted under other because a label had reached its bound, by label; for session_id watched sessions that were left out.",
);
const STATE_WRITABLE: Descriptor =
    gauge("agntix_exporter_state_writable", &[], "1 while the last write to the state directory succeeded, else 0.");
const STATE_COMMITS: Descriptor = counter(
    "agntix_exporter_state_commits_total",
    &["outcome"],
    "Commits to the state directory, by outcome: success or error.",
);
const CONFIG_LAST_RELOAD_SUCCESSFUL: Descriptor = gauge(
    "agntix_exporter_config_last_reload_successful",
    &[],
    "1 if the configuration that was last read is in effect, 0 if it was refused.",
);
const CONFIG_LAST_RELOAD_SUCCESS: Descriptor = gauge(
    "agntix_exporter_config_last_reload_success_timestamp_seconds",
    &[],
    "When the configuration in effect was read, Unix time.",
);
const WEB_CONFIG_LAST_RELOAD_SUCCESSFUL: Descriptor = gauge(
    "agntix_exporter_web_config_last_reload_successful",
    &["listener"],
    "1 while the web configuration file and its certificates are in effect as they were last read, 0 while that was refused; by listener: metrics or webhook. Absent without a file.",
);
const WEB_CERTIFICATE_NOT_AFTER: Descriptor = gauge(
    "agntix_exporter_web_certificate_not_after_timestamp_seconds",
    &["listener"],
    "When the certificate that a listener shows expires, Unix time; by listener: metrics or webhook. Absent without TLS.",
);

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Descriptor {
    Descriptor { name, kind: Kind::Gauge, labels, help }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Descriptor {
    Descriptor { name, kind: Kind::Counter, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Descriptor {
    Descriptor { name, kind: Kind::Histogram { sum: true }, labels, help }
}

/// All of them, for the metric reference; the `process_…` metrics of the `prometheus` crate come on top.
pub const OWN: &[Descriptor] = &[
    UP,
    BUILD_INFO,
    API_REQUESTS,
    API_REQUEST_DURATION,
    API_RATE_LIMIT,
    API_RATE_LIMIT_REMAINING,
    API_RATE_LIMIT_RESET,
    API_THROTTLED,
    SESSIONS_DISCOVERED,
    WEBHOOK_DELIVERIES,
    WEBHOOK_MISSED_SESSIONS,
    SESSIONS_TRACKED,
    OLDEST_PENDING,
    COUNT_DELAY,
    CATCHING_UP,
    SOURCE_LAST_SUCCESS,
    MALFORMED_SESSIONS,
    LABEL_OVERFLOW,
    STATE_WRITABLE,
    STATE_COMMITS,
    CONFIG_LAST_RELOAD_SUCCESSFUL,
    CONFIG_LAST_RELOAD_SUCCESS,
    WEB_CONFIG_LAST_RELOAD_SUCCESSFUL,
    WEB_CERTIFICATE_NOT_AFTER,
];

impl ExporterMetrics {
    /// Registers all of them, each known label value at 0, in a registry of their own, and the metrics of this process.
    ///
    /// # Errors
    /// Only if two descriptors share a name, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let metrics = Self::without_process()?;
        #[cfg(target_os = "linux")]
        metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// The same without the metrics of this process.
    ///
    /// # Errors
    /// Only if two descriptors share a name, which a test rules out.
    pub fn without_process() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            up: plain(&registry, &UP)?,
            build_info: int_gauges(&registry, &BUILD_INFO)?,
            api_requests: counters(&registry, &API_REQUESTS)?,
            api_request_duration: histograms(&registry, &API_REQUEST_DURATION, REQUEST_BUCKETS)?,
            api_rate_limit: int_gauges(&registry, &API_RATE_LIMIT)?,
            api_rate_limit_remaining: int_gauges(&registry, &API_RATE_LIMIT_REMAINING)?,
            api_rate_limit_reset: int_gauges(&registry, &API_RATE_LIMIT_RESET)?,
            api_throttled: add(&registry, Counter::new(API_THROTTLED.name, API_THROTTLED.help)?)?,
            sessions_discovered: counters(&registry, &SESSIONS_DISCOVERED)?,
            webhook_deliveries: counters(&registry, &WEBHOOK_DELIVERIES)?,
            webhook_missed_sessions: add(
                &registry,
                IntCounter::new(WEBHOOK_MISSED_SESSIONS.name, WEBHOOK_MISSED_SESSIONS.help)?,
            )?,
            sessions_tracked: int_gauges(&registry, &SESSIONS_TRACKED)?,
            oldest_pending: gauges(&registry, &OLDEST_PENDING)?,
            count_delay: histograms(&registry, &COUNT_DELAY, COUNT_DELAY_BUCKETS)?,
            catching_up: plain(&registry, &CATCHING_UP)?,
            source_last_success: gauges(&registry, &SOURCE_LAST_SUCCESS)?,
            malformed_sessions: counters(&registry, &MALFORMED_SESSIONS)?,
            label_overflow: counters(&registry, &LABEL_OVERFLOW)?,
            state_writable: plain(&registry, &STATE_WRITABLE)?,
            state_commits: counters(&registry, &STATE_COMMITS)?,
            config_last_reload_successful: plain(&registry, &CONFIG_LAST_RELOAD_SUCCESSFUL)?,
            config_last_reload_success: add(
                &registry,
                Gauge::new(CONFIG_LAST_RELOAD_SUCCESS.name, CONFIG_LAST_RELOAD_SUCCESS.help)?,
            )?,
            web_config_last_reload_successful: int_gauges(&registry, &WEB_CONFIG_LAST_RELOAD_SUCCESSFUL)?,
            web_certificate_not_after: gauges(&registry, &WEB_CERTIFICATE_NOT_AFTER)?,
            registry,
        };
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
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
        for stage in ["known", "open", "ended"] {
            metrics.sessions_tracked.with_label_values(&[stage]);
        }
        Ok(metrics)
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn plain(registry: &Registry, d: &Descriptor) -> Result<IntGauge, prometheus::Error> {
    add(registry, IntGauge::new(d.name, d.help)?)
}

fn int_gauges(registry: &Registry, d: &Descriptor) -> Result<IntGaugeVec, prometheus::Error> {
    add(registry, IntGaugeVec::new(Opts::new(d.name, d.help), d.labels)?)
}

fn gauges(registry: &Registry, d: &Descriptor) -> Result<GaugeVec, prometheus::Error> {
    add(registry, GaugeVec::new(Opts::new(d.name, d.help), d.labels)?)
}

fn counters(registry: &Registry, d: &Descriptor) -> Result<IntCounterVec, prometheus::Error> {
    add(registry, IntCounterVec::new(Opts::new(d.name, d.help), d.labels)?)
}

fn histograms(registry: &Registry, d: &Descriptor, buckets: &[f64]) -> Result<HistogramVec, prometheus::Error> {
    add(registry, HistogramVec::new(HistogramOpts::new(d.name, d.help).buckets(buckets.to_vec()), d.labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_registers_once() {
        let metrics = ExporterMetrics::new().unwrap();
        assert!(metrics.registry.gather().iter().any(|family| family.name() == "agntix_up"));
        let has_process = |metrics: &ExporterMetrics| {
            metrics.registry.gather().iter().any(|family| family.name().starts_with("process_"))
        };
        assert!(has_process(&metrics) && !has_process(&ExporterMetrics::without_process().unwrap()));
    }
}
