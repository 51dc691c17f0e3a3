//! The bucket schemas that a configuration makes, and their ids.

use exposition::{BucketSchema, BucketSchemaId, BucketSchemas};

use crate::config::MetricsConfig;

/// `metrics.duration_buckets`.
pub const DURATION: BucketSchemaId = BucketSchemaId(1);
/// `metrics.sentiment_score_buckets`.
pub const SENTIMENT_SCORE: BucketSchemaId = BucketSchemaId(2);
/// `metrics.confidence_buckets`.
pub const CONFIDENCE: BucketSchemaId = BucketSchemaId(3);
/// `metrics.turn_buckets`.
pub const TURNS: BucketSchemaId = BucketSchemaId(4);
/// `metrics.response_buckets`.
pub const RESPONSE: BucketSchemaId = BucketSchemaId(5);
const FIRST_EXTRACTED: u16 = 6;

/// The schemas of a configuration. The ledger remembers the bounds of each under its name.
pub fn schemas(config: &MetricsConfig) -> BucketSchemas {
    let fixed = [
        BucketSchema::new("duration", &config.duration_buckets),
        BucketSchema::new("sentiment_score", &config.sentiment_score_buckets),
        BucketSchema::new("confidence", &config.confidence_buckets),
        BucketSchema::new("turns", &config.turn_buckets),
        BucketSchema::new("response", &config.response_buckets),
    ];
    let extracted = config.extracted.iter().map(|f| BucketSchema::new(&format!("extracted:{}", f.field), &f.buckets));
    BucketSchemas::new(fixed.into_iter().chain(extracted))
}

/// The schema of the extracted field at `index` of the configuration.
pub fn extracted(index: usize) -> BucketSchemaId {
    BucketSchemaId(FIRST_EXTRACTED.saturating_add(u16::try_from(index).unwrap_or(u16::MAX)))
}
