//! The ids of counted sessions, partitioned by the day of the session, so that a look-up touches one small tree and
//! forgetting is dropping a table.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Result};

use super::checksums::Checksums;
use super::new_ids::{self, NewIds};
use super::partitions::{self, OLD, PREFIX, declaration, partition};
use crate::clock::Timestamp;
use crate::ledger::policy::rows::{CountedRow, SessionKey, session_key};

/// Routes may give a creation time with and without its fraction, so that rounding may carry it over midnight.
const ROUNDING: Duration = Duration::from_secs(1);
/// Other days than a session's own in which its id is looked for, the newest ones: some 2 µs each, of which five thousand new
/// sessions a second leave so many. Whoever changes it changes docs/operations.md.
pub(super) const MOST_OTHER_DAYS: usize = 60;

/// The partitions that there are.
#[derive(Debug)]
pub(super) struct CountedTables {
    checksums: Checksums,
    days: BTreeSet<i64>,
    /// The partitions that were not checked yet: each is before the first look-up in it.
    unchecked: BTreeSet<Option<i64>>,
    /// Those that were counted last.
    new: NewIds,
    /// Looks for an id in other days than its own.
    elsewhere: String,
}

/// Makes the partition of a day.
pub(super) fn make_partition(connection: &Connection, day: i64, checksums: &Checksums) -> Result<String> {
    connection.execute_batch(&declaration(day))?;
    let table = partition(Some(day));
    checksums.table_made(&table);
    Ok(table)
}

impl CountedTables {
    /// Reads which partitions there are.
    pub(super) fn load(connection: &Connection, checksums: &Checksums) -> Result<Self> {
        let partitions: BTreeSet<Option<i64>> = partitions::all(connection)?.into_iter().map(|(_, day)| day).collect();
        let days: BTreeSet<i64> = partitions.iter().copied().flatten().collect();
        let (checksums, elsewhere) = (checksums.clone(), elsewhere(&days));
        Ok(Self { checksums, elsewhere, days, unchecked: partitions, new: NewIds::default() })
    }

    /// The days that have a partition.
    pub(super) fn days(&self) -> &BTreeSet<i64> {
        &self.days
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
        check(&mut self.unchecked, &self.checksums, connection, day)
    }

