//! How far the state was committed, beside it in a small file of its own.
//!
//! The last transaction in a damaged log looks like one that was under way when the power went (see [`wal`](super::wal)),
//! and a log that is gone leaves no trace at all. So after each commit, and before it is answered, its number is written
//! here, and a state that ends with an earlier one has lost something that was acknowledged.
//!
//! The file is not synced, as that would double the cost of a commit. A process that is killed leaves it as it was written;
//! a power cut may take it back to an earlier number (that of half a minute ago, with Linux as it comes), but never to one
//! whose commit is not on the disk: the commit was synced first. So it refuses nothing that a crash may leave. What it
//! cannot tell: after a power cut, damage to the commits of that time which is in the last transaction of the log. If the
//! file is missing or unreadable, the same holds for the last transaction without a power cut.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;

use super::checksums::{CommitNumber, row_hash};
use super::sharing::share;

/// Its name, in the directory of the state.
pub(super) const FILE: &str = "ledger.commits";

/// The file, open to be written.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    written: CommitNumber,
}

impl Mark {
    /// Opens the mark of the state in `directory`, or makes it.
    ///
    /// # Errors
    /// If it can be neither written nor made.
    pub(super) fn open(directory: &Path) -> std::io::Result<Self> {
        let (path, mut options) = (path(directory), File::options());
        let file = options.create(true).truncate(false).write(true).open(&path)?;
        share(&path, directory);
        Ok(Self { file, written: CommitNumber::default() })
    }

    /// Writes the number of the last commit, which must be durable.
    pub(super) fn write(&mut self, commit: CommitNumber) {
        // One that cannot be written says less than it could, and nothing wrong.
        if commit != self.written && self.file.write_all_at(text(commit).as_bytes(), 0).is_ok() {
            self.written = commit;
        }
    }
}

/// The commit that the mark in `directory` tells of; none if there is no mark, or none that can be read.
pub(super) fn read(directory: &Path) -> Option<CommitNumber> {
    parse(&std::fs::read_to_string(path(directory)).ok()?)
}

fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// In the first sector of the file, so that it is written whole or not at all.
fn text(commit: CommitNumber) -> String {
    let CommitNumber { state, number } = commit;
    let hash = row_hash(FILE, [ValueRef::Integer(state), ValueRef::Integer(number)]);
    format!("state {state:016x} commit {number:020} checksum {hash:016x}\n")
}

fn parse(read: &str) -> Option<CommitNumber> {
    let mut words = read.split(' ');
    let (_, state, _, number) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let state = u64::from_str_radix(state, 16).ok()?.cast_signed();
    let commit = CommitNumber { state, number: number.parse().ok()? };
    (text(commit) == read).then_some(commit)
}

/// What a state that ends with `found` lacks, as `marked` tells.
pub(super) fn lost(marked: Option<CommitNumber>, found: CommitNumber) -> Option<String> {
    let marked = marked.filter(|marked| marked.state == found.state && marked.number > found.number)?;
    let missing = marked.number - found.number;
    Some(format!(
        "{missing} of its commits that were acknowledged are missing: its log was lost or is damaged, or an older copy was put in its place; if that was on purpose, remove {FILE}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_a_changed_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()), None);
        let mut mark = Mark::open(directory.path()).unwrap();
        for number in [1, 2, i64::MAX] {
            let commit = CommitNumber { state: -7, number };
            mark.write(commit);
            assert_eq!(read(directory.path()), Some(commit));
        }
        let good = std::fs::read(path(directory.path())).unwrap();
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            std::fs::write(path(directory.path()), bad).unwrap();
            assert_eq!(read(directory.path()), None, "{place}");
        }
    }

    #[test]
    fn only_an_earlier_commit_of_the_same_state_has_lost_something() {
        let commit = |state, number| CommitNumber { state, number };
        assert_eq!(lost(None, commit(1, 5)), None);
        assert_eq!(lost(Some(commit(1, 5)), commit(1, 5)), None);
        assert_eq!(lost(Some(commit(1, 4)), commit(1, 5)), None);
        assert_eq!(lost(Some(commit(2, 9)), commit(1, 5)), None);
        assert!(lost(Some(commit(1, 7)), commit(1, 5)).unwrap().starts_with("2 of its commits"));
    }
}
