//! The ledger in the hands of the replica that counts: loaded once, kept in memory, committed to.
//!
//! A commit reads what it needs in one round trip and writes in another. The first statement of every transaction changes the
//! row of the lease in a way that fails unless this replica still counts and has seen every commit: it checks the epoch and the
//! number of the last commit. So nothing that was read before can be old, and a replica that was asleep changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use exposition::{BucketSchema, BucketSchemas};
use hashbrown::HashMap;
use tokio_postgres::types::Type;

use super::connect::{Connection, Database};
use super::durability::IS_SYNCHRONOUS;
use super::error::PostgresError;
use super::lease::{Uptime, uptime};
use super::lease_row::GIVEN_UP;
use super::news::{Item, Row};
use super::rows;
use super::settlement::{Settlement, TIMELINE};
use super::snapshot::{self, Snapshot};
use super::statements::{Statements, milliseconds, number};
use super::totals::Totals;
use crate::catalogue::{SeriesKey, SeriesState};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::ledger::policy::rows::{Number, SeriesWrite};
use crate::ledger::policy::{Decision, Policy, PolicyConfig};
use crate::ledger::{Change, CommitOutcome, Committed, InitialZeroWindows, Lease, Opened, encoding, starting};

/// Customers that are too old are deleted this often.
const CONTACTS_DELETED_EVERY: Duration = Duration::from_secs(60);

/// How often a transaction that the database could not fit in is tried again.
const MOST_TRIES: u32 = 10;
/// Commits after which the series are stored as they are. It bounds what is read at a start.
const MOST_ROWS: i64 = 256;
/// Changed series after which they are stored. It bounds how long that takes.
const MOST_CHANGED: usize = 4096;
/// How long the rows of commits are kept after that, for replicas that are behind.
const KEPT: &str = "2 minutes";
/// Counted ids of forgotten days that are deleted at once.
const FORGOTTEN_AT_ONCE: i64 = 2_000;
/// How long the database may take to say what time it is.
const CLOCK_LIMIT: Duration = Duration::from_secs(5);

/// What the ledger needs to know.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `ha.lease`, which every commit extends.
    pub lease: Duration,
    /// What decides how sessions are counted.
    pub policy: PolicyConfig,
}

/// The ledger, open for counting.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    config: StoreConfig,
    /// Of the lease under which it was opened.
    epoch: i64,
    /// The number of the last commit.
    sequence: i64,
    /// The number of the commit up to which the series are stored.
    folded: i64,
    policy: Policy,
    totals: Totals,
    requests: Vec<Lease>,
    /// How far the database's clock is ahead of this machine's, in milliseconds.
    ahead_ms: i64,
    /// When the transaction was sent that extended the lease last.
    extended: Option<Uptime>,
    /// Sessions of forgotten days may still be there.
    has_forgotten: bool,
    /// Whether what was shown before is known to be in this database; else its row of the lease does not say so.
    is_settled: bool,
    is_synchronous: bool,
    /// Customers whose newest session ended before it are forgotten.
    forget_contacts: Option<Timestamp>,
    /// When the customers that are too old were last deleted.
    contacts_deleted: Option<Instant>,
}

