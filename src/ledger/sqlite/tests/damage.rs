//! A file that is not as it was written is refused, and says what is damaged.

use std::time::Duration;

use super::super::*;
use super::{commit, configuration, open, totals};
use crate::config::Config;
use crate::ledger::tests::{at, facts, session};
use crate::ledger::*;

/// Starts a ledger on what `statement` has made of the file.
fn opened_after(config: &Config, statement: &str) -> Result<(SqliteLedger, Opened), LedgerError> {
    let connection = rusqlite::Connection::open(config.state.path.join("ledger.sqlite")).unwrap();
    connection.execute_batch(statement).unwrap();
    drop(connection);
    open(config)
}

#[test]
fn a_row_that_is_not_as_it_was_written_is_damage_and_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let (ledger, _) = open(&config).unwrap();
    let lease = Change::Lease(Lease { granted: at(0), count: 7, per_window: 100 });
    commit(&ledger, vec![Change::FirstStart(at(-1_000)), Change::LookBackDone, lease]);
    commit(&ledger, vec![session(&facts("open", None, None)), session(&facts("s", Some(5_000), Some("Refund")))]);
    drop(ledger);
    let good = std::fs::read(directory.path().join("ledger.sqlite")).unwrap();
    for (statement, says) in [
        ("UPDATE meta SET value = value + 1 WHERE key = 'first_start'", "a row of meta"),
        ("UPDATE pending SET stage = 0", "a row of pending"),
        ("DELETE FROM pending", "pending has 0 rows, and 1 were written"),
        ("UPDATE series SET held = NULL", "rows of series"),
        ("DELETE FROM series WHERE family = 0", "series has"),
        ("DELETE FROM layouts WHERE name = 'duration'", "layouts has"),
        ("UPDATE admitted SET value = 'b' WHERE label = 'agent_id'", "a row of admitted"),
        ("UPDATE leases SET count = 1", "a row of leases"),
        ("DELETE FROM leases", "leases has 0 rows"),
        ("INSERT INTO additions VALUES (1, x'00', 7)", "a row of additions"),
        ("UPDATE checksums SET rows = rows + 1 WHERE name = 'meta'", "the checksum of meta"),
        ("DROP TABLE additions", "the table additions is missing"),
        ("ALTER TABLE pending RENAME COLUMN ended TO ender", "its tables"),
        ("PRAGMA user_version = 2", "has the tables of a later one"),
    ] {
        let error = opened_after(&config, statement).err().unwrap_or_else(|| panic!("{statement} went unseen"));
        assert!(matches!(error, LedgerError::Damaged { .. }), "{statement}: {error}");
        assert!(error.to_string().contains(says), "{statement}: {error}");
        std::fs::write(directory.path().join("ledger.sqlite"), &good).unwrap();
    }
    let (_ledger, opened) = open(&config).unwrap();
    assert_eq!(opened.pending.len(), 1);
}

type Files = Vec<(std::path::PathBuf, Vec<u8>)>;

/// A state as a kill leaves it: its files, with some commits in the log.
fn killed(config: &Config) -> Files {
    let (ledger, _) = open(config).unwrap();
    for number in 0..5 {
        commit(&ledger, vec![session(&facts(&format!("{number}"), Some(5_000), Some("Refund")))]);
    }
    let files = ["ledger.sqlite", "ledger.sqlite-wal", "ledger.commits"];
    let files = files.map(|file| config.state.path.join(file));
    files.into_iter().map(|file| (file.clone(), std::fs::read(file).unwrap())).collect()
}

