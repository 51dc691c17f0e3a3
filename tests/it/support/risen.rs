//! By how much counters have risen, as a real Prometheus says, beside the simulator's truth.

use std::collections::BTreeMap;

use super::prometheus::{Labels, Prometheus};

/// A sample of the truth, by name and labels.
pub fn parts(sample: &str) -> (String, Labels) {
    let (name, rest) = sample.split_once('{').unwrap();
    let labels = rest.trim_end_matches('}').split("\",").filter_map(|label| label.split_once("=\""));
    (name.into(), labels.map(|(name, value)| (name.into(), value.trim_end_matches('"').into())).collect())
}

/// From the first sample until the last. The range begins a millisecond before the first one and ends with the last, so that nothing
/// is extrapolated.
pub struct Span {
    first: f64,
    /// The time of the last sample, in seconds.
    pub last: f64,
}

impl Span {
    /// That of the series of `selector` within the last `range`.
    pub async fn of(prometheus: &Prometheus, selector: &str, range: &str) -> Self {
        let raw = prometheus.raw(&format!("{selector}[{range}]")).await;
        let times = || raw.iter().flat_map(|series| &series.points).map(|point| point.0);
        let (first, last) = (times().fold(f64::MAX, f64::min), times().fold(0.0, f64::max));
        assert!(first < last, "{selector}: {raw:?}");
        Self { first, last }
    }

    /// As a range of a query.
    pub fn range(&self) -> String {
        format!("{:.0}ms", (self.last - self.first) * 1_000.0 + 1.0)
    }

    /// By how much each series of `selector` has risen.
    pub async fn increase(&self, prometheus: &Prometheus, selector: &str) -> Vec<(Labels, f64)> {
        let query = format!("increase({selector}[{}])", self.range());
        let samples = prometheus.query_at(&query, self.last).await;
        samples.into_iter().map(|sample| (sample.labels, sample.value)).collect()
    }
}

/// The same by the labels that the exporter gave.
pub fn without_target(risen: Vec<(Labels, f64)>) -> BTreeMap<Labels, f64> {
    let of_exporter = risen.into_iter().map(|(mut labels, value)| {
        labels.retain(|name, _| !matches!(name.as_str(), "job" | "instance"));
        (labels, value)
    });
    of_exporter.collect()
}

/// Within a thousandth.
pub fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-3 * b.abs().max(1.0)
}

/// The sum of a metric over the samples with these labels.
pub fn sum(truth: &BTreeMap<String, f64>, name: &str, has: impl Fn(&Labels) -> bool) -> f64 {
    let of = truth.iter().map(|(sample, value)| (parts(sample), value));
    of.filter(|((found, labels), _)| found == name && has(labels)).map(|(_, value)| value).sum()
}
