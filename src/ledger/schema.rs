//! Opening the SQLite file: its location, its lock, its format and the checks that keep a foreign or newer file from
//! being touched.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::LedgerError;

/// The file's name inside `state.path`.
const FILE: &str = "ledger.sqlite";
/// "Agtx", so that `file(1)` and this program tell the ledger from other SQLite files.
pub(super) const APPLICATION_ID: i64 = 0x4167_7478;
/// The newest format that this version reads and writes. Raise it with a migration from every earlier one.
pub(super) const FORMAT: i64 = 2;

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE pending (
    id TEXT PRIMARY KEY, created INTEGER, stage INTEGER NOT NULL, ended INTEGER, channel TEXT,
    heard INTEGER NOT NULL, source INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE series (
    family INTEGER NOT NULL, labels TEXT NOT NULL, layout TEXT NOT NULL, created INTEGER NOT NULL,
    cells BLOB NOT NULL, held BLOB, PRIMARY KEY (family, labels)
) WITHOUT ROWID, STRICT;
CREATE TABLE layouts (name TEXT PRIMARY KEY, bounds TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE admitted (
    label TEXT NOT NULL, agent TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (label, agent, value)
) WITHOUT ROWID, STRICT;
CREATE TABLE leases (granted INTEGER NOT NULL, count INTEGER NOT NULL, per_window INTEGER NOT NULL) STRICT;
CREATE TABLE counted_old (id BLOB PRIMARY KEY, parts INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE additions (number INTEGER PRIMARY KEY, cells BLOB NOT NULL) STRICT;
";

/// What each format has that the one before it had not, from format 2 on.
const MIGRATIONS: [&str; 1] = ["CREATE TABLE additions (number INTEGER PRIMARY KEY, cells BLOB NOT NULL) STRICT;"];

/// The file inside a state directory.
pub(super) fn file_in(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Opens the ledger in `directory`, making both if they are missing, and locks it against other processes.
pub(super) fn open(directory: &Path) -> Result<Connection, LedgerError> {
    let unusable = |e: std::io::Error| LedgerError::Directory { path: directory.into(), detail: e.to_string() };
    std::fs::create_dir_all(directory).map_err(unusable)?;
    let path = file_in(directory);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags)
        .map_err(|e| LedgerError::Directory { path: directory.into(), detail: e.to_string() })?;
    prepare(&connection).map_err(|e| match e {
        Refusal::Sqlite(e) => opening_error(&path, &e),
        Refusal::Newer(found) => LedgerError::Newer { path: path.clone(), found, known: FORMAT },
        Refusal::Foreign(detail) => LedgerError::Damaged { path: path.clone(), detail },
    })?;
    Ok(connection)
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

fn prepare(connection: &Connection) -> Result<(), Refusal> {
    // Exclusive before the first read: a second daemon is refused, and WAL needs no shared-memory file.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(Refusal::Foreign("it is an SQLite file of another program".into()));
    }
    if format > FORMAT {
        return Err(Refusal::Newer(format));
    }
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Refusal::Foreign(format!("its journal mode is {mode}")));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.set_prepared_statement_cache_capacity(256);
    if tables == 0 {
        connection.execute_batch(&format!(
            "BEGIN EXCLUSIVE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
        ))?;
    } else {
        // Takes the lock for good, which a read alone would give back.
        connection.execute_batch("BEGIN EXCLUSIVE; COMMIT;")?;
        // After a failed sync the log may be in the page cache only: writing it through says whether the disk has it.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        migrate(connection, format)?;
    }
    Ok(())
}

/// Brings the tables from `format` to the newest one.
fn migrate(connection: &Connection, format: i64) -> rusqlite::Result<()> {
    for (migration, to) in MIGRATIONS.into_iter().zip(2..).filter(|(_, to)| *to > format) {
        connection.execute_batch(&format!("BEGIN EXCLUSIVE; {migration} PRAGMA user_version = {to}; COMMIT;"))?;
    }
    Ok(())
}

fn opening_error(path: &Path, error: &rusqlite::Error) -> LedgerError {
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
