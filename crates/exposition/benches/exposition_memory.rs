//! Memory per series: the largest heap while 100,000 series are taken in and scraped once in gzip.
//!
//! `cargo bench --bench exposition_memory`, line `max alloc`, divided by the number of series. The input is made one
//! batch at a time, as an exporter hands it over; it is apart from `exposition` because counting allocations costs time.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

mod support;

use std::sync::Arc;
use std::time::Instant;

use exposition::negotiation::{Encoding, Format};
use exposition::{BucketSchemaId, BucketSchemas, Family as _, LabelSet, SeriesKey, SeriesState};
use support::{Exposition, Orders};

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

const BATCH: u64 = 1_000;

fn main() {
    divan::main();
}

/// Counters with 85 bytes of labels, as a page of about 113 bytes a line has.
fn batch(from: u64) -> Vec<SeriesState<Orders>> {
    (from..from + BATCH)
        .map(|n| SeriesState {
            key: SeriesKey {
                family: Orders::Returned,
                labels: LabelSet::new(
                    Orders::Returned.descriptor().labels,
                    [format!("depot_{n:06}").as_str(), "refund", "unresolved", "negative"],
                ),
            },
            schema: BucketSchemaId::NONE,
            created_ms: 1_775_624_410_546,
            counts: Box::new([n]),
            held_counts: None,
        })
        .collect()
}

#[divan::bench(args = [10_000, 100_000], sample_count = 1, sample_size = 1)]
fn heap_after_a_gzip_scrape(series: u64) -> Exposition {
    let exposition = Exposition::new(Arc::new(BucketSchemas::new([])), prometheus::Registry::new());
    for from in (0..series).step_by(usize::try_from(BATCH).unwrap()) {
        exposition.apply(&batch(from), Vec::new());
    }
    exposition.publish();
    exposition.page(Format::OpenMetrics, Encoding::Gzip, Instant::now()).unwrap();
    exposition
}
