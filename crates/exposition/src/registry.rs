//! The metrics of a `prometheus` registry on a page of either format.

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use crate::descriptor::Kind;
use crate::labels::{ConstantLabels, LabelSet};
use crate::memory::Shared;
use crate::negotiation::Format;
use crate::{number, writer};

/// Appends these families, and what ends the page.
pub fn write(out: &mut Vec<u8>, families: &[MetricFamily], shared: &Shared, format: Format) {
    for family in families.iter().filter(|family| !shared.disabled.contains(family.name())) {
        write_family(out, family, &shared.constant, format);
    }
    if format == Format::OpenMetrics {
        out.extend_from_slice(b"# EOF\n");
    }
}

fn write_family(out: &mut Vec<u8>, family: &MetricFamily, constant: &ConstantLabels, format: Format) {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::HISTOGRAM => Kind::Histogram { sum: true },
        // The crate has no metrics of the other two types; a value without a type reads best as a gauge.
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => Kind::Gauge,
    };
    if family.get_metric().is_empty() {
        return;
    }
    let name = family.name();
    writer::header(out, name, kind, family.help(), format);
    for metric in family.get_metric() {
        let labels = labels(metric);
        let labels = labels.as_str().as_bytes();
        let value = match kind {
            Kind::Counter => metric.get_counter().get_value(),
            Kind::Gauge => metric.get_gauge().get_value(),
            Kind::Histogram { .. } => {
                write_histogram(out, name, labels, metric, constant);
                continue;
            }
        };
        writer::sample(out, name, "", labels, constant);
        number::float(out, value);
        out.push(b'\n');
    }
}

fn write_histogram(out: &mut Vec<u8>, name: &str, labels: &[u8], metric: &Metric, constant: &ConstantLabels) {
    let histogram = metric.get_histogram();
    let finite = histogram.get_bucket().iter().filter(|b| b.upper_bound().is_finite());
    let buckets =
        finite.map(|b| (b.upper_bound(), b.cumulative_count())).chain([(f64::INFINITY, histogram.get_sample_count())]);
    for (bound, count) in buckets {
        let mut text = Vec::with_capacity(8);
        number::canonical(&mut text, bound);
        writer::bucket(out, name, labels, &text, constant);
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

fn labels(metric: &Metric) -> LabelSet {
    let names: Vec<&str> = metric.get_label().iter().map(LabelPair::name).collect();
    LabelSet::new(&names, metric.get_label().iter().map(LabelPair::value))
}
