//! The session metrics in memory: every durable family, its held series and the gauges. No locks and no clocks here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::catalogue::{Family, GaugeFamily, Kind};
use super::family::{Applied, BoundTexts, CHUNK, FamilySeries};
use super::labels::LabelSet;
use super::negotiation::Format;
use super::number;
use super::series::{BucketSchemas, Exemplar, SeriesKey, SeriesState};
use super::writer;

/// What a scrape shows of sessions and agents.
#[derive(Debug)]
pub struct SeriesMemory {
    schemas: Arc<BucketSchemas>,
    bounds: BoundTexts,
    families: Vec<FamilySeries>,
    gauges: Vec<Vec<(LabelSet, f64)>>,
    /// Held series, longest shown first.
    holds: VecDeque<(Instant, Family, u32)>,
    /// Held series that nobody has been shown yet, or whose first showing has not been given a time.
    not_yet_scraped: Vec<(Family, u32)>,
    published: bool,
    generation: u64,
}

impl SeriesMemory {
    /// Nothing counted, nothing published.
    pub fn new(schemas: Arc<BucketSchemas>) -> Self {
        Self {
            bounds: BoundTexts::new(&schemas),
            schemas,
            families: Family::ALL.into_iter().map(FamilySeries::new).collect(),
            gauges: GaugeFamily::ALL.into_iter().map(|_| Vec::new()).collect(),
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

    /// Whether session metrics are on the page.
    pub fn is_published(&self) -> bool {
        self.published
    }

    /// How many series the durable families have.
    pub fn series(&self) -> usize {
        self.families.iter().map(FamilySeries::len).sum()
    }

    /// Takes states after a commit. What would make a shown value fall, or does not fit, is left out and logged:
    /// either is a defect elsewhere, and P2 weighs more than the one value.
    pub fn apply(&mut self, states: &[SeriesState], exemplars: Vec<Exemplar>) {
        if states.is_empty() && exemplars.is_empty() {
            return;
        }
        self.generation += 1;
        for state in states {
            let family = state.key.family;
            let Some(memory) = self.families.get_mut(usize::from(family.code())) else { continue };
            match memory.apply(state, &self.schemas) {
                Applied::Taken { series, held: true } => self.not_yet_scraped.push((family, series)),
                Applied::Taken { held: false, .. } => {}
                Applied::Decreased => {
                    tracing::error!(metric = family.descriptor().name, "a total was about to fall; it stays as it was");
                }
                Applied::Rejected => {
                    tracing::error!(
                        metric = family.descriptor().name,
                        "a series does not fit its buckets and is not shown; restart after changing buckets"
                    );
                }
            }
        }
        for exemplar in exemplars {
            let Some(memory) = self.families.get_mut(usize::from(exemplar.key.family.code())) else { continue };
            if let (true, Some(series), Some(text)) = (
                takes_exemplars(exemplar.key.family),
                memory.find(exemplar.key.labels.as_str()),
                writer::exemplar_text(&exemplar),
            ) {
                memory.set_exemplar(series, exemplar.bucket, exemplar.at, text);
            }
        }
    }

    /// Shows the session metrics from `now` on; held series count their hold from here.
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

    /// The held series that have been shown for at least `hold`. The hold of a series born since the last call begins
    /// with this call: never early, late by one call at most. Series stay due until they are released.
    pub fn due_for_release(&mut self, now: Instant, hold: Duration) -> Vec<SeriesKey> {
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

    fn family(&self, family: Family) -> Option<&FamilySeries> {
        self.families.get(usize::from(family.code()))
    }

    fn is_held(&self, family: Family, series: u32) -> bool {
        self.family(family).is_some_and(|f| f.is_held(series))
    }

    /// Shows the true values of these series from now on.
    pub fn release(&mut self, keys: &[SeriesKey]) {
        let mut changed = false;
        for key in keys {
            let Some(memory) = self.families.get_mut(usize::from(key.family.code())) else { continue };
            if let Some(series) = memory.find(key.labels.as_str()) {
                changed |= memory.release(series);
            }
        }
        self.generation += u64::from(changed);
    }

    /// Replaces a family of gauges.
    pub fn set_gauges(&mut self, family: GaugeFamily, series: Vec<(LabelSet, f64)>) {
        let Some(gauges) = self.gauges.get_mut(family as usize) else { return };
        let same = gauges.len() == series.len()
            && gauges.iter().zip(&series).all(|(a, b)| a.0 == b.0 && a.1.to_bits() == b.1.to_bits());
        if !same {
            *gauges = series;
            self.generation += 1;
        }
    }

    /// Appends all that is published to `out`; `hand_on` is given the buffer whenever it is large.
    pub fn write(&self, out: &mut Vec<u8>, format: Format, hand_on: &mut impl FnMut(&mut Vec<u8>)) {
        if !self.published {
            return;
        }
        for family in &self.families {
            family.write(out, &self.bounds, format, hand_on);
        }
        for (family, gauges) in GaugeFamily::ALL.into_iter().zip(&self.gauges) {
            if gauges.is_empty() {
                continue;
            }
            let descriptor = family.descriptor();
            writer::header(out, descriptor.name, Kind::Gauge, descriptor.help, format);
            for (labels, value) in gauges {
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

/// The families of which the design wants exemplars.
fn takes_exemplars(family: Family) -> bool {
    matches!(family, Family::Outcomes | Family::Duration | Family::SentimentScore)
}
