//! Where a history meets the live counters nothing is counted twice, and nothing is missing.

use std::collections::BTreeMap;
use std::time::Duration;

use simulator::{AgentProfile, SimulatorConfig, Timestamp, TruthFilter, TruthMetrics};

use super::history::{History, assert_same};
use super::{FROM, backfill, live, past, runs, until_noon};
use crate::support::{Api, NOON, durable, samples, until};

/// What the whole past comes to, up to now. Reclassifications are not among what a history can have: what an analysis was before
/// is not known any more.
fn truth(api: &Api) -> BTreeMap<String, f64> {
    let filter = TruthFilter::default();
    let mut truth = api.simulator.truth(&filter, &api.simulator.config().metrics, api.simulator.now());
    truth.retain(|name, _| !name.starts_with("agntix_session_reclassifications"));
    truth
}

#[test]
fn increase_over_history_and_live_counters_is_the_truth() {
    // Some are open for hours: at the first start, and at the begin of the look-back.
    let metrics = TruthMetrics { messages_share: Some(1.0), ..TruthMetrics::default() };
    let mut config = SimulatorConfig { metrics, ..past() };
    config.agents.push(AgentProfile {
        id: "slow".into(),
        sessions_per_day: 60.0,
        shortest: Duration::from_secs(1_800),
        longest: Duration::from_secs(4 * 3_600),
        ..AgentProfile::default()
    });
    let api = Api::start(config);
    let directory = tempfile::tempdir().unwrap();
    let setup = live(&api, directory.path()).set("MESSAGES__ENABLED", "true");
    let daemon = setup.start();
    until("the session metrics", || daemon.get("/metrics").1.contains("agntix_sessions_started_total").then_some(()));
    // It goes on beside it, so that the history has to stop at its first start.
    api.jump(Timestamp::from_millis(NOON.as_millis() + 1_200_000));
    let output = directory.path().join("history");
    let said = runs(&backfill(&setup, FROM, &output));
    assert!(said.contains("their starting values"), "{said}");
    let history = History::read(&output);
    let last = history.0.values().filter_map(|samples| samples.last()).map(|(at, _)| *at).max();
    assert_eq!(last, Some(NOON.as_millis()), "the history ends at the first start");
    // The live counters go on until all of it is counted.
    let expected = truth(&api);
    let live = || durable(&samples(&daemon.get("/metrics").1));
    let sum = |map: &BTreeMap<String, f64>, family: &str| {
        map.iter().filter(|(name, _)| name.starts_with(family)).map(|(_, value)| value).sum::<f64>()
    };
    for family in ["agntix_session_outcomes_total{", "agntix_session_turns_count{"] {
        let all = sum(&expected, family);
        until(family, || (sum(&history.increases(&live()), family) >= all).then_some(()));
    }
    assert_same(&history.increases(&live()), &expected);
    // Each series falls once at most, to 0, and never below what the page then shows.
    for (name, samples) in &history.0 {
        let falls = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1).collect::<Vec<_>>();
        assert!(falls.len() <= 1 && falls.iter().all(|pair| pair[1].1 == 0.0), "{name}: {falls:?}");
        let gap = samples.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or(0);
        assert!(gap <= 180_000, "{name} has a gap of {gap} ms");
    }
}

#[test]
fn history_without_an_exporter_is_the_truth_and_ends_at_0() {
    let api = Api::start(SimulatorConfig { no_analysis_share: 0.0, ..past() });
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("history");
    runs(&until_noon(&api, directory.path(), &output));
    let history = History::read(&output);
    let ended: Vec<_> = api.sessions().into_iter().filter(|session| session.ended < NOON).collect();
    let increases = history.increases(&BTreeMap::new());
    let sum =
        |start: &str| increases.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, value)| value).sum::<f64>();
    assert_eq!(sum("agntix_sessions_ended_total"), crate::support::number(ended.len()));
    for (name, samples) in &history.0 {
        assert_eq!(samples.last().map(|(at, value)| (*at, *value)), Some((NOON.as_millis(), 0.0)), "{name}");
    }
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(output.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["days"].as_array().unwrap().len(), 2);
    assert_eq!(summary["junction"], serde_json::Value::Null);
}
