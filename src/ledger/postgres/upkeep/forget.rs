//! A session forgotten: wherever its id or its hash is stored.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::ask;
use super::turn::Turn;
use crate::clock::Timestamp;
use crate::ledger::policy::PolicyConfig;
use crate::ledger::policy::classification::UNKNOWN_PARTS;
use crate::ledger::policy::retention::Retention;
use crate::ledger::policy::rows::{Number, session_key};
use crate::ledger::postgres::error::PostgresError;
use crate::ledger::postgres::inbox;
use crate::ledger::postgres::store::{Store, StoreConfig};
use crate::ledger::transfer::UpkeepError;
use crate::ledger::{Change, encoding};

/// What was remembered of a session that is to be forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Forgotten {
    /// It was not yet wholly counted: its id, times and channel were there.
    pub pending: bool,
    /// It was counted: a hash of its id and of its classifications was there.
    pub counted: bool,
    /// A hash of its id is there now, so that it is not counted anew.
    pub keeps_hash: bool,
    /// Deliveries of it that were still to be counted.
    pub deliveries: u64,
    /// Rows of commits and of gauges that named it.
    pub shown: u64,
    /// The tables that held it were rewritten, so that no deleted row of it is left in them.
    pub is_rewritten: bool,
}

/// Forgets a session as the embedded store does: its row while it is not yet wholly counted, its deliveries, and, if `hash` says
/// so, the hash that tells that it was counted. Totals stay as they are.
pub(super) async fn forget(
    client: &Client,
    turn: &Turn,
    policy: &PolicyConfig,
    id: &str,
    hash: bool,
) -> Result<Forgotten, UpkeepError> {
    let session = Session { client, turn, id };
    let sequence = session.fold_commits(policy).await?;
    session.begin(sequence).await?;
    let mut forgotten = Forgotten::default();
    let created = session.pending().await?;
    forgotten.pending = created.is_some();
    let delivered = session.deliveries().await?;
    forgotten.deliveries = delivered.len() as u64;
    forgotten.shown = session.shown().await?;
    forgotten.counted = session.counted(hash).await?;
    forgotten.keeps_hash = forgotten.counted && !hash;
    // Without a time of creation nothing of it was counted yet, so that nothing can be counted twice.
    let created = created.flatten().or_else(|| delivered.into_iter().flatten().next());
    if let (false, false, Some(created)) = (hash, forgotten.counted, created) {
        session.keep_hash(created).await?;
        forgotten.keeps_hash = true;
    }
    session.execute("COMMIT", &[]).await?;
    forgotten.is_rewritten = session.rewrite(&forgotten).await;
    Ok(forgotten)
}

struct Session<'s> {
    client: &'s Client,
    turn: &'s Turn,
    id: &'s str,
}

