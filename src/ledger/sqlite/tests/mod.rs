//! The ledger in a file: what is there after a restart, and refusals that change nothing.

mod campaign;
mod hanging;
mod room;
mod state_files;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::catalogue::Family;
use crate::config::Config;
use crate::ledger::tests::{at, facts, session};
use crate::ledger::*;
use crate::session::{Ended, Facts, Parts};

pub(super) fn configuration(directory: &Path) -> Config {
    let mut config = Config::default();
    config.state.path = directory.into();
    config
}

pub(super) fn open(config: &Config) -> Result<(SqliteLedger, Opened), LedgerError> {
    SqliteLedger::open(LedgerConfig::from(config), Box::new(|_| {}))
}

pub(super) fn commit(ledger: &SqliteLedger, changes: Vec<Change>) -> Vec<CommitOutcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ledger.commit(changes)).unwrap()
}

/// Every series that has counted something, as text, after a restart.
pub(super) fn totals(config: &Config) -> BTreeMap<String, Vec<u64>> {
    crate::ledger::tests::totals(&open(config).unwrap().1.series)
}

#[test]
fn replayed_analyses_are_reclassified_once_over_restarts_and_moves() {
    let version = |intent: &str, updated: i64| {
        let facts = facts("s", Some(1), Some(intent));
        session(&Arc::new(Facts { updated: Some(at(updated)), ..Facts::clone(&facts) }))
    };
    let (first, second) = (version("Refund", 5_000), version("Complaint", 60_000));
    let directory = tempfile::tempdir().unwrap();
    let mut config = configuration(directory.path());
    for round in 0..4 {
        let (ledger, _) = open(&config).unwrap();
        for _ in 0..5 {
            commit(&ledger, vec![first.clone(), second.clone(), first.clone()]);
        }
        drop(ledger);
        assert_eq!(totals(&config)[r#"agntix_session_reclassifications_total{agent_id="A",part="intent"}"#], [1]);
        if round == 1 {
            let mut lines = Vec::new();
            upkeep::export(&config.state.path, &mut lines, &mut |_| {}).unwrap();
            config.state.path = directory.path().join("moved");
            upkeep::import(&config, &mut lines.as_slice(), &mut |_| {}).unwrap();
        }
    }
}

#[test]
fn agent_parts_are_learned_when_a_session_is_counted_and_survive_restart_and_move() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = configuration(directory.path());
    let (ledger, opened) = open(&config).unwrap();
    commit(&ledger, vec![session(&facts("waits", Some(1), None))]);
    assert_eq!(opened.agents.of("A"), None);
    let carried = Parts::RESOLUTION.or(Parts::INTENT);
    let whole = Facts { parts: carried, ..Facts::clone(&facts("s", Some(1), Some("Refund"))) };
    commit(&ledger, vec![session(&Arc::new(whole))]);
    assert_eq!((opened.agents.of("A"), opened.agents.of("B")), (Some(carried), None));
    drop((ledger, opened));

    let (ledger, opened) = open(&config).unwrap();
    assert_eq!(opened.agents.of("A"), Some(carried));
    drop((ledger, opened));
    let mut lines = Vec::new();
    upkeep::export(&config.state.path, &mut lines, &mut |_| {}).unwrap();
    config.state.path = directory.path().join("moved");
    upkeep::import(&config, &mut lines.as_slice(), &mut |_| {}).unwrap();
    assert_eq!(open(&config).unwrap().1.agents.of("A"), Some(carried));
}

#[test]
fn counted_id_is_recognised_under_any_creation_date() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = configuration(directory.path());
    config.sessions.retention = Duration::from_secs(200 * 86_400);
    let day = Duration::from_secs(86_400);
    let dated = |id: &str, created: Timestamp| {
        let mut facts = Facts::clone(&facts(id, Some(0), Some("x")));
        facts.created = created;
        facts.ended = Some(Ended { at: created, duration_ms: Some(0) });
        Change::Session { facts: Arc::new(facts), source: Source::Listing, now: at(0) }
    };
    let (ledger, _) = open(&config).unwrap();
    commit(&ledger, vec![Change::FirstStart(at(0))]);
    let ancient = at(0).minus(day * 400);
    // So many days that the oldest are beyond the bound.
    for days in 0..100 {
        commit(&ledger, vec![dated(&format!("d{days}"), at(0).minus(day * days))]);
    }
    commit(&ledger, vec![dated("ancient", ancient)]);
    let newest = u32::try_from(counted::MOST_OTHER_DAYS).unwrap();
    let again = |id: String, created: Timestamp| commit(&ledger, vec![dated(&id, created)]).remove(0);
    for days in 0..newest {
        for other in [at(0), at(0).minus(day * 99), at(0).minus(day * 150), ancient, at(0).plus(day)] {
            assert_eq!(again(format!("d{days}"), other), CommitOutcome::AlreadyCounted, "{days} days old");
        }
    }
    for other in [at(0), at(0).minus(day * 99)] {
        assert_eq!(again("ancient".into(), other), CommitOutcome::AlreadyCounted);
    }
    // Of older days, those that keep their date. The days that were made just now are two.
    assert_eq!(again("d99".into(), at(0).minus(day * 99)), CommitOutcome::AlreadyCounted);
    assert!(matches!(again("d99".into(), at(0)), CommitOutcome::Counted { .. }));
    drop(ledger);
}

