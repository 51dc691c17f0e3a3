//! The beginning of a state: the one moment in which a file may be made where there was none.
//!
//! It is made beside its place, synced, and only then given its name, so that a crash at any instant leaves either no
//! state or a whole one. Whatever else lies at that name (an empty file, a part of one, a log without its file) was once
//! a state, and is never begun anew in silence.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::backup;
use super::checksums::Checksums;
use super::mark;
use super::schema;
use super::sharing::share;
use super::tables::{APPLICATION_ID, FORMAT, TABLES};
use crate::ledger::LedgerError;

/// Begins the name of the directory in which a state is made.
const WORK: &str = ".begin-";

/// Makes the state in `directory`, and the directory, if neither is there. Whether it was made.
///
/// # Errors
/// If it cannot be made, or if what is there is the rest of another one.
pub(super) fn begin(directory: &Path) -> std::result::Result<bool, LedgerError> {
    let unusable = |e: Error| match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => LedgerError::Full { path: schema::file_in(directory) },
        _ => LedgerError::Directory { path: directory.into(), detail: e.to_string() },
    };
    make_directory(directory).map_err(unusable)?;
    let path = schema::file_in(directory);
    if is_there(&path).map_err(unusable)? {
        return Ok(false);
    }
    if let Some(left) = log_without_file(&path).map_err(unusable)? {
        return Err(LedgerError::Damaged { path, detail: left });
    }
    let work = tempfile::Builder::new().prefix(WORK).tempdir_in(directory).map_err(unusable)?;
    let made = schema::file_in(work.path());
    let made = create(&made)
        .map_err(|e| schema::opening_error(&made, &e))
        .and_then(|()| finish(&made, &path, directory).map_err(unusable));
    let is_begun = match made {
        // Another process that was started at the same time was quicker, and has removed what this one was making.
        Err(_) if is_there(&path).map_err(unusable)? => false,
        other => other?,
    };
    drop(work);
    sync(directory).map_err(unusable)?;
    Ok(is_begun)
}

/// Removes what a beginning or a backup that was broken off has left. What cannot be removed is in nobody's way.
pub(super) fn remove_broken_off(directory: &Path) {
    backup::remove_broken_off(directory);
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(WORK.as_bytes()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Says what of a state lies at `path` without its file, if anything does: its log, which SQLite would play into the next
/// file of that name, or the mark of its last commit.
pub(super) fn log_without_file(path: &Path) -> Result<Option<String>> {
    let logs = ["-wal", "-journal"].map(|ending| schema::with_ending(path, ending));
    for left in logs.into_iter().chain([path.with_file_name(mark::FILE)]) {
        if is_there(&left)? {
            let name = left.file_name().unwrap_or_default().display();
            return Ok(Some(format!("the file is missing, but its {name} is there")));
        }
    }
    Ok(None)
}

/// The tables, in a file that nobody else knows yet. It is closed, and so has no log, when this returns.
fn create(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    let checksums = Checksums::of(&connection)?;
    connection.execute_batch(&format!(
        "BEGIN EXCLUSIVE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
    ))?;
    checksums.begin(&connection)?;
    connection.execute_batch("COMMIT")?;
    // Afterwards, so that the tables are in the file itself whatever becomes of the closing.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)
}

/// Gives the file that was made the rights that its directory asks for, syncs it, and gives it its name. Whether it has it.
fn finish(made: &Path, path: &Path, directory: &Path) -> Result<bool> {
    share(made, directory);
    sync(made)?;
    name(made, path)
}

/// Gives the file its name, which nothing may have yet. Whether it did.
fn name(made: &Path, path: &Path) -> Result<bool> {
    match std::fs::hard_link(made, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        // A disk that knows no links. Between the look and the rename another process may make its own state, which then
        // finds that its file has been replaced, and acknowledges nothing.
        Err(_) if !is_there(path)? => std::fs::rename(made, path).map(|()| true),
        Err(error) => Err(error),
    }
}

/// The directory, and its name in the directory above it, durable.
fn make_directory(directory: &Path) -> Result<()> {
    let missing: Vec<&Path> = directory.ancestors().take_while(|path| !path.exists()).collect();
    std::fs::create_dir_all(directory)?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty());
        sync(above.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

fn sync(path: &Path) -> Result<()> {
    match std::fs::File::open(path).and_then(|file| file.sync_all()) {
        // Not every disk can sync a directory.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        // One that may be passed through, but not read.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && path.is_dir() => Ok(()),
        other => other,
    }
}

/// Whether anything has this name, be it a link to nothing.
fn is_there(path: &Path) -> Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A state's directory as a person finds it whatever the working directory is.
pub(super) fn absolute(directory: &Path) -> PathBuf {
    std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn new_state_is_whole_under_its_name_and_is_not_begun_twice() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("a/b");
        assert!(begin(&directory).unwrap());
        assert_eq!(names(&directory), ["ledger.sqlite"]);
        let before = std::fs::read(schema::file_in(&directory)).unwrap();
        assert!(!begin(&directory).unwrap());
        assert_eq!(std::fs::read(schema::file_in(&directory)).unwrap(), before);
    }

    /// Up to the moment in which the file has its name, a crash leaves only what has other names.
    #[test]
    fn broken_off_beginning_is_no_state_and_does_not_prevent_the_next_one() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path();
        for (name, bytes) in [(".begin-1", 0), (".begin-2", 100), (".begin-3", 5_000)] {
            std::fs::create_dir(directory.join(name)).unwrap();
            std::fs::write(directory.join(name).join("ledger.sqlite"), vec![0; bytes]).unwrap();
        }
        assert!(begin(directory).unwrap());
        schema::open(directory).unwrap();
        remove_broken_off(directory);
        assert_eq!(names(directory), ["ledger.sqlite"]);
    }

    #[test]
    fn many_that_begin_at_once_make_one_state() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("state");
        let begun = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| begin(&directory))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|made| matches!(made, Ok(true))).count()
        });
        assert_eq!(begun, 1);
        schema::open(&directory).unwrap();
    }
}
