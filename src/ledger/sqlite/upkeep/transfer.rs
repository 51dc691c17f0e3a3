//! A whole state as lines of JSON, and back: to look into it, to move it between formats of the store, to keep a copy that
//! any program can read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, Write};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::error::UpkeepError;
use super::lines::{Line, Pending, Series};
use super::state::State;
use crate::catalogue::Family;
use crate::config::Config;
use crate::ledger::encoding;
use crate::ledger::sqlite::checksums::Checksums;
use crate::ledger::sqlite::store::{LedgerConfig, Store};
use crate::ledger::sqlite::{begin, counted, leases, partitions, pending, schema, series, tables};
use crate::session::Source;
use exposition::LabelSet;

/// A line is a series at most, and its labels are bounded; what is longer is no export.
const LONGEST_LINE: u64 = 1024 * 1024;

/// Writes the state to `to`. `progress` gets the number of lines now and then. Gives the number of lines.
///
/// # Errors
/// If there is no state, a daemon has it open, or `to` takes no more.
pub fn export(directory: &Path, to: &mut dyn Write, progress: &mut dyn FnMut(u64)) -> Result<u64, UpkeepError> {
    let state = State::open(directory)?;
    let mut out = Output::begin(to, progress, false)?;
    for (table, line) in EXPORTED {
        out.rows(&state, table, line)?;
    }
    for (table, day) in state.with(partitions::all)? {
        state.with(|connection| state.checksums.verify_ids(connection, &table))?;
        out.rows(&state, &table, |row| counted_line(row, day))?;
    }
    out.end()
}

/// How a row becomes a line.
pub(super) type LineOf = fn(&Row<'_>) -> rusqlite::Result<Line>;

/// The tables that are exported, but for those of the counted ids; the columns stand as they are declared. What was added
/// lately is in the series before.
pub(super) const EXPORTED: [(&str, LineOf); 6] = [
    ("meta", |row| Ok(Line::Meta(row.get(0)?, row.get(1)?))),
    ("layouts", |row| Ok(Line::Layout(row.get(0)?, row.get(1)?))),
    ("admitted", |row| Ok(Line::Admitted(row.get(0)?, row.get(1)?, row.get(2)?))),
    ("series", |row| series_line(row).map(Line::Series)),
    ("pending", pending_line),
    ("leases", |row| Ok(Line::Lease(row.get(0)?, row.get(1)?, row.get(2)?))),
];

/// Where the lines go.
pub(super) struct Output<'o> {
    to: &'o mut dyn Write,
    lines: u64,
    digest: ring::digest::Context,
    progress: &'o mut dyn FnMut(u64),
}

impl<'o> Output<'o> {
    pub(super) fn begin(
        to: &'o mut dyn Write,
        progress: &'o mut dyn FnMut(u64),
        salvaged: bool,
    ) -> Result<Self, UpkeepError> {
        let mut out = Self { to, lines: 0, digest: ring::digest::Context::new(&ring::digest::SHA256), progress };
        let version = env!("CARGO_PKG_VERSION").into();
        out.line(&Line::AgntixExporterState { format: tables::FORMAT, version, salvaged })?;
        Ok(out)
    }

    pub(super) fn line(&mut self, line: &Line) -> Result<(), UpkeepError> {
        let text = line.sealed().map_err(std::io::Error::from)?;
        self.digest.update(&text);
        self.to.write_all(&text)?;
        self.lines += 1;
        if self.lines.is_multiple_of(PROGRESS_EVERY) {
            (self.progress)(self.lines);
        }
        Ok(())
    }

    /// Writes the closing line, and gives the number of lines.
    pub(super) fn end(mut self) -> Result<u64, UpkeepError> {
        let sha256 = hexadecimal(self.digest.clone());
        self.line(&Line::End { lines: self.lines, sha256 })?;
        self.to.flush()?;
        Ok(self.lines)
    }

