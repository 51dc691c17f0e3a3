//! `state …`: what an operator does to the state between two runs of the daemon leaves every total as it is.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use agntix_exporter::config::Config;
use agntix_exporter::ledger::sqlite::{LedgerConfig, SqliteLedger};
use simulator::{Clock as _, SimulatorConfig, SystemClock};

use crate::support::{Api, Setup, ledger, total};

/// The command on the state of `setup`: exit code and all that it wrote.
fn state(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String) {
    let command = arguments.iter().fold(setup.clone().argument("state"), |setup, argument| setup.argument(argument));
    command.run()
}

#[test]
fn a_state_moves_through_lines_of_json_and_counts_on() {
    if ledger::is_skipped(module_path!(), "a_state_moves_through_lines_of_json_and_counts_on", "SQLite's files") {
        return;
    }
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let (api, place) = (Api::start(SimulatorConfig::load(start, 10.0, 300)), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state"));
    let mut daemon = setup.start();
    daemon.shows(&api.truth());
    let (code, said) = state(&setup, &["inspect"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is in use by another process; stop it"), "{said}");
    daemon.stops_on("TERM");

    let (code, said) = state(&setup, &["inspect"]);
    assert_eq!(code, Some(0), "{said}");
    let ended = total(&api.truth(), "agntix_sessions_ended_total");
    assert!(said.contains(&format!("{ended} remembered")) && said.contains("agntix_session_outcomes_total"), "{said}");
    assert_eq!(state(&setup, &["compact"]).0, Some(0));

    let exported = place.path().join("exported.jsonl");
    let exported = exported.to_str().unwrap();
    assert_eq!(state(&setup, &["export", "--to", exported]).0, Some(0));
    let (code, said) = state(&setup, &["export", "--to", exported]);
    assert_eq!((code, said.contains("exists")), (Some(1), true), "{said}");
    // Nothing of what the simulator's customers are and say.
    let lines = std::fs::read_to_string(exported).unwrap();
    assert!(!lines.contains(simulator::PERSONAL_MARKER), "personal data in the export");

    let (code, said) = state(&setup, &["import", "--from", exported]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("there is a state in"), "{said}");
    let moved = Setup::new(api.address, &place.path().join("moved"));
    // What an import that was killed has left is in nobody's way.
    std::fs::create_dir_all(place.path().join("moved/.import-x1y2z3/check-1")).unwrap();
    let (code, said) = state(&moved, &["import", "--from", exported]);
    assert_eq!(code, Some(0), "{said}");
    let there = std::fs::read_dir(place.path().join("moved")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(there.into_iter().all(|name| !name.to_string_lossy().starts_with(".import-")), "something is left behind");
    let daemon = moved.start();
    daemon.shows(&api.truth());
}

#[test]
fn what_root_imports_belongs_to_the_owner_of_the_directory() {
    if ledger::is_skipped(module_path!(), "what_root_imports_belongs_to_the_owner_of_the_directory", "SQLite's files") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("state");
    std::fs::create_dir(&directory).unwrap();
    if std::os::unix::fs::chown(&directory, Some(65_532), Some(65_533)).is_err() {
        println!("only root can try this");
        return;
    }
    let setup = Setup::plain(place.path()).set("STATE__PATH", directory.to_str().unwrap());
    let lines = place.path().join("empty.jsonl");
    let mut config = Config::default();
    config.state.path = place.path().join("empty");
    drop(SqliteLedger::open(LedgerConfig::from(&config), Box::new(|_| {})).unwrap());
    let empty = Setup::plain(place.path()).set("STATE__PATH", config.state.path.to_str().unwrap());
    assert_eq!(state(&empty, &["export", "--to", lines.to_str().unwrap()]).0, Some(0));
    let (code, said) = state(&setup, &["import", "--from", lines.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let made = std::fs::metadata(directory.join("ledger.sqlite")).unwrap();
    assert_eq!((made.uid(), made.gid()), (65_532, 65_533));
}

#[test]
fn without_a_state_nothing_is_made() {
    if ledger::is_skipped(module_path!(), "without_a_state_nothing_is_made", "SQLite's files") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let setup =
        Setup::plain(&place.path().join("state")).set("STATE__PATH", &place.path().join("none").display().to_string());
    // Nothing is left that would be in the way of the next attempt.
    let exported = place.path().join("exported").display().to_string();
    assert_eq!(state(&setup, &["export", "--to", &exported]).0, Some(1));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    for command in ["inspect", "compact", "export"] {
        let (code, said) = state(&setup, &[command]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("there is no state in"), "{said}");
    }
    assert!(!place.path().join("none").exists());
}

/// Changes a byte of a row of series, and not the hash beside it. (Bytes of the file itself may be of an older copy that nothing reads.)
fn spoil(file: &std::path::Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let changed = "UPDATE series SET labels = replace(labels, 'platform=\"', 'platform=#')
        WHERE (family, labels) IN (SELECT family, labels FROM series WHERE labels LIKE '%platform=\"%' LIMIT 1)";
    assert_eq!(connection.execute(changed, []).unwrap(), 1);
}

#[test]
fn a_damaged_state_is_refused_and_what_is_sound_of_it_is_kept() {
    if ledger::is_skipped(
        module_path!(),
        "a_damaged_state_is_refused_and_what_is_sound_of_it_is_kept",
        "SQLite's files",
    ) {
        return;
    }
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let (api, place) = (Api::start(SimulatorConfig::load(start, 10.0, 300)), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state"));
    let mut daemon = setup.start();
    daemon.shows(&api.truth());
    daemon.stops_on("TERM");
    let (code, said) = state(&setup, &["inspect", "--verify"]);
    assert_eq!((code, said.contains("are as they were written")), (Some(0), true), "{said}");

    spoil(&setup.state.join("ledger.sqlite"));
    for command in [&["inspect"][..], &["export"], &["compact"]] {
        let (code, said) = state(&setup, command);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("a row of series is not as it was written") && said.contains("--salvage"), "{said}");
    }
    let (code, said) = setup.clone().run();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a row of series is not as it was written"), "{said}");
    let (code, said) = state(&setup, &["inspect", "--verify"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is damaged: a row of series"), "{said}");

    let exported = place.path().join("salvaged.jsonl").display().to_string();
    let (code, said) = state(&setup, &["export", "--salvage", "--to", &exported]);
    assert_eq!((code, said.contains("rows of series are left out")), (Some(0), true), "{said}");
    let moved = Setup::new(api.address, &place.path().join("moved"));
    let (code, said) = state(&moved, &["import", "--from", &exported]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = state(&moved, &["inspect", "--verify"]);
    assert_eq!(code, Some(0), "{said}");
}
