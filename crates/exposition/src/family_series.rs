//! The series of one family of counters or histograms, stored for a scrape: the label bytes of all in one buffer, their
//! counts in another, in the order in which they came. A series is never removed, so its place in either stays good.

mod blocks;
mod protobuf;
mod text;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::buckets::{BucketSchemaId, BucketSchemas};
use crate::descriptor::{Descriptor, Family, Kind};
use crate::labels::ConstantLabels;
use crate::number;
use crate::series::SeriesState;
pub use blocks::BLOCK_LINES;
use protobuf::Prepared;

/// A buffer is handed on when it holds this much, so that a compressed page never exists uncompressed as a whole.
pub const CHUNK: usize = 64 * 1024;
/// What the lines of all families share.
#[derive(Debug)]
pub struct Spelled {
    /// The bounds of the buckets as numbers.
    pub schemas: Arc<BucketSchemas>,
    /// The bounds of the buckets as text.
    pub bounds: BoundTexts,
    /// The bounds of the buckets as the label `le` of a protobuf page, behind what every metric carries.
    pub bound_pairs: BoundTexts,
    /// What every line carries behind its own labels.
    pub constant: Arc<ConstantLabels>,
    /// Whether OpenMetrics says of each series when it began to count.
    pub created_lines: bool,
}

/// The bounds of every bucket schema as they stand between the quotes of `le`, `+Inf` last.
#[derive(Debug)]
pub struct BoundTexts(Vec<Vec<Box<[u8]>>>);

impl BoundTexts {
    /// Spells the bounds once, for every page to come.
    pub fn new(schemas: &BucketSchemas) -> Self {
        let spell = |bound: f64| {
            let mut text = Vec::new();
            number::canonical(&mut text, bound);
            text.into_boxed_slice()
        };
        Self(
            schemas.iter().map(|(_, l)| l.bounds.iter().copied().chain([f64::INFINITY]).map(spell).collect()).collect(),
        )
    }

    /// Makes labels for protobuf pages of them, behind the constant ones.
    pub fn pairs(&self, constant: &ConstantLabels) -> Self {
        let pair = |text: &[u8]| {
            let mut pair = constant.pairs.to_vec();
            crate::protobuf::label(&mut pair, "le", std::str::from_utf8(text).unwrap_or_default());
            pair.into_boxed_slice()
        };
        Self(self.0.iter().map(|bounds| bounds.iter().map(|text| pair(text)).collect()).collect())
    }

    pub(crate) fn of(&self, schema: BucketSchemaId) -> &[Box<[u8]>] {
        self.0.get(usize::from(schema.0)).map_or(&[], Vec::as_slice)
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    created_ms: i64,
    label_start: u32,
    label_len: u32,
    counts_start: u32,
    width: u16,
    schema: BucketSchemaId,
}

/// What became of a series state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was taken as it is.
    Taken,
    /// It was taken, but a count was lower than the one that is known; that count was left as it was.
    Decreased,
    /// It does not fit its bucket schema, or memory: nothing was changed.
    Rejected,
}

/// An exemplar as it stands on the page, and its time.
#[derive(Debug)]
pub struct ShownExemplar {
    /// In milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// On a page of OpenMetrics.
    pub text: Box<[u8]>,
    /// On a protobuf page.
    pub message: Box<[u8]>,
}

/// What a page shows of a series.
#[derive(Clone, Copy, Debug)]
struct Shown<'a> {
    series: u32,
    entry: &'a Entry,
    counts: &'a [u64],
    /// The series under which it may have exemplars.
    exemplars: Option<u32>,
}

/// The series of one family.
#[derive(Debug)]
pub struct FamilySeries {
    descriptor: Descriptor,
    scale: u64,
    labels: Vec<u8>,
    counts: Vec<u64>,
    entries: Vec<Entry>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    held: HashMap<u32, Box<[u64]>>,
    /// Only while protobuf pages are asked for.
    prepared: Option<Prepared>,
    exemplars: HashMap<(u32, u16), ShownExemplar>,
    /// For each block, the generation in which what it shows changed last.
    changed: Vec<u64>,
}