impl Store {
    /// Reads everything but the counted ids. `epoch` is that of the lease that this replica has.
    ///
    /// # Errors
    /// [`PostgresError::Superseded`] if it has the lease no more.
    pub(super) async fn open(
        database: &Database,
        epoch: i64,
        config: StoreConfig,
    ) -> Result<(Self, Opened), PostgresError> {
        let connection = database.connection().await?;
        let Snapshot { position, mut totals, buckets, .. } = snapshot::load(&connection, &config.policy).await?;
        if position.epoch != epoch {
            return Err(PostgresError::Superseded);
        }
        let changed = carry_over(&mut totals, &buckets, &config.policy.bucket_schemas);
        let ahead_ms = clock_ahead(&connection).await?;
        let stored = rows::stored(&connection, ahead_ms).await?;
        let number = |number: Number| stored.number(number);
        let paths = agntix_api::paths::ApiPath::ALL;
        let opened = Opened {
            series: totals.all(),
            first_start: stored.known.first_start,
            look_back_done: stored.known.look_back_done,
            watermark: stored.known.watermark,
            open_listed: number(Number::OpenListed) == Some(1),
            leases: stored.requests.clone(),
            agents: config.policy.agents.clone(),
            windows: InitialZeroWindows::default(),
            begun: position.sequence == 0,
            is_shared: true,
            api_limit: number(Number::ApiLimit).and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0),
            paths: paths.map(|path| number(Number::Path(path)).and_then(|place| u32::try_from(place).ok())),
            pending: stored.pending,
        };
        let mut store = Self {
            connection,
            epoch,
            sequence: position.sequence,
            folded: position.folded,
            policy: Policy::new(config.policy.clone(), stored.known),
            totals,
            requests: stored.requests,
            ahead_ms,
            extended: None,
            has_forgotten: true,
            is_settled: position.is_settled,
            is_synchronous: position.is_synchronous,
            forget_contacts: None,
            contacts_deleted: None,
            config,
        };
        if !changed.is_empty() {
            store.write_buckets(&changed).await?;
        }
        if store.config.policy.windows.is_empty() {
            // Nobody is to be recognised any more.
            store.delete_contacts(i64::MAX).await?;
        }
        Ok((store, opened))
    }

    /// Applies the changes and makes them durable, all or none. After an error the store must not be used any more: it may
    /// have learned from what is not durable, or not know what is.
    pub(super) async fn commit(
        &mut self,
        changes: &[Change],
    ) -> Result<(Vec<CommitOutcome>, Committed), PostgresError> {
        let mut rows = rows::load(&self.connection, &self.policy, changes, self.config.lease).await?;
        rows.charged = self.totals.charged();
        let totals = &self.totals;
        let Decision { outcomes, mut writes, overflow, shared_contacts } =
            self.policy.decide(rows, changes, &mut |key: &SeriesKey| totals.has(key));
        let (mut row, mut committed, mut numbers) = (Row::default(), Committed::default(), Vec::new());
        for write in std::mem::take(&mut writes.series) {
            match write {
                SeriesWrite::Add(additions) => {
                    committed.absorb(self.totals.add(additions, self.policy.config(), &mut row));
                }
                SeriesWrite::Starting => {
                    numbers = starting::numbers(&self.totals.all(), &self.policy.config().bucket_schemas);
                }
                SeriesWrite::Release(keys) => {
                    self.totals.release(&keys, &mut row);
                    committed.released.push(keys);
                }
            }
        }
        if writes.numbers.iter().any(|(number, _)| matches!(number, Number::LookBackDone)) {
            row.push(&Item::LookBackDone);
        }
        self.has_forgotten |= writes.forget.is_some();
        self.forget_contacts = writes.forget_contacts.or(self.forget_contacts);
        let mut statements = self.next_commit(row);
        let schema = self.connection.database().schema().to_owned();
        rows::write_numbers(&mut statements, &schema, numbers);
        rows::write(&mut statements, &schema, writes, (&mut self.requests, self.ahead_ms));
        self.send(&statements).await?;
        self.sequence += 1;
        Ok((outcomes, Committed { overflow, shared_contacts, ..committed }))
    }

    /// The begin of the transaction of the next commit: the lease, and the row from which the others learn of it.
    fn next_commit(&self, row: Row) -> Statements {
        let schema = self.connection.database().schema();
        let mut statements = self.fenced("sequence", "sequence + 1");
        let insert = format!("INSERT INTO {schema}.commits (sequence, epoch, news) VALUES ($1, $2, $3)");
        let news = (Box::new(row.into_bytes()) as Box<_>, Type::BYTEA);
        statements.push(insert, vec![number(self.sequence + 1), number(self.epoch), news]);
        statements
    }

    /// The begin of every transaction: it gives `column` of the lease the value `value`, or none, which fails, if this replica does
    /// not count any more or has not seen every commit. It extends the lease. Whoever has seen every commit says with it as of which
    /// timeline everything is there.
    fn fenced(&self, column: &str, value: &str) -> Statements {
        let schema = self.connection.database().schema();
        let settled = if self.is_settled {
            format!(", timeline = {TIMELINE}, synchronous = {IS_SYNCHRONOUS}")
        } else {
            String::new()
        };
        let lease = format!(
            "UPDATE {schema}.lease SET {column} = CASE WHEN epoch = $1 AND sequence = $2 THEN {value} END, \
             expires = clock_timestamp() + $3 * interval '1 millisecond'{settled}"
        );
        let length_ms = milliseconds(self.config.lease);
        let mut statements = Statements::default();
        statements.push(lease, vec![number(self.epoch), number(self.sequence), number(length_ms)]);
        statements
    }

    /// Sends a transaction of the lease, again if the database could not fit it in, and gives how many rows each statement has
    /// changed.
    async fn send(&mut self, statements: &Statements) -> Result<Vec<u64>, PostgresError> {
        let mut tries = 0;
        loop {
            let sent = uptime();
            match statements.send(&self.connection, self.config.lease).await {
                Ok(changed) => {
                    self.extended = Some(sent);
                    return Ok(changed);
                }
                Err(error) if error.is_transient() && tries < MOST_TRIES => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(2) * tries).await;
                    // What failed has ended the connection.
                    let database = self.connection.database().clone();
                    self.connection = database.connection().await?;
                }
                Err(error) => return Err(error.of_fenced()),
            }
        }
    }

    /// What is to be done before anything is shown, if another server has become the primary.
    pub(super) fn settlement(&self) -> Option<Settlement> {
        (!self.is_settled).then(|| Settlement::begin(self.sequence, self.is_synchronous))
    }

    /// Whether what was shown before is known to be in this database.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// What was shown before is in this database, as far as anybody can bring it about. The next transaction says so.
    pub(super) fn settle(&mut self) {
        self.is_settled = true;
    }

    /// The connection that it uses.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The number of the last commit.
    pub(super) fn sequence(&self) -> i64 {
        self.sequence
    }

    /// The series, as they are.
    pub(super) fn series(&self) -> Vec<SeriesState> {
        self.totals.all()
    }

    /// When the transaction was sent that extended the lease last.
    pub(super) fn extended(&self) -> Option<Uptime> {
        self.extended
    }

    /// Extends the lease.
    pub(super) async fn renew(&mut self) -> Result<(), PostgresError> {
        let statements = self.fenced("sequence", "sequence");
        self.send(&statements).await.map(drop)
    }

    /// Gives the lease up, so that another replica can count at once.
    pub(super) async fn release(self) -> Result<(), PostgresError> {
        let schema = self.connection.database().schema();
        let mut statements = Statements::default();
        let lease = format!("UPDATE {schema}.lease SET expires = {GIVEN_UP} WHERE epoch = $1");
        statements.push(lease, vec![number(self.epoch)]);
        statements.send(&self.connection, self.config.lease).await.map(drop)
    }

    /// Whether the series should be stored as they are.
    pub(super) fn is_to_be_folded(&self) -> bool {
        self.sequence - self.folded >= MOST_ROWS || self.totals.changed() >= MOST_CHANGED
    }

    /// Stores the series as they are, and deletes the rows of commits that nobody needs any more.
    pub(super) async fn fold(&mut self) -> Result<(), PostgresError> {
        let changed = self.totals.take_changed(&self.config.policy.bucket_schemas);
        let schema = self.connection.database().schema();
        let mut statements = self.fenced("folded", "sequence");
        if !changed.is_empty() {
            rows::write_series(&mut statements, schema, &changed);
        }
        let delete = format!("DELETE FROM {schema}.commits WHERE sequence <= $1 AND at < now() - interval '{KEPT}'");
        statements.push(delete, vec![number(self.sequence)]);
        self.send(&statements).await?;
        self.folded = self.sequence;
        Ok(())
    }

    /// Whether counted ids of forgotten days may still be there.
    pub(super) fn has_forgotten(&self) -> bool {
        let is_due = self.contacts_deleted.is_none_or(|deleted| deleted.elapsed() >= CONTACTS_DELETED_EVERY);
        self.has_forgotten || self.forget_contacts.is_some() && is_due
    }

    /// Deletes some of the counted ids of forgotten days: few enough that nobody waits for it.
    pub(super) async fn delete_forgotten(&mut self) -> Result<(), PostgresError> {
        let schema = self.connection.database().schema();
        let delete = format!(
            "DELETE FROM {schema}.counted WHERE key IN (SELECT key FROM {schema}.counted \
             WHERE day < (SELECT min(day) FROM {schema}.days) LIMIT {FORGOTTEN_AT_ONCE})"
        );
        let mut statements = self.fenced("sequence", "sequence");
        statements.push(delete, Vec::new());
        let changed = self.send(&statements).await?;
        self.has_forgotten = changed.last().is_some_and(|deleted| *deleted > 0);
        if let Some(before) = self.forget_contacts.take() {
            self.contacts_deleted = Some(Instant::now());
            self.delete_contacts(before.as_millis()).await?;
        }
        Ok(())
    }

    /// Deletes the customers whose newest session ended before then, in milliseconds.
    async fn delete_contacts(&mut self, before: i64) -> Result<(), PostgresError> {
        let delete = format!("DELETE FROM {}.contacts WHERE newest < $1", self.connection.database().schema());
        let mut statements = self.fenced("sequence", "sequence");
        statements.push(delete, vec![number(before)]);
        self.send(&statements).await.map(drop)
    }

    /// Takes a reloaded configuration into effect, but for the buckets, which need a restart.
    pub(super) fn reconfigure(&mut self, config: &StoreConfig) {
        self.config.policy.reload(&config.policy);
        self.policy.reconfigure(&config.policy);
    }

    /// Stores the histograms that were carried over to other bounds, and tells the others to read everything again.
    async fn write_buckets(&mut self, changed: &[(String, String)]) -> Result<(), PostgresError> {
        let mut row = Row::default();
        row.push(&Item::BucketsChanged);
        let mut statements = self.next_commit(row);
        let schema = self.connection.database().schema();
        let lease = format!("UPDATE {schema}.lease SET folded = $1");
        statements.push(lease, vec![number(self.sequence + 1)]);
        let series = self.totals.take_changed(&self.config.policy.bucket_schemas);
        if !series.is_empty() {
            rows::write_series(&mut statements, schema, &series);
        }
        let (names, bounds): (Vec<_>, Vec<_>) = changed.iter().cloned().unzip();
        let insert = format!(
            "INSERT INTO {schema}.buckets SELECT * FROM unnest($1, $2) ON CONFLICT (name) DO UPDATE SET bounds = excluded.bounds"
        );
        statements.push(insert, vec![(Box::new(names), Type::TEXT_ARRAY), (Box::new(bounds), Type::TEXT_ARRAY)]);
        self.send(&statements).await?;
        self.sequence += 1;
        self.folded = self.sequence;
        Ok(())
    }
}

