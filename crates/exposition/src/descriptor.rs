//! What a metric is to a reader of the page (name, type, labels, help), and how an exporter lists its families.

use std::fmt::Debug;
use std::hash::Hash;

/// A metric as a reader of the page sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Full name, with `_total` for a counter.
    pub name: &'static str,
    /// What kind of metric.
    pub kind: Kind,
    /// Label names, in the order in which they are written.
    pub labels: &'static [&'static str],
    /// One sentence: what it counts, its unit, its rule.
    pub help: &'static str,
}

impl Descriptor {
    /// A counter; its name ends in `_total`.
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, labels, help }
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, labels, help }
    }

    /// A histogram with `_sum`: no observation may be negative.
    pub const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram { sum: true }, labels, help }
    }

    /// A histogram without `_sum`, for observations that may be negative: their sum could decrease, and `rate()` would
    /// take that for a restart.
    pub const fn histogram_without_sum(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Histogram { sum: false }, labels, help }
    }

    /// The unit that the name ends in, as `# UNIT` states it.
    pub fn unit(&self) -> Option<&'static str> {
        unit(self.name)
    }
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only increases.
    Counter,
    /// Buckets; `sum` says whether observations can be summed without ever decreasing.
    Histogram {
        /// Whether `_sum` is exposed.
        sum: bool,
    },
    /// Increases and decreases.
    Gauge,
}

/// The metric families of an exporter: an enum of its own, one variant a family.
///
/// An exporter has one for what it counts (counters and histograms, see [`SeriesState`](crate::SeriesState)) and one for
/// its gauges.
pub trait Family: Copy + Debug + Ord + Hash + Send + Sync + 'static {
    /// All of them, in the order of the page.
    const ALL: &'static [Self];

    /// Its place in [`ALL`](Self::ALL).
    fn place(self) -> usize;

    /// Name, type, labels and help.
    fn descriptor(self) -> Descriptor;

    /// How many units of a count make 1 on the page (of the sum, for a histogram): 1,000 where milliseconds make seconds.
    /// A power of ten.
    fn scale(self) -> u64 {
        1
    }

    /// The label that names what is behind a sample, such as `trace_id`; `None` for a family without exemplars.
    fn exemplar_label(self) -> Option<&'static str> {
        None
    }
}

/// The name without `_total`.
pub fn base_name(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

/// The unit that a name ends in.
pub fn unit(name: &str) -> Option<&'static str> {
    ["seconds", "bytes"].into_iter().find(|unit| base_name(name).ends_with(&format!("_{unit}")))
}
