//! Why a server of the database cannot be used: one sentence for each reason, and what to do about it. Pure.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};
use tokio_postgres::error::{DbError, SqlState};

use super::connect::MOST_CONNECTIONS;
use super::error::chain;

/// Why a server cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its name is not known.
    NotResolved(String),
    /// Nobody listens there.
    Refused,
    /// There is no Unix socket.
    NoSocket,
    /// It says nothing.
    Silent(Duration),
    /// The network fails in another way.
    Network(String),
    /// What answers is no PostgreSQL.
    Foreign,
    /// It is a standby.
    Standby,
    /// It takes no writes, though it is no standby.
    ReadOnly,
    /// It does not accept the password.
    Password,
    /// It asks for a password, and there is none.
    NoPassword,
    /// It asks for a password, and the file is of no use.
    PasswordFile(String),
    /// There is no such database.
    NoDatabase,
    /// There is no such role.
    NoRole,
    /// Its `pg_hba.conf`, or a right, keeps this user out.
    NoAccess(String),
    /// It has no connection left.
    Full(String),
    /// It is starting or stopping.
    NotReady(String),
    /// It does not know what is sent with the first message, as a pooler may not.
    Parameter(String),
    /// It has no TLS.
    NoTls,
    /// Its certificate is not trusted.
    Certificate(String, &'static str),
    /// It does not accept the certificate of this client, or wants one.
    ClientCertificate(String),
    /// TLS fails in another way.
    Tls(String),
    /// The files of TLS are of no use here.
    TlsFile(String),
    /// The password exchange cannot be tied to the certificate.
    ChannelBinding(String),
    /// What the server said.
    Other(String),
}

/// A server that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFault {
    /// Host and port.
    pub server: Box<str>,
    /// Who connects; empty if it is the user of the process.
    pub user: Box<str>,
    /// The name of the database.
    pub database: Box<str>,
    /// Why.
    pub fault: Fault,
}

impl ServerFault {
    /// What to do about it.
    pub fn advice(&self) -> String {
        let Self { user, database, .. } = self;
        match &self.fault {
            Fault::NotResolved(_) => "correct the host in state.url, or the name service of this machine".into(),
            Fault::Refused | Fault::NoSocket => {
                "start PostgreSQL there and let it listen (listen_addresses), or correct host and port in state.url"
                    .into()
            }
            Fault::Silent(_) | Fault::Network(_) => {
                "look at the network and at firewalls between this machine and the server".into()
            }
            Fault::Foreign => "correct host and port in state.url: it is the address of something else".into(),
            Fault::Password | Fault::NoPassword | Fault::NoRole | Fault::NoAccess(_) if user.is_empty() => {
                "name the role in state.url, before the host and an at sign: postgres://exporter@host/database".into()
            }
            Fault::Standby => {
                "name all servers of the cluster in state.url, or the address that leads to the primary".into()
            }
            Fault::ReadOnly => format!(
                "if it is a managed database whose disk is full, make room; else run ALTER ROLE \"{user}\" RESET default_transaction_read_only and ALTER DATABASE \"{database}\" RESET \
                 default_transaction_read_only as their owner, and look at postgresql.conf and at options in state.url"
            ),
            Fault::Password => format!(
                "put the password of the role \"{user}\" into the file that state.password_file names, and check that the role exists"
            ),
            Fault::NoPassword => "put the password into a file, and name it in state.password_file".into(),
            Fault::PasswordFile(_) => {
                "let the exporter's user read the file, with nothing but the password in it".into()
            }
            Fault::NoDatabase => {
                format!("run CREATE DATABASE \"{database}\" there, or correct the name in state.url")
            }
            Fault::NoRole => format!("run CREATE ROLE \"{user}\" LOGIN there, or correct the user in state.url"),
            Fault::NoAccess(said) if said.contains("no encryption") || said.contains("SSL off") => {
                "let pg_hba.conf take this user from this machine, or set sslmode=verify-full if it wants TLS".into()
            }
            Fault::NoAccess(said) if said.contains("permission denied for database") => {
                format!("run GRANT CONNECT ON DATABASE \"{database}\" TO \"{user}\" as its owner")
            }
            Fault::NoAccess(said) if said.contains("not permitted to log in") => {
                format!("run ALTER ROLE \"{user}\" LOGIN")
            }
            Fault::NoAccess(_) => {
                format!(
                    "add a line for user \"{user}\" and database \"{database}\" to pg_hba.conf of the server, and reload it"
                )
            }
            Fault::Full(_) => {
                format!(
                    "raise max_connections or the role's limit, or put a pooler in between: a replica takes up to {MOST_CONNECTIONS}"
                )
            }
            Fault::NotReady(_) => "wait until it is up, or look at its log".into(),
            Fault::Parameter(_) => {
                "take options out of state.url, or add the parameter to ignore_startup_parameters of PgBouncer".into()
            }
            Fault::NoTls => {
                "switch TLS on in the server (ssl = on), or set sslmode=disable in state.url if the network is trusted"
                    .into()
            }
            Fault::Certificate(_, advice) => (*advice).into(),
            Fault::ClientCertificate(_) => {
                "name a certificate for this user and its key with sslcert and sslkey in state.url".into()
            }
            Fault::Tls(_) => "look at the log of the server; it must speak TLS 1.2 or newer".into(),
            Fault::TlsFile(_) => "correct sslrootcert, sslcert or sslkey in state.url, or the file".into(),
            Fault::ChannelBinding(_) => {
                "set channel_binding=prefer in state.url, or let the server use scram-sha-256 over TLS".into()
            }
            Fault::Other(_) => "look at the log of the server".into(),
        }
    }

