//! The ids of the sessions that were counted last, before they are in the tables of their days.
//!
//! An id is as good as random: each would change a page of its own in the table of its day, and a commit would write a page
//! for every session. So a commit appends its ids as one row, and they are kept in memory as well. Once there are many, they
//! are brought into the tables in the order of the tables, where neighbours share a page: a part of them with each of the
//! commits that follow, so that none of these takes long. The rows are deleted when all of their ids are there. What is left
//! at a start is brought there before anything else is done.
//!
//! Of an id that is in several rows, the last row says what is remembered of it; of one that is in a row and in a table, the row.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Result};

use super::checksums::{self, Checksums};
use super::partitions::partition;
use crate::ledger::policy::rows::{CountedRow, SessionKey};

/// Ids that are gathered before they are brought into the tables. It bounds the memory that they take (some 2 MB, since as many
/// gather meanwhile at most) and how long a start takes after a crash.
const MOST_GATHERED: usize = if cfg!(test) { 40 } else { 16_384 };
/// Ids that a commit brings into the tables besides its own work.
const PART: usize = if cfg!(test) { 8 } else { 512 };
/// Bytes of an id in a row: its day, its key, its parts.
const ENTRY: usize = 32;

const DELETE: &str = "DELETE FROM new_ids WHERE number <= ?1 RETURNING row_removed('new_ids', hash)";

/// Ids by their place: day and key.
pub(super) type Placed = BTreeMap<(i64, SessionKey), i64>;

/// The ids that are not in the tables of their days yet, or may not be.
#[derive(Debug, Default)]
pub(super) struct NewIds {
    /// What of the running transaction goes into its row.
    row: Vec<u8>,
    /// The ids of the rows after [`Self::brings`].
    gathered: HashMap<SessionKey, CountedRow>,
    /// The ids of the rows up to that one.
    brought: HashMap<SessionKey, CountedRow>,
    /// Those of them that are still to be brought into the tables, the last first.
    left: Vec<(i64, SessionKey, i64)>,
    /// The last row of which ids are being brought into the tables.
    brings: i64,
    /// The last row.
    last: i64,
}

impl NewIds {
    /// What is remembered of a session, if that is not in the table of its day yet, or if it need not be looked for there.
    pub(super) fn find(&self, key: &SessionKey) -> Option<CountedRow> {
        self.gathered.get(key).or_else(|| self.brought.get(key)).copied()
    }

    /// Remembers a session under a day.
    pub(super) fn push(&mut self, key: &SessionKey, day: i64, parts: i64) {
        self.row.extend_from_slice(&day.to_le_bytes());
        self.row.extend_from_slice(key);
        self.row.extend_from_slice(&parts.to_le_bytes());
        self.gathered.insert(*key, CountedRow { parts, day: Some(day) });
    }

    /// Ends the writing of ids in a transaction: appends the row with its own, and brings a part of earlier ones into the tables,
    /// each of which `check` has said to be sound.
    pub(super) fn write(
        &mut self,
        connection: &Connection,
        checksums: &Checksums,
        mut check: impl FnMut(i64) -> Result<()>,
    ) -> Result<()> {
        let most = PART.max(2 * self.row.len() / ENTRY);
        self.append(connection)?;
        if self.left.is_empty() {
            if self.gathered.len() < MOST_GATHERED {
                return Ok(());
            }
            self.begin();
        }
        let mut checked = None;
        for (day, ..) in self.left.iter().rev().take(most) {
            if checked.replace(*day) != Some(*day) {
                check(*day)?;
            }
        }
        let rest = self.left.len().saturating_sub(most);
        bring(connection, checksums, self.left.drain(rest..).rev())?;
        if self.left.is_empty() {
            delete(connection, self.brings)?;
            self.brought = HashMap::new();
        }
        Ok(())
    }

    /// From here on, what is in a row is brought into the tables.
    fn begin(&mut self) {
        self.brought = std::mem::take(&mut self.gathered);
        let placed = self.brought.iter().filter_map(|(key, row)| Some((row.day?, *key, row.parts)));
        self.left = placed.collect();
        self.left.sort_unstable_by(|a, b| b.cmp(a));
        self.brings = self.last;
    }

    fn append(&mut self, connection: &Connection) -> Result<()> {
        if !self.row.is_empty() {
            self.last += 1;
            connection
                .prepare_cached("INSERT INTO new_ids VALUES (?1, ?2, row_added('new_ids', ?1, ?2))")?
                .execute((self.last, &self.row))?;
            self.row.clear();
        }
        Ok(())
    }

    /// Whether there are any of that day that may not be in its table.
    pub(super) fn has_any_of(&self, day: i64) -> bool {
        self.gathered.values().chain(self.brought.values()).any(|row| row.day == Some(day))
    }

