//! What a commit makes of the series, as bytes: the row that is appended for it, from which every replica that does not count
//! learns what to show. Pure.
//!
//! Numbers are written seven bits a byte, the lowest first, as most of them are small. A row begins with the number of its
//! format; a replica that does not know it cannot go on, and says so.

use exposition::LabelSet;

use crate::catalogue::{Family, SeriesKey};

/// The number of the format.
const FORMAT: u8 = 1;

/// One thing that a commit makes of the series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A series begins.
    New {
        /// Its number; the numbers of series that begin one after the other follow one another.
        id: u32,
        /// The code of its family.
        family: u8,
        /// Its labels.
        labels: Box<str>,
        /// The name of its buckets.
        buckets: Box<str>,
        /// Its state.
        state: State,
    },
    /// A series has another state.
    Set(u32, State),
    /// Amounts are added to the counts of a series, each to the one at its place.
    Add(u32, Vec<(u16, u64)>),
    /// The initial-zero window of a series is over.
    Release(u32),
    /// The look-back is done: the page is shown.
    LookBackDone,
    /// The bounds of histograms have changed: everything has to be read again.
    BucketsChanged,
}

/// What of a series can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// [`created_ms`](crate::catalogue::SeriesState)
    pub(super) created_ms: i64,
    /// [`counts`](crate::catalogue::SeriesState)
    pub(super) counts: Box<[u64]>,
    /// [`held_counts`](crate::catalogue::SeriesState)
    pub(super) held_counts: Option<Box<[u64]>>,
}

/// Puts a row together.
#[derive(Debug)]
pub(super) struct Row(Vec<u8>);

impl Default for Row {
    fn default() -> Self {
        Self(vec![FORMAT])
    }
}

impl Row {
    /// The bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Appends one thing.
    pub(super) fn push(&mut self, item: &Item) {
        match item {
            Item::New { id, family, labels, buckets, state } => {
                self.0.extend([1, *family]);
                self.number(u64::from(*id));
                self.text(labels);
                self.text(buckets);
                self.state(state);
            }
            Item::Set(id, state) => {
                self.0.push(2);
                self.number(u64::from(*id));
                self.state(state);
            }
            Item::Add(id, amounts) => {
                self.0.push(3);
                self.number(u64::from(*id));
                self.number(amounts.len() as u64);
                for (place, amount) in amounts {
                    self.number(u64::from(*place));
                    self.number(*amount);
                }
            }
            Item::Release(id) => {
                self.0.push(4);
                self.number(u64::from(*id));
            }
            Item::LookBackDone => self.0.push(5),
            Item::BucketsChanged => self.0.push(6),
        }
    }

    fn number(&mut self, mut number: u64) {
        loop {
            let low = (number & 0x7F) as u8;
            number >>= 7;
            if number == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn state(&mut self, state: &State) {
        self.0.extend_from_slice(&state.created_ms.to_le_bytes());
        self.counts(&state.counts);
        self.0.push(u8::from(state.held_counts.is_some()));
        if let Some(held) = &state.held_counts {
            self.counts(held);
        }
    }

    fn counts(&mut self, counts: &[u64]) {
        self.number(counts.len() as u64);
        for count in counts {
            self.number(*count);
        }
    }
}

/// Reads a row; `None` if it is none that this version knows.
pub(super) fn read(row: &[u8]) -> Option<Vec<Item>> {
    let (format, rest) = row.split_first()?;
    if *format != FORMAT {
        return None;
    }
    let mut reader = Reader(rest);
    let mut items = Vec::new();
    while let Some(kind) = reader.byte() {
        items.push(match kind {
            1 => Item::New {
                family: reader.byte()?,
                id: reader.number()?,
                labels: reader.text()?,
                buckets: reader.text()?,
                state: reader.state()?,
            },
            2 => Item::Set(reader.number()?, reader.state()?),
            3 => {
                let id = reader.number()?;
                let count: usize = reader.number()?;
                let amounts = (0..count).map(|_| Some((reader.number()?, reader.number()?)));
                Item::Add(id, amounts.collect::<Option<_>>()?)
            }
            4 => Item::Release(reader.number()?),
            5 => Item::LookBackDone,
            6 => Item::BucketsChanged,
            _ => return None,
        });
    }
    Some(items)
}

/// The key of a series that begins; `None` if this version does not know the family.
pub(super) fn key(family: u8, labels: &str) -> Option<SeriesKey> {
    let family = Family::from_code(family)?;
    Some(SeriesKey { family, labels: LabelSet::parse(family.descriptor().labels, labels)? })
}

struct Reader<'r>(&'r [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number<T: TryFrom<u64>>(&mut self) -> Option<T> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return T::try_from(number).ok();
            }
        }
        None
    }

    fn bytes(&mut self, length: usize) -> Option<&[u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<Box<str>> {
        let length = self.number()?;
        std::str::from_utf8(self.bytes(length)?).ok().map(Into::into)
    }

    fn state(&mut self) -> Option<State> {
        let created_ms = i64::from_le_bytes(self.bytes(8)?.try_into().ok()?);
        let counts = self.counts()?;
        let held_counts = if self.byte()? == 0 { None } else { Some(self.counts()?) };
        Some(State { created_ms, counts, held_counts })
    }

    fn counts(&mut self) -> Option<Box<[u64]>> {
        let count: usize = self.number()?;
        (0..count).map(|_| self.number()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> impl Strategy<Value = State> {
        let counts = || prop::collection::vec(any::<u64>(), 0..5).prop_map(Into::into);
        (any::<i64>(), counts(), prop::option::of(counts())).prop_map(|(created_ms, counts, held_counts)| State {
            created_ms,
            counts,
            held_counts,
        })
    }

    fn item() -> impl Strategy<Value = Item> {
        let new = (any::<u32>(), any::<u8>(), ".{0,9}", ".{0,5}", state()).prop_map(
            |(id, family, labels, buckets, state)| Item::New {
                id,
                family,
                labels: labels.into(),
                buckets: buckets.into(),
                state,
            },
        );
        prop_oneof![
            new,
            (any::<u32>(), state()).prop_map(|(id, state)| Item::Set(id, state)),
            (any::<u32>(), prop::collection::vec(any::<(u16, u64)>(), 0..4))
                .prop_map(|(id, amounts)| Item::Add(id, amounts)),
            any::<u32>().prop_map(Item::Release),
            Just(Item::LookBackDone),
            Just(Item::BucketsChanged),
        ]
    }

    proptest! {
        #[test]
        fn row_is_read_as_it_was_written_and_a_cut_one_not(items in prop::collection::vec(item(), 0..9)) {
            let mut row = Row::default();
            for item in &items {
                row.push(item);
            }
            let bytes = row.into_bytes();
            for end in 0..bytes.len() {
                let cut = read(&bytes[..end]);
                prop_assert_ne!(cut.as_ref(), Some(&items));
            }
            prop_assert_eq!(read(&bytes), Some(items));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            let _ = read(&bytes);
        }
    }
}