impl Session<'_> {
    /// Folds the commits if one that is still needed names it. Gives the number of the last one.
    async fn fold_commits(&self, policy: &PolicyConfig) -> Result<i64, UpkeepError> {
        let query = "SELECT count(*) FROM {s}.commits, {s}.lease WHERE commits.sequence > lease.folded \
                     AND position($1 in news) > 0";
        let found: i64 = self.one(query, &[(&self.id.as_bytes(), Type::BYTEA)]).await?;
        if found == 0 {
            return Ok(self.turn.sequence);
        }
        let config = StoreConfig { lease: Duration::from_secs(60), policy: policy.clone() };
        let (mut store, _) = Store::open(&self.turn.database, self.turn.epoch, config).await?;
        store.fold().await?;
        Ok(store.sequence())
    }

    /// Begins a transaction that fails if a replica counts.
    async fn begin(&self, sequence: i64) -> Result<(), UpkeepError> {
        self.execute("BEGIN", &[]).await?;
        let fence = "UPDATE {s}.lease SET sequence = CASE WHEN epoch = $1 AND sequence = $2 THEN sequence END";
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&self.turn.epoch, Type::INT8), (&sequence, Type::INT8)];
        self.execute(fence, &parameters).await.map_err(PostgresError::of_fenced)?;
        Ok(())
    }

    /// Deletes its row, and says when it was created, if that was known.
    async fn pending(&self) -> Result<Option<Option<Timestamp>>, PostgresError> {
        let delete = self.text("DELETE FROM {s}.pending WHERE id = $1 RETURNING created");
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&self.id.as_bytes(), Type::BYTEA)];
        let row = ask(&self.turn.database, self.client.query_typed_opt(&delete, &parameters)).await?;
        Ok(row.map(|row| row.get::<_, Option<i64>>(0).map(Timestamp::from_millis)))
    }

    /// Deletes its deliveries, and says of each when the session was created, if that was known.
    async fn deliveries(&self) -> Result<Vec<Option<Timestamp>>, UpkeepError> {
        let query = self.text("SELECT number, delivery FROM {s}.inbox WHERE position($1 in delivery) > 0");
        let as_json = self.as_json();
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&as_json, Type::BYTEA)];
        let rows = ask(&self.turn.database, self.client.query_typed(&query, &parameters)).await?;
        let mut created = Vec::new();
        for row in rows {
            match inbox::decode(row.get(1), &inbox::Names::default()) {
                Some(Change::Session { facts, .. }) if *facts.id == *self.id => created.push(Some(facts.created)),
                Some(Change::Heard { id, .. }) if *id == *self.id => created.push(None),
                // Of another session, whose id this one is a part of.
                Some(_) => continue,
                // It makes no sense to this version, and names it.
                None => created.push(None),
            }
            self.execute("DELETE FROM {s}.inbox WHERE number = $1", &[(&row.get::<_, i64>(0), Type::INT8)]).await?;
        }
        Ok(created)
    }

    /// Deletes what was shown of it; whoever counts shows the rest again.
    async fn shown(&self) -> Result<u64, PostgresError> {
        let (plain, as_json) = (self.id.as_bytes(), self.as_json());
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&plain, Type::BYTEA), (&as_json, Type::BYTEA)];
        let gauges = "UPDATE {s}.gauges SET page = '', version = version + 1 \
                      WHERE position($1 in page) > 0 OR position($2 in page) > 0";
        let commits = "DELETE FROM {s}.commits WHERE position($1 in news) > 0 OR position($2 in news) > 0";
        Ok(self.execute(gauges, &parameters).await? + self.execute(commits, &parameters).await?)
    }

    /// Whether its hash is there; it is deleted if that is wanted.
    async fn counted(&self, delete: bool) -> Result<bool, PostgresError> {
        let key = session_key(self.id).to_vec();
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&key, Type::BYTEA)];
        if delete {
            return Ok(self.execute("DELETE FROM {s}.counted WHERE key = $1", &parameters).await? > 0);
        }
        Ok(self.one::<i64>("SELECT count(*) FROM {s}.counted WHERE key = $1", &parameters).await? > 0)
    }

    /// Leaves its hash behind.
    async fn keep_hash(&self, created: Timestamp) -> Result<(), PostgresError> {
        let database = &self.turn.database;
        let rows = ask(database, self.client.query_typed(&self.text("SELECT day FROM {s}.days"), &[])).await?;
        let days: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
        let initial_floor = self.number(Number::InitialFloor).await?;
        let floors = (initial_floor, self.number(Number::Floor).await?);
        // Its length does not matter: nothing is forgotten here.
        let (day, _) = Retention::new(days, Duration::MAX, floors).remember(created);
        if day.is_some() {
            let insert = "INSERT INTO {s}.days VALUES ($1) ON CONFLICT DO NOTHING";
            self.execute(insert, &[(&day, Type::INT8)]).await?;
        }
        let key = session_key(self.id).to_vec();
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&key, Type::BYTEA), (&UNKNOWN_PARTS, Type::INT8), (&day, Type::INT8)];
        self.execute("INSERT INTO {s}.counted (key, parts, day) VALUES ($1, $2, $3)", &parameters).await.map(drop)
    }

    async fn number(&self, number: Number) -> Result<Option<i64>, PostgresError> {
        let query = self.text("SELECT value FROM {s}.numbers WHERE name = $1");
        let name = encoding::number(number);
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&name, Type::TEXT)];
        let row = ask(&self.turn.database, self.client.query_typed_opt(&query, &parameters)).await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Rewrites the tables that held it: deleted rows would be in them until their place is used again. Whether all was.
    async fn rewrite(&self, forgotten: &Forgotten) -> bool {
        let mut tables = Vec::new();
        tables.extend(forgotten.pending.then_some("pending"));
        tables.extend((forgotten.deliveries > 0).then_some("inbox"));
        tables.extend((forgotten.shown > 0).then_some(["gauges", "commits"]).into_iter().flatten());
        let mut is_done = true;
        for table in tables {
            let vacuum = format!("VACUUM (FULL) {{s}}.{table}");
            let text = self.text(&vacuum);
            // Who does not own a table gets a warning and no error.
            let done = ask(&self.turn.database, self.client.batch_execute(&text)).await;
            is_done &= done.is_ok() && self.is_owner(table).await.unwrap_or(false);
        }
        is_done
    }

    async fn is_owner(&self, table: &str) -> Result<bool, PostgresError> {
        let table = format!("{}.{table}", self.turn.database.schema());
        let query = "SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass($1)";
        self.one(query, &[(&table, Type::TEXT)]).await
    }

    /// Its id as it stands in JSON.
    fn as_json(&self) -> Vec<u8> {
        let quoted = serde_json::json!(self.id).to_string();
        quoted.trim_matches('"').as_bytes().to_vec()
    }

    fn text(&self, statement: &str) -> String {
        statement.replace("{s}", self.turn.database.schema())
    }

    async fn execute(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<u64, PostgresError> {
        ask(&self.turn.database, self.client.execute_typed(&self.text(statement), parameters)).await
    }

    async fn one<T: tokio_postgres::types::FromSqlOwned>(
        &self,
        query: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<T, PostgresError> {
        Ok(ask(&self.turn.database, self.client.query_typed_one(&self.text(query), parameters)).await?.get(0))
    }
}