impl FamilySeries {
    /// No series yet.
    pub fn new(family: impl Family) -> Self {
        Self {
            descriptor: family.descriptor(),
            scale: family.scale(),
            labels: Vec::new(),
            counts: Vec::new(),
            entries: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            held: HashMap::new(),
            prepared: None,
            exemplars: HashMap::new(),
            changed: Vec::new(),
        }
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The place of the series with these labels.
    pub fn find(&self, labels: &str) -> Option<u32> {
        let labels = labels.as_bytes();
        self.index.find(self.hasher.hash_one(labels), |i| self.bytes_at(*i) == labels).copied()
    }

    /// Takes the state of a series, in this generation of the page.
    pub fn apply<F>(&mut self, state: &SeriesState<F>, schemas: &BucketSchemas, generation: u64) -> Applied {
        let width = schemas.width(state.schema);
        let held_counts = state.held_counts.as_deref();
        let is_counter = state.schema == BucketSchemaId::NONE;
        if schemas.get(state.schema).is_none()
            || state.counts.len() != width
            || held_counts.is_some_and(|h| h.len() != width)
            || is_counter != (self.descriptor.kind == Kind::Counter)
        {
            return Applied::Rejected;
        }
        match self.find(state.key.labels.as_str()) {
            Some(series) => self.update(series, state, generation),
            None => match self.insert(state, width, generation) {
                Some(_) => Applied::Taken,
                None => Applied::Rejected,
            },
        }
    }

    /// By how much the counts of these series are lower in `later`, in sum.
    pub fn missing_in(&self, later: &Self) -> u64 {
        let counts = |of: &Self, series: u32| {
            let entry = of.entries.get(series as usize)?;
            let start = entry.counts_start as usize;
            Some(of.counts.get(start..start + usize::from(entry.width))?.to_vec())
        };
        let missing = |series: u32| {
            let before = counts(self, series).unwrap_or_default();
            let labels = std::str::from_utf8(self.bytes_at(series)).unwrap_or_default();
            let now = later.find(labels).and_then(|series| counts(later, series)).unwrap_or_default();
            before
                .iter()
                .zip(now.into_iter().chain(std::iter::repeat(0)))
                .map(|(a, b)| a.saturating_sub(b))
                .sum::<u64>()
        };
        (0..).take(self.entries.len()).map(missing).sum()
    }

    fn insert<F>(&mut self, state: &SeriesState<F>, width: usize, generation: u64) -> Option<u32> {
        let labels = state.key.labels.as_str().as_bytes();
        let series = u32::try_from(self.entries.len()).ok()?;
        let entry = Entry {
            created_ms: state.created_ms,
            label_start: u32::try_from(self.labels.len()).ok()?,
            label_len: u32::try_from(labels.len()).ok()?,
            counts_start: u32::try_from(self.counts.len()).ok()?,
            width: u16::try_from(width).ok()?,
            schema: state.schema,
        };
        let kind = self.descriptor.kind;
        if self.prepared.as_mut().is_some_and(|prepared| prepared.push(labels, kind, state.created_ms).is_none()) {
            self.prepared = None;
        }
        extend_tightly(&mut self.labels, labels);
        extend_tightly(&mut self.counts, &state.counts);
        extend_tightly(&mut self.entries, &[entry]);
        if let Some(held) = &state.held_counts {
            self.held.insert(series, held.clone());
        }
        let Self { index, hasher, entries, labels: buffer, .. } = self;
        let hash_of = |i: &u32| hasher.hash_one(label_bytes(buffer, entries, *i));
        index.insert_unique(hasher.hash_one(labels), series, hash_of);
        self.mark(series, generation);
        Some(series)
    }

    fn update<F>(&mut self, series: u32, state: &SeriesState<F>, generation: u64) -> Applied {
        let Some(entry) = self.entries.get_mut(series as usize) else { return Applied::Rejected };
        if entry.schema != state.schema {
            return Applied::Rejected;
        }
        let mut changed = entry.created_ms != state.created_ms;
        if changed {
            // Only what the look-back finds makes a series older: that of all is prepared anew for the next page.
            self.prepared = None;
            entry.created_ms = state.created_ms;
        }
        let range = entry.counts_start as usize..entry.counts_start as usize + usize::from(entry.width);
        let Some(counts) = self.counts.get_mut(range) else { return Applied::Rejected };
        let mut decreased = false;
        for (shown, now) in counts.iter_mut().zip(&state.counts) {
            decreased |= now < shown;
            changed |= now > shown;
            *shown = (*shown).max(*now);
        }
        match (self.held.get_mut(&series), &state.held_counts) {
            // The window is over.
            (Some(_), None) => {
                self.held.remove(&series);
                changed = true;
            }
            (Some(shown), Some(now)) => {
                for (shown, now) in shown.iter_mut().zip(now) {
                    decreased |= now < shown;
                    changed |= now > shown;
                    *shown = (*shown).max(*now);
                }
            }
            // What has been shown in full cannot be hidden again without a decrease.
            (None, _) => {}
        }
        if changed {
            self.mark(series, generation);
        }
        if decreased { Applied::Decreased } else { Applied::Taken }
    }

    /// Gives each series to `visitor`: the text of its labels, its schema, and its true counts, shown or not.
    pub fn visit(&self, visitor: &mut impl FnMut(&str, BucketSchemaId, &[u64])) {
        for entry in &self.entries {
            let labels = std::str::from_utf8(self.labels_of(entry)).unwrap_or_default();
            visitor(labels, entry.schema, self.counts_of(entry));
        }
    }

    /// Shows the true counts of a series from this generation on; whether it was held.
    pub fn release(&mut self, series: u32, generation: u64) -> bool {
        let was_held = self.held.remove(&series).is_some();
        if was_held {
            self.mark(series, generation);
        }
        was_held
    }

    /// Puts an exemplar beside a sample, in place of an earlier one. One that is older than the one there is left out:
    /// Prometheus takes the exemplars of a series only in the order of their timestamps, with a warning at each scrape
    /// about one that is not.
    pub fn set_exemplar(&mut self, series: u32, bucket: u16, exemplar: ShownExemplar, generation: u64) {
        match self.exemplars.entry((series, bucket)) {
            Place::Occupied(shown) if shown.get().at_ms >= exemplar.at_ms => {}
            place => {
                place.insert_entry(exemplar);
                self.mark(series, generation);
            }
        }
    }

    /// The series in the order of the page, as every format shows them.
    fn shown(&self, with_exemplars: bool) -> impl Iterator<Item = Shown<'_>> {
        self.shown_from(0, &self.entries, with_exemplars)
    }

