//! A look at a state that takes no lock and writes nothing, so that it is safe also beside a running daemon. What a daemon
//! holds, or has left unfinished, is not read.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use agntix_api::paths::ApiPath;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::query::{self, number_in};
use crate::catalogue::Family;
use crate::ledger::LedgerError;
use crate::ledger::sqlite::checksums::{self, Checksums, CommitNumber};
use crate::ledger::sqlite::{begin, mark, meta, migration, partitions, schema, tables};
use crate::ledger::transfer::Moved;
use crate::session::Stage;

/// What a look at a state shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of its log, which is there while a daemon runs, and after one that was not stopped but ended.
    pub log_bytes: u64,
    /// Its format; absent while that is in the log only.
    pub format: Option<i64>,
    /// Who has it open.
    pub holder: Option<Holder>,
    /// What is in it, if nobody has it open and nothing is in its log.
    pub contents: Option<Contents>,
}

/// A process that has a state open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id, if it can be seen from here.
    pub process: Option<i32>,
}

/// What is in a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Agents that have series of their own.
    pub agents: u64,
    /// Label sets by metric and by the name of their buckets.
    pub series: Vec<(Family, String, u64)>,
    /// Sessions not yet wholly counted, by stage.
    pub pending: Vec<(Stage, u64)>,
    /// By [`ApiPath`]: the place of the path that was found among the spellings.
    pub paths: [Option<u32>; ApiPath::ALL.len()],
}

/// What stands in the first bytes of an SQLite file (<https://sqlite.org/fileformat.html>).
struct Header {
    application: i64,
    format: i64,
    /// Bytes that the file has, if the header knows: the change counter says whether its number of pages is up to date.
    pages: Option<u64>,
}

const HEADER_BYTES: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Where SQLite's locks lie in a file, and over how many bytes.
const LOCKS: (u64, u64) = (0x4000_0000, 512);

/// Looks at the state in `directory`; `None` if there is none.
///
/// # Errors
/// If it cannot be read, is damaged, or of a newer version or another program.
pub fn glance(directory: &Path) -> Result<Option<Glance>, LedgerError> {
    let path = schema::file_in(directory);
    let unreadable = |e: std::io::Error| LedgerError::Directory { path: directory.into(), detail: e.to_string() };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return match begin::log_without_file(&path).map_err(unreadable)? {
                Some(detail) => Err(LedgerError::Damaged { path, detail }),
                None => Ok(None),
            };
        }
        Err(e) => return Err(unreadable(e)),
    };
    let bytes = file.metadata().map_err(unreadable)?.len();
    let log_bytes = std::fs::metadata(schema::with_ending(&path, "-wal")).map_or(0, |log| log.len());
    let damaged = |detail: &str| LedgerError::Damaged { path: path.clone(), detail: detail.into() };
    let header = read_header(&mut file).map_err(unreadable)?.map_err(damaged)?;
    // No state is ever empty: it is begun whole.
    let Some(header) = header else { return Err(damaged(schema::EMPTY)) };
    let lock = Flock { start: LOCKS.0, length: LOCKS.1, pid: None, ..Flock::from(FlockType::WriteLock) };
    let holder = fcntl_getlk(&file, &lock).map_err(|e| unreadable(e.into()))?;
    let holder =
        holder.map(|lock| Holder { process: lock.pid.map(rustix::process::Pid::as_raw_nonzero).map(Into::into) });
    let is_ours = header.application == tables::APPLICATION_ID;
    let format = is_ours.then_some(header.format);
    if let Some(found) = format.filter(|format| *format > tables::FORMAT) {
        return Err(LedgerError::Newer { path, found, known: tables::FORMAT });
    }
    if holder.is_none() {
        // A daemon writes both. Nobody does now, and what is damaged will not let one start.
        let found = schema::damage_in_header(&path).map_err(unreadable)?;
        let found = found.map_or_else(|| schema::damage_in_log(&path), |found| Ok(Some(found))).map_err(unreadable)?;
        if let Some(detail) = found {
            return Err(damaged(&detail));
        }
    }
    let contents = if holder.is_some() || log_bytes > 0 {
        None
    } else if is_ours {
        // It is immutable here, so that SQLite would not look.
        if header.pages.is_some_and(|pages| bytes < pages) {
            return Err(damaged("its end is missing"));
        }
        let marked = mark::read(directory);
        let found = contents(&path, header.format, marked).map_err(|e| schema::writing_error(&path, &e))?;
        Some(found.map_err(|why| match why {
            NotUsed::Damaged(detail) => damaged(&detail),
            NotUsed::Moved(moved) => LedgerError::Moved { path: path.clone(), moved },
        })?)
    } else {
        return Err(damaged("it is an SQLite file of another program"));
    };
    Ok(Some(Glance { bytes, log_bytes, format, holder, contents }))
}

