//! All series in memory: every family of counters and histograms, and the gauges. A held series shows what it is told to
//! show until it is released; when that is, is decided elsewhere. No locks and no clocks here.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::buckets::BucketSchemas;
use crate::descriptor::{Descriptor, Family, Kind};
use crate::family_series::{Applied, BLOCK_LINES, BoundTexts, CHUNK, FamilySeries, ShownExemplar, Spelled};
use crate::labels::{ConstantLabels, LabelSet};
use crate::negotiation::Format;
use crate::protobuf::{self, About};
use crate::series::{Exemplar, SeriesKey, SeriesState};
use crate::{number, writer};

/// The series of the families `F` and of the gauges `G`.
#[derive(Debug)]
pub struct SeriesMemory<F, G> {
    spelled: Spelled,
    disabled: Arc<BTreeSet<String>>,
    /// By their places in `F`.
    families: Vec<FamilySeries>,
    of: PhantomData<F>,
    gauges: Vec<Gauges<G>>,
    published: bool,
    generation: u64,
    /// The generation in which every line of the page changed last.
    all_changed: u64,
}

/// A stretch of a page that is rendered together, and again when something in it has changed. One that is equal to an earlier one shows the same.
#[derive(Debug, PartialEq, Eq)]
pub struct Unit {
    /// The generation in which it changed last.
    pub changed: u64,
    /// The blocks of it, in the order of the page.
    pub blocks: Vec<Block>,
}

/// A block of series: the place of its family among all, gauges behind the others, and its own in the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    family: usize,
    /// Which of the families that a protobuf page makes of it.
    message: usize,
    /// `None` for what stands before a family of a protobuf page.
    place: Option<usize>,
}

/// What all parts of a page have in common. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What every line carries behind its own labels.
    pub constant: Arc<ConstantLabels>,
    /// The names of the metrics that are left off.
    pub disabled: Arc<BTreeSet<String>>,
}

/// A family of gauges, replaced as a whole.
#[derive(Debug)]
struct Gauges<G> {
    family: G,
    series: Vec<(LabelSet, f64)>,
    /// The generation in which they changed last.
    changed: u64,
}

impl<F: Family, G: Family> SeriesMemory<F, G> {
    /// Nothing counted, nothing published.
    pub fn new(schemas: Arc<BucketSchemas>) -> Self {
        let (bounds, constant) = (BoundTexts::new(&schemas), ConstantLabels::new(LabelSet::default()));
        Self {
            spelled: Spelled {
                bound_pairs: bounds.pairs(&constant),
                bounds,
                constant: Arc::new(constant),
                created_lines: false,
                schemas,
            },
            disabled: Arc::default(),
            families: F::ALL.iter().map(|family| FamilySeries::new(*family)).collect(),
            of: PhantomData,
            gauges: G::ALL.iter().map(|family| Gauges { family: *family, series: Vec::new(), changed: 0 }).collect(),
            published: false,
            generation: 0,
            all_changed: 0,
        }
    }

    /// Grows with every change of what a scrape would show.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the series are on the page.
    pub fn is_published(&self) -> bool {
        self.published
    }

    /// What all parts of the page have in common.
    pub fn shared(&self) -> Shared {
        Shared { constant: Arc::clone(&self.spelled.constant), disabled: Arc::clone(&self.disabled) }
    }

    /// Leaves the metrics of these names off the page, in place of those before.
    pub fn set_disabled(&mut self, names: BTreeSet<String>) {
        if *self.disabled != names {
            self.disabled = Arc::new(names);
            self.change_all();
        }
    }

    /// Whether OpenMetrics has `_created` lines. There are none at first.
    pub fn set_created_lines(&mut self, are_shown: bool) {
        if self.spelled.created_lines != are_shown {
            self.spelled.created_lines = are_shown;
            self.change_all();
        }
    }

    /// Puts these labels on every line of the page, in place of those before.
    pub fn set_constant_labels(&mut self, labels: LabelSet) {
        if *self.spelled.constant.labels() != labels {
            let constant = ConstantLabels::new(labels);
            self.spelled.bound_pairs = self.spelled.bounds.pairs(&constant);
            self.spelled.constant = Arc::new(constant);
            self.change_all();
        }
    }

    /// Every line is another one, or at another place.
    fn change_all(&mut self) {
        self.generation += 1;
        self.all_changed = self.generation;
    }

