//! Ids that are counted are known at once, after a crash at any moment, and whatever part of them is in the tables of their
//! days already.

use std::path::Path;

use super::super::*;
use super::{commit, configuration, open, totals};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::ledger::tests::{at, facts, session};
use crate::ledger::*;
use crate::session::{Ended, Facts};

const DAY_MS: i64 = 86_400_000;

/// The session of that number; every third is of the day before. `version` counts its analyses.
fn numbered(number: i64, version: i64) -> Change {
    let intent = if version % 2 == 0 { "Refund" } else { "Complaint" };
    let mut facts = Facts::clone(&facts(&number.to_string(), Some(0), Some(intent)));
    facts.created = if number % 3 == 0 { at(-DAY_MS) } else { at(0) };
    facts.updated = Some(at(1_000 * (version + 1)));
    facts.ended = Some(Ended { at: facts.created, duration_ms: Some(1) });
    session(&std::sync::Arc::new(facts))
}

/// Starts on a copy of the files that a daemon has open, as after a kill at this moment.
fn after_kill(of: &Config) -> (tempfile::TempDir, Config) {
    let directory = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&of.state.path).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    let config = configuration(directory.path());
    (directory, config)
}

fn count(config: &Config, name: &str) -> u64 {
    totals(config).iter().filter(|(key, _)| key.starts_with(name)).map(|(_, counts)| counts[0]).sum()
}

fn ids(directory: &Path) -> u64 {
    let found = upkeep::verify(directory).unwrap();
    assert_eq!(found.damage, Vec::<String>::new());
    found.ids
}

#[test]
fn ids_and_their_latest_analysis_are_known_after_a_kill_at_any_commit() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let (ledger, _) = open(&config).unwrap();
    commit(&ledger, vec![Change::FirstStart(at(-9 * DAY_MS)), Change::LookBackDone]);
    for number in 0..130 {
        let counted = commit(&ledger, vec![numbered(number, 0)]);
        assert!(matches!(counted[..], [CommitOutcome::Counted { .. }]), "{number}");
        // One that was counted a while ago: it is in memory, on its way, or in its table.
        let earlier = number - 37 * (number % 2) - 1;
        if earlier >= 0 {
            commit(&ledger, vec![numbered(earlier, number + 1)]);
        }
        if number % 7 != 0 {
            continue;
        }
        let (copy, killed) = after_kill(&config);
        assert_eq!(ids(copy.path()), u64::try_from(number).unwrap() + 1, "{number}");
        let before = count(&killed, "agntix_session_reclassifications_total");
        let (again, _) = open(&killed).unwrap();
        let known = (0..=number).flat_map(|known| [numbered(known, 0), numbered(known, 0)]);
        assert!(commit(&again, known.collect()).iter().all(|outcome| *outcome == CommitOutcome::AlreadyCounted));
        drop(again);
        // An earlier analysis is recognised as such, so that the latest one was remembered.
        assert_eq!(count(&killed, "agntix_session_reclassifications_total"), before, "{number}");
        assert_eq!(count(&killed, "agntix_sessions_ended_total"), u64::try_from(number).unwrap() + 1);
        assert_eq!(ids(copy.path()), u64::try_from(number).unwrap() + 1);
    }
    drop(ledger);
    assert!(count(&config, "agntix_session_reclassifications_total") > 60);
}

#[test]
fn ids_that_are_on_their_way_are_kept_for_good_forgotten_and_written_out_like_others() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let (ledger, _) = open(&config).unwrap();
    for number in 0..60 {
        commit(&ledger, vec![numbered(number, 0)]);
    }
    // All that was counted so far is older than the retention, and remembered for good.
    let much_later = Timestamp::from_millis(at(0).as_millis() + 400 * DAY_MS);
    commit(&ledger, vec![Change::FirstStart(much_later)]);
    let again = commit(&ledger, (0..60).map(|number| numbered(number, 0)).collect());
    assert!(again.iter().all(|outcome| *outcome == CommitOutcome::AlreadyCounted), "{again:?}");
    drop(ledger);
    assert_eq!(ids(directory.path()), 60);

    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let (ledger, _) = open(&config).unwrap();
    for number in 0..60 {
        commit(&ledger, vec![numbered(number, 0)]);
    }
    let (copy, killed) = after_kill(&config);
    drop(ledger);
    let mut salvaged = Vec::new();
    let salvage = upkeep::salvage(copy.path(), &mut salvaged, &mut |_| ()).unwrap();
    assert_eq!(salvage.left_out, Vec::<String>::new());
    let place = tempfile::tempdir().unwrap();
    let imported = configuration(place.path());
    upkeep::import(&imported, &mut salvaged.as_slice(), &mut |_| ()).unwrap();
    let forgotten = upkeep::forget(copy.path(), "59", true).unwrap();
    assert!(forgotten.counted && !forgotten.keeps_hash);
    assert_eq!((ids(place.path()), ids(copy.path())), (60, 59));
    let (ledger, _) = open(&killed).unwrap();
    assert!(matches!(commit(&ledger, vec![numbered(59, 0)])[..], [CommitOutcome::Counted { .. }]));
    assert_eq!(commit(&ledger, vec![numbered(58, 0)]), [CommitOutcome::AlreadyCounted]);
}

/// A row that is damaged is damage like any other, and what is sound is kept.
#[test]
fn damaged_row_of_ids_is_refused_and_the_others_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let (ledger, _) = open(&config).unwrap();
    for number in 0..9 {
        commit(&ledger, vec![numbered(number, 0)]);
    }
    drop(ledger);
    let connection = rusqlite::Connection::open(directory.path().join("ledger.sqlite")).unwrap();
    assert_eq!(connection.execute("UPDATE new_ids SET ids = zeroblob(32) WHERE number = 4", []).unwrap(), 1);
    drop(connection);
    let error = open(&config).err().unwrap().to_string();
    assert!(error.contains("a row of new_ids"), "{error}");
    let mut salvaged = Vec::new();
    let salvage = upkeep::salvage(directory.path(), &mut salvaged, &mut |_| ()).unwrap();
    assert!(salvage.left_out.join(";").contains("1 of 9 rows of new_ids"), "{:?}", salvage.left_out);
    let place = tempfile::tempdir().unwrap();
    upkeep::import(&configuration(place.path()), &mut salvaged.as_slice(), &mut |_| ()).unwrap();
    assert_eq!(ids(place.path()), 8);
}

/// What format 4 was: without this table.
#[test]
fn state_of_format_4_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let (ledger, _) = open(&config).unwrap();
    commit(&ledger, vec![numbered(1, 0), Change::LookBackDone]);
    drop(ledger);
    {
        // Brings the id into its table.
        drop(upkeep::inspect(directory.path()).unwrap());
        let (connection, checksums) = schema::open(directory.path()).unwrap();
        connection.execute_batch("BEGIN; DROP TABLE new_ids").unwrap();
        checksums.table_dropped(&connection, "new_ids").unwrap();
        checksums.write(&connection).unwrap();
        connection.execute_batch("PRAGMA user_version = 4; COMMIT").unwrap();
    }
    assert_eq!(upkeep::glance(directory.path()).unwrap().unwrap().format, Some(4));
    let (ledger, _) = open(&config).unwrap();
    let outcomes = commit(&ledger, vec![numbered(1, 0), numbered(2, 0)]);
    assert!(matches!(outcomes[..], [CommitOutcome::AlreadyCounted, CommitOutcome::Counted { .. }]));
    drop(ledger);
    assert_eq!(ids(directory.path()), 2);
}
