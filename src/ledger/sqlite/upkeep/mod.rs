//! What an operator does to a state that no daemon has open: look at it, make it smaller, write it out and read it in,
//! forget a session. Each takes the state's lock, so that a running daemon is never disturbed, but for [`glance()`], which
//! takes none and writes nothing, and [`back_up()`], which asks a running daemon for a copy.
//!
//! Nothing in here counts anything.

mod backup;
mod glance;
mod inspect;
mod lines;
#[cfg(test)]
mod tests;
mod transfer;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::checksums::{self, Checksums};
use super::counted::CountedTables;
use super::{meta, schema, totals};
use crate::clock::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::policy::classification::UNKNOWN_PARTS;
use crate::ledger::policy::retention::Retention;
use crate::ledger::policy::rows::{CountedRow, Number, session_key};
pub use backup::{BackedUp, back_up};
pub use glance::{Contents, Glance, Holder, glance};
pub use inspect::{Inspection, inspect};
pub use transfer::{export, import};
pub use verify::{Salvage, Verification, salvage, verify};

/// Why something could not be done to a state.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The state cannot be opened, read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is none.
    #[error("there is no state in {path}; set state.path to the directory that the exporter uses")]
    NoState {
        /// The directory.
        path: PathBuf,
    },
    /// Something would be overwritten.
    #[error(
        "there is a state in {path} already, or a part of one; move the directory away, or import into another state.path"
    )]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// Looking at it would make it unreadable for the version that wrote it.
    #[error(
        "the state in {path} has format {found}, which the next start of the exporter turns into {known} and earlier versions then cannot read; use the version that wrote it, or start this one once"
    )]
    Older {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format of this version.
        known: i64,
    },
    /// What is imported is no export, or is damaged.
    #[error("line {line} is not one of an exported state ({detail}); nothing was imported")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// The end of the export is missing.
    #[error(
        "the export ends after line {line} without its closing line, so something is missing; nothing was imported"
    )]
    CutShort {
        /// The last line that was there.
        line: u64,
    },
    /// A backup would overwrite something.
    #[error("{path} exists; name another file, or remove it")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The running exporter has the state, and does not answer.
    #[error(
        "the process that has the state in {path} open makes no copy of it: it has just stopped, is another program, or a version that cannot; try again, or stop it first"
    )]
    Unanswered {
        /// The directory.
        path: PathBuf,
    },
    /// The running exporter could not make the copy.
    #[error("the running exporter could not copy its state ({detail})")]
    NotCopied {
        /// What it says.
        detail: String,
    },
    /// The copy cannot be fetched or written.
    #[error("the copy cannot be written ({0})")]
    Copy(#[source] std::io::Error),
    /// What is imported cannot be read, or what is exported cannot be written.
    #[error("the exported lines cannot be transferred ({0})")]
    Transfer(#[from] std::io::Error),
}

/// An existing state, locked.
struct State {
    connection: Connection,
    checksums: Checksums,
    path: PathBuf,
}

impl State {
    fn open(directory: &Path) -> Result<Self, UpkeepError> {
        let path = schema::file_in(directory);
        if !path.exists() {
            return Err(UpkeepError::NoState { path: directory.into() });
        }
        if let Some(found) = glance::format(&path).filter(|found| *found < schema::FORMAT) {
            return Err(UpkeepError::Older { path: directory.into(), found, known: schema::FORMAT });
        }
        let (connection, checksums) = schema::open(directory)?;
        let state = Self { connection, checksums, path };
        state.with(|connection| {
            let transaction = connection.unchecked_transaction()?;
            totals::catch_up_after_crash(&transaction)?;
            state.checksums.write(&transaction)?;
            transaction.commit()
        })?;
        Ok(state)
    }

    /// Does something with the file, and says of an SQLite error what it means.
    fn with<T>(&self, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, UpkeepError> {
        act(&self.connection).map_err(|e| schema::writing_error(&self.path, &e).into())
    }

    /// Bytes that the file takes.
    fn size(&self) -> Result<u64, UpkeepError> {
        self.with(|connection| {
            connection.query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| {
                number_in(row, 0)
            })
        })
    }
}

/// A number that cannot be negative: SQLite has signed ones only.
fn number_in(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0))
}

