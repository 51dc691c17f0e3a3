//! Checksums of what the file holds, so that a changed byte is an error and never a wrong number.
//!
//! SQLite notices damage to the structure of its file, but not to what stands in it: a changed digit is a digit. So every
//! row has a hash of its values in its last column, and every table has the number of its rows and the sum of their
//! hashes in the table `checksums`, which is brought up to date by each transaction. The hash tells which row is damaged;
//! the sum tells that a row is missing, is there twice, or belongs elsewhere. The remembered ids, which are many, have the
//! sum alone: that costs no byte an id.
//!
//! # A new table
//! 1. Declare it in [`TABLES`](super::tables::TABLES), with `hash INTEGER NOT NULL` as its last column.
//! 2. Write it in SQL with these functions, each of which is given the name of the table first:
//!    `INSERT INTO t VALUES (?1, ?2, row_added('t', ?1, ?2))`,
//!    `UPDATE t SET b = ?2, hash = row_changed('t', hash, a, ?2) WHERE a = ?1` (all values as they are afterwards, in the
//!    order of the columns), and [`delete`] with `DELETE FROM t WHERE … RETURNING row_removed('t', hash)`.
//! 3. No `INSERT OR …` and no `ON CONFLICT`: the row would be summed and not written. Try the update, then insert.
//!
//! All else (the check when the file is opened, `state inspect --verify`, `state export --salvage`) goes by the
//! declaration. Whoever forgets a function cannot open the state again.

mod damage;
mod hash;
#[cfg(test)]
mod tests;
mod total;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Params, Result};

pub(super) use damage::{Damage, damage, is_damage, shown};
use damage::{Found, found_in, structure};
use hash::id_hash;
pub(super) use hash::{row_hash, sound_hash};
use total::Total;

use super::{partitions, tables};

/// The row of `checksums` that is of no table: its `rows` are the commits so far, and its `sum` tells this state from all
/// others.
const COMMITS: &str = "commits";

/// The checksums of an open state, shared with the functions in its SQL.
#[derive(Clone, Debug, Default)]
pub(super) struct Checksums(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<Box<str>, Entry>,
    commit: CommitNumber,
    /// Changes of rows that SQLite had counted when the last commit was.
    changes: u64,
    /// The file, so that it is not closed while SQLite has it open.
    file: Option<File>,
}

#[derive(Debug, Default)]
struct Entry {
    total: Total,
    changed: bool,
}

/// Which state this is, and how often something was committed to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CommitNumber {
    /// Random, drawn when the state was made.
    pub(super) state: i64,
    /// Rises with every commit of the daemon.
    pub(super) number: i64,
}

