//! A whole state given line by line, and made of lines: to look into it, to move it between formats and kinds of the store, to
//! keep a copy that any program can read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use tempfile::TempDir;

use super::state::State;
use crate::catalogue::Family;
use crate::config::Config;
use crate::ledger::encoding;
use crate::ledger::sqlite::checksums::Checksums;
use crate::ledger::sqlite::sharing::share;
use crate::ledger::sqlite::store::{LedgerConfig, Store};
use crate::ledger::sqlite::{begin, contacts, counted, leases, meta, partitions, pending, schema, series, tables};
use crate::ledger::transfer::{
    self, Each, FORMAT, Line, Output, Pending, Progress, Refusal, Series, UpkeepError, session_key_of,
};

// A line has what a row of this store has: another format of the rows is another of the lines. The one since then only appends
// ids before they are in their tables.
const _: () = assert!(FORMAT == 4 && tables::FORMAT == 5);

/// Writes the state to `to`. `progress` gets the number of lines now and then. Gives the number of lines.
///
/// # Errors
/// If there is no state, a daemon has it open, or `to` takes no more.
pub fn export(directory: &Path, to: &mut dyn Write, progress: &mut Progress<'_>) -> Result<u64, UpkeepError> {
    let state = State::open(directory)?;
    let mut out = Output::begin(to, progress, false)?;
    state.lines(&mut |line| out.line(&line))?;
    out.end()
}

impl State {
    /// Gives every line of the state but the first and the last.
    pub(in crate::ledger) fn lines(&self, each: &mut Each<'_>) -> Result<(), UpkeepError> {
        for (table, line) in EXPORTED {
            self.rows(table, line, each)?;
        }
        for (table, day) in self.with(partitions::all)? {
            self.with(|connection| self.checksums.verify_ids(connection, &table))?;
            self.rows(&table, |row| counted_line(row, day), each)?;
        }
        Ok(())
    }

    fn rows(
        &self,
        table: &str,
        line: impl Fn(&Row<'_>) -> rusqlite::Result<Line>,
        each: &mut Each<'_>,
    ) -> Result<(), UpkeepError> {
        let broken = |e| UpkeepError::from(schema::writing_error(&self.path, &e));
        let mut statement = self.connection.prepare(&format!("SELECT * FROM {table}")).map_err(broken)?;
        let mut rows = statement.query([]).map_err(broken)?;
        while let Some(row) = rows.next().map_err(broken)? {
            let line = line(row).map_err(broken)?;
            // That this state has gone elsewhere is true of it alone.
            if !matches!(&line, Line::Meta(key, _) if key.starts_with(meta::MOVED_TO)) {
                each(line)?;
            }
        }
        Ok(())
    }
}

/// How a row becomes a line.
pub(super) type LineOf = fn(&Row<'_>) -> rusqlite::Result<Line>;

/// The tables that are exported, but for those of the counted ids; the columns stand as they are declared. What was added
/// lately is in the series before.
pub(super) const EXPORTED: [(&str, LineOf); 8] = [
    ("meta", |row| Ok(Line::Meta(row.get(0)?, row.get(1)?))),
    ("layouts", |row| Ok(Line::Layout(row.get(0)?, row.get(1)?))),
    ("admitted", |row| Ok(Line::Admitted(row.get(0)?, row.get(1)?, row.get(2)?))),
    ("series", |row| series_line(row).map(Line::Series)),
    ("pending", pending_line),
    ("contact_places", |row| Ok(Line::ContactPlace(row.get(0)?, row.get(1)?, row.get(2)?))),
    ("contacts", |row| {
        Ok(Line::Contact(transfer::hex(row.get_ref(0)?.as_blob()?), transfer::hex(row.get_ref(1)?.as_blob()?)))
    }),
    ("leases", |row| Ok(Line::Lease(row.get(0)?, row.get(1)?, row.get(2)?))),
];

/// The line of a counted session.
pub(super) fn counted_line(row: &Row<'_>, day: Option<i64>) -> rusqlite::Result<Line> {
    let id: [u8; 16] = row.get(0)?;
    Ok(transfer::counted(id, row.get(1)?, day))
}

pub(super) fn series_line(row: &Row<'_>) -> rusqlite::Result<Series> {
    let damaged = |column, what: &str| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, what.to_owned().into())
    };
    let cells = |column| -> rusqlite::Result<Option<Vec<u64>>> {
        let Some(blob) = row.get_ref(column)?.as_blob_or_null()? else { return Ok(None) };
        encoding::read_counts(blob, blob.len() / 8)
            .map(|cells| Some(cells.into()))
            .ok_or_else(|| damaged(column, "cells"))
    };
    let family = Family::from_code(row.get(0)?).ok_or_else(|| damaged(0, "unknown family"))?;
    Ok(Series {
        metric: family.descriptor().name.into(),
        labels: row.get(1)?,
        layout: row.get(2)?,
        created: row.get(3)?,
        cells: cells(4)?.unwrap_or_default(),
        held: cells(5)?,
    })
}

