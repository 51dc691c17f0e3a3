//! The table of the requests that the budget may spend.

use rusqlite::{Connection, Result};

use super::checksums;
use crate::clock::Timestamp;
use crate::ledger::Lease;

/// Writes a row.
pub(super) const INSERT: &str = "INSERT INTO leases VALUES (?1, ?2, ?3, row_added('leases', ?1, ?2, ?3))";

/// Adds a lease; those that were granted before `forget_before` go.
pub(super) fn grant(connection: &Connection, lease: &Lease, forget_before: Timestamp) -> Result<()> {
    let old = "DELETE FROM leases WHERE granted < ?1 RETURNING row_removed('leases', hash)";
    checksums::delete(connection, old, [forget_before.as_millis()])?;
    // Granted before the clock was set back; from here on they age.
    connection
        .prepare_cached(
            "UPDATE leases SET granted = ?1, hash = row_changed('leases', hash, ?1, count, per_window)
             WHERE granted > ?1",
        )?
        .execute([lease.granted.as_millis()])?;
    connection.prepare_cached(INSERT)?.execute((lease.granted.as_millis(), lease.count, lease.per_window))?;
    Ok(())
}

/// Takes back what was not sent of the latest lease.
pub(super) fn shorten(connection: &Connection, unused: u32) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE leases SET count = max(count - ?1, 0),
             hash = row_changed('leases', hash, granted, max(count - ?1, 0), per_window)
             WHERE rowid = (SELECT max(rowid) FROM leases)",
        )?
        .execute([unused])
        .map(drop)
}

/// The leases, in the order in which they were granted.
pub(super) fn load(connection: &Connection) -> Result<Vec<Lease>> {
    connection
        .prepare("SELECT granted, count, per_window FROM leases ORDER BY rowid")?
        .query_map([], |row| {
            Ok(Lease { granted: Timestamp::from_millis(row.get(0)?), count: row.get(1)?, per_window: row.get(2)? })
        })?
        .collect()
}
