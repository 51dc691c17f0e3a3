//! The ids of counted sessions, partitioned by the day of the session, so that a look-up touches one small tree and
//! forgetting is dropping a table.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Result};

use super::checksums::Checksums;
use super::meta::Meta;
use crate::clock::Timestamp;

/// Routes may give a creation time with and without its fraction, so that rounding may carry it over midnight.
const ROUNDING: Duration = Duration::from_secs(1);
pub(super) const OLD: &str = "counted_old";
/// Begins the name of every partition.
pub(super) const PREFIX: &str = "counted_";
/// Parts of a session that an operator has had forgotten before it was wholly counted. Real ones are not negative.
pub(super) const UNKNOWN_PARTS: i64 = -1;
/// Parts of a session of which only the start was counted when the API gave it no more.
pub(super) const STARTED_ONLY: i64 = -2;
/// Other days than a session's own in which its id is looked for, the newest ones: some 2 µs each, of which five thousand new
/// sessions a second leave so many. Whoever changes it changes docs/operations.md.
pub(super) const MOST_OTHER_DAYS: usize = 60;

/// Which partitions there are, and how far back the ledger remembers.
#[derive(Debug)]
pub(super) struct Counted {
    checksums: Checksums,
    days: BTreeSet<i64>,
    /// The partitions that were not checked yet: each is before the first look-up in it.
    unchecked: BTreeSet<Option<i64>>,
    retention_days: i64,
    /// Sessions created before this day were older than the retention when the ledger began: they are remembered for
    /// ever, in a partition of their own.
    initial_floor: Option<i64>,
    /// Sessions created from the initial floor up to this day are forgotten. It never moves back, whatever the clock does.
    floor: Option<i64>,
    /// Looks for an id in other days than its own.
    elsewhere: String,
}

/// Where a session is remembered as counted, and with which parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Hashes of its classifications.
    pub(super) parts: i64,
    /// Under which day; none among the old sessions.
    pub(super) day: Option<i64>,
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
        .map(|name| name.map(|name| (name.clone(), day_of(&name))))
        .collect()
}

/// The day of the partition of that name.
pub(super) fn day_of(table: &str) -> Option<i64> {
    table.strip_prefix(PREFIX).and_then(|day| day.parse().ok())
}

/// The name of a partition.
fn partition(day: Option<i64>) -> String {
    day.map_or_else(|| OLD.to_owned(), |day| format!("{PREFIX}{day}"))
}

/// How the partition of a day is declared.
pub(super) fn declaration(day: i64) -> String {
    format!("CREATE TABLE {PREFIX}{day} (id BLOB PRIMARY KEY, parts INTEGER NOT NULL) WITHOUT ROWID, STRICT")
}

/// Makes the partition of a day.
pub(super) fn make_partition(connection: &Connection, day: i64, checksums: &Checksums) -> Result<String> {
    connection.execute_batch(&declaration(day))?;
    let table = partition(Some(day));
    checksums.table_made(&table);
    Ok(table)
}

impl Counted {
    /// Reads which partitions there are.
    pub(super) fn load(connection: &Connection, retention: Duration, checksums: &Checksums) -> Result<Self> {
        let partitions: BTreeSet<Option<i64>> = partitions(connection)?.into_iter().map(|(_, day)| day).collect();
        let days: BTreeSet<i64> = partitions.iter().copied().flatten().collect();
        Ok(Self {
            checksums: checksums.clone(),
            elsewhere: elsewhere(&days),
            days,
            unchecked: partitions,
            retention_days: retention_days(retention),
            initial_floor: Meta::InitialFloor.get(connection)?,
            floor: Meta::Floor.get(connection)?,
        })
    }

    /// Checks one partition that was not checked yet, the newest first. Gives whether there was one.
    ///
    /// # Errors
    /// If it is damaged.
    pub(super) fn check_next(&mut self, connection: &Connection) -> Result<bool> {
        let Some(day) = self.unchecked.last().copied() else { return Ok(false) };
        self.check(connection, day)?;
        Ok(true)
    }

