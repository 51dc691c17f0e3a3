//! What is damaged in a state, found without changing anything; and what is sound of it, written out.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row};

use super::glance;
use super::transfer::{EXPORTED, counted_line, series_line};
use crate::ledger::LedgerError;
use crate::ledger::policy::classification::UNKNOWN_PARTS;
use crate::ledger::sqlite::checksums::{self, Checksums, sound_hash};
use crate::ledger::sqlite::new_ids::{self, Placed};
use crate::ledger::sqlite::{mark, partitions, schema, tables, totals};
use crate::ledger::transfer::{self, Line, Output, UpkeepError};

/// What a whole check of a state has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Rows of tables that were read, without the remembered ids.
    pub rows: u64,
    /// Remembered ids that were read.
    pub ids: u64,
    /// What is damaged, in words.
    pub damage: Vec<String>,
}

/// What of a damaged state was written out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    /// Lines that were written.
    pub lines: u64,
    /// What is damaged, and what could not be kept, in words.
    pub left_out: Vec<String>,
}

/// A state that is looked at as it is, however damaged, under its lock.
struct Suspect {
    connection: Connection,
    checksums: Checksums,
    path: PathBuf,
    /// What is wrong with the files as such.
    damage: Vec<String>,
}

impl Suspect {
    fn open(directory: &Path) -> Result<Self, UpkeepError> {
        let path = schema::file_in(directory);
        if !path.exists() {
            return Err(UpkeepError::NoState { path: directory.into() });
        }
        if let Some(found) = glance::format(&path).filter(|found| *found < tables::FORMAT) {
            return Err(UpkeepError::Older { path: directory.into(), found, known: tables::FORMAT });
        }
        let mut damage: Vec<String> = schema::damage_in_header(&path)?.into_iter().collect();
        let connection = schema::open_unchanged(directory)?;
        let unreadable = |e: rusqlite::Error| UpkeepError::from(schema::writing_error(&path, &e));
        // Takes the lock, and says whether it is a database at all.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(unreadable)?;
        let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(unreadable)?;
        if format > tables::FORMAT {
            let known = tables::FORMAT;
            return Err(LedgerError::Newer { path, found: format, known }.into());
        }
        damage.extend(schema::damage_in_log(&path)?);
        damage.extend(schema::damage_in_tables(&connection, tables::FORMAT).map_err(unreadable)?);
        let checksums = Checksums::default();
        match checksums.load(&connection, tables::FORMAT) {
            Ok(()) => damage.extend(mark::lost(mark::read(directory), checksums.commit())),
            Err(error) => damage.push(error.to_string()),
        }
        Ok(Self { connection, checksums, path, damage })
    }

    fn unreadable(&self, error: &rusqlite::Error) -> UpkeepError {
        schema::writing_error(&self.path, error).into()
    }

    fn partitions(&self) -> Vec<(String, Option<i64>)> {
        // Of a damaged list what can be read of it was said before.
        partitions::all(&self.connection).unwrap_or_default()
    }
}

/// Reads all of the state in `directory` and says what is damaged in it. Nothing is changed.
///
/// # Errors
/// If there is no state, it is of another format, a daemon has it open, or it is no database.
pub fn verify(directory: &Path) -> Result<Verification, UpkeepError> {
    let mut state = Suspect::open(directory)?;
    let mut found = Verification { damage: std::mem::take(&mut state.damage), ..Verification::default() };
    let structure = state.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    let structure = structure.unwrap_or_else(|error| error.to_string());
    if structure != "ok" {
        found.damage.push(checksums::shown(&structure));
    }
    let tables = tables::tables().filter(|table| !table.starts_with(partitions::PREFIX)).map(ToOwned::to_owned);
    for table in tables.chain(state.partitions().into_iter().map(|(table, _)| table)) {
        let table = &*table;
        let damage = state.checksums.damage_in(&state.connection, table).map_err(|e| state.unreadable(&e))?;
        if let Some(damage) = damage {
            found.damage.push(damage.says(table));
        } else if table.starts_with(partitions::PREFIX) {
            found.ids += state.checksums.rows(table);
        } else {
            found.rows += state.checksums.rows(table);
        }
    }
    // Those that are in the table of their day as well were read there.
    for (day, key) in state.new_ids(&mut Vec::new())?.into_keys() {
        let query = format!("SELECT 1 FROM {} WHERE id = ?1", partitions::partition(Some(day)));
        let is_there = state.connection.prepare_cached(&query).and_then(|mut find| find.exists([key]));
        found.ids += u64::from(!is_there.unwrap_or(false));
    }
    Ok(found)
}