    /// Brings all ids into the tables.
    pub(super) fn write_all(&mut self, connection: &Connection, checksums: &Checksums) -> Result<()> {
        self.append(connection)?;
        bring(connection, checksums, self.left.drain(..).rev())?;
        self.begin();
        bring(connection, checksums, self.left.drain(..).rev())?;
        delete(connection, self.last)?;
        *self = Self::default();
        Ok(())
    }
}

/// Brings the ids of all rows into the tables: to be called in a transaction, before any id is looked for.
pub(super) fn catch_up(connection: &Connection, checksums: &Checksums) -> Result<()> {
    let placed = read_all(connection)?;
    if placed.is_empty() {
        return Ok(());
    }
    bring(connection, checksums, placed.into_iter().map(|((day, key), parts)| (day, key, parts)))?;
    delete(connection, i64::MAX)
}

/// Deletes the rows up to that number. They are overwritten in the file, so that whoever has a session forgotten has it
/// forgotten here as well.
fn delete(connection: &Connection, number: i64) -> Result<()> {
    connection.pragma_update(None, "secure_delete", "ON")?;
    checksums::delete(connection, DELETE, [number])?;
    connection.pragma_update(None, "secure_delete", "OFF")
}

fn read_all(connection: &Connection) -> Result<Placed> {
    let mut placed = Placed::new();
    let mut statement = connection.prepare("SELECT ids FROM new_ids ORDER BY number")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let damaged = || rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, "new_ids: a row is broken".into());
        read(row.get_ref(0)?.as_blob()?, &mut placed).ok_or_else(damaged)?;
    }
    Ok(placed)
}

/// Adds what a row says to `placed`; `None` if it is not a row.
pub(super) fn read(row: &[u8], placed: &mut Placed) -> Option<()> {
    let (entries, rest) = row.as_chunks::<ENTRY>();
    for entry in entries {
        let (day, rest) = entry.split_first_chunk()?;
        let (key, parts) = rest.split_first_chunk()?;
        placed.insert((i64::from_le_bytes(*day), *key), i64::from_le_bytes(*parts.first_chunk()?));
    }
    rest.is_empty().then_some(())
}

/// Writes ids, which stand in their order, into the tables of their days.
fn bring(
    connection: &Connection,
    checksums: &Checksums,
    ids: impl Iterator<Item = (i64, SessionKey, i64)>,
) -> Result<()> {
    let mut table: Option<(i64, String, CachedStatement<'_>)> = None;
    for (day, key, parts) in ids {
        let (_, name, insert) = match &mut table {
            Some(open) if open.0 == day => open,
            other => {
                let name = partition(Some(day));
                let insert = connection.prepare_cached(&format!("INSERT OR IGNORE INTO {name} VALUES (?1, ?2)"))?;
                other.insert((day, name, insert))
            }
        };
        if insert.execute((key, parts))? > 0 {
            checksums.id_added(name, &key, parts);
        } else {
            replace(connection, checksums, name, &key, parts)?;
        }
    }
    Ok(())
}

/// Writes other parts into the row of a table, if it is there.
pub(super) fn replace(
    connection: &Connection,
    checksums: &Checksums,
    table: &str,
    key: &SessionKey,
    parts: i64,
) -> Result<()> {
    let before: Option<i64> = connection
        .prepare_cached(&format!("SELECT parts FROM {table} WHERE id = ?1"))?
        .query_row([key], |row| row.get(0))
        .optional()?;
    let Some(before) = before.filter(|before| *before != parts) else { return Ok(()) };
    connection.prepare_cached(&format!("UPDATE {table} SET parts = ?2 WHERE id = ?1"))?.execute((key, parts))?;
    checksums.id_removed(table, key, before);
    checksums.id_added(table, key, parts);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_of_ids_is_read_back_with_the_last_word_of_each_and_a_truncated_one_is_rejected() {
        let mut ids = NewIds::default();
        ids.push(&[7; 16], 20_000, i64::MIN);
        ids.push(&[3; 16], -1, 5);
        ids.push(&[7; 16], 20_000, 9);
        let mut placed = Placed::new();
        assert_eq!(read(&ids.row, &mut placed), Some(()));
        assert_eq!(placed, Placed::from([((-1, [3; 16]), 5), ((20_000, [7; 16]), 9)]));
        assert_eq!(read(&ids.row[1..], &mut placed), None);
        assert_eq!(ids.find(&[7; 16]), Some(CountedRow { parts: 9, day: Some(20_000) }));
        assert_eq!(ids.find(&[8; 16]), None);
    }
}
