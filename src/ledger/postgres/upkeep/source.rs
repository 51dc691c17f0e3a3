//! A state given line by line, as of one moment.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::{SharedState, ask};
use crate::catalogue::Family;
use crate::ledger::Change;
use crate::ledger::policy::rows::session_key;
use crate::ledger::postgres::connect::Database;
use crate::ledger::postgres::error::PostgresError;
use crate::ledger::postgres::{inbox, rows, snapshot};
use crate::ledger::transfer::{self, AGENT_PARTS, Each, Line, Pending, Series, UpkeepError};

/// Rows that are read at once.
const AT_ONCE: i64 = 10_000;
/// Keys that are asked for at once.
const KEYS_AT_ONCE: usize = 10_000;

/// Fixes the moment: whatever the connection reads from now on is of it. Gives the number of the last delivery that is still to be
/// counted, or 0.
pub(super) async fn begin(client: &Client, database: &Database) -> Result<i64, PostgresError> {
    ask(database, client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")).await?;
    // The moment is that of the first statement.
    let query = format!("SELECT coalesce(max(number), 0) FROM {}.inbox", database.schema());
    Ok(ask(database, client.query_typed_one(&query, &[])).await?.get(0))
}

/// A state in a transaction that has begun.
#[derive(Debug)]
pub(super) struct Source<'s> {
    pub(super) client: Client,
    pub(super) state: &'s SharedState,
}