/// Writes to `to` what is sound of the state in `directory`, as an export that can be imported. Nothing is changed.
///
/// Every row that is as it was written is kept. The remembered ids have one checksum a day: of a damaged day all are kept,
/// since an id that is wrong there makes one session count again, and leaving them out would make all of them.
///
/// # Errors
/// If there is no state, it is of another format, a daemon has it open, it is no database, or `to` takes no more.
pub fn salvage(directory: &Path, to: &mut dyn Write, progress: &mut dyn FnMut(u64)) -> Result<Salvage, UpkeepError> {
    let mut state = Suspect::open(directory)?;
    let mut left_out = std::mem::take(&mut state.damage);
    let mut out = Output::begin(to, progress, true)?;
    let mut added = Added::read(&state, &mut left_out)?;
    let mut layouts = HashSet::from([String::new()]);
    for (table, line) in EXPORTED {
        let (kept, there) = state.sound_rows(table, |row| match table {
            "series" => added.complete(row),
            _ => line(row),
        })?;
        let mut lines = 0;
        for line in kept {
            match &line {
                Line::Layout(name, _) => drop(layouts.insert(name.clone())),
                Line::Series(series) if !layouts.contains(&series.layout) => continue,
                _ => {}
            }
            out.line(&line)?;
            lines += 1;
        }
        let written = state.checksums.rows(table).max(there);
        if lines < written {
            left_out.push(format!("{} of {written} rows of {table} are left out", written - lines));
        }
    }
    if !added.is_empty() {
        left_out.push(format!("what was lately added to {} series that are left out", added.0.len()));
    }
    let new = state.new_ids(&mut left_out)?;
    let new_keys: HashSet<String> = new.keys().map(|(_, key)| transfer::hex(key)).collect();
    for (table, day) in state.partitions() {
        let sound = state.checksums.damage_in(&state.connection, &table).map_err(|e| state.unreadable(&e))?.is_none();
        let (kept, _) = state.rows(&table, |row| counted_line(row, day).map(Some))?;
        let written = state.checksums.rows(&table);
        if !sound {
            left_out.push(format!(
                "{table} is damaged: {} of {written} ids are kept, of which some may be wrong; a session whose id is wrong or missing is counted again if Agntix still gives it",
                kept.len()
            ));
        }
        for mut line in kept {
            if matches!(&line, Line::Counted { id, .. } if new_keys.contains(id)) {
                continue;
            }
            // Which of them are wrong is not known: none is taken for a changed analysis.
            if let (Line::Counted { parts, .. }, false) = (&mut line, sound) {
                *parts = UNKNOWN_PARTS;
            }
            out.line(&line)?;
        }
    }
    for ((day, key), parts) in new {
        out.line(&transfer::counted(key, parts, Some(day)))?;
    }
    Ok(Salvage { lines: out.end()?, left_out })
}