impl Checksums {
    /// Makes the functions known to `connection`. What they sum up is kept for [`write`](Self::write).
    pub(super) fn of(connection: &Connection) -> Result<Self> {
        let checksums = Self::default();
        let function = |name: &str, act: fn(&mut Total, i64, i64), hashes: usize| {
            let shared = checksums.clone();
            connection.create_scalar_function(name, -1, FunctionFlags::SQLITE_UTF8, move |context: &mut Context<'_>| {
                let table = context.get_raw(0).as_str()?;
                // A removed row needs none of its values.
                let before = if hashes > 0 { context.get_raw(1).as_i64()? } else { 0 };
                let values = (1 + hashes..context.len()).map(|place| context.get_raw(place));
                let after = row_hash(table, values);
                shared.change(table, |total| act(total, before, after));
                Ok(after)
            })
        };
        function("row_added", |total, _, after| total.add(after), 0)?;
        function("row_removed", |total, before, _| total.remove(before), 1)?;
        function("row_changed", |total, before, after| (total.remove(before), total.add(after)).1, 1)?;
        Ok(checksums)
    }

    /// Keeps the file open for as long as the connection is: a close would give up SQLite's lock.
    pub(super) fn keep(&self, file: File) {
        self.state().file = Some(file);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, table: &str, act: impl FnOnce(&mut Total)) {
        let mut state = self.state();
        let entry = match state.tables.get_mut(table) {
            Some(entry) => entry,
            None => state.tables.entry(table.into()).or_default(),
        };
        act(&mut entry.total);
        entry.changed = true;
    }

    /// An id was added to a table of ids.
    pub(super) fn id_added(&self, table: &str, key: &[u8; 16], parts: i64) {
        self.change(table, |total| total.add(id_hash(table, key, parts)));
    }

    /// An id was taken out of a table of ids.
    pub(super) fn id_removed(&self, table: &str, key: &[u8; 16], parts: i64) {
        self.change(table, |total| total.remove(id_hash(table, key, parts)));
    }

    /// A table of ids was made.
    pub(super) fn table_made(&self, table: &str) {
        self.change(table, |total| *total = Total::default());
    }

    /// A table of ids was dropped.
    pub(super) fn table_dropped(&self, connection: &Connection, table: &str) -> Result<()> {
        self.state().tables.remove(table);
        connection.prepare_cached("DELETE FROM checksums WHERE name = ?1")?.execute([table])?;
        Ok(())
    }

    /// Begins the checksums of a state that is being made, whose tables are all there.
    pub(super) fn begin(&self, connection: &Connection) -> Result<()> {
        self.state().commit = CommitNumber { state: fastrand::i64(..), number: 0 };
        for table in tables::tables() {
            self.change(table, |_| ());
        }
        for (table, _) in partitions::all(connection)? {
            let total = Total::of_ids(connection, &table)?.ok_or_else(|| damage(format!("{table} is not in order")))?;
            self.change(&table, |known| *known = total);
        }
        self.write_commit(connection)?;
        self.write(connection)
    }

    /// Writes what has changed into the running transaction: to be called before each commit.
    pub(super) fn write(&self, connection: &Connection) -> Result<()> {
        let mut state = self.state();
        for (table, entry) in state.tables.iter_mut().filter(|(_, entry)| entry.changed) {
            write_row(connection, table, entry.total)?;
            entry.changed = false;
        }
        state.changes = connection.total_changes();
        Ok(())
    }

    /// Like [`write`](Self::write), and counts the commit, unless the transaction changes nothing.
    pub(super) fn write_counting(&self, connection: &Connection) -> Result<()> {
        {
            let mut state = self.state();
            if connection.total_changes() == state.changes {
                return Ok(());
            }
            state.commit.number = state.commit.number.saturating_add(1);
        }
        self.write_commit(connection)?;
        self.write(connection)
    }

    fn write_commit(&self, connection: &Connection) -> Result<()> {
        let CommitNumber { state, number } = self.commit();
        write_row(connection, COMMITS, Total { rows: number, sum: state })
    }

    /// How many rows were written to a table, as far as that is known.
    pub(super) fn rows(&self, table: &str) -> u64 {
        let rows = self.state().tables.get(table).map_or(0, |entry| entry.total.rows);
        u64::try_from(rows).unwrap_or(0)
    }

    /// Which state it is, and its last commit.
    pub(super) fn commit(&self) -> CommitNumber {
        self.state().commit
    }

    /// Reads the checksums. After an error those that are sound are known all the same.
    ///
    /// # Errors
    /// If one of them is damaged, or a table has none.
    pub(super) fn load(&self, connection: &Connection, format: i64) -> Result<()> {
        for table in ["sqlite_schema", "checksums"] {
            if let Some(what) = structure(connection, table)? {
                return Err(damage(Damage::Structure(what).says(table)));
            }
        }
        let read = read_rows(connection)?;
        let mut state = self.state();
        state.tables.clear();
        let (mut commit, mut damaged) = (None, None);
        for (name, total) in read {
            match total {
                None => damaged = Some(name),
                Some(total) if name == COMMITS => commit = Some(CommitNumber { state: total.sum, number: total.rows }),
                Some(total) => drop(state.tables.insert(name.into(), Entry { total, changed: false })),
            }
        }
        if let Some(name) = damaged {
            return Err(damage(Damage::Unknown.says(&shown(&name))));
        }
        state.commit = commit.ok_or_else(|| damage("the number of its commits is missing".into()))?;
        state.changes = connection.total_changes();
        let partitions = partitions::all(connection)?.into_iter().map(|(table, _)| table);
        let there: BTreeSet<String> = partitions.chain(tables::tables_in(format).map(Into::into)).collect();
        if let Some(table) = there.iter().find(|table| !state.tables.contains_key(table.as_str())) {
            return Err(damage(Damage::Unknown.says(table)));
        }
        match state.tables.keys().find(|name| !there.contains(&***name)) {
            Some(table) => Err(damage(format!("the table {} is missing", shown(table)))),
            None => Ok(()),
        }
    }

    /// Checks every table but those of ids, which may be large.
    ///
    /// # Errors
    /// If one is damaged.
    pub(super) fn verify_rows(&self, connection: &Connection, format: i64) -> Result<()> {
        for table in tables::tables_in(format).filter(|table| !table.starts_with(partitions::PREFIX)) {
            if let Some(found) = self.damage_in(connection, table)? {
                return Err(damage(found.says(table)));
            }
        }
        Ok(())
    }

    /// Checks a table of ids.
    ///
    /// # Errors
    /// If it is damaged.
    pub(super) fn verify_ids(&self, connection: &Connection, table: &str) -> Result<()> {
        match self.damage_in(connection, table)? {
            Some(found) => Err(damage(found.says(table))),
            None => Ok(()),
        }
    }

    /// What is wrong with a table; none if it is as it was written.
    pub(super) fn damage_in(&self, connection: &Connection, table: &str) -> Result<Option<Damage>> {
        let Some(written) = self.state().tables.get(table).map(|entry| entry.total) else {
            return Ok(Some(Damage::Unknown));
        };
        match found_in(connection, table) {
            Ok(Found { structure: Some(what), .. }) => Ok(Some(Damage::Structure(what))),
            Ok(Found { damaged, .. }) if damaged > 0 => Ok(Some(Damage::Rows(damaged))),
            Ok(Found { total, .. }) if total == written => Ok(None),
            Ok(Found { total, .. }) => Ok(Some(Damage::Missing { there: total.rows, written: written.rows })),
            Err(error) if is_damage(&error) => Ok(Some(Damage::Structure(error.to_string()))),
            Err(error) => Err(error),
        }
    }
}

