//! Messages: what was said by whom, how long answers took, and who was left without one.

use std::collections::BTreeMap;
use std::time::Duration;

use simulator::{
    AgentProfile, FaultKind, FaultRule, Faults, MessageShares, PERSONAL_MARKER, Route, SimulatorConfig, TruthFilter,
    TruthMetrics,
};

use super::seeds;
use crate::support::{Api, Daemon, NOON, Setup, standing_at_noon, until};

const MINUTE: Duration = Duration::from_secs(60);

/// Sessions that begin and end after noon, when the exporter is started; long ones have several pages of messages.
pub fn after_noon(seed: u64, share: f64) -> SimulatorConfig {
    let standing = standing_at_noon(NOON, NOON.plus(MINUTE * 20), 0.0);
    let agents = [(Duration::from_secs(40), 9_000.0), (Duration::from_secs(500), 1_000.0)];
    let agents = agents.into_iter().zip(0..).map(|((mean_duration, sessions_per_day), number)| AgentProfile {
        id: format!("agent-{number}"),
        sessions_per_day,
        mean_duration,
        ..AgentProfile::default()
    });
    let metrics = TruthMetrics { messages_share: Some(share), ..TruthMetrics::default() };
    SimulatorConfig { seed, agents: agents.collect(), messages: MessageShares::LIVELY, metrics, ..standing }
}

pub fn truth(api: &Api) -> BTreeMap<String, f64> {
    let filter = TruthFilter { messages_after: Some(NOON), ..TruthFilter::default() };
    api.simulator.truth(&filter, &api.simulator.config().metrics, api.simulator.now())
}

/// Starts the daemon at noon, and gives it all of the sessions at once.
pub fn begun(api: &Api, setup: &Setup) -> Daemon {
    let daemon = setup.start();
    // Before it is known when it was first started, a restart would look back from after the jump.
    until("the look-back to be done", || (daemon.lines_with("the look-back is done") > 0).then_some(()));
    api.jump(NOON.plus(MINUTE * 120));
    daemon
}

#[test]
fn messages_equal_the_truth_through_kills_and_faults() {
    for seed in seeds(2) {
        let share = if seed % 2 == 0 { 1.0 } else { 0.5 };
        let api = Api::start(after_noon(seed, share));
        let state = tempfile::tempdir().unwrap();
        let setup = Setup::new(api.address, &state.path().join("state"))
            .set("MESSAGES__ENABLED", "true")
            .set("MESSAGES__SHARE", &share.to_string())
            .set("API__MAX_CONCURRENCY", "4");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut daemon = begun(&api, &setup);
        let faulty = FaultRule { route: Some(Route::Messages), share: 0.2, kind: FaultKind::Status(500) };
        api.simulator.set_faults(Faults { rules: vec![faulty], ..Faults::default() }).unwrap();
        for _ in 0..5 {
            // The instant of the kill is what is random here; nothing depends on its length.
            std::thread::sleep(Duration::from_millis(random.u64(50..400)));
            daemon.kill();
            daemon = setup.start();
        }
        api.simulator.set_faults(Faults::default()).unwrap();
        let truth = truth(&api);
        for name in ["messages_total{", "turns_sum{", "first_response_seconds_sum{", "response_seconds_sum{"] {
            assert!(truth.keys().any(|sample| sample.contains(name)), "seed {seed}: the truth has no {name}");
        }
        daemon.shows(&truth);
        let skipped: f64 = daemon
            .samples()
            .iter()
            .filter(|(name, _)| name.starts_with("agntix_exporter_messages_skipped_total"))
            .map(|(_, value)| value)
            .sum();
        assert_eq!(skipped, 0.0, "seed {seed}");
        assert!(!daemon.log().contains(PERSONAL_MARKER) && !daemon.get("/metrics").1.contains(PERSONAL_MARKER));
    }
}

#[test]
fn sessions_are_counted_and_the_api_is_up_where_messages_are_refused() {
    let api = Api::start(after_noon(3, 1.0));
    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state")).set("MESSAGES__ENABLED", "true");
    let rule = FaultRule { route: Some(Route::Messages), share: 1.0, kind: FaultKind::Status(403) };
    api.simulator.set_faults(Faults { rules: vec![rule], ..Faults::default() }).unwrap();
    let daemon = begun(&api, &setup);
    let mut metrics = api.simulator.config().metrics.clone();
    metrics.messages_share = None;
    daemon.shows(&api.simulator.truth(&TruthFilter::default(), &metrics, api.simulator.now()));
    until("the refusal to be logged", || {
        (daemon.lines_with("the messages of a session cannot be read") > 0).then_some(())
    });
    assert_eq!(daemon.samples()["agntix_up"], 1.0);
}
