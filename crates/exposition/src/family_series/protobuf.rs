//! A family of series on a protobuf page. Labels there have the lengths of their parts between them, so that the escaped text
//! cannot be copied: what is to be copied is kept beside it, from the first protobuf page on.

use super::{FamilySeries, Shown, Spelled};
use crate::descriptor::{Descriptor, Kind};
use crate::number;
use crate::protobuf::{self, About, Bucket, Counter, Histogram, Value};

/// What protobuf pages have of every series of a family, its values apart, by the places of the series.
#[derive(Debug, Default)]
pub struct Prepared {
    bytes: Vec<u8>,
    ends: Vec<Ends>,
}

/// Where the labels of a series end, and where the time since when it counts.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    labels: u32,
    created: u32,
}

impl Prepared {
    /// Adds that of the next series. `None` if there is no room for it.
    pub fn push(&mut self, labels: &[u8], kind: Kind, created_ms: i64) -> Option<()> {
        // As with all that is kept of a series, an eighth of room to spare is enough.
        if self.bytes.capacity() - self.bytes.len() < labels.len() * 2 {
            self.bytes.reserve_exact((self.bytes.len() / 8).max(labels.len() * 2 + 64));
        }
        protobuf::label_pairs(&mut self.bytes, std::str::from_utf8(labels).ok()?);
        let labels = u32::try_from(self.bytes.len()).ok()?;
        protobuf::created(&mut self.bytes, kind, created_ms);
        self.ends.push(Ends { labels, created: u32::try_from(self.bytes.len()).ok()? });
        Some(())
    }

    /// The labels, and the time since when it counts.
    #[inline]
    fn get(&self, series: u32) -> Option<(&[u8], &[u8])> {
        let series = series as usize;
        let before = series.checked_sub(1).map_or(Some(Ends::default()), |before| self.ends.get(before).copied())?;
        let ends = self.ends.get(series)?;
        let bytes = self.bytes.get(before.created as usize..ends.created as usize)?;
        bytes.split_at_checked((ends.labels - before.created) as usize)
    }
}

impl FamilySeries {
    /// Whether what protobuf pages have of every series is [prepared](Self::prepare).
    pub fn is_prepared(&self) -> bool {
        self.prepared.is_some() || self.entries.is_empty()
    }

    /// Keeps what protobuf pages have of every series, of series to come as well, or no longer. Without it these pages are
    /// written too, but slower, as the text of each label is read again.
    pub fn prepare(&mut self, is_kept: bool) {
        if !is_kept {
            self.prepared = None;
        } else if self.prepared.is_none() {
            let mut prepared = Prepared::default();
            prepared.ends.reserve_exact(self.entries.len());
            let kind = self.descriptor.kind;
            let mut entries = self.entries.iter();
            let all = entries.try_for_each(|entry| prepared.push(self.labels_of(entry), kind, entry.created_ms));
            self.prepared = all.map(|()| prepared);
        }
    }

    /// How many families of a protobuf page this family is: one without a sum is told as two of counters.
    pub fn messages(&self) -> usize {
        if self.descriptor.kind == (Kind::Histogram { sum: false }) { 2 } else { 1 }
    }

    /// Appends a piece of one of these families to a page: the metrics of a block, or what stands before all of them. That has their
    /// length in it, for which all are measured.
    pub fn write_protobuf(&self, out: &mut Vec<u8>, message: usize, block: Option<usize>, spelled: &Spelled) {
        let Descriptor { name, kind, .. } = self.descriptor;
        match (kind, message) {
            (Kind::Counter | Kind::Gauge, _) => {
                self.write_piece(out, (name, kind), block, spelled, |shown| self.counter(shown));
            }
            (Kind::Histogram { sum: true }, _) => {
                self.write_piece(out, (name, kind), block, spelled, |shown| self.histogram(spelled, shown));
            }
            // A message without a sum reads as one of 0, and one that is not a number spoils the quantiles that Prometheus takes
            // of native histograms. So these are the series that a page of text has, as counters.
            (Kind::Histogram { sum: false }, 0) => self.write_buckets(out, &format!("{name}_bucket"), block, spelled),
            (Kind::Histogram { sum: false }, _) => {
                self.write_piece(out, (&format!("{name}_count"), Kind::Counter), block, spelled, |shown| Counter {
                    value: number::nearest(count_of(shown), 1),
                    exemplar: None,
                });
            }
        }
    }

