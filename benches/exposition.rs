//! What a scrape costs: our pages beside the stock encoders and a memory copy of the same bytes.
//!
//! `cargo bench --bench exposition`. The session series are `agntix_session_outcomes_total` with six labels, about
//! 150 bytes a line.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot be set up should stop")]

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use agntix_exporter::catalogue::{ExporterMetrics, Exposition, Family, SeriesKey, SeriesState, buckets};
use agntix_exporter::config::MetricsConfig;
use divan::Bencher;
use exposition::negotiation::{Encoding, Format};
use exposition::{BucketSchemaId, LabelSet};
use flate2::Compression;
use flate2::write::GzEncoder;
use prometheus::Encoder as _;

const SERIES: [u64; 3] = [1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

fn values(n: u64) -> [String; 6] {
    let of = |choices: [&str; 3], by: u64| choices[usize::try_from(n / by % 3).unwrap()].to_owned();
    [
        format!("agent_{:08x}", n / 81),
        of(["voice", "chat", "email"], 1),
        of(["phone", "web", "whatsapp"], 3),
        "inbound".to_owned(),
        of(["resolved", "unresolved", "partially_resolved"], 9),
        of(["positive", "neutral", "negative"], 27),
    ]
}

fn state(n: u64, value: u64) -> SeriesState {
    let values = values(n);
    SeriesState {
        key: SeriesKey {
            family: Family::Outcomes,
            labels: LabelSet::new(Family::Outcomes.descriptor().labels, values.iter().map(String::as_str)),
        },
        schema: BucketSchemaId::NONE,
        created_ms: 1_775_624_410_546,
        counts: Box::new([value]),
        held_at: None,
    }
}

fn exposition(series: u64) -> Exposition {
    let schemas = Arc::new(buckets::schemas(&MetricsConfig::default()));
    let exposition = Exposition::new(schemas, ExporterMetrics::new().unwrap().registry);
    let states: Vec<_> = (0..series).map(|n| state(n, n * 37)).collect();
    exposition.apply(&states, Vec::new());
    exposition.publish(Instant::now());
    exposition
}

fn changed(bencher: Bencher<'_, '_>, series: u64, format: Format, encoding: Encoding) {
    let exposition = exposition(series);
    let mut value = 0;
    bencher
        .with_inputs(|| {
            value += 1;
            exposition.apply(&[state(0, value)], Vec::new());
        })
        .bench_local_values(|()| exposition.page(format, encoding, Instant::now()).unwrap());
}

fn unchanged(bencher: Bencher<'_, '_>, series: u64, encoding: Encoding) {
    let exposition = exposition(series);
    bencher.bench_local(|| exposition.page(Format::Text, encoding, Instant::now()).unwrap());
}

#[divan::bench(args = SERIES)]
fn plain_changed(bencher: Bencher<'_, '_>, series: u64) {
    changed(bencher, series, Format::Text, Encoding::Identity);
}

#[divan::bench(args = SERIES)]
fn plain_unchanged(bencher: Bencher<'_, '_>, series: u64) {
    unchanged(bencher, series, Encoding::Identity);
}

#[divan::bench(args = SERIES)]
fn gzip_changed(bencher: Bencher<'_, '_>, series: u64) {
    changed(bencher, series, Format::Text, Encoding::Gzip);
}

#[divan::bench(args = SERIES)]
fn gzip_unchanged(bencher: Bencher<'_, '_>, series: u64) {
    unchanged(bencher, series, Encoding::Gzip);
}

#[divan::bench(args = SERIES)]
fn zstd_changed(bencher: Bencher<'_, '_>, series: u64) {
    changed(bencher, series, Format::Text, Encoding::Zstd);
}

#[divan::bench(args = SERIES)]
fn openmetrics_plain_changed(bencher: Bencher<'_, '_>, series: u64) {
    changed(bencher, series, Format::OpenMetrics, Encoding::Identity);
}

#[divan::bench(args = SERIES)]
fn openmetrics_gzip_changed(bencher: Bencher<'_, '_>, series: u64) {
    changed(bencher, series, Format::OpenMetrics, Encoding::Gzip);
}

/// The floor: the bytes are there and are only copied.
#[divan::bench(args = SERIES)]
fn static_copy(bencher: Bencher<'_, '_>, series: u64) {
    let page = exposition(series).page(Format::Text, Encoding::Identity, Instant::now()).unwrap().to_vec();
    bencher.bench(|| black_box(page.clone()));
}

/// The floor of a changed gzip page: the bytes are there and are only compressed.
#[divan::bench(args = SERIES)]
fn static_gzip(bencher: Bencher<'_, '_>, series: u64) {
    let page = exposition(series).page(Format::Text, Encoding::Identity, Instant::now()).unwrap().to_vec();
    bencher.bench(|| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(1));
        encoder.write_all(&page).unwrap();
        encoder.finish().unwrap()
    });
}

#[divan::bench(args = SERIES, sample_count = 10)]
fn stock_prometheus(bencher: Bencher<'_, '_>, series: u64) {
    let registry = prometheus::Registry::new();
    let d = Family::Outcomes.descriptor();
    let counters = prometheus::IntCounterVec::new(prometheus::Opts::new(d.name, d.help), d.labels).unwrap();
    registry.register(Box::new(counters.clone())).unwrap();
    for n in 0..series {
        counters.with_label_values(&values(n)).inc_by(n * 37);
    }
    bencher.bench_local(|| {
        let mut page = Vec::new();
        prometheus::TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
        page
    });
}

#[divan::bench(args = SERIES, sample_count = 10)]
fn stock_prometheus_client(bencher: Bencher<'_, '_>, series: u64) {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family as ClientFamily;
    let mut registry = prometheus_client::registry::Registry::default();
    let d = Family::Outcomes.descriptor();
    let counters = ClientFamily::<Vec<(&'static str, String)>, Counter>::default();
    registry.register("agntix_session_outcomes", d.help, counters.clone());
    for n in 0..series {
        let labels = d.labels.iter().copied().zip(values(n)).collect();
        counters.get_or_create(&labels).inc_by(n * 37);
    }
    bencher.bench_local(|| {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        page
    });
}
