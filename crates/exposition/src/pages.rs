//! The pages of `/metrics`: what all parts of an exporter share, behind locks. A lock is held for memory and arithmetic
//! only, never while waiting.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Crc;
use prometheus::Registry;

use crate::buckets::BucketSchemas;
use crate::compress::{self, Compressor};
use crate::descriptor::Family;
use crate::labels::LabelSet;
use crate::memory::{SeriesMemory, Shared};
use crate::negotiation::{Encoding, Format};
use crate::registry;
use crate::rendered::Rendered;
use crate::series::{Exemplar, SeriesKey, SeriesState};

/// A rendered variant that nobody has asked for in this time gives its memory back.
const KEEP: Duration = Duration::from_secs(300);

/// Which part of a page is asked for; the two parts have no family in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Part {
    /// All of it.
    #[default]
    All,
    /// The series in memory, and the metrics that belong to them: the same on every machine that shows these series.
    Series,
    /// What the process says of itself.
    Process,
}

/// The series of the families `F` and the gauges `G`, and the metrics of two registries, as pages.
#[derive(Debug)]
pub struct Exposition<F, G> {
    /// What the process says of itself.
    registry: Registry,
    /// What belongs to the series.
    beside_series: Registry,
    memory: RwLock<SeriesMemory<F, G>>,
    /// One for each format and encoding. Concurrent scrapes of a new generation wait at its lock, and one of them renders.
    variants: [Mutex<Option<Variant>>; Format::ALL.len() * Encoding::ALL.len()],
    /// By encoding, to be used for one page after the other: their memory is too large to be asked for at each scrape.
    compressors: [Spare; Encoding::ALL.len()],
}

/// A variant that was asked for.
#[derive(Debug)]
struct Variant {
    asked_at: Instant,
    rendered: Rendered,
}

/// A page to send: its [chunks](Self::chunks) one after the other.
#[derive(Clone, Debug)]
pub struct Page {
    /// The series in memory; these bytes are shared with the cache and with other clients.
    pub series: Arc<[Bytes]>,
    /// The metrics of the registry and the end of the page.
    pub registry: Bytes,
}

impl Page {
    /// All of it, in order.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        self.series.iter().chain([&self.registry])
    }

    /// The chunk at this place, none of which is empty but the last, of a page that has nothing.
    pub fn chunk(&self, place: usize) -> Option<&Bytes> {
        self.series.get(place).or_else(|| (place == self.series.len()).then_some(&self.registry))
    }

    /// Length of the whole in bytes.
    pub fn len(&self) -> usize {
        self.chunks().map(Bytes::len).sum()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole page in one piece, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        for chunk in self.chunks() {
            all.extend_from_slice(chunk);
        }
        all
    }
}

impl<F: Family, G: Family> Exposition<F, G> {
    /// Nothing counted yet and nothing published: pages carry the metrics of the registry only.
    pub fn new(schemas: Arc<BucketSchemas>, registry: Registry) -> Self {
        Self {
            registry,
            beside_series: Registry::new(),
            memory: RwLock::new(SeriesMemory::new(schemas)),
            variants: std::array::from_fn(|_| Mutex::new(None)),
            compressors: std::array::from_fn(|_| Spare::default()),
        }
    }

    /// Puts the metrics of a second registry beside the series: they are on every page that has the series, and on those before
    /// the series are published as well. No family may be in both registries.
    #[must_use]
    pub fn with_metrics_beside_series(mut self, registry: Registry) -> Self {
        self.beside_series = registry;
        self
    }

    /// Takes the absolute states of series, new ones included, and exemplars of theirs. A count that is lower than before
    /// is left as it was, and that is logged: what a page has shown never decreases.
    pub fn apply(&self, series: &[SeriesState<F>], exemplars: Vec<Exemplar<F>>) {
        self.write_memory(|m| m.apply(series, exemplars));
    }

    /// Takes the absolute states of all series in place of those before, even where a count is lower: what was counted is lost, and
    /// a scraper sees a reset. Gives the families that show less, and by how much their counts in sum.
    pub fn replace(&self, series: &[SeriesState<F>]) -> Vec<(F, u64)> {
        let mut decreased = Vec::new();
        self.write_memory(|m| decreased = m.replace(series));
        decreased
    }

    /// Puts these labels on every sample of every page from here on, behind its own: those of the series in memory, and those of
    /// the registry. None of them may have the name of a label that a sample has already. They are part of the page only;
    /// keys, states and gauges are handed over without them.
    pub fn set_constant_labels(&self, labels: LabelSet) {
        self.write_memory(|m| m.set_constant_labels(labels));
    }

