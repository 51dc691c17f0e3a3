//! The write-ahead log of SQLite, read before SQLite reads it: what a power cut leaves there is the end of the log, and
//! what is damaged is not.
//!
//! SQLite takes the log up to the first frame whose checksum fails, and calls that its end. A power cut leaves such a frame:
//! frames that were not synced may be there in part, and in any order. A changed byte leaves one as well, and all that was
//! committed behind it would be given up without a word. What tells the two apart is that each commit is synced before
//! anything of the next one is written: behind the last commit that is whole there may be the frames of **one** transaction,
//! and no more. So a commit behind the bad frame that is followed by another frame of the same log shows that the bad frame
//! had been synced, and is damaged.
//!
//! This cannot be seen of the last transaction in the log: damaged, it looks like one that was under way. For that one
//! there is the [`mark`](super::mark).
//!
//! Format: <https://sqlite.org/fileformat2.html#the_write_ahead_log>. Frames of an earlier use of the log, which has other
//! salts, lie behind the current ones and mean nothing.

use std::io::{ErrorKind, Read};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const MAGIC: u32 = 0x377f_0682;

/// Reads a log. Gives what is damaged, if something is.
pub(super) fn damage(log: &mut impl Read) -> std::io::Result<Option<String>> {
    let mut header = [0; HEADER];
    if !fill(log, &mut header)? {
        return Ok(None);
    }
    let Some(start) = Start::from(&header) else {
        // A header is synced before anything is written behind it.
        let mut rest = Vec::new();
        log.take(1).read_to_end(&mut rest)?;
        return Ok((!rest.is_empty()).then(|| "the header of its log is damaged".into()));
    };
    let mut frame = vec![0; FRAME_HEADER + start.page];
    let (mut number, mut bad, mut commit, mut before) = (0_u64, None, None, start.checksum);
    while fill(log, &mut frame)? {
        number += 1;
        let Some(found) = Frame::from(&frame, &start, before) else { break };
        before = found.checksum;
        match bad {
            None if found.is_sound && found.is_current => {}
            None => bad = Some(number),
            Some(_) if !found.is_current => {}
            Some(bad) if commit.is_some() => {
                return Ok(Some(format!("its log is damaged at frame {bad}, with commits behind it that are sound")));
            }
            Some(_) if found.is_sound && found.is_commit => commit = Some(number),
            Some(_) => {}
        }
    }
    Ok(None)
}

/// Reads all of `buffer`, or says that there is no more.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

type Checksum = (u32, u32);

/// What the header of a log says.
struct Start {
    big_endian: bool,
    page: usize,
    salts: [u8; 8],
    checksum: Checksum,
}

impl Start {
    fn from(header: &[u8; HEADER]) -> Option<Self> {
        let magic = number(header, 0)?;
        let big_endian = magic & 1 == 1;
        let page = usize::try_from(number(header, 8)?).ok()?;
        let checksum = add(big_endian, (0, 0), header.get(..24)?);
        let is_sound = magic & !1 == MAGIC
            && checksum == (number(header, 24)?, number(header, 28)?)
            && page.is_power_of_two()
            && (512..=65_536).contains(&page);
        let salts = header.get(16..24)?.try_into().ok()?;
        is_sound.then_some(Self { big_endian, page, salts, checksum })
    }
}

struct Frame {
    /// Of the current use of the log.
    is_current: bool,
    /// Its checksum follows from that of the frame before it.
    is_sound: bool,
    is_commit: bool,
    /// As it stands in the frame.
    checksum: Checksum,
}

