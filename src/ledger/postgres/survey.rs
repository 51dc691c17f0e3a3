//! A look at the database from outside, for `doctor`: which servers can be used, what its settings are, what this user may do,
//! and who counts. It changes nothing and takes no lock.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_postgres::SimpleQueryMessage;

use super::census::is_there;
use super::connect::{Connection, Database};
use super::durability::{Durability, SETTINGS};
use super::error::PostgresError;
use super::fault::ServerFault;
use super::schema::{self, Found};
use super::statements::first_row;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::SslMode;
use crate::tasks::Tasks;

/// How long a question may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How often a round trip is measured.
const ROUNDS: usize = 7;

/// What was seen of a database.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Servers and name, for people.
    pub database: String,
    /// How a server must prove who it is.
    pub sslmode: SslMode,
    /// Each server with why it cannot be used, in their order.
    pub servers: Vec<(String, Option<ServerFault>)>,
    /// What the first server that can be used says; `None` if there is none.
    pub facts: Option<Result<Facts, PostgresError>>,
}

/// What a server says.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The version of the server.
    pub version: String,
    /// The version of TLS, if there is any.
    pub tls: Option<String>,
    /// The settings on which it depends whether a commit is lost.
    pub durability: Durability,
    /// Connections of everybody that are open.
    pub connections: i64,
    /// How many this user may have.
    pub most_connections: i64,
    /// How far its clock is ahead of this machine's, in milliseconds.
    pub clock_ahead_ms: i64,
    /// The median time of a round trip.
    pub round_trip: Duration,
    /// Whether reads come to a standby, though writes do not.
    pub reads_standby: bool,
    /// Why a transaction of several statements does not work, if it does not.
    pub no_transactions: Option<String>,
    /// The tables.
    pub tables: Tables,
}

/// How the tables are.
#[derive(Clone, Debug)]
pub enum Tables {
    /// There are none, and this user may make them.
    Missing,
    /// This user lacks rights; the statements give them.
    NoRights(String),
    /// They are there.
    There(Shared),
}

/// What is in the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// The format of the tables.
    pub format: i32,
    /// The newest format that this version knows.
    pub known: i32,
    /// Which replica counts, or did last; empty if none ever did.
    pub holder: String,
    /// Whether its lease has not ended.
    pub is_held: bool,
    /// For how many seconds it has had the lease.
    pub held_for: i64,
    /// The replicas that are there.
    pub replicas: Vec<String>,
    /// Deliveries that wait to be counted.
    pub inbox: i64,
    /// Commits so far.
    pub sequence: i64,
}

impl Survey {
    /// Looks at the database at `url`.
    ///
    /// # Errors
    /// If the URL cannot be used.
    pub async fn take(url: &str, password_file: Option<PathBuf>, schema: &str) -> Result<Self, PostgresError> {
        let database = Database::new(url, password_file, schema, Tasks::new().0)?;
        let connector = database.connector();
        let mut asked = JoinSet::new();
        for (place, server) in connector.servers().iter().cloned().enumerate() {
            let database = database.clone();
            asked.spawn(async move {
                let fault = database.connector().connect_to(&server).await.err();
                (place, server.to_string(), fault)
            });
        }
        let mut servers = asked.join_all().await;
        servers.sort_unstable_by_key(|(place, ..)| *place);
        let servers: Vec<_> = servers.into_iter().map(|(_, server, fault)| (server, fault)).collect();
        let is_usable = servers.iter().any(|(_, fault)| fault.is_none());
        let facts = if is_usable { Some(facts(&database).await) } else { None };
        Ok(Self { database: database.name().into(), sslmode: connector.tls().mode, servers, facts })
    }
}

async fn facts(database: &Database) -> Result<Facts, PostgresError> {
    facts_of(&database.connection().await?).await
}

