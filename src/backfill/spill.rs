//! What was observed of the past, on disk until it is counted, and how far the collection is: both are durable together, so that
//! a run that is broken off goes on where it was.
//!
//! It holds what can be counted of a session, as a replica's inbox does, and nothing else of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::page::PastPage;
use super::sessions::{Counted, SessionStep, times};
use super::tally::{read_tally, tally_bytes};
use crate::clock::Timestamp;
use crate::ledger::Lease;
use crate::ledger::past::key_of;
use crate::ledger::record::Records;
use crate::session::{Facts, MessageTally};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS session (
    id TEXT NOT NULL PRIMARY KEY, created INTEGER NOT NULL, ended INTEGER, outcome INTEGER, updated INTEGER NOT NULL,
    is_whole INTEGER NOT NULL, record BLOB NOT NULL, messages INTEGER NOT NULL DEFAULT 0, tally BLOB,
    is_live INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS wanted (id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS live (key BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS lease (granted INTEGER NOT NULL, count INTEGER NOT NULL, per_window INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS number (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS unnamed (hash INTEGER NOT NULL PRIMARY KEY, reason TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS missing (reason TEXT NOT NULL PRIMARY KEY, sessions INTEGER NOT NULL) WITHOUT ROWID, STRICT;
";

/// The columns by which the steps are counted in the order of time.
const ORDERS: &str = "
CREATE INDEX IF NOT EXISTS by_created ON session (is_live, created, id);
CREATE INDEX IF NOT EXISTS by_ended ON session (is_live, ended, id);
CREATE INDEX IF NOT EXISTS by_outcome ON session (is_live, outcome, id);
";

/// Covers the window of the budget, the validity of a lease and a request's time-out.
const LEASES_KEPT: Duration = Duration::from_secs(120);

/// A number of the collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// The page of the listing that is next.
    Page,
    /// 1 once the listing was read to its end.
    Listed,
    /// 1 once all is there that is to be counted.
    Collected,
    /// Milliseconds: the API's time by which sessions are observed.
    Now,
    /// Requests that were sent.
    Requests,
}

impl Number {
    const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Listed => "listed",
            Self::Collected => "collected",
            Self::Now => "now",
            Self::Requests => "requests",
        }
    }
}

/// The sessions on disk.
#[derive(Debug)]
pub(super) struct Spill {
    connection: Connection,
    records: Records,
    /// `poll.analysis_deadline`
    deadline: Duration,
}

type Result<T> = rusqlite::Result<T>;

impl Spill {
    /// Opens the file, or makes it.
    pub(super) fn open(file: &Path, records: Records, deadline: Duration) -> Result<Self> {
        let connection = Connection::open(file)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -8 * 1024)?;
        connection.pragma_update(None, "temp_store", "FILE")?;
        connection.execute_batch(TABLES)?;
        Ok(Self { connection, records, deadline })
    }

    /// A number, if it was ever set.
    pub(super) fn number(&self, number: Number) -> Result<Option<i64>> {
        self.connection
            .prepare_cached("SELECT value FROM number WHERE name = ?1")?
            .query_row([number.name()], |row| row.get(0))
            .optional()
    }

    /// Sets a number.
    pub(super) fn set(&self, number: Number, value: i64) -> Result<()> {
        set(&self.connection, number, value)
    }

    /// Requests may be sent from now on, and count as sent after a crash.
    pub(super) fn lease(&mut self, lease: Lease) -> Result<()> {
        let Lease { granted, count, per_window } = lease;
        let transaction = self.connection.transaction()?;
        transaction
            .prepare_cached("DELETE FROM lease WHERE granted < ?1")?
            .execute([granted.minus(LEASES_KEPT).as_millis()])?;
        transaction.prepare_cached("INSERT INTO lease VALUES (?1, ?2, ?3)")?.execute(params![
            granted.as_millis(),
            count,
            per_window
        ])?;
        transaction.commit()
    }

    /// The requests that were leased lately, in the order in which they were.
    pub(super) fn leases(&self) -> Result<Vec<Lease>> {
        self.connection
            .prepare("SELECT granted, count, per_window FROM lease ORDER BY rowid")?
            .query_map([], |row| {
                Ok(Lease { granted: Timestamp::from_millis(row.get(0)?), count: row.get(1)?, per_window: row.get(2)? })
            })?
            .collect()
    }

    /// Keeps what the live counters have, all of it or nothing.
    pub(super) fn keep_live(&mut self, keys: &[[u8; 16]]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare("INSERT OR IGNORE INTO live VALUES (?1)")?;
            keys.iter().try_for_each(|key| insert.execute([key]).map(drop))?;
        }
        transaction.commit()
    }

    /// Keeps what a page held, and which page is next.
    pub(super) fn keep_page(&mut self, page: &PastPage, next: u32, requests: i64) -> Result<()> {
        let Self { connection, records, deadline } = self;
        let transaction = connection.transaction()?;
        for facts in &page.sessions {
            keep(&transaction, records, facts, *deadline)?;
        }
        for id in &page.wanted {
            transaction.prepare_cached("INSERT OR IGNORE INTO wanted VALUES (?1)")?.execute([&**id])?;
        }
        for (hash, reason) in &page.unnamed {
            // Another page, or a later run, may show the same entry again.
            transaction
                .prepare_cached("INSERT OR IGNORE INTO unnamed VALUES (?1, ?2)")?
                .execute(params![hash.cast_signed(), reason])?;
        }
        set(&transaction, Number::Page, next.into())?;
        set(&transaction, Number::Requests, requests)?;
        transaction.commit()
    }

    /// Something is missing of which nothing else is known.
    pub(super) fn miss(&self, reason: &str) -> Result<()> {
        miss(&self.connection, reason, 1)
    }

    /// A session that is to be asked for alone; the first one by id.
    pub(super) fn wanted(&self) -> Result<Option<String>> {
        self.connection
            .prepare_cached("SELECT id FROM wanted ORDER BY id LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()
    }

    /// How many are still to be asked for alone.
    pub(super) fn wanted_left(&self) -> Result<u64> {
        count(&self.connection, "SELECT count(*) FROM wanted")
    }

    /// A session was asked for alone: what it says, or why there is nothing; nothing at all if it belongs to another time.
    pub(super) fn answered(
        &mut self,
        id: &str,
        answer: std::result::Result<Option<&Arc<Facts>>, &str>,
        requests: i64,
    ) -> Result<()> {
        let Self { connection, records, deadline } = self;
        let transaction = connection.transaction()?;
        match answer {
            Ok(Some(facts)) => keep(&transaction, records, facts, *deadline)?,
            Ok(None) => {}
            Err(reason) => miss(&transaction, reason, 1)?,
        }
        transaction.prepare_cached("DELETE FROM wanted WHERE id = ?1")?.execute([id])?;
        set(&transaction, Number::Requests, requests)?;
        transaction.commit()
    }

    /// Says of every session whether it is in the live counters. `is_live` decides where the ledger has forgotten.
    pub(super) fn mark_live(&mut self, is_live: impl Fn(Timestamp, Option<Timestamp>) -> Option<bool>) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut known = transaction.prepare("SELECT 1 FROM live WHERE key = ?1")?;
            let mut mark = transaction.prepare("UPDATE session SET is_live = 1 WHERE id = ?1")?;
            let mut after = String::new();
            loop {
                let page: Vec<(String, i64, Option<i64>)> = transaction
                    .prepare_cached("SELECT id, created, ended FROM session WHERE id > ?1 ORDER BY id LIMIT 4096")?
                    .query_map([&after], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect::<Result<_>>()?;
                for (id, created, ended) in &page {
                    let times = (Timestamp::from_millis(*created), ended.map(Timestamp::from_millis));
                    if known.exists([key_of(id)])? || is_live(times.0, times.1) == Some(true) {
                        mark.execute([id])?;
                    }
                }
                let Some((last, ..)) = page.into_iter().next_back() else { break };
                after = last;
            }
        }
        transaction.commit()
    }

    /// Wants the messages of the sessions that `is_wanted` names, of those that ended before `until`.
    pub(super) fn want_messages(&mut self, until: Timestamp, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut mark = transaction.prepare("UPDATE session SET messages = 1 WHERE id = ?1 AND messages = 0")?;
            let mut after = String::new();
            loop {
                let page: Vec<String> = transaction
                    .prepare_cached("SELECT id FROM session WHERE id > ?1 AND ended < ?2 ORDER BY id LIMIT 4096")?
                    .query_map(params![after, until.as_millis()], |row| row.get(0))?
                    .collect::<Result<_>>()?;
                for id in page.iter().filter(|id| is_wanted(id)) {
                    mark.execute([id])?;
                }
                let Some(last) = page.into_iter().next_back() else { break };
                after = last;
            }
            transaction.execute_batch("CREATE INDEX IF NOT EXISTS by_messages ON session (id) WHERE messages = 1")?;
        }
        transaction.commit()
    }

    /// A session whose messages are to be read.
    pub(super) fn next_messages(&self) -> Result<Option<String>> {
        self.connection
            .prepare_cached("SELECT id FROM session WHERE messages = 1 ORDER BY id LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()
    }

    /// How many sessions' messages are still to be read.
    pub(super) fn messages_left(&self) -> Result<u64> {
        count(&self.connection, "SELECT count(*) FROM session WHERE messages = 1")
    }

    /// The messages of a session were read, or why not.
    pub(super) fn messages_read(
        &mut self,
        id: &str,
        tally: std::result::Result<&MessageTally, &str>,
        requests: i64,
    ) -> Result<()> {
        let transaction = self.connection.transaction()?;
        let bytes = tally.ok().map(tally_bytes);
        if let Err(reason) = tally {
            miss(&transaction, reason, 1)?;
        }
        transaction
            .prepare_cached("UPDATE session SET messages = 2, tally = ?2 WHERE id = ?1")?
            .execute(params![id, bytes])?;
        set(&transaction, Number::Requests, requests)?;
        transaction.commit()
    }

    /// Nothing more is to be asked for.
    pub(super) fn collected(&mut self) -> Result<()> {
        self.connection.execute_batch(ORDERS)?;
        self.set(Number::Collected, 1)
    }

    /// The steps from `since` until `until` of the sessions that are, or are not, in the live counters, in the order in which they
    /// are counted.
    pub(super) fn steps(
        &self,
        is_live: bool,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Vec<Counted>> {
        let since = since.map_or(i64::MIN, Timestamp::as_millis);
        let until = until.map_or(i64::MAX, Timestamp::as_millis);
        let mut found = Vec::new();
        for step in SessionStep::ALL {
            let column = match step {
                SessionStep::Started => "created",
                SessionStep::Ended => "ended",
                SessionStep::Outcome => "outcome",
            };
            // One that has not ended is left to whoever sees its end. The live counters have its start.
            let query = format!(
                "SELECT {column}, record, tally FROM session WHERE is_live = ?1 AND {column} >= ?2 AND {column} < ?3 AND (ended IS NOT NULL OR is_live = 1)"
            );
            let mut statement = self.connection.prepare_cached(&query)?;
            let mut rows = statement.query(params![is_live, since, until])?;
            while let Some(row) = rows.next()? {
                let Some(facts) = self.records.decode(row.get_ref(1)?.as_blob()?) else { continue };
                let messages = row.get_ref(2)?.as_blob_or_null()?.and_then(read_tally).map(Arc::new);
                found.push(Counted { at: Timestamp::from_millis(row.get(0)?), step, facts, messages });
            }
        }
        found.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
        Ok(found)
    }

    /// How many sessions there are, and of these: in the live counters; open and in none.
    pub(super) fn sessions(&self) -> Result<(u64, u64, u64)> {
        Ok((
            count(&self.connection, "SELECT count(*) FROM session")?,
            count(&self.connection, "SELECT count(*) FROM session WHERE is_live = 1")?,
            count(&self.connection, "SELECT count(*) FROM session WHERE is_live = 0 AND ended IS NULL")?,
        ))
    }

    /// What is missing, by reason.
    pub(super) fn missing(&self) -> Result<BTreeMap<String, u64>> {
        self.connection
            .prepare(
                "SELECT reason, sum(sessions) FROM (SELECT reason, sessions FROM missing
                 UNION ALL SELECT reason, 1 FROM unnamed) GROUP BY reason",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
            .collect()
    }
}

/// Keeps a session. Of two accounts of one the fuller stands, then the later: the order in which they came must not matter.
fn keep(connection: &Connection, records: &Records, facts: &Arc<Facts>, deadline: Duration) -> Result<()> {
    let times = times(facts, deadline);
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    let is_whole = i64::from(facts.ended.is_some()) + 2 * i64::from(facts.outcome.is_some());
    connection
        .prepare_cached(
            "INSERT INTO session (id, created, ended, outcome, updated, is_whole, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (id) DO UPDATE SET created = excluded.created, ended = excluded.ended, outcome = excluded.outcome,
                 updated = excluded.updated, is_whole = excluded.is_whole, record = excluded.record
             WHERE (excluded.is_whole, excluded.updated, excluded.record) > (session.is_whole, session.updated, session.record)",
        )?
        .execute(params![
            &*facts.id,
            times.started.as_millis(),
            millis(times.ended),
            millis(times.outcome),
            millis(facts.updated).unwrap_or(0),
            is_whole,
            records.encode(facts),
        ])
        .map(drop)
}

fn miss(connection: &Connection, reason: &str, sessions: u64) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO missing VALUES (?1, ?2) ON CONFLICT (reason) DO UPDATE SET sessions = sessions + ?2",
        )?
        .execute(params![reason, i64::try_from(sessions).unwrap_or(i64::MAX)])
        .map(drop)
}

fn set(connection: &Connection, number: Number, value: i64) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO number VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2")?
        .execute(params![number.name(), value])
        .map(drop)
}

fn count(connection: &Connection, query: &str) -> Result<u64> {
    connection.query_row(query, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}