#[test]
fn buckets_that_change_keep_what_was_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = configuration(directory.path());
    let (ledger, _) = open(&config).unwrap();
    commit(&ledger, vec![session(&facts("s", Some(10_000), Some("x")))]);
    drop(ledger);
    config.metrics.duration_buckets = vec![12.0, 60.0];
    let totals = totals(&config);
    let (_, counts) = totals.iter().find(|(key, _)| key.starts_with("agntix_session_duration_seconds")).unwrap();
    // It had been counted as at most 15 s: 12 cannot promise that, 60 can.
    assert_eq!(counts, &[0, 1, 0, 10_000]);
}

#[test]
fn a_store_that_is_locked_newer_foreign_or_damaged_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let file = directory.path().join("ledger.sqlite");
    let (ledger, _) = open(&config).unwrap();
    assert!(matches!(open(&config), Err(LedgerError::Locked { .. })));
    drop(ledger);

    let foreign = |statement: &str| {
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.execute_batch(statement).unwrap();
    };
    foreign("PRAGMA user_version = 99");
    assert!(matches!(open(&config), Err(LedgerError::Newer { found: 99, .. })));
    foreign("PRAGMA user_version = 1; PRAGMA application_id = 7");
    assert!(matches!(open(&config), Err(LedgerError::Damaged { .. })));

    std::fs::write(&file, b"this is not a database, but it is somebody's only copy of something").unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = open(&config).err().unwrap();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = open(&configuration(&file.join("below"))).err().unwrap();
    assert!(matches!(&error, LedgerError::Directory { .. }) && error.to_string().contains("state.path"), "{error}");
}

/// Additions are brought into the table of the series only now and then; whenever it is opened, nothing is missing.
#[test]
fn totals_are_complete_after_any_number_of_commits() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let (mut ledger, _) = open(&config).unwrap();
    commit(&ledger, vec![Change::FirstStart(at(-1_000)), Change::LookBackDone]);
    let mut counted = 0;
    for commits in [1, 255, 1, 256, 257, 300] {
        for _ in 0..commits {
            counted += 1;
            commit(&ledger, vec![session(&facts(&counted.to_string(), Some(counted), Some("Refund")))]);
        }
        drop(ledger);
        let opened;
        (ledger, opened) = open(&config).unwrap();
        let of =
            |family| opened.series.iter().find(|s| s.key.family == family && s.counts.iter().any(|bucket| *bucket > 0));
        let counted = u64::try_from(counted).unwrap();
        assert_eq!(of(Family::SessionsEnded).unwrap().counts[..], [counted]);
        assert_eq!(of(Family::Outcomes).unwrap().counts[..], [counted]);
        assert_eq!(of(Family::Duration).unwrap().counts.last(), Some(&(counted * (counted + 1) / 2)));
        assert_eq!(of(Family::SentimentPositive).unwrap().counts[..], [counted * 300_000]);
    }
    let held = ledger_series(&config, ledger).into_iter().filter(|series| series.held_counts.is_some()).map(|s| s.key);
    let held: Vec<SeriesKey> = held.collect();
    assert!(!held.is_empty());
    let (ledger, _) = open(&config).unwrap();
    // To a series whose additions are not in the table yet, and before the next ones.
    commit(&ledger, vec![session(&facts("last but one", Some(1), Some("Refund")))]);
    commit(&ledger, vec![Change::Release(held.into()), session(&facts("last", Some(1), Some("Refund")))]);
    assert!(ledger_series(&config, ledger).iter().all(|series| series.held_counts.is_none()));
}

