//! Totals between the commits: what a commit adds to the series is appended as one row, and brought into the table of
//! the series only now and then.
//!
//! A commit of 64 sessions touches hundreds of series, all over their table. To look up and write each of them would cost
//! more than all the rest. The row with the additions is written by the same transaction as the ids of the counted
//! sessions, so that either both are durable or neither is; and it is deleted by the same transaction that brings the
//! table up to date. What is left after a crash is added before anything else is done.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use rusqlite::types::Type;
use rusqlite::{Connection, Result};

use super::{checksums, series};
use crate::catalogue::{SeriesKey, SeriesState};
use crate::ledger::Committed;
use crate::ledger::policy::PolicyConfig;
use crate::ledger::policy::room::Charges;
use crate::ledger::policy::sums::{Additions, Delta};
use exposition::BucketSchemas;

/// Series that the table may lag behind. It bounds how long the commit takes that brings them up to date.
const MOST_LAGGING: usize = 4096;
/// Rows of additions. It bounds what is added after a crash.
const MOST_ROWS: usize = 256;
/// Series kept in memory, so that they need no look-up: those of two hundred channels.
const MOST_RECENT: usize = 8192;

const DELETE: &str = "DELETE FROM additions RETURNING row_removed('additions', hash)";

/// What a row of additions calls a series: half of the SHA-256 of its family and labels.
pub(super) type Name = [u8; 16];

/// The series to which something was added lately.
#[derive(Debug, Default)]
pub(super) struct Totals {
    recent: HashMap<SeriesKey, Recent>,
    /// How many of them the table lags behind.
    lagging: usize,
    /// Rows of additions that are not in the table.
    rows: usize,
    /// What all series are charged.
    charged: u64,
}

/// A series with all that was added to it.
#[derive(Debug)]
struct Recent {
    name: Name,
    state: SeriesState,
    lags: bool,
}

impl Recent {
    fn new(state: SeriesState) -> Self {
        let name = name(state.key.family.code(), state.key.labels.as_str());
        Self { name, state, lags: false }
    }

    /// Where it stands in the table.
    fn place(&self) -> (u8, &str) {
        (self.state.key.family.code(), self.state.key.labels.as_str())
    }
}

impl Totals {
    /// Nothing added yet to the series of the table.
    pub(super) fn load(connection: &Connection, bucket_schemas: &BucketSchemas, charges: &Charges) -> Result<Self> {
        Ok(Self { charged: series::charged(connection, bucket_schemas, charges)?, ..Self::default() })
    }

    /// What all series are charged.
    pub(super) fn charged(&self) -> u64 {
        self.charged
    }

    /// Whether the series is there.
    pub(super) fn has(&self, connection: &Connection, key: &SeriesKey) -> Result<bool> {
        Ok(self.recent.contains_key(key) || series::exists(connection, key)?)
    }

    /// Writes what is added into the running transaction and gives the new states of the series that changed.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        additions: Additions,
        config: &PolicyConfig,
    ) -> Result<Committed> {
        let Additions { mut sums, look_back, now } = additions;
        let (bucket_schemas, charges) = (&config.bucket_schemas, config.charges());
        let mut committed = Committed { exemplars: sums.take_exemplars(), ..Committed::default() };
        let mut row = Vec::new();
        for (key, delta) in sums.deltas {
            let recent = match self.recent.entry(key) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(free) => {
                    if let Some(state) = series::find(connection, free.key(), bucket_schemas)? {
                        free.insert(Recent::new(state))
                    } else {
                        let state = delta.into_new_series(free.key().clone(), now, look_back);
                        series::insert(connection, &state, bucket_schemas)?;
                        self.charged += charges.of(state.key.family, state.key.labels.as_str(), state.schema);
                        committed.zero_initialized.push(state.key.clone());
                        committed.series.push(state.clone());
                        free.insert(Recent::new(state));
                        continue;
                    }
                }
            };
            if !delta.rises {
                continue;
            }
            delta.add_to(&mut recent.state, look_back);
            if look_back.done {
                append(&mut row, &recent.name, &delta);
                self.lagging += usize::from(!std::mem::replace(&mut recent.lags, true));
            } else {
                // Starting values change with it. Nothing is appended before the look-back is done.
                series::update(connection, &recent.state)?;
            }
            committed.series.push(recent.state.clone());
        }
        if !row.is_empty() {
            self.rows += 1;
            connection
                .prepare_cached("INSERT INTO additions VALUES (?1, ?2, row_added('additions', ?1, ?2))")?
                .execute((i64::try_from(self.rows).unwrap_or(i64::MAX), row))?;
        }
        if self.rows >= MOST_ROWS || self.lagging >= MOST_LAGGING || self.recent.len() > MOST_RECENT {
            self.catch_up(connection)?;
        }
        Ok(committed)
    }

    /// Ends the hold of the series called `key`.
    pub(super) fn release(&mut self, connection: &Connection, key: &SeriesKey) -> Result<()> {
        if let Some(recent) = self.recent.get_mut(key) {
            recent.state.held_counts = None;
        }
        series::release(connection, key)
    }

    /// Brings the table up to date.
    fn catch_up(&mut self, connection: &Connection) -> Result<()> {
        let mut lagging: Vec<&mut Recent> = self.recent.values_mut().filter(|recent| recent.lags).collect();
        // As they stand in the table, where neighbours share a page.
        lagging.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        for recent in lagging {
            series::update(connection, &recent.state)?;
            recent.lags = false;
        }
        checksums::delete(connection, DELETE, [])?;
        (self.lagging, self.rows) = (0, 0);
        if self.recent.len() > MOST_RECENT {
            self.recent.clear();
        }
        Ok(())
    }
}