/// Gives the disk back what forgotten sessions have left free: the size before and after, in bytes. It takes twice as much
/// free space as the state is large while it runs, all of it in the directory of the state; a crash leaves the state as it
/// was.
///
/// # Errors
/// If there is no state, a daemon has it open, or the disk is full.
pub fn compact(directory: &Path) -> Result<(u64, u64), UpkeepError> {
    let state = State::open(directory)?;
    let before = state.size()?;
    // The copy that VACUUM makes would otherwise be in a directory for temporary files, which may be small, or missing in
    // a container. (https://www.sqlite.org/pragma.html#pragma_temp_store_directory)
    let here = std::path::absolute(directory).ok().and_then(|path| path.to_str().map(|path| path.replace('\'', "''")));
    if let Some(here) = here {
        state.with(|connection| connection.execute_batch(&format!("PRAGMA temp_store_directory = '{here}'")))?;
    }
    state.with(|connection| connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);"))?;
    Ok((before, state.size()?))
}

/// What was remembered of a session that is to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// It was not yet wholly counted: its id, times and channel were there.
    pub pending: bool,
    /// It was counted: a hash of its id and of its classifications was there.
    pub counted: bool,
    /// A hash of its id is there now, so that it is not counted anew.
    pub keeps_hash: bool,
}

/// Forgets what is remembered of a session: its row while it is not yet wholly counted, and, if `hash` says so, the hash
/// that tells that it was counted. Totals stay as they are.
///
/// A pending session leaves its hash behind (unless that goes as well), so that it is not counted anew when it is heard of
/// again; but for one of which only the id was known, and nothing was counted. Without its hash, a session that Agntix still
/// gives is counted, and stored while it is. What is forgotten is overwritten in the file.
///
/// # Errors
/// If there is no state, a daemon has it open, or it cannot be written.
pub fn forget(directory: &Path, id: &str, hash: bool) -> Result<Forgotten, UpkeepError> {
    let state = State::open(directory)?;
    state.with(|connection| {
        // Otherwise it would stay readable in the file until its place is used again.
        connection.pragma_update(None, "secure_delete", "ON")?;
        let transaction = connection.unchecked_transaction()?;
        let created: Option<Option<i64>> =
            transaction.query_row("SELECT created FROM pending WHERE id = ?1", [id], |row| row.get(0)).optional()?;
        let row = "DELETE FROM pending WHERE id = ?1 RETURNING row_removed('pending', hash)";
        checksums::delete(&transaction, row, [id])?;
        let mut ids = CountedTables::load(&transaction, &state.checksums)?;
        let counted = if hash { ids.remove(&transaction, id)? } else { ids.contains(&transaction, id)? };
        let mut keeps_hash = counted && !hash;
        // Without a time of creation nothing of it was counted yet, so that nothing can be counted twice.
        if let (false, false, Some(Some(created))) = (hash, counted, created) {
            let floors = [Number::InitialFloor, Number::Floor].map(|floor| meta::get(&transaction, floor));
            let [initial_floor, floor] = floors;
            // Its length does not matter: nothing is forgotten here.
            let mut retention = Retention::new(ids.days().clone(), Duration::MAX, (initial_floor?, floor?));
            let (day, _) = retention.remember(Timestamp::from_millis(created));
            if let Some(day) = day {
                ids.make(&transaction, day)?;
            }
            ids.insert(&transaction, &session_key(id), CountedRow { parts: UNKNOWN_PARTS, day })?;
            keeps_hash = true;
        }
        state.checksums.write(&transaction)?;
        transaction.commit()?;
        // The log has it, too.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(Forgotten { pending: created.is_some(), counted, keeps_hash })
    })
}
