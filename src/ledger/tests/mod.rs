//! The ledger's promises, on the policy alone and on each backend.
//!
//! What is about one backend's files is tested beside it.

mod counting;
mod memory;
mod moving;
pub(in crate::ledger) mod postgres;
mod properties;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::sqlite::{LedgerConfig, SqliteLedger};
use super::{Change, CommitOutcome, Committed, Ledger as _, LedgerError, Opened};
use crate::catalogue::SeriesState;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::session::{Channel, Ended, Facts, Outcome, Parts, Source};
use memory::Memory;
use postgres::Postgres;

const T0: i64 = 1_775_000_000_000;

pub(in crate::ledger) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(T0 + ms)
}

pub(in crate::ledger) fn facts(id: &str, ended: Option<i64>, outcome: Option<&str>) -> Arc<Facts> {
    Arc::new(Facts {
        id: id.into(),
        created: at(0),
        channel: Channel {
            agent_id: "A".into(),
            session_type: "voice".into(),
            platform: "phone".into(),
            direction: "inbound".into(),
        },
        state: "closed".into(),
        last_activity: None,
        updated: None,
        ended: ended.map(|ms| Ended { at: at(ms), duration_ms: u64::try_from(ms).ok() }),
        outcome: outcome.map(|intent| Outcome {
            resolution: Some("resolved".into()),
            sentiment: Some("positive".into()),
            sentiment_score: Some(300_000),
            intent: Some(intent.into()),
            ..Outcome::default()
        }),
        contact: None,
        parts: Parts::counted(false),
        malformed: Vec::new(),
    })
}

pub(in crate::ledger) fn session(facts: &Arc<Facts>) -> Change {
    Change::Session { facts: Arc::clone(facts), source: Source::Listing, now: at(3_600_000) }
}

/// Every series that has counted something, as text.
pub(in crate::ledger) fn totals(series: &[SeriesState]) -> BTreeMap<String, Vec<u64>> {
    let risen = series.iter().filter(|series| series.counts.iter().any(|count| *count > 0));
    risen
        .map(|series| {
            let name = series.key.family.descriptor().name;
            (format!("{name}{{{}}}", series.key.labels.as_str()), series.counts.to_vec())
        })
        .collect()
}

/// A ledger under test, with the state that it keeps.
trait Backend {
    /// An empty one. The path of the state is the backend's to choose.
    fn begin(config: Config) -> Self;

    /// Commits a batch.
    fn commit(&mut self, changes: Vec<Change>) -> Vec<CommitOutcome>;

    /// Starts again from what is stored, and gives that; the series by family and labels, the sessions by id.
    fn reopen(&mut self) -> Opened;

    /// The labels for which values were folded since the last call.
    fn take_overflow(&mut self) -> Vec<Box<str>>;
}

/// A ledger in an SQLite file.
struct Sqlite {
    config: Config,
    ledger: Option<SqliteLedger>,
    overflow: Arc<Mutex<Vec<Box<str>>>>,
    runtime: tokio::runtime::Runtime,
    _directory: tempfile::TempDir,
}

impl Sqlite {
    /// What counts in that directory from now on, and what it found there.
    fn at(mut config: Config, directory: tempfile::TempDir) -> (Self, Opened) {
        config.state.path = directory.path().into();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut begun = Self { config, ledger: None, overflow: Arc::default(), runtime, _directory: directory };
        let opened = begun.open();
        (begun, opened)
    }

    /// Counts no more, and gives the directory.
    fn close(self) -> tempfile::TempDir {
        let Self { ledger, _directory: directory, .. } = self;
        drop(ledger);
        directory
    }

    fn open(&mut self) -> Opened {
        let overflow = Arc::clone(&self.overflow);
        let observer = Box::new(move |result: Result<Committed, &LedgerError>| {
            overflow.lock().unwrap().extend(result.unwrap().overflow);
        });
        let (ledger, mut opened) = SqliteLedger::open(LedgerConfig::from(&self.config), observer).unwrap();
        self.ledger = Some(ledger);
        opened.pending.sort_by(|a, b| a.id.cmp(&b.id));
        opened
    }
}

impl Backend for Sqlite {
    fn begin(config: Config) -> Self {
        Self::at(config, tempfile::tempdir().unwrap()).0
    }

    fn commit(&mut self, changes: Vec<Change>) -> Vec<CommitOutcome> {
        self.runtime.block_on(self.ledger.as_ref().unwrap().commit(changes)).unwrap()
    }

    fn reopen(&mut self) -> Opened {
        self.ledger = None;
        self.open()
    }

    fn take_overflow(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut *self.overflow.lock().unwrap())
    }
}

macro_rules! on_each_backend {
    ($($test:ident)*) => {
        mod on_the_policy_alone {
            $(#[test] fn $test() { super::counting::$test::<super::Memory>(); })*
        }
        mod on_sqlite {
            $(#[test] fn $test() { super::counting::$test::<super::Sqlite>(); })*
        }
        mod on_postgres {
            $(
                #[test]
                #[ignore = "needs PostgreSQL (.ci/tools)"]
                fn $test() { super::counting::$test::<super::Postgres>(); }
            )*
        }
    };
}

on_each_backend! {
    customers_who_come_back_are_counted_once_for_each_window_whatever_the_order
    messages_are_counted_once_and_only_of_sessions_that_wait_for_them
    a_session_is_counted_step_by_step_and_once
    a_changed_analysis_is_a_reclassification_and_nothing_else
    sessions_before_the_first_start_are_starting_values_and_later_ones_open_an_initial_zero_window
    old_session_counted_after_the_look_back_makes_its_new_series_rise_from_zero
    session_older_than_the_retention_is_counted_only_if_it_is_pending
    sessions_counted_before_the_first_start_is_known_are_not_counted_again
    without_a_first_start_nothing_is_a_starting_value_after_the_look_back
    ended_session_that_is_given_up_is_counted_as_an_analysis_timeout
    open_session_that_is_given_up_continues_where_it_was_when_it_returns
    label_values_beyond_the_bound_are_folded_and_reported
    leases_in_the_future_expire_after_the_clock_was_set_back
}
