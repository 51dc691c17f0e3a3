//! P5: an outcome is counted once, with its analysis or at the deadline; what changes later is a reclassification and
//! nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use simulator::{AgentProfile, SimulatorConfig};

use crate::support::{Api, NOON, Setup, durable, label, total, until};

const MINUTE: Duration = Duration::from_secs(60);
const TIMEOUTS: &str = "agntix_session_analysis_timeouts_total";
const OUTCOMES: &str = "agntix_session_outcomes_total";
const RECLASSIFICATIONS: &str = "agntix_session_reclassifications_total";

/// Sessions of the five minutes before noon, where the clock stands.
fn simulation() -> SimulatorConfig {
    SimulatorConfig {
        start: NOON.minus(MINUTE * 5),
        until: Some(NOON),
        now: Some(NOON),
        speed: 0.0,
        agents: vec![AgentProfile { sessions_per_day: 40_000.0, ..AgentProfile::default() }],
        missing_part_share: 0.0,
        rate_limit: None,
        ..SimulatorConfig::default()
    }
}

#[test]
fn an_outcome_is_counted_with_its_analysis_or_at_the_deadline() {
    for list_analysis in [false, true] {
        let api = Api::start(SimulatorConfig {
            analysis_delay: (MINUTE, MINUTE * 4),
            no_analysis_share: 0.3,
            list_analysis,
            ..simulation()
        });
        let state = tempfile::tempdir().unwrap();
        let setup = Setup::new(api.address, &state.path().join("state"))
            .set("POLL__ANALYSIS_DEADLINE", "10m")
            .set("SESSIONS__LOOK_BACK_DEADLINE", "0s");
        let truth = || api.truth_within(MINUTE * 10);
        let ended = |truth: &BTreeMap<String, f64>| total(truth, "agntix_sessions_ended_total");
        let daemon = setup.start();

        // Some analyses are there, others are waited for.
        let at_noon = truth();
        daemon.shows(&at_noon);
        assert!(total(&at_noon, OUTCOMES) > 0.0 && total(&at_noon, OUTCOMES) < ended(&at_noon));

        // The late ones come; those that never will are still waited for, also by another process.
        api.jump(NOON.plus(MINUTE * 5));
        let later = truth();
        daemon.shows(&later);
        assert!(total(&later, OUTCOMES) > total(&at_noon, OUTCOMES) && total(&later, OUTCOMES) < ended(&later));
        assert_eq!(total(&daemon.samples(), TIMEOUTS), 0.0);
        daemon.kill();

        // The deadline of all of them passes.
        let daemon = setup.start();
        api.jump(NOON.plus(MINUTE * 25));
        let in_the_end = truth();
        daemon.shows(&in_the_end);
        assert_eq!(total(&in_the_end, OUTCOMES), ended(&in_the_end));
        let samples = daemon.samples();
        let none = samples.iter().filter(|(name, _)| {
            name.starts_with(OUTCOMES)
                && (label(name, "resolution"), label(name, "sentiment")) == (Some("none"), Some("none"))
        });
        let timeouts = total(&samples, TIMEOUTS);
        assert!(timeouts > 20.0, "{timeouts}");
        assert_eq!(none.map(|(_, value)| value).sum::<f64>(), timeouts);
    }
}

#[test]
fn a_changed_analysis_is_a_reclassification_and_nothing_else() {
    let agent = AgentProfile {
        sessions_per_day: 20_000.0,
        mean_duration: Duration::from_secs(3),
        shortest: Duration::from_secs(1),
        longest: Duration::from_secs(5),
        ..AgentProfile::default()
    };
    let api = Api::start(SimulatorConfig {
        until: Some(NOON.minus(Duration::from_secs(30))),
        agents: vec![agent],
        no_analysis_share: 0.0,
        reclassified_share: 0.6,
        reclassified_after: MINUTE * 15,
        list_analysis: true,
        ..simulation()
    });
    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state"));
    let daemon = setup.start();
    let before = api.truth();
    daemon.shows(&before);
    assert_eq!(total(&before, RECLASSIFICATIONS), 0.0);

    api.jump(NOON.plus(MINUTE * 20));
    let after = api.truth();
    daemon.shows(&after);
    assert!(total(&after, RECLASSIFICATIONS) > 20.0);
    let others = |truth: &BTreeMap<String, f64>| {
        let others = truth.iter().filter(|(name, _)| !name.starts_with(RECLASSIFICATIONS));
        others.map(|(name, value)| (name.clone(), *value)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(others(&after), others(&before));
    daemon.kill();

    // It is a change once, however often it is seen again.
    let daemon = setup.start();
    let swept = || daemon.sample("agntix_exporter_source_last_success_timestamp_seconds{source=\"listing\"}");
    let first = until("a sweep", swept);
    // The API's clock stands still, so that this time varies by the age of its answers, in both directions.
    until("another sweep", || swept().filter(|at| (at - first).abs() > 0.0));
    assert_eq!(durable(&daemon.samples()), after);
}
