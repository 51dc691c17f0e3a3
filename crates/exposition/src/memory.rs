//! All series in memory: every family of counters and histograms, its held series, and the gauges. No locks and no clocks
//! here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::buckets::BucketSchemas;
use crate::descriptor::{Family, Kind};
use crate::family_series::{Applied, BoundTexts, CHUNK, FamilySeries};
use crate::labels::LabelSet;
use crate::negotiation::Format;
use crate::series::{Exemplar, SeriesKey, SeriesState};
use crate::{number, writer};

/// The series of the families `F` and of the gauges `G`.
#[derive(Debug)]
pub struct SeriesMemory<F, G> {
    schemas: Arc<BucketSchemas>,
    bounds: BoundTexts,
    families: Vec<FamilySeries>,
    gauges: Vec<Gauges<G>>,
    /// Held series, longest shown first.
    holds: VecDeque<(Instant, F, u32)>,
    /// Held series that no page has shown yet, or whose first page has not been given a time.
    not_yet_scraped: Vec<(F, u32)>,
    published: bool,
    generation: u64,
}

/// A family of gauges, replaced as a whole.
#[derive(Debug)]
struct Gauges<G> {
    family: G,
    series: Vec<(LabelSet, f64)>,
}

impl<F: Family, G: Family> SeriesMemory<F, G> {
    /// Nothing counted, nothing published.
    pub fn new(schemas: Arc<BucketSchemas>) -> Self {
        Self {
            bounds: BoundTexts::new(&schemas),
            schemas,
            families: F::ALL.iter().map(|family| FamilySeries::new(*family)).collect(),
            gauges: G::ALL.iter().map(|family| Gauges { family: *family, series: Vec::new() }).collect(),
            holds: VecDeque::new(),
            not_yet_scraped: Vec::new(),
            published: false,
            generation: 0,
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
            match memory.apply(state, &self.schemas) {
                Applied::Taken { series, held: true } => self.not_yet_scraped.push((family, series)),
                Applied::Taken { held: false, .. } => {}
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
                memory.set_exemplar(series, bucket, at_ms, text);
            }
        }
    }

    /// Shows the series from `now` on; the initial-zero windows of held series begin here.
    pub fn publish(&mut self, now: Instant) {
        if !self.published {
            self.published = true;
            self.generation += 1;
            self.stamp(now);
        }
    }

    fn stamp(&mut self, now: Instant) {
        self.holds.extend(self.not_yet_scraped.drain(..).map(|(family, series)| (now, family, series)));
    }

    /// The held series that have been shown for at least `hold`. The window of a series that is new since the last call
    /// begins with this call: never early, late by one call at most. Series stay due until they are released.
    pub fn due_for_release(&mut self, now: Instant, hold: Duration) -> Vec<SeriesKey<F>> {
        if !self.published {
            return Vec::new();
        }
        self.stamp(now);
        while self.holds.front().is_some_and(|(_, family, series)| !self.is_held(*family, *series)) {
            self.holds.pop_front();
        }
        self.holds
            .iter()
            .take_while(|(since, ..)| now.saturating_duration_since(*since) >= hold)
            .filter(|(_, family, series)| self.is_held(*family, *series))
            .filter_map(|(_, family, series)| {
                let labels = self.family(*family)?.labels(*series)?;
                Some(SeriesKey { family: *family, labels: LabelSet::from_escaped(labels) })
            })
            .collect()
    }

    fn family(&self, family: F) -> Option<&FamilySeries> {
        self.families.get(family.place())
    }

    fn is_held(&self, family: F, series: u32) -> bool {
        self.family(family).is_some_and(|f| f.is_held(series))
    }

    /// Shows the true values of these series from now on.
    pub fn release(&mut self, keys: &[SeriesKey<F>]) {
        let mut changed = false;
        for key in keys {
            let Some(memory) = self.families.get_mut(key.family.place()) else { continue };
            if let Some(series) = memory.find(key.labels.as_str()) {
                changed |= memory.release(series);
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
        }
    }

    /// Appends all that is published to `out`; `hand_on` is given the buffer whenever it is large.
    pub fn write(&self, out: &mut Vec<u8>, format: Format, hand_on: &mut dyn FnMut(&mut Vec<u8>)) {
        if !self.published {
            return;
        }
        for family in &self.families {
            family.write(out, &self.bounds, format, hand_on);
        }
        for Gauges { family, series } in &self.gauges {
            if series.is_empty() {
                continue;
            }
            let descriptor = family.descriptor();
            writer::header(out, descriptor.name, Kind::Gauge, descriptor.help, format);
            for (labels, value) in series {
                writer::sample(out, descriptor.name, "", labels.as_str().as_bytes());
                number::float(out, *value);
                out.push(b'\n');
                if out.len() >= CHUNK {
                    hand_on(out);
                }
            }
        }
    }
}
