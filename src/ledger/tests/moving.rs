//! A state that moves between the stores counts on as one that stays: to PostgreSQL, from there to another schema, and back.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::memory::Memory;
use super::postgres::new_schema;
use super::properties::{change, narrow, same_leases};
use super::{Backend, Postgres, Sqlite};
use crate::config::Config;
use crate::ledger::moving::{Place, migrate};
use crate::ledger::postgres::upkeep::SharedState;
use crate::ledger::sqlite::upkeep;
use crate::ledger::{Change, Opened};

/// How many histories are tried; `STATE_MOVES` says another number.
fn cases() -> ProptestConfig {
    let cases = std::env::var("STATE_MOVES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12);
    ProptestConfig::with_cases(cases)
}

/// Batches of changes, and whether some windows end after each.
type Batches = Vec<(Vec<Change>, bool)>;

fn batches() -> impl Strategy<Value = Batches> {
    prop::collection::vec((prop::collection::vec(change(), 1..20), any::<bool>()), 0..5)
}

fn count(alone: &mut Memory, backend: &mut impl Backend, batches: Batches) -> Result<(), TestCaseError> {
    for (batch, release) in batches {
        prop_assert_eq!(alone.commit(batch.clone()), backend.commit(batch));
        if release {
            let keys: Arc<[_]> = alone.reopen().series.iter().step_by(2).map(|series| series.key.clone()).collect();
            alone.commit(vec![Change::Release(keys.clone())]);
            backend.commit(vec![Change::Release(keys)]);
        }
    }
    Ok(())
}

fn same(one: &Opened, other: &Opened) -> Result<(), TestCaseError> {
    prop_assert_eq!(&one.series, &other.series);
    prop_assert_eq!(&one.pending, &other.pending);
    same_leases(&one.leases, &other.leases)?;
    prop_assert_eq!((one.watermark, one.first_start), (other.watermark, other.first_start));
    prop_assert_eq!((one.look_back_done, one.open_listed), (other.look_back_done, other.open_listed));
    prop_assert_eq!((one.api_limit, one.paths), (other.api_limit, other.paths));
    for agent in 0..3 {
        let agent = format!("agent {agent}");
        prop_assert_eq!(one.agents.of(&agent), other.agents.of(&agent));
    }
    Ok(())
}

/// The lines of an export but for the first and the last, in order.
fn sorted(text: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(text).unwrap();
    let is_inner = |line: &&str| !line.starts_with("{\"agntix_exporter_state\"") && !line.starts_with("{\"end\"");
    let mut lines: Vec<String> = text.lines().filter(is_inner).map(ToOwned::to_owned).collect();
    lines.sort();
    lines
}

fn exported_file(directory: &Path) -> Vec<String> {
    let mut text = Vec::new();
    upkeep::export(directory, &mut text, &mut |_| ()).unwrap();
    sorted(&text)
}

fn exported(state: &SharedState) -> (Vec<String>, Vec<u8>) {
    let mut text = Vec::new();
    state.export(&mut text, &mut |_| ()).unwrap();
    (sorted(&text), text)
}

fn moves(histories: [Batches; 4], config: &Config) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let shared = |database| SharedState::new(database, runtime.handle().clone(), config, "migrate");
    let [first, second, third, fourth] = histories;
    let mut alone = Memory::begin(config.clone());

    let place = tempfile::tempdir().unwrap();
    let mut file_config = config.clone();
    file_config.state.path = place.path().into();
    let mut sqlite = Sqlite::begin(config.clone());
    count(&mut alone, &mut sqlite, first)?;
    let directory = sqlite.close();
    let lines = exported_file(directory.path());
    let database = new_schema();
    let one = shared(database.clone());
    migrate(config, Place::Directory(directory.path()), Place::Database(&one), &mut |_| ()).unwrap();
    prop_assert_eq!(&exported(&one).0, &lines);
    // What has gone lets no daemon start; its lines are what they were.
    prop_assert_eq!(exported_file(directory.path()), lines);

    let (mut postgres, opened) = Postgres::at(config.clone(), database);
    same(&alone.reopen(), &opened)?;
    count(&mut alone, &mut postgres, second)?;
    drop(postgres);
    let (lines, text) = exported(&one);
    let database = new_schema();
    let two = shared(database.clone());
    migrate(config, Place::Database(&one), Place::Database(&two), &mut |_| ()).unwrap();
    prop_assert_eq!(&exported(&two).0, &lines);
    // The file says the same, in either kind of store.
    let imported = shared(new_schema());
    imported.import(&mut &*text, &mut |_| ()).unwrap();
    prop_assert_eq!(&exported(&imported).0, &lines);
    let mut elsewhere = config.clone();
    elsewhere.state.path = place.path().join("imported");
    upkeep::import(&elsewhere, &mut &*text, &mut |_| ()).unwrap();
    prop_assert_eq!(&exported_file(&elsewhere.state.path), &lines);

    let (mut postgres, opened) = Postgres::at(config.clone(), database);
    same(&alone.reopen(), &opened)?;
    count(&mut alone, &mut postgres, third)?;
    drop(postgres);
    let back = tempfile::tempdir().unwrap();
    let (lines, _) = exported(&two);
    migrate(config, Place::Database(&two), Place::Directory(back.path()), &mut |_| ()).unwrap();
    prop_assert_eq!(exported_file(back.path()), lines);
    let (mut sqlite, opened) = Sqlite::at(config.clone(), back);
    same(&alone.reopen(), &opened)?;
    count(&mut alone, &mut sqlite, fourth)?;
    same(&alone.reopen(), &sqlite.reopen())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    #[ignore = "needs PostgreSQL (.ci/tools)"]
    fn state_that_moves_counts_on_as_one_that_stays(
        first in batches(), second in batches(), third in batches(), fourth in batches(),
        max_series in 1_000..4_000_u64, retention_days in 2..40_u32,
    ) {
        moves([first, second, third, fourth], &narrow(max_series, retention_days))?;
    }
}