#[test]
fn log_that_lost_acknowledged_commits_is_refused_and_an_unfinished_commit_is_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let files = killed(&config);
    let again = |change: &dyn Fn(&mut Files)| {
        let mut files = files.clone();
        change(&mut files);
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (file, bytes) in &files {
            std::fs::write(file, bytes).unwrap();
        }
        let opened = open(&config).map(|(_, opened)| opened);
        let log = files.iter().find(|(file, _)| file.ends_with("ledger.sqlite-wal"));
        if let (Err(_), Some((file, bytes))) = (&opened, log.filter(|(_, bytes)| !bytes.is_empty())) {
            assert!(std::fs::read(file).unwrap() == *bytes, "what was refused is not as it was");
        }
        opened
    };
    let refused = |change: &dyn Fn(&mut Files)| {
        let error = again(change).unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
        error.to_string()
    };
    let whole = again(&|_| ()).unwrap();
    assert!(refused(&|files| assert!(files[1].1.pop().is_some())).contains("1 of its commits that were acknowledged"));
    assert!(refused(&|files| *files[1].1.last_mut().unwrap() ^= 1).contains("1 of its commits"));
    assert!(refused(&|files| drop(files.remove(1))).contains("acknowledged"));
    assert!(refused(&|files| files[1].1.clear()).contains("acknowledged"));
    assert!(refused(&|files| files[1].1[100] ^= 1).contains("damaged at frame 1"));
    assert!(refused(&|files| files[1].1[17] ^= 1).contains("the header of its log"));
    // A commit that was under way and was never acknowledged.
    let more = again(&|files| files[1].1.extend_from_slice(&[7; 5_000])).unwrap();
    assert_eq!(more.series, whole.series);
    // Without the commit mark, the last commit looks like one that was under way.
    let less = again(&|files| {
        files[1].1.pop();
        files.remove(2);
    });
    assert!(less.unwrap().series != whole.series);
    assert_eq!(again(&|files| files[2].1[30] ^= 1).unwrap().series, whole.series);
}

#[test]
fn older_copy_of_the_state_is_refused_until_its_commit_mark_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let (ledger, _) = open(&config).unwrap();
    commit(&ledger, vec![session(&facts("a", Some(5_000), Some("Refund")))]);
    drop(ledger);
    let file = directory.path().join("ledger.sqlite");
    let older = std::fs::read(&file).unwrap();
    let (ledger, _) = open(&config).unwrap();
    commit(&ledger, vec![session(&facts("b", Some(5_000), Some("Refund")))]);
    drop(ledger);
    std::fs::write(&file, &older).unwrap();
    let error = open(&config).err().unwrap().to_string();
    assert!(error.contains("an older copy was put in its place") && error.contains("remove ledger.commits"), "{error}");
    assert!(std::fs::read(&file).unwrap() == older);
    std::fs::remove_file(directory.path().join("ledger.commits")).unwrap();
    let (ledger, _) = open(&config).unwrap();
    let outcomes = commit(&ledger, vec![session(&facts("b", Some(5_000), Some("Refund")))]);
    assert!(matches!(outcomes[..], [CommitOutcome::Counted { .. }]));
}

/// They are checked before they are looked up, and without a look-up soon after the start.
#[test]
fn damaged_day_of_ids_stops_counting_and_counts_nothing_twice() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let (ledger, _) = open(&config).unwrap();
    let known = session(&facts("s", Some(5_000), Some("Refund")));
    commit(&ledger, vec![Change::FirstStart(at(-1_000)), Change::LookBackDone, known.clone()]);
    drop(ledger);
    let before = totals(&config);
    let day = at(0).day();
    let damage = format!("UPDATE counted_{day} SET id = x'00112233445566778899aabbccddeeff'");
    let (ledger, _) = opened_after(&config, &damage).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..2 {
        let error = runtime.block_on(ledger.commit(vec![known.clone()])).unwrap_err();
        assert!(matches!(&*error, LedgerError::Damaged { detail, .. } if detail.contains("counted_")), "{error}");
        // Nor is anything else counted on top of it.
        let error = runtime.block_on(ledger.commit(vec![Change::Watermark(at(9))])).unwrap_err();
        assert!(matches!(&*error, LedgerError::Damaged { .. }), "{error}");
    }
    drop(ledger);
    assert_eq!(totals(&config), before);

    let (reporting, reports) = std::sync::mpsc::channel();
    let observer = Box::new(move |result: Result<Committed, &LedgerError>| {
        let _ = reporting.send(result.map(drop).map_err(ToString::to_string));
    });
    let (_ledger, _) = SqliteLedger::open(LedgerConfig::from(&config), observer).unwrap();
    let report = reports.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(report.is_err_and(|error| error.contains(&format!("counted_{day}"))));
}
