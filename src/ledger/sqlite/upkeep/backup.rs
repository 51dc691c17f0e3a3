//! A whole copy of the state in one file, beside a running exporter or without one.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::glance;
use super::state::State;
use crate::ledger::sqlite::backup::{self, Files};
use crate::ledger::sqlite::schema;
use crate::ledger::transfer::UpkeepError;

/// How long an exporter may take to begin with it: it looks once a second, and may be in the middle of a large commit.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// Bytes of the copy.
    pub bytes: u64,
    /// A running exporter made it.
    pub beside_exporter: bool,
}

/// Writes a copy of the state in `directory` to `file`, which must not exist, for this user alone, and checks that all of it
/// is as it was written. If an exporter runs on the state, it makes the copy, and counts on.
///
/// # Errors
/// If there is no state, the file exists or cannot be written, the exporter does not answer, or the copy is not whole. The
/// file is not there then.
pub fn back_up(directory: &Path, file: &Path) -> Result<BackedUp, UpkeepError> {
    if std::fs::symlink_metadata(file).is_ok() {
        return Err(UpkeepError::Exists { path: file.into() });
    }
    let Some(seen) = glance(directory)? else { return Err(UpkeepError::NoState { path: directory.into() }) };
    let above = file.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut made = tempfile::Builder::new().prefix(".agntix-backup-").tempfile_in(above).map_err(UpkeepError::Copy)?;
    if seen.holder.is_some() {
        let files = Asked(Files::new(directory));
        ask(directory, &files.0)?;
        let mut copy = std::fs::File::open(files.0.done()).map_err(UpkeepError::Copy)?;
        transfer(&mut copy, made.as_file_mut()).map_err(UpkeepError::Copy)?;
    } else {
        let state = State::open(directory)?;
        state.with(|connection| backup::copy(connection, made.path()))?;
    }
    made.as_file().sync_all().map_err(UpkeepError::Copy)?;
    schema::verify_copy(made.path())?;
    let bytes = made.as_file().metadata().map_err(UpkeepError::Copy)?.len();
    made.persist_noclobber(file).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => UpkeepError::Exists { path: file.into() },
        _ => UpkeepError::Copy(error.error),
    })?;
    std::fs::File::open(above).and_then(|above| above.sync_all()).map_err(UpkeepError::Copy)?;
    Ok(BackedUp { bytes, beside_exporter: seen.holder.is_some() })
}

/// A request, of which nothing is left behind whatever becomes of it.
struct Asked(Files);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// Has the running exporter make its copy, and waits for it.
fn ask(directory: &Path, files: &Files) -> Result<(), UpkeepError> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(files.request())
        .map_err(UpkeepError::Copy)?;
    let asked = Instant::now();
    loop {
        if files.done().exists() {
            return Ok(());
        }
        if let Ok(detail) = std::fs::read_to_string(files.error()) {
            return Err(UpkeepError::NotCopied { detail });
        }
        let is_begun = !files.request().exists();
        // A large copy takes its time, as long as there is somebody who makes it.
        let is_given_up = if is_begun {
            glance(directory)?.is_none_or(|seen| seen.holder.is_none()) && !files.done().exists()
        } else {
            asked.elapsed() > PATIENCE
        };
        if is_given_up {
            return Err(UpkeepError::Unanswered { path: directory.into() });
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

fn transfer(from: &mut std::fs::File, to: &mut std::fs::File) -> std::io::Result<()> {
    let mut piece = vec![0; 1 << 20];
    loop {
        let length = from.read(&mut piece)?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { return Ok(()) };
        to.write_all(read)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::ledger::LedgerError;
    use crate::ledger::sqlite::{LedgerConfig, SqliteLedger};

    fn config(directory: &Path) -> Config {
        let mut config = Config::default();
        config.state.path = directory.into();
        config
    }

    #[test]
    fn copy_is_checked_and_nothing_is_overwritten_or_left_behind() {
        let place = tempfile::tempdir().unwrap();
        let (state, copy) = (place.path().join("state"), place.path().join("copy"));
        assert!(matches!(back_up(&state, &copy), Err(UpkeepError::NoState { .. })));
        let ledger = SqliteLedger::open(LedgerConfig::from(&config(&state)), Box::new(|_| {})).unwrap().0;
        drop(ledger);
        let done = back_up(&state, &copy).unwrap();
        assert_eq!((done.bytes, done.beside_exporter), (std::fs::metadata(&copy).unwrap().len(), false));
        assert!(matches!(back_up(&state, &copy), Err(UpkeepError::Exists { .. })));
        let link = place.path().join("link");
        std::os::unix::fs::symlink(place.path().join("nowhere"), &link).unwrap();
        assert!(matches!(back_up(&state, &link), Err(UpkeepError::Exists { .. })));
        // Cut short by one byte.
        let mut bytes = std::fs::read(&copy).unwrap();
        schema::verify_copy(&copy).unwrap();
        let last = bytes.len() - 1;
        bytes.truncate(last);
        std::fs::write(&copy, bytes).unwrap();
        assert!(matches!(schema::verify_copy(&copy), Err(LedgerError::Damaged { .. } | LedgerError::Io { .. })));
        let mut names: Vec<_> =
            std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["copy", "link", "state"]);
    }
}
