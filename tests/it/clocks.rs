//! What a wrong `Date` of the API does, and what the API asks for in the heads of its answers.

use std::time::Duration;

use simulator::{AgentProfile, DateFault, FaultKind, FaultRule, Faults, HeadFaults, RetryAfter, SimulatorConfig};

use crate::support::{Api, NOON, Setup, total, until};

const MINUTE: Duration = Duration::from_secs(60);
const TIMEOUTS: &str = "agntix_session_analysis_timeouts_total";

/// Sessions of the five minutes before noon, whose analyses come five minutes after noon.
fn simulation() -> SimulatorConfig {
    SimulatorConfig {
        start: NOON.minus(MINUTE * 5),
        until: Some(NOON.minus(MINUTE)),
        now: Some(NOON),
        speed: 0.0,
        agents: vec![AgentProfile {
            sessions_per_day: 10_000.0,
            mean_duration: Duration::from_secs(3),
            shortest: Duration::from_secs(1),
            longest: Duration::from_secs(5),
            ..AgentProfile::default()
        }],
        analysis_delay: (MINUTE * 6, MINUTE * 7),
        no_analysis_share: 0.0,
        missing_part_share: 0.0,
        rate_limit: None,
        ..SimulatorConfig::default()
    }
}

fn lying(date: DateFault) -> Faults {
    Faults { heads: HeadFaults { date: Some(date), ..HeadFaults::default() }, ..Faults::default() }
}

#[test]
fn date_that_lies_in_some_answers_has_no_session_given_up_before_its_analysis_comes() {
    // Of more, two thirds of the latest answers lie sooner or later, which is when a majority is believed.
    let lie = DateFault { share: 0.25, ahead_seconds: 1_200.0, drift_seconds: 0.0, until_request: None };
    for date in [lie, DateFault { share: 1.0, until_request: Some(3), ..lie }] {
        let api = Api::start(simulation());
        api.simulator.set_faults(lying(date)).unwrap();
        let state = tempfile::tempdir().unwrap();
        let daemon =
            Setup::new(api.address, &state.path().join("state")).set("SESSIONS__LOOK_BACK_DEADLINE", "2s").start();
        daemon.shows(&api.truth());
        let asked = api.simulator.requests().len();
        until("each waiting session to be asked for again and again", || {
            (api.simulator.requests().len() > asked + 300).then_some(())
        });
        assert_eq!(total(&daemon.samples(), TIMEOUTS), 0.0);
        api.jump(NOON.plus(MINUTE * 8));
        daemon.shows(&api.truth());
        assert_eq!(total(&daemon.samples(), TIMEOUTS), 0.0);
        assert!(total(&daemon.samples(), "agntix_sessions_ended_total") > 10.0);
    }
}

#[test]
fn retry_after_of_a_503_is_obeyed_as_a_number_and_as_a_date() {
    for as_date in [false, true] {
        let api = Api::start(simulation());
        let state = tempfile::tempdir().unwrap();
        let setup = Setup::new(api.address, &state.path().join("state")).set("SESSIONS__LOOK_BACK_DEADLINE", "1s");
        let daemon = setup.start();
        daemon.shows(&api.truth());
        let rules = vec![FaultRule { route: None, share: 1.0, kind: FaultKind::Status(503) }];
        let heads = HeadFaults { retry_after: Some(RetryAfter { seconds: 3_000, as_date }), ..HeadFaults::default() };
        api.simulator.set_faults(Faults { rules, heads, ..Faults::default() }).unwrap();
        until("a pause", || daemon.log().contains("Retry-After").then_some(()));
        // Those that were under way are answered, and none follows.
        let mut before = usize::MAX;
        until("the requests to end", || {
            std::thread::sleep(Duration::from_millis(500));
            let now = api.simulator.requests().len();
            (std::mem::replace(&mut before, now) == now).then_some(())
        });
        let refused = api.simulator.requests().iter().filter(|request| request.status == 503).count();
        assert!((1..=32).contains(&refused), "{refused} requests");
    }
}

#[test]
fn limit_is_read_in_all_its_forms() {
    let forms: [(&str, &str, f64); 4] = [
        ("x-ratelimit-limit", "100, 100;w=60", 100.0),
        ("x-ratelimit-limit", "10;w=1, 600;w=60", 600.0),
        ("ratelimit-policy", "\"default\";q=300;w=60", 300.0),
        ("x-ratelimit-limit", "0", 0.0),
    ];
    for (name, value, shown) in forms {
        let api = Api::start(simulation());
        let heads = HeadFaults { rate_limit: vec![(name.into(), value.into())], ..HeadFaults::default() };
        api.simulator.set_faults(Faults { heads, ..Faults::default() }).unwrap();
        let state = tempfile::tempdir().unwrap();
        let daemon = Setup::new(api.address, &state.path().join("state")).start();
        until("the limit", || (daemon.sample("agntix_exporter_api_rate_limit") == Some(shown)).then_some(()));
        assert!(!daemon.samples().contains_key("agntix_exporter_api_rate_limit_remaining"));
        assert_eq!(daemon.lines_with("the API state"), 1, "{}", daemon.log());
    }
}