    /// Whether the server was reached.
    pub fn is_of_the_network(&self) -> bool {
        matches!(
            self.fault,
            Fault::NotResolved(_)
                | Fault::Refused
                | Fault::NoSocket
                | Fault::Silent(_)
                | Fault::Network(_)
                | Fault::NotReady(_)
                | Fault::Full(_)
                | Fault::Standby
        )
    }
}

impl fmt::Display for ServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, user, database, fault } = self;
        // libpq takes the name of the process's user then, and so does the library.
        let who = if user.is_empty() {
            "the user of this process (state.url names none)".to_owned()
        } else {
            format!("user \"{user}\"")
        };
        match fault {
            Fault::NotResolved(said) => write!(f, "the name of {server} is not known: {said}"),
            Fault::Refused => write!(f, "{server} refuses the connection: nothing listens there"),
            Fault::NoSocket => write!(f, "{server} is not there: no server has this Unix socket"),
            Fault::Silent(limit) => write!(f, "{server} does not answer within {limit:?}"),
            Fault::Network(said) => write!(f, "{server} cannot be reached: {said}"),
            Fault::Foreign => write!(f, "what answers at {server} does not speak PostgreSQL's protocol"),
            Fault::Standby => write!(f, "{server} is a standby (in recovery), which cannot be written to"),
            Fault::ReadOnly => write!(
                f,
                "{server} makes each transaction of {who} read-only (default_transaction_read_only), though it is no standby"
            ),
            Fault::Password => {
                write!(f, "{server} does not accept the password of {who}, or has no such role")
            }
            Fault::NoPassword => write!(f, "{server} asks for a password of {who}, and none is configured"),
            Fault::PasswordFile(why) => write!(f, "{server} asks for a password of {who}, and {why}"),
            Fault::NoDatabase => write!(f, "{server} has no database \"{database}\""),
            Fault::NoRole => write!(f, "{server} has no role \"{user}\""),
            Fault::NoAccess(said) => write!(f, "{server} does not let {who} in: {said}"),
            Fault::Full(said) => write!(f, "{server} takes no more connections: {said}"),
            Fault::NotReady(said) => write!(f, "{server} is not ready: {said}"),
            Fault::Parameter(said) => write!(f, "{server} refuses a parameter of the connection: {said}"),
            Fault::NoTls => write!(f, "{server} has no TLS, and sslmode in state.url asks for it"),
            Fault::Certificate(why, _) => write!(f, "the certificate of {server} {why}"),
            Fault::ClientCertificate(said) => write!(f, "{server} wants another client certificate: {said}"),
            Fault::Tls(said) => write!(f, "the TLS handshake with {server} failed: {said}"),
            Fault::TlsFile(why) => write!(f, "TLS to {server} cannot be set up: {why}"),
            Fault::ChannelBinding(said) => write!(f, "{server} does not tie the password to its certificate: {said}"),
            Fault::Other(said) => write!(f, "{server} refuses the connection: {said}"),
        }
    }
}

