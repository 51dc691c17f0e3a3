//! Connections to the database: to which of its hosts, with which password, and how a server must prove who it is.
//!
//! A connection keeps nothing between two transactions, since a pooler may give each of them to another server process: no
//! setting, no prepared statement, no lock. Whatever is waited for has a limit. A connection of which something is still
//! waited for when its holder turns away is given up: nobody knows then what is on its way.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, Timeouts};
use tokio::task::JoinSet;
use tokio_postgres::config::{ChannelBinding, SslMode as Asked, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config as Parameters, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::PostgresError;
use super::fault::{Fault, ServerFault};
use super::primary::{Primary, primary_of};
use super::statements::first_row;
use super::tables::{FORMAT, Format};
use super::tls;
use crate::config::{Channel, DatabaseAddress, ServerAddress, ServerHost, TlsParameters};
use crate::tasks::Tasks;

/// The task of a connection.
const TASK: &str = "a connection to the database";
/// Connections of a replica at once, at most: the writer and the reader of the page have one each, deliveries share the rest.
pub const MOST_CONNECTIONS: u8 = 8;
/// How long one host may take until a connection to it can be used, if the URL does not say it.
const HOST_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the servers may take to say which of them is the primary: a page, or the lease, waits for it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long what was sent may stay unacknowledged by the network, if the URL does not say it.
const USER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may be silent before the network asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long to wait for a connection that others have.
const WAIT: Duration = Duration::from_secs(5);

/// The database, as it was configured. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    pool: Pool<Sessions>,
    connector: Arc<Connector>,
    /// Host and port of each server, and the name of the database; no user and no password.
    name: Box<str>,
    /// As it stands in statements.
    schema: Box<str>,
    /// What is known of the tables.
    format: &'static Format,
}

impl Database {
    /// The database at `url`. Nothing is connected to yet.
    ///
    /// # Errors
    /// If the URL cannot be used.
    pub fn new(url: &str, password_file: Option<PathBuf>, schema: &str, tasks: Tasks) -> Result<Self, PostgresError> {
        let address =
            DatabaseAddress::parse(url).map_err(|rule| PostgresError::Url { detail: format!("it {rule}") })?;
        let name: Box<str> = address.name().into();
        let parameters = parameters(&address);
        let user = parameters.get_user().unwrap_or_default().into();
        let primary = Arc::default();
        let connector = Connector {
            database: name.clone(),
            user,
            address,
            parameters,
            password_file,
            primary,
            tasks,
            connected: Mutex::default(),
        };
        let connector = Arc::new(connector);
        let timeouts = Timeouts { wait: Some(WAIT), create: None, recycle: Some(WAIT) };
        let builder =
            Pool::builder(Sessions(Arc::clone(&connector))).max_size(MOST_CONNECTIONS.into()).timeouts(timeouts);
        let pool = builder.runtime(deadpool::Runtime::Tokio1).build();
        let pool = pool.map_err(|error| PostgresError::Url { detail: error.to_string() })?;
        Ok(Self { pool, connector, name, schema: quoted(schema).into(), format: &FORMAT })
    }

    /// Hosts, ports and name, for people: `db1:5432,db2:5432/agntix`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of the newest format of the tables that this version knows.
    pub fn table_format(&self) -> i32 {
        self.format.number
    }

    /// What makes connections.
    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// The schema, as it stands in statements.
    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// What is known of the tables.
    pub(super) fn format(&self) -> &'static Format {
        self.format
    }

    /// The same, for a version that knows that of the tables.
    #[cfg(test)]
    pub(super) fn with_format(self, format: &'static Format) -> Self {
        Self { format, ..self }
    }

    /// A connection to a server that can be written to.
    ///
    /// # Errors
    /// If there is none.
    pub(super) async fn connection(&self) -> Result<Connection, PostgresError> {
        let object = Box::pin(self.pool.get()).await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            other => self.unreachable(other.to_string()),
        })?;
        Ok(Connection { object: Some(object), database: self.clone(), is_waited_for: AtomicBool::new(false) })
    }

    /// Asks each of several servers whether it is the primary. From then on connections go to the one that became it last, and
    /// no more to one whose place it has taken. Some may not answer.
    pub(super) async fn find_primary(&self) {
        if self.connector.address.servers.len() > 1 {
            let mut asked = JoinSet::new();
            for server in &self.connector.address.servers {
                let (connector, server) = (Arc::clone(&self.connector), server.clone());
                // What there is to say of a server is said when a connection to it is needed.
                asked.spawn(async move { drop(Box::pin(connector.session(&server)).await) });
            }
            // Those that have not answered then are given up.
            let _ = tokio::time::timeout(LOOK_TIMEOUT, asked.join_all()).await;
        }
    }

    /// Whether a server on that timeline is one whose place another has taken.
    pub(super) fn is_replaced(&self, timeline: &str) -> bool {
        let newest = self.connector.newest().map(|primary| primary.timeline);
        u32::from_str_radix(timeline, 16).is_ok_and(|timeline| newest.is_some_and(|newest| timeline < newest))
    }

    /// Waits for an answer of a server, but no longer than `limit`.
    ///
    /// # Errors
    /// If there is none by then, or it is an error.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PostgresError> {
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer.map_err(|error| PostgresError::of(&self.name, &error)),
            Err(_) => Err(self.unreachable(format!("no answer within {limit:?}"))),
        }
    }

    fn unreachable(&self, detail: String) -> PostgresError {
        PostgresError::Unreachable { database: self.name.clone(), detail }
    }
}