impl Frame {
    fn from(frame: &[u8], start: &Start, before: Checksum) -> Option<Self> {
        let checksum = (number(frame, 16)?, number(frame, 20)?);
        let computed = add(start.big_endian, before, frame.get(..8)?);
        let computed = add(start.big_endian, computed, frame.get(FRAME_HEADER..)?);
        Some(Self {
            is_current: frame.get(8..16)? == start.salts,
            is_sound: computed == checksum && number(frame, 0)? != 0,
            is_commit: number(frame, 4)? != 0,
            checksum,
        })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// SQLite's checksum: two sums over pairs of words.
fn add(big_endian: bool, (mut one, mut two): Checksum, bytes: &[u8]) -> Checksum {
    let word = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    let (words, _) = bytes.as_chunks::<4>();
    let (pairs, _) = words.as_chunks::<2>();
    for [first, second] in pairs {
        one = one.wrapping_add(word(*first)).wrapping_add(two);
        two = two.wrapping_add(word(*second)).wrapping_add(one);
    }
    (one, two)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    const SLOT: usize = FRAME_HEADER + 4096;

    /// Some transactions of one to several frames, on top of the frames of an earlier use, and where each ends.
    fn log(directory: &Path, transactions: usize) -> (Vec<u8>, Vec<usize>) {
        let connection = Connection::open(directory.join("t.sqlite")).unwrap();
        let settings = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
            CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB);";
        connection.execute_batch(settings).unwrap();
        let write = |number: i64| {
            let statement = "INSERT INTO t VALUES (?1, randomblob(?2))";
            connection.execute(statement, (number, number % 4 * 5_000)).unwrap();
        };
        let transactions = i64::try_from(transactions).unwrap();
        (0..30).for_each(write);
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        (30..30 + transactions).for_each(write);
        let bytes = std::fs::read(directory.join("t.sqlite-wal")).unwrap();
        let salts = bytes[16..24].to_vec();
        let mut ends = Vec::new();
        for (place, frame) in bytes[HEADER..].chunks_exact(SLOT).enumerate() {
            if frame[8..16] != salts {
                break;
            }
            if frame[4..8] != [0; 4] {
                ends.push(HEADER + (place + 1) * SLOT);
            }
        }
        assert_eq!(i64::try_from(ends.len()).unwrap(), transactions);
        assert!(ends.last().unwrap() < &bytes.len(), "nothing of the earlier use is left");
        (bytes, ends)
    }

    fn damaged(bytes: &[u8]) -> Option<String> {
        damage(&mut &*bytes).unwrap()
    }

    #[test]
    fn a_log_that_is_whole_empty_or_cut_off_is_not_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let (bytes, ends) = log(directory.path(), 6);
        for length in [0, 1, 31, 32, 33, 100, ends[2], ends[2] + 1, ends[2] + SLOT + 7, bytes.len() - 1, bytes.len()] {
            assert_eq!(damaged(&bytes[..length]), None, "{length}");
        }
        // Space that the file system has given, and not written.
        assert_eq!(damaged(&[&bytes[..ends[5]], &vec![0; 3 * SLOT][..]].concat()), None);
        assert_eq!(damaged(&[0; HEADER]), None);
    }

    #[test]
    fn a_damaged_header_with_something_behind_it_is_damage() {
        let directory = tempfile::tempdir().unwrap();
        let (bytes, _) = log(directory.path(), 2);
        for place in 0..HEADER {
            let mut bytes = bytes.clone();
            bytes[place] ^= 4;
            assert!(damaged(&bytes).is_some(), "{place}");
            assert_eq!(damaged(&bytes[..HEADER]), None, "{place}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// But for the last two transactions, of which the mark tells.
        #[test]
        fn a_changed_byte_with_commits_behind_it_is_damage(places in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 16)) {
            let directory = tempfile::tempdir().unwrap();
            let (bytes, ends) = log(directory.path(), 9);
            for (place, change) in places {
                let mut changed = bytes.clone();
                let place = place.index(ends[6]);
                changed[place] ^= change;
                prop_assert!(damaged(&changed).is_some(), "byte {place}");
            }
        }

        /// What was being written when the power went may be there in any part: sector by sector, new or as it was before.
        #[test]
        fn rest_of_an_unfinished_transaction_is_no_damage(
            under_way in 0..9_usize,
            kept in prop::collection::vec(any::<bool>(), 64),
            zeroed in any::<bool>(),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let (new, ends) = log(directory.path(), 9);
            // As it was before: the frames of the earlier use, or nothing.
            let before_directory = tempfile::tempdir().unwrap();
            let (before, _) = log(before_directory.path(), 9);
            let synced = if under_way == 0 { HEADER } else { ends[under_way - 1] };
            let mut image = new[..synced].to_vec();
            for place in synced..new.len() {
                let is_new = place < ends[under_way] && kept[(place / 512) % kept.len()];
                image.push(if is_new { new[place] } else if zeroed { 0 } else { before[place % before.len()] });
            }
            prop_assert_eq!(damaged(&image), None);
        }
    }
}
