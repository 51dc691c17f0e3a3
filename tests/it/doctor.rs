//! `doctor`: finds what is wrong with an installation, says what to do, and counts nothing.

use std::time::Duration;

use agntix_exporter::clock::{Clock as _, SystemClock};
use agntix_exporter::simulator::{DEFAULT_KEY, NO_SCOPE_KEY, PERSONAL_MARKER, SimulatorConfig};
use serde_json::Value;

use crate::support::{Api, Setup, ask};

/// An organization whose clock is right.
fn organization() -> SimulatorConfig {
    SimulatorConfig::load(SystemClock.now().minus(Duration::from_secs(1_800)), 10.0, 300)
}

struct Diagnosis {
    code: Option<i32>,
    findings: Vec<Value>,
    text: String,
}

impl Diagnosis {
    fn of(setup: &Setup) -> Self {
        let (code, text) = setup.clone().argument("doctor").argument("--json").run();
        // What is said at the end goes to standard error, which comes behind it.
        let end = text.rfind('}').unwrap_or_else(|| panic!("{text}")) + 1;
        let report: Value = serde_json::from_str(&text[..end]).unwrap_or_else(|e| panic!("{e}: {text}"));
        Self { code, findings: report["findings"].as_array().unwrap().clone(), text }
    }

    /// Standing, finding and advice of the worst finding of this check.
    fn worst(&self, check: &str) -> (&str, String) {
        let of_check = self.findings.iter().filter(|finding| finding["check"] == check);
        let worst = of_check.max_by_key(|finding| {
            ["ok", "warning", "failure"].iter().position(|standing| finding["standing"] == *standing)
        });
        let finding = worst.unwrap_or_else(|| panic!("nothing about {check}: {}", self.text));
        let said = format!("{} -> {}", finding["found"], finding["advice"]);
        (finding["standing"].as_str().unwrap(), said)
    }

    /// Nothing but these is wrong.
    fn assert_only(&self, wrong: &[(&str, &str, &str)]) {
        for (check, standing, words) in wrong {
            let (found, said) = self.worst(check);
            assert_eq!(found, *standing, "{check}: {}", self.text);
            assert!(said.contains(words), "{check}: {said}");
        }
        for finding in &self.findings {
            let expected = wrong.iter().any(|(check, ..)| finding["check"] == *check);
            assert!(expected || finding["standing"] == "ok", "{finding}");
        }
        let is_broken = wrong.iter().any(|(_, standing, _)| *standing == "failure");
        assert_eq!(self.code, Some(i32::from(is_broken)), "{}", self.text);
    }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong_and_nothing_is_counted() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state")).set("STREAM__ENABLED", "true");
    let before = Diagnosis::of(&setup);
    before.assert_only(&[]);
    for check in
        ["configuration", "state", "disk", "credential", "agents", "listing", "session", "stream", "clock", "budget"]
    {
        before.worst(check);
    }
    assert!(!place.path().join("state").exists(), "looking makes nothing");
    assert!(!before.text.contains(PERSONAL_MARKER) && !before.text.contains(DEFAULT_KEY), "{}", before.text);

    // Beside a running exporter, which neither notices.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = setup.set("WEB__LISTEN_ADDRESS", &port.to_string());
    let mut daemon = setup.start();
    daemon.shows(&api.truth());
    let beside = Diagnosis::of(&setup);
    beside.assert_only(&[]);
    assert!(beside.worst("state").1.contains("in use by a running exporter"), "{}", beside.text);
    assert!(beside.worst("metrics").1.contains("an exporter is alive"), "{}", beside.text);
    daemon.stops_on("TERM");

    let after = Diagnosis::of(&setup);
    after.assert_only(&[]);
    let remembered = format!("with {} sessions remembered", api.sessions().len());
    assert!(after.worst("state").1.contains(&remembered), "{}", after.text);
    assert!(after.worst("series").1.contains(" now; some "), "{}", after.text);
    let daemon = setup.start();
    daemon.shows(&api.truth());
}

