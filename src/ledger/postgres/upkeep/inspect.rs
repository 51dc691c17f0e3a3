//! What is in a state, who counts in it, and how much room it takes; nothing of any session.

use std::time::Duration;

use hashbrown::HashMap;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::{ask, moved};
use crate::catalogue::Family;
use crate::clock::Timestamp;
use crate::ledger::encoding;
use crate::ledger::policy::PolicyConfig;
use crate::ledger::policy::rows::Number;
use crate::ledger::postgres::connect::Database;
use crate::ledger::postgres::error::PostgresError;
use crate::ledger::postgres::snapshot;
use crate::ledger::transfer::{Moved, Remembered, UpkeepError};
use crate::session::Stage;

/// What a state in a database is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inspection {
    /// Hosts, ports and name of the database.
    pub database: String,
    /// The schema, as it stands in statements.
    pub schema: String,
    /// The version of the server.
    pub server: String,
    /// The format of the tables.
    pub format: i32,
    /// Who counts, or did last; empty if nobody ever did.
    pub holder: String,
    /// Since when, by the clock of the database.
    pub since: Option<Timestamp>,
    /// Whether the lease is held: else nobody counts.
    pub is_held: bool,
    /// How often the lease has changed hands.
    pub epoch: i64,
    /// Commits so far.
    pub sequence: i64,
    /// How many of them are in the table of the series already.
    pub folded: i64,
    /// Replicas that were there lately, and how long ago each said so.
    pub replicas: Vec<(String, Duration)>,
    /// Where the state has gone, if it has.
    pub moved: Option<Moved>,
    /// Deliveries that are still to be counted.
    pub inbox: i64,
    /// How long the oldest of them has waited.
    pub oldest_delivery: Option<Duration>,
    /// By name.
    pub tables: Vec<TableSize>,
    /// What it remembers.
    pub remembered: Remembered,
}

/// How much room a table takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: i64,
    /// Bytes, with its indexes.
    pub bytes: i64,
}

/// Looks at everything, in a transaction that has begun.
pub(super) async fn inspect(
    client: &Client,
    database: &Database,
    policy: &PolicyConfig,
) -> Result<Inspection, UpkeepError> {
    let look = Look { client, database };
    let row = look
        .one(
            "SELECT l.holder, (extract(epoch FROM l.since) * 1000)::bigint, l.expires > clock_timestamp(), l.epoch, l.sequence, \
             l.folded, current_setting('server_version'), (SELECT version FROM {s}.format), \
             (SELECT count(*) FROM {s}.inbox), \
             (SELECT (extract(epoch FROM clock_timestamp() - min(at)) * 1000)::bigint FROM {s}.inbox) FROM {s}.lease l",
        )
        .await?;
    let replicas =
        "SELECT name, (extract(epoch FROM clock_timestamp() - seen) * 1000)::bigint FROM {s}.replicas ORDER BY name";
    let since: i64 = row.get(1);
    let mut inspection = Inspection {
        database: database.name().into(),
        schema: database.schema().into(),
        holder: row.get(0),
        since: (since > 0).then(|| Timestamp::from_millis(since)),
        is_held: row.get(2),
        epoch: row.get(3),
        sequence: row.get(4),
        folded: row.get(5),
        server: row.get(6),
        format: row.get(7),
        inbox: row.get(8),
        oldest_delivery: row.get::<_, Option<i64>>(9).map(millis),
        replicas: look.all(replicas).await?.iter().map(|row| (row.get(0), millis(row.get(1)))).collect(),
        moved: moved::read(client, database).await?,
        remembered: look.remembered(policy).await?,
        ..Inspection::default()
    };
    for name in tables(client, database).await? {
        let row = look
            .one(&format!("SELECT count(*), pg_total_relation_size('{{s}}.{name}'::regclass) FROM {{s}}.{name}"))
            .await?;
        inspection.tables.push(TableSize { name, rows: row.get(0), bytes: row.get(1) });
    }
    Ok(inspection)
}

/// The names of the tables.
pub(super) async fn tables(client: &Client, database: &Database) -> Result<Vec<String>, PostgresError> {
    let query =
        "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind = 'r' ORDER BY 1";
    let schema = database.schema();
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&schema, Type::TEXT)];
    let rows = ask(database, client.query_typed(query, &parameters)).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The bytes of all tables with their indexes.
pub(super) async fn bytes(client: &Client, database: &Database) -> Result<u64, PostgresError> {
    let query = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class \
                 WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'";
    let schema = database.schema();
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&schema, Type::TEXT)];
    let row = ask(database, client.query_typed_one(query, &parameters)).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

struct Look<'l> {
    client: &'l Client,
    database: &'l Database,
}

impl Look<'_> {
    async fn all(&self, query: &str) -> Result<Vec<Row>, PostgresError> {
        let query = query.replace("{s}", self.database.schema());
        ask(self.database, self.client.query_typed(&query, &[])).await
    }

    async fn one(&self, query: &str) -> Result<Row, PostgresError> {
        let query = query.replace("{s}", self.database.schema());
        ask(self.database, self.client.query_typed_one(&query, &[])).await
    }

    async fn remembered(&self, policy: &PolicyConfig) -> Result<Remembered, UpkeepError> {
        let numbers = self.all("SELECT name, value FROM {s}.numbers").await?;
        let numbers: HashMap<String, i64> = numbers.iter().map(|row| (row.get(0), row.get(1))).collect();
        let number = |number: Number| numbers.get(encoding::number(number)).copied();
        let counted =
            "SELECT count(*), min(day) FROM {s}.counted WHERE day IS NULL OR day IN (SELECT day FROM {s}.days)";
        let counted = self.one(counted).await?;
        let stages = self.all("SELECT stage, count(*) FROM {s}.pending GROUP BY stage ORDER BY stage").await?;
        let stage = |row: &Row| {
            let code = u8::try_from(row.get::<_, i16>(0)).unwrap_or(u8::MAX);
            (Stage::from_code(code), row.get::<_, i64>(1).unsigned_abs())
        };
        let oldest: Option<i64> = self.one("SELECT min(ended) FROM {s}.pending").await?.get(0);
        let agents = self.one("SELECT count(*) FROM {s}.admitted WHERE label = 'agent_id'").await?;
        let stored = snapshot::stored_series(self.client, self.database, policy).await?;
        let mut series = std::collections::BTreeMap::<u8, u64>::new();
        for row in &stored {
            *series.entry(row.family).or_default() += 1;
        }
        let named =
            series.into_iter().filter_map(|(code, count)| Some((Family::from_code(code)?.descriptor().name, count)));
        Ok(Remembered {
            first_start: number(Number::FirstStart).map(Timestamp::from_millis),
            look_back_done: number(Number::LookBackDone) == Some(1),
            watermark: number(Number::Watermark).map(Timestamp::from_millis),
            counted: counted.get::<_, i64>(0).unsigned_abs(),
            counted_since: counted
                .get::<_, Option<i64>>(1)
                .map(|day| Timestamp::from_millis(day.saturating_mul(86_400_000))),
            pending: stages.iter().map(stage).collect(),
            oldest_ended: oldest.map(Timestamp::from_millis),
            series: named.collect(),
            agents: agents.get::<_, i64>(0).unsigned_abs(),
            held: stored.iter().filter(|row| row.state.held_counts.is_some()).count() as u64,
        })
    }
}