/// A connection that is held for some statements, and then given back.
#[derive(Debug)]
pub(super) struct Connection {
    /// Always there but while it is dropped.
    object: Option<Object<Sessions>>,
    database: Database,
    is_waited_for: AtomicBool,
}

impl Connection {
    /// Asks the server something that must be answered within `limit`. After an error other than one of the server's own, or
    /// if the future is dropped, the connection is not used again.
    ///
    /// # Errors
    /// If it is not answered, or with an error.
    pub(super) async fn ask<'c, T, F>(
        &'c self,
        limit: Duration,
        ask: impl FnOnce(&'c Client) -> F,
    ) -> Result<T, PostgresError>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let Some(object) = &self.object else { return Err(self.database.unreachable("it was given up".into())) };
        let client: &Client = &object.client;
        self.is_waited_for.store(true, Ordering::Relaxed);
        let answer = self.database.within(limit, ask(client)).await;
        // One whose transaction has failed and was not ended would refuse whatever the next one asks.
        let is_spent = answer.as_ref().is_err_and(|error| {
            matches!(error, PostgresError::Unreachable { .. }) || error.has_code(&SqlState::IN_FAILED_SQL_TRANSACTION)
        });
        if !is_spent {
            self.is_waited_for.store(false, Ordering::Relaxed);
        }
        answer
    }

    /// The connection itself, which nobody else gets afterwards: for what takes longer than a statement.
    pub(super) fn into_client(mut self) -> Option<Client> {
        self.object.take().map(|object| Object::take(object).client)
    }

    /// The database that it leads to.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let (true, Some(object)) = (self.is_waited_for.load(Ordering::Relaxed), self.object.take()) {
            drop(Object::take(object));
        }
    }
}

/// Connects by what the files of the configuration say at that time: passwords and certificates may be replaced.
#[derive(Debug)]
pub(super) struct Connector {
    /// [`Database::name`]
    database: Box<str>,
    /// Who connects; empty if it is the user of the process.
    user: Box<str>,
    address: DatabaseAddress,
    /// All but the server, the password and the use of TLS.
    parameters: Parameters,
    password_file: Option<PathBuf>,
    /// The server that became the primary last, of those that were met; known only where there are several.
    primary: Arc<Mutex<Option<Primary>>>,
    /// Of which each connection is one. It ends with its connection.
    tasks: Tasks,
    /// The server of the last connection, so that the log has a line only when it is another one.
    connected: Mutex<Box<str>>,
}

/// A connection, and to which primary.
#[derive(Debug)]
struct Session {
    client: Client,
    primary: Option<Primary>,
}

/// Makes connections for the pool.
#[derive(Debug)]
struct Sessions(Arc<Connector>);

impl Manager for Sessions {
    type Type = Session;
    type Error = PostgresError;

    async fn create(&self) -> Result<Session, PostgresError> {
        let (mut faults, mut is_replaced) = (Vec::new(), false);
        for server in &self.0.address.servers {
            match Box::pin(self.0.session(server)).await {
                Ok(session) if self.0.is_replaced(&session) => is_replaced = true,
                Ok(session) => {
                    self.0.say(server);
                    return Ok(session);
                }
                Err(fault) => faults.push(fault),
            }
        }
        let database = &self.0.database;
        Err(if is_replaced {
            PostgresError::Replaced { database: database.clone() }
        } else {
            PostgresError::of_servers(database, &faults)
        })
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<PostgresError> {
        if session.client.is_closed() {
            Err(RecycleError::message("the connection is closed"))
        } else if self.0.is_replaced(session) {
            Err(RecycleError::message("another server has become the primary"))
        } else {
            Ok(())
        }
    }
}

impl Connector {
    /// A connection to that server, if it can be written to, and which primary it is, which is noted.
    async fn session(&self, server: &ServerAddress) -> Result<Session, ServerFault> {
        let client = self.connect_to(server).await?;
        let mut primary = None;
        if self.address.servers.len() > 1 {
            primary = tokio::time::timeout(HOST_TIMEOUT, primary_of(&client)).await.unwrap_or_default();
            let mut newest = self.primary.lock().unwrap_or_else(PoisonError::into_inner);
            if primary.is_some_and(|this| newest.is_none_or(|newest| !this.is_replaced_by(newest))) {
                *newest = primary;
            }
        }
        Ok(Session { client, primary })
    }

