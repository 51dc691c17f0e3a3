//! The messages of a protobuf page: `MetricFamily` of `io/prometheus/client/metrics.proto` as `prometheus/client_model` publishes
//! it, each behind its length. Only what our pages have of it is here, and nothing reads: a general library builds every
//! message in memory before it is written, which costs more than the page.
//!
//! A message is written behind its length, so that every part says first how long it will be.

use crate::descriptor::{Kind, unit};
use crate::labels;

/// Prometheus has a NaN of its own for "this series has ended": of all others this is the one that its parsers give.
const NAN: u64 = 0x7ff8_0000_0000_0001;

/// Fields by number and wire type, as they stand before their values.
mod tag {
    // MetricFamily
    pub const NAME: u8 = 1 << 3 | 2;
    pub const HELP: u8 = 2 << 3 | 2;
    pub const TYPE: u8 = 3 << 3;
    pub const METRIC: u8 = 4 << 3 | 2;
    pub const UNIT: u8 = 5 << 3 | 2;
    // Metric
    pub const LABEL: u8 = 1 << 3 | 2;
    pub const GAUGE: u8 = 2 << 3 | 2;
    pub const COUNTER: u8 = 3 << 3 | 2;
    pub const HISTOGRAM: u8 = 7 << 3 | 2;
    // LabelPair
    pub const LABEL_NAME: u8 = 1 << 3 | 2;
    pub const LABEL_VALUE: u8 = 2 << 3 | 2;
    // Gauge and Counter
    pub const VALUE: u8 = 1 << 3 | 1;
    pub const COUNTER_EXEMPLAR: u8 = 2 << 3 | 2;
    pub const COUNTER_CREATED: u8 = 3 << 3 | 2;
    // Histogram
    pub const SAMPLE_COUNT: u8 = 1 << 3;
    pub const SAMPLE_SUM: u8 = 2 << 3 | 1;
    pub const BUCKET: u8 = 3 << 3 | 2;
    pub const HISTOGRAM_CREATED: u8 = 15 << 3 | 2;
    // Bucket
    pub const CUMULATIVE_COUNT: u8 = 1 << 3;
    pub const UPPER_BOUND: u8 = 2 << 3 | 1;
    pub const BUCKET_EXEMPLAR: u8 = 3 << 3 | 2;
    // Exemplar
    pub const EXEMPLAR_LABEL: u8 = 1 << 3 | 2;
    pub const EXEMPLAR_VALUE: u8 = 2 << 3 | 1;
    pub const EXEMPLAR_TIMESTAMP: u8 = 3 << 3 | 2;
    // google.protobuf.Timestamp
    pub const SECONDS: u8 = 1 << 3;
    pub const NANOS: u8 = 2 << 3;
}

/// How long a double is with its tag.
const DOUBLE: usize = 9;

/// What a metric has: the one field that its type wants.
pub trait Value {
    /// The field of `Metric` that it is.
    const TAG: u8;

    /// How long [`write`](Self::write) will be.
    fn len(&self) -> usize;

    /// Appends the message.
    fn write(&self, out: &mut Vec<u8>);
}

/// The value of a gauge.
#[derive(Clone, Copy, Debug)]
pub struct Gauge(pub f64);

impl Value for Gauge {
    const TAG: u8 = tag::GAUGE;

    fn len(&self) -> usize {
        DOUBLE
    }

    fn write(&self, out: &mut Vec<u8>) {
        double(out, tag::VALUE, self.0);
    }
}

/// The value of a counter.
#[derive(Clone, Copy, Debug)]
pub struct Counter<'a> {
    /// What it has counted.
    pub value: f64,
    /// As [`exemplar`] wrote it.
    pub exemplar: Option<&'a [u8]>,
}

impl Value for Counter<'_> {
    const TAG: u8 = tag::COUNTER;

    #[inline]
    fn len(&self) -> usize {
        DOUBLE + optional(self.exemplar.map(<[u8]>::len))
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        double(out, tag::VALUE, self.value);
        if let Some(exemplar) = self.exemplar {
            bytes(out, tag::COUNTER_EXEMPLAR, exemplar);
        }
    }
}

/// The value of a histogram with classic buckets.
#[derive(Clone, Debug)]
pub struct Histogram<B> {
    /// All observations.
    pub count: u64,
    /// Their sum. The message has no way to say that there is none: what is left out reads as 0.
    pub sum: f64,
    /// The buckets in the order of their bounds. That of `+Inf` is only there for its exemplar, as its count is `count`.
    pub buckets: B,
}

