//! P9: whatever a hostile API does costs that one thing, with a counter and a log line, and never the loop.

use std::time::{Duration, Instant};

use simulator::{FaultKind, FaultRule, Faults, SimulatorConfig};

use crate::support::{Api, NOON, Setup, durable, label, standing_at_noon, total, until};

const MINUTE: Duration = Duration::from_secs(60);

fn simulation() -> SimulatorConfig {
    standing_at_noon(NOON.minus(MINUTE * 30), NOON.minus(MINUTE * 12), 12_000.0)
}

#[test]
fn a_hostile_api_costs_nothing_but_time() {
    let api = Api::start(simulation());
    // Every kind there is, but for words that nobody has seen before, which are data.
    let kinds = [
        (0.03, FaultKind::Status(500)),
        (0.02, FaultKind::Status(502)),
        (0.02, FaultKind::Status(404)),
        (0.01, FaultKind::Status(429)),
        (0.03, FaultKind::Delay(2_500)),
        (0.03, FaultKind::Truncate),
        (0.02, FaultKind::HalfBody),
        (0.02, FaultKind::Garbage),
        (0.03, FaultKind::Huge),
        (0.02, FaultKind::WrongTypes),
        (0.02, FaultKind::Drop),
    ];
    assert!((kinds.iter().map(|(share, _)| share).sum::<f64>() - 0.25).abs() < 1e-9);
    let rules = kinds.map(|(share, kind)| FaultRule { route: None, share, kind }).into();
    let bad: Vec<String> = api.sessions().into_iter().step_by(40).map(|session| session.id).collect();
    api.simulator
        .set_faults(Faults { rules, bad_sessions: bad.iter().cloned().collect(), ..Faults::default() })
        .unwrap();
    let truth = api.truth();
    assert!(bad.len() > 2 && total(&truth, "agntix_sessions_ended_total") > 100.0);

    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state"))
        .set("API__TIMEOUT", "2s")
        .set("API__CONNECT_TIMEOUT", "2s")
        // A session that is unlucky several times in a row must not hide the others for the whole of the test.
        .set("SESSIONS__LOOK_BACK_DEADLINE", "15s")
        .set("POLL__LISTING_INTERVAL", "300ms")
        .set("POLL__AGENTS_INTERVAL", "300ms")
        .start();
    let began = Instant::now();
    daemon.shows(&truth);

    let samples = daemon.samples();
    let malformed = |reason: &str| {
        let name = format!("agntix_exporter_malformed_sessions_total{{reason=\"{reason}\"}}");
        samples.get(&name).copied().unwrap_or_default()
    };
    // Each bad session's entry, and each answer about it.
    assert!(malformed("json") > 5.0 && malformed("created_at") > 2.0, "{samples:?}");
    let code = |code: &str| {
        let of_code = samples.iter().filter(|(name, _)| label(name, "code") == Some(code));
        of_code.map(|(_, value)| value).sum::<f64>()
    };
    for expected in ["500", "502", "404", "429", "timeout", "body"] {
        assert!(code(expected) > 0.0, "no {expected} was met");
    }
    until("the API to count as up", || (daemon.sample("agntix_up") == Some(1.0)).then_some(()));

    let log = daemon.log();
    let complaints: Vec<&str> = log.lines().filter(|line| !line.contains("level=info")).collect();
    let names_request = |line: &&&str| line.contains("request_id=req_") || line.contains("request id req_");
    assert!(complaints.iter().any(|line| line.contains("a session cannot be read") && names_request(&line)), "{log}");
    // Ten lines a minute about sessions, pages and refusals, and a few about the API when it counts as down.
    let single = |line: &&&str| {
        ["a session cannot be read", "parts of a session", "a page of the listing", "fewer requests"]
            .iter()
            .any(|text| line.contains(text))
    };
    let lines = complaints.iter().filter(single).count();
    let minutes = usize::try_from(began.elapsed().as_secs() / 60).unwrap();
    assert!(lines <= 10 * (minutes + 1), "{lines} lines:\n{log}");
    assert!(complaints.len() - lines < 20, "{log}");
    assert!(total(&samples, "agntix_exporter_malformed_sessions_total") > 20.0, "nothing had to be left unsaid");
    assert!(!log.contains("panic"), "{log}");
    let peak = daemon.memory_mib("VmHWM");
    assert!(peak < 128.0, "{peak} MiB");
    // The loop goes on.
    let requests = api.simulator.requests().len();
    until("more requests", || (api.simulator.requests().len() > requests + 5).then_some(()));
}

#[test]
fn words_that_nobody_has_seen_are_data() {
    for list_analysis in [false, true] {
        let api = Api::start(SimulatorConfig { list_analysis, ..simulation() });
        let rule = FaultRule { route: None, share: 1.0, kind: FaultKind::UnknownEnums };
        api.simulator.set_faults(Faults { rules: vec![rule], ..Faults::default() }).unwrap();
        let state = tempfile::tempdir().unwrap();
        let daemon = Setup::new(api.address, &state.path().join("state")).start();
        let truth = api.truth();
        let outcomes = "agntix_session_outcomes_total";
        let shown = until("all to be counted", || {
            Some(durable(&daemon.samples())).filter(|shown| total(shown, outcomes) >= total(&truth, outcomes))
        });
        for name in ["agntix_sessions_started_total", "agntix_sessions_ended_total", outcomes] {
            assert_eq!(total(&shown, name), total(&truth, name), "{name}");
            for sample in shown.keys().filter(|sample| sample.starts_with(name)) {
                assert_eq!(label(sample, "session_type"), Some("new_type"));
                assert_eq!(label(sample, "platform"), Some("new_platform"));
                assert!(["new_direction", "unknown"].contains(&label(sample, "direction").unwrap()));
            }
        }
    }
}
