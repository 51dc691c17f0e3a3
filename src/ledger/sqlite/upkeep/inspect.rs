//! What a state remembers, how much of it, and since when.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::query::{number_in, pending};
use super::state::State;
use crate::catalogue::Family;
use crate::clock::Timestamp;
use crate::ledger::policy::rows::Number;
use crate::ledger::sqlite::{meta, partitions, tables};
use crate::ledger::transfer::{Remembered, UpkeepError};

/// What a state remembers.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: i64,
    /// Bytes that it takes on disk.
    pub bytes: u64,
    /// Bytes of it that [`compact`](super::compact) would give back.
    pub free_bytes: u64,
    /// What it remembers.
    pub remembered: Remembered,
}

/// Reads what the state in `directory` remembers; nothing is changed.
///
/// # Errors
/// If there is no state, a daemon has it open, or it is damaged.
pub fn inspect(directory: &Path) -> Result<Inspection, UpkeepError> {
    let state = State::open(directory)?;
    let bytes = state.size()?;
    state.with(|connection| {
        let number = |query: &str| connection.query_row(query, [], |row| number_in(row, 0));
        let (mut remembered, mut days) = (0, BTreeSet::new());
        for (table, day) in partitions::all(connection)? {
            remembered += number(&format!("SELECT count(*) FROM {table}"))?;
            days.extend(day);
        }
        Ok(Inspection {
            path: state.path.clone(),
            format: connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap_or(tables::FORMAT),
            bytes,
            free_bytes: number("SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size")?,
            remembered: Remembered {
                first_start: meta::time(connection, Number::FirstStart)?,
                look_back_done: meta::is_set(connection, Number::LookBackDone)?,
                watermark: meta::time(connection, Number::Watermark)?,
                counted: remembered,
                counted_since: days.first().map(|day| Timestamp::from_millis(day.saturating_mul(86_400_000))),
                pending: pending(connection)?,
                oldest_ended: connection
                    .query_row("SELECT min(ended) FROM pending", [], |row| row.get::<_, Option<i64>>(0))?
                    .map(Timestamp::from_millis),
                series: series(connection)?,
                agents: number("SELECT count(*) FROM admitted WHERE label = 'agent_id'")?,
                held: number("SELECT count(*) FROM series WHERE held IS NOT NULL")?,
            },
        })
    })
}

fn series(connection: &Connection) -> rusqlite::Result<Vec<(&'static str, u64)>> {
    let rows: Vec<(u8, u64)> = connection
        .prepare("SELECT family, count(*) FROM series GROUP BY family ORDER BY family")?
        .query_map([], |row| Ok((row.get(0)?, number_in(row, 1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(rows.into_iter().filter_map(|(code, count)| Some((Family::from_code(code)?.descriptor().name, count))).collect())
}
