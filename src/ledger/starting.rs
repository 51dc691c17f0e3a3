//! The starting values of the series: what each has counted when the look-back is done, before the page shows any of it (promise
//! P3). They are kept so that a history can end where the live counters begin. Pure.
//!
//! They are stored among the single numbers, one a count that is not 0, so that every backend and every export has them without
//! a table of their own, and versions that do not know them leave them as they are.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::encoding;
use crate::catalogue::{Family, SeriesKey, SeriesState};
use exposition::BucketSchemas;

/// The number that says that they were kept: there may be none other than 0.
const KEPT: &str = "starting_values";
/// Begins the name of the number that is a count: family, buckets, place and labels follow.
const COUNT: &str = "starting_value/";
/// Begins the name of the number whose name has the bounds of buckets.
const BOUNDS: &str = "starting_bounds/";
/// Not every store takes them in a text.
const ENCODED: &AsciiSet = &CONTROLS.add(b'/').add(b'%');

/// The numbers that hold the starting values of `series`, which are all there are.
pub(super) fn numbers(series: &[SeriesState], schemas: &BucketSchemas) -> Vec<(String, i64)> {
    let mut numbers = vec![(KEPT.to_owned(), 1)];
    for (_, schema) in schemas.iter().skip(1) {
        let name = utf8_percent_encode(&schema.name, ENCODED);
        numbers.push((format!("{BOUNDS}{name}/{}", encoding::bounds(&schema.bounds)), 1));
    }
    for state in series {
        let layout = schemas.get(state.schema).map_or("", |schema| &*schema.name);
        let layout = utf8_percent_encode(layout, ENCODED);
        let (family, labels) = (state.key.family.code(), utf8_percent_encode(state.key.labels.as_str(), ENCODED));
        let counts = state.held_counts.iter().flat_map(|held| held.iter().enumerate());
        for (place, count) in counts.filter(|(_, count)| **count > 0) {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            numbers.push((format!("{COUNT}{family}/{layout}/{place}/{labels}"), count));
        }
    }
    numbers
}

/// Starting values that are being read.
#[derive(Clone, Debug, Default)]
pub(super) struct StartingNumbers {
    /// They were kept.
    is_kept: bool,
    bounds: BTreeMap<String, Vec<f64>>,
    counts: BTreeMap<(SeriesKey, String), BTreeMap<usize, u64>>,
}

/// The starting value of a series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Starting {
    pub(super) key: SeriesKey,
    /// The name of its buckets; empty for a counter.
    pub(super) layout: String,
    /// The bounds that it was counted with.
    pub(super) bounds: Vec<f64>,
    /// Its counts under these bounds.
    pub(super) counts: Vec<u64>,
}

impl StartingNumbers {
    /// Takes a number in, if it is one of them. `None`: it is, and makes no sense.
    pub(super) fn take(&mut self, name: &str, value: i64) -> Option<bool> {
        if name == KEPT {
            self.is_kept = value == 1;
        } else if let Some(rest) = name.strip_prefix(BOUNDS) {
            let (layout, bounds) = rest.split_once('/')?;
            self.bounds.insert(decoded(layout)?, encoding::read_bounds(bounds));
        } else if let Some(rest) = name.strip_prefix(COUNT) {
            let mut parts = rest.splitn(4, '/');
            let family = Family::from_code(parts.next()?.parse().ok()?)?;
            let layout = decoded(parts.next()?)?;
            let place = parts.next()?.parse().ok()?;
            let labels = encoding::labels(family, &decoded(parts.next()?)?)?;
            let counts = self.counts.entry((SeriesKey { family, labels }, layout)).or_default();
            counts.insert(place, u64::try_from(value).ok()?);
        } else {
            return Some(false);
        }
        Some(true)
    }

    /// All of them, those of 0 left out; `None` if they were not kept.
    pub(super) fn finish(self) -> Option<Vec<Starting>> {
        let Self { is_kept, bounds, counts } = self;
        let of = |((key, layout), places): ((SeriesKey, String), BTreeMap<usize, u64>)| {
            let bounds = bounds.get(&layout).cloned().unwrap_or_default();
            // Buckets, +Inf and the sum.
            let width = if layout.is_empty() { 1 } else { bounds.len() + 2 };
            let counts = (0..width).map(|place| places.get(&place).copied().unwrap_or(0)).collect();
            Starting { key, layout, bounds, counts }
        };
        is_kept.then(|| counts.into_iter().map(of).collect())
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use exposition::{BucketSchema, BucketSchemaId, LabelSet};

    #[test]
    fn starting_values_are_read_back_and_0_is_not_stored() {
        let schemas = BucketSchemas::new([BucketSchema::new("extracted:a/b%\u{0}", &[1.0, 2.5])]);
        let family = Family::Languages;
        let labels = LabelSet::new(family.descriptor().labels, ["a/b\u{0}\"%", "en", "none", "none"]);
        let state = |family, labels: &LabelSet, schema, held: &[u64]| SeriesState {
            key: SeriesKey { family, labels: labels.clone() },
            schema,
            created_ms: 0,
            counts: held.iter().map(|count| count + 1).collect(),
            held_counts: Some(held.into()),
        };
        let turns = LabelSet::new(Family::Turns.descriptor().labels, ["a", "b", "c", "d"]);
        let series = [
            state(family, &labels, BucketSchemaId::NONE, &[7]),
            state(Family::Turns, &turns, BucketSchemaId(1), &[0, 3, 0, 9]),
            state(Family::Silent, &turns, BucketSchemaId::NONE, &[0]),
        ];
        let numbers = numbers(&series, &schemas);
        assert_eq!(numbers.len(), 5);
        let mut read = StartingNumbers::default();
        for (name, value) in &numbers {
            assert!(!name.contains('\u{0}'), "{name}");
            assert_eq!(read.take(name, *value), Some(true));
        }
        assert_eq!(read.take("watermark", 5), Some(false));
        assert_eq!(read.clone().take("starting_value/0/x", 5), None);
        let starting = read.finish().unwrap();
        assert_eq!(starting.len(), 2);
        let of = |family| starting.iter().find(|value| value.key.family == family).unwrap();
        assert_eq!((&of(family).key.labels, &of(family).counts[..]), (&labels, &[7][..]));
        assert_eq!(
            (&of(Family::Turns).counts[..], &of(Family::Turns).bounds[..]),
            (&[0, 3, 0, 9][..], &[1.0, 2.5][..])
        );
        assert!(StartingNumbers::default().finish().is_none(), "an earlier version began the state");
    }
}