impl Fault {
    /// What an error of connecting means.
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            return Self::said(db);
        }
        let text = chain(error);
        if text.contains("parsing response from server") {
            return Self::Foreign;
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return Self::of_tls(tls);
        }
        if let Some(io) = find::<std::io::Error>(error) {
            return match io.kind() {
                ErrorKind::ConnectionRefused => Self::Refused,
                ErrorKind::NotFound => Self::NoSocket,
                _ if text.contains("failed to lookup address") || text.contains("could not resolve") => {
                    let said = io.to_string();
                    Self::NotResolved(said.trim_start_matches("failed to lookup address information: ").to_owned())
                }
                ErrorKind::UnexpectedEof => Self::Network("the connection was closed before an answer".into()),
                _ => Self::Network(io.to_string()),
            };
        }
        match text.as_str() {
            _ if text.contains("server does not support TLS") => Self::NoTls,
            _ if text.contains("password missing") => Self::NoPassword,
            _ if text.contains("channel binding") => Self::ChannelBinding(text),
            _ if text.contains("connection closed") => {
                Self::Network("the connection was closed before an answer".into())
            }
            _ => Self::Other(text),
        }
    }

    /// What a server says: <https://www.postgresql.org/docs/current/errcodes-appendix.html>. Not its `DETAIL`.
    fn said(db: &DbError) -> Self {
        let said = db.message().to_owned();
        match db.code() {
            code if *code == SqlState::INVALID_PASSWORD => Self::Password,
            // Poolers use this one for many things.
            code if *code == SqlState::PROTOCOL_VIOLATION => match said.as_str() {
                _ if said.contains("startup parameter") => Self::Parameter(said),
                _ if said.contains("no such database") => Self::NoDatabase,
                _ if said.contains("no such user") => Self::NoRole,
                _ if said.contains("auth") => Self::Password,
                _ if said.contains("no more connections") => Self::Full(said),
                _ => Self::Other(said),
            },
            code if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => match said.as_str() {
                _ if said.contains("client certificate") || said.contains("certificate authentication") => {
                    Self::ClientCertificate(said)
                }
                _ if said.contains("does not exist") => Self::NoRole,
                _ => Self::NoAccess(said),
            },
            code if *code == SqlState::INVALID_CATALOG_NAME => Self::NoDatabase,
            code if *code == SqlState::INSUFFICIENT_PRIVILEGE => Self::NoAccess(said),
            // What is in `options`.
            code if code.code().starts_with("22") || code.code().starts_with("42") => Self::Parameter(said),
            code if code.code().starts_with("53") => Self::Full(said),
            code if code.code().starts_with("57") => Self::NotReady(said),
            _ => Self::Other(said),
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        const NAME: &str = "connect by a name that is in its subjectAltName (a common name alone does not count), or have one made for this name";
        const TIME: &str = "renew the certificate, or set the clock of this machine";
        match error {
            rustls::Error::InvalidCertificate(reason) => match reason {
                CertificateError::UnknownIssuer => Self::Certificate(
                    "is signed by no authority that is trusted here".into(),
                    "name the file with its authority as sslrootcert in state.url",
                ),
                CertificateError::NotValidForName => Self::Certificate("is not for this host name".into(), NAME),
                CertificateError::NotValidForNameContext { presented, .. } => {
                    let names = if presented.is_empty() { "no name".into() } else { presented.join(", ") };
                    Self::Certificate(format!("is not for this host name: it has {names}"), NAME)
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Self::Certificate("has expired".into(), TIME)
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::Certificate("is not valid yet".into(), TIME)
                }
                other => Self::Certificate(
                    format!("is not accepted ({other})"),
                    "have it made anew, as a server's certificate by the authority that sslrootcert names",
                ),
            },
            rustls::Error::AlertReceived(
                alert @ (AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied),
            ) => Self::ClientCertificate(format!("it answered {alert:?}")),
            other => Self::Tls(other.to_string()),
        }
    }
}

/// The first cause of that type. `source()` of an I/O error passes over the error that it wraps.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => {
                if let Some(found) = wrapped.downcast_ref::<T>() {
                    return Some(found);
                }
                Some(wrapped)
            }
            None => error.source(),
        };
    }
    None
}
