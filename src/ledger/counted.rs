//! The ids of counted sessions, partitioned by the day of the session, so that a look-up touches one small tree and
//! forgetting is dropping a table.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Result};

use super::meta::Meta;
use crate::clock::Timestamp;

/// Routes may give a creation time with and without its fraction, so that rounding may carry it over midnight.
const ROUNDING: Duration = Duration::from_secs(1);
pub(super) const OLD: &str = "counted_old";
/// Parts of a session that an operator has had forgotten before it was wholly counted. Real ones are not negative.
pub(super) const UNKNOWN_PARTS: i64 = -1;

/// Which partitions there are, and how far back the ledger remembers.
#[derive(Debug)]
pub(super) struct Counted {
    days: BTreeSet<i64>,
    retention_days: i64,
    /// Sessions created before this day were older than the retention when the ledger began: they are remembered for
    /// ever, in a partition of their own.
    initial_floor: Option<i64>,
    /// Sessions created from the initial floor up to this day are forgotten. It never moves back, whatever the clock does.
    floor: Option<i64>,
}

/// A session's key: the first 16 bytes of the SHA-256 of its id.
pub(super) fn key(id: &str) -> [u8; 16] {
    let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    let mut key = [0; 16];
    key.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    key
}

/// The names of the partitions, by name, and the day of each; the one of the old sessions has none.
pub(super) fn partitions(connection: &Connection) -> Result<Vec<(String, Option<i64>)>> {
    connection
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'counted\\_%' ESCAPE '\\' ORDER BY name",
        )?
        .query_map([], |row| row.get::<_, String>(0))?
        .map(|name| name.map(|name| (name.clone(), name.strip_prefix("counted_").and_then(|day| day.parse().ok()))))
        .collect()
}

/// Makes the partition of a day.
pub(super) fn make_partition(connection: &Connection, day: i64) -> Result<String> {
    let table = format!("counted_{day}");
    connection.execute_batch(&format!(
        "CREATE TABLE {table} (id BLOB PRIMARY KEY, parts INTEGER NOT NULL) WITHOUT ROWID, STRICT"
    ))?;
    Ok(table)
}

impl Counted {
    /// Reads which partitions there are.
    pub(super) fn load(connection: &Connection, retention: Duration) -> Result<Self> {
        Ok(Self {
            days: partitions(connection)?.into_iter().filter_map(|(_, day)| day).collect(),
            retention_days: retention_days(retention),
            initial_floor: Meta::InitialFloor.get(connection)?,
            floor: Meta::Floor.get(connection)?,
        })
    }

    pub(super) fn set_retention(&mut self, retention: Duration) {
        self.retention_days = retention_days(retention);
    }

    /// Whether a session created then may have been counted and forgotten.
    pub(super) fn is_forgotten(&self, created: Timestamp) -> bool {
        let day = created.day();
        self.initial_floor.is_some_and(|initial| day >= initial) && self.floor.is_some_and(|floor| day < floor)
    }

    /// The classifications with which a session was counted (see `classification`); `None` if it was not.
    pub(super) fn find(&self, connection: &Connection, id: &str, created: Timestamp) -> Result<Option<i64>> {
        let key = key(id);
        let days = BTreeSet::from([created.day(), created.plus(ROUNDING).day(), created.minus(ROUNDING).day()]);
        for day in days {
            if self.days.contains(&day)
                && let Some(parts) = find_in(connection, &format!("counted_{day}"), &key)?
            {
                return Ok(Some(parts));
            }
        }
        if self.initial_floor.is_some_and(|initial| created.day() >= initial.max(self.floor.unwrap_or(initial))) {
            return Ok(None);
        }
        find_in(connection, OLD, &key)
    }

    /// Remembers a session as counted with `parts`.
    pub(super) fn insert(&mut self, connection: &Connection, id: &str, created: Timestamp, parts: i64) -> Result<()> {
        let day = created.day();
        let table = if self.initial_floor.is_some_and(|initial| day < initial) || self.is_forgotten(created) {
            OLD.to_owned()
        } else if self.days.insert(day) {
            make_partition(connection, day)?
        } else {
            format!("counted_{day}")
        };
        connection
            .prepare_cached(&format!("INSERT OR REPLACE INTO {table} VALUES (?1, ?2)"))?
            .execute((key(id), parts))?;
        Ok(())
    }

    /// Replaces the classifications with which a session was counted.
    pub(super) fn update(&self, connection: &Connection, id: &str, created: Timestamp, parts: i64) -> Result<()> {
        let key = key(id);
        let near = [created.day(), created.plus(ROUNDING).day(), created.minus(ROUNDING).day()];
        let tables = near.iter().filter(|day| self.days.contains(day)).map(|day| format!("counted_{day}"));
        for table in tables.chain([OLD.to_owned()]) {
            connection
                .prepare_cached(&format!("UPDATE {table} SET parts = ?2 WHERE id = ?1"))?
                .execute((key, parts))?;
        }
        Ok(())
    }

    /// Sets the floor at the first start.
    pub(super) fn begin(&mut self, connection: &Connection, first_start: Timestamp) -> Result<()> {
        let floor = first_start.day() - self.retention_days;
        Meta::InitialFloor.set(connection, floor)?;
        Meta::Floor.set(connection, floor)?;
        (self.initial_floor, self.floor) = (Some(floor), Some(floor));
        Ok(())
    }

    /// Forgets what is older than the retention, one day a call. The newest counted day holds the floor down, so that
    /// a clock that jumps ahead forgets nothing that discovery may still meet.
    pub(super) fn forget(&mut self, connection: &Connection, now: Timestamp) -> Result<()> {
        let Some(newest) = self.days.last().copied() else { return Ok(()) };
        let floor = newest.min(now.day()) - self.retention_days;
        if self.floor.is_some_and(|known| floor > known) {
            Meta::Floor.set(connection, floor)?;
            self.floor = Some(floor);
        }
        let Some(oldest) = self.days.first().copied() else { return Ok(()) };
        if self.floor.is_some_and(|floor| oldest < floor) {
            connection.execute_batch(&format!("DROP TABLE counted_{oldest}"))?;
            self.days.remove(&oldest);
        }
        Ok(())
    }
}

fn retention_days(retention: Duration) -> i64 {
    i64::try_from(retention.as_secs().div_ceil(86_400)).unwrap_or(i64::MAX / 2)
}

fn find_in(connection: &Connection, table: &str, key: &[u8; 16]) -> Result<Option<i64>> {
    connection
        .prepare_cached(&format!("SELECT parts FROM {table} WHERE id = ?1"))?
        .query_row([key], |row| row.get(0))
        .optional()
}
