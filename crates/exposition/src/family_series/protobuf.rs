//! A family of series on a protobuf page. Labels there have the lengths of their parts between them, so that the escaped text
//! cannot be copied: what is to be copied is kept beside it, from the first protobuf page on.

use super::{CHUNK, FamilySeries, Shown, Spelled};
use crate::descriptor::{Descriptor, Kind};
use crate::number;
use crate::protobuf::{self, Bucket, Counter, Histogram, Timestamp, Value};

/// The labels of every series of a family as [`protobuf::label_pairs`] writes them, by the places of the series.
#[derive(Debug, Default)]
pub struct LabelPairs {
    bytes: Vec<u8>,
    /// Where those of a series end, and those of the next begin.
    ends: Vec<u32>,
}

impl LabelPairs {
    /// Adds those of the next series. `None` if there is no room for them.
    pub fn push(&mut self, labels: &[u8]) -> Option<()> {
        // As with all that is kept of a series, an eighth of room to spare is enough.
        if self.bytes.capacity() - self.bytes.len() < labels.len() * 2 {
            self.bytes.reserve_exact((self.bytes.len() / 8).max(labels.len() * 2));
        }
        protobuf::label_pairs(&mut self.bytes, std::str::from_utf8(labels).ok()?);
        self.ends.push(u32::try_from(self.bytes.len()).ok()?);
        Some(())
    }

    fn get(&self, series: u32) -> Option<&[u8]> {
        let series = series as usize;
        let start = series.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.bytes.get(start as usize..*self.ends.get(series)? as usize)
    }
}

impl FamilySeries {
    /// Keeps the labels as protobuf pages have them, those of series to come among them. Without this such pages are written
    /// too, but several times slower.
    pub fn keep_label_pairs(&mut self) {
        if self.pairs.is_some() {
            return;
        }
        let mut pairs = LabelPairs::default();
        pairs.bytes.reserve_exact(self.labels.len() + self.labels.len() / 2);
        pairs.ends.reserve_exact(self.entries.len());
        let all = self.entries.iter().try_for_each(|entry| pairs.push(self.labels_of(entry)));
        pairs.bytes.shrink_to_fit();
        self.pairs = all.map(|()| pairs);
    }

    /// Gives the memory of [`keep_label_pairs`](Self::keep_label_pairs) back.
    pub fn forget_label_pairs(&mut self) {
        self.pairs = None;
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
        let mut written = Vec::new();
        let mut length = 0;
        for shown in self.shown(true) {
            let labels = self.pairs_of(&shown, &mut written).len() + constant.len();
            length += protobuf::metric_len(labels, &value_of(shown));
        }
        let Descriptor { name, kind, help, .. } = self.descriptor;
        protobuf::family(out, name, kind, help, length);
        for shown in self.shown(true) {
            protobuf::metric(out, self.pairs_of(&shown, &mut written), constant, &value_of(shown));
            if out.len() >= CHUNK {
                hand_on(out);
            }
        }
    }

    fn counter<'a>(&'a self, shown: Shown<'a>) -> Counter<'a> {
        Counter {
            value: number::nearest(shown.counts.first().copied().unwrap_or(0), self.scale),
            exemplar: self.exemplar_of(&shown, 0),
            created: Some(Timestamp::from_ms(shown.entry.created_ms)),
        }
    }

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
            created: Some(Timestamp::from_ms(shown.entry.created_ms)),
        }
    }

    fn pairs_of<'a>(&'a self, shown: &Shown<'_>, written: &'a mut Vec<u8>) -> &'a [u8] {
        if let Some(pairs) = self.pairs.as_ref().and_then(|pairs| pairs.get(shown.series)) {
            return pairs;
        }
        written.clear();
        protobuf::label_pairs(written, std::str::from_utf8(self.labels_of(shown.entry)).unwrap_or_default());
        written
    }

    fn exemplar_of(&self, shown: &Shown<'_>, bucket: u16) -> Option<&[u8]> {
        self.exemplars.get(&(shown.exemplars?, bucket)).map(|exemplar| &*exemplar.message)
    }
}