    /// Where a session is remembered as counted; `None` if it was not. Its own day is looked into first, but a known id is
    /// known whatever its date says now. `is_old`: one created then is remembered for good.
    pub(super) fn find(
        &mut self,
        connection: &Connection,
        id: &str,
        created: Timestamp,
        is_old: bool,
    ) -> Result<Option<CountedRow>> {
        let key = session_key(id);
        if let Some(row) = self.new.find(&key) {
            return Ok(Some(row));
        }
        for day in self.near(created) {
            if let Some(parts) = self.find_in(connection, Some(day), &key)? {
                return Ok(Some(CountedRow { parts, day: Some(day) }));
            }
        }
        if is_old && let Some(parts) = self.find_in(connection, None, &key)? {
            return Ok(Some(CountedRow { parts, day: None }));
        }
        let day: Option<Option<i64>> =
            connection.prepare_cached(&self.elsewhere)?.query_row([key], |row| row.get(0)).optional()?;
        let Some(day) = day else { return Ok(None) };
        // Only the place is taken on trust: to check all days before the first new session would hold up the start.
        Ok(self.find_in(connection, day, &key)?.map(|parts| CountedRow { parts, day }))
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

    /// Makes the partition of a day, if there is none.
    pub(super) fn make(&mut self, connection: &Connection, day: i64) -> Result<()> {
        if self.days.insert(day) {
            self.elsewhere = elsewhere(&self.days);
            make_partition(connection, day, &self.checksums)?;
        }
        Ok(())
    }

    /// Writes a row that is not known to be there.
    pub(super) fn insert(&mut self, connection: &Connection, key: &SessionKey, row: CountedRow) -> Result<()> {
        let CountedRow { parts, day } = row;
        if let Some(day) = day {
            self.new.push(key, day, parts);
            return Ok(());
        }
        self.check(connection, day)?;
        let table = partition(day);
        let inserted = connection
            .prepare_cached(&format!("INSERT OR IGNORE INTO {table} VALUES (?1, ?2)"))?
            .execute((key, parts))?;
        if inserted == 0 {
            return self.replace(connection, key, row);
        }
        self.checksums.id_added(&table, key, parts);
        Ok(())
    }

    /// Ends the writing of counted sessions in a transaction.
    pub(super) fn finish(&mut self, connection: &Connection) -> Result<()> {
        let Self { new, unchecked, checksums, .. } = self;
        new.write(connection, checksums, |day| check(unchecked, checksums, connection, Some(day)))
    }

    /// Brings all ids into the tables, where they can be changed, if any of that day are not there.
    fn bring_day(&mut self, connection: &Connection, day: i64) -> Result<()> {
        if self.new.has_any_of(day) { self.new.write_all(connection, &self.checksums) } else { Ok(()) }
    }

    /// Writes other parts into a row, if it is there.
    pub(super) fn replace(&mut self, connection: &Connection, key: &SessionKey, row: CountedRow) -> Result<()> {
        let CountedRow { parts, day } = row;
        if let (Some(day), Some(_)) = (day, self.new.find(key)) {
            self.new.push(key, day, parts);
            return Ok(());
        }
        self.check(connection, day)?;
        new_ids::replace(connection, &self.checksums, &partition(day), key, parts)
    }

    /// Deletes a row that is there.
    pub(super) fn delete(&mut self, connection: &Connection, key: &SessionKey, row: CountedRow) -> Result<()> {
        // No row may be left that would bring it back.
        if self.new.find(key).is_some() {
            self.new.write_all(connection, &self.checksums)?;
        }
        let table = partition(row.day);
        connection.prepare_cached(&format!("DELETE FROM {table} WHERE id = ?1"))?.execute([key])?;
        self.checksums.id_removed(&table, key, row.parts);
        Ok(())
    }

    /// Forgets a session wherever its hash is. Gives whether it was anywhere.
    pub(super) fn remove(&mut self, connection: &Connection, id: &str) -> Result<bool> {
        let (key, mut found) = (session_key(id), false);
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
        let key = session_key(id);
        for day in self.days.iter().copied().map(Some).chain([None]).collect::<Vec<_>>() {
            if self.find_in(connection, day, &key)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves the partition of a day to that of the old sessions.
    pub(super) fn keep_for_good(&mut self, connection: &Connection, day: i64) -> Result<()> {
        self.bring_day(connection, day)?;
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
        self.no_longer(day);
        Ok(())
    }

    /// Drops the partition of a day.
    pub(super) fn forget(&mut self, connection: &Connection, day: i64) -> Result<()> {
        self.bring_day(connection, day)?;
        let table = partition(Some(day));
        connection.execute_batch(&format!("DROP TABLE {table}"))?;
        self.checksums.table_dropped(connection, &table)?;
        self.no_longer(day);
        Ok(())
    }

    fn no_longer(&mut self, day: i64) {
        self.days.remove(&day);
        self.unchecked.remove(&Some(day));
        self.elsewhere = elsewhere(&self.days);
    }
}

/// Checks a partition, if it was not checked yet.
fn check(
    unchecked: &mut BTreeSet<Option<i64>>,
    checksums: &Checksums,
    connection: &Connection,
    day: Option<i64>,
) -> Result<()> {
    if unchecked.contains(&day) {
        checksums.verify_ids(connection, &partition(day))?;
        unchecked.remove(&day);
    }
    Ok(())
}

/// Finds the day of an id among the newest days and the old sessions.
fn elsewhere(days: &BTreeSet<i64>) -> String {
    let newest = days.iter().rev().take(MOST_OTHER_DAYS);
    let mut tables: Vec<_> = newest.map(|day| format!("SELECT {day} FROM {PREFIX}{day} WHERE id = ?1")).collect();
    tables.push(format!("SELECT NULL FROM {OLD} WHERE id = ?1 LIMIT 1"));
    tables.join(" UNION ALL ")
}
