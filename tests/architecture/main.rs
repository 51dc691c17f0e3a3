//! The crates and modules use each other as docs/architecture.md says, and in no other way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod edges;
mod source;
mod spawns;
mod systems;
mod table;

use std::collections::BTreeSet;
use std::path::Path;

use edges::Edge;
use table::Table;

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn assert_allowed(used: &[Edge], is_concerned: impl Fn(&str) -> bool) {
    let table = Table::read(&root().join("docs/architecture.md"));
    let faults = table.faults(used, is_concerned);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn crates_use_each_other_as_the_table_says() {
    let used = edges::of_crates();
    let crates = edges::crates();
    assert_allowed(&used, |name| crates.contains(name));
}

#[test]
fn modules_use_each_other_as_the_table_says() {
    let used = edges::of_modules();
    let modules = edges::modules();
    assert_allowed(&used, |name| modules.contains(name));
}

#[test]
fn every_row_of_the_table_is_of_a_crate_or_a_module() {
    let table = Table::read(&root().join("docs/architecture.md"));
    let there = &edges::crates() | &edges::modules();
    let rows = table.names();
    let missing: Vec<_> = there.difference(&rows).collect();
    assert!(missing.is_empty(), "{missing:?} have no row in {}", table::PLACE);
    let unknown: Vec<_> = rows.difference(&there).collect();
    assert!(unknown.is_empty(), "{unknown:?} of {} are neither crates nor top-level modules", table::PLACE);
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let used = edges::of_modules();
    let mut left = edges::modules();
    // What uses nothing that is left, or is used by nothing that is left, is in no circle, and is taken away.
    let is_free = |name: &String, left: &BTreeSet<String>| {
        let leads_on = used.iter().any(|edge| edge.from == *name && left.contains(&edge.to));
        let is_used = used.iter().any(|edge| edge.to == *name && left.contains(&edge.from));
        !leads_on || !is_used
    };
    while let Some(free) = left.iter().find(|name| is_free(name, &left)).cloned() {
        left.remove(&free);
    }
    let circle: Vec<_> = used
        .iter()
        .filter(|edge| left.contains(&edge.from) && left.contains(&edge.to))
        .map(|edge| format!("{}: `{}` uses `{}`", edge.place, edge.from, edge.to))
        .collect();
    assert!(circle.is_empty(), "modules use each other in a circle:\n{}\n", circle.join("\n"));
}

/// The files of the poller that carry out what its core says.
const POLLERS_SHELL: [&str; 3] = ["run", "publish", "log"];

#[test]
fn the_pollers_core_is_pure() {
    let forbidden: [&[&str]; 10] = [
        &["tracing"],
        &["tokio"],
        &["std", "fs"],
        &["std", "thread"],
        &["Instant", "now"],
        &["SystemTime"],
        &["crate", "catalogue", "Exposition"],
        &["crate", "catalogue", "ExporterMetrics"],
        &["crate", "status", "Status"],
        &["crate", "clock", "ApiClock"],
    ];
    let is_forbidden = |path: &source::NamedPath| {
        let names: Vec<&str> = path.names.iter().map(String::as_str).collect();
        forbidden.iter().any(|forbidden| names.starts_with(forbidden))
    };
    let used: Vec<_> = source::files()
        .iter()
        .filter(|file| file.module.first().is_some_and(|module| module == "poller"))
        .filter(|file| file.module.get(1).is_some_and(|file| !POLLERS_SHELL.contains(&file.as_str())))
        .flat_map(|file| file.paths.iter().map(move |path| (file, path)))
        .filter(|(_, path)| is_forbidden(path))
        .map(|(file, path)| format!("{}, line {}: {}", file.name, path.line, path.names.join("::")))
        .collect();
    assert!(
        used.is_empty(),
        "{used:#?}: the poller's core is given the time and returns values; what it wants logged, counted or shown is an \
         `Update` (src/poller/updates.rs), which the shell carries out"
    );
}
