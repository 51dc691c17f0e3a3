//! Why something could not be done to a state.

use std::path::PathBuf;

use crate::ledger::LedgerError;

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
    /// What is imported cannot be read, or what is exported cannot be written.
    #[error("the exported lines cannot be transferred ({0})")]
    Transfer(#[from] std::io::Error),
}
