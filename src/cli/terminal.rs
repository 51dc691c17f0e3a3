//! What all commands need: standard output and standard error, the environment, threads, and how a command fails.

use std::io::Write as _;

use crate::config::Environment;

/// Why a command has failed, as a sentence for the one at the terminal.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The user has to change a flag, the environment or the configuration.
    #[error("{0}")]
    Mistake(String),
    /// Something else went wrong.
    #[error("{0}")]
    Running(String),
}

impl Failure {
    pub(super) fn mistake(error: impl std::fmt::Display) -> Self {
        Self::Mistake(error.to_string())
    }

    pub(super) fn running(error: impl std::fmt::Display) -> Self {
        Self::Running(error.to_string())
    }
}

/// Writes to standard output. That a reader has had enough, as `head` has, is no failure.
pub(super) fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::running(format!("standard output cannot be written ({error})")))
        }
        _ => Ok(()),
    }
}

/// Says something to the one at the terminal; where standard error is closed, nobody is there.
pub(super) fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::running(format!("the system gives no threads: {e}")))
}

pub(super) fn environment() -> Environment {
    Environment::from_process()
}
