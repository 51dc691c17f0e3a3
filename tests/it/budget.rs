//! P6: at most the configured share of the organization's rate limit, over any 60 s, spent on what matters most first.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use simulator::{AgentProfile, Channel, FaultKind, FaultRule, Faults, RequestRecord, Route, SimulatorConfig, weighted};

use crate::support::{Api, NOON, Setup, until};

const LIMIT: u32 = 120;
const SHARE: usize = 60;
const LONG: Duration = Duration::from_secs(78);

/// Sessions that have ended by noon, where the clock stands, and others that are open all the while.
fn simulation() -> SimulatorConfig {
    let channels = vec![(Channel::new("VOICE", "PHONE", None), 1.0)];
    let over = AgentProfile {
        id: "over".into(),
        sessions_per_day: 86_400.0 / 8.0,
        longest: Duration::from_secs(60),
        channels: channels.clone(),
        ..AgentProfile::default()
    };
    let open = AgentProfile {
        id: "open".into(),
        sessions_per_day: 86_400.0 / 30.0,
        shortest: Duration::from_secs(86_400),
        longest: Duration::from_secs(86_400),
        intents: weighted(&[("x", 1.0)]),
        channels,
        ..AgentProfile::default()
    };
    SimulatorConfig {
        start: NOON.minus(Duration::from_secs(660)),
        until: Some(NOON.minus(Duration::from_secs(61))),
        now: Some(NOON),
        speed: 0.0,
        agents: vec![over, open],
        analysis_delay: (Duration::ZERO, Duration::ZERO),
        no_analysis_share: 0.0,
        rate_limit: Some(LIMIT),
        ..SimulatorConfig::default()
    }
}

/// The most requests within any 60 s.
pub fn fullest_window(log: &[RequestRecord]) -> usize {
    let within = |from: &RequestRecord| {
        log.iter().filter(|r| (0..60_000).contains(&(r.received_at_ms - from.received_at_ms))).count()
    };
    log.iter().map(within).max().unwrap_or(0)
}

#[test]
fn every_60_seconds_hold_the_share_at_most_and_ended_sessions_go_first() {
    let api = Api::start(simulation());
    let fault = |share, kind| FaultRule { route: None, share, kind };
    let rules = vec![fault(0.06, FaultKind::Status(503)), fault(0.04, FaultKind::Status(429))];
    api.simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
    let ended: HashSet<String> = api.sessions().into_iter().filter(|s| s.ended <= NOON).map(|s| s.id).collect();
    // All of them are on one page of the listing, and more than the first window holds.
    assert!(ended.len() > SHARE + 10 && api.sessions().len() < 100, "{}", ended.len());
    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state"))
        .set("API__REQUESTS_PER_MINUTE", "50")
        .set("API__BUDGET_SHARE", "0.5")
        .set("API__TIMEOUT", "2s")
        .set("API__CONNECT_TIMEOUT", "2s")
        // So that the order of the log is the order in which the exporter decided.
        .set("API__MAX_CONCURRENCY", "1");

    let began = Instant::now();
    let daemon = setup.start();
    until("the first window to be spent", || (api.simulator.requests().len() >= SHARE - 6).then_some(()));
    // Nothing is waited for here: the kill falls into the middle of the windows.
    std::thread::sleep(Duration::from_secs(30).saturating_sub(began.elapsed()));
    daemon.kill();
    let before_kill = api.simulator.requests().len();
    let daemon = setup.start();
    let restarted = Instant::now();
    // The length of the test is what it measures.
    while began.elapsed() < LONG {
        let throttled = daemon.sample("agntix_exporter_api_throttled_seconds_total").unwrap();
        assert!(throttled <= restarted.elapsed().as_secs_f64() + 0.1);
        std::thread::sleep(Duration::from_millis(500));
    }
    let log = api.simulator.requests();
    let fullest = fullest_window(&log);
    assert!(fullest <= SHARE, "{fullest} requests within 60 s");
    assert!(before_kill * 5 > SHARE * 4 && fullest * 5 > SHARE * 4, "only {fullest} requests within 60 s");
    assert!(log.len() * 5 > 2 * SHARE * 4, "only {} requests in {LONG:?}", log.len());
    assert!(daemon.sample("agntix_exporter_api_throttled_seconds_total").unwrap() > 10.0);
    let faults = |status| log.iter().filter(|r| r.status == status).count();
    assert!(faults(503) > 0 && faults(429) > 0, "no retries were tested");

    // What the daemon says of the limit is what the last answer said.
    let last = log.last().unwrap().received_at_ms.div_euclid(60_000);
    let used = log.iter().filter(|r| r.received_at_ms.div_euclid(60_000) == last).count();
    assert!(used <= LIMIT as usize, "the simulator's own limiter had to refuse requests");
    let samples = daemon.samples();
    assert_eq!(api.simulator.requests().len(), log.len(), "it still asks");
    let gauge = |name: &str| samples[&format!("agntix_exporter_api_rate_limit{name}")];
    assert_eq!(gauge(""), f64::from(LIMIT));
    assert_eq!(gauge("_remaining"), f64::from(LIMIT - u32::try_from(used).unwrap()));
    assert_eq!(gauge("_reset_timestamp_seconds"), f64::from(i32::try_from((last + 1) * 60).unwrap()));

    // When the budget was there again, sessions that had ended came first, all of them, before anything else.
    let gap = |pair: &[RequestRecord]| pair[1].received_at_ms - pair[0].received_at_ms;
    let second = 1 + (0..log.len() - 1).max_by_key(|at| gap(&log[*at..*at + 2])).unwrap();
    assert!(gap(&log[second - 1..=second]) > 15_000, "there was no time without budget");
    let id = |request: &RequestRecord| request.path.rsplit('/').next().unwrap().to_owned();
    let counted = |r: &&RequestRecord| r.route == Route::Session && r.status == 200;
    let done: HashSet<String> = log[..second].iter().filter(counted).map(id).collect();
    let mut left: HashSet<String> = ended.difference(&done).cloned().collect();
    assert!(left.len() > 10, "nothing was left for the second window");
    for request in &log[second..] {
        if left.is_empty() {
            break;
        }
        let id = id(request);
        assert!(ended.contains(&id), "{} while {} ended sessions waited", request.path, left.len());
        left.remove(&id);
    }
    let rest = log[second..].iter().skip_while(|r| ended.contains(&id(r)));
    assert!(rest.count() > 0, "open sessions and the listing got nothing at all");
}

#[test]
fn without_the_headers_there_are_no_series_of_them() {
    let api = Api::start(SimulatorConfig { rate_limit: None, rate_limit_headers: false, ..simulation() });
    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state")).start();
    daemon.shows(&api.truth());
    let names: Vec<String> = daemon.samples().into_keys().collect();
    assert!(names.iter().any(|name| name.starts_with("agntix_exporter_api_requests_total")));
    assert!(!names.iter().any(|name| name.contains("rate_limit")), "{names:?}");
}
