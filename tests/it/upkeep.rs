//! `state …`: what an operator does to the state between two runs of the daemon leaves every total as it is.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use agntix_exporter::clock::{Clock as _, SystemClock};
use agntix_exporter::simulator::SimulatorConfig;

use crate::support::{Api, Setup, total};

/// The command on the state of `setup`: exit code and all that it wrote.
fn state(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String) {
    let command = arguments.iter().fold(setup.clone().argument("state"), |setup, argument| setup.argument(argument));
    command.run()
}

#[test]
fn a_state_moves_through_lines_of_json_and_counts_on() {
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
    assert!(!lines.contains(agntix_exporter::simulator::PERSONAL_MARKER), "personal data in the export");

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
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("state");
    std::fs::create_dir(&directory).unwrap();
    if std::os::unix::fs::chown(&directory, Some(65_532), Some(65_533)).is_err() {
        println!("only root can try this");
        return;
    }
    let setup = Setup::plain(place.path()).set("STATE__PATH", directory.to_str().unwrap());
    let lines = place.path().join("empty.jsonl");
    std::fs::write(
        &lines,
        "{\"agntix_exporter_state\":{\"format\":2,\"version\":\"0.1.0\"}}\n{\"end\":{\"lines\":1}}\n",
    )
    .unwrap();
    let (code, said) = state(&setup, &["import", "--from", lines.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let made = std::fs::metadata(directory.join("ledger.sqlite")).unwrap();
    assert_eq!((made.uid(), made.gid()), (65_532, 65_533));
}

#[test]
fn without_a_state_nothing_is_made() {
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
