//! One changed byte, anywhere in the state, its log or an export of it: an error that says so, or exactly the truth.
//!
//! A share of it runs with the other tests. All of it, with figures:
//! `cargo nextest run --lib --run-ignored only --no-capture -E 'test(a_thousand_changed_bytes)'`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::upkeep::{self, UpkeepError};
use super::super::*;
use crate::config::Config;
use crate::ledger::*;
use crate::session::{Ended, Outcome};
use exposition::LabelSet;

const T0: i64 = 1_775_000_000_000;
const DAY: Duration = Duration::from_secs(86_400);
const DAYS: u32 = 4;

fn configuration(directory: &Path) -> Config {
    let mut config = Config::default();
    config.state.path = directory.into();
    config
}

fn at(day: u32, ms: i64) -> Timestamp {
    Timestamp::from_millis(T0 + ms).plus(DAY * day)
}

/// A session of one of a few days, with labels that a page must escape.
fn session(number: u32) -> Change {
    let created = at(number % DAYS, i64::from(number) * 1_000);
    let ended = created.plus(Duration::from_secs(u64::from(number)));
    let whole = !number.is_multiple_of(11);
    let facts = Facts {
        id: format!("session-{number}").into(),
        created,
        channel: Channel {
            agent_id: format!("agent \"{}\" \\ \n", number % 3),
            session_type: "voice".into(),
            platform: "phone".into(),
            direction: if number.is_multiple_of(2) { "inbound" } else { "outbound" }.into(),
        },
        state: "closed".into(),
        last_activity: None,
        updated: None,
        ended: (!number.is_multiple_of(22))
            .then_some(Ended { at: ended, duration_ms: Some(u64::from(number) * 1_000) }),
        outcome: whole.then(|| Outcome {
            resolution: Some(if number.is_multiple_of(3) { "resolved" } else { "unresolved" }.into()),
            sentiment: Some("positive".into()),
            sentiment_score: Some(300_000),
            intent: Some(format!("intent {}", number % 7)),
            ..Outcome::default()
        }),
        contact: None,
        parts: crate::session::Parts::counted(false),
        malformed: Vec::new(),
    };
    Change::Session { facts: Arc::new(facts), source: Source::Listing, now: at(DAYS, 0) }
}

fn open(config: &Config) -> Result<(SqliteLedger, Opened), LedgerError> {
    SqliteLedger::open(LedgerConfig::from(config), Box::new(|_| {}))
}

fn commit(ledger: &SqliteLedger, changes: Vec<Change>) -> Result<Vec<CommitOutcome>, Arc<LedgerError>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ledger.commit(changes))
}

/// All that a start finds, as text that can be compared.
fn contents(opened: &Opened) -> (BTreeMap<String, String>, Vec<String>, String) {
    let series = opened.series.iter().map(|series| {
        let name = format!("{:?}{}", series.key.family, series.key.labels.as_str());
        (name, format!("{:?} {:?} {:?}", series.created_ms, series.counts, series.held_counts))
    });
    let mut pending: Vec<String> = opened.pending.iter().map(|pending| format!("{pending:?}")).collect();
    pending.sort();
    let rest = (opened.first_start, opened.look_back_done, opened.watermark, &opened.leases);
    (series.collect(), pending, format!("{rest:?}"))
}

const FILES: [&str; 3] = ["ledger.sqlite", "ledger.sqlite-wal", "ledger.commits"];
const CLOSED: u32 = 300;
const LATER: u32 = 24;

/// What a daemon leaves that is killed: much in the file, some commits in the log.
struct Good {
    files: Vec<(PathBuf, Vec<u8>)>,
    export: Vec<u8>,
    truth: (BTreeMap<String, String>, Vec<String>, String),
}

