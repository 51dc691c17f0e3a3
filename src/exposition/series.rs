//! A series of a durable family: its key, its cells, and the layouts of the histograms.
//!
//! A series' value is a short list of integers, its *cells*, so that the order of additions never matters: a counter
//! has one; a histogram has one a bucket (not cumulative, `+Inf` last) and then the sum. What a unit of a sum is
//! worth is the family's [`scale`](super::catalogue::Family::scale).

use std::sync::Arc;

use super::catalogue::Family;
use super::labels::LabelSet;
use crate::clock::Timestamp;
use crate::config::{ExtractedKind, MetricsConfig};

/// Which series: family and labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The family.
    pub family: Family,
    /// The labels.
    pub labels: LabelSet,
}

/// A series' whole state after a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesState {
    /// Which series.
    pub key: SeriesKey,
    /// The bounds of its buckets; [`BucketSchemaId::NONE`] for a counter.
    pub schema: BucketSchemaId,
    /// When counting began: `_created` in OpenMetrics.
    pub created: Timestamp,
    /// What it has counted.
    pub counts: Box<[u64]>,
    /// While the series is held after its birth: what is shown in place of `cells`.
    pub held_at: Option<Box<[u64]>>,
}

/// The session behind one sample, for OpenMetrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Which series.
    pub key: SeriesKey,
    /// Which cell of it: 0 for a counter, the bucket for a histogram.
    pub bucket: u16,
    /// The session.
    pub session_id: Arc<str>,
    /// The observed value: 1 for a counter.
    pub value: f64,
    /// When the session ended.
    pub at: Timestamp,
}

/// Which bucket layout, as an index into [`BucketSchemas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketSchemaId(pub u16);

impl BucketSchemaId {
    /// No buckets: a counter.
    pub const NONE: Self = Self(0);
    /// `metrics.duration_buckets`.
    pub const DURATION: Self = Self(1);
    /// `metrics.sentiment_score_buckets`.
    pub const SENTIMENT_SCORE: Self = Self(2);
    /// `metrics.confidence_buckets`.
    pub const CONFIDENCE: Self = Self(3);
    const FIRST_EXTRACTED: u16 = 4;
}

/// The bounds of one histogram's buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketSchema {
    /// A stable name, under which the ledger remembers the bounds: `duration`, `extracted:<field>`.
    pub name: Box<str>,
    /// Upper bounds, ascending, finite; `+Inf` is implied.
    pub bounds: Box<[f64]>,
}

impl BucketSchema {
    /// The bucket that `value` falls into: the first whose bound is not below it (`le` is inclusive).
    pub fn bucket(&self, value: f64) -> u16 {
        u16::try_from(self.bounds.partition_point(|bound| *bound < value)).unwrap_or(u16::MAX)
    }

    /// Cells of a series with this layout: the buckets, `+Inf`, and the sum.
    pub fn width(&self) -> usize {
        self.bounds.len() + 2
    }
}

/// All bucket layouts that a configuration makes.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketSchemas(Box<[BucketSchema]>);

impl BucketSchemas {
    /// The layouts of a configuration.
    pub fn new(config: &MetricsConfig) -> Self {
        let schema = |name: &str, bounds: &[f64]| BucketSchema { name: name.into(), bounds: bounds.into() };
        let mut all = vec![
            schema("", &[]),
            schema("duration", &config.duration_buckets),
            schema("sentiment_score", &config.sentiment_score_buckets),
            schema("confidence", &config.confidence_buckets),
        ];
        all.extend(config.extracted.iter().map(|f| schema(&format!("extracted:{}", f.field), &f.buckets)));
        Self(all.into_boxed_slice())
    }

    /// One layout; `None` for an id that this configuration did not make.
    pub fn get(&self, id: BucketSchemaId) -> Option<&BucketSchema> {
        self.0.get(usize::from(id.0))
    }

    /// The layout called `name`.
    pub fn by_name(&self, name: &str) -> Option<BucketSchemaId> {
        self.0.iter().position(|l| &*l.name == name).and_then(|i| u16::try_from(i).ok()).map(BucketSchemaId)
    }

    /// The layout of the extracted field at `index` of the configuration.
    pub fn extracted(index: usize) -> BucketSchemaId {
        BucketSchemaId(BucketSchemaId::FIRST_EXTRACTED.saturating_add(u16::try_from(index).unwrap_or(u16::MAX)))
    }

    /// All of them, with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (BucketSchemaId, &BucketSchema)> {
        self.0.iter().enumerate().map(|(i, l)| (BucketSchemaId(u16::try_from(i).unwrap_or(u16::MAX)), l))
    }

    /// Cells of a series with layout `id`.
    pub fn width(&self, id: BucketSchemaId) -> usize {
        if id == BucketSchemaId::NONE { 1 } else { self.get(id).map_or(1, BucketSchema::width) }
    }
}

/// Whether a field of this kind has buckets.
pub fn is_measured(kind: ExtractedKind) -> bool {
    kind == ExtractedKind::Number
}