/// Adds what the table lacks: to be called in a transaction, before anything is read of the series.
pub(super) fn catch_up_after_crash(connection: &Connection) -> Result<()> {
    let (mut sums, mut any) = (HashMap::new(), false);
    let mut statement = connection.prepare("SELECT cells FROM additions")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        any = true;
        read(row.get_ref(0)?.as_blob()?, &mut sums).ok_or_else(|| damaged("a row of additions is broken"))?;
    }
    if !any {
        return Ok(());
    }
    series::raise_all(connection, |family, labels| sums.remove(&name(family, labels)))?;
    if !sums.is_empty() {
        return Err(damaged("something was added to a series that is not there"));
    }
    checksums::delete(connection, DELETE, []).map(drop)
}

fn damaged(what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, format!("additions: {what}").into())
}

pub(super) fn name(family: u8, labels: &str) -> Name {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(&[family]);
    context.update(labels.as_bytes());
    let mut name = [0; 16];
    name.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    name
}

/// A series in a row: its name, how many counts rise, and of each its place (2 bytes) and by how much (8 bytes).
fn append(row: &mut Vec<u8>, name: &Name, delta: &Delta) {
    let rising = || (0_u16..).zip(&delta.counts).filter(|(_, amount)| **amount > 0);
    row.extend_from_slice(name);
    row.extend_from_slice(&u16::try_from(rising().count()).unwrap_or(u16::MAX).to_le_bytes());
    for (bucket, amount) in rising() {
        row.extend_from_slice(&bucket.to_le_bytes());
        row.extend_from_slice(&amount.to_le_bytes());
    }
}

/// Adds what a row says to `sums`; `None` if it is not a row.
pub(super) fn read(mut row: &[u8], sums: &mut HashMap<Name, Vec<u64>>) -> Option<()> {
    while !row.is_empty() {
        let (name, rest) = row.split_first_chunk()?;
        let (rising, mut rest) = rest.split_first_chunk()?;
        let counts = sums.entry(*name).or_default();
        for _ in 0..u16::from_le_bytes(*rising) {
            let (bucket, more) = rest.split_first_chunk()?;
            let (amount, more) = more.split_first_chunk()?;
            let bucket = usize::from(u16::from_le_bytes(*bucket));
            if counts.len() <= bucket {
                counts.resize(bucket + 1, 0);
            }
            let sum = counts.get_mut(bucket)?;
            *sum = sum.saturating_add(u64::from_le_bytes(*amount));
            rest = more;
        }
        row = rest;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use exposition::BucketSchemaId;

    #[test]
    fn row_of_additions_is_read_back_and_a_truncated_one_is_rejected() {
        let (one, two) = (name(1, "one"), name(1, "two"));
        let delta = |counts: &[u64]| {
            let mut delta = Delta::new(BucketSchemaId::NONE, 0);
            delta.counts = counts.into();
            delta
        };
        let mut row = Vec::new();
        append(&mut row, &one, &delta(&[0, 7, 0, u64::MAX]));
        append(&mut row, &two, &delta(&[1]));
        let mut sums = HashMap::new();
        assert_eq!(read(&row, &mut sums), Some(()));
        assert_eq!(read(&row, &mut sums), Some(()));
        assert_eq!(sums, HashMap::from([(one, vec![0, 14, 0, u64::MAX]), (two, vec![2])]));
        assert_eq!(read(&row[..row.len() - 1], &mut sums), None);
    }
}
