//! Handle time by outcome, languages with their outcome, and named session variables.

use std::time::Duration;

use simulator::{AgentProfile, Clock as _, SimulatorConfig, SystemClock, TruthMetrics, weighted};

use super::seeds;
use crate::support::{Api, Setup, durable, until};

/// Sessions that are all over, with variables of few and of many values.
fn finished(seed: u64) -> SimulatorConfig {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let load = SimulatorConfig::load(start, 10.0, 400);
    let agents = load.agents.iter().map(|agent| AgentProfile {
        variables: vec![
            ("campaign".into(), weighted(&[("Spring", 0.6), ("Winter", 0.3), ("", 0.1)])),
            ("tenant".into(), weighted(&[("acme", 0.5), ("Müller \"& Co\"", 0.5)])),
            ("contract".into(), weighted(&[("secret", 1.0)])),
        ],
        ..agent.clone()
    });
    let metrics = TruthMetrics { variables: vec!["campaign".into(), "tenant".into()], ..TruthMetrics::default() };
    SimulatorConfig { seed, agents: agents.collect(), metrics, ..load }
}

#[test]
fn handle_times_languages_and_variables_equal_the_truth_through_kills() {
    for seed in seeds(2) {
        let api = Api::start(SimulatorConfig { list_analysis: seed % 2 == 0, ..finished(seed) });
        let state = tempfile::tempdir().unwrap();
        let setup = Setup::new(api.address, &state.path().join("state"))
            .set("METRICS__VARIABLES", "campaign,tenant")
            .set("API__MAX_CONCURRENCY", "2")
            .set("SESSIONS__LOOK_BACK_DEADLINE", "0s");
        setup.start_and_kill(5, &mut fastrand::Rng::with_seed(seed));
        let daemon = setup.start();
        let truth = api.truth();
        for name in ["variables_total", "languages_total", "outcome_duration_seconds_total"] {
            let of = |sample: &&String| sample.starts_with(&format!("agntix_session_{name}{{"));
            assert!(truth.keys().filter(of).count() > 10, "seed {seed}: the truth has no {name}");
        }
        daemon.shows(&truth);
        assert!(!daemon.get("/metrics").1.contains("secret"), "a variable that was not named");
    }
}

#[test]
fn disabled_metrics_are_counted_while_they_are_off_the_page() {
    let api = Api::start(finished(1));
    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state")).set("METRICS__VARIABLES", "campaign,tenant");
    let mut truth = api.truth();
    let daemon = setup.clone().set("METRICS__DISABLED", "agntix_session_languages_total,agntix_up").start();
    let whole = truth.clone();
    truth.retain(|sample, _| !sample.starts_with("agntix_session_languages_total{"));
    daemon.shows(&truth);
    let page = daemon.get("/metrics").1;
    assert!(!page.contains("agntix_up") && !page.contains("languages") && page.contains("agntix_exporter_build_info{"));
    daemon.kill();
    let daemon = setup.start();
    until("all of it to be shown", || (durable(&daemon.samples()) == whole).then_some(()));
    daemon.shows(&whole);
}
