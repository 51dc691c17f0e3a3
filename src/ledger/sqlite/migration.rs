//! From earlier formats to the newest one.

use rusqlite::Connection;

use super::checksums::Checksums;
use super::tables::{FORMAT, HASHED, TABLES, declared, declared_in};
use super::{partitions, series, totals};

/// The tables of format 2 that have a hash in format 3, and their other columns.
const HASHED_IN_3: [(&str, &str); 7] = [
    ("meta", "key, value"),
    ("pending", "id, created, stage, ended, channel, heard, source"),
    ("series", "family, labels, layout, created, cells, held"),
    ("layouts", "name, bounds"),
    ("admitted", "label, agent, value"),
    ("leases", "granted, count, per_window"),
    ("additions", "number, cells"),
];

/// The first table of a format that is not there.
pub(super) fn missing_table(connection: &Connection, format: i64) -> rusqlite::Result<Option<&'static str>> {
    if format >= HASHED {
        return missing_of(connection, declared_in(format).map(|(name, _)| name));
    }
    let names = HASHED_IN_3.iter().map(|(name, _)| *name).chain([partitions::OLD]);
    missing_of(connection, names.filter(|name| format >= 2 || *name != "additions"))
}

fn missing_of(
    connection: &Connection,
    names: impl Iterator<Item = &'static str>,
) -> rusqlite::Result<Option<&'static str>> {
    let mut find = connection.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    for name in names {
        if !find.exists([name])? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Brings the tables from `format` to the newest one.
pub(super) fn migrate(connection: &Connection, format: i64, checksums: &Checksums) -> rusqlite::Result<()> {
    if format < 2 {
        let additions = "CREATE TABLE additions (number INTEGER PRIMARY KEY, cells BLOB NOT NULL) STRICT";
        connection.execute_batch(&format!("BEGIN EXCLUSIVE; {additions}; PRAGMA user_version = 2; COMMIT"))?;
    }
    // All at once, so that no crash leaves a table that is in no format.
    if format < FORMAT {
        connection.execute_batch("BEGIN EXCLUSIVE")?;
        if format < HASHED {
            connection.execute_batch(&with_hashes())?;
            checksums.begin(connection)?;
        } else {
            let known: Vec<&str> = declared_in(format).map(|(name, _)| name).collect();
            for (name, declaration) in declared().filter(|(name, _)| !known.contains(name)) {
                connection.execute_batch(declaration)?;
                checksums.table_made(name);
            }
        }
        if format < 4 {
            totals::catch_up_after_crash(connection)?;
            series::relabel(connection)?;
        }
        checksums.write(connection)?;
        connection.execute_batch(&format!("PRAGMA user_version = {FORMAT}; COMMIT"))?;
    }
    Ok(())
}

/// From format 2: every table of the newest format is made anew, and what was in the old one is given its
/// hash.
fn with_hashes() -> String {
    let old = || HASHED_IN_3.iter().copied().chain([("counted_old", "id, parts")]);
    let away = old().map(|(table, _)| format!("ALTER TABLE {table} RENAME TO before_{table};"));
    let copies = old().map(|(table, columns)| {
        let hash = if table == "counted_old" { String::new() } else { format!(", row_added('{table}', {columns})") };
        format!("INSERT INTO {table} SELECT {columns}{hash} FROM before_{table}; DROP TABLE before_{table};")
    });
    away.chain([TABLES.to_owned()]).chain(copies).collect()
}
