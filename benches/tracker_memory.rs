//! Memory per tracked session: what the heap holds for 100,000 sessions that are not yet counted.
//!
//! `cargo bench --bench tracker_memory`. The sessions go through the ledger, as in the daemon, since it is the ledger
//! that hands out what the tracker keeps. Bytes are those asked of the allocator; its own overhead comes on top.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be set up should stop"
)]

mod support;

use std::alloc::System;
use std::path::Path;
use std::time::{Duration, Instant};

use agntix_exporter::clock::Tick;
use agntix_exporter::ledger::{Change, CommitOutcome};
use agntix_exporter::tracker::{Progress, Tracker};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{Stage, session};

#[global_allocator]
static ALLOCATIONS: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SESSIONS: u64 = 100_000;
const BATCH: usize = 1_000;

fn main() {
    let directory = support::directory("tracker-memory");
    measure("open", || listed(&directory, Stage::Open, 0));
    measure("ended, awaiting analysis", || listed(&directory, Stage::AwaitingAnalysis, SESSIONS));
    std::fs::remove_dir_all(&directory).unwrap();

    let directory = support::directory("tracker-memory");
    drop(listed(&directory, Stage::Open, 0));
    measure("open, after a restart", || restarted(&directory));
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Everything that `build` leaves on the heap is the tracker's, or shared with it by nobody else any more.
fn measure(what: &str, build: impl FnOnce() -> Tracker) {
    let region = Region::new(ALLOCATIONS);
    let tracker = build();
    let change = region.change();
    // What a reallocation adds or gives back is in these two as well.
    let live = change.bytes_allocated - change.bytes_deallocated;
    let sessions = tracker.len();
    let began = Instant::now();
    let summary = std::hint::black_box(tracker.summary(None, Tick::ZERO));
    let took = began.elapsed();
    assert_eq!(summary.open + summary.ended, sessions);
    println!("{sessions} sessions {what}: {} bytes each; Tracker::summary takes {took:.1?}", live / sessions);
}

/// The tracker after a listing has shown the sessions.
fn listed(directory: &Path, stage: Stage, first: u64) -> Tracker {
    let (ledger, _) = support::open(directory);
    let runtime = support::runtime();
    let mut tracker = Tracker::default();
    for batch in (first..first + SESSIONS).step_by(BATCH) {
        let changes: Vec<Change> = (batch..batch + BATCH as u64).map(|n| session(n, stage, 0)).collect();
        let verdicts = support::commit(&runtime, &ledger, changes.clone());
        for (change, verdict) in changes.iter().zip(&verdicts) {
            learn(&mut tracker, change, verdict);
        }
    }
    tracker
}

/// What the poller tells the tracker after a commit.
fn learn(tracker: &mut Tracker, change: &Change, verdict: &CommitOutcome) {
    let (Change::Session { facts, source, now }, CommitOutcome::Pending { stage, channel }) = (change, verdict) else {
        panic!("not a pending session: {verdict:?}");
    };
    tracker.hear(&facts.id, *source, *now, Tick::ZERO);
    tracker.learn(&facts.id, facts.created, facts.ended.as_ref().map(|ended| ended.at), Some(channel));
    // Due at a time of its own, as jitter makes it.
    let due = Duration::from_micros(u64::try_from(facts.created.as_millis()).unwrap() * 7_919 % 30_000_000);
    tracker.settle(&facts.id, Progress::Pending(*stage), Tick::ZERO, |_| due);
}

/// The tracker after a restart, as `Core::new` fills it.
fn restarted(directory: &Path) -> Tracker {
    let (_ledger, opened) = support::open(directory);
    let mut tracker = Tracker::default();
    for pending in &opened.pending {
        tracker.restore(pending.clone(), Tick::ZERO);
    }
    tracker
}