    fn rows(
        &mut self,
        state: &State,
        table: &str,
        line: impl Fn(&Row<'_>) -> rusqlite::Result<Line>,
    ) -> Result<(), UpkeepError> {
        let broken = |e| UpkeepError::from(schema::writing_error(&state.path, &e));
        let mut statement = state.connection.prepare(&format!("SELECT * FROM {table}")).map_err(broken)?;
        let mut rows = statement.query([]).map_err(broken)?;
        while let Some(row) = rows.next().map_err(broken)? {
            self.line(&line(row).map_err(broken)?)?;
        }
        Ok(())
    }
}

pub(super) fn hexadecimal(digest: ring::digest::Context) -> String {
    let digest = digest.finish();
    let (halves, _) = digest.as_ref().as_chunks::<16>();
    halves.iter().map(|half| u128::from_be_bytes(*half)).fold(String::new(), |text, half| format!("{text}{half:032x}"))
}

/// The line of a counted session.
pub(super) fn counted_line(row: &Row<'_>, day: Option<i64>) -> rusqlite::Result<Line> {
    let id: [u8; 16] = row.get(0)?;
    Ok(Line::Counted { day, id: format!("{:032x}", u128::from_be_bytes(id)), parts: row.get(1)? })
}

/// How many lines pass between two words of progress.
const PROGRESS_EVERY: u64 = 100_000;

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
pub fn import(config: &Config, from: &mut dyn BufRead, progress: &mut dyn FnMut(u64)) -> Result<u64, UpkeepError> {
    let directory = &config.state.path;
    let target = schema::file_in(directory);
    refuse_occupied(directory)?;
    std::fs::create_dir_all(directory)?;
    remove_broken_off(directory)?;
    // Made beside its place and renamed into it when whole, so that what was broken off leaves no state behind.
    let work = tempfile::Builder::new().prefix(WORK).tempdir_in(directory)?;
    let made = schema::file_in(work.path());
    let lines = {
        begin::begin(work.path())?;
        let (mut connection, checksums) = schema::open(work.path())?;
        let lines = read_all(&mut connection, &checksums, &made, from, progress)?;
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
    // A daemon that was started meanwhile has made a state of its own, which a rename would replace under its feet.
    refuse_occupied(directory)?;
    match std::fs::hard_link(&made, &target) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(UpkeepError::Occupied { path: directory.clone() });
        }
        other => other?,
    }
    give_to_owner_of(directory, &target)?;
    std::fs::File::open(directory)?.sync_all()?;
    Ok(lines)
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

fn read_all(
    connection: &mut Connection,
    checksums: &Checksums,
    path: &Path,
    from: &mut dyn BufRead,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, UpkeepError> {
    let unwritten = |e: rusqlite::Error| UpkeepError::from(schema::writing_error(path, &e));
    let transaction = connection.transaction().map_err(unwritten)?;
    let mut partitions = HashMap::new();
    let (mut number, mut ended, mut text) = (0, false, Vec::new());
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    loop {
        text.clear();
        let read = std::io::Read::take(&mut *from, LONGEST_LINE).read_until(b'\n', &mut text)?;
        if read == 0 {
            break;
        }
        let wrong = |detail: String| UpkeepError::Line { line: number + 1, detail };
        if ended {
            return Err(wrong("it comes after the closing line".into()));
        }
        let line = Line::read(&text).map_err(wrong)?;
        match (number, &line) {
            (0, Line::AgntixExporterState { format, .. }) if *format <= tables::FORMAT => {}
            (0, Line::AgntixExporterState { format, .. }) => {
                let known = tables::FORMAT;
                return Err(wrong(format!("its format is {format}, and this version knows up to {known}")));
            }
            (0, _) => return Err(wrong("the first line must name the format".into())),
            (_, Line::AgntixExporterState { .. }) => return Err(wrong("it is a second first line".into())),
            (_, Line::End { lines, .. }) if *lines != number => {
                return Err(wrong(format!("it closes {lines} lines, but there are {number}")));
            }
            (_, Line::End { sha256, .. }) if *sha256 != hexadecimal(digest.clone()) => {
                return Err(wrong("the lines before it are not those that it closes".into()));
            }
            (_, Line::End { .. }) => ended = true,
            _ => write(&transaction, checksums, &mut partitions, line).map_err(|refusal| match refusal {
                Refusal::Line(detail) => wrong(detail),
                // A line that is there twice, or holds what the table does not take, is the line's fault.
                Refusal::Sqlite(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                    wrong(e.to_string())
                }
                Refusal::Sqlite(e) => unwritten(e),
            })?,
        }
        digest.update(&text);
        number += 1;
        if number.is_multiple_of(PROGRESS_EVERY) {
            progress(number);
        }
    }
    if !ended {
        return Err(UpkeepError::CutShort { line: number });
    }
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

/// The end of the year 9999.
const MOST_DAYS: i64 = 2_932_896;

enum Refusal {
    Line(String),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}

fn write(
    to: &Transaction<'_>,
    checksums: &Checksums,
    partitions: &mut HashMap<Option<i64>, String>,
    line: Line,
) -> Result<(), Refusal> {
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
        Line::Series(Series { metric, labels, layout, created, cells, held }) => {
            let family = Family::ALL.into_iter().find(|family| family.descriptor().name == metric);
            let family = family.ok_or_else(|| Refusal::Line(format!("there is no metric {metric:?}")))?;
            if LabelSet::parse(family.descriptor().labels, &labels).is_none() {
                return Err(Refusal::Line(format!("they are no labels of {metric}")));
            }
            let (cells, held) = (encoding::counts(&cells), held.as_deref().map(encoding::counts));
            to.prepare_cached(series::INSERT)?.execute((family.code(), labels, layout, created, cells, held))?;
        }
        Line::Pending(Pending { id, created, stage, ended, channel, heard, source }) => {
            if usize::from(source) >= Source::ALL.len() || stage > 2 {
                return Err(Refusal::Line("there is no such stage or source".into()));
            }
            let channel = channel.map(|channel| serde_json::json!(channel).to_string());
            to.prepare_cached(pending::INSERT)?.execute((id, created, stage, ended, channel, heard, source))?;
        }
        Line::Lease(granted, count, per_window) => {
            to.prepare_cached(leases::INSERT)?.execute((granted, count, per_window))?;
        }
        Line::Counted { day, id, parts } => {
            let key = Some(id).filter(|id| id.len() == 32).and_then(|id| u128::from_str_radix(&id, 16).ok());
            let key = key.ok_or_else(|| Refusal::Line("id is not 32 hexadecimal digits".into()))?.to_be_bytes();
            if day.is_some_and(|day| !(0..=MOST_DAYS).contains(&day)) {
                return Err(Refusal::Line("day is not a number of days since 1970".into()));
            }
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
