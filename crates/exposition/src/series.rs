//! A series of counters or histograms as it is handed over: its key, its counts, and an exemplar.
//!
//! The value of a series is a short list of integers, its *counts*, so that the order of additions never matters: a
//! counter has one; a histogram has one for each bucket (not cumulative, `+Inf` last) and then the sum. What a unit of
//! a sum is worth is the family's [`scale`](crate::Family::scale).

use std::sync::Arc;

use crate::buckets::BucketSchemaId;
use crate::labels::LabelSet;

/// Which series: family and labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey<F> {
    /// The family.
    pub family: F,
    /// The labels.
    pub labels: LabelSet,
}

/// The whole state of a series, absolute: what is handed over twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesState<F> {
    /// Which series.
    pub key: SeriesKey<F>,
    /// The bounds of its buckets; [`BucketSchemaId::NONE`] for a counter.
    pub schema: BucketSchemaId,
    /// When counting began, in milliseconds since the Unix epoch: `_created` in OpenMetrics.
    pub created_ms: i64,
    /// What it has counted.
    pub counts: Box<[u64]>,
    /// What is shown in place of `counts` while the series is in its initial-zero window.
    pub held_counts: Option<Box<[u64]>>,
}

/// What is behind one sample, for OpenMetrics: a trace, a request, a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<F> {
    /// Which series.
    pub key: SeriesKey<F>,
    /// Which of its counts: 0 for a counter, the bucket for a histogram.
    pub bucket: u16,
    /// The value of the family's [`exemplar_label`](crate::Family::exemplar_label).
    pub id: Arc<str>,
    /// The observed value: 1 for a counter.
    pub value: f64,
    /// When it was observed, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}
