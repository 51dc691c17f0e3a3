//! Opening the SQLite file: its location, its lock, its format and the checks that keep a foreign or newer file from
//! being touched.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::checksums::{self, Checksums, CommitNumber};
use super::pages::Tree;
use super::tables::{APPLICATION_ID, FORMAT, HASHED, declared_in};
use super::{header, mark, migration, pages, partitions, wal};
use crate::ledger::LedgerError;

/// The file's name inside `state.path`.
const FILE: &str = "ledger.sqlite";
/// [`APPLICATION_ID`] as bytes.
const APPLICATION_BYTES: [u8; 4] = *b"Agtx";
/// The file inside a state directory.
pub(super) fn file_in(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// The path with another ending: the log of a file, say.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.to_path_buf().into_os_string();
    name.push(ending);
    name.into()
}

/// Opens the ledger in `directory`, locks it against other processes, and checks that all of it but the remembered ids is
/// as it was written. It must be there: only [`begin`](super::begin::begin) makes one. Whoever commits something calls
/// [`Checksums::write`] before.
pub(super) fn open(directory: &Path) -> Result<(Connection, Checksums), LedgerError> {
    let path = file_in(directory);
    let unusable = |detail: String| LedgerError::Directory { path: directory.into(), detail };
    let damaged = |detail: String| LedgerError::Damaged { path: path.clone(), detail };
    let file = std::fs::metadata(&path).map_err(|e| unusable(format!("{}: {e}", path.display())))?;
    // SQLite would take it for a new file, and remove the log beside it.
    if file.len() == 0 {
        return Err(damaged(EMPTY.into()));
    }
    if let Some(detail) = damage_in_header(&path).map_err(|e| unusable(e.to_string()))? {
        return Err(damaged(detail));
    }
    let has_log = std::fs::metadata(log_of(&path)).is_ok_and(|log| log.len() > 0);
    // Opened before SQLite opens it, and closed after: a close gives up SQLite's lock
    // (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).
    let opened = open_if_there(&path).map_err(|e| unusable(e.to_string()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(|e| unusable(e.to_string()))?;
    let checksums =
        prepare(&connection, &path, (!has_log).then_some(file.len()), mark::read(directory)).map_err(|e| match e {
            Refusal::Sqlite(e) => opening_error(&path, &e),
            Refusal::Newer(found) => LedgerError::Newer { path: path.clone(), found, known: FORMAT },
            Refusal::Foreign(detail) => damaged(detail),
        })?;
    // After a migration the tables are in the log; the next start checks them.
    let is_in_file = std::fs::metadata(log_of(&path)).map_or(true, |log| log.len() == 0);
    if let Some(file) = opened {
        let found = if is_in_file { damage_in_free_pages(&connection, &file) } else { Ok(None) };
        if let Some(detail) = found.map_err(|e| opening_error(&path, &e))? {
            return Err(damaged(detail));
        }
        checksums.keep(file);
    }
    Ok((connection, checksums))
}

/// Checks that a copy of a state, which nobody else knows yet, is whole and as it was written. Nothing is written, and no file
/// is made beside it.
pub(super) fn verify_copy(path: &Path) -> Result<(), LedgerError> {
    let verify = || -> Result<(), Refusal> {
        let damage = damage_in_header(path).map_err(|e| Refusal::Foreign(e.to_string()))?;
        if let Some(detail) = damage {
            return Err(Refusal::Foreign(detail));
        }
        let name = percent_encode(path.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?;
        let checksums = Checksums::of(&connection)?;
        if let Some(detail) = damage_in_tables(&connection, FORMAT)? {
            return Err(Refusal::Foreign(detail));
        }
        checksums.load(&connection, FORMAT)?;
        checksums.verify_rows(&connection, FORMAT)?;
        for (table, _) in partitions::all(&connection)? {
            checksums.verify_ids(&connection, &table)?;
        }
        Ok(())
    };
    verify().map_err(|refusal| match refusal {
        Refusal::Sqlite(e) => writing_error(path, &e),
        Refusal::Newer(found) => LedgerError::Newer { path: path.into(), found, known: FORMAT },
        Refusal::Foreign(detail) => LedgerError::Damaged { path: path.into(), detail },
    })
}

/// What a file of no bytes was: nobody else leaves one under this name.
pub(super) const EMPTY: &str = "it is empty, as a copy to a full disk leaves it";

/// Opens the file in `directory` to look at it: nothing is written, and closing it leaves its log as it is.
pub(super) fn open_unchanged(directory: &Path) -> Result<Connection, LedgerError> {
    let path = file_in(directory);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        leave_log(&connection, &path)?;
        connection.pragma_update(None, "query_only", "ON")?;
        Ok(connection)
    });
    opened.map_err(|e| opening_error(&path, &e))
}

/// Lets a close leave the log as it is, if there is one. An empty one that SQLite makes goes with the close.
fn leave_log(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    let is_logged = std::fs::metadata(log_of(path)).is_ok_and(|log| log.len() > 0);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_logged).map(drop)
}

