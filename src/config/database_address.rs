//! What the URL of a database says: servers, user, database and parameters. How it is written is in `database_grammar`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What a URL of PostgreSQL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseAddress {
    /// What is tried, in this order; one at least.
    pub servers: Vec<ServerAddress>,
    /// Who connects; the user of the process if nobody is named.
    pub user: Option<String>,
    /// The password, if it is in the URL.
    pub password: Option<Password>,
    /// The database; that of the user's name if none is named.
    pub database: Option<String>,
    /// TLS.
    pub tls: TlsParameters,
    /// Whether the password exchange is tied to the server's certificate; as libpq if it is not said.
    pub channel_binding: Option<Channel>,
    /// The name under which the server shows the connection.
    pub application_name: Option<String>,
    /// Options of the server's process.
    pub options: Option<String>,
    /// How long a server may take.
    pub connect_timeout: Option<Duration>,
    /// How long what was sent may stay unacknowledged by the network.
    pub tcp_user_timeout: Option<Duration>,
    /// Whether the network asks a silent server if it is there, after how long, how often and how many times.
    pub keepalives: Keepalives,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// Where it is.
    pub host: ServerHost,
    /// Its port.
    pub port: u16,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerHost {
    /// A name, or an address without brackets.
    Name(String),
    /// The directory of its Unix socket.
    Directory(PathBuf),
}

/// How a server must prove who it is: <https://www.postgresql.org/docs/current/libpq-ssl.html>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// There is no TLS.
    Disable,
    /// TLS if the server refuses without; nobody is asked who it is.
    Allow,
    /// TLS if the server has it; nobody is asked who it is.
    #[default]
    Prefer,
    /// TLS; nobody is asked who it is, unless there is an authority to ask.
    Require,
    /// TLS with a certificate of a trusted authority, for whatever name.
    VerifyCa,
    /// TLS with a certificate of a trusted authority for the host's name.
    VerifyFull,
}

/// Whether the password exchange is tied to the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// It is not.
    Disable,
    /// It is where the server can.
    Prefer,
    /// It must be.
    Require,
}

/// `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `sslnegotiation`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsParameters {
    /// What is asked of the server.
    pub mode: SslMode,
    /// The file of trusted authorities; the system's if there is none.
    pub authorities: Option<PathBuf>,
    /// Certificate and key of this client.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// TLS from the first byte, which PostgreSQL 17 and newer know.
    pub is_direct: bool,
}

/// `keepalives`, `keepalives_idle`, `keepalives_interval`, `keepalives_count`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keepalives {
    /// There are none.
    pub are_off: bool,
    /// After how long.
    pub idle: Option<Duration>,
    /// How often.
    pub interval: Option<Duration>,
    /// How many times.
    pub count: Option<u32>,
}

/// A password. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub(super) String);

impl Password {
    /// What it is, for the server.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = MODES.iter().find(|(_, mode)| mode == self).map_or("prefer", |(name, _)| name);
        f.write_str(name)
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            ServerHost::Name(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            ServerHost::Name(name) => write!(f, "{name}:{}", self.port),
            ServerHost::Directory(directory) => write!(f, "{}/.s.PGSQL.{}", directory.display(), self.port),
        }
    }
}

pub(super) const MODES: [(&str, SslMode); 6] = [
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

impl DatabaseAddress {
    /// The name under which people know it: `db1:5432,db2:5432/agntix`; no user and no password.
    pub fn name(&self) -> String {
        let servers: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
        format!("{}/{}", servers.join(","), self.database.as_ref().or(self.user.as_ref()).map_or("", |name| name))
    }
}
