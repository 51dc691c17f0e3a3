//! What several commands ask of a state.

use rusqlite::{Connection, Row};

use crate::session::Stage;

/// A number that cannot be negative: SQLite has signed ones only.
pub(super) fn number_in(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0))
}

/// Sessions that are not yet counted, by stage.
pub(super) fn pending(connection: &Connection) -> rusqlite::Result<Vec<(Stage, u64)>> {
    connection
        .prepare("SELECT stage, count(*) FROM pending GROUP BY stage ORDER BY stage")?
        .query_map([], |row| Ok((Stage::from_code(row.get(0)?), number_in(row, 1)?)))?
        .collect()
}
