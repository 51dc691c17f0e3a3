//! Analyses that are written one part after the other, and agents of which a part is switched off: what is counted is the
//! whole, and nothing is waited for that never comes.

use std::time::Duration;

use simulator::{Clock as _, DeliveryConfig, Part, PartSwitch, Route, SimulatorConfig, SystemClock};

use crate::support::{Api, Setup, WEBHOOK_SECRET, free_address, until};

#[test]
fn an_analysis_that_is_found_half_written_is_counted_whole() {
    let start = SystemClock.now();
    let api = Api::start(SimulatorConfig {
        half_written_share: 1.0,
        half_written_for: Duration::from_secs(2),
        ..SimulatorConfig::load(start, 30.0, 150)
    });
    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state"))
        // What stays as it is for six of these is taken for whole, of an agent that is new.
        .set("POLL__ENDED_INTERVAL", "1s")
        .set("POLL__LISTING_INTERVAL", "200ms");
    let daemon = setup.start();
    let over = api.simulator.config().until.unwrap().plus(Duration::from_secs(6));
    until("the last session to end", || (api.simulator.now() > over).then_some(()));
    daemon.shows(&api.truth());
    assert_eq!(daemon.lines_with("level=error"), 0, "{}", daemon.log());
}

#[test]
fn deliveries_of_an_agent_with_a_part_switched_off_cost_no_requests() {
    let webhook = free_address();
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let off = PartSwitch { agent: None, part: Part::Sentiment, from: start, on: false };
    let api = Api::start(SimulatorConfig { part_switches: vec![off], ..SimulatorConfig::load(start, 10.0, 200) });
    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state"))
        .set("SESSIONS__LISTING", "false")
        .with_webhook(webhook)
        .start();
    let url = format!("http://{webhook}/webhooks/agntix");
    let deliveries = DeliveryConfig {
        since: Some(start),
        // One after the other, so that what is learned of the first is known when the next one comes.
        parallelism: 1,
        ..DeliveryConfig::new(&url, vec![WEBHOOK_SECRET.parse().unwrap()]).unwrap()
    };
    api.simulator.set_deliveries(Some(deliveries)).unwrap();
    daemon.shows(&api.truth());
    let asked = api.simulator.requests().iter().filter(|request| request.route == Route::Session).count();
    assert!(asked < 100, "{asked} requests for 200 sessions of {} agents", api.simulator.config().agents.len());
}