/// The log of the state at `path`.
pub(super) fn log_of(path: &Path) -> PathBuf {
    with_ending(path, "-wal")
}

/// What is damaged in the header of the file. The file is closed again before SQLite opens it: closing it later would give
/// up SQLite's lock (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).
pub(super) fn damage_in_header(path: &Path) -> std::io::Result<Option<String>> {
    let Some(mut file) = open_if_there(path)? else { return Ok(None) };
    let length = file.metadata()?.len();
    let mut bytes = [0; header::BYTES];
    if length < header::BYTES as u64 {
        return Ok(None);
    }
    file.read_exact(&mut bytes)?;
    if !bytes.starts_with(b"SQLite format 3\0") || bytes.get(68..72) != Some(&APPLICATION_BYTES) {
        return Ok(None);
    }
    let is_all = std::fs::metadata(log_of(path)).map_or(true, |log| log.len() == 0);
    Ok(header::damage(&bytes, is_all.then_some(length)))
}

/// What is damaged in the log of the file. To be called with the lock held, or nobody there: a daemon writes it.
pub(super) fn damage_in_log(path: &Path) -> std::io::Result<Option<String>> {
    let log = open_if_there(&log_of(path))?;
    log.map_or(Ok(None), |log| wal::damage(&mut BufReader::with_capacity(1 << 18, log)))
}

/// What is damaged in the list of free pages. To be called with nothing in the log.
pub(super) fn damage_in_free_pages(connection: &Connection, file: &File) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare("SELECT rootpage, name FROM sqlite_schema")?;
    let trees = statement.query_map([], |row| {
        let has_small_rows = row.get_ref(1)?.as_str().is_ok_and(|name| name.starts_with(partitions::PREFIX));
        Ok(Tree { root: row.get(0)?, has_small_rows })
    })?;
    let schema = Tree { root: 1, has_small_rows: false };
    let trees = trees.chain([Ok(schema)]).collect::<rusqlite::Result<Vec<_>>>()?;
    pages::damage(file, &trees).map_err(|e| checksums::damage(e.to_string()))
}

fn open_if_there(path: &Path) -> std::io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

enum Refusal {
    Sqlite(rusqlite::Error),
    Newer(i64),
    Foreign(String),
}

impl From<rusqlite::Error> for Refusal {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}

