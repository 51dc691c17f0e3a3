//! What is wrong with a table, and how it is said.

use rusqlite::{Connection, Result};

use super::hash::sound_hash;
use super::total::Total;
use crate::ledger::sqlite::partitions;

/// What is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ledger::sqlite) enum Damage {
    /// Its structure, as SQLite says it.
    Structure(String),
    /// Rows that are not as they were written.
    Rows(u64),
    /// It has other rows than were written: so many there are, and so many there should be.
    Missing { there: i64, written: i64 },
    /// Its checksum itself is damaged or missing.
    Unknown,
}

impl Damage {
    /// In words, of `table`.
    pub(in crate::ledger::sqlite) fn says(&self, table: &str) -> String {
        match self {
            Self::Structure(what) => format!("{table}: {what}"),
            Self::Rows(1) => format!("a row of {table} is not as it was written"),
            Self::Rows(rows) => format!("{rows} rows of {table} are not as they were written"),
            Self::Missing { there, written } if there == written => {
                format!("the rows of {table} are not those written")
            }
            Self::Missing { there, written } => format!("{table} has {there} rows, and {written} were written"),
            Self::Unknown => format!("the checksum of {table} is damaged or missing"),
        }
    }
}

/// What a table holds, as far as it can be read.
pub(super) struct Found {
    pub(super) structure: Option<String>,
    /// Rows that are not as they were written.
    pub(super) damaged: u64,
    pub(super) total: Total,
}

/// Reads all of a table.
pub(super) fn found_in(connection: &Connection, table: &str) -> Result<Found> {
    let mut found = Found { structure: structure(connection, table)?, damaged: 0, total: Total::default() };
    if found.structure.is_some() {
        return Ok(found);
    }
    if table.starts_with(partitions::PREFIX) {
        match Total::of_ids(connection, table)? {
            Some(total) => found.total = total,
            None => found.structure = Some("its ids are not in order".into()),
        }
        return Ok(found);
    }
    let mut statement = connection.prepare(&format!("SELECT * FROM {table}"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match sound_hash(table, row)? {
            Some(hash) => found.total.add(hash),
            None => found.damaged += 1,
        }
    }
    Ok(found)
}

/// What SQLite finds wrong with the structure of a table.
pub(super) fn structure(connection: &Connection, table: &str) -> Result<Option<String>> {
    let said: String = connection.query_row(&format!("PRAGMA quick_check('{table}')"), [], |row| row.get(0))?;
    Ok((said != "ok").then(|| shown(&said)))
}

/// An error that says what is damaged.
pub(in crate::ledger::sqlite) fn damage(what: String) -> rusqlite::Error {
    rusqlite::Error::UserFunctionError(what.into())
}

/// Whether an error of SQLite says that what it read is damaged.
pub(in crate::ledger::sqlite) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch, Unknown};
    // A statement that is right, on a schema that was right: what it does not find was there.
    matches!(error.sqlite_error_code(), None | Some(DatabaseCorrupt | NotADatabase | TypeMismatch | Unknown))
}

/// Text from a damaged file, for a person.
pub(in crate::ledger::sqlite) fn shown(text: &str) -> String {
    text.chars().take(120).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
