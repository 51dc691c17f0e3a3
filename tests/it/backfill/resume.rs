//! A run that is broken off goes on, and its files are those of one that was not.

use std::path::Path;
use std::process::Stdio;

use simulator::{Faults, ListFaults};

use super::history::files;
use super::{past, runs, until_noon};
use crate::support::{Api, signal, until};

#[test]
fn killed_runs_that_go_on_write_the_same_bytes() {
    let api = Api::start(past());
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole");
    runs(&until_noon(&api, directory.path(), &whole));
    let whole = files(&whole);
    assert!(whole.len() >= 4, "{:?}", whole.keys());
    let output = directory.path().join("broken-off");
    let mut setup = until_noon(&api, directory.path(), &output);
    let mut random = fastrand::Rng::with_seed(17);
    let is_begun = |output: &Path| output.join(".backfill/checkpoint.json").exists();
    for _ in 0..12 {
        if is_begun(&output) {
            setup = until_noon(&api, directory.path(), &output).argument("--resume");
        }
        let mut child = setup.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The instant of the kill is what is random here; nothing depends on its length.
        std::thread::sleep(std::time::Duration::from_millis(random.u64(5..400)));
        child.kill().unwrap();
        child.wait().unwrap();
        if output.join("import.sh").exists() {
            break;
        }
    }
    if !output.join("import.sh").exists() {
        runs(&setup_of(&api, directory.path(), &output));
    }
    let broken_off = files(&output);
    assert_eq!(broken_off.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(broken_off[name] == *bytes, "{name} differs");
    }
}

fn setup_of(api: &Api, directory: &Path, output: &Path) -> crate::support::Setup {
    let setup = until_noon(api, directory, output);
    if output.join(".backfill/checkpoint.json").exists() { setup.argument("--resume") } else { setup }
}

#[test]
fn another_order_of_the_listing_writes_the_same_bytes() {
    let api = Api::start(past());
    let directory = tempfile::tempdir().unwrap();
    let (sorted, shuffled) = (directory.path().join("sorted"), directory.path().join("shuffled"));
    runs(&until_noon(&api, directory.path(), &sorted));
    let lists = ListFaults { clamp: Some(37), twice: true, ..ListFaults::default() };
    api.simulator.set_faults(Faults { lists, ..Faults::default() }).unwrap();
    runs(&until_noon(&api, directory.path(), &shuffled));
    assert!(files(&sorted) == files(&shuffled));
}

#[test]
fn signal_ends_it_with_the_way_to_go_on() {
    let api = Api::start(simulator::SimulatorConfig { rate_limit: Some(100), ..past() });
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("history");
    let setup = until_noon(&api, directory.path(), &output).set("API__REQUESTS_PER_MINUTE", "1");
    let mut child = setup.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until("the first page", || (!api.simulator.requests().is_empty()).then_some(()));
    signal(&child, "INT");
    let status = until("its end", || child.try_wait().unwrap());
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("go on with the same arguments and --resume"), "{said}");
}
