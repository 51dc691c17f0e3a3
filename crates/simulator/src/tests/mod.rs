//! Tests of the simulator as a whole; what concerns one file alone is tested there.

mod api;
mod faults;
mod http;
mod scope;
mod sessions;
mod truth;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::answer::{Answer, Delivery};
use super::api::{Call, answer};
use super::*;
use crate::time::ManualClock;

/// A simulator whose clocks both stand still, one hour after the first session.
fn frozen(change: impl FnOnce(&mut SimulatorConfig)) -> (Arc<Simulator>, Arc<ManualClock>) {
    let mut config = SimulatorConfig { rate_limit: None, ..SimulatorConfig::default() };
    change(&mut config);
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
    (Simulator::with_clock(config, Arc::clone(&clock) as Arc<dyn Clock>), clock)
}

/// Asks with the default key.
fn get(simulator: &Simulator, route: Route, id: &str, query: &[(&str, &str)]) -> Answer {
    ask(simulator, route, id, query, Some(DEFAULT_KEY))
}

fn ask(simulator: &Simulator, route: Route, id: &str, query: &[(&str, &str)], credential: Option<&str>) -> Answer {
    let query: HashMap<String, String> = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let credential = credential.map(str::to_owned);
    answer(
        simulator,
        &Call { route, id: id.to_owned(), path: "/".into(), query: Some(query), credential, resumes: false },
    )
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
}

fn after(config: &SimulatorConfig, seconds: u64) -> Timestamp {
    config.start.plus(Duration::from_secs(seconds))
}