#[test]
fn a_credential_that_is_wrong_or_lacks_a_scope_is_told_apart() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state"));
    let wrong = Diagnosis::of(&setup.clone().env("AGNTIX_API_KEY", "pk_live_wrong"));
    wrong.assert_only(&[("credential", "failure", "make a new one")]);
    assert!(!wrong.text.contains("pk_live_wrong"), "{}", wrong.text);
    let narrow = Diagnosis::of(&setup.env("AGNTIX_API_KEY", NO_SCOPE_KEY));
    assert_eq!(narrow.code, Some(1), "{}", narrow.text);
    assert!(narrow.worst("agents").1.contains("lacks the scope to read the agents"), "{}", narrow.text);
}

#[test]
fn a_listing_that_is_not_there_and_an_api_that_does_not_answer_are_found() {
    let config = SimulatorConfig { listing_refused: Some(404), ..organization() };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state"));
    Diagnosis::of(&setup).assert_only(&[("listing", "failure", "paths in [api]")]);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = Diagnosis::of(&setup.set("API__BASE_URL", &format!("http://{nobody}")));
    dead.assert_only(&[("agents", "failure", "HTTPS_PROXY")]);
}

#[test]
fn a_clock_that_is_wrong_is_worse_with_webhooks() {
    let config = organization();
    let start = config.start;
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    // The API's clock is an hour ahead.
    api.jump(start.plus(Duration::from_secs(5_400)));
    let setup = Setup::new(api.address, &place.path().join("state")).set("SESSIONS__RECENT_WINDOW", "2h");
    Diagnosis::of(&setup).assert_only(&[("clock", "warning", "behind the API's")]);
    let setup =
        setup.set("WEBHOOK__ENABLED", "true").env("AGNTIX_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let diagnosis = Diagnosis::of(&setup);
    diagnosis.assert_only(&[("clock", "failure", "refused as stale")]);
    assert!(!diagnosis.text.contains("MfKQ9r8G"), "{}", diagnosis.text);
}

#[test]
fn a_place_a_secret_and_an_address_that_are_no_good_are_found() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let path = |name: &str| place.path().join(name).display().to_string();
    std::fs::write(path("file"), "no directory").unwrap();
    std::fs::write(path("secret"), "not a secret").unwrap();
    // A server that is no exporter: the simulator itself.
    let setup = Setup::new(api.address, &place.path().join("state"))
        .set("STATE__PATH", &path("file"))
        .set("WEB__LISTEN_ADDRESS", &api.address.to_string())
        .set("WEBHOOK__ENABLED", "true")
        .set("WEBHOOK__SECRET_FILE", &path("secret"))
        .set("WEBHOOK__LISTEN_ADDRESS", "192.0.2.1:9897");
    let diagnosis = Diagnosis::of(&setup);
    diagnosis.assert_only(&[
        ("state", "failure", "is no directory"),
        ("metrics", "failure", "not by an exporter of this configuration"),
        ("secret", "failure", "webhook.secret_file"),
        ("webhook", "failure", "set an address of this machine"),
    ]);
    assert_eq!(ask(api.address, "GET", "/-/healthy", &[]).unwrap().status, 401, "what was asked is no exporter");
    let (code, text) = setup.argument("doctor").run();
    assert_eq!(code, Some(1));
    assert!(text.contains("4 failures, no warnings") && text.contains("4 things are broken"), "{text}");
}

#[test]
fn a_state_of_another_format_is_looked_at_and_left_as_it_is() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state"));
    let mut daemon = setup.start();
    daemon.shows(&api.truth());
    daemon.stops_on("TERM");
    let file = place.path().join("state/ledger.sqlite");
    let of_format = |format: i32| {
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[60..64].copy_from_slice(&format.to_be_bytes());
        std::fs::write(&file, &bytes).unwrap();
        bytes
    };
    for (format, standing, words) in [(1, "warning", "copy the directory first"), (99, "failure", "a newer version")] {
        let bytes = of_format(format);
        Diagnosis::of(&setup).assert_only(&[("state", standing, words)]);
        assert!(std::fs::read(&file).unwrap() == bytes, "the state was changed");
    }
}

#[test]
fn a_budget_that_polling_outruns_is_a_warning() {
    let config = SimulatorConfig { rate_limit: Some(100), ..organization() };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state")).set("POLL__LISTING_INTERVAL", "1s");
    Diagnosis::of(&setup).assert_only(&[("budget", "warning", "sessions will be counted late")]);
    let setup = setup.set("POLL__LISTING_INTERVAL", "1m").set("POLL__OPEN_INTERVAL", "1m");
    Diagnosis::of(&setup).assert_only(&[]);
}
