//! What it costs to count for ever: commits with fsync, look-ups, and opening a ledger that remembers much.
//!
//! `cargo bench --bench ledger`. The state is below `target/`, which must be on a real disk: in memory a sync costs
//! nothing.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot be set up should stop")]

mod support;

use std::path::Path;
use std::sync::{LazyLock, OnceLock};

use agntix_exporter::ledger::sqlite::SqliteLedger;
use agntix_exporter::ledger::{Change, CommitOutcome, Opened};
use divan::Bencher;
use divan::counter::ItemsCount;
use rusqlite::Connection;
use support::{Stage, session};

const DAYS: u32 = 30;
const REMEMBERED: u64 = 1_000_000;
/// Of the remembered sessions, so many can be committed again: they were counted through the ledger itself.
const COUNTED: u64 = 1_024;

/// The state that a child of this process opens, to say how much memory it takes then.
const OPENED: &str = "AGNTIX_BENCH_OPENED";
/// Bytes of memory that a customer may take.
const CUSTOMER_AIM: f64 = 40.0;

fn main() {
    if let Ok(directory) = std::env::var(OPENED) {
        let _open = support::open_with_customers(Path::new(&directory));
        return println!("{}", resident());
    }
    divan::main();
    if let Some(bytes) = BYTES_PER_ID.get() {
        println!("{REMEMBERED} remembered ids take {bytes} bytes each on disk");
    }
    if let Some(bytes) = BYTES_PER_CUSTOMER.get() {
        let more = memory_with(&CUSTOMERS) - memory_with(&FEW);
        #[expect(clippy::cast_precision_loss, reason = "a million")]
        let each = more / REMEMBERED as f64;
        let met = if each <= CUSTOMER_AIM { "met" } else { "missed" };
        println!(
            "{REMEMBERED} customers take {bytes} bytes each on disk, and {each:.1} in memory (aim: {CUSTOMER_AIM}, {met})"
        );
    }
    for directory in ["ledger-few", "ledger-many", "ledger-customers"] {
        let _ = std::fs::remove_dir_all(Path::new(env!("CARGO_TARGET_TMPDIR")).join(directory));
    }
}

/// What a process takes that has nothing but this state open, in bytes.
fn memory_with(directory: &Path) -> f64 {
    let own = std::env::current_exe().unwrap();
    let said = std::process::Command::new(own).env(OPENED, directory).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().parse().unwrap()
}

/// `VmRSS` of this process, in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}

/// Sessions that are over and analysed, as most of a listing are: each is counted by one commit.
#[divan::bench(args = [1, 64, 1_024], max_time = 4)]
fn commit_counted(bencher: Bencher<'_, '_>, batch: u64) {
    commit_new(bencher, batch, Stage::Analysed);
}

/// Sessions that are open: each is remembered as pending.
#[divan::bench(args = [1, 64, 1_024], max_time = 4)]
fn commit_open(bencher: Bencher<'_, '_>, batch: u64) {
    commit_new(bencher, batch, Stage::Open);
}

/// The floor: the store with the same settings, which remembers random ids and counts nothing.
#[divan::bench(args = [1, 64, 1_024], max_time = 4)]
fn bare_ids(bencher: Bencher<'_, '_>, batch: u64) {
    let directory = support::directory("ledger-bare");
    let mut connection = Connection::open(directory.join("bare.sqlite")).unwrap();
    let settings = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        CREATE TABLE ids (id BLOB PRIMARY KEY, parts INTEGER NOT NULL) WITHOUT ROWID, STRICT;";
    connection.execute_batch(settings).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    bencher
        .counter(ItemsCount::new(batch))
        .with_inputs(|| (0..batch).map(|_| random.u128(..).to_le_bytes()).collect::<Vec<_>>())
        .bench_local_values(|ids| {
            let transaction = connection.transaction().unwrap();
            for id in ids {
                transaction.prepare_cached("INSERT INTO ids VALUES (?1, 7)").unwrap().execute([id]).unwrap();
            }
            transaction.commit().unwrap();
        });
    drop(connection);
    std::fs::remove_dir_all(directory).unwrap();
}