    /// Leaves the metrics of these names off every page from here on: series in memory, gauges and metrics of the registry.
    /// They are kept up to date all the same.
    pub fn set_disabled(&self, names: BTreeSet<String>) {
        self.write_memory(|m| m.set_disabled(names));
    }

    /// Whether every page of OpenMetrics from here on says when each series began to count, in a `_created` line. There are none
    /// at first: Prometheus stores each of them as a series of its own.
    pub fn set_created_lines(&self, are_shown: bool) {
        self.write_memory(|m| m.set_created_lines(are_shown));
    }

    /// Puts the series on every page from here on. To be called once the series have their starting values.
    pub fn publish(&self) {
        self.write_memory(SeriesMemory::publish);
    }

    /// Whether [`publish`](Self::publish) has been called.
    pub fn is_published(&self) -> bool {
        self.read_memory(SeriesMemory::is_published)
    }

    /// Gives each series of a family of counters or histograms to `visitor`: the text of its labels (see
    /// [`values`](crate::values)), the bounds of its buckets (none for a counter), and what it has counted, shown or not: one
    /// count for each bucket, that of what is above all bounds, and the sum.
    pub fn visit(&self, family: F, mut visitor: impl FnMut(&str, &[f64], &[u64])) {
        self.read_memory(|m| m.visit(family, &mut visitor));
    }

    /// How many series of counters and histograms there are, shown or not.
    pub fn series(&self) -> usize {
        self.read_memory(SeriesMemory::series)
    }

    /// Shows the true values of these series from now on.
    pub fn release(&self, keys: &[SeriesKey<F>]) {
        self.write_memory(|m| m.release(keys));
    }

    /// Replaces a family of gauges; an empty one is not on the page.
    pub fn set_gauges(&self, family: G, series: Vec<(LabelSet, f64)>) {
        self.write_memory(|m| m.set_gauges(family, series));
    }