    /// How many series of counters and histograms there are.
    pub fn series(&self) -> usize {
        self.families.iter().map(FamilySeries::len).sum()
    }

    /// Takes states. What would make a shown value decrease, or does not fit, is left out and logged: either is a defect
    /// of the caller, and a counter that decreases does more harm than the one value.
    pub fn apply(&mut self, states: &[SeriesState<F>], exemplars: Vec<Exemplar<F>>) {
        if states.is_empty() && exemplars.is_empty() {
            return;
        }
        self.generation += 1;
        for state in states {
            let family = state.key.family;
            let Some(memory) = self.families.get_mut(family.place()) else { continue };
            match memory.apply(state, &self.spelled.schemas, self.generation) {
                Applied::Taken => {}
                Applied::Decreased => {
                    tracing::error!(
                        metric = family.descriptor().name,
                        "a decrease of a counter was rejected; its value stays"
                    );
                }
                Applied::Rejected => {
                    tracing::error!(
                        metric = family.descriptor().name,
                        "a series was rejected, since it does not fit its buckets; restart after changing buckets"
                    );
                }
            }
        }
        for exemplar in exemplars {
            let Exemplar { key, bucket, id, value, at_ms } = exemplar;
            let (Some(label), Some(memory)) = (key.family.exemplar_label(), self.families.get_mut(key.family.place()))
            else {
                continue;
            };
            if let (Some(series), Some(text)) =
                (memory.find(key.labels.as_str()), writer::exemplar(label, &id, value, at_ms))
            {
                let message = protobuf::exemplar(label, &id, value, at_ms).into_boxed_slice();
                let exemplar = ShownExemplar { at_ms, text, message };
                memory.set_exemplar(series, bucket, exemplar, self.generation);
            }
        }
    }

    /// Takes these states in place of all before. Gives the families that show less, and by how much their counts in sum.
    pub fn replace(&mut self, states: &[SeriesState<F>]) -> Vec<(F, u64)> {
        let empty = F::ALL.iter().map(|family| FamilySeries::new(*family)).collect();
        let before: Vec<FamilySeries> = std::mem::replace(&mut self.families, empty);
        self.change_all();
        self.apply(states, Vec::new());
        let pairs = F::ALL.iter().zip(before.iter().zip(&self.families));
        pairs
            .map(|(family, (before, now))| (*family, before.missing_in(now)))
            .filter(|(_, missing)| *missing > 0)
            .collect()
    }

    /// Gives each series of a family to `visitor`: the text of its labels, the bounds of its buckets, and its true counts, shown or
    /// not.
    pub fn visit(&self, family: F, visitor: &mut impl FnMut(&str, &[f64], &[u64])) {
        let Some(memory) = self.families.get(family.place()) else { return };
        memory.visit(&mut |labels, schema, counts| {
            visitor(labels, self.spelled.schemas.get(schema).map_or(&[], |schema| &schema.bounds), counts);
        });
    }

    /// Shows the series from now on.
    pub fn publish(&mut self) {
        if !self.published {
            self.published = true;
            self.change_all();
        }
    }

    /// Shows the true values of these series from now on.
    pub fn release(&mut self, keys: &[SeriesKey<F>]) {
        let mut changed = false;
        for key in keys {
            let Some(memory) = self.families.get_mut(key.family.place()) else { continue };
            if let Some(series) = memory.find(key.labels.as_str()) {
                changed |= memory.release(series, self.generation + 1);
            }
        }
        self.generation += u64::from(changed);
    }

    /// Replaces a family of gauges.
    pub fn set_gauges(&mut self, family: G, series: Vec<(LabelSet, f64)>) {
        let Some(gauges) = self.gauges.get_mut(family.place()) else { return };
        let same = gauges.series.len() == series.len()
            && gauges.series.iter().zip(&series).all(|(a, b)| a.0 == b.0 && a.1.to_bits() == b.1.to_bits());
        if !same {
            gauges.series = series;
            self.generation += 1;
            gauges.changed = self.generation;
        }
    }

    /// All families of gauges.
    pub fn gauges(&self) -> Vec<(G, Vec<(LabelSet, f64)>)> {
        self.gauges.iter().map(|gauges| (gauges.family, gauges.series.clone())).collect()
    }

