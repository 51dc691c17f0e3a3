//! The metrics of a `prometheus` registry on a page of any format.

use prometheus::proto::{Metric, MetricFamily, MetricType};

use crate::descriptor::Kind;
use crate::labels::{self, ConstantLabels};
use crate::memory::Shared;
use crate::negotiation::Format;
use crate::protobuf::{self, About};
use crate::{number, writer};

/// Appends these families, and what ends the page.
pub fn write(out: &mut Vec<u8>, families: &[MetricFamily], shared: &Shared, format: Format) {
    let began = process_began(families);
    let mut scratch = Scratch::default();
    for family in families {
        if family.get_metric().is_empty() || shared.disabled.contains(family.name()) {
            continue;
        }
        match format {
            Format::Text | Format::OpenMetrics => write_family(out, family, &shared.constant, format, &mut scratch),
            Format::Protobuf => write_message(out, family, &shared.constant, began, &mut scratch),
        }
    }
    if format == Format::OpenMetrics {
        out.extend_from_slice(b"# EOF\n");
    }
}

fn kind_of(family: &MetricFamily) -> Kind {
    match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::HISTOGRAM => Kind::Histogram { sum: true },
        // The crate has no metrics of the other two types; a value without a type reads best as a gauge.
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => Kind::Gauge,
    }
}

/// What a registry counts, it counts since the process began: that is when a protobuf page says that its counters began. Systems
/// without such a metric do not say it.
fn process_began(families: &[MetricFamily]) -> Option<i64> {
    let began = families.iter().find(|family| family.name() == "process_start_time_seconds")?;
    let seconds = began.get_metric().first()?.get_gauge().get_value();
    #[expect(clippy::cast_possible_truncation, reason = "a number that is no time saturates")]
    Some((seconds * 1_000.0) as i64)
}

fn write_message(
    out: &mut Vec<u8>,
    family: &MetricFamily,
    constant: &ConstantLabels,
    began: Option<i64>,
    scratch: &mut Scratch,
) {
    let kind = kind_of(family);
    let mut metrics = Vec::with_capacity(1024);
    let (mut own, mut created) = (Vec::new(), Vec::new());
    if let Some(began) = began {
        protobuf::created(&mut created, kind, began);
    }
    for metric in family.get_metric() {
        own.clear();
        protobuf::label_pairs(&mut own, scratch.labels_of(metric));
        let metrics = &mut metrics;
        let about = About { labels: [&own, &constant.pairs], created: &created };
        match kind {
            Kind::Counter => {
                let value = metric.get_counter().get_value();
                protobuf::metric(metrics, about, &protobuf::Counter { value, exemplar: None });
            }
            Kind::Gauge => protobuf::metric(metrics, about, &protobuf::Gauge(metric.get_gauge().get_value())),
            Kind::Histogram { .. } => {
                let histogram = metric.get_histogram();
                let buckets = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
                let histogram = protobuf::Histogram {
                    count: histogram.get_sample_count(),
                    sum: histogram.get_sample_sum(),
                    buckets: buckets.map(|bucket| protobuf::Bucket {
                        count: bucket.cumulative_count(),
                        bound: bucket.upper_bound(),
                        exemplar: None,
                    }),
                };
                protobuf::metric(metrics, about, &histogram);
            }
        }
    }
    protobuf::family(out, family.name(), kind, family.help(), metrics.len());
    out.append(&mut metrics);
}

fn write_family(
    out: &mut Vec<u8>,
    family: &MetricFamily,
    constant: &ConstantLabels,
    format: Format,
    scratch: &mut Scratch,
) {
    let kind = kind_of(family);
    let name = family.name();
    writer::header(out, name, kind, family.help(), format);
    for metric in family.get_metric() {
        let value = match kind {
            Kind::Counter => metric.get_counter().get_value(),
            Kind::Gauge => metric.get_gauge().get_value(),
            Kind::Histogram { .. } => {
                write_histogram(out, name, metric, constant, scratch);
                continue;
            }
        };
        writer::sample(out, name, "", scratch.labels_of(metric).as_bytes(), constant);
        number::float(out, value);
        out.push(b'\n');
    }
}

fn write_histogram(out: &mut Vec<u8>, name: &str, metric: &Metric, constant: &ConstantLabels, scratch: &mut Scratch) {
    scratch.labels_of(metric);
    let Scratch { labels, bounds } = scratch;
    let labels = labels.as_bytes();
    let histogram = metric.get_histogram();
    let finite = histogram.get_bucket().iter().filter(|b| b.upper_bound().is_finite());
    let buckets =
        finite.map(|b| (b.upper_bound(), b.cumulative_count())).chain([(f64::INFINITY, histogram.get_sample_count())]);
    for (place, (bound, count)) in buckets.enumerate() {
        writer::bucket(out, name, labels, bounds.text(place, bound), constant);
        number::integer(out, count);
        out.push(b'\n');
    }
    writer::sample(out, name, "_sum", labels, constant);
    number::float(out, histogram.get_sample_sum());
    out.push(b'\n');
    writer::sample(out, name, "_count", labels, constant);
    number::integer(out, histogram.get_sample_count());
    out.push(b'\n');
}

/// What is spelled for one metric and again for the next: a registry is written at every scrape.
#[derive(Default)]
struct Scratch {
    labels: String,
    bounds: Bounds,
}

impl Scratch {
    /// The labels of a metric as they stand between the braces.
    fn labels_of(&mut self, metric: &Metric) -> &str {
        self.labels.clear();
        labels::spell(&mut self.labels, metric.get_label().iter().map(|label| (label.name(), label.value())));
        &self.labels
    }
}

/// The bounds of the buckets of the histogram before, which are those of the next one, mostly.
#[derive(Default)]
struct Bounds(Vec<(f64, Vec<u8>)>);

impl Bounds {
    /// The text of the bound at this place.
    fn text(&mut self, place: usize, bound: f64) -> &[u8] {
        if self.0.len() <= place {
            self.0.resize(place + 1, (f64::NAN, Vec::new()));
        }
        let Some((before, text)) = self.0.get_mut(place) else { return &[] };
        if before.to_bits() != bound.to_bits() {
            *before = bound;
            text.clear();
            number::canonical(text, bound);
        }
        text
    }
}
