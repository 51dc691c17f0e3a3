//! Every metric there is: name, type, labels, unit and help, one entry each. `docs/metrics.md` is generated from here, and
//! the pages are written from here; a metric that is not in the catalogue cannot be served.
//!
//! How series are kept and pages written is the crate `exposition`; what a metric counts is decided in
//! [`observation`](crate::observation). Nothing in here counts anything.

pub mod buckets;
mod family;
mod freshness;
mod own;
#[cfg(target_os = "linux")]
mod process;
mod reference;
#[cfg(test)]
mod tests;

use exposition::LabelSet;

use crate::config::MetricsConfig;
pub use family::{CHANNEL, Family, GaugeFamily};
pub use freshness::Freshness;
pub use own::{BUILD, ExporterMetrics, PROCESS, SHARED};
pub use reference::reference;

/// Has the page as the configuration says: which labels every line carries, which metrics are left off, and whether it says when each
/// series began.
pub fn configure(exposition: &Exposition, config: &MetricsConfig) {
    exposition.set_constant_labels(static_labels(config));
    exposition.set_disabled(config.disabled.iter().cloned().collect());
    exposition.set_created_lines(config.created_lines);
}

/// The labels of `metrics.static_labels`, which every sample of every page carries. The ledger's keys do not have them.
pub fn static_labels(config: &MetricsConfig) -> LabelSet {
    let names: Vec<&str> = config.static_labels.keys().map(String::as_str).collect();
    LabelSet::new(&names, config.static_labels.values().map(String::as_str))
}

/// The pages of `/metrics`.
pub type Exposition = exposition::Exposition<Family, GaugeFamily>;
/// Which durable series: family and labels.
pub type SeriesKey = exposition::SeriesKey<Family>;
/// The whole state of a durable series after a commit.
pub type SeriesState = exposition::SeriesState<Family>;
/// The session behind one sample.
pub type Exemplar = exposition::Exemplar<Family>;