impl Source<'_> {
    /// Gives every line but the first and the last.
    ///
    /// # Errors
    /// If `each` fails, or what is stored makes no sense.
    pub(super) fn lines(&mut self, each: &mut Each<'_>) -> Result<(), UpkeepError> {
        for (name, value) in self.query("SELECT name, value FROM {s}.numbers", |row| Ok((row.get(0), row.get(1))))? {
            each(Line::Meta(name, value))?;
        }
        let agents = self.query("SELECT agent, parts FROM {s}.agents", |row| Ok((bytes(row, 0)?, row.get(1))))?;
        for (agent, parts) in agents {
            each(Line::Meta(format!("{AGENT_PARTS}{agent}"), parts))?;
        }
        for (name, bounds) in self.query("SELECT name, bounds FROM {s}.buckets", |row| Ok((row.get(0), row.get(1))))? {
            each(Line::Layout(name, bounds))?;
        }
        let admitted = "SELECT label, agent, value FROM {s}.admitted";
        for line in self.query(admitted, |row| Ok(Line::Admitted(row.get(0), bytes(row, 1)?, bytes(row, 2)?)))? {
            each(line)?;
        }
        self.series(each)?;
        self.pending(each)?;
        let places = "SELECT number, agent, session_type FROM {s}.contact_places";
        for line in self
            .query(places, |row| Ok(Line::ContactPlace(row.get::<_, i32>(0).into(), bytes(row, 1)?, bytes(row, 2)?)))?
        {
            each(line)?;
        }
        let contacts = "SELECT key, record FROM {s}.contacts";
        for line in
            self.query(contacts, |row| Ok(Line::Contact(transfer::hex(row.get(0)), transfer::hex(row.get(1)))))?
        {
            each(line)?;
        }
        let leases = "SELECT granted, count, per_window FROM {s}.requests ORDER BY place";
        for line in self.query(leases, |row| Ok(Line::Lease(row.get(0), row.get(1), row.get(2))))? {
            each(line)?;
        }
        self.counted(each)
    }

    fn series(&self, each: &mut Each<'_>) -> Result<(), UpkeepError> {
        let SharedState { database, policy, runtime, .. } = self.state;
        let stored = runtime.block_on(snapshot::stored_series(&self.client, database, policy))?;
        for series in stored {
            let family = Family::from_code(series.family).ok_or_else(|| {
                self.state.damaged(&format!("a series of the family {}, which a newer version may know", series.family))
            })?;
            each(Line::Series(Series {
                metric: family.descriptor().name.into(),
                labels: series.labels.into(),
                layout: series.buckets.into(),
                created: series.state.created_ms,
                cells: series.state.counts.into(),
                held: series.state.held_counts.map(Into::into),
            }))?;
        }
        Ok(())
    }

    /// The sessions that are not yet wholly counted, and those in the inbox: of these it is enough to know the id, since whoever
    /// goes on asks for the rest.
    fn pending(&self, each: &mut Each<'_>) -> Result<(), UpkeepError> {
        let mut waiting = self.inbox()?;
        let mut from: Vec<u8> = Vec::new();
        loop {
            let query = "SELECT id, created, stage, ended, channel, heard, source FROM {s}.pending \
                         WHERE id > $1 ORDER BY id LIMIT $2";
            let page = self.page(query, &from)?;
            for row in &page {
                let line = pending(row).map_err(|detail| self.state.damaged(&detail))?;
                waiting.remove(&line.id);
                each(Line::Pending(line))?;
            }
            let Some(last) = page.last() else { break };
            from = last.get(0);
        }
        let counted = self.counted_among(waiting.keys())?;
        for (id, line) in waiting {
            if !counted.contains(&id) {
                each(Line::Pending(line))?;
            }
        }
        Ok(())
    }

    fn inbox(&self) -> Result<BTreeMap<String, Pending>, UpkeepError> {
        let mut waiting = BTreeMap::new();
        let query = "SELECT delivery FROM {s}.inbox ORDER BY number DESC";
        for delivery in self.query(query, |row| Ok(row.get::<_, Vec<u8>>(0)))? {
            let (id, source, heard) = match inbox::decode(&delivery, &inbox::Names::default()) {
                Some(Change::Session { facts, source, now }) => (facts.id.to_string(), source, now),
                Some(Change::Heard { id, source, now }) => (id.to_string(), source, now),
                // Whoever counts leaves it out as well, and says so.
                _ => continue,
            };
            let (heard, source) = (heard.as_millis(), source.code());
            waiting
                .insert(id.clone(), Pending { id, created: None, stage: 0, ended: None, channel: None, heard, source });
        }
        Ok(waiting)
    }

    fn counted_among<'i>(&self, ids: impl Iterator<Item = &'i String>) -> Result<HashSet<String>, UpkeepError> {
        let SharedState { database, runtime, .. } = self.state;
        let query = format!("SELECT key FROM {}.counted WHERE key = ANY($1)", database.schema());
        let ids: HashMap<Vec<u8>, &String> = ids.map(|id| (session_key(id).to_vec(), id)).collect();
        let keys: Vec<&Vec<u8>> = ids.keys().collect();
        let mut counted = HashSet::new();
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&keys, Type::BYTEA_ARRAY)];
            let rows = runtime.block_on(ask(database, self.client.query_typed(&query, &parameters)))?;
            let found = rows.iter().filter_map(|row| ids.get(row.get::<_, &[u8]>(0)));
            counted.extend(found.map(|id| (*id).clone()));
        }
        Ok(counted)
    }

    fn counted(&self, each: &mut Each<'_>) -> Result<(), UpkeepError> {
        let days: HashSet<i64> = self.query("SELECT day FROM {s}.days", |row| Ok(row.get(0)))?.into_iter().collect();
        let mut from: Vec<u8> = Vec::new();
        loop {
            let page =
                self.page("SELECT key, parts, day FROM {s}.counted WHERE key > $1 ORDER BY key LIMIT $2", &from)?;
            for row in &page {
                let (key, day): (&[u8], Option<i64>) = (row.get(0), row.get(2));
                // The rows of a day that was forgotten go bit by bit.
                if day.is_none_or(|day| days.contains(&day)) {
                    let key = key.try_into().map_err(|_| self.state.damaged("a row of counted"))?;
                    each(transfer::counted(key, row.get(1), day))?;
                }
            }
            let Some(last) = page.last() else { return Ok(()) };
            from = last.get(0);
        }
    }

    fn page(&self, query: &str, from: &[u8]) -> Result<Vec<Row>, UpkeepError> {
        let SharedState { database, runtime, .. } = self.state;
        let query = query.replace("{s}", database.schema());
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::BYTEA), (&AT_ONCE, Type::INT8)];
        Ok(runtime.block_on(ask(database, self.client.query_typed(&query, &parameters)))?)
    }

    fn query<T>(&self, query: &str, of: impl Fn(&Row) -> Result<T, String>) -> Result<Vec<T>, UpkeepError> {
        let SharedState { database, runtime, .. } = self.state;
        let query = query.replace("{s}", database.schema());
        let rows = runtime.block_on(ask(database, self.client.query_typed(&query, &[])))?;
        rows.iter().map(|row| of(row).map_err(|detail| self.state.damaged(&detail))).collect()
    }
}

fn bytes(row: &Row, column: usize) -> Result<String, String> {
    String::from_utf8(row.get(column)).map_err(|_| "text that is no text".into())
}

fn pending(row: &Row) -> Result<Pending, String> {
    let found = rows::pending(row).ok_or("a row of pending")?;
    let time = |time: Option<crate::clock::Timestamp>| time.map(crate::clock::Timestamp::as_millis);
    Ok(Pending {
        id: found.id.to_string(),
        created: time(found.created),
        stage: found.stage.code(),
        ended: time(found.ended),
        channel: found.channel.map(|channel| channel.values().map(str::to_owned)),
        heard: found.heard.as_millis(),
        source: found.source.code(),
    })
}
