//! P6: a backfill never sends more than its share, however often it is killed and goes on.

use std::process::Stdio;
use std::time::Duration;

use simulator::SimulatorConfig;

use super::{past, until_noon};
use crate::budget::fullest_window;
use crate::support::{Api, until};

const LIMIT: u32 = 100;
/// A tenth of the limit.
const SHARE: usize = 10;

#[test]
fn killed_runs_stay_within_one_share() {
    let api = Api::start(SimulatorConfig { rate_limit: Some(LIMIT), ..past() });
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("history");
    let setup = || until_noon(&api, directory.path(), &output).set("API__REQUESTS_PER_MINUTE", "50");
    let sent = || api.simulator.requests().len();
    let mut before = 0;
    for run in 0..4 {
        let setup = if run == 0 { setup() } else { setup().argument("--resume") };
        let mut child = setup.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if run == 0 {
            until("the first requests", || (sent() >= 3).then_some(()));
        } else {
            // Whether it sends what it may not shows within a moment.
            std::thread::sleep(Duration::from_millis(700));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(sent() >= before);
        before = sent();
    }
    assert!(fullest_window(&api.simulator.requests()) <= SHARE, "{} requests", sent());
}
