//! What can be wrong with the database, and what to do about it.

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use super::fault::ServerFault;
use crate::ledger::transfer::Moved;

/// Why the shared ledger cannot be used, or not now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostgresError {
    /// The URL cannot be used.
    #[error("state.url cannot be used ({detail}); it must look like postgres://user@host/database?sslmode=verify-full")]
    Url {
        /// What is wrong; nothing of user or password.
        detail: String,
    },
    /// No server could be connected to, or one did not answer.
    #[error("the database {database} cannot be reached ({detail})")]
    Unreachable {
        /// Which.
        database: Box<str>,
        /// What happened.
        detail: String,
    },
    /// No server takes the connection, though one was reached.
    #[error("the database {database} cannot be used ({detail})")]
    Unusable {
        /// Which.
        database: Box<str>,
        /// What each server says, and what to do.
        detail: String,
    },
    /// The server has refused a statement.
    #[error("the database {database} has refused a statement ({detail})")]
    Refused {
        /// Which.
        database: Box<str>,
        /// What it said.
        detail: String,
        /// The five characters of SQLSTATE.
        code: Box<str>,
    },
    /// The disk of the server is full. The transaction has changed nothing.
    #[error(
        "the database {database} has no room on its disk ({detail}); make room there: nothing has to be started again"
    )]
    NoRoom {
        /// Which.
        database: Box<str>,
        /// What it said.
        detail: String,
    },
    /// It is a standby, or whatever is in between sends reads to one.
    #[error(
        "the database {database} answers as a standby, whose data may be old; name all servers in state.url, or have the pooler send this user to the primary"
    )]
    Standby {
        /// Which.
        database: Box<str>,
    },
    /// Another server has become the primary, and it is not settled yet what it lacks.
    #[error(
        "another server of the database {database} has become the primary, and the replica that counts is still making sure that it lacks nothing"
    )]
    Unsettled {
        /// Which.
        database: Box<str>,
    },
    /// The server was the primary once, and answers as if it still were.
    #[error(
        "a server of the database {database} answers as the primary, although another one has taken its place; see that it is stopped"
    )]
    Replaced {
        /// Which.
        database: Box<str>,
    },
    /// What is in between gives each statement another connection, or refuses transactions.
    #[error(
        "the database {database} takes no transaction of several statements ({detail}); if there is a pooler in between, set its pool_mode to transaction"
    )]
    Pooler {
        /// Which.
        database: Box<str>,
        /// What it said.
        detail: String,
    },
    /// The server is too old.
    #[error("the database {database} runs PostgreSQL {found}; 13 or newer is needed")]
    TooOld {
        /// Which.
        database: Box<str>,
        /// Its version.
        found: String,
    },
    /// The user may not make or change the tables.
    #[error(
        "this user may not make or use the tables in the database {database} ({detail}); run the following as its owner, and start again:\n{statements}"
    )]
    Rights {
        /// Which.
        database: Box<str>,
        /// What it said.
        detail: String,
        /// What makes them.
        statements: String,
    },
    /// A later version has made the tables what they are.
    #[error(
        "the tables in schema {schema} of {database} are of a newer version (format {found}, this version knows up to {known}); run that version"
    )]
    Newer {
        /// Which.
        database: Box<str>,
        /// In which schema.
        schema: Box<str>,
        /// Their format.
        found: i32,
        /// The newest format known here.
        known: i32,
    },
    /// An earlier version has made the tables what they are.
    #[error(
        "the tables in schema {schema} of {database} are of an earlier version (format {found}, this version needs {known}); start this version of the exporter once, or use the earlier one"
    )]
    Older {
        /// Which.
        database: Box<str>,
        /// In which schema.
        schema: Box<str>,
        /// Their format.
        found: i32,
        /// The format of this version.
        known: i32,
    },
    /// What is stored makes no sense.
    #[error("what is stored in the database {database} is damaged ({detail}); restore it from a backup")]
    Damaged {
        /// Which.
        database: Box<str>,
        /// What was found.
        detail: String,
    },
    /// The histograms are counted with other buckets than this replica is configured with.
    #[error(
        "the replica that counts has other buckets for {buckets} than this one; give all replicas the same configuration"
    )]
    OtherBuckets {
        /// The name of the buckets.
        buckets: String,
    },
    /// Commits that were shown are not in the database any more.
    #[error("the database {database} has lost commits that were acknowledged ({detail})")]
    Lost {
        /// Which.
        database: Box<str>,
        /// What is missing.
        detail: String,
    },
    /// The state was moved elsewhere, where the counts have gone on.
    #[error(
        "the state in {database} was moved to {} on {}, and whoever counts in it as well counts twice: use the new one. If nothing was counted there since, `agntix-exporter state reactivate` takes this one into use again",
        moved.to,
        moved.at
    )]
    Moved {
        /// Which database and schema.
        database: Box<str>,
        /// Where it has gone.
        moved: Moved,
    },
    /// The state was moved elsewhere while this replica was running.
    #[error(
        "the state in the database {database} was moved elsewhere; start this replica with the new state.url or state.path"
    )]
    Gone {
        /// Which.
        database: Box<str>,
    },
    /// Another replica counts by now.
    #[error("another replica has taken over counting")]
    Superseded,
}