    /// A session whose hash is damaged would be counted again, so that no look-up trusts a partition before it is checked.
    fn check(&mut self, connection: &Connection, day: Option<i64>) -> Result<()> {
        if self.unchecked.contains(&day) {
            self.checksums.verify_ids(connection, &partition(day))?;
            self.unchecked.remove(&day);
        }
        Ok(())
    }

    pub(super) fn set_retention(&mut self, retention: Duration) {
        self.retention_days = retention_days(retention);
    }

    /// Whether a session created then may have been counted and forgotten.
    pub(super) fn is_forgotten(&self, created: Timestamp) -> bool {
        let day = created.day();
        self.initial_floor.is_some_and(|initial| day >= initial) && self.floor.is_some_and(|floor| day < floor)
    }

    /// Where a session is remembered as counted; `None` if it was not. Its own day is looked into first, but a known id is
    /// known whatever its date says now.
    pub(super) fn find(&mut self, connection: &Connection, id: &str, created: Timestamp) -> Result<Option<Found>> {
        let key = key(id);
        for day in self.near(created) {
            if let Some(parts) = self.find_in(connection, Some(day), &key)? {
                return Ok(Some(Found { parts, day: Some(day) }));
            }
        }
        if self.is_old(created)
            && let Some(parts) = self.find_in(connection, None, &key)?
        {
            return Ok(Some(Found { parts, day: None }));
        }
        let day: Option<Option<i64>> =
            connection.prepare_cached(&self.elsewhere)?.query_row([key], |row| row.get(0)).optional()?;
        let Some(day) = day else { return Ok(None) };
        // Only the place is taken on trust: to check all days before the first new session would hold up the start.
        Ok(self.find_in(connection, day, &key)?.map(|parts| Found { parts, day }))
    }

    /// Whether a session created then is remembered for good, and not by its day.
    fn is_old(&self, created: Timestamp) -> bool {
        self.initial_floor.is_some_and(|initial| created.day() < initial) || self.is_forgotten(created)
    }

    /// The days in whose partitions a session created then may be.
    fn near(&self, created: Timestamp) -> BTreeSet<i64> {
        let days = [created.day(), created.plus(ROUNDING).day(), created.minus(ROUNDING).day()];
        days.into_iter().filter(|day| self.days.contains(day)).collect()
    }

    fn find_in(&mut self, connection: &Connection, day: Option<i64>, key: &[u8; 16]) -> Result<Option<i64>> {
        self.check(connection, day)?;
        connection
            .prepare_cached(&format!("SELECT parts FROM {} WHERE id = ?1", partition(day)))?
            .query_row([key], |row| row.get(0))
            .optional()
    }

    /// Remembers a session as counted with `parts`.
    pub(super) fn insert(&mut self, connection: &Connection, id: &str, created: Timestamp, parts: i64) -> Result<()> {
        let (day, key) = (created.day(), key(id));
        let day = if self.is_old(created) {
            None
        } else {
            if self.days.insert(day) {
                self.elsewhere = elsewhere(&self.days);
                make_partition(connection, day, &self.checksums)?;
            }
            Some(day)
        };
        self.check(connection, day)?;
        let table = partition(day);
        let inserted = connection
            .prepare_cached(&format!("INSERT OR IGNORE INTO {table} VALUES (?1, ?2)"))?
            .execute((key, parts))?;
        if inserted == 0 {
            return self.replace(connection, day, &key, parts);
        }
        self.checksums.id_added(&table, &key, parts);
        Ok(())
    }

    /// Replaces the classifications with which a session was counted.
    pub(super) fn update(&mut self, connection: &Connection, id: &str, found: &Found, parts: i64) -> Result<()> {
        self.replace(connection, found.day, &key(id), parts)
    }

    /// Forgets a session where it was found.
    pub(super) fn take(&mut self, connection: &Connection, id: &str, found: &Found) -> Result<()> {
        let (key, table) = (key(id), partition(found.day));
        connection.prepare_cached(&format!("DELETE FROM {table} WHERE id = ?1"))?.execute([key])?;
        self.checksums.id_removed(&table, &key, found.parts);
        Ok(())
    }

