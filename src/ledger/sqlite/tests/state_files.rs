//! The file of a state: what is refused when it is opened, and what becomes of commits while it is not at its path.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::super::*;
use super::{commit, configuration, open, totals};
use crate::config::Config;
use crate::ledger::tests::{facts, session};
use crate::ledger::*;

fn file(config: &Config) -> PathBuf {
    config.state.path.join("ledger.sqlite")
}

fn log(config: &Config) -> PathBuf {
    config.state.path.join("ledger.sqlite-wal")
}

/// A state with a few counted sessions, closed.
fn counted(directory: &Path) -> Config {
    let config = configuration(directory);
    let (ledger, opened) = open(&config).unwrap();
    assert!(opened.begun);
    commit(&ledger, vec![Change::LookBackDone]);
    for n in 0..20 {
        commit(&ledger, vec![session(&facts(&n.to_string(), Some(n), Some("Refund")))]);
    }
    drop(ledger);
    config
}

fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let mut files: Vec<_> =
        entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn incomplete_state_is_refused_and_left_unchanged() {
    let whole = tempfile::tempdir().unwrap();
    let config = counted(whole.path());
    let bytes = std::fs::read(file(&config)).unwrap();
    // As it is while a daemon runs: most of it is in its log.
    let running = tempfile::tempdir().unwrap();
    let running_config = configuration(running.path());
    let (ledger, _) = open(&running_config).unwrap();
    commit(&ledger, vec![session(&facts("s", Some(1), Some("Refund")))]);
    let wal = std::fs::read(log(&running_config)).unwrap();
    drop(ledger);
    assert!(!wal.is_empty());

    let sql = |statement: &str| {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("made.sqlite");
        rusqlite::Connection::open(&path).unwrap().execute_batch(statement).unwrap();
        std::fs::read(path).unwrap()
    };
    let without_table = |table: &str| {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("made.sqlite");
        std::fs::write(&path, &bytes).unwrap();
        rusqlite::Connection::open(&path).unwrap().execute_batch(&format!("DROP TABLE {table}; VACUUM")).unwrap();
        std::fs::read(path).unwrap()
    };
    let header_only = sql("PRAGMA application_id = 1097299064; PRAGMA user_version = 2; VACUUM");
    let cases = [
        ("empty", Some(Vec::new()), None),
        ("empty, with its log", Some(Vec::new()), Some(wal.clone())),
        ("a log without its file", None, Some(wal.clone())),
        ("an empty log without its file", None, Some(Vec::new())),
        ("a header alone", Some(bytes[..100].to_vec()), None),
        ("a page alone", Some(bytes[..4096].to_vec()), None),
        ("without its last page", Some(bytes[..bytes.len() - 4096].to_vec()), None),
        ("without its last byte", Some(bytes[..bytes.len() - 1].to_vec()), None),
        ("zeros", Some(vec![0; bytes.len()]), None),
        ("without tables", Some(header_only), None),
        ("without the table of the series", Some(without_table("series")), None),
        ("without the table of the old sessions", Some(without_table("counted_old")), None),
    ];
    for (what, state, wal) in cases {
        let place = tempfile::tempdir().unwrap();
        let config = configuration(place.path());
        for (path, bytes) in [(file(&config), &state), (log(&config), &wal)] {
            if let Some(bytes) = bytes {
                std::fs::write(path, bytes).unwrap();
            }
        }
        let before = contents(place.path());
        let error = open(&config).err().unwrap_or_else(|| panic!("{what} was taken for a state"));
        assert!(matches!(error, LedgerError::Damaged { .. }), "{what}: {error}");
        assert!(error.to_string().contains("restore it from a backup"), "{what}: {error}");
        // SQLite makes its log, and a refused file is not tidied up after.
        let mut after = contents(place.path());
        after.retain(|file| before.contains(file) || !(file.0.ends_with("-wal") && file.1.is_empty()));
        assert_eq!(after, before, "{what} was changed");
        let seen = upkeep::glance(place.path());
        let is_seen = matches!(seen, Err(LedgerError::Damaged { .. }));
        assert!(is_seen || wal.as_ref().is_some_and(|wal| !wal.is_empty()), "{what}: {seen:?}");
    }
}

/// What was reported to the observer: `None` for a success.
type Reports = Arc<Mutex<Vec<Option<String>>>>;

fn observed(config: &Config) -> (SqliteLedger, Reports) {
    let reports = Reports::default();
    let reporting = Arc::clone(&reports);
    let observer = Box::new(move |result: Result<Committed, &LedgerError>| {
        reporting.lock().unwrap().push(result.err().map(ToString::to_string));
    });
    (SqliteLedger::open(LedgerConfig::from(config), observer).unwrap().0, reports)
}

fn try_commit(ledger: &SqliteLedger, changes: Vec<Change>) -> Result<Vec<CommitOutcome>, Arc<LedgerError>> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(ledger.commit(changes))
}

fn displaced(ledger: &SqliteLedger, id: &str) -> String {
    match try_commit(ledger, vec![session(&facts(id, Some(1), Some("Refund")))]) {
        Err(error) if matches!(*error, LedgerError::Displaced { .. }) => error.to_string(),
        other => panic!("a state that is not at its path took a commit: {other:?}"),
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60), "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ended(config: &Config) -> u64 {
    totals(config).iter().find(|(name, _)| name.starts_with("agntix_sessions_ended_total")).map_or(0, |(_, v)| v[0])
}

