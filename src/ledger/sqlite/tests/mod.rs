//! The ledger in a file: what is there after a restart, and refusals that change nothing.

mod campaign;
mod damage;
mod hanging;
mod new_ids;
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

/// What format 3 was: no outcome in the labels of languages. Additions that are not in the table yet go by the labels.
#[test]
fn languages_of_format_3_go_on_under_an_unknown_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let (ledger, _) = open(&config).unwrap();
    let mut spoken = Facts::clone(&facts("before", Some(1), Some("Refund")));
    spoken.outcome.as_mut().unwrap().language = Some("en".into());
    commit(&ledger, vec![session(&Arc::new(spoken.clone())), Change::LookBackDone]);
    drop(ledger);
    let former = r#"agent_id="A",language="en""#;
    {
        let (connection, checksums) = schema::open(directory.path()).unwrap();
        connection.execute_batch("BEGIN").unwrap();
        let relabel = "UPDATE series SET labels = ?1,
                hash = row_changed('series', hash, family, ?1, layout, created, cells, held) WHERE family = 4";
        assert_eq!(connection.execute(relabel, [former]).unwrap(), 1);
        // One more, counted and not yet in the table.
        let mut row = super::totals::name(4, former).to_vec();
        row.extend([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        let add = "INSERT INTO additions VALUES (1, ?1, row_added('additions', 1, ?1))";
        connection.execute(add, [row]).unwrap();
        for table in ["contacts", "contact_places", "new_ids"] {
            connection.execute_batch(&format!("DROP TABLE {table}")).unwrap();
            checksums.table_dropped(&connection, table).unwrap();
        }
        checksums.write(&connection).unwrap();
        connection.execute_batch("PRAGMA user_version = 3; COMMIT").unwrap();
    }
    let (ledger, opened) = open(&config).unwrap();
    let counted = crate::ledger::tests::totals(&opened.series);
    let unknown = format!("agntix_session_languages_total{{{former},resolution=\"unknown\",sentiment=\"unknown\"}}");
    assert_eq!(counted[&unknown], [2]);
    spoken.id = "after".into();
    commit(&ledger, vec![session(&Arc::new(spoken))]);
    drop(ledger);
    let counted = self::totals(&config);
    let known = format!("agntix_session_languages_total{{{former},resolution=\"resolved\",sentiment=\"positive\"}}");
    assert_eq!((&counted[&unknown][..], &counted[&known][..]), (&[2][..], &[1][..]));
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
    // Of older days, those that keep their date. The days that were made just now are two. The last to be counted are known
    // under any date, until they are in the tables of their days.
    drop(ledger);
    let (ledger, _) = open(&config).unwrap();
    let again = |id: String, created: Timestamp| commit(&ledger, vec![dated(&id, created)]).remove(0);
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
    let mut statements = vec![
        "DROP TABLE additions; DROP TABLE checksums; DROP TABLE contacts; DROP TABLE contact_places;
             DROP TABLE new_ids;"
            .to_owned(),
    ];
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