impl Good {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = configuration(directory.path());
        let (ledger, _) = open(&config).unwrap();
        let lease = |ms| Change::Lease(Lease { granted: at(0, ms), count: 7, per_window: 100 });
        commit(&ledger, vec![Change::FirstStart(at(0, 0)), Change::LookBackDone, lease(0)]).unwrap();
        commit(&ledger, (1..CLOSED).map(session).collect()).unwrap();
        // Rows that are gone again leave pages free.
        let gone = |number: u32| -> Arc<str> { format!("gone-{number}-{}", "x".repeat(100)).into() };
        let heard = |number| Change::Heard { id: gone(number), source: Source::File, now: at(0, 0) };
        commit(&ledger, (0..400).map(heard).collect()).unwrap();
        commit(&ledger, (0..400).map(|number| Change::GiveUp { id: gone(number), now: at(0, 1) }).collect()).unwrap();
        drop(ledger);
        let (ledger, _) = open(&config).unwrap();
        for number in CLOSED..CLOSED + LATER {
            let heard = Change::Heard { id: format!("heard-{number}").into(), source: Source::Webhook, now: at(1, 0) };
            commit(&ledger, vec![session(number), heard, Change::Watermark(at(2, i64::from(number)))]).unwrap();
        }
        let files = FILES.map(|file| (file.into(), std::fs::read(directory.path().join(file)).unwrap()));
        drop(ledger);
        let mut export = Vec::new();
        upkeep::export(directory.path(), &mut export, &mut |_| ()).unwrap();
        let (_ledger, opened) = open(&config).unwrap();
        Self { files: files.into(), export, truth: contents(&opened) }
    }

    /// Its files in a directory of their own, one of them changed.
    fn with(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let mut change = Some(change);
        for (name, bytes) in &self.files {
            let mut bytes = bytes.clone();
            if let Some(change) = change.take_if(|_| name == Path::new(file)) {
                change(&mut bytes);
            }
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        directory
    }

    /// Without a log, as after a clean stop.
    fn closed(&self) -> Self {
        let directory = self.with("", |_| ());
        drop(open(&configuration(directory.path())).unwrap());
        let files = ["ledger.sqlite", "ledger.commits"];
        let files = files.map(|file| (file.into(), std::fs::read(directory.path().join(file)).unwrap()));
        Self { files: files.into(), export: Vec::new(), truth: self.truth.clone() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// The start was refused.
    Refused,
    /// It started with the truth, and stopped counting when it met the damage.
    Stopped,
    /// Nothing that is read was changed.
    True,
}

/// Starts on what is in `directory`, tells every session again and some new ones, and holds it all against the truth.
fn judge(directory: &Path, good: &Good) -> Found {
    let config = configuration(directory);
    let (ledger, opened) = match open(&config) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(matches!(error, LedgerError::Damaged { .. } | LedgerError::Newer { .. }), "{error}");
            return Found::Refused;
        }
    };
    assert_eq!(contents(&opened), good.truth, "the start is wrong");
    for series in &opened.series {
        let labels = series.key.family.descriptor().labels;
        assert!(LabelSet::parse(labels, series.key.labels.as_str()).is_some(), "no parser reads {:?}", series.key);
    }
    for numbers in [1..CLOSED, CLOSED..CLOSED + LATER] {
        match commit(&ledger, numbers.clone().map(session).collect()) {
            Ok(outcomes) => {
                let again = |outcome: &CommitOutcome| {
                    matches!(outcome, CommitOutcome::AlreadyCounted | CommitOutcome::Pending { .. })
                };
                assert!(outcomes.iter().all(again), "a session was counted again: {outcomes:?}");
            }
            Err(error) => {
                assert!(matches!(&*error, LedgerError::Damaged { .. }), "{error}");
                return Found::Stopped;
            }
        }
    }
    drop(ledger);
    let (ledger, opened) = match open(&config) {
        Ok(opened) => opened,
        Err(error) => panic!("it started, and does not start again: {error}"),
    };
    assert_eq!(contents(&opened), good.truth, "counting every session again has changed something");
    // What is free in the file is written over by what is new; nothing that is there may be.
    let new: Vec<Change> = (1_000..1_200).map(session).collect();
    match commit(&ledger, new.clone()) {
        Ok(_) => {}
        Err(error) => {
            assert!(matches!(&*error, LedgerError::Damaged { .. }), "{error}");
            return Found::Stopped;
        }
    }
    let outcomes = commit(&ledger, (1..CLOSED + LATER).map(session).collect());
    match outcomes {
        Ok(outcomes) => assert!(!outcomes.iter().any(|outcome| matches!(outcome, CommitOutcome::Counted { .. }))),
        Err(error) => {
            assert!(matches!(&*error, LedgerError::Damaged { .. }), "{error}");
            return Found::Stopped;
        }
    }
    drop(ledger);
    match open(&config) {
        Ok(_) => Found::True,
        Err(error) => panic!("after new sessions it does not start again: {error}"),
    }
}

/// Changes `count` bytes or bits, each in a copy of its own: a third each in the file, the log and an export.
fn campaign(seed: u64, count: usize) -> BTreeMap<(&'static str, Found), usize> {
    let (good, mut random, mut figures) = (Good::new(), fastrand::Rng::with_seed(seed), BTreeMap::new());
    let closed = good.closed();
    for number in 0..count {
        let mut change = |bytes: &mut Vec<u8>| {
            let place = random.usize(..bytes.len());
            let by = if random.bool() { 1 << random.u8(..8) } else { random.u8(1..) };
            bytes[place] ^= by;
            (place, by)
        };
        let mut changed = (0, 0);
        let (what, found) = match number % 3 {
            0 => {
                let good = if number % 2 == 0 { &closed } else { &good };
                let directory = good.with("ledger.sqlite", |bytes| changed = change(bytes));
                ("state", std::panic::catch_unwind(|| judge(directory.path(), good)))
            }
            1 => {
                let directory = good.with("ledger.sqlite-wal", |bytes| changed = change(bytes));
                ("log", std::panic::catch_unwind(|| judge(directory.path(), &good)))
            }
            _ => {
                let (mut text, place) = (good.export.clone(), tempfile::tempdir().unwrap());
                changed = change(&mut text);
                let config = configuration(&place.path().join("new"));
                let imported = upkeep::import(&config, &mut &*text, &mut |_| ());
                let refused = imported.is_err_and(|error| matches!(error, UpkeepError::Line { .. }));
                assert!(refused, "export: {changed:?} was imported");
                ("export", Ok(Found::Refused))
            }
        };
        let found = found.unwrap_or_else(|_| panic!("seed {seed}, change {number}: {what}, {changed:?}"));
        *figures.entry((what, found)).or_default() += 1;
    }
    figures
}

#[test]
fn some_changed_bytes_are_errors_or_change_nothing() {
    campaign(7, 45);
}

#[test]
#[ignore = "takes minutes"]
fn a_thousand_changed_bytes_are_errors_or_change_nothing() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("seed {seed}: {:#?}", campaign(seed, 1_000));
}