fn pending_line(row: &Row<'_>) -> rusqlite::Result<Line> {
    let channel: Option<String> = row.get(4)?;
    let channel = channel.map(|text| serde_json::from_str(&text)).transpose();
    Ok(Line::Pending(Pending {
        id: row.get(0)?,
        created: row.get(1)?,
        stage: row.get(2)?,
        ended: row.get(3)?,
        channel: channel
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, e.into()))?,
        heard: row.get(5)?,
        source: row.get(6)?,
    }))
}

/// Makes the state of `config` from exported lines: all of it, or nothing. `progress` gets the number of lines now and
/// then. Gives the number of lines.
///
/// # Errors
/// If there is a state already, the lines are not a whole export of this or an older format, or the disk cannot be
/// written.
pub fn import(config: &Config, from: &mut dyn BufRead, progress: &mut Progress<'_>) -> Result<u64, UpkeepError> {
    let (made, lines) = Made::of(config, &config.state.path, |write| transfer::read_all(from, progress, write))?;
    made.put_in_place()?;
    Ok(lines)
}

/// Takes a line into a state that is being made.
type Take<'w> = dyn FnMut(Line) -> Result<(), Refusal> + 'w;

/// A whole state that is not in its place yet. If it is dropped, nothing of it is left.
#[derive(Debug)]
pub(in crate::ledger) struct Made {
    directory: PathBuf,
    work: TempDir,
}

impl Made {
    /// Makes a state of the lines that `fill` gives, beside its place in `directory`.
    ///
    /// # Errors
    /// If there is a state already, `fill` fails, the daemon could not open what was made, or the disk cannot be written.
    pub(in crate::ledger) fn of(
        config: &Config,
        directory: &Path,
        fill: impl FnOnce(&mut Take<'_>) -> Result<u64, UpkeepError>,
    ) -> Result<(Self, u64), UpkeepError> {
        refuse_occupied(directory)?;
        std::fs::create_dir_all(directory)?;
        remove_broken_off(directory)?;
        // Made beside its place and renamed into it when whole, so that what was broken off leaves no state behind.
        let work = tempfile::Builder::new().prefix(WORK).tempdir_in(directory)?;
        let made = schema::file_in(work.path());
        let lines = {
            begin::begin(work.path())?;
            let (mut connection, checksums) = schema::open(work.path())?;
            let lines = write_all(&mut connection, &checksums, &made, fill)?;
            let close = "PRAGMA wal_checkpoint(TRUNCATE)";
            connection.query_row(close, [], |_| Ok(())).map_err(|e| schema::writing_error(&made, &e))?;
            lines
        };
        // Whatever the daemon would stumble over is found here, in a copy: the buckets of this configuration may not be those
        // that it will start with, and to carry counts over to them cannot be undone.
        let copy = tempfile::Builder::new().prefix("check-").tempdir_in(work.path())?;
        std::fs::copy(&made, schema::file_in(copy.path()))?;
        let mut check = LedgerConfig::from(config);
        check.directory = copy.path().into();
        Store::open(check)?.contents()?;
        drop(copy);
        Ok((Self { directory: directory.into(), work }, lines))
    }

    /// Gives every line of it but the first and the last.
    pub(in crate::ledger) fn lines(&self, each: &mut Each<'_>) -> Result<(), UpkeepError> {
        State::open(self.work.path())?.lines(each)
    }

    /// Puts it where the daemon finds it.
    ///
    /// # Errors
    /// If there is a state by now, or the disk cannot be written.
    pub(in crate::ledger) fn put_in_place(self) -> Result<(), UpkeepError> {
        let Self { directory, work } = &self;
        let (made, target) = (schema::file_in(work.path()), schema::file_in(directory));
        // A daemon that was started meanwhile has made a state of its own, which a rename would replace under its feet.
        refuse_occupied(directory)?;
        share(&made, directory);
        match std::fs::hard_link(&made, &target) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(UpkeepError::Occupied { path: directory.clone() });
            }
            other => other?,
        }
        give_to_owner_of(directory, &target)?;
        std::fs::File::open(directory)?.sync_all()?;
        Ok(())
    }
}

/// Begins the name of the directory in which a state is made.
const WORK: &str = ".import-";

