//! The files of a history: each appears whole, and is on the disk when it is there.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::arguments::Arguments;

/// What was written of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub samples: u64,
    /// As Prometheus counts them: one for each bucket.
    pub series: u64,
    pub bytes: u64,
}

/// The directory with what a run works with.
const WORK: &str = ".backfill";
const ARGUMENTS: &str = "checkpoint.json";
const SESSIONS: &str = "sessions.sqlite";
const PAST: &str = "state.jsonl";
const LOCK: &str = "lock";

/// The output of a backfill, locked against a second one.
#[derive(Debug)]
pub(super) struct Output {
    directory: PathBuf,
    _lock: File,
}

/// Why a directory cannot be written to.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutputError {
    /// A sentence.
    #[error("{0}")]
    Refused(String),
    /// The system does not let it.
    #[error("cannot write in {} ({error})", path.display())]
    Io { path: PathBuf, error: std::io::Error },
}

impl Output {
    /// Takes the directory for a run with these arguments. Gives what an earlier run has kept, if this one resumes it.
    pub(super) fn open(
        directory: &Path,
        arguments: &Arguments,
        resume: bool,
    ) -> Result<(Self, Option<Arguments>), OutputError> {
        let failed = |error: std::io::Error| OutputError::Io { path: directory.into(), error };
        let work = directory.join(WORK);
        let shown = directory.display();
        let is_used = match std::fs::read_dir(directory) {
            // A run that was killed before it had begun has left its own directory at most.
            Ok(entries) => entries.flatten().any(|entry| entry.file_name() != WORK),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(failed(error)),
        };
        let before = std::fs::read(work.join(ARGUMENTS)).ok();
        match (&before, resume) {
            (None, true) => {
                return Err(OutputError::Refused(format!(
                    "--resume: there is no backfill to go on with in {shown}; leave --resume out to begin one"
                )));
            }
            (Some(_), false) => {
                return Err(OutputError::Refused(format!(
                    "--output: {shown} holds a backfill already; go on with it by --resume, or name an empty directory"
                )));
            }
            (None, false) if is_used => {
                return Err(OutputError::Refused(format!(
                    "--output: {shown} is not empty; name an empty directory, or one that is not there yet"
                )));
            }
            _ => {}
        }
        let earlier: Option<Arguments> = before
            .map(|bytes| {
                serde_json::from_slice(&bytes).map_err(|error| {
                    OutputError::Refused(format!(
                        "{shown}/{WORK}/{ARGUMENTS} cannot be read ({error}); begin in another directory"
                    ))
                })
            })
            .transpose()?;
        if let Some(name) = earlier.as_ref().and_then(|earlier| earlier.differs_from(arguments)) {
            return Err(OutputError::Refused(format!(
                "--resume: {name} is not what the backfill in {shown} was begun with; give the same, or name an empty directory"
            )));
        }
        std::fs::create_dir_all(&work).map_err(failed)?;
        // What was observed of sessions is for this user alone.
        std::fs::set_permissions(&work, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        let lock = File::create(work.join(LOCK)).map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| OutputError::Refused(format!("--output: another backfill is running in {shown}")))?;
        let output = Self { directory: directory.into(), _lock: lock };
        if earlier.is_none() {
            output.keep(arguments)?;
        }
        Ok((output, earlier))
    }

    /// Records the arguments, and whether all is done.
    pub(super) fn keep(&self, arguments: &Arguments) -> Result<(), OutputError> {
        // Strings and numbers only, which always have a JSON.
        let text = serde_json::to_vec_pretty(arguments).unwrap_or_default();
        self.write(&Path::new(WORK).join(ARGUMENTS), false, |to| to.write_all(&text))
    }

    /// The file with what was observed.
    pub(super) fn sessions(&self) -> PathBuf {
        self.directory.join(WORK).join(SESSIONS)
    }

    /// The file with what the live counters know.
    pub(super) fn past(&self) -> PathBuf {
        self.directory.join(WORK).join(PAST)
    }

    /// The directory that holds both.
    pub(super) fn work(&self) -> PathBuf {
        self.directory.join(WORK)
    }

    /// Writes a file into a directory of the output, which is made if need be.
    pub(super) fn write_below(
        &self,
        name: &Path,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<(), OutputError> {
        let path = self.directory.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| OutputError::Io { path: parent.into(), error })?;
        }
        self.write(name, false, write)
    }

    /// Writes a file of the output. It appears when it is whole and on the disk.
    pub(super) fn write<T>(
        &self,
        name: &Path,
        is_program: bool,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<T>,
    ) -> Result<T, OutputError> {
        let path = self.directory.join(name);
        let beside = path.parent().unwrap_or(&self.directory);
        let done = (|| {
            let mut file = tempfile::Builder::new().prefix(".part-").tempfile_in(beside)?;
            let written = {
                let mut buffer = std::io::BufWriter::with_capacity(1 << 16, file.as_file_mut());
                let written = write(&mut buffer)?;
                buffer.flush()?;
                written
            };
            let mode = if is_program { 0o755 } else { 0o644 };
            file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(beside)?.sync_all()?;
            Ok(written)
        })();
        done.map_err(|error| OutputError::Io { path, error })
    }

    /// Removes what only the run needed, and what a run that was killed has left half written.
    pub(super) fn tidy_up(&self) -> Result<(), OutputError> {
        for ending in ["", "-wal", "-shm"] {
            let mut name = self.sessions().into_os_string();
            name.push(ending);
            let _ = std::fs::remove_file(&name);
        }
        let _ = std::fs::remove_file(self.past());
        self.remove_parts()
    }

    /// Removes what a run that was killed has left half written.
    pub(super) fn remove_parts(&self) -> Result<(), OutputError> {
        for directory in [self.directory.clone(), self.work()] {
            let failed = |error| OutputError::Io { path: directory.clone(), error };
            for entry in std::fs::read_dir(&directory).map_err(failed)?.flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.starts_with(".part-") {
                    let _ = std::fs::remove_file(entry.path());
                } else if name.starts_with("state-") {
                    let _ = std::fs::remove_dir_all(entry.path());
                }
            }
        }
        Ok(())
    }
}