    /// The page, in units of about as many lines each.
    pub fn units(&self, format: Format) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        let mut lines = 0;
        for (block, more, changed) in self.blocks(format) {
            let changed = changed.max(self.all_changed);
            match units.last_mut() {
                Some(unit) if lines + more <= BLOCK_LINES => {
                    unit.changed = unit.changed.max(changed);
                    unit.blocks.push(block);
                    lines += more;
                }
                _ => {
                    units.push(Unit { changed, blocks: vec![block] });
                    lines = more;
                }
            }
        }
        units
    }

    /// All blocks that are shown, in their order, with about how many lines each has, and the generation in which it changed last.
    fn blocks(&self, format: Format) -> impl Iterator<Item = (Block, usize, u64)> {
        let is_shown = |name: &str| self.published && !self.disabled.contains(name);
        let families = self.families.iter().zip(F::ALL).enumerate();
        let families = families.filter(move |(_, (_, of))| is_shown(of.descriptor().name));
        let of_families = families.flat_map(move |(family, (series, _))| {
            let messages = if format == Format::Protobuf { series.messages() } else { 1 };
            (0..messages).flat_map(move |message| {
                // The length of a family stands before it, and may change with each of its blocks.
                let changed = series.blocks().map(|(_, changed)| changed).max();
                let head = changed.filter(|_| format == Format::Protobuf).map(|changed| (None, 0, changed));
                let blocks = series.blocks().enumerate().map(|(block, (lines, changed))| (Some(block), lines, changed));
                let all = head.into_iter().chain(blocks);
                all.map(move |(place, lines, changed)| (Block { family, message, place }, lines, changed))
            })
        });
        let gauges = self.gauges.iter().enumerate();
        let gauges = gauges.filter(move |(_, of)| !of.series.is_empty() && is_shown(of.family.descriptor().name));
        let of_gauges = gauges.map(|(place, of)| {
            let block = Block { family: self.families.len() + place, message: 0, place: Some(0) };
            (block, of.series.len(), of.changed)
        });
        of_families.chain(of_gauges)
    }

    /// Appends a unit of the page; `hand_on` is given the buffer when it is large.
    pub fn write(&self, out: &mut Vec<u8>, unit: &Unit, format: Format, hand_on: &mut impl FnMut(&mut Vec<u8>)) {
        for Block { family, message, place } in &unit.blocks {
            if let Some(series) = self.families.get(*family) {
                match format {
                    Format::Text | Format::OpenMetrics => {
                        series.write(out, place.unwrap_or_default(), &self.spelled, format);
                    }
                    Format::Protobuf => series.write_protobuf(out, *message, *place, &self.spelled),
                }
            } else if let Some(gauges) = self.gauges.get(family - self.families.len()) {
                self.write_gauges(out, gauges, format);
            }
            if out.len() >= CHUNK {
                hand_on(out);
            }
        }
    }

    fn write_gauges(&self, out: &mut Vec<u8>, Gauges { family, series, .. }: &Gauges<G>, format: Format) {
        let Descriptor { name, kind, help, .. } = family.descriptor();
        let constant = &*self.spelled.constant;
        if format == Format::Protobuf {
            let (mut metrics, mut own) = (Vec::new(), Vec::new());
            for (labels, value) in series {
                own.clear();
                protobuf::label_pairs(&mut own, labels.as_str());
                let about = About { labels: [&own, &constant.pairs], created: &[] };
                protobuf::metric(&mut metrics, about, &protobuf::Gauge(*value));
            }
            protobuf::family(out, name, kind, help, metrics.len());
            out.append(&mut metrics);
            return;
        }
        writer::header(out, name, Kind::Gauge, help, format);
        for (labels, value) in series {
            writer::sample(out, name, "", labels.as_str().as_bytes(), constant);
            number::float(out, *value);
            out.push(b'\n');
        }
    }

    /// Whether what protobuf pages have of every series is [prepared](Self::prepare).
    pub fn is_prepared(&self) -> bool {
        self.families.iter().all(FamilySeries::is_prepared)
    }

    /// Keeps what protobuf pages have of every series, or no longer: that makes these pages faster to write and costs memory.
    pub fn prepare(&mut self, is_kept: bool) {
        for family in &mut self.families {
            family.prepare(is_kept);
        }
    }
}
