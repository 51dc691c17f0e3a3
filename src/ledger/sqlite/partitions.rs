//! The names and declarations of the partitions of counted ids.

use rusqlite::{Connection, Result};

/// The partition of ids from states that had no partitions yet.
pub(super) const OLD: &str = "counted_old";
/// Begins the name of every partition.
pub(super) const PREFIX: &str = "counted_";

/// The names of the partitions, by name, and the day of each; the one of the old sessions has none.
pub(super) fn all(connection: &Connection) -> Result<Vec<(String, Option<i64>)>> {
    connection
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'counted\\_%' ESCAPE '\\' ORDER BY name",
        )?
        .query_map([], |row| row.get::<_, String>(0))?
        .map(|name| name.map(|name| (name.clone(), day_of(&name))))
        .collect()
}

/// The day of the partition of that name.
pub(super) fn day_of(table: &str) -> Option<i64> {
    table.strip_prefix(PREFIX).and_then(|day| day.parse().ok())
}

/// The name of a partition.
pub(super) fn partition(day: Option<i64>) -> String {
    day.map_or_else(|| OLD.to_owned(), |day| format!("{PREFIX}{day}"))
}

/// How the partition of a day is declared.
pub(super) fn declaration(day: i64) -> String {
    format!("CREATE TABLE {PREFIX}{day} (id BLOB PRIMARY KEY, parts INTEGER NOT NULL) WITHOUT ROWID, STRICT")
}