    /// A family of which each series is a metric.
    fn write_piece<'a, V: Value>(
        &'a self,
        out: &mut Vec<u8>,
        (name, kind): (&str, Kind),
        block: Option<usize>,
        spelled: &Spelled,
        value_of: impl Fn(Shown<'a>) -> V,
    ) {
        let constant = &*spelled.constant.pairs;
        let mut unprepared = Prepared::default();
        let Some(block) = block else {
            let mut length = 0;
            for shown in self.shown(true) {
                let (own, created) = self.prepared(&shown, &mut unprepared);
                length += protobuf::metric_len(About { labels: [own, constant], created }, &value_of(shown));
            }
            return protobuf::family(out, name, kind, self.descriptor.help, length);
        };
        for shown in self.shown_in(block, true) {
            let (own, created) = self.prepared(&shown, &mut unprepared);
            protobuf::metric(out, About { labels: [own, constant], created }, &value_of(shown));
        }
    }

    /// A family of counters, of which each bucket of a series is a metric.
    fn write_buckets(&self, out: &mut Vec<u8>, name: &str, block: Option<usize>, spelled: &Spelled) {
        let mut unprepared = Prepared::default();
        let mut each = |shown: Shown<'_>, take: &mut dyn FnMut(About<'_>, &Counter<'_>)| {
            let (own, created) = self.prepared(&shown, &mut unprepared);
            let bounds = spelled.bound_pairs.of(shown.entry.schema);
            for (bound, Bucket { count, exemplar, .. }) in bounds.iter().zip(self.buckets(spelled, shown)) {
                let value = number::nearest(count, 1);
                take(About { labels: [own, bound], created }, &Counter { value, exemplar });
            }
        };
        let Some(block) = block else {
            let mut length = 0;
            self.shown(true)
                .for_each(|shown| each(shown, &mut |about, value| length += protobuf::metric_len(about, value)));
            return protobuf::family(out, name, Kind::Counter, self.descriptor.help, length);
        };
        self.shown_in(block, true)
            .for_each(|shown| each(shown, &mut |about, value| protobuf::metric(out, about, value)));
    }

    #[inline]
    fn counter<'a>(&'a self, shown: Shown<'a>) -> Counter<'a> {
        Counter {
            value: number::nearest(shown.counts.first().copied().unwrap_or(0), self.scale),
            exemplar: self.exemplar_of(&shown, 0),
        }
    }

    #[inline]
    fn histogram<'a>(
        &'a self,
        spelled: &'a Spelled,
        shown: Shown<'a>,
    ) -> Histogram<impl Iterator<Item = Bucket<'a>> + Clone> {
        let buckets = self.buckets(spelled, shown);
        Histogram {
            count: count_of(shown),
            sum: number::nearest(shown.counts.last().copied().unwrap_or(0), self.scale),
            buckets: buckets.filter(|bucket| bucket.bound.is_finite() || bucket.exemplar.is_some()),
        }
    }

    /// The buckets of a histogram, that of `+Inf` among them.
    #[inline]
    fn buckets<'a>(&'a self, spelled: &'a Spelled, shown: Shown<'a>) -> impl Iterator<Item = Bucket<'a>> + Clone {
        let bounds = spelled.schemas.get(shown.entry.schema).map_or(&[][..], |schema| &schema.bounds);
        let buckets = (0_u16..).zip(bounds.iter().chain([&f64::INFINITY]).zip(observed(shown)));
        buckets.scan(0_u64, move |count, (bucket, (bound, observed))| {
            *count = count.saturating_add(*observed);
            Some(Bucket { count: *count, bound: *bound, exemplar: self.exemplar_of(&shown, bucket) })
        })
    }

    #[inline]
    fn prepared<'a>(&'a self, shown: &Shown<'_>, unprepared: &'a mut Prepared) -> (&'a [u8], &'a [u8]) {
        match self.prepared.as_ref().and_then(|prepared| prepared.get(shown.series)) {
            Some(prepared) => prepared,
            None => self.unprepared(shown, unprepared),
        }
    }

    #[cold]
    fn unprepared<'a>(&self, shown: &Shown<'_>, unprepared: &'a mut Prepared) -> (&'a [u8], &'a [u8]) {
        unprepared.bytes.clear();
        unprepared.ends.clear();
        unprepared.push(self.labels_of(shown.entry), self.descriptor.kind, shown.entry.created_ms);
        unprepared.get(0).unwrap_or_default()
    }

    #[inline]
    fn exemplar_of(&self, shown: &Shown<'_>, bucket: u16) -> Option<&[u8]> {
        self.shown_exemplar(shown.exemplars?, bucket)
    }

    fn shown_exemplar(&self, series: u32, bucket: u16) -> Option<&[u8]> {
        self.exemplars.get(&(series, bucket)).map(|exemplar| &*exemplar.message)
    }
}

/// What a histogram has observed, by buckets; behind them stands its sum.
#[inline]
fn observed(shown: Shown<'_>) -> impl Iterator<Item = &u64> + Clone {
    shown.counts.iter().take(shown.counts.len().saturating_sub(1))
}

#[inline]
fn count_of(shown: Shown<'_>) -> u64 {
    observed(shown).fold(0, |count, observed| count.saturating_add(*observed))
}
