//! What is done to a state leaves its counts alone, and a state comes back from its lines as it was.

mod transfer;

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::catalogue::Family;
use crate::config::Config;
use crate::ledger::sqlite::{LedgerConfig, SqliteLedger};
use crate::ledger::sqlite::{schema, tables};
use crate::ledger::tests::{at, facts};
use crate::ledger::{Change, CommitOutcome, Lease, Ledger as _, LedgerError, Opened};
use crate::session::{Source, Stage};

fn configuration(directory: &Path) -> Config {
    let mut config = Config::default();
    config.state.path = directory.into();
    config
}

fn open(config: &Config) -> (SqliteLedger, Opened) {
    SqliteLedger::open(LedgerConfig::from(config), Box::new(|_| {})).unwrap()
}

fn commit(config: &Config, changes: Vec<Change>) -> Vec<CommitOutcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(open(config).0.commit(changes)).unwrap()
}

fn session(id: &str, ended: Option<i64>, intent: Option<&str>) -> Change {
    // What has to be escaped must survive the lines as well.
    let mut facts = Arc::unwrap_or_clone(facts(id, ended, intent));
    facts.channel.agent_id = "A \"quoted\"".into();
    Change::Session { facts: Arc::new(facts), source: Source::Listing, now: at(3_600_000) }
}

/// A state with something of everything.
fn filled(directory: &Path) -> Config {
    let config = configuration(directory);
    let heard = Change::Heard { id: "heard".into(), source: Source::Webhook, now: at(1) };
    let lease = Change::Lease(Lease { granted: at(5), count: 7, per_window: 50 });
    let counted = (0..40).map(|n| session(&format!("counted {n}"), Some(5_000), Some("Refund")));
    let changes =
        [Change::FirstStart(at(-1_000)), heard, lease, session("open", None, None), session("ended", Some(9), None)];
    commit(&config, changes.into_iter().chain(counted).collect());
    commit(&config, vec![Change::Watermark(at(50)), Change::OpenListed, Change::LookBackDone]);
    config
}

fn lines(config: &Config) -> String {
    let mut text = Vec::new();
    let count = export(&config.state.path, &mut text, &mut |_| ()).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count() as u64, count);
    text
}

fn import_text(config: &Config, text: &str) -> Result<u64, UpkeepError> {
    import(config, &mut text.as_bytes(), &mut |_| ())
}

/// Edited lines with the checksums that they would have, if they were exported so.
fn sealed(text: &str) -> String {
    let (mut all, mut digest) = (String::new(), ring::digest::Context::new(&ring::digest::SHA256));
    for line in text.split_inclusive('\n') {
        let Some((body, _)) = line.rsplit_once(",\"check\":\"") else {
            all.push_str(line);
            continue;
        };
        let body = match body.rsplit_once(",\"sha256\":\"") {
            Some((end, _)) => {
                format!("{end},\"sha256\":\"{}\"}}}}", crate::ledger::transfer::hexadecimal(digest.clone()))
            }
            None => format!("{body}}}"),
        };
        let check = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
        let check = i64::from_le_bytes(*check.as_ref().first_chunk().unwrap());
        let line = format!("{},\"check\":\"{check:016x}\"}}\n", &body[..body.len() - 1]);
        digest.update(line.as_bytes());
        all.push_str(&line);
    }
    all
}

