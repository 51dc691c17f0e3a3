//! The checksum of a table.

use rusqlite::{Connection, Result};

use super::hash::row_hash;

/// What a table holds: how many rows, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ledger::sqlite) struct Total {
    pub(in crate::ledger::sqlite) rows: i64,
    pub(super) sum: i64,
}

impl Total {
    pub(super) fn add(&mut self, hash: i64) {
        (self.rows, self.sum) = (self.rows.wrapping_add(1), self.sum.wrapping_add(hash));
    }

    pub(super) fn remove(&mut self, hash: i64) {
        (self.rows, self.sum) = (self.rows.wrapping_sub(1), self.sum.wrapping_sub(hash));
    }

    /// The total of a table of ids, which must stand in their order.
    pub(super) fn of_ids(connection: &Connection, table: &str) -> Result<Option<Self>> {
        let (mut total, mut last, mut ordered) = (Self::default(), None, true);
        let mut statement = connection.prepare(&format!("SELECT id, parts FROM {table}"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, parts) = (row.get_ref(0)?, row.get_ref(1)?);
            total.add(row_hash(table, [id, parts]));
            let id: Option<Vec<u8>> = id.as_blob().ok().map(Into::into);
            ordered &= id > last;
            last = id;
        }
        Ok(ordered.then_some(total))
    }
}