impl Suspect {
    /// The rows of a table that are as they were written, and how many there are in all.
    fn sound_rows(
        &self,
        table: &str,
        mut line: impl FnMut(&Row<'_>) -> rusqlite::Result<Line>,
    ) -> Result<(Vec<Line>, u64), UpkeepError> {
        self.rows(table, |row| match sound_hash(table, row)? {
            Some(_) => line(row).map(Some),
            None => Ok(None),
        })
    }

    /// The rows of a table from its beginning up to what cannot be read, and from its end down to that.
    fn rows(
        &self,
        table: &str,
        mut line: impl FnMut(&Row<'_>) -> rusqlite::Result<Option<Line>>,
    ) -> Result<(Vec<Line>, u64), UpkeepError> {
        let (mut kept, mut seen) = (Vec::new(), HashSet::new());
        for order in ["", &self.backwards(table)] {
            let mut read = || -> rusqlite::Result<()> {
                let mut statement = self.connection.prepare(&format!("SELECT * FROM {table} {order}"))?;
                let columns = statement.column_count();
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    let values =
                        (0..columns).map(|column| row.get_ref(column)).collect::<rusqlite::Result<Vec<_>>>()?;
                    if !seen.insert(checksums::row_hash(table, values)) {
                        continue;
                    }
                    match line(row) {
                        Ok(line) => kept.extend(line),
                        // It is what was written, and still no line.
                        Err(error) if checksums::is_damage(&error) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            };
            match read() {
                Ok(()) => break,
                Err(error) if checksums::is_damage(&error) => {}
                Err(error) => return Err(self.unreadable(&error)),
            }
        }
        Ok((kept, seen.len() as u64))
    }

    /// The ids that may not be in the tables of their days yet.
    fn new_ids(&self, left_out: &mut Vec<String>) -> Result<Placed, UpkeepError> {
        let mut sound: Vec<(i64, Vec<u8>)> = Vec::new();
        let (_, there) = self.rows("new_ids", |row| {
            if sound_hash("new_ids", row)?.is_some() {
                sound.push((row.get(0)?, row.get(1)?));
            }
            Ok(None)
        })?;
        sound.sort_unstable();
        let mut ids = Placed::new();
        let kept = sound.iter().filter(|(_, row)| new_ids::read(row, &mut ids).is_some()).count() as u64;
        let written = self.checksums.rows("new_ids").max(there);
        if kept < written {
            left_out.push(format!(
                "{} of {written} rows of new_ids are left out; a session of these is counted again if Agntix still gives it",
                written - kept
            ));
        }
        Ok(ids)
    }

    fn backwards(&self, table: &str) -> String {
        let key = "SELECT group_concat(name || ' DESC', ', ') FROM (
            SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk)";
        let key = self.connection.query_row(key, [table], |row| row.get::<_, Option<String>>(0));
        format!("ORDER BY {}", key.ok().flatten().unwrap_or_else(|| "rowid DESC".into()))
    }
}

/// What was added to the series since they were written.
struct Added(BTreeMap<totals::Name, Vec<u64>>);

impl Added {
    fn read(state: &Suspect, left_out: &mut Vec<String>) -> Result<Self, UpkeepError> {
        let mut sums = hashbrown::HashMap::new();
        let mut kept = 0_u64;
        let (_, there) = state.rows("additions", |row| {
            if sound_hash("additions", row)?.is_some() {
                kept += u64::from(totals::read(row.get_ref(1)?.as_blob()?, &mut sums).is_some());
            }
            Ok(None)
        })?;
        let written = state.checksums.rows("additions").max(there);
        if kept < written {
            left_out.push(format!("{} of {written} rows of additions are left out", written - kept));
        }
        Ok(Self(sums.into_iter().collect()))
    }

    /// The line of a series with what was added to it.
    fn complete(&mut self, row: &Row<'_>) -> rusqlite::Result<Line> {
        let mut series = series_line(row)?;
        if let Some(added) = self.0.remove(&totals::name(row.get(0)?, &series.labels)) {
            for (cell, by) in series.cells.iter_mut().zip(added) {
                *cell = cell.saturating_add(by);
            }
        }
        Ok(Line::Series(series))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