    fn replace(&mut self, connection: &Connection, day: Option<i64>, key: &[u8; 16], parts: i64) -> Result<()> {
        let Some(before) = self.find_in(connection, day, key)? else { return Ok(()) };
        let table = partition(day);
        connection.prepare_cached(&format!("UPDATE {table} SET parts = ?2 WHERE id = ?1"))?.execute((key, parts))?;
        self.checksums.id_removed(&table, key, before);
        self.checksums.id_added(&table, key, parts);
        Ok(())
    }

    /// Forgets a session wherever its hash is. Gives whether it was anywhere.
    pub(super) fn remove(&mut self, connection: &Connection, id: &str) -> Result<bool> {
        let (key, mut found) = (key(id), false);
        for day in self.days.iter().copied().map(Some).chain([None]).collect::<Vec<_>>() {
            let Some(parts) = self.find_in(connection, day, &key)? else { continue };
            let table = partition(day);
            connection.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [key])?;
            self.checksums.id_removed(&table, &key, parts);
            found = true;
        }
        Ok(found)
    }

    /// Whether the hash of a session is anywhere.
    pub(super) fn contains(&mut self, connection: &Connection, id: &str) -> Result<bool> {
        let key = key(id);
        for day in self.days.iter().copied().map(Some).chain([None]).collect::<Vec<_>>() {
            if self.find_in(connection, day, &key)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sets the floor at the first start. Days before it that were counted while it was not known are kept for good.
    pub(super) fn begin(&mut self, connection: &Connection, first_start: Timestamp) -> Result<()> {
        let floor = first_start.day() - self.retention_days;
        let kept = self.days.split_off(&floor);
        for day in std::mem::replace(&mut self.days, kept) {
            self.keep_for_good(connection, day)?;
        }
        self.elsewhere = elsewhere(&self.days);
        Meta::InitialFloor.set(connection, floor)?;
        Meta::Floor.set(connection, floor)?;
        (self.initial_floor, self.floor) = (Some(floor), Some(floor));
        Ok(())
    }

    /// Moves the partition of a day to that of the old sessions.
    fn keep_for_good(&mut self, connection: &Connection, day: i64) -> Result<()> {
        for partition in [Some(day), None] {
            self.check(connection, partition)?;
        }
        let (table, old) = (partition(Some(day)), partition(None));
        let mut ids = connection.prepare(&format!("SELECT id, parts FROM {table}"))?;
        let ids = ids.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<([u8; 16], i64)>>>()?;
        for (key, parts) in ids {
            connection.prepare_cached(&format!("INSERT INTO {old} VALUES (?1, ?2)"))?.execute((key, parts))?;
            self.checksums.id_added(&old, &key, parts);
        }
        connection.execute_batch(&format!("DROP TABLE {table}"))?;
        self.checksums.table_dropped(connection, &table)?;
        self.unchecked.remove(&Some(day));
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
            let table = partition(Some(oldest));
            connection.execute_batch(&format!("DROP TABLE {table}"))?;
            self.checksums.table_dropped(connection, &table)?;
            self.days.remove(&oldest);
            self.unchecked.remove(&Some(oldest));
            self.elsewhere = elsewhere(&self.days);
        }
        Ok(())
    }
}

/// Finds the day of an id among the newest days and the old sessions.
fn elsewhere(days: &BTreeSet<i64>) -> String {
    let newest = days.iter().rev().take(MOST_OTHER_DAYS);
    let mut tables: Vec<_> = newest.map(|day| format!("SELECT {day} FROM {PREFIX}{day} WHERE id = ?1")).collect();
    tables.push(format!("SELECT NULL FROM {OLD} WHERE id = ?1 LIMIT 1"));
    tables.join(" UNION ALL ")
}

fn retention_days(retention: Duration) -> i64 {
    i64::try_from(retention.as_secs().div_ceil(86_400)).unwrap_or(i64::MAX / 2)
}
