//! JSON as JavaScript and careless writers write it: no session is lost, whatever tells of it.

use std::time::Duration;

use simulator::{
    Clock as _, DeliveryConfig, FaultKind, FaultRule, Faults, Route, SimulatorConfig, StreamFaults, SystemClock,
    Writing, weighted,
};

use crate::support::{Api, Daemon, Setup, WEBHOOK_SECRET, free_address, total, until};

/// Sessions that are all over and analysed by now.
fn finished(total: u64) -> SimulatorConfig {
    SimulatorConfig::load(SystemClock.now().minus(Duration::from_secs(1_800)), 10.0, total)
}

fn always(route: Option<Route>, kind: FaultKind) -> FaultRule {
    FaultRule { route, share: 1.0, kind }
}

fn malformed(daemon: &Daemon) -> f64 {
    total(&daemon.samples(), "agntix_exporter_malformed_sessions_total")
}

#[test]
fn what_is_oddly_written_is_counted_from_the_listing_and_from_sessions() {
    for list_analysis in [true, false] {
        let api = Api::start(SimulatorConfig { list_analysis, ..finished(200) });
        let rules = vec![always(None, FaultKind::Lenient(Writing::Any))];
        api.simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
        let state = tempfile::tempdir().unwrap();
        let daemon = Setup::new(api.address, &state.path().join("state")).start();
        daemon.shows(&api.truth());
        assert_eq!(malformed(&daemon), 0.0, "{}", daemon.log());
        let agents = || daemon.samples().keys().filter(|name| name.starts_with("agntix_agent_info{")).count();
        until("the agents", || (agents() == api.simulator.config().agents.len()).then_some(()));
    }
}

#[test]
fn label_values_are_escaped_as_the_text_format_asks() {
    let mut config = finished(100);
    for agent in &mut config.agents {
        agent.intents =
            weighted(&[(r"C:\new", 0.3), ("a \"quoted\" word", 0.3), ("two\nlines", 0.2), ("\\\"\n\\n", 0.2)]);
    }
    let api = Api::start(config);
    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state")).start();
    let truth = api.truth();
    for written in
        [r#"intent="C:\\new""#, r#"intent="a \"quoted\" word""#, r#"intent="two\nlines""#, r#"intent="\\\"\n\\n""#]
    {
        assert!(truth.keys().any(|sample| sample.contains(written)), "{written}");
    }
    daemon.shows(&truth);
}

#[test]
fn an_item_that_is_no_json_costs_no_other_item() {
    let api = Api::start(SimulatorConfig { list_analysis: true, ..finished(150) });
    let rules = [Route::List, Route::Agents].map(|route| always(Some(route), FaultKind::BrokenItem)).into();
    api.simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state")).start();
    daemon.shows(&api.truth());
    assert!(malformed(&daemon) > 0.0);
    let agents = || daemon.samples().keys().filter(|name| name.starts_with("agntix_agent_info{")).count();
    until("the agents", || (agents() == api.simulator.config().agents.len()).then_some(()));
}

#[test]
fn deliveries_that_are_oddly_written_are_taken_and_counted() {
    let webhook = free_address();
    let api = Api::start(finished(200));
    api.simulator.set_faults(Faults { deliveries_written: Some(Writing::Any), ..Faults::default() }).unwrap();
    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state"))
        .set("SESSIONS__LISTING", "false")
        .with_webhook(webhook)
        .start();
    let url = format!("http://{webhook}/webhooks/agntix");
    let deliveries = DeliveryConfig {
        since: Some(api.simulator.config().start),
        backoff_scale: 0.001,
        ..DeliveryConfig::new(&url, vec![WEBHOOK_SECRET.parse().unwrap()]).unwrap()
    };
    api.simulator.set_deliveries(Some(deliveries)).unwrap();
    daemon.shows(&api.truth());
    let records = api.simulator.deliveries();
    assert!(!records.is_empty() && records.iter().all(|record| record.status == 200), "one is refused");
    // Each is as good as a well-written one: none costs a request.
    let asked = api.simulator.requests().iter().filter(|request| request.route == Route::Session).count();
    assert_eq!((asked, malformed(&daemon)), (0, 0.0));
}

#[test]
fn events_that_are_oddly_written_are_followed() {
    let start = SystemClock.now();
    let api = Api::start(SimulatorConfig { now: Some(start), speed: 0.0, ..SimulatorConfig::load(start, 50.0, 150) });
    let stream = StreamFaults { lenient_share: 1.0, ..StreamFaults::default() };
    api.simulator.set_faults(Faults { stream, ..Faults::default() }).unwrap();
    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state"))
        .set("STREAM__ENABLED", "true")
        .set("SESSIONS__LISTING", "false")
        .start();
    until("the stream to be followed", || (api.simulator.open_streams() == 1).then_some(()));
    api.simulator.set_clock(None, Some(1.0)).unwrap();
    let over = api.simulator.config().until.unwrap().plus(Duration::from_secs(4));
    until("the last session to end", || (api.simulator.now() > over).then_some(()));
    daemon.shows(&api.truth());
    let connections = api.simulator.requests().iter().filter(|request| request.route == Route::Stream).count();
    assert_eq!(connections, 1, "none of them ends the stream");
}