    fn newest(&self) -> Option<Primary> {
        *self.primary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_replaced(&self, session: &Session) -> bool {
        matches!((session.primary, self.newest()), (Some(this), Some(newest)) if this.is_replaced_by(newest))
    }

    /// What is tried, in this order.
    pub(super) fn servers(&self) -> &[ServerAddress] {
        &self.address.servers
    }

    /// How a server must prove who it is.
    pub(super) fn tls(&self) -> &TlsParameters {
        &self.address.tls
    }

    /// Says to which server connections lead, if that is another one than before.
    fn say(&self, server: &ServerAddress) {
        let name = server.to_string();
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        if **connected != *name {
            let (database, before) = (&self.database, &**connected);
            let before = Some(before).filter(|before| !before.is_empty());
            tracing::info!(%database, server = name, before, "connected to the database");
            *connected = name.into();
        }
    }

    /// A connection to that server, if it can be written to.
    pub(super) async fn connect_to(&self, server: &ServerAddress) -> Result<Client, ServerFault> {
        let limit = self.address.connect_timeout.unwrap_or(HOST_TIMEOUT);
        // A host may take the connection and then say nothing, and the next one may be the primary by now.
        let connected = tokio::time::timeout(limit, Box::pin(self.connect_within(server))).await;
        connected.unwrap_or(Err(Fault::Silent(limit))).map_err(|fault| ServerFault {
            server: server.to_string().into(),
            user: self.user.clone(),
            database: self.parameters.get_dbname().unwrap_or(&self.user).into(),
            fault,
        })
    }

    async fn connect_within(&self, server: &ServerAddress) -> Result<Client, Fault> {
        let mut parameters = self.parameters.clone();
        let attempts = match &server.host {
            ServerHost::Name(name) => {
                parameters.host(name);
                tls::attempts(self.address.tls.mode)
            }
            // A Unix socket has no TLS, whatever sslmode says, as with libpq.
            ServerHost::Directory(directory) => {
                parameters.host_path(directory);
                &[Asked::Disable]
            }
        };
        parameters.port(server.port);
        let password = match &self.password_file {
            Some(file) => Some(password_in(file).await),
            None => None,
        };
        if let Some(Ok(password)) = &password {
            parameters.password(password);
        }
        let mut first = None;
        for asked in attempts {
            parameters.ssl_mode(*asked);
            let fault = match self.attempt(&parameters, *asked).await {
                Ok(client) => return is_of_use(&client).await.map(|()| client),
                Err(fault) => fault,
            };
            // Without a password nothing can be wrong with it.
            let fault = match (fault, &password) {
                (Fault::NoPassword | Fault::Password, Some(Err(why))) => Fault::PasswordFile(why.clone()),
                (Fault::Password, Some(Ok(password))) if password.trim() != password => {
                    let file = self.password_file.as_deref().unwrap_or(Path::new("")).display();
                    Fault::PasswordFile(format!(
                        "what is in state.password_file {file} is not accepted: it begins or ends with white space"
                    ))
                }
                (fault, _) => fault,
            };
            let is_of_tls =
                matches!(fault, Fault::NoAccess(_) | Fault::NoTls | Fault::Tls(_) | Fault::ClientCertificate(_));
            let fault = first.get_or_insert(fault);
            if !is_of_tls {
                return Err(fault.clone());
            }
        }
        Err(first.unwrap_or(Fault::NoTls))
    }

    async fn attempt(&self, parameters: &Parameters, asked: Asked) -> Result<Client, Fault> {
        if asked == Asked::Disable {
            let (client, connection) = parameters.connect(NoTls).await.map_err(|error| Fault::of(&error))?;
            self.tasks.spawn_detached(TASK, ended(connection));
            return Ok(client);
        }
        let connector = MakeRustlsConnect::new(tls::connector(&self.address.tls).await.map_err(Fault::TlsFile)?);
        let (client, connection) = parameters.connect(connector).await.map_err(|error| Fault::of(&error))?;
        self.tasks.spawn_detached(TASK, ended(connection));
        Ok(client)
    }
}

/// Whether the server can be written to: what a standby shows may be old.
async fn is_of_use(client: &Client) -> Result<(), Fault> {
    // By the simple protocol, which every pooler knows.
    let query = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')";
    let answer = client.simple_query(query).await.map_err(|error| Fault::of(&error))?;
    match first_row(&answer).map(|row| (row.get(0) == Some("t"), row.get(1) == Some("on"))) {
        Some((true, _)) => Err(Fault::Standby),
        Some((false, true)) => Err(Fault::ReadOnly),
        _ => Ok(()),
    }
}

/// What is in the password file, without the end of its line.
///
/// # Errors
/// Why it cannot be the password; the end of a sentence.
async fn password_in(file: &Path) -> Result<String, String> {
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
    let read = read.map_err(|error| error.to_string()).and_then(|read| read.map_err(|error| error.to_string()));
    let name = file.display();
    let text = read.map_err(|error| format!("state.password_file {name} cannot be read: {error}"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("state.password_file {name} is empty")),
        password if password.contains('\n') => {
            Err(format!("state.password_file {name} has several lines, and must hold nothing but the password"))
        }
        password => Ok(password.to_owned()),
    }
}

/// Why a connection ended is said by the statement that it failed.
async fn ended(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the database has ended");
    }
}

/// The parameters that a URL gives, and those that it needs, but for the server and the use of TLS.
fn parameters(address: &DatabaseAddress) -> Parameters {
    let mut parameters = Parameters::new();
    if let Some(user) = &address.user {
        parameters.user(user);
    }
    if let Some(password) = &address.password {
        parameters.password(password.expose());
    }
    if let Some(database) = &address.database {
        parameters.dbname(database);
    }
    if let Some(options) = &address.options {
        parameters.options(options);
    }
    parameters.application_name(address.application_name.as_deref().unwrap_or("agntix-exporter"));
    parameters.tcp_user_timeout(address.tcp_user_timeout.unwrap_or(USER_TIMEOUT));
    let keepalives = &address.keepalives;
    parameters.keepalives(!keepalives.are_off).keepalives_idle(keepalives.idle.unwrap_or(KEEPALIVE));
    if let Some(interval) = keepalives.interval {
        parameters.keepalives_interval(interval);
    }
    if let Some(count) = keepalives.count {
        parameters.keepalives_retries(count);
    }
    if let Some(channel) = address.channel_binding {
        parameters.channel_binding(match channel {
            Channel::Disable => ChannelBinding::Disable,
            Channel::Prefer => ChannelBinding::Prefer,
            Channel::Require => ChannelBinding::Require,
        });
    }
    if address.tls.is_direct {
        parameters.ssl_negotiation(SslNegotiation::Direct);
    }
    parameters
}

/// A name as it stands in statements.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_is_named_without_user_and_password() {
        let url = "postgres://exporter:secret@db1,db2:6432/agntix?target_session_attrs=read-write";
        let database = Database::new(url, None, "a\"b", Tasks::new().0).unwrap();
        assert_eq!((database.name(), database.schema()), ("db1:5432,db2:6432/agntix", "\"a\"\"b\""));
        assert!(!format!("{database:?}").contains("secret"), "{database:?}");
    }

    #[test]
    fn url_with_a_mistake_is_refused_without_its_password() {
        let error =
            Database::new("postgres://u:secret@db/x?colour=red", None, "s", Tasks::new().0).unwrap_err().to_string();
        assert!(error.contains("colour") && !error.contains("secret"), "{error}");
    }

    #[test]
    #[ignore = "needs PostgreSQL (.ci/tools)"]
    fn connection_whose_transaction_has_failed_is_not_used_again() {
        let server = test_postgres::Server::start();
        let database = crate::ledger::postgres::tests::database(&server.url());
        let ask = async |statement: &'static str| {
            let connection = database.connection().await.unwrap();
            connection.ask(HOST_TIMEOUT, |client| client.batch_execute(statement)).await
        };
        crate::ledger::postgres::tests::runtime().block_on(async {
            ask("BEGIN").await.unwrap();
            ask("SELECT 1 / 0").await.unwrap_err();
            let refused = ask("SELECT 1").await.unwrap_err();
            assert!(refused.has_code(&SqlState::IN_FAILED_SQL_TRANSACTION), "{refused}");
            ask("SELECT 1").await.unwrap();
        });
    }
}
