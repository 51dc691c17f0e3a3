//! Whether the path of the state still leads to the files that this process has open.
//!
//! A file that was removed, moved or replaced takes every write and sync as before, and is gone after a restart. No commit
//! is acknowledged unless the next start would find it (promise P4).
//!
//! The file is looked at through its path and through a handle that holds on to it but cannot read it: to close one that
//! can would give up SQLite's locks (<https://www.sqlite.org/howtocorrupt.html>, 2.2), and without any the number of a
//! removed file could be given to the next one.

use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::schema;
use crate::ledger::system;

/// Which file, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(file: &Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino() }
    }
}

/// Length and time of the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    length: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Written {
    fn of(file: &Metadata) -> Self {
        Self { length: file.len(), seconds: file.mtime(), nanoseconds: file.mtime_nsec() }
    }
}

/// Why the path does not lead to the open files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The file itself: what is written to it is lost to the next start.
    File(String),
    /// Only the log was removed. What is in it can still be brought into the file.
    LogRemoved,
}

/// The open file of a state, and its log.
#[derive(Clone, Debug)]
pub(super) struct InPlace {
    path: PathBuf,
    log: PathBuf,
    file: FileId,
    log_file: Option<FileId>,
    written: Option<Written>,
    /// Keeps the file's number from being given to another one.
    _handle: Arc<Option<File>>,
}

impl InPlace {
    /// Looks at the file that is about to be opened.
    pub(super) fn before_opening(path: &Path) -> std::io::Result<Self> {
        // The log's name is made of it, and the working directory may be moved.
        let path = std::path::absolute(path)?;
        let handle = system::hold(&path)?;
        let found = handle.as_ref().map_or_else(|| std::fs::metadata(&path), File::metadata);
        let file = FileId::of(&found?);
        let log = schema::with_ending(&path, "-wal");
        Ok(Self { path, log, file, log_file: None, written: None, _handle: Arc::new(handle) })
    }

    /// Notes the log, which is there once the file is open and locked.
    pub(super) fn opened(&mut self) {
        self.log_file = std::fs::metadata(&self.log).ok().as_ref().map(FileId::of);
        self.note_written();
    }

    /// Notes the last write of this process, so that one of another process shows.
    pub(super) fn note_written(&mut self) {
        let is_exact = system::tells_writes_exactly(&self.path);
        self.written = std::fs::metadata(&self.path).ok().filter(|_| is_exact).as_ref().map(Written::of);
    }

    /// The file is closed, which writes to it.
    pub(super) fn closed(&mut self) {
        self.written = None;
    }

    /// Whether the path still leads to the open files, and nobody else has written to them.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let (file, log) = (std::fs::metadata(&self.path), std::fs::metadata(&self.log));
        self.judge_file(file.as_ref())?;
        self.judge_log(log.as_ref().map(FileId::of))
    }

    /// The same, after a write of this process.
    pub(super) fn check_after_write(&mut self) -> Result<(), Fault> {
        self.written = None;
        self.check()?;
        self.note_written();
        Ok(())
    }

    fn judge_file(&self, found: Result<&Metadata, &Error>) -> Result<(), Fault> {
        let name = "ledger.sqlite";
        match found {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(Fault::File(format!("{name} was removed or moved")))
            }
            Err(error) => Err(Fault::File(format!("it cannot be looked at: {error}"))),
            Ok(stat) if FileId::of(stat) != self.file => Err(Fault::File(format!("another {name} is in its place"))),
            Ok(stat) if self.written.is_some_and(|written| written != Written::of(stat)) => {
                Err(Fault::File(format!("another program has written to {name}")))
            }
            Ok(_) => Ok(()),
        }
    }

    fn judge_log(&self, found: Result<FileId, &Error>) -> Result<(), Fault> {
        match (self.log_file, found) {
            (Some(known), Ok(found)) if known == found => Ok(()),
            (None, _) => Ok(()),
            (Some(_), Err(error)) if error.kind() == ErrorKind::NotFound => Err(Fault::LogRemoved),
            (Some(_), Ok(_)) => Err(Fault::File("another ledger.sqlite-wal is in its place".into())),
            (Some(_), Err(error)) => Err(Fault::File(format!("its log cannot be looked at: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, PathBuf, InPlace) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state/ledger.sqlite");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "state").unwrap();
        std::fs::write(schema::with_ending(&path, "-wal"), "log").unwrap();
        let mut in_place = InPlace::before_opening(&path).unwrap();
        in_place.opened();
        (place, path, in_place)
    }

    fn fault(in_place: &InPlace) -> String {
        match in_place.check() {
            Ok(()) => "none".into(),
            Err(Fault::LogRemoved) => "log".into(),
            Err(Fault::File(detail)) => detail,
        }
    }

    #[test]
    fn file_that_is_moved_is_missed_and_recognised_when_it_is_back() {
        let (place, path, in_place) = state();
        assert_eq!(fault(&in_place), "none");
        let (directory, elsewhere) = (path.parent().unwrap(), place.path().join("elsewhere"));
        std::fs::rename(directory, &elsewhere).unwrap();
        assert_eq!(fault(&in_place), "ledger.sqlite was removed or moved");
        std::fs::create_dir(directory).unwrap();
        assert_eq!(fault(&in_place), "ledger.sqlite was removed or moved");
        std::fs::write(&path, "state").unwrap();
        assert_eq!(fault(&in_place), "another ledger.sqlite is in its place");
        std::fs::remove_dir_all(directory).unwrap();
        std::fs::rename(&elsewhere, directory).unwrap();
        assert_eq!(fault(&in_place), "none");
    }

    /// The number of the removed file must not be given to the copy.
    #[test]
    fn copy_in_place_of_the_file_is_another_file() {
        let (_place, path, in_place) = state();
        for _ in 0..50 {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, "state").unwrap();
            assert_eq!(fault(&in_place), "another ledger.sqlite is in its place");
        }
    }

    #[test]
    fn log_that_is_removed_or_replaced_is_noticed() {
        let (_place, path, in_place) = state();
        let log = schema::with_ending(&path, "-wal");
        // As SQLite has it.
        let _open = std::fs::File::open(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        assert_eq!(in_place.check(), Err(Fault::LogRemoved));
        std::fs::write(&log, "log").unwrap();
        assert_eq!(fault(&in_place), "another ledger.sqlite-wal is in its place");
    }

    #[test]
    fn write_of_another_program_is_noticed_where_times_are_exact() {
        let (_place, path, mut in_place) = state();
        if in_place.written.is_none() {
            println!("the disk of {} does not tell times exactly", path.display());
            return;
        }
        std::fs::write(&path, "a restored copy").unwrap();
        assert_eq!(fault(&in_place), "another program has written to ledger.sqlite");
        // One's own is not.
        assert_eq!(in_place.check_after_write(), Ok(()));
        assert_eq!(fault(&in_place), "none");
    }
}