/// Deletes with a statement that ends in `RETURNING row_removed('table', hash)`, and gives the number of rows.
pub(super) fn delete(connection: &Connection, statement: &str, params: impl Params) -> Result<usize> {
    let mut statement = connection.prepare_cached(statement)?;
    let mut rows = statement.query(params)?;
    let mut deleted = 0;
    while rows.next()?.is_some() {
        deleted += 1;
    }
    Ok(deleted)
}

fn write_row(connection: &Connection, name: &str, total: Total) -> Result<()> {
    let values = [ValueRef::Text(name.as_bytes()), ValueRef::Integer(total.rows), ValueRef::Integer(total.sum)];
    connection.prepare_cached("INSERT OR REPLACE INTO checksums VALUES (?1, ?2, ?3, ?4)")?.execute((
        name,
        total.rows,
        total.sum,
        row_hash("checksums", values),
    ))?;
    Ok(())
}

/// The rows of `checksums`: of a damaged one only its name, as far as that can be read.
fn read_rows(connection: &Connection) -> Result<Vec<(String, Option<Total>)>> {
    let mut statement = connection.prepare("SELECT * FROM checksums")?;
    let mut rows = statement.query([])?;
    let mut read = Vec::new();
    while let Some(row) = rows.next()? {
        let name = String::from_utf8_lossy(row.get_ref(0)?.as_bytes().unwrap_or_default()).into_owned();
        let total = match sound_hash("checksums", row)? {
            Some(_) => Some(Total { rows: row.get(1)?, sum: row.get(2)? }),
            None => None,
        };
        read.push((name, total));
    }
    Ok(read)
}

/// Whether the checksum of a table is there: it is in no format before 3.
pub(super) fn are_there(connection: &Connection) -> Result<bool> {
    let found =
        connection.query_row("SELECT 1 FROM sqlite_schema WHERE name = 'checksums'", [], |_| Ok(())).optional()?;
    Ok(found.is_some())
}
