//! `docs/metrics.md`, made from the catalogue that the pages are made from.

use std::fmt::Write as _;

use exposition::{Descriptor, Kind};

use super::family::{Family, GaugeFamily};
use super::own::{PROCESS as OF_PROCESS, SHARED};

const INTRODUCTION: &str = "\
# Metrics

Every metric that the exporter serves, with its labels and its meaning. A running exporter shows this page at `/-/reference`. It is generated from the same
catalogue as `/metrics`; `UPDATE_DOCS=1 cargo test docs_metrics_is_current` writes it again after a change of the catalogue.

## How to read them

- **Two kinds.** What the organization did (`agntix_session…`: durable across restarts and crashes, never decreasing)
  and what the exporter says of itself (`agntix_up`, `agntix_exporter_…`, `process_…`: reset by a restart).
- **Shared, or of this process.** Where several replicas share the counts (`state.url`), every one of them shows the same of what
  is shared: the organization's series, and how current they are. `/metrics?collect[]=sessions` has these and nothing else. What
  is of this process each replica has of its own, and `/metrics?collect[]=exporter` has only that. Only the replica that counts
  asks Agntix: on the others `agntix_exporter_api_rate_limit…` is absent, and counters about requests and sessions stand still,
  so that sums over replicas are right. Without `collect[]`, or with both values, the page has everything.
- **Label values** are those of the API, in lower case if they come from a fixed list. `unknown`: the API gave no value.
  `none`: that part of the analysis is absent, or was given up at `poll.analysis_deadline`. `other`: the label had
  reached its limit (`metrics.max_label_values`, `metrics.max_agents`, `metrics.max_series`); `agntix_exporter_label_overflow_total` counts these.
- **Exactly once.** An ended session adds once to every series that it belongs to, however often and by whichever source
  it is reported. An analysis that changes later adds only to `agntix_session_reclassifications_total`.
- **Look-back.** Sessions that ended before the first start are in the starting values. Until they are read (or
  `sessions.look_back_deadline` passes) the page has no session metrics, only the exporter's own.
- **New series start at 0.** A series that appears later is exposed at 0 for `metrics.new_series_hold` before it increases, so
  that Prometheus has seen the 0, and `rate()` and `increase()` miss no event. The cost: the first events of a new series
  appear that much later. Set it to at least the longest scrape interval of your Prometheus servers.
- **Histograms** have `_bucket`, `_sum` and `_count`. `agntix_session_sentiment_score` has no `_sum`: scores can be
  negative, so a sum could decrease, and `rate()` would take that for a restart. The mean is
  `(sum(rate(agntix_session_sentiment_score_positive_total[1h])) - sum(rate(agntix_session_sentiment_score_negative_total[1h]))) / sum(rate(agntix_session_sentiment_score_bucket{le=\"+Inf\"}[1h]))`,
  in every format: OpenMetrics has no `_count` without a `_sum`, and there the `+Inf` bucket is the count.
- **OpenMetrics** adds `# UNIT`, `_created` if `metrics.created_lines` is on (the time when a durable series was created) and exemplars with the `session_id` on
  `agntix_session_outcomes_total` and on the buckets of `agntix_session_duration_seconds` and `agntix_session_sentiment_score`.
- **Protobuf** (`io.prometheus.client.MetricFamily`, delimited) is for scrapers that ask for it by name, as Prometheus does with `scrape_protocols: [PrometheusProto]` or once native histograms are on. It has the
  same values in classic buckets, the same units and exemplars, and without a line for it the time since when each counter and histogram counts: that of the series, or of the process for what is of the process.
  A histogram there cannot do without a sum, so that the series of `agntix_session_sentiment_score` are counters in it, with the same names and labels: a server stores the same series in every format, but for the
  `_count` that OpenMetrics has not.
- **Static labels.** Every series of an exporter, `process_…` included, also carries the labels of `metrics.static_labels`.
- **Absent is not 0.** An unknown value has no series. Metrics that `metrics.disabled` names are counted and not shown; they are in the tables all the same.
";

/// The process metrics of the `prometheus` crate, on Linux.
const PROCESS: &[Descriptor] = &[
    process("process_cpu_seconds_total", Kind::Counter, "Total user and system CPU time spent in seconds."),
    process("process_max_fds", Kind::Gauge, "Maximum number of open file descriptors."),
    process("process_open_fds", Kind::Gauge, "Number of open file descriptors."),
    process("process_resident_memory_bytes", Kind::Gauge, "Resident memory size in bytes."),
    process("process_start_time_seconds", Kind::Gauge, "Start time of the process since unix epoch in seconds."),
    process("process_threads", Kind::Gauge, "Number of OS threads in the process."),
    process("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory size in bytes."),
];

const fn process(name: &'static str, kind: Kind, help: &'static str) -> Descriptor {
    Descriptor { name, kind, labels: &[], help }
}

/// The metric reference, as Markdown.
pub fn reference() -> String {
    let mut text = String::from(INTRODUCTION);
    section(&mut text, "Sessions: durable totals, shared", Family::ALL.map(Family::descriptor).as_slice());
    section(
        &mut text,
        "Sessions and agents: the present, shared",
        GaugeFamily::ALL.map(GaugeFamily::descriptor).as_slice(),
    );
    section(&mut text, "How current the numbers are: shared", SHARED);
    section(&mut text, "The exporter itself: of this process", OF_PROCESS);
    section(&mut text, "The process (Linux): of this process", PROCESS);
    text
}

fn section(text: &mut String, title: &str, metrics: &[Descriptor]) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\n## {title}\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for metric in metrics {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram { sum: true } => "histogram",
            Kind::Histogram { sum: false } => "histogram without `_sum`",
        };
        let unit = metric.unit().map(|unit| format!(", {unit}")).unwrap_or_default();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
        let _ = writeln!(text, "| `{}` | {kind}{unit} | {labels} | {} |", metric.name, metric.help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::ExporterMetrics;

    #[test]
    fn docs_metrics_is_current() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            written,
            reference(),
            "docs/metrics.md is stale; run UPDATE_DOCS=1 cargo test docs_metrics_is_current"
        );
    }

    #[test]
    fn everything_that_the_registry_serves_is_in_the_reference() {
        let text = reference();
        let own = ExporterMetrics::new().unwrap();
        for family in own.registry.gather().into_iter().chain(own.shared.gather()) {
            assert!(text.contains(&format!("| `{}` |", family.name())), "{} is missing", family.name());
            assert!(text.contains(family.help()), "the help of {} differs", family.name());
        }
    }
}
