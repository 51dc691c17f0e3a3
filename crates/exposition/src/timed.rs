//! The samples of a series with timestamps, for a history that is imported: spelled as on the pages, so that both are the
//! same series.

use crate::buckets::{BucketSchemaId, BucketSchemas};
use crate::descriptor::{Family, Kind};
use crate::family_series::BoundTexts;
use crate::labels::{ConstantLabels, LabelSet};
use crate::negotiation::Format;
use crate::series::SeriesKey;
use crate::{number, writer};

/// One sample name of a series, and which of its counts it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedSample {
    /// What stands behind the name of the family: nothing, `_bucket`, `_sum` or `_count`.
    pub suffix: &'static str,
    /// The bound of the bucket.
    pub le: Option<Box<str>>,
    /// Name and labels as they stand on a page, and a space.
    prefix: Box<[u8]>,
    shows: Shows,
    scale: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// The count of a counter, and the sum of a histogram, in units of the family.
    Scaled(usize),
    /// All that lies in the buckets up to this one.
    UpTo(usize),
}

impl TimedSample {
    /// Appends the value, of the counts of the series.
    pub fn value(&self, out: &mut Vec<u8>, counts: &[u64]) {
        match self.shows {
            Shows::Scaled(place) => number::scaled(out, counts.get(place).copied().unwrap_or(0), self.scale),
            Shows::UpTo(place) => {
                number::integer(out, counts.iter().take(place + 1).fold(0, |a, b| a.saturating_add(*b)));
            }
        }
    }

    /// Appends a line of OpenMetrics: name, labels, value and time.
    pub fn line(&self, out: &mut Vec<u8>, counts: &[u64], at_ms: i64) {
        out.extend_from_slice(&self.prefix);
        self.value(out, counts);
        out.push(b' ');
        number::timestamp(out, at_ms);
        out.push(b'\n');
    }
}

/// Names the samples of series.
#[derive(Debug)]
pub struct TimedSamples {
    bounds: BoundTexts,
    constant: ConstantLabels,
    format: Format,
}

impl TimedSamples {
    /// As the page in `format` has them, each with the `constant` labels besides its own.
    pub fn new(schemas: &BucketSchemas, constant: LabelSet, format: Format) -> Self {
        Self { bounds: BoundTexts::new(schemas), constant: ConstantLabels::new(constant), format }
    }

    /// The labels that every sample has besides its own.
    pub fn constant(&self) -> &LabelSet {
        self.constant.labels()
    }

    /// Appends what stands before the samples of a family in OpenMetrics.
    pub fn header<F: Family>(out: &mut Vec<u8>, family: F) {
        let descriptor = family.descriptor();
        writer::header(out, descriptor.name, descriptor.kind, descriptor.help, Format::OpenMetrics);
    }

    /// The samples of a series, in the order of the page.
    pub fn of<F: Family>(&self, key: &SeriesKey<F>, schema: BucketSchemaId) -> Vec<TimedSample> {
        let (descriptor, scale) = (key.family.descriptor(), key.family.scale());
        let labels = key.labels.as_str().as_bytes();
        let plain = |suffix, shows, scale| {
            let mut prefix = Vec::with_capacity(160);
            writer::sample(&mut prefix, descriptor.name, suffix, labels, &self.constant);
            TimedSample { suffix, le: None, prefix: prefix.into(), shows, scale }
        };
        let Kind::Histogram { sum } = descriptor.kind else { return vec![plain("", Shows::Scaled(0), scale)] };
        let bounds = self.bounds.of(schema);
        let bucket = |(place, bound): (usize, &[u8])| {
            let mut prefix = Vec::with_capacity(160);
            writer::bucket(&mut prefix, descriptor.name, labels, bound, &self.constant);
            let le = Some(String::from_utf8_lossy(bound).into_owned().into_boxed_str());
            TimedSample { suffix: "_bucket", le, prefix: prefix.into(), shows: Shows::UpTo(place), scale: 1 }
        };
        let mut samples: Vec<TimedSample> = bounds.iter().map(|bound| &**bound).enumerate().map(bucket).collect();
        let last = bounds.len();
        if sum {
            samples.push(plain("_sum", Shows::Scaled(last), scale));
        }
        if sum || self.format == Format::Text {
            samples.push(plain("_count", Shows::UpTo(last.saturating_sub(1)), 1));
        }
        samples
    }
}
