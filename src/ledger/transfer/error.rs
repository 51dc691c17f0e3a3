//! Why something could not be done to a state.

use std::path::PathBuf;

use crate::ledger::LedgerError;
use crate::ledger::postgres::{PostgresError, THERE};

/// Why something could not be done to a state.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The state cannot be opened, read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is none.
    #[error("there is no state in {path}; set state.path to the directory that the exporter uses")]
    NoState {
        /// The directory.
        path: PathBuf,
    },
    /// Something would be overwritten.
    #[error(
        "there is a state in {path} already, or a part of one; move the directory away, or import into another state.path"
    )]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// Looking at it would make it unreadable for the version that wrote it.
    #[error(
        "the state in {path} has format {found}, which the next start of the exporter turns into {known} and earlier versions then cannot read; use the version that wrote it, or start this one once"
    )]
    Older {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format of this version.
        known: i64,
    },
    /// What is imported is no export, or is damaged.
    #[error("line {line} is not one of an exported state ({detail}); nothing was imported")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// The end of the export is missing.
    #[error(
        "the export ends after line {line} without its closing line, so something is missing; nothing was imported"
    )]
    CutShort {
        /// The last line that was there.
        line: u64,
    },
    /// A backup would overwrite something.
    #[error("{path} exists; name another file, or remove it")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The running exporter has the state, and does not answer.
    #[error(
        "the process that has the state in {path} open makes no copy of it: it has just stopped, is another program, or a version that cannot; try again, or stop it first"
    )]
    Unanswered {
        /// The directory.
        path: PathBuf,
    },
    /// The running exporter could not make the copy.
    #[error("the running exporter could not copy its state ({detail})")]
    NotCopied {
        /// What it says.
        detail: String,
    },
    /// The copy cannot be fetched or written.
    #[error("the copy cannot be written ({0})")]
    Copy(#[source] std::io::Error),
    /// There are no tables.
    #[error("there is no state in {place}; set state.url and state.schema to what the exporter uses, or start it once")]
    NoTables {
        /// Database and schema.
        place: String,
    },
    /// A replica has the lease.
    #[error(
        "{holder} counts in {place}; stop all replicas, which hand over to one another (Kubernetes: scale the Deployment to 0), and try again. After a kill -9 the lease runs out after ha.lease"
    )]
    Counting {
        /// Database and schema.
        place: String,
        /// Which replica.
        holder: String,
    },
    /// Replicas are there.
    #[error(
        "replicas use the state in {place} ({names}), and {because}; stop them and try again. One that was killed counts as running for {}",
        THERE
    )]
    Replicas {
        /// Database and schema.
        place: String,
        /// Which.
        names: String,
        /// Why they must not.
        because: &'static str,
    },
    /// It is not known whether all that was shown is there.
    #[error(
        "another server has become the primary of {place}, and no replica has looked yet what it lacks; start one until it serves its page, stop it, and try again"
    )]
    Unsettled {
        /// Database and schema.
        place: String,
    },
    /// A move or an import would mix two states.
    #[error(
        "{place} is not empty ({found}); give another schema, or, if nobody needs what is there: DROP SCHEMA {schema} CASCADE"
    )]
    NotEmpty {
        /// Database and schema.
        place: String,
        /// What is there.
        found: String,
        /// The schema, as it stands in statements.
        schema: String,
    },
    /// What has arrived is not what was sent.
    #[error(
        "what was written to {place} is not what was read ({given} were sent, {found} were found, or one of them differs); nothing was changed. This is a defect: please report it"
    )]
    Differs {
        /// Where to.
        place: String,
        /// What was sent.
        given: String,
        /// What was found.
        found: String,
    },
    /// Two lines are about the same thing.
    #[error("two lines of the state are about the same of {what}; nothing was imported")]
    Twice {
        /// The table.
        what: String,
    },
    /// The move was done before.
    #[error(
        "the state in {from} was moved to {} on {} already, and is there: set state.url (or state.path) to it and start the exporter",
        moved.to,
        moved.at
    )]
    AlreadyMoved {
        /// Where from.
        from: String,
        /// Where to.
        moved: super::Moved,
    },
    /// It is not known whether the new state is there.
    #[error(
        "it is not known whether the move was finished ({detail}); the old state is not used any more: give the same command again, which finishes it or says that it was"
    )]
    Unfinished {
        /// What happened.
        detail: String,
    },
    /// A store does not take what another one has.
    #[error(
        "{place} does not take a line of the state ({detail}); nothing was changed. This is a defect: please report it"
    )]
    NotTaken {
        /// Where to.
        place: String,
        /// What it says.
        detail: String,
    },
    /// A state cannot be moved to where it is.
    #[error("{place} is where the state is; name another place with --to")]
    SamePlace {
        /// The place.
        place: String,
    },
    /// What is imported cannot be read, or what is exported cannot be written.
    #[error("the exported lines cannot be transferred ({0})")]
    Transfer(#[from] std::io::Error),
}

impl From<PostgresError> for UpkeepError {
    fn from(error: PostgresError) -> Self {
        Self::Ledger(error.into())
    }
}