    /// Those of a block.
    fn shown_in(&self, block: usize, with_exemplars: bool) -> impl Iterator<Item = Shown<'_>> {
        let from = block * self.block_series();
        let entries = self.entries.get(from..).unwrap_or_default();
        let entries = entries.get(..self.block_series()).unwrap_or(entries);
        self.shown_from(from, entries, with_exemplars)
    }

    fn shown_from<'a>(
        &'a self,
        from: usize,
        entries: &'a [Entry],
        with_exemplars: bool,
    ) -> impl Iterator<Item = Shown<'a>> {
        let with_exemplars = with_exemplars && !self.exemplars.is_empty();
        // There are no more series than that: their places are such numbers.
        let from = u32::try_from(from).unwrap_or(u32::MAX);
        (from..).zip(entries).map(move |(series, entry)| {
            let held = if self.held.is_empty() { None } else { self.held.get(&series) };
            let counts = match held {
                Some(held) => held,
                None => self.counts_of(entry),
            };
            // A held series must not name what it does not show yet.
            Shown { series, entry, counts, exemplars: (with_exemplars && held.is_none()).then_some(series) }
        })
    }

    fn bytes_at(&self, series: u32) -> &[u8] {
        label_bytes(&self.labels, &self.entries, series)
    }

    fn labels_of(&self, entry: &Entry) -> &[u8] {
        slice(&self.labels, entry.label_start, entry.label_len)
    }

    fn counts_of(&self, entry: &Entry) -> &[u64] {
        slice(&self.counts, entry.counts_start, u32::from(entry.width))
    }
}

fn label_bytes<'a>(buffer: &'a [u8], entries: &[Entry], series: u32) -> &'a [u8] {
    entries.get(series as usize).map_or(&[], |e| slice(buffer, e.label_start, e.label_len))
}

fn slice<T>(buffer: &[T], start: u32, len: u32) -> &[T] {
    // Entries point into buffers that never shrink, so the range is always there; empty is the harmless answer.
    buffer.get(start as usize..start as usize + len as usize).unwrap_or_default()
}

/// Appends with an eighth of room to spare rather than the doubling of `Vec`: memory per series is promised.
fn extend_tightly<T: Copy>(buffer: &mut Vec<T>, more: &[T]) {
    if buffer.capacity() - buffer.len() < more.len() {
        buffer.reserve_exact(more.len().max(buffer.len() / 8).max(64));
    }
    buffer.extend_from_slice(more);
}
