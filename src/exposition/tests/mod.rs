//! The pages as a whole: exact text, promises of a scrape, compression.

mod compression;
mod parse;
mod shown;
mod text;

use std::sync::Arc;
use std::time::Instant;

use super::catalogue::Family;
use super::labels::LabelSet;
use super::negotiation::{Encoding, Format};
use super::own::ExporterMetrics;
use super::series::{BucketSchemaId, BucketSchemas, SeriesKey, SeriesState};
use super::{Exposition, Page};
use crate::clock::Timestamp;
use crate::config::MetricsConfig;

fn exposition() -> Exposition {
    let config = MetricsConfig {
        duration_buckets: vec![5.0, 60.0],
        sentiment_score_buckets: vec![-0.8, 0.0, 1.0],
        ..MetricsConfig::default()
    };
    Exposition::new(Arc::new(BucketSchemas::new(&config)), ExporterMetrics::new().unwrap())
}

fn key(family: Family, values: &[&str]) -> SeriesKey {
    SeriesKey { family, labels: LabelSet::new(family.descriptor().labels, values.iter().copied()) }
}

fn state(key: SeriesKey, schema: BucketSchemaId, counts: &[u64], held_at: Option<&[u64]>) -> SeriesState {
    let created = Timestamp::from_millis(1_775_624_410_546);
    SeriesState { key, schema, created, counts: counts.into(), held_at: held_at.map(Into::into) }
}

fn counter(family: Family, values: &[&str], value: u64) -> SeriesState {
    state(key(family, values), BucketSchemaId::NONE, &[value], None)
}

fn page(exposition: &Exposition, format: Format, encoding: Encoding) -> Page {
    exposition.page(format, encoding, Instant::now()).unwrap()
}

/// The session part of the plain page.
fn sessions(exposition: &Exposition, format: Format) -> String {
    String::from_utf8(page(exposition, format, Encoding::Identity).sessions.to_vec()).unwrap()
}