/// The format of the state in the file at `path`, if its header says one.
pub(super) fn format(path: &Path) -> Option<i64> {
    let header = read_header(&mut File::open(path).ok()?).ok()?.ok()??;
    (header.application == tables::APPLICATION_ID).then_some(header.format)
}

/// The header of an SQLite file, nothing of an empty one, or why it is no such file.
fn read_header(file: &mut File) -> std::io::Result<Result<Option<Header>, &'static str>> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    file.take(HEADER_BYTES as u64).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Ok(Ok(None));
    }
    let number = |at: usize| {
        let four = bytes.get(at..at + 4)?;
        Some(i64::from(i32::from_be_bytes(four.try_into().ok()?)))
    };
    // A size of 65,536 is written as 1.
    let page = bytes.get(16..18).map(|two| two.iter().fold(0, |size, byte| size << 8 | u64::from(*byte)));
    let page = page.map(|size| if size == 1 { 65_536 } else { size });
    let pages = (number(24) == number(92)).then(|| number(28).and_then(|pages| u64::try_from(pages).ok())).flatten();
    let pages = pages.zip(page).map(|(pages, size)| pages * size);
    Ok(match (bytes.starts_with(MAGIC), number(60), number(68), number(96)) {
        (true, Some(format), Some(application), Some(_)) => Ok(Some(Header { application, format, pages })),
        _ => Err("it is no SQLite file"),
    })
}

/// Days of ids that are not checked within this are left to the daemon.
const PATIENCE: Duration = Duration::from_secs(4);

/// Why a daemon would not open a state.
enum NotUsed {
    Damaged(String),
    Moved(Moved),
}

/// What is in the file, or why a daemon would not open it.
fn contents(path: &Path, format: i64, marked: Option<CommitNumber>) -> rusqlite::Result<Result<Contents, NotUsed>> {
    // Immutable: SQLite takes no lock and makes no file beside it.
    let name = path.as_os_str().as_encoded_bytes();
    let name = percent_encode(name, NON_ALPHANUMERIC);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?;
    // The earlier ones have no checksums.
    if format >= tables::HASHED
        && let Some(detail) = damage(&connection, format, marked)?
    {
        return Ok(Err(NotUsed::Damaged(detail)));
    }
    if let Some(missing) = migration::missing_table(&connection, format)? {
        return Ok(Err(NotUsed::Damaged(format!("its table {missing} is missing"))));
    }
    if let Some(moved) = meta::moved(&connection)? {
        return Ok(Err(NotUsed::Moved(moved)));
    }
    let series: Vec<(u8, String, u64)> = connection
        .prepare("SELECT family, layout, count(*) FROM series GROUP BY family, layout")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, number_in(row, 2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Ok(Contents {
        agents: connection
            .query_row("SELECT count(*) FROM admitted WHERE label = 'agent_id'", [], |row| number_in(row, 0))?,
        series: series
            .into_iter()
            .filter_map(|(code, layout, rows)| Some((Family::from_code(code)?, layout, rows)))
            .collect(),
        pending: query::pending(&connection)?,
        paths: meta::paths(&connection)?,
    }))
}

/// What is damaged, as the daemon would find it at its start and soon after.
fn damage(connection: &Connection, format: i64, marked: Option<CommitNumber>) -> rusqlite::Result<Option<String>> {
    let begun = Instant::now();
    if let Some(detail) = schema::damage_in_tables(connection, format)? {
        return Ok(Some(detail));
    }
    let checksums = Checksums::default();
    let checked = checksums.load(connection, format).and_then(|()| {
        checksums.verify_rows(connection, format)?;
        let days = partitions::all(connection)?;
        let mut days = days.iter().rev().take_while(|_| begun.elapsed() < PATIENCE);
        days.try_for_each(|(table, _)| checksums.verify_ids(connection, table))
    });
    match checked {
        Ok(()) => Ok(mark::lost(marked, checksums.commit())),
        Err(error) if checksums::is_damage(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}