impl PostgresError {
    /// None of the servers can be used, and why.
    pub(super) fn of_servers(database: &str, faults: &[ServerFault]) -> Self {
        // What a server says of the user is worth more than that another server is not there.
        let first = faults.iter().find(|fault| !fault.is_of_the_network()).or_else(|| faults.first());
        let says: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let advice = first.map(ServerFault::advice).unwrap_or_default();
        let (database, detail) = (database.into(), format!("{}; {advice}", says.join("; ")));
        if first.is_none_or(ServerFault::is_of_the_network) {
            Self::Unreachable { database, detail }
        } else {
            Self::Unusable { database, detail }
        }
    }

    /// What an error of the library means.
    pub(super) fn of(database: &str, error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) if *db.code() == SqlState::DISK_FULL => {
                Self::NoRoom { database: database.into(), detail: db.message().to_owned() }
            }
            // The server is going away, or is not there yet: as if it could not be reached.
            Some(db) if is_of_the_connection(db.code()) => {
                Self::Unreachable { database: database.into(), detail: db.message().to_owned() }
            }
            // Not the `DETAIL` of the server: it may show a row.
            Some(db) => Self::Refused {
                database: database.into(),
                detail: db.message().to_owned(),
                code: db.code().code().into(),
            },
            None => Self::Unreachable { database: database.into(), detail: chain(error) },
        }
    }

    /// What tells a lasting fault from another one, whatever its details. `None`: a step of a failover, which passes by itself.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Lost { .. } | Self::Unsettled { .. } | Self::Superseded => None,
            Self::Unreachable { .. } | Self::Standby { .. } => Some("unreachable".into()),
            Self::NoRoom { .. } => Some("no room".into()),
            Self::Refused { code, .. } => Some(code.to_string()),
            other => Some(other.to_string()),
        }
    }

    /// Whether the same transaction may succeed if it is tried again.
    pub(super) fn is_transient(&self) -> bool {
        self.has_code(&SqlState::T_R_SERIALIZATION_FAILURE) || self.has_code(&SqlState::T_R_DEADLOCK_DETECTED)
    }

    /// What it means of a transaction that begins with the row of the lease: that row is given no value, which is refused, if its
    /// sender is not the one that counts.
    pub(super) fn of_fenced(self) -> Self {
        if self.has_code(&SqlState::NOT_NULL_VIOLATION) { Self::Superseded } else { self }
    }

    /// Whether the server said this.
    pub(super) fn has_code(&self, code: &SqlState) -> bool {
        matches!(self, Self::Refused { code: found, .. } if **found == *code.code())
    }
}

/// Classes 08 (connection exception), 53 (out of resources) and 57 (operator intervention), and a server that cannot be
/// written to, as a primary is that has become a standby.
fn is_of_the_connection(code: &SqlState) -> bool {
    let class = code.code().get(..2).unwrap_or_default();
    matches!(class, "08" | "57" | "53") || *code == SqlState::READ_ONLY_SQL_TRANSACTION
}

/// An error with all of its causes: the library's own text says only what kind it is.
pub(super) fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