/// A bucket of a histogram.
#[derive(Clone, Copy, Debug)]
pub struct Bucket<'a> {
    /// Observations of at most `bound`.
    pub count: u64,
    /// The upper bound, inclusive.
    pub bound: f64,
    /// As [`exemplar`] wrote it.
    pub exemplar: Option<&'a [u8]>,
}

impl Bucket<'_> {
    #[inline]
    fn len(&self) -> usize {
        1 + varint_len(self.count) + DOUBLE + optional(self.exemplar.map(<[u8]>::len))
    }
}

impl<'a, B: Iterator<Item = Bucket<'a>> + Clone> Value for Histogram<B> {
    const TAG: u8 = tag::HISTOGRAM;

    #[inline]
    fn len(&self) -> usize {
        let buckets: usize = self.buckets.clone().map(|bucket| field_len(bucket.len())).sum();
        1 + varint_len(self.count) + DOUBLE + buckets
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        out.push(tag::SAMPLE_COUNT);
        varint(out, self.count);
        double(out, tag::SAMPLE_SUM, self.sum);
        for bucket in self.buckets.clone() {
            tag_and_length(out, tag::BUCKET, bucket.len());
            out.push(tag::CUMULATIVE_COUNT);
            varint(out, bucket.count);
            double(out, tag::UPPER_BOUND, bucket.bound);
            if let Some(exemplar) = bucket.exemplar {
                bytes(out, tag::BUCKET_EXEMPLAR, exemplar);
            }
        }
    }
}

/// What a metric has besides its value.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Its labels as [`label_pairs`] wrote them: its own, and those that others have as well.
    pub labels: [&'a [u8]; 2],
    /// When it began to count, as [`created`] wrote it; empty where that is not known, and for a gauge.
    pub created: &'a [u8],
}

/// Appends the field of a counter's or histogram's value that says when it began to count, in milliseconds since the Unix epoch.
/// It is the last of either.
pub fn created(out: &mut Vec<u8>, kind: Kind, at_ms: i64) {
    match kind {
        // A histogram without a sum is told in counters.
        Kind::Counter | Kind::Histogram { sum: false } => timestamp(out, tag::COUNTER_CREATED, at_ms),
        Kind::Histogram { sum: true } => timestamp(out, tag::HISTOGRAM_CREATED, at_ms),
        Kind::Gauge => {}
    }
}

fn timestamp(out: &mut Vec<u8>, tag: u8, at_ms: i64) {
    let nanos = at_ms.rem_euclid(1_000).unsigned_abs() * 1_000_000;
    // Zero is left out, as readers take what is not there for it.
    let numbers = [(tag::SECONDS, at_ms.div_euclid(1_000).cast_unsigned()), (tag::NANOS, nanos)];
    let there = numbers.into_iter().filter(|(_, number)| *number > 0);
    tag_and_length(out, tag, there.clone().map(|(_, number)| 1 + varint_len(number)).sum());
    for (tag, number) in there {
        out.push(tag);
        varint(out, number);
    }
}

/// Appends the length of a family, and all of it but its metrics, which are `metrics_len` bytes and follow.
pub fn family(out: &mut Vec<u8>, name: &str, kind: Kind, help: &str, metrics_len: usize) {
    let unit = unit(name);
    let head = field_len(name.len()) + field_len(help.len()) + 2 + optional(unit.map(str::len));
    varint(out, (head + metrics_len) as u64);
    bytes(out, tag::NAME, name.as_bytes());
    bytes(out, tag::HELP, help.as_bytes());
    let kind = match kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
        Kind::Histogram { .. } => 4,
    };
    out.extend_from_slice(&[tag::TYPE, kind]);
    if let Some(unit) = unit {
        bytes(out, tag::UNIT, unit.as_bytes());
    }
}

/// How long [`metric`] will be.
#[inline]
pub fn metric_len(about: About<'_>, value: &impl Value) -> usize {
    let [own, others] = about.labels;
    field_len(own.len() + others.len() + field_len(value.len() + about.created.len()))
}

/// Appends a metric of a family.
#[inline]
pub fn metric<V: Value>(out: &mut Vec<u8>, About { labels, created }: About<'_>, value: &V) {
    let length = value.len() + created.len();
    let [own, others] = labels;
    tag_and_length(out, tag::METRIC, own.len() + others.len() + field_len(length));
    out.extend_from_slice(own);
    // Mostly there are none, and to copy nothing is a call all the same.
    if !others.is_empty() {
        out.extend_from_slice(others);
    }
    tag_and_length(out, V::TAG, length);
    value.write(out);
    out.extend_from_slice(created);
}