#[test]
fn a_glance_reads_what_nobody_holds_and_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    assert_eq!(glance(place.path()).unwrap(), None);
    let config = filled(place.path());
    let path = schema::file_in(place.path());
    let before = std::fs::read(&path).unwrap();
    let files = || {
        let names = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let there = files();
    let seen = glance(place.path()).unwrap().unwrap();
    assert_eq!((seen.format, seen.holder, seen.log_bytes), (Some(tables::FORMAT), None, 0));
    let contents = seen.contents.unwrap();
    let inspection = inspect(place.path()).unwrap();
    assert_eq!((contents.agents, &contents.pending), (inspection.remembered.agents, &inspection.remembered.pending));
    let rows = |rows: &mut dyn Iterator<Item = u64>| rows.sum::<u64>();
    assert_eq!(
        rows(&mut contents.series.iter().map(|(_, _, count)| *count)),
        rows(&mut inspection.remembered.series.iter().map(|(_, count)| *count))
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(files(), there, "a file was made beside it");
    assert_eq!(there.into_iter().collect::<Vec<_>>(), ["ledger.commits", "ledger.sqlite"]);

    // As the header of a later version says.
    drop(config);
    let mut newer = before.clone();
    newer[60..64].copy_from_slice(&99_i32.to_be_bytes());
    std::fs::write(&path, newer).unwrap();
    assert!(matches!(glance(place.path()), Err(LedgerError::Newer { found: 99, .. })));
    std::fs::write(&path, &before[..50]).unwrap();
    assert!(matches!(glance(place.path()), Err(LedgerError::Damaged { .. })));
    std::fs::write(&path, [&before[..68], b"none", &before[72..]].concat()).unwrap();
    assert!(matches!(glance(place.path()), Err(LedgerError::Damaged { .. })));
}

#[test]
fn a_whole_check_says_all_that_is_damaged_and_what_is_sound_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let config = filled(directory.path());
    let sound = verify(directory.path()).unwrap();
    assert_eq!((sound.ids, &sound.damage), (40, &Vec::new()));
    let text = lines(&config);
    let whole = salvaged(directory.path());
    assert_eq!(
        (&whole.1, whole.0.replacen(",\"salvaged\":true", "", 1).lines().count()),
        (&Vec::new(), text.lines().count())
    );

    let day = at(0).day();
    let connection = rusqlite::Connection::open(schema::file_in(directory.path())).unwrap();
    let family = Family::SessionsEnded.code();
    connection
        .execute_batch(&format!(
            "UPDATE pending SET heard = 7 WHERE id = 'open'; DELETE FROM leases;
             UPDATE series SET cells = zeroblob(8) WHERE family = {family};
             UPDATE counted_{day} SET parts = 7 WHERE id = (SELECT min(id) FROM counted_{day})"
        ))
        .unwrap();
    drop(connection);
    let found = verify(directory.path()).unwrap().damage.join("; ");
    for table in
        ["a row of pending", "leases has 0 rows, and 1 were written", "series", &format!("rows of counted_{day}")]
    {
        assert!(found.contains(table), "{table} is not in {found}");
    }
    let error = export(directory.path(), &mut Vec::new(), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("--salvage"), "{error}");
    let (kept, left_out) = salvaged(directory.path());
    let left_out = left_out.join("; ");
    for what in [
        "1 of 3 rows of pending",
        "1 of 1 rows of leases",
        "rows of series",
        &format!("counted_{day} is damaged: 40 of 40"),
    ] {
        assert!(left_out.contains(what), "{what} is not in {left_out}");
    }
    let place = tempfile::tempdir().unwrap();
    let other = configuration(place.path());
    import_text(&other, &kept).unwrap();
    assert_eq!(verify(place.path()).unwrap().damage, Vec::<String>::new());
    assert_eq!(
        commit(&other, vec![session("counted 3", Some(5_000), Some("Complaint"))]),
        [CommitOutcome::AlreadyCounted]
    );
    assert_eq!(open(&other).1.pending.len(), 2);
}

#[test]
fn a_glance_finds_what_is_damaged_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = filled(directory.path());
    let path = schema::file_in(directory.path());
    let good = std::fs::read(&path).unwrap();
    let day = at(0).day();
    for (statement, says) in [
        ("UPDATE pending SET heard = 7 WHERE id = 'open'", "a row of pending"),
        ("DELETE FROM leases", "leases has 0 rows"),
        (&*format!("DELETE FROM counted_{day} WHERE id = (SELECT max(id) FROM counted_{day})"), "has 39 rows, and 40"),
    ] {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(statement).unwrap();
        drop(connection);
        let damaged = std::fs::read(&path).unwrap();
        let error = glance(directory.path()).unwrap_err();
        assert!(matches!(&error, LedgerError::Damaged { detail, .. } if detail.contains(says)), "{error}");
        assert!(std::fs::read(&path).unwrap() == damaged);
        std::fs::write(&path, &good).unwrap();
    }
    let mut header = good.clone();
    header[21] ^= 1;
    std::fs::write(&path, header).unwrap();
    assert!(matches!(glance(directory.path()), Err(LedgerError::Damaged { .. })));
    std::fs::write(&path, &good).unwrap();
    drop(config);
    assert!(glance(directory.path()).unwrap().unwrap().contents.is_some());
}

/// What was lately added is in its own table until it is brought into that of the series.
#[test]
fn salvage_keeps_additions_that_are_not_in_the_totals_yet() {
    let directory = tempfile::tempdir().unwrap();
    let config = filled(directory.path());
    let ended = |text: &str| {
        let line = text.lines().find(|line| line.contains("agntix_sessions_ended_total") && line.contains("closed"));
        line.unwrap().split("\"cells\":[").nth(1).unwrap().split(']').next().unwrap().to_owned()
    };
    commit(&config, vec![session("later", Some(5_000), Some("Refund"))]);
    let (salvaged, left_out) = salvaged(directory.path());
    assert_eq!((ended(&salvaged), left_out), ("42".to_owned(), Vec::new()));
    assert_eq!(ended(&lines(&config)), "42");
}

