//! What a scrape costs: our pages beside the stock encoders and a memory copy of the same bytes.
//!
//! `cargo bench --bench exposition`. The series are counters with six labels, about 150 bytes a line; beside them
//! stands a registry with as many metrics as an exporter has of its own.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot be set up should stop")]

mod support;

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use divan::Bencher;
use exposition::negotiation::{Encoding, Format};
use exposition::{BucketSchema, BucketSchemaId, BucketSchemas, Family as _, LabelSet, SeriesKey, SeriesState};
use flate2::Compression;
use flate2::write::GzEncoder;
use prometheus::{Encoder as _, HistogramOpts, HistogramVec, IntGauge, Registry};

use support::{Exposition, Orders};

const SERIES: [u64; 3] = [1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

fn values(n: u64) -> [String; 6] {
    let of = |choices: [&str; 3], by: u64| choices[usize::try_from(n / by % 3).unwrap()].to_owned();
    [
        format!("depot_{:08x}", n / 81),
        of(["voice", "chat", "email"], 1),
        of(["phone", "web", "whatsapp"], 3),
        "inbound".to_owned(),
        of(["resolved", "unresolved", "partially_resolved"], 9),
        of(["positive", "neutral", "negative"], 27),
    ]
}

fn state(n: u64, value: u64) -> SeriesState<Orders> {
    let values = values(n);
    SeriesState {
        key: SeriesKey {
            family: Orders::Picked,
            labels: LabelSet::new(Orders::Picked.descriptor().labels, values.iter().map(String::as_str)),
        },
        schema: BucketSchemaId::NONE,
        created_ms: 1_775_624_410_546,
        counts: Box::new([value]),
        held_counts: None,
    }
}

fn exposition(series: u64) -> Exposition {
    let exposition = Exposition::new(Arc::new(BucketSchemas::new([])), registry());
    let states: Vec<_> = (0..series).map(|n| state(n, n * 37)).collect();
    exposition.apply(&states, Vec::new());
    exposition.publish();
    exposition
}

const BOUNDS: [f64; 13] = [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0];

fn histogram(n: u64, value: u64) -> SeriesState<Orders> {
    let mut counts: Vec<u64> = (0..14).map(|bucket| value * bucket / 3).collect();
    counts.push(value * 61_250);
    let key = SeriesKey {
        family: Orders::Packing,
        labels: LabelSet::new(Orders::Packing.descriptor().labels, values(n).iter().map(String::as_str)),
    };
    SeriesState { key, schema: BucketSchemaId(1), counts: counts.into(), ..state(n, value) }
}

fn histograms(count: u64) -> Exposition {
    let exposition = Exposition::new(Arc::new(BucketSchemas::new([BucketSchema::new("packing", &BOUNDS)])), registry());
    let states: Vec<_> = (0..count).map(|n| histogram(n, n * 37)).collect();
    exposition.apply(&states, Vec::new());
    exposition.publish();
    exposition
}

/// Twenty gauges and two histograms of five series.
fn registry() -> Registry {
    let registry = Registry::new();
    for n in 0..20 {
        let gauge =
            IntGauge::new(format!("warehouse_exporter_gauge_{n}"), "A number about the exporter itself.").unwrap();
        registry.register(Box::new(gauge)).unwrap();
    }
    for name in ["warehouse_exporter_delay_seconds", "warehouse_exporter_request_duration_seconds"] {
        let opts = HistogramOpts::new(name, "How long something took.");
        let histogram = HistogramVec::new(opts, &["source"]).unwrap();
        for source in ["one", "two", "three", "four", "five"] {
            histogram.with_label_values(&[source]);
        }
        registry.register(Box::new(histogram)).unwrap();
    }
    registry
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

/// A series in each stretch of lines that is rendered by itself has changed, so that all of them are rendered again.
fn changed_everywhere(bencher: Bencher<'_, '_>, series: u64, encoding: Encoding) {
    let exposition = exposition(series);
    let mut value = series * 37;
    bencher
        .with_inputs(|| {
            value += 1;
            let states: Vec<_> = (0..series).step_by(100).map(|n| state(n, value)).collect();
            exposition.apply(&states, Vec::new());
        })
        .bench_local_values(|()| exposition.page(Format::Text, encoding, Instant::now()).unwrap());
}

#[divan::bench(args = SERIES)]
fn plain_changed_everywhere(bencher: Bencher<'_, '_>, series: u64) {
    changed_everywhere(bencher, series, Encoding::Identity);
}

#[divan::bench(args = SERIES)]
fn gzip_changed_everywhere(bencher: Bencher<'_, '_>, series: u64) {
    changed_everywhere(bencher, series, Encoding::Gzip);
}

#[divan::bench(args = SERIES)]
fn zstd_changed_everywhere(bencher: Bencher<'_, '_>, series: u64) {
    changed_everywhere(bencher, series, Encoding::Zstd);
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

#[divan::bench(args = SERIES)]
fn protobuf_plain_changed(bencher: Bencher<'_, '_>, series: u64) {
    changed(bencher, series, Format::Protobuf, Encoding::Identity);
}

#[divan::bench(args = SERIES)]
fn protobuf_gzip_changed(bencher: Bencher<'_, '_>, series: u64) {
    changed(bencher, series, Format::Protobuf, Encoding::Gzip);
}

/// A page that is written from nothing. The switch is of OpenMetrics, but all is written again.
#[divan::bench(args = [Format::Text, Format::Protobuf])]
fn all_changed(bencher: Bencher<'_, '_>, format: Format) {
    let exposition = exposition(100_000);
    let mut are_shown = false;
    bencher
        .with_inputs(|| {
            are_shown = !are_shown;
            exposition.set_created_lines(are_shown);
        })
        .bench_local_values(|()| exposition.page(format, Encoding::Identity, Instant::now()).unwrap());
}

/// 100,000 series that are histograms, of sixteen series each.
#[divan::bench(args = [Format::Text, Format::Protobuf])]
fn histograms_all_changed(bencher: Bencher<'_, '_>, format: Format) {
    let exposition = histograms(100_000 / 16);
    let mut are_shown = false;
    bencher
        .with_inputs(|| {
            are_shown = !are_shown;
            exposition.set_created_lines(are_shown);
        })
        .bench_local_values(|()| exposition.page(format, Encoding::Identity, Instant::now()).unwrap());
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
    let registry = Registry::new();
    let d = Orders::Picked.descriptor();
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
    let d = Orders::Picked.descriptor();
    let counters = ClientFamily::<Vec<(&'static str, String)>, Counter>::default();
    registry.register("warehouse_orders_picked", d.help, counters.clone());
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