fn commit_new(bencher: Bencher<'_, '_>, batch: u64, stage: Stage) {
    let directory = support::directory("ledger-commit");
    let (ledger, _) = support::open(&directory);
    let runtime = support::runtime();
    let mut next = 0;
    bencher
        .counter(ItemsCount::new(batch))
        .with_inputs(|| {
            next += batch;
            (next - batch..next).map(|n| session(n, stage, 0)).collect::<Vec<_>>()
        })
        .bench_local_values(|changes| support::commit(&runtime, &ledger, changes));
    drop(ledger);
    std::fs::remove_dir_all(directory).unwrap();
}

/// Sessions that were counted before, among a million others: a look-up each, and nothing to write.
#[divan::bench(max_time = 2)]
fn look_up_1024_counted(bencher: Bencher<'_, '_>) {
    let (ledger, _) = support::open(&MANY);
    let runtime = support::runtime();
    bencher
        .counter(ItemsCount::new(COUNTED))
        .with_inputs(|| (0..COUNTED).map(counted).collect::<Vec<_>>())
        .bench_local_values(|changes| {
            let verdicts = support::commit(&runtime, &ledger, changes);
            assert!(verdicts.iter().all(|verdict| *verdict == CommitOutcome::AlreadyCounted));
        });
}

/// From nothing to a running ledger and all that it hands to the daemon.
#[divan::bench(sample_size = 1, sample_count = 100)]
fn open_with_1024_ids() -> (SqliteLedger, Opened) {
    support::open(&FEW)
}

#[divan::bench(sample_size = 1, sample_count = 100)]
fn open_with_1000000_ids() -> (SqliteLedger, Opened) {
    support::open(&MANY)
}

/// All rows of customers are checked when the state is opened, which the daemon waits for.
#[divan::bench(sample_size = 1, sample_count = 10)]
fn open_with_1000000_customers(bencher: Bencher<'_, '_>) {
    let directory = LazyLock::force(&CUSTOMERS);
    bencher.bench_local(|| support::open_with_customers(directory));
}

fn counted(n: u64) -> Change {
    session(n, Stage::Analysed, u32::try_from(n).unwrap() % DAYS)
}

/// Counts a few sessions of each day.
fn build(name: &str) -> std::path::PathBuf {
    let directory = support::directory(name);
    let (ledger, _) = support::open(&directory);
    support::commit(&support::runtime(), &ledger, (0..COUNTED).map(counted).collect());
    directory
}

static BYTES_PER_ID: OnceLock<u64> = OnceLock::new();

static FEW: LazyLock<std::path::PathBuf> = LazyLock::new(|| build("ledger-few"));

/// The same, and then more up to a million, each counted through the ledger itself.
static MANY: LazyLock<std::path::PathBuf> = LazyLock::new(|| {
    let directory = build("ledger-many");
    let file = directory.join("ledger.sqlite");
    let before = std::fs::metadata(&file).unwrap().len();
    let (ledger, _) = support::open(&directory);
    let runtime = support::runtime();
    let ids: Vec<u64> = (COUNTED..REMEMBERED).collect();
    for batch in ids.chunks(1_024) {
        support::commit(&runtime, &ledger, batch.iter().copied().map(counted).collect());
    }
    drop(ledger);
    let bytes = std::fs::metadata(&file).unwrap().len() - before;
    BYTES_PER_ID.set(bytes / (REMEMBERED - COUNTED)).unwrap();
    directory
});

static BYTES_PER_CUSTOMER: OnceLock<u32> = OnceLock::new();

/// A million customers, each with a session of the last week that was counted through the ledger.
static CUSTOMERS: LazyLock<std::path::PathBuf> = LazyLock::new(|| {
    let directory = support::directory("ledger-customers");
    let (ledger, _) = support::open_with_customers(&directory);
    let runtime = support::runtime();
    let ids: Vec<u64> = (0..REMEMBERED).collect();
    for batch in ids.chunks(1_024) {
        let of_a_week = batch.iter().map(|n| support::session_of_a_customer(*n, u32::try_from(*n % 6).unwrap()));
        support::commit(&runtime, &ledger, of_a_week.collect());
    }
    drop(ledger);
    let connection = Connection::open(directory.join("ledger.sqlite")).unwrap();
    let of_customers = "SELECT sum(pgsize), (SELECT count(*) FROM contacts) FROM dbstat WHERE name = 'contacts'";
    let (bytes, customers): (u32, u32) =
        connection.query_row(of_customers, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(u64::from(customers), REMEMBERED);
    BYTES_PER_CUSTOMER.set(bytes / customers).unwrap();
    directory
});