/// Appends the labels of a metric, given as their [text](crate::LabelSet::as_str).
pub fn label_pairs(out: &mut Vec<u8>, text: &str) {
    for (name, value) in labels::pairs(text) {
        label(out, name, &value);
    }
}

/// Appends a label of a metric.
pub fn label(out: &mut Vec<u8>, name: &str, value: &str) {
    label_pair(out, tag::LABEL, name, value);
}

/// An exemplar, ready to be copied into each page.
pub fn exemplar(label_name: &str, id: &str, value: f64, at_ms: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    label_pair(&mut out, tag::EXEMPLAR_LABEL, label_name, id);
    double(&mut out, tag::EXEMPLAR_VALUE, value);
    timestamp(&mut out, tag::EXEMPLAR_TIMESTAMP, at_ms);
    out
}

fn label_pair(out: &mut Vec<u8>, tag: u8, name: &str, value: &str) {
    tag_and_length(out, tag, field_len(name.len()) + field_len(value.len()));
    bytes(out, tag::LABEL_NAME, name.as_bytes());
    bytes(out, tag::LABEL_VALUE, value.as_bytes());
}

#[inline]
fn bytes(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    tag_and_length(out, tag, value.len());
    out.extend_from_slice(value);
}

/// Appends what stands before a field of `length` bytes. Most are short, and a few calls for each are felt on a large page.
#[inline]
fn tag_and_length(out: &mut Vec<u8>, tag: u8, length: usize) {
    let [low, ..] = length.to_le_bytes();
    let [high, ..] = (length >> 7).to_le_bytes();
    match length {
        0..0x80 => out.extend_from_slice(&[tag, low]),
        0x80..0x4000 => out.extend_from_slice(&[tag, low | 0x80, high]),
        _ => {
            out.push(tag);
            varint(out, length as u64);
        }
    }
}

/// Appends a double. There is one NaN and one zero, as in the text formats.
#[inline]
fn double(out: &mut Vec<u8>, tag: u8, value: f64) {
    // -0.0 + 0.0 is 0.0.
    let bits = if value.is_nan() { NAN } else { (value + 0.0).to_bits() };
    let mut field = [tag; DOUBLE];
    if let Some(place) = field.last_chunk_mut() {
        *place = bits.to_le_bytes();
    }
    out.extend_from_slice(&field);
}

/// How long a field of `length` bytes is with its tag and its length.
#[inline]
pub fn field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

#[inline]
fn optional(length: Option<usize>) -> usize {
    length.map_or(0, field_len)
}

/// Bytes of seven bits.
#[inline]
fn varint_len(number: u64) -> usize {
    (70 - (number | 1).leading_zeros() as usize) / 7
}

/// Appends a number in groups of seven bits, the lowest first; all but the last have the high bit set.
#[inline]
fn varint(out: &mut Vec<u8>, number: u64) {
    if number < 0x80 { out.push(number.to_le_bytes()[0]) } else { long_varint(out, number) }
}

fn long_varint(out: &mut Vec<u8>, mut number: u64) {
    if number < 1 << 56 {
        // Eight groups at once: halves, quarters and eighths are moved apart, since a loop is felt on a large page.
        let halves = number & 0x0fff_ffff | (number & 0x00ff_ffff_f000_0000) << 4;
        let quarters = halves & 0x0000_3fff_0000_3fff | (halves & 0x0fff_c000_0fff_c000) << 2;
        let eighths = quarters & 0x007f_007f_007f_007f | (quarters & 0x3f80_3f80_3f80_3f80) << 1;
        let length = varint_len(number);
        let goes_on = 0x8080_8080_8080_8080 & ((1 << (8 * (length - 1))) - 1);
        let end = out.len() + length;
        out.extend_from_slice(&(eighths | goes_on).to_le_bytes());
        return out.truncate(end);
    }
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn varint_of(number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        varint(&mut out, number);
        out
    }

    #[test]
    fn numbers_have_the_bytes_of_the_specification() {
        assert_eq!(varint_of(0), [0]);
        assert_eq!(varint_of(127), [0x7f]);
        assert_eq!(varint_of(150), [0x96, 0x01]);
        assert_eq!(varint_of(u64::MAX), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }

    proptest! {
        #[test]
        fn any_number_reads_back_the_same_and_is_as_long_as_said(number: u64, shift in 0_u32..64) {
            let number = number >> shift;
            let bytes = varint_of(number);
            prop_assert_eq!(bytes.len(), varint_len(number));
            prop_assert_eq!(prost::encoding::decode_varint(&mut &bytes[..]), Ok(number));
        }
    }
}