fn salvaged(directory: &Path) -> (String, Vec<String>) {
    let mut text = Vec::new();
    let salvage = salvage(directory, &mut text, &mut |_| ()).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count() as u64, salvage.lines);
    (text, salvage.left_out)
}

#[test]
fn an_inspection_says_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let found = inspect(directory.path()).unwrap();
    let (format, bytes, found) = (found.format, found.bytes, found.remembered);
    assert_eq!((format, found.counted, found.agents), (tables::FORMAT, 40, 1));
    assert_eq!(found.pending, [(Stage::Known, 1), (Stage::Open, 1), (Stage::Ended, 1)]);
    assert_eq!((found.first_start, found.watermark, found.oldest_ended), (Some(at(-1_000)), Some(at(50)), Some(at(9))));
    assert_eq!(found.counted_since.unwrap().day(), at(0).day());
    assert!(found.look_back_done && bytes > 4096 && found.series.len() > 5, "{found:?}");
    assert!(matches!(inspect(&directory.path().join("none")), Err(UpkeepError::NoState { .. })));
}

#[test]
fn nothing_is_done_to_a_state_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let config = filled(directory.path());
    let (_daemon, _) = open(&config);
    let locked = |error: UpkeepError| matches!(error, UpkeepError::Ledger(LedgerError::Locked { .. }));
    assert!(locked(inspect(directory.path()).unwrap_err()));
    assert!(locked(compact(directory.path()).unwrap_err()));
    assert!(locked(forget(directory.path(), "open", false).unwrap_err()));
    assert!(locked(export(directory.path(), &mut Vec::new(), &mut |_| ()).unwrap_err()));
}

#[test]
fn compacting_gives_room_back_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let many = (0..5_000).map(|n| session(&format!("{n}"), None, None)).collect();
    commit(&config, many);
    let ended = (0..5_000).map(|n| session(&format!("{n}"), Some(5), Some("Refund"))).collect();
    commit(&config, ended);
    let before = lines(&config);
    let (large, small) = compact(directory.path()).unwrap();
    assert!(small < large, "{large} {small}");
    assert_eq!(lines(&config), before);
    assert_eq!(inspect(directory.path()).unwrap().free_bytes, 0);
}

#[test]
fn a_forgotten_session_is_not_counted_anew_unless_its_hash_went_too() {
    let directory = tempfile::tempdir().unwrap();
    let config = filled(directory.path());
    let forget = |id, hash| forget(directory.path(), id, hash).unwrap();
    let whole = |id| commit(&config, vec![session(id, Some(9), Some("Complaint"))]);
    let totals = || lines(&config).lines().filter(|line| line.contains("\"series\"")).count();

    assert_eq!(forget("ended", false), Forgotten { pending: true, counted: false, keeps_hash: true });
    assert!(!lines(&config).contains("\"ended\",\"created\""), "its row is still there");
    let before = totals();
    assert_eq!(whole("ended"), [CommitOutcome::AlreadyCounted]);
    // Neither counted, nor taken for a session whose analysis has changed.
    assert_eq!(totals(), before);

    assert_eq!(forget("counted 1", false), Forgotten { pending: false, counted: true, keeps_hash: true });
    assert_eq!(whole("counted 2"), [CommitOutcome::AlreadyCounted]);
    assert_eq!(forget("counted 1", true), Forgotten { pending: false, counted: true, keeps_hash: false });
    assert!(matches!(whole("counted 1")[..], [CommitOutcome::Counted { .. }]));

    // Only heard of: nothing of it was counted.
    assert_eq!(forget("heard", false), Forgotten { pending: true, counted: false, keeps_hash: false });
    assert!(matches!(whole("heard")[..], [CommitOutcome::Counted { .. }]));
    assert_eq!(forget("never heard", true), Forgotten { pending: false, counted: false, keeps_hash: false });
}

/// Whether the files of a state have this text anywhere in them.
fn holds(directory: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[test]
fn forgotten_session_is_in_no_byte_of_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    commit(&config, vec![Change::FirstStart(at(-1_000)), session("3f9e-only-this-one", None, None)]);
    assert!(holds(directory.path(), "3f9e-only-this-one"), "what follows would find nothing");
    forget(directory.path(), "3f9e-only-this-one", false).unwrap();
    assert!(!holds(directory.path(), "3f9e-only-this-one"));
}

#[test]
fn a_state_of_an_older_format_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let file = schema::file_in(directory.path());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[60..64].copy_from_slice(&1_i32.to_be_bytes());
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(glance(directory.path()).unwrap().unwrap().format, Some(1));
    let error = inspect(directory.path()).unwrap_err();
    assert!(matches!(error, UpkeepError::Older { found: 1, .. }), "{error}");
    assert!(std::fs::read(&file).unwrap() == bytes);
}