/// `length`: bytes of the file, if nothing of it is in its log.
fn prepare(
    connection: &Connection,
    path: &Path,
    length: Option<u64>,
    marked: Option<CommitNumber>,
) -> Result<Checksums, Refusal> {
    // Exclusive before the first read: a second daemon is refused, and WAL needs no shared-memory file.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // What is refused stays as it is: closing it would bring its log into the file, and delete the log.
    leave_log(connection, path)?;
    connection.pragma_update(None, "cell_size_check", "ON")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // SQLite has read the log and changed nothing yet.
    if let Some(detail) = damage_in_log(path).map_err(|e| Refusal::Foreign(e.to_string()))? {
        return Err(Refusal::Foreign(detail));
    }
    if tables > 0 && application != APPLICATION_ID {
        return Err(Refusal::Foreign("it is an SQLite file of another program".into()));
    }
    if format > FORMAT {
        return Err(Refusal::Newer(format));
    }
    // A state is begun with all of its tables, so that one without them has lost them.
    if tables == 0 {
        return Err(Refusal::Foreign("it has no tables".into()));
    }
    let pages: i64 =
        connection.query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| {
            row.get(0)
        })?;
    if length.is_some_and(|length| i64::try_from(length).is_ok_and(|length| length < pages)) {
        return Err(Refusal::Foreign("its end is missing".into()));
    }
    let checksums = Checksums::of(connection)?;
    if format >= HASHED {
        if let Some(detail) = damage_in_tables(connection, format)? {
            return Err(Refusal::Foreign(detail));
        }
        checksums.load(connection, format)?;
        if let Some(lost) = mark::lost(marked, checksums.commit()) {
            return Err(Refusal::Foreign(lost));
        }
        checksums.verify_rows(connection, format)?;
    } else if checksums::are_there(connection)? {
        return Err(Refusal::Foreign(format!(
            "it says that its format is {format}, but has the tables of a later one"
        )));
    } else if let Some(table) = migration::missing_table(connection, format)? {
        return Err(Refusal::Foreign(format!("the table {table} is missing")));
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Refusal::Foreign(format!("its journal mode is {mode}")));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On macOS a sync alone leaves the data in the drive's own memory; elsewhere these two mean nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.set_prepared_statement_cache_capacity(256);
    // Takes the lock for good, which a read alone would give back.
    connection.execute_batch("BEGIN EXCLUSIVE; COMMIT;")?;
    // After a failed sync the log may be in the page cache only: writing it through says whether the disk has it.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    migration::migrate(connection, format, &checksums)?;
    Ok(checksums)
}

/// What of the tables is not as the format declares it, to the letter.
pub(super) fn damage_in_tables(connection: &Connection, format: i64) -> rusqlite::Result<Option<String>> {
    let mut missing: BTreeMap<&str, &str> = declared_in(format).collect();
    let mut statement = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text = |column| row.get_ref(column).map(|value| value.as_str_or_null().ok().flatten().unwrap_or_default());
        let (kind, name, table, sql) = (text(0)?, text(1)?, text(2)?, text(3)?);
        let is_declared = missing.remove(name).is_some_and(|declaration| declaration == sql);
        let is_partition = partitions::day_of(name).is_some_and(|day| partitions::declaration(day) == sql);
        if kind != "table" || name != table || !(is_declared || is_partition) {
            return Ok(Some("what it says of its tables is not what was written".into()));
        }
    }
    Ok(missing.keys().next().map(|table| format!("the table {table} is missing")))
}

pub(super) fn opening_error(path: &Path, error: &rusqlite::Error) -> LedgerError {
    let directory = path.parent().unwrap_or(path);
    // Of a disk that is read-only SQLite says that its input or output fails.
    let detail = [directory, path].into_iter().find_map(unwritable);
    match (error.sqlite_error_code(), detail) {
        (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => writing_error(path, error),
        (_, Some(detail)) => LedgerError::Directory { path: directory.into(), detail },
        (Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied), None) => {
            LedgerError::Directory { path: directory.into(), detail: error.to_string() }
        }
        _ => writing_error(path, error),
    }
}

/// Why this user cannot write there; none if it can, or if nothing is there.
fn unwritable(path: &Path) -> Option<String> {
    let error = std::io::Error::from(rustix::fs::access(path, rustix::fs::Access::WRITE_OK).err()?);
    (error.kind() != std::io::ErrorKind::NotFound).then(|| error.to_string())
}

/// What a failed read or write means.
pub(super) fn writing_error(path: &Path, error: &rusqlite::Error) -> LedgerError {
    let path = path.to_path_buf();
    let detail = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LedgerError::Locked { path },
        Some(ErrorCode::DiskFull) => LedgerError::Full { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::TypeMismatch) | None => {
            LedgerError::Damaged { path, detail }
        }
        _ => LedgerError::Io { path, detail },
    }
}