#[test]
fn nothing_is_acknowledged_while_the_directory_is_moved_away_and_all_is_counted_once_afterwards() {
    let place = tempfile::tempdir().unwrap();
    let config = counted(&place.path().join("state"));
    let elsewhere = place.path().join("elsewhere");
    let (ledger, reports) = observed(&config);
    commit(&ledger, vec![session(&facts("a", Some(1), Some("Refund")))]);
    std::fs::rename(&config.state.path, &elsewhere).unwrap();
    assert!(displaced(&ledger, "b").contains("ledger.sqlite was removed or moved"));
    // A second exporter begins anew there, and the first one must not take that for its own.
    let (second, _) = open(&config).unwrap();
    assert!(displaced(&ledger, "b").contains("another ledger.sqlite is in its place"));
    drop(second);
    std::fs::remove_dir_all(&config.state.path).unwrap();
    std::fs::rename(&elsewhere, &config.state.path).unwrap();
    let changes = ["a", "b", "c"].map(|id| session(&facts(id, Some(1), Some("Refund")))).to_vec();
    let outcomes = try_commit(&ledger, changes).unwrap();
    assert_eq!(outcomes[0], CommitOutcome::AlreadyCounted);
    assert_eq!(reports.lock().unwrap().iter().filter(|reports| reports.is_some()).count(), 2, "{reports:?}");
    drop(ledger);
    assert_eq!(ended(&config), 23);
}

/// Also without a commit, and when it is stopped meanwhile.
#[test]
fn missing_directory_is_reported_without_a_commit() {
    let place = tempfile::tempdir().unwrap();
    let config = counted(&place.path().join("state"));
    let elsewhere = configuration(&place.path().join("elsewhere"));
    let (ledger, reports) = observed(&config);
    commit(&ledger, vec![session(&facts("a", Some(1), Some("Refund")))]);
    std::fs::rename(&config.state.path, &elsewhere.state.path).unwrap();
    until("the report to the observer", || reports.lock().unwrap().last().is_some_and(Option::is_some));
    // Somebody puts a copy there, with a log of its own, and then stops the exporter.
    let (other, copy) = (tempfile::tempdir().unwrap(), place.path().join("state"));
    let other_config = counted(other.path());
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(file(&other_config), copy.join("ledger.sqlite")).unwrap();
    std::fs::write(log(&config), "the log of the copy").unwrap();
    drop(ledger);
    assert_eq!(std::fs::read(log(&config)).unwrap(), b"the log of the copy");
    assert_eq!(ended(&elsewhere), 21);
}

#[test]
fn copy_in_place_of_the_file_is_not_written_to_and_not_believed_before_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let config = counted(&place.path().join("state"));
    let backup = place.path().join("backup");
    std::fs::copy(file(&config), &backup).unwrap();
    let (ledger, _) = open(&config).unwrap();
    commit(&ledger, vec![session(&facts("a", Some(1), Some("Refund")))]);
    std::fs::rename(file(&config), place.path().join("moved")).unwrap();
    std::fs::copy(&backup, file(&config)).unwrap();
    for id in ["b", "c"] {
        assert!(displaced(&ledger, id).contains("another ledger.sqlite is in its place"));
    }
    assert_eq!(std::fs::read(file(&config)).unwrap(), std::fs::read(&backup).unwrap());
    std::fs::rename(place.path().join("moved"), file(&config)).unwrap();
    commit(&ledger, vec![session(&facts("b", Some(1), Some("Refund")))]);
    drop(ledger);
    assert_eq!(ended(&config), 22);
}

#[test]
fn copy_over_the_open_file_stops_the_counting() {
    let place = tempfile::tempdir().unwrap();
    let config = counted(&place.path().join("state"));
    let backup = std::fs::read(file(&config)).unwrap();
    let (ledger, reports) = observed(&config);
    commit(&ledger, vec![session(&facts("a", Some(1), Some("Refund")))]);
    std::fs::write(file(&config), backup).unwrap();
    let detects = rustix::fs::statfs(&config.state.path).unwrap().f_type == 0xEF53;
    if detects {
        assert!(displaced(&ledger, "b").contains("another program has written to ledger.sqlite"));
        until("the report to the observer", || reports.lock().unwrap().last().is_some_and(Option::is_some));
    }
}

#[test]
fn log_removed_while_the_exporter_runs_loses_nothing() {
    let place = tempfile::tempdir().unwrap();
    let config = counted(&place.path().join("state"));
    let (ledger, _) = open(&config).unwrap();
    commit(&ledger, vec![session(&facts("a", Some(1), Some("Refund")))]);
    std::fs::remove_file(log(&config)).unwrap();
    assert!(displaced(&ledger, "b").contains("ledger.sqlite-wal was removed"));
    let outcomes = try_commit(&ledger, ["a", "b"].map(|id| session(&facts(id, Some(1), Some("Refund")))).to_vec());
    assert_eq!(outcomes.unwrap()[0], CommitOutcome::AlreadyCounted);
    drop(ledger);
    assert_eq!(ended(&config), 22);
}

#[test]
fn running_exporter_never_begins_a_state_anew() {
    let place = tempfile::tempdir().unwrap();
    let config = counted(&place.path().join("state"));
    let (ledger, _) = open(&config).unwrap();
    std::fs::remove_dir_all(&config.state.path).unwrap();
    for id in ["a", "b"] {
        displaced(&ledger, id);
    }
    assert!(!config.state.path.exists());
    std::fs::create_dir(&config.state.path).unwrap();
    displaced(&ledger, "c");
    assert!(!file(&config).exists());
}
