//! Whether the path of the state still leads to the files that this process has open.
//!
//! A file that was removed, moved or replaced takes every write and sync as before, and is gone after a restart. No commit
//! is acknowledged unless the next start would find it (promise P4).
//!
//! The file is looked at through its path and through a handle that holds on to it but cannot read it: to close one that
//! can would give up SQLite's locks (<https://www.sqlite.org/howtocorrupt.html>, 2.2), and without any the number of a
//! removed file could be given to the next one.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

use super::schema;

/// Which file, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// Length and time of the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    length: i64,
    seconds: i64,
    nanoseconds: u64,
}

impl Written {
    fn of(stat: &Stat) -> Self {
        Self { length: stat.st_size, seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec }
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
    _handle: Arc<OwnedFd>,
}

impl InPlace {
    /// Looks at the file that is about to be opened.
    pub(super) fn before_opening(path: &Path) -> std::io::Result<Self> {
        // The log's name is made of it, and the working directory may be moved.
        let path = std::path::absolute(path)?;
        let handle = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let file = FileId::of(&rustix::fs::fstat(&handle)?);
        let log = schema::with_ending(&path, "-wal");
        Ok(Self { path, log, file, log_file: None, written: None, _handle: Arc::new(handle) })
    }

    /// Notes the log, which is there once the file is open and locked.
    pub(super) fn opened(&mut self) {
        self.log_file = rustix::fs::stat(&self.log).ok().as_ref().map(FileId::of);
        self.note_written();
    }

    /// Notes the last write of this process, so that one of another process shows.
    pub(super) fn note_written(&mut self) {
        let is_exact =
            rustix::fs::statfs(&self.path).is_ok_and(|disk| u64::try_from(disk.f_type).is_ok_and(tells_writes_exactly));
        self.written = rustix::fs::stat(&self.path).ok().filter(|_| is_exact).as_ref().map(Written::of);
    }

    /// The file is closed, which writes to it.
    pub(super) fn closed(&mut self) {
        self.written = None;
    }

    /// Whether the path still leads to the open files, and nobody else has written to them.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let (file, log) = (rustix::fs::stat(&self.path), rustix::fs::stat(&self.log));
        self.judge_file(file.as_ref().map_err(|e| *e))?;
        self.judge_log(log.as_ref().map(FileId::of).map_err(|e| *e))
    }

    /// The same, after a write of this process.
    pub(super) fn check_after_write(&mut self) -> Result<(), Fault> {
        self.written = None;
        self.check()?;
        self.note_written();
        Ok(())
    }

    fn judge_file(&self, found: Result<&Stat, Errno>) -> Result<(), Fault> {
        let name = "ledger.sqlite";
        match found {
            Err(Errno::NOENT | Errno::NOTDIR) => Err(Fault::File(format!("{name} was removed or moved"))),
            Err(error) => Err(Fault::File(format!("it cannot be looked at: {}", std::io::Error::from(error)))),
            Ok(stat) if FileId::of(stat) != self.file => Err(Fault::File(format!("another {name} is in its place"))),
            Ok(stat) if self.written.is_some_and(|written| written != Written::of(stat)) => {
                Err(Fault::File(format!("another program has written to {name}")))
            }
            Ok(_) => Ok(()),
        }
    }

    fn judge_log(&self, found: Result<FileId, Errno>) -> Result<(), Fault> {
        match (self.log_file, found) {
            (Some(known), Ok(found)) if known == found => Ok(()),
            (None, _) => Ok(()),
            (Some(_), Err(Errno::NOENT)) => Err(Fault::LogRemoved),
            (Some(_), Ok(_)) => Err(Fault::File("another ledger.sqlite-wal is in its place".into())),
            (Some(_), Err(error)) => {
                Err(Fault::File(format!("its log cannot be looked at: {}", std::io::Error::from(error))))
            }
        }
    }
}

/// File systems of this machine's own kernel, where the time of a write is that of the write. A network's may be corrected
/// by its server later, which would look like somebody else's write.
const fn tells_writes_exactly(file_system: u64) -> bool {
    const EXT: u64 = 0xEF53;
    const XFS: u64 = 0x5846_5342;
    const BTRFS: u64 = 0x9123_683E;
    const F2FS: u64 = 0xF2F5_2010;
    const TMPFS: u64 = 0x0102_1994;
    matches!(file_system, EXT | XFS | BTRFS | F2FS | TMPFS)
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

    #[test]
    fn only_local_file_systems_tell_times_exactly() {
        assert!(tells_writes_exactly(0xEF53));
        // NFS, FUSE, 9p.
        for network in [0x6969, 0x6573_5546, 0x0102_1997] {
            assert!(!tells_writes_exactly(network));
        }
    }
}