/// The series after a restart.
fn ledger_series(config: &Config, ledger: SqliteLedger) -> Vec<SeriesState> {
    drop(ledger);
    open(config).unwrap().1.series
}

/// Takes a state back to the tables of format 1.
fn without_hashes() -> String {
    let mut statements = vec!["DROP TABLE additions; DROP TABLE checksums;".to_owned()];
    for (table, columns) in [
        ("meta", "key TEXT PRIMARY KEY, value INTEGER NOT NULL"),
        (
            "pending",
            "id TEXT PRIMARY KEY, created INTEGER, stage INTEGER NOT NULL, ended INTEGER, channel TEXT,
             heard INTEGER NOT NULL, source INTEGER NOT NULL",
        ),
        (
            "series",
            "family INTEGER NOT NULL, labels TEXT NOT NULL, layout TEXT NOT NULL, created INTEGER NOT NULL,
             cells BLOB NOT NULL, held BLOB, PRIMARY KEY (family, labels)",
        ),
        ("layouts", "name TEXT PRIMARY KEY, bounds TEXT NOT NULL"),
        (
            "admitted",
            "label TEXT NOT NULL, agent TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (label, agent, value)",
        ),
        ("leases", "granted INTEGER NOT NULL, count INTEGER NOT NULL, per_window INTEGER NOT NULL"),
    ] {
        let names: Vec<&str> = columns
            .split_once(", PRIMARY KEY (")
            .map_or(columns, |(columns, _)| columns)
            .split(',')
            .filter_map(|column| column.split_whitespace().next())
            .collect();
        let (names, without_rowid) = (names.join(", "), if table == "leases" { "" } else { " WITHOUT ROWID," });
        statements.push(format!(
            "ALTER TABLE {table} RENAME TO later; CREATE TABLE {table} ({columns}){without_rowid} STRICT;
             INSERT INTO {table} SELECT {names} FROM later; DROP TABLE later;"
        ));
    }
    statements.concat()
}

#[test]
fn a_state_of_format_1_is_carried_over() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let (ledger, _) = open(&config).unwrap();
    commit(&ledger, vec![session(&facts("s", Some(5_000), Some("Refund")))]);
    drop(ledger);
    let before = totals(&config);
    let connection = rusqlite::Connection::open(directory.path().join("ledger.sqlite")).unwrap();
    connection.execute_batch(&format!("{}PRAGMA user_version = 1", without_hashes())).unwrap();
    drop(connection);
    assert_eq!(totals(&config), before);
    let (ledger, _) = open(&config).unwrap();
    commit(&ledger, vec![Change::LookBackDone, session(&facts("t", Some(5_000), Some("Refund")))]);
    drop(ledger);
    assert_eq!(totals(&config).len(), before.len());
    let ended = |totals: &BTreeMap<String, Vec<u64>>| {
        totals.iter().find(|(name, _)| name.starts_with("agntix_sessions_ended_total")).map(|(_, counts)| counts[0])
    };
    assert_eq!((ended(&before), ended(&totals(&config))), (Some(1), Some(2)));
}

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
