//! Connections to the database: to which of its hosts, with which password, and how a server must prove who it is.
//!
//! A connection keeps nothing between two transactions, since a pooler may give each of them to another server process: no
//! setting, no prepared statement, no lock. Whatever is waited for has a limit. A connection of which something is still
//! waited for when its holder turns away is given up: nobody knows then what is on its way.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, Timeouts};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, Config as Parameters, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{PostgresError, chain};
use super::tables::{FORMAT, Format};
use super::tls::{self, Tls};
use crate::tasks::Tasks;

/// The task of a connection.
const TASK: &str = "a connection to the database";
/// Connections at once: the writer and the reader of the page have one each, deliveries share the rest.
const MOST_CONNECTIONS: usize = 8;
/// How long one host may take until a connection to it can be used.
const HOST_TIMEOUT: Duration = Duration::from_secs(3);
/// How long what was sent may stay unacknowledged by the network, if the URL does not say it.
const USER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may be silent before the network asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long to wait for a connection that others have.
const WAIT: Duration = Duration::from_secs(5);

/// The database, as it was configured. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    pool: Pool<Connector>,
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
        let (url, tls) = tls::split(url)?;
        let hosts = one_by_one(&url).iter().map(|url| parameters(url, &tls)).collect::<Result<Vec<_>, _>>()?;
        let name: Box<str> = name_of(&parameters(&url, &tls)?).into();
        let connector = Connector { database: name, hosts, tls, password_file, tasks };
        let name = connector.database.clone();
        let timeouts = Timeouts { wait: Some(WAIT), create: None, recycle: Some(WAIT) };
        let builder = Pool::builder(connector).max_size(MOST_CONNECTIONS).timeouts(timeouts);
        let pool = builder.runtime(deadpool::Runtime::Tokio1).build();
        let pool = pool.map_err(|error| PostgresError::Url { detail: error.to_string() })?;
        Ok(Self { pool, name, schema: quoted(schema).into(), format: &FORMAT })
    }

    /// Hosts, ports and name, for people: `db1:5432,db2:5432/agntix`.
    pub fn name(&self) -> &str {
        &self.name
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

    fn unreachable(&self, detail: String) -> PostgresError {
        PostgresError::Unreachable { database: self.name.clone(), detail }
    }
}

/// A connection that is held for some statements, and then given back.
#[derive(Debug)]
pub(super) struct Connection {
    /// Always there but while it is dropped.
    object: Option<Object<Connector>>,
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
        let client: &Client = object;
        self.is_waited_for.store(true, Ordering::Relaxed);
        let answer = match tokio::time::timeout(limit, ask(client)).await {
            Ok(answer) => answer.map_err(|error| PostgresError::of(&self.database.name, &error)),
            Err(_) => Err(self.database.unreachable(format!("no answer within {limit:?}"))),
        };
        if !matches!(answer, Err(PostgresError::Unreachable { .. })) {
            self.is_waited_for.store(false, Ordering::Relaxed);
        }
        answer
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
struct Connector {
    /// [`Database::name`]
    database: Box<str>,
    /// What is tried, in this order.
    hosts: Vec<Parameters>,
    tls: Tls,
    password_file: Option<PathBuf>,
    /// Of which each connection is one. It ends with its connection.
    tasks: Tasks,
}

impl Manager for Connector {
    type Type = Client;
    type Error = PostgresError;

    async fn create(&self) -> Result<Client, PostgresError> {
        let password = self.password().await;
        let mut failed = None;
        for host in &self.hosts {
            let mut host = host.clone();
            if let Some(password) = &password {
                host.password(password.trim_end_matches(['\r', '\n']));
            }
            // A host may take the connection and then say nothing, and the next one may be the primary by now.
            let error = match tokio::time::timeout(HOST_TIMEOUT, self.connect_to(&host)).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => PostgresError::of(&self.database, &error),
                Err(_) => {
                    let detail = format!("{} does not answer", name_of(&host));
                    PostgresError::Unreachable { database: self.database.clone(), detail }
                }
            };
            // What a server says of the user is worth more than that another server is not there.
            if failed.is_none() || matches!(error, PostgresError::Refused { .. }) {
                failed = Some(error);
            }
        }
        let none = || PostgresError::Url { detail: "it names no host".into() };
        Err(failed.unwrap_or_else(none))
    }