pub(super) async fn facts_of(connection: &Connection) -> Result<Facts, PostgresError> {
    let (round_trip, reads_standby) = round_trips(connection).await?;
    // Before the rest, since an old server does not know all of it.
    let found = schema::look(connection).await?;
    let query = format!(
        "SELECT current_setting('server_version'), \
         (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), \
         (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL), \
         (SELECT least(current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer, \
          nullif(rolconnlimit, -1), (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())) \
          FROM pg_roles WHERE rolname = current_user), \
         (extract(epoch FROM clock_timestamp()) * 1000)::bigint, {SETTINGS}"
    );
    let began = Instant::now();
    let row = one(connection, &query).await?;
    let (text, number) = (|column: usize| cell(&row, column), |column: usize| cell(&row, column).parse().unwrap_or(0));
    // The server read its clock at some time between.
    let here = SystemClock.now().minus(began.elapsed() / 2);
    let clock_ahead_ms = Timestamp::from_millis(number(4)).as_millis().saturating_sub(here.as_millis());
    let facts = Facts {
        version: text(0),
        tls: Some(text(1)).filter(|version| !version.is_empty()),
        connections: number(2),
        most_connections: number(3),
        clock_ahead_ms,
        durability: Durability::of(|column| text(column + 5)),
        round_trip,
        reads_standby,
        no_transactions: None,
        tables: tables(connection, &found).await?,
    };
    // Last, since a pooler may end the connection.
    let no_transactions = transaction(connection).await.err().map(|error| error.to_string());
    Ok(Facts { no_transactions, ..facts })
}

/// The median of some round trips, and whether any of them came to a standby.
async fn round_trips(connection: &Connection) -> Result<(Duration, bool), PostgresError> {
    let (mut times, mut reads_standby) = (Vec::new(), false);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let row = one(connection, "SELECT pg_is_in_recovery()").await?;
        times.push(began.elapsed());
        reads_standby |= cell(&row, 0) == "t";
    }
    times.sort_unstable();
    Ok((times.get(ROUNDS / 2).copied().unwrap_or_default(), reads_standby))
}

/// Whether several statements can be one transaction, as each commit is.
pub(super) async fn transaction(connection: &Connection) -> Result<(), PostgresError> {
    for statement in ["BEGIN", "SELECT 1", "COMMIT"] {
        connection.ask(LIMIT, |client| client.batch_execute(statement)).await?;
    }
    Ok(())
}

async fn tables(connection: &Connection, found: &Found) -> Result<Tables, PostgresError> {
    let database = connection.database();
    if let Some(statements) = schema::missing_rights(database, found) {
        return Ok(Tables::NoRights(statements));
    }
    let Some((format, compatible)) = found.format else { return Ok(Tables::Missing) };
    schema::known(database, format, compatible)?;
    let schema = database.schema();
    let query = format!(
        "SELECT holder, expires > clock_timestamp(), extract(epoch FROM clock_timestamp() - since)::bigint, sequence, \
         (SELECT count(*) FROM {schema}.inbox), \
         (SELECT string_agg(name, ', ' ORDER BY name) FROM {schema}.replicas WHERE {}) \
         FROM {schema}.lease",
        is_there()
    );
    let row = one(connection, &query).await?;
    let number = |column: usize| cell(&row, column).parse().unwrap_or(0);
    let replicas = cell(&row, 5);
    Ok(Tables::There(Shared {
        format,
        known: database.format().number,
        holder: cell(&row, 0),
        is_held: cell(&row, 1) == "t",
        held_for: number(2),
        sequence: number(3),
        inbox: number(4),
        replicas: replicas.split(", ").filter(|name| !name.is_empty()).map(Into::into).collect(),
    }))
}

/// The first row of an answer, by the simple protocol, which every pooler knows.
async fn one(connection: &Connection, query: &str) -> Result<Vec<SimpleQueryMessage>, PostgresError> {
    connection.ask(LIMIT, |client| client.simple_query(query)).await
}

/// A column of the first row; empty if it is NULL.
fn cell(answer: &[SimpleQueryMessage], column: usize) -> String {
    first_row(answer).and_then(|row| row.get(column)).unwrap_or_default().to_owned()
}
