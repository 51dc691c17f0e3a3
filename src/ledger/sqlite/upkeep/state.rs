//! A state that is locked for as long as something is done to it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::glance;
use super::query::number_in;
use crate::ledger::sqlite::checksums::Checksums;
use crate::ledger::sqlite::{meta, new_ids, schema, tables, totals};
use crate::ledger::transfer::{Moved, UpkeepError};

/// An existing state, locked.
#[derive(Debug)]
pub(in crate::ledger) struct State {
    pub(in crate::ledger::sqlite) connection: Connection,
    pub(in crate::ledger::sqlite) checksums: Checksums,
    pub(in crate::ledger) path: PathBuf,
}

impl State {
    /// Opens and locks it.
    ///
    /// # Errors
    /// If there is none, it is of an older format, damaged, or a daemon has it open.
    pub(in crate::ledger) fn open(directory: &Path) -> Result<Self, UpkeepError> {
        let path = schema::file_in(directory);
        if !path.exists() {
            return Err(UpkeepError::NoState { path: directory.into() });
        }
        if let Some(found) = glance::format(&path).filter(|found| *found < tables::FORMAT) {
            return Err(UpkeepError::Older { path: directory.into(), found, known: tables::FORMAT });
        }
        let (connection, checksums) = schema::open(directory)?;
        let state = Self { connection, checksums, path };
        state.with(|connection| {
            let transaction = connection.unchecked_transaction()?;
            totals::catch_up_after_crash(&transaction)?;
            new_ids::catch_up(&transaction, &state.checksums)?;
            state.checksums.write(&transaction)?;
            transaction.commit()
        })?;
        Ok(state)
    }

    /// Does something with the file, and says of an SQLite error what it means.
    pub(super) fn with<T>(&self, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, UpkeepError> {
        act(&self.connection).map_err(|e| schema::writing_error(&self.path, &e).into())
    }

    /// Bytes that the file takes.
    pub(super) fn size(&self) -> Result<u64, UpkeepError> {
        self.with(|connection| {
            connection.query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| {
                number_in(row, 0)
            })
        })
    }

    /// Where it has gone, if it has.
    pub(in crate::ledger) fn moved(&self) -> Result<Option<Moved>, UpkeepError> {
        self.with(meta::moved)
    }

    /// Records that it has gone elsewhere, so that no daemon counts in it any more; or, with `None`, that it is in use again.
    pub(in crate::ledger) fn set_moved(&self, moved: Option<&Moved>) -> Result<(), UpkeepError> {
        self.with(|connection| {
            let transaction = connection.unchecked_transaction()?;
            meta::set_moved(&transaction, moved)?;
            self.checksums.write(&transaction)?;
            transaction.commit()
        })
    }
}