/// Removes what an import that was killed has left. One that runs beside this one fails, and puts no half of a state anywhere.
fn remove_broken_off(directory: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(WORK.as_bytes()) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// An import by root must not leave a state that the exporter, which is somebody else, cannot open.
fn give_to_owner_of(directory: &Path, file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let (owner, made) = (std::fs::metadata(directory)?, std::fs::symlink_metadata(file)?);
    if (owner.uid(), owner.gid()) != (made.uid(), made.gid()) && rustix::process::geteuid().is_root() {
        // Of the file itself: the owner of the directory could have put a link to another one there.
        std::os::unix::fs::lchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// There may be neither a state nor what one has left: SQLite would play a log that lies beside the new file into it.
fn refuse_occupied(directory: &Path) -> Result<(), UpkeepError> {
    let file = schema::file_in(directory);
    for ending in ["", "-wal", "-shm", "-journal"] {
        let mut name = file.clone().into_os_string();
        name.push(ending);
        if std::fs::symlink_metadata(name).is_ok() {
            return Err(UpkeepError::Occupied { path: directory.into() });
        }
    }
    Ok(())
}

fn write_all(
    connection: &mut Connection,
    checksums: &Checksums,
    path: &Path,
    fill: impl FnOnce(&mut Take<'_>) -> Result<u64, UpkeepError>,
) -> Result<u64, UpkeepError> {
    let unwritten = |e: rusqlite::Error| UpkeepError::from(schema::writing_error(path, &e));
    let transaction = connection.transaction().map_err(unwritten)?;
    let mut partitions = HashMap::new();
    let number = fill(&mut |line| {
        write(&transaction, checksums, &mut partitions, line).map_err(|refusal| match refusal {
            NotWritten::Line(detail) => Refusal::Line(detail),
            // A line that is there twice, or holds what the table does not take, is the line's fault.
            NotWritten::Sqlite(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                Refusal::Line(e.to_string())
            }
            NotWritten::Sqlite(e) => Refusal::Store(unwritten(e)),
        })
    })?;
    let strange = "SELECT layout FROM series WHERE layout <> '' AND layout NOT IN (SELECT name FROM layouts) LIMIT 1";
    let strange: Option<String> = transaction.query_row(strange, [], |row| row.get(0)).optional().map_err(unwritten)?;
    if let Some(layout) = strange {
        return Err(UpkeepError::Line {
            line: number,
            detail: format!("no line before it has the buckets {layout:?}"),
        });
    }
    checksums.write(&transaction).map_err(unwritten)?;
    transaction.commit().map_err(unwritten)?;
    Ok(number)
}

enum NotWritten {
    Line(String),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for NotWritten {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}

fn write(
    to: &Transaction<'_>,
    checksums: &Checksums,
    partitions: &mut HashMap<Option<i64>, String>,
    line: Line,
) -> Result<(), NotWritten> {
    match line {
        // Told apart by their place, before.
        Line::AgntixExporterState { .. } | Line::End { .. } => {}
        Line::Meta(key, value) => {
            to.prepare_cached("INSERT INTO meta VALUES (?1, ?2, row_added('meta', ?1, ?2))")?.execute((key, value))?;
        }
        Line::Layout(name, bounds) => {
            to.prepare_cached("INSERT INTO layouts VALUES (?1, ?2, row_added('layouts', ?1, ?2))")?
                .execute((name, bounds))?;
        }
        Line::Admitted(label, agent, value) => {
            to.prepare_cached("INSERT INTO admitted VALUES (?1, ?2, ?3, row_added('admitted', ?1, ?2, ?3))")?
                .execute((label, agent, value))?;
        }
        Line::Series(line) => {
            let family = line.family().map_err(NotWritten::Line)?;
            let labels = line.current_labels(family).map_err(NotWritten::Line)?;
            let Series { layout, created, cells, held, .. } = line;
            let (cells, held) = (encoding::counts(&cells), held.as_deref().map(encoding::counts));
            to.prepare_cached(series::INSERT)?.execute((
                family.code(),
                labels.as_str(),
                layout,
                created,
                cells,
                held,
            ))?;
        }
        Line::Pending(Pending { id, created, stage, ended, channel, heard, source }) => {
            let channel = channel.map(|channel| serde_json::json!(channel).to_string());
            to.prepare_cached(pending::INSERT)?.execute((id, created, stage, ended, channel, heard, source))?;
        }
        Line::ContactPlace(number, agent, session_type) => {
            to.prepare_cached(contacts::INSERT_PLACE)?.execute((number, agent, session_type))?;
        }
        Line::Contact(key, record) => {
            let (key, record) = transfer::contact_of(&key, &record).map_err(NotWritten::Line)?;
            to.prepare_cached(contacts::INSERT)?.execute((key, record))?;
        }
        Line::Lease(granted, count, per_window) => {
            to.prepare_cached(leases::INSERT)?.execute((granted, count, per_window))?;
        }
        Line::Counted { day, id, parts } => {
            let key = session_key_of(&id).map_err(NotWritten::Line)?;
            let table = match partitions.entry(day) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(match day {
                    Some(day) => counted::make_partition(to, day, checksums)?,
                    None => partitions::OLD.to_owned(),
                }),
            };
            to.prepare_cached(&format!("INSERT INTO {table} VALUES (?1, ?2)"))?.execute(params![key, parts])?;
            checksums.id_added(table, &key, parts);
        }
    }
    Ok(())
}