    async fn recycle(&self, client: &mut Client, _: &Metrics) -> RecycleResult<PostgresError> {
        if client.is_closed() { Err(RecycleError::message("the connection is closed")) } else { Ok(()) }
    }
}

impl Connector {
    /// What is in the password file. One that cannot be read is as good as a wrong one: the server says which user it refuses.
    async fn password(&self) -> Option<String> {
        let file = self.password_file.clone()?;
        let read = tokio::task::spawn_blocking(move || {
            let read = std::fs::read_to_string(&file);
            read.map_err(|error| tracing::warn!(file = %file.display(), %error, "state.password_file cannot be read"))
        });
        read.await.ok()?.ok()
    }

    async fn connect_to(&self, host: &Parameters) -> Result<Client, tokio_postgres::Error> {
        Ok(match self.tls.connector().await {
            None => {
                let (client, connection) = host.connect(NoTls).await?;
                self.tasks.spawn_detached(TASK, ended(connection));
                client
            }
            Some(config) => {
                let (client, connection) = host.connect(MakeRustlsConnect::new(config)).await?;
                self.tasks.spawn_detached(TASK, ended(connection));
                client
            }
        })
    }
}

/// Why a connection ended is said by the statement that it failed.
async fn ended(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the database has ended");
    }
}

/// The URL once for each of its hosts.
fn one_by_one(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, hosts) = authority.rfind('@').map_or(("", authority), |at| authority.split_at(at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{path}")).collect()
}

/// The parameters that a URL gives, and the ones that it needs.
fn parameters(url: &str, tls: &Tls) -> Result<Parameters, PostgresError> {
    // The error of the library repeats no part of the URL but the name of a parameter.
    let mut parameters: Parameters = url.parse().map_err(|error| PostgresError::Url { detail: chain(&error) })?;
    if parameters.get_hosts().is_empty() {
        return Err(PostgresError::Url { detail: "it names no host".into() });
    }
    if parameters.get_tcp_user_timeout().is_none() {
        parameters.tcp_user_timeout(USER_TIMEOUT);
    }
    if parameters.get_application_name().is_none() {
        parameters.application_name("agntix-exporter");
    }
    parameters.keepalives_idle(KEEPALIVE);
    // Whatever the URL says: a server that cannot be written to is of no use, and what it shows may be old.
    parameters.target_session_attrs(TargetSessionAttrs::ReadWrite);
    parameters.ssl_mode(tls.mode());
    Ok(parameters)
}

fn name_of(parameters: &Parameters) -> String {
    let ports = parameters.get_ports();
    let host = |(place, host): (usize, &tokio_postgres::config::Host)| {
        let port = ports.get(place).or_else(|| ports.first()).copied().unwrap_or(5432);
        match host {
            tokio_postgres::config::Host::Tcp(host) => format!("{host}:{port}"),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        }
    };
    let hosts: Vec<_> = parameters.get_hosts().iter().enumerate().map(host).collect();
    let database = parameters.get_dbname().or_else(|| parameters.get_user()).unwrap_or_default();
    format!("{}/{database}", hosts.join(","))
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
    fn hosts_are_tried_one_by_one() {
        let urls = one_by_one("postgres://u:p@db1,db2:6432/agntix?a=b");
        assert_eq!(urls, ["postgres://u:p@db1/agntix?a=b", "postgres://u:p@db2:6432/agntix?a=b"]);
        assert_eq!(one_by_one("postgres://[::1]:1/x"), ["postgres://[::1]:1/x"]);
    }

    #[test]
    fn url_with_a_mistake_is_refused_without_its_password() {
        let error =
            Database::new("postgres://u:secret@db/x?colour=red", None, "s", Tasks::new().0).unwrap_err().to_string();
        assert!(error.contains("colour") && !error.contains("secret"), "{error}");
    }
}