/// How far the database's clock is ahead of this machine's, in milliseconds. Times that replicas on several machines compare are
/// stored by the database's.
async fn clock_ahead(connection: &Connection) -> Result<i64, PostgresError> {
    let now = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let row = connection.ask(CLOCK_LIMIT, |client| client.query_typed_one(now, &[])).await?;
    Ok(row.get::<_, i64>(0).saturating_sub(SystemClock.now().as_millis()))
}

/// Carries the histograms over to the bounds of the configuration, where they differ from those they were counted with, and
/// gives the names and bounds that are to be stored.
fn carry_over(
    totals: &mut Totals,
    stored: &HashMap<String, String>,
    schemas: &Arc<BucketSchemas>,
) -> Vec<(String, String)> {
    let mut changed = Vec::new();
    for (id, schema) in schemas.iter().skip(1) {
        let bounds = encoding::bounds(&schema.bounds);
        let before = stored.get(&*schema.name);
        if before == Some(&bounds) {
            continue;
        }
        if let Some(before) = before {
            totals.carry_over(id, &encoding::read_bounds(before), schema);
        }
        changed.push((schema.name.to_string(), bounds));
    }
    changed
}

/// The configured buckets with the bounds that are stored, so that what was counted with them can be read.
pub(super) fn stored_schemas(configured: &BucketSchemas, stored: &HashMap<String, String>) -> BucketSchemas {
    BucketSchemas::new(configured.iter().skip(1).map(|(_, schema)| match stored.get(&*schema.name) {
        Some(bounds) => BucketSchema::new(&schema.name, &encoding::read_bounds(bounds)),
        None => schema.clone(),
    }))
}
