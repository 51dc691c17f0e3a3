//! A copy of the state while the exporter runs. Only the process that has the state open can read it, so it makes the copy,
//! on request.
//!
//! A request is a file in the state directory, and so is the copy: whoever may write there may do anything to the state
//! anyway, and nobody can have the exporter write anywhere else. Where the copy goes from there, and under whose rights, is
//! decided by whoever asked ([`upkeep`](super::upkeep)).
//!
//! The pages are copied as they are, in one go and without waiting for the disk, so that commits wait for as long as it takes
//! to copy them in memory; the disk is waited for on a thread of its own.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

/// Begins the names of all files of a backup.
const PREFIX: &str = ".backup-";
const REQUEST: &str = "request";
const PART: &str = "part";
const DONE: &str = "sqlite";
const ERROR: &str = "error";
/// Left free on the disk of the state, for the state.
const SPARE: u64 = 64 << 20;
/// A copy that nobody has fetched for so long is removed at the next start.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// The files of one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    directory: PathBuf,
    name: String,
}

impl Files {
    /// Those of a new request.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.into(), name: format!("{:016x}", fastrand::u64(..)) }
    }

    fn with(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{PREFIX}{}.{ending}", self.name))
    }

    /// Asks for a copy.
    pub(super) fn request(&self) -> PathBuf {
        self.with(REQUEST)
    }

    /// The copy, once it is whole.
    pub(super) fn done(&self) -> PathBuf {
        self.with(DONE)
    }

    /// Why there is none.
    pub(super) fn error(&self) -> PathBuf {
        self.with(ERROR)
    }

    /// Removes all of them.
    pub(super) fn remove(&self) {
        for ending in [REQUEST, DONE, ERROR] {
            let _ = std::fs::remove_file(self.with(ending));
        }
    }
}

/// The name of the request that a file is, if it is one.
fn requested(file: &str) -> Option<&str> {
    let name = file.strip_prefix(PREFIX)?.strip_suffix(REQUEST)?.strip_suffix('.')?;
    (name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(name)
}

/// Makes the copy that somebody has asked for in `directory`, if anybody has.
pub(super) fn serve(connection: &Connection, directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let owner = std::fs::metadata(directory).ok().map(|metadata| metadata.uid());
    let may_ask = |uid: u32| uid == 0 || uid == rustix::process::geteuid().as_raw() || Some(uid) == owner;
    let files = entries.flatten().find_map(|entry| {
        let name = entry.file_name();
        let name = requested(name.to_str()?)?.to_owned();
        let metadata = std::fs::symlink_metadata(entry.path()).ok()?;
        (metadata.is_file() && may_ask(metadata.uid())).then(|| Files { directory: directory.into(), name })
    });
    let Some(files) = files else { return };
    // One that cannot be removed would be served for ever.
    if std::fs::remove_file(files.request()).is_err() {
        return;
    }
    let part = files.with(PART);
    let copied = room_for(connection, directory).and_then(|()| copy(connection, &part).map_err(|e| e.to_string()));
    let finish = move || {
        let done = copied.and_then(|()| {
            let synced = std::fs::File::open(&part).and_then(|file| file.sync_all());
            synced.and_then(|()| std::fs::rename(&part, files.done())).map_err(|e| e.to_string())
        });
        if let Err(why) = done {
            let _ = std::fs::remove_file(&part);
            // Whole at once, for whoever waits for it.
            let _ = std::fs::write(&part, why).and_then(|()| std::fs::rename(&part, files.error()));
        }
    };
    // Without a thread, who asked gives up waiting.
    let _ = std::thread::Builder::new().name("backup".into()).spawn(finish);
}

/// A copy must not take the room that the state needs.
fn room_for(connection: &Connection, directory: &Path) -> Result<(), String> {
    let size =
        connection.query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| {
            row.get::<_, i64>(0)
        });
    let needed = u64::try_from(size.map_err(|e| e.to_string())?).unwrap_or(0) + SPARE;
    let free = rustix::fs::statvfs(directory).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    match free {
        Ok(free) if free < needed => Err(format!(
            "the copy is made in the state directory first, where {} MiB are free and {} MiB are needed",
            free >> 20,
            needed >> 20
        )),
        _ => Ok(()),
    }
}

/// Copies the state as of the last commit into a new file, which is not synced.
pub(super) fn copy(connection: &Connection, to: &Path) -> rusqlite::Result<()> {
    let mut copy = Connection::open(to)?;
    // The file is nobody's before it is whole, so that it needs no journal.
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    {
        let backup = Backup::new(connection, &mut copy)?;
        while backup.step(-1)? != StepResult::Done {}
    }
    copy.close().map_err(|(_, error)| error)
}

/// Removes what broken-off backups have left.
pub(super) fn remove_broken_off(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if name.ends_with(PART) || age.is_some_and(|age| age > FORGOTTEN) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_cannot_lead_elsewhere_are_requests() {
        assert_eq!(requested(".backup-0123456789abcdef.request"), Some("0123456789abcdef"));
        for name in [
            ".backup-.request",
            ".backup-0123456789abcde.request",
            ".backup-../../../../etc/x.request",
            ".backup-0123456789abcdef.sqlite",
            ".backup-0123456789abcdefrequest",
            "backup-0123456789abcdef.request",
        ] {
            assert_eq!(requested(name), None, "{name}");
        }
    }
}
