//! The tables of customers: what the policy remembers of their sessions, and the numbers of agents and types in it.

use rusqlite::{Connection, OptionalExtension as _, Result};

use super::checksums;
use crate::clock::Timestamp;
use crate::ledger::policy::contacts::{self, ContactKey};
use crate::ledger::policy::rows::ContactWrite;

/// A customer that is not in the table yet.
pub(super) const INSERT: &str = "INSERT INTO contacts VALUES (?1, ?2, row_added('contacts', ?1, ?2))";
/// A number that is not in the table yet.
pub(super) const INSERT_PLACE: &str =
    "INSERT INTO contact_places VALUES (?1, ?2, ?3, row_added('contact_places', ?1, ?2, ?3))";
const DELETE: &str = "DELETE FROM contacts WHERE key = ?1 RETURNING row_removed('contacts', hash)";
/// Rows that each commit looks at, to forget those that are too old: a million customers are gone through in some thousand commits.
const LOOKED_AT: u32 = 256;

/// Goes through the customers again and again, some with each commit, and forgets those that are too old.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Where it is.
    after: Vec<u8>,
}

impl Sweep {
    /// Goes on, and forgets those whose newest session ended before `before`.
    pub(super) fn forget(&mut self, connection: &Connection, before: Timestamp) -> Result<()> {
        let mut looked_at = 0;
        let mut old: Vec<Vec<u8>> = Vec::new();
        {
            let mut statement =
                connection.prepare_cached("SELECT key, record FROM contacts WHERE key > ?1 ORDER BY key LIMIT ?2")?;
            let mut rows = statement.query((&self.after, LOOKED_AT))?;
            while let Some(row) = rows.next()? {
                looked_at += 1;
                self.after = row.get(0)?;
                if contacts::newest(row.get_ref(1)?.as_blob()?).is_none_or(|newest| newest < before) {
                    old.push(self.after.clone());
                }
            }
        }
        if looked_at < LOOKED_AT {
            self.after.clear();
        }
        old.iter().try_for_each(|key| checksums::delete(connection, DELETE, [key]).map(drop))
    }
}

/// What is remembered of a customer.
pub(super) fn find(connection: &Connection, key: &ContactKey) -> Result<Option<Box<[u8]>>> {
    let mut find = connection.prepare_cached("SELECT record FROM contacts WHERE key = ?1")?;
    find.query_row([key], |row| row.get::<_, Vec<u8>>(0).map(Into::into)).optional()
}

/// Writes the row of a customer.
pub(super) fn write(connection: &Connection, write: &ContactWrite) -> Result<()> {
    let ContactWrite { key, is_known, record, .. } = write;
    match record {
        None => checksums::delete(connection, DELETE, [key]).map(drop),
        Some(record) if *is_known => connection
            .prepare_cached(
                "UPDATE contacts SET record = ?2, hash = row_changed('contacts', hash, key, ?2) WHERE key = ?1",
            )?
            .execute((key, record))
            .map(drop),
        Some(record) => connection.prepare_cached(INSERT)?.execute((key, record)).map(drop),
    }
}

/// Forgets all customers: they are not to be recognised any more.
pub(super) fn forget_all(connection: &Connection) -> Result<()> {
    checksums::delete(connection, "DELETE FROM contacts RETURNING row_removed('contacts', hash)", []).map(drop)
}

/// The agents and types that have numbers, by these.
pub(super) fn places(connection: &Connection) -> Result<Vec<(Box<str>, Box<str>)>> {
    let mut statement = connection.prepare("SELECT agent, type FROM contact_places ORDER BY number")?;
    let text = |text: String| text.into_boxed_str();
    statement.query_map([], |row| Ok((text(row.get(0)?), text(row.get(1)?))))?.collect()
}
