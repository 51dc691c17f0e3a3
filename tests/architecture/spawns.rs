//! Tasks and threads are spawned by src/tasks.rs, so that a panic in one ends the daemon with an error, or for a reason that is here.

use std::collections::BTreeSet;

use crate::source::{self, Spawn};

/// Whoever calls it waits for its end there and then, and takes a panic for an error.
const AWAITED: &str = "is waited for by whoever has spawned it, to whom a panic in it is an error";
/// The set is emptied by its owner, which takes a panic for an error of its own.
const JOINED: &str = "is of a set that its owner joins, and a panic in it is one of the owner";

/// Which file spawns what by itself, and why nothing goes unnoticed with it.
const ALLOWED: [(&str, &str, &str); 21] = [
    ("src/app.rs", "tokio::task::spawn_blocking", AWAITED),
    ("src/app/reload.rs", "tokio::task::spawn_blocking", AWAITED),
    ("src/app/shared.rs", "tokio::task::spawn_blocking", AWAITED),
    (
        "src/cli/demo.rs",
        "std::thread::spawn",
        "a simulator that ends is an API that does not answer, which the daemon says",
    ),
    ("src/discovery/files.rs", "tokio::task::spawn_blocking", AWAITED),
    ("src/discovery/webhook.rs", "tokio::task::spawn_blocking", AWAITED),
    ("src/doctor/gather/bounds.rs", "tokio::task::spawn_blocking", AWAITED),
    ("src/ledger/postgres/connect.rs", "tokio::task::spawn_blocking", AWAITED),
    ("src/ledger/postgres/connect.rs", "asked.spawn", JOINED),
    ("src/ledger/postgres/lease_row.rs", "extending.spawn", "a panic in it ends the extensions, and then the lease"),
    ("src/ledger/postgres/mod.rs", "builder.spawn", "a panic in the writer cancels `lost`: the replica counts no more"),
    ("src/ledger/postgres/survey.rs", "asked.spawn", JOINED),
    ("src/ledger/postgres/tls.rs", "tokio::task::spawn_blocking", AWAITED),
    (
        "src/ledger/postgres/upkeep/turn.rs",
        "runtime.spawn",
        "a lease whose renewal has ended is not kept, and the command fails",
    ),
    ("src/ledger/queue.rs", "runtime.spawn", "a caller whose answer is dropped unsent takes that for a closed ledger"),
    ("src/ledger/sqlite/backup.rs", "name().spawn", "a copy that is never done is one that its command gives up"),
    ("src/ledger/sqlite/mod.rs", "builder.spawn", "a panic in the writer closes the queue: each commit is an error"),
    ("src/poller/run.rs", "commits.spawn", JOINED),
    ("src/poller/run.rs", "looks.spawn_blocking", JOINED),
    ("src/poller/run.rs", "requests.spawn", JOINED),
    ("src/web/metrics.rs", "tokio::task::spawn_blocking", AWAITED),
];

/// The tracker is told the name of a task besides the task, unlike all others.
fn is_tracked(spawn: &Spawn) -> bool {
    (spawn.name.starts_with("tasks.") || spawn.name.starts_with("tasks().")) && spawn.arguments > 1
}

#[test]
fn tasks_and_threads_are_spawned_by_the_tracker_or_for_a_reason() {
    let files = source::files().iter().filter(|file| file.module != ["tasks"]);
    let spawned = files.flat_map(|file| file.spawns.iter().map(move |spawn| (file, spawn)));
    let untracked: Vec<_> = spawned.filter(|(_, spawn)| !is_tracked(spawn)).collect();
    let is_allowed = |file: &str, name: &str| ALLOWED.iter().any(|(place, spawn, _)| (*place, *spawn) == (file, name));
    let forbidden: Vec<_> = untracked
        .iter()
        .filter(|(file, spawn)| !is_allowed(&file.name, &spawn.name))
        .map(|(file, spawn)| format!("{}, line {}: {}", file.name, spawn.line, spawn.name))
        .collect();
    assert!(
        forbidden.is_empty(),
        "{forbidden:#?}: spawn tasks with src/tasks.rs, so that a panic in them ends the daemon with an error, or say in {} why \
         one cannot go unnoticed",
        file!()
    );
    let used: BTreeSet<_> = untracked.iter().map(|(file, spawn)| (file.name.as_str(), spawn.name.as_str())).collect();
    let unused: Vec<_> = ALLOWED.iter().filter(|(file, spawn, _)| !used.contains(&(*file, *spawn))).collect();
    assert!(unused.is_empty(), "{unused:#?} of {} are not used any more", file!());
}
