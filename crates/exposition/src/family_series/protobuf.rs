//! A family of series on a protobuf page. Labels there have the lengths of their parts between them, so that the escaped text
//! cannot be copied: what is to be copied is kept beside it, from the first protobuf page on.

use super::{CHUNK, FamilySeries, Shown, Spelled};
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
    /// written too, but several times slower.
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

    /// Appends the family to a page; nothing if it has no series.
    pub fn write_protobuf(&self, out: &mut Vec<u8>, spelled: &Spelled, hand_on: &mut impl FnMut(&mut Vec<u8>)) {
        match self.descriptor.kind {
            Kind::Counter | Kind::Gauge => self.write_metrics(out, spelled, hand_on, |shown| self.counter(shown)),
            Kind::Histogram { sum } => {
                self.write_metrics(out, spelled, hand_on, |shown| self.histogram(spelled, shown, sum));
            }
        }
    }

    /// The family stands behind its length, and may be too large to be kept until it is known: it is measured first.
    fn write_metrics<'a, V: Value>(
        &'a self,
        out: &mut Vec<u8>,
        spelled: &Spelled,
        hand_on: &mut impl FnMut(&mut Vec<u8>),
        value_of: impl Fn(Shown<'a>) -> V,
    ) {
        if self.entries.is_empty() {
            return;
        }
        let constant = &*spelled.constant.pairs;
        let mut unprepared = Prepared::default();
        let mut length = 0;
        for shown in self.shown(true) {
            let (own, created) = self.prepared(&shown, &mut unprepared);
            length += protobuf::metric_len(About { own, constant, created }, &value_of(shown));
        }
        let Descriptor { name, kind, help, .. } = self.descriptor;
        protobuf::family(out, name, kind, help, length);
        for shown in self.shown(true) {
            let (own, created) = self.prepared(&shown, &mut unprepared);
            protobuf::metric(out, About { own, constant, created }, &value_of(shown));
            if out.len() >= CHUNK {
                hand_on(out);
            }
        }
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
        sum: bool,
    ) -> Histogram<impl Iterator<Item = Bucket<'a>> + Clone> {
        let bounds = spelled.schemas.get(shown.entry.schema).map_or(&[][..], |schema| &schema.bounds);
        let observed = shown.counts.iter().take(bounds.len() + 1);
        let count = observed.clone().fold(0_u64, |count, observed| count.saturating_add(*observed));
        let buckets = (0_u16..).zip(bounds.iter().chain([&f64::INFINITY]).zip(observed));
        let buckets = buckets.scan(0_u64, move |count, (bucket, (bound, observed))| {
            *count = count.saturating_add(*observed);
            Some(Bucket { count: *count, bound: *bound, exemplar: self.exemplar_of(&shown, bucket) })
        });
        Histogram {
            count,
            // The message has no way to say that there is no sum, and what is left out reads as 0.
            sum: if sum { number::nearest(shown.counts.last().copied().unwrap_or(0), self.scale) } else { f64::NAN },
            buckets: buckets.filter(|bucket| bucket.bound.is_finite() || bucket.exemplar.is_some()),
        }
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
