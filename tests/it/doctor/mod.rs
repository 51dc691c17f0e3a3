//! `doctor`: every check tells what is wrong with an installation, each alone, and changes nothing.

mod api;
mod database;
mod machine;

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use simulator::{Clock as _, DEFAULT_KEY, PERSONAL_MARKER, Route, SimulatorConfig, SystemClock};

use crate::support::{Api, Setup, WEBHOOK_SECRET as SECRET, free_address};

/// An organization with a few sessions behind it and some open, on the real clock.
fn organization() -> SimulatorConfig {
    // Of the limit there is plenty: what is checked is not to be in want of it.
    SimulatorConfig { rate_limit: Some(60_000), ..SimulatorConfig::demo(SystemClock.now()) }
}

/// An installation as its operator would have it: usual intervals, and a port of its own.
fn installation(api: SocketAddr, place: &Path) -> Setup {
    let setup = Setup::new(api, &place.join("state")).set("WEB__LISTEN_ADDRESS", &free_address().to_string());
    ["API__REQUESTS_PER_MINUTE", "POLL__LISTING_INTERVAL", "POLL__OPEN_INTERVAL", "POLL__ENDED_INTERVAL"]
        .into_iter()
        .fold(setup, Setup::unset)
}

/// What doctor found.
struct Found {
    code: Option<i32>,
    json: Value,
    all: String,
}

impl Found {
    /// Status and sentence of a check; several of one name in their order.
    fn of(&self, check: &str) -> Vec<(&str, &str)> {
        let findings = self.json["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check);
        findings.map(|f| (f["status"].as_str().unwrap(), f["says"].as_str().unwrap())).collect()
    }

    /// The only finding of a check.
    fn only(&self, check: &str) -> (&str, &str) {
        let found = self.of(check);
        assert_eq!(found.len(), 1, "{check}: {}", self.all);
        found[0]
    }

    /// The checks that are not ok, and how they are.
    fn wrong(&self) -> Vec<(&str, &str)> {
        let findings = self.json["findings"].as_array().unwrap().iter();
        let told = findings.map(|f| (f["check"].as_str().unwrap(), f["status"].as_str().unwrap(), &f["advice"]));
        told.filter(|(check, status, advice)| {
            assert_eq!(advice.is_null(), *status == "ok", "advice of {check}: {}", self.all);
            *status != "ok"
        })
        .map(|(check, status, _)| (check, status))
        .collect()
    }
}

fn doctor(setup: &Setup) -> Found {
    let (code, all) = setup.clone().argument("doctor").argument("--format=json").run();
    let end = all.rfind('}').unwrap_or_else(|| panic!("no JSON: {all}"));
    let json = serde_json::from_str(&all[..=end]).unwrap_or_else(|e| panic!("{e}: {all}"));
    Found { code, json, all }
}

#[test]
fn all_is_well_before_the_first_start_and_nothing_is_made() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path())
        .set("WEBHOOK__ENABLED", "true")
        .set("WEBHOOK__LISTEN_ADDRESS", &free_address().to_string())
        .env("AGNTIX_WEBHOOK_SECRET", &format!("{SECRET},{SECRET}"));
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    assert_eq!(found.only("credential").1, format!("{} accepts the credential in AGNTIX_API_KEY", api.address));
    assert_eq!(found.only("agents").1, "5 agents can be read");
    assert!(found.only("listing").1.contains(" of the last 24 h can be listed, "), "{}", found.all);
    assert_eq!(found.only("session").1, "a single session can be read");
    let paths = "single sessions at /api/v1/chat/sessions/{id}, the listing of sessions at /api/v1/chat/sessions, the agents at /v1/chat/agents, the event stream at /v1/chat/events/stream";
    assert_eq!(found.only("paths").1, paths);
    assert!(found.only("watched").1.contains("metrics.watch_recent"), "{}", found.all);
    assert!(found.only("clock").1.ends_with(" of the API's"), "{}", found.all);
    assert!(found.only("stream").1.starts_with("the event stream can be opened"), "{}", found.all);
    assert!(
        found
            .only("budget")
            .1
            .contains(", of 30,000 that it may send (api.budget_share = 0.5 of the organization's 60,000)")
    );
    assert!(found.only("webhook-secret").1.contains("AGNTIX_WEBHOOK_SECRET holds 2 signing secrets"), "{}", found.all);
    assert!(found.only("listener").1.ends_with(" is free") && found.only("webhook-listener").1.ends_with(" is free"));
    assert!(found.only("state").1.ends_with("will be made at the first start"), "{}", found.all);
    let grows = " are free for the state; at the pace of the listed sessions it will take about ";
    assert!(found.only("disk").1.contains(grows), "{}", found.all);
    assert!(found.only("memory").1.starts_with("the exporter needs about "), "{}", found.all);
    assert!(found.only("series").1.contains("metrics.max_agents = 1000"), "{}", found.all);
    // As few requests as are promised, and none again.
    let routes: Vec<_> = api.simulator.requests().iter().map(|request| request.route).collect();
    assert_eq!(routes, [Route::Agents, Route::List, Route::List, Route::Session, Route::Stream]);
    assert_eq!(found.json["requests"], 5);
    assert!(!place.path().join("state").exists(), "it made the state directory");
    for secret in [DEFAULT_KEY, SECRET, &SECRET[6..], PERSONAL_MARKER] {
        assert!(!found.all.contains(secret), "{secret} in {}", found.all);
    }
    let (code, text) = setup.argument("doctor").run();
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("ok       credential") && text.contains(" 0 warnings, 0 failures; 5 requests sent"),
        "{text}"
    );
    assert!(!text.contains('\x1b') && !text.contains('\r'), "colours or progress without a terminal: {text:?}");
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_mistake_in_the_configuration_is_one_before_anything_is_asked() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path()).set("POLL__OPEN_INTERVAL", "soon");
    let (code, said) = setup.argument("doctor").run();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("poll.open_interval"), "{said}");
    assert!(api.simulator.requests().is_empty());
}
