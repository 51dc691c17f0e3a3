//! Everything that is stored of the series, as of one moment: what a replica begins with.

use std::time::Duration;

use exposition::BucketSchemas;
use hashbrown::HashMap;
use tokio_postgres::Client;

use super::connect::{Connection, Database};
use super::error::PostgresError;
use super::news::State;
use super::schema;
use super::settlement::IS_SETTLED;
use super::store::stored_schemas;
use super::totals::{StoredSeries, Totals};
use crate::ledger::policy::PolicyConfig;

/// How long reading all of it may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How far counting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// How often the lease has changed hands.
    pub(super) epoch: i64,
    /// The number of the last commit.
    pub(super) sequence: i64,
    /// The number of the commit up to which the series are stored.
    pub(super) folded: i64,
    /// Whether what was shown before is known to be in this database.
    pub(super) is_settled: bool,
    /// Whether the last commit was on two machines before it was acknowledged.
    pub(super) is_synchronous: bool,
}

/// What is known of a commit: its number, under which epoch it was made, and when, in microseconds of the database's clock. Two
/// commits of the same number, one of which was lost, differ in the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommitId {
    pub(super) sequence: i64,
    pub(super) epoch: i64,
    pub(super) at: i64,
}

/// The columns of a [`CommitId`] in the table `commits`, called `c`.
pub(super) const COMMIT_ID: &str = "c.sequence, c.epoch, (extract(epoch FROM c.at) * 1000000)::bigint";

/// The [`COMMIT_ID`] that begins in that column, if there is one.
pub(super) fn commit_id(row: &tokio_postgres::Row, first: usize) -> Option<CommitId> {
    let sequence = row.get::<_, Option<i64>>(first)?;
    Some(CommitId { sequence, epoch: row.get(first + 1), at: row.get(first + 2) })
}

/// The series as of [`Position::sequence`].
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) position: Position,
    /// The last commit, unless its row is not needed any more.
    pub(super) last: Option<CommitId>,
    pub(super) totals: Totals,
    /// The bounds of the histograms, by the names of their buckets.
    pub(super) buckets: HashMap<String, String>,
}

/// Reads all of it.
///
/// # Errors
/// If what is stored makes no sense, or of no server that can be written to.
pub(super) async fn load(connection: &Connection, config: &PolicyConfig) -> Result<Snapshot, PostgresError> {
    let database = connection.database();
    let read = connection.ask(LIMIT, |client| read(client, database.schema())).await?;
    if read.is_standby {
        return Err(PostgresError::Standby { database: database.name().into() });
    }
    let (version, compatible) = read.format;
    schema::known(database, version, compatible)?;
    let damaged = |detail: &str| PostgresError::Damaged { database: database.name().into(), detail: detail.into() };
    let schemas = stored_schemas(&config.bucket_schemas, &read.buckets);
    let totals = totals(read.series, &read.commits, read.position, &schemas, config).map_err(damaged)?;
    Ok(Snapshot { position: read.position, last: read.last, totals, buckets: read.buckets })
}

/// The series as they are, of the moment of a transaction that has begun.
///
/// # Errors
/// If what is stored makes no sense.
pub(super) async fn stored_series(
    client: &Client,
    database: &Database,
    config: &PolicyConfig,
) -> Result<Vec<StoredSeries>, PostgresError> {
    let read = tokio::time::timeout(LIMIT, read_in(client, database.schema())).await;
    let read = read.map_err(|_| PostgresError::Unreachable {
        database: database.name().into(),
        detail: format!("no answer within {LIMIT:?}"),
    })?;
    let read = read.map_err(|error| PostgresError::of(database.name(), &error))?;
    let schemas = stored_schemas(&config.bucket_schemas, &read.buckets);
    let totals = totals(read.series, &read.commits, read.position, &schemas, config);
    let damaged = |detail: &str| PostgresError::Damaged { database: database.name().into(), detail: detail.to_owned() };
    Ok(totals.map_err(damaged)?.into_stored(&schemas).collect())
}

fn totals(
    series: Vec<StoredSeries>,
    commits: &[(i64, Vec<u8>)],
    position: Position,
    schemas: &BucketSchemas,
    config: &PolicyConfig,
) -> Result<Totals, &'static str> {
    let mut totals = Totals::default();
    for stored in series {
        totals.insert(stored, schemas, config.charges()).ok_or("a row of series")?;
    }
    let mut sequence = position.folded;
    for (number, news) in commits {
        if *number != sequence + 1 {
            return Err("a row of commits is missing");
        }
        sequence = *number;
        totals.learn(news, schemas, config.charges()).ok_or("a row of commits")?;
    }
    if sequence == position.sequence { Ok(totals) } else { Err("the last row of commits is missing") }
}

/// What was read.
struct Read {
    is_standby: bool,
    /// That of the tables, and the oldest whose programs can use them.
    format: (i32, i32),
    position: Position,
    last: Option<CommitId>,
    buckets: HashMap<String, String>,
    series: Vec<StoredSeries>,
    commits: Vec<(i64, Vec<u8>)>,
}

async fn read(client: &Client, schema: &str) -> Result<Read, tokio_postgres::Error> {
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let read = read_in(client, schema).await;
    // Also after an error: the transaction must not be left open for whoever uses the connection next.
    client.batch_execute("COMMIT").await?;
    read
}

/// Reads it in a transaction that has begun.
async fn read_in(client: &Client, schema: &str) -> Result<Read, tokio_postgres::Error> {
    let query = format!(
        "SELECT l.epoch, l.sequence, l.folded, {IS_SETTLED}, l.synchronous, pg_is_in_recovery(), f.version, f.compatible, {COMMIT_ID} \
         FROM {schema}.lease l CROSS JOIN {schema}.format f LEFT JOIN {schema}.commits c ON c.sequence = l.sequence"
    );
    let row = client.query_typed_one(&query, &[]).await?;
    let position = Position {
        epoch: row.get(0),
        sequence: row.get(1),
        folded: row.get(2),
        is_settled: row.get(3),
        is_synchronous: row.get(4),
    };
    let (is_standby, format, last) = (row.get(5), (row.get(6), row.get(7)), commit_id(&row, 8));
    let query = format!("SELECT name, bounds FROM {schema}.buckets");
    let buckets = client.query_typed(&query, &[]).await?;
    let query = format!("SELECT id, family, labels, buckets, created, counts, held FROM {schema}.series ORDER BY id");
    let series = client.query_typed(&query, &[]).await?;
    let query = format!(
        "SELECT sequence, news FROM {schema}.commits WHERE sequence > (SELECT folded FROM {schema}.lease) ORDER BY sequence"
    );
    let commits = client.query_typed(&query, &[]).await?;
    Ok(Read {
        is_standby,
        format,
        position,
        last,
        buckets: buckets.iter().map(|row| (row.get(0), row.get(1))).collect(),
        series: series.iter().map(series_of).collect(),
        commits: commits.iter().map(|row| (row.get(0), row.get(1))).collect(),
    })
}

fn series_of(row: &tokio_postgres::Row) -> StoredSeries {
    let counts = |bytes: &[u8]| bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
    StoredSeries {
        id: u32::try_from(row.get::<_, i32>(0)).unwrap_or(u32::MAX),
        family: u8::try_from(row.get::<_, i16>(1)).unwrap_or(u8::MAX),
        labels: String::from_utf8_lossy(row.get(2)).into(),
        buckets: row.get::<_, &str>(3).into(),
        state: State {
            created_ms: row.get(4),
            counts: counts(row.get(5)),
            held_counts: row.get::<_, Option<&[u8]>>(6).map(counts),
        },
    }
}
