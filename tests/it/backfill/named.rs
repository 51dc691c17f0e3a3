//! What the operator has named, messages and returning customers are in the history too; nothing personal is.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use simulator::{MessageShares, PERSONAL_MARKER, PERSONAL_PHONE_PREFIX, SimulatorConfig, TruthFilter, TruthMetrics};

use super::history::{History, assert_same, files};
use super::{past, runs, until_noon};
use crate::numbers::customers::{recognising, windows, without_previous};
use crate::support::{Api, NOON, until};

fn simulation() -> SimulatorConfig {
    let metrics = TruthMetrics { messages_share: Some(1.0), repeat_windows: windows(), ..TruthMetrics::default() };
    SimulatorConfig {
        until: Some(NOON.minus(Duration::from_secs(3 * 3_600))),
        customers: Some(60),
        messages: MessageShares::LIVELY,
        metrics,
        ..past()
    }
}

#[test]
fn messages_and_returning_customers_are_the_truth_and_nothing_personal_is_written() {
    let api = Api::start(simulation());
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("history");
    let setup =
        recognising(until_noon(&api, directory.path(), &output), directory.path()).set("MESSAGES__ENABLED", "true");
    // What a run keeps until it is done is looked through as well.
    let mut child = setup.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("half of the requests", || (api.simulator.requests().len() > 150).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = files(&output.join(".backfill"));
    assert!(kept.contains_key("sessions.sqlite"), "{:?}", kept.keys());
    runs(&setup.argument("--resume"));
    for (name, bytes) in kept.iter().chain(&files(&output)) {
        for personal in [PERSONAL_MARKER, PERSONAL_PHONE_PREFIX] {
            let is_in = bytes.windows(personal.len()).any(|window| window == personal.as_bytes());
            assert!(!is_in, "{personal} is in {name}");
        }
    }
    let filter = TruthFilter::default();
    let truth = api.simulator.truth(&filter, &api.simulator.config().metrics, NOON);
    let increases = History::read(&output).increases(&BTreeMap::new());
    for name in ["agntix_session_turns_count{", "agntix_session_repeat_contacts_total{"] {
        assert!(truth.keys().any(|sample| sample.starts_with(name)), "the truth has no {name}");
    }
    // Of two sessions that ended at once it is not known which one was the one before.
    assert_same(&without_previous(increases), &without_previous(truth));
}