    /// All families of gauges, as they are.
    pub fn gauges(&self) -> Vec<(G, Vec<(LabelSet, f64)>)> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner).gauges()
    }

    /// [`part`](Self::part), if what is to be rendered for it is ready: that takes microseconds, and waits for nobody.
    pub fn ready_part(&self, part: Part, format: Format, encoding: Encoding, now: Instant) -> Option<Page> {
        if part == Part::Process {
            let shared = self.memory.try_read().ok()?.shared();
            return self.process_page(&shared, format, encoding).ok();
        }
        let wanted = variant(format, encoding);
        let (current, shared) = {
            let memory = self.memory.try_read().ok()?;
            (memory.generation(), memory.shared())
        };
        let (series, crc) = {
            let mut slot = self.variants.get(wanted)?.try_lock().ok()?;
            let variant = slot.as_mut().filter(|variant| variant.rendered.generation == current)?;
            variant.asked_at = now;
            (Arc::clone(&variant.rendered.chunks), Arc::clone(&variant.rendered.crc))
        };
        self.forget_unused(wanted, now);
        self.with_registry(series, &crc, encoding, self.registry_part(part, &shared, format)).ok()
    }

    /// The whole page as it is now, if that is [ready](Self::ready_part).
    pub fn ready_page(&self, format: Format, encoding: Encoding, now: Instant) -> Option<Page> {
        self.ready_part(Part::All, format, encoding, now)
    }

    /// A part of the page as it is now. The series are rendered and compressed once after each change, whichever part is asked
    /// for.
    ///
    /// # Errors
    /// Only if the compressor cannot have memory.
    pub fn part(&self, part: Part, format: Format, encoding: Encoding, now: Instant) -> std::io::Result<Page> {
        let shared = self.read_memory(SeriesMemory::shared);
        if part == Part::Process {
            return self.process_page(&shared, format, encoding);
        }
        let wanted = variant(format, encoding);
        self.forget_unused(wanted, now);
        let registry = self.registry_part(part, &shared, format);
        let slot = self.variants.get(wanted).ok_or_else(|| std::io::Error::other("no such variant of the page"))?;
        let (series, crc) = self.series_part(&mut lock(slot), (format, encoding), now)?;
        self.with_registry(series, &crc, encoding, registry)
    }

    /// The whole page as it is now.
    ///
    /// # Errors
    /// Only if the compressor cannot have memory.
    pub fn page(&self, format: Format, encoding: Encoding, now: Instant) -> std::io::Result<Page> {
        self.part(Part::All, format, encoding, now)
    }

    /// Small enough to be made for each scrape.
    fn process_page(&self, shared: &Shared, format: Format, encoding: Encoding) -> std::io::Result<Page> {
        let registry = self.registry_part(Part::Process, shared, format);
        self.with_registry(compress::header(encoding).into_iter().collect(), &Crc::new(), encoding, registry)
    }

    fn with_registry(
        &self,
        series: Arc<[Bytes]>,
        crc: &Crc,
        encoding: Encoding,
        registry: Vec<u8>,
    ) -> std::io::Result<Page> {
        let registry = self.compressing(encoding, |compressor| compressor.last(registry, crc))?;
        Ok(Page { series, registry: registry.into() })
    }

    /// Lends a compressor out.
    fn compressing<T>(
        &self,
        encoding: Encoding,
        work: impl FnOnce(&mut Compressor) -> std::io::Result<T>,
    ) -> std::io::Result<T> {
        let spare = self.compressors.get(encoding as usize);
        let kept = spare.and_then(|spare| lock(&spare.0).take());
        let mut compressor = kept.map_or_else(|| Compressor::new(encoding), Ok)?;
        let made = work(&mut compressor)?;
        if let Some(spare) = spare {
            *lock(&spare.0) = Some(compressor);
        }
        Ok(made)
    }

    fn registry_part(&self, part: Part, shared: &Shared, format: Format) -> Vec<u8> {
        let families = match part {
            Part::Process => self.registry.gather(),
            Part::Series => self.beside_series.gather(),
            Part::All => {
                let mut families = self.registry.gather();
                families.extend(self.beside_series.gather());
                families.sort_by(|one, other| one.name().cmp(other.name()));
                families
            }
        };
        let mut out = Vec::with_capacity(8 * 1024);
        registry::write(&mut out, &families, shared, format);
        out
    }

    fn forget_unused(&self, wanted: usize, now: Instant) {
        let mut protobuf = false;
        for (place, slot) in self.variants.iter().enumerate() {
            if place != wanted
                && let Ok(mut slot) = slot.try_lock()
                && slot.as_ref().is_some_and(|variant| now.saturating_duration_since(variant.asked_at) > KEEP)
            {
                *slot = None;
                protobuf |= is_protobuf(place);
            }
        }
        if protobuf {
            self.forget_prepared(wanted);
        }
    }

    /// Unless another protobuf page is there, or is being made.
    fn forget_prepared(&self, wanted: usize) {
        let is_needed = |(place, slot): (usize, &Mutex<Option<Variant>>)| {
            is_protobuf(place) && (place == wanted || slot.try_lock().map_or(true, |slot| slot.is_some()))
        };
        if !self.variants.iter().enumerate().any(is_needed)
            && let Ok(mut memory) = self.memory.try_write()
        {
            memory.prepare(false);
        }
    }

    /// The series as they are now, and what a checksum over all of the page begins with.
    fn series_part(
        &self,
        slot: &mut Option<Variant>,
        (format, encoding): (Format, Encoding),
        now: Instant,
    ) -> std::io::Result<(Arc<[Bytes]>, Arc<Crc>)> {
        let current = self.read_memory(SeriesMemory::generation);
        let before = slot.take().map(|variant| variant.rendered);
        let rendered = match before {
            Some(rendered) if rendered.generation == current => rendered,
            before => self.render((format, encoding), before.unwrap_or_default())?,
        };
        let part = (Arc::clone(&rendered.chunks), Arc::clone(&rendered.crc));
        *slot = Some(Variant { asked_at: now, rendered });
        Ok(part)
    }

    fn render(&self, (format, encoding): (Format, Encoding), before: Rendered) -> std::io::Result<Rendered> {
        if format == Format::Protobuf && !self.read_memory(SeriesMemory::is_prepared) {
            self.write_memory(|memory| memory.prepare(true));
        }
        self.compressing(encoding, |compressor| {
            self.read_memory(|memory| Rendered::of(memory, before, (format, encoding), compressor))
        })
    }

    // After a panic while a lock was held the pages stay as they are: every change leaves them well-formed.
    pub(crate) fn read_memory<T>(&self, f: impl FnOnce(&SeriesMemory<F, G>) -> T) -> T {
        f(&self.memory.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write_memory<T>(&self, f: impl FnOnce(&mut SeriesMemory<F, G>) -> T) -> T {
        f(&mut self.memory.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A compressor that nobody uses.
#[derive(Default)]
struct Spare(Mutex<Option<Compressor>>);

impl std::fmt::Debug for Spare {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Spare")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn variant(format: Format, encoding: Encoding) -> usize {
    format as usize * Encoding::ALL.len() + encoding as usize
}

fn is_protobuf(variant: usize) -> bool {
    variant / Encoding::ALL.len() == Format::Protobuf as usize
}
