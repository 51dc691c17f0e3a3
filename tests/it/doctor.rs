//! `doctor`: every check tells what is wrong with an installation, each alone, and changes nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use agntix_exporter::clock::{Clock as _, SystemClock};
use agntix_exporter::simulator::{
    AgentProfile, DEFAULT_KEY, FaultKind, FaultRule, Faults, NO_SCOPE_KEY, PERSONAL_MARKER, Route, SimulatorConfig,
};
use serde_json::Value;

use crate::support::certificates::Authority;
use crate::support::{Api, Setup, durable};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// An organization with a few sessions behind it and some open, on the real clock.
fn organization() -> SimulatorConfig {
    SimulatorConfig { rate_limit: Some(600), ..SimulatorConfig::demo(SystemClock.now()) }
}

/// A port that was free a moment ago, on a loopback address that only this process uses, so that it still is.
fn free_port() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let address = std::net::Ipv4Addr::new(127, 64 | high, middle, low);
    std::net::TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

/// An installation as its operator would have it: usual intervals, and a port of its own.
fn installation(api: SocketAddr, place: &Path) -> Setup {
    let setup = Setup::new(api, &place.join("state")).set("WEB__LISTEN_ADDRESS", &free_port().to_string());
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

fn fault(api: &Api, route: Option<Route>, kind: FaultKind) {
    let rules = vec![FaultRule { route, share: 1.0, kind }];
    api.simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
}

fn files(directory: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let mut files: Vec<_> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())).collect();
    files.sort();
    files
}

#[test]
fn all_is_well_before_the_first_start_and_nothing_is_made() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path())
        .set("WEBHOOK__ENABLED", "true")
        .set("WEBHOOK__LISTEN_ADDRESS", &free_port().to_string())
        .env("AGNTIX_WEBHOOK_SECRET", &format!("{SECRET},{SECRET}"));
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    assert_eq!(found.only("credential").1, format!("{} accepts the credential in AGNTIX_API_KEY", api.address));
    assert_eq!(found.only("agents").1, "5 agents can be read");
    assert!(found.only("listing").1.contains(" of the last 24 h can be listed, "), "{}", found.all);
    assert_eq!(found.only("session").1, "a single session can be read");
    assert!(found.only("clock").1.ends_with(" of the API's"), "{}", found.all);
    assert!(found.only("stream").1.starts_with("the event stream can be opened"), "{}", found.all);
    assert!(
        found.only("budget").1.contains(", of 300 that it may send (api.budget_share = 0.5 of the organization's 600)")
    );
    assert!(found.only("webhook-secret").1.contains("AGNTIX_WEBHOOK_SECRET holds 2 signing secrets"), "{}", found.all);
    assert!(found.only("listener").1.ends_with(" is free") && found.only("webhook-listener").1.ends_with(" is free"));
    assert!(found.only("state").1.ends_with("will be made at the first start"), "{}", found.all);
    assert!(found.only("disk").1.ends_with(" are free for the state"), "{}", found.all);
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

#[test]
fn a_key_that_is_wrong_is_asked_with_once() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path());
    let found = doctor(&setup.clone().env("AGNTIX_API_KEY", "pk_live_wrong"));
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("credential", "failure")]), "{}", found.all);
    assert!(found.only("credential").1.contains("does not accept the credential in AGNTIX_API_KEY"), "{}", found.all);
    assert!(!found.all.contains("pk_live_wrong"), "{}", found.all);
    assert_eq!(api.simulator.requests().len(), 1);

    let none = doctor(&setup.clone().unset("AGNTIX_API_KEY"));
    assert_eq!((none.code, none.wrong()), (Some(1), vec![("credential", "failure")]), "{}", none.all);
    let file = place.path().join("key");
    let of_file = setup.unset("AGNTIX_API_KEY").set("API__KEY_FILE", &file.display().to_string());
    let missing = doctor(&of_file);
    assert_eq!((missing.code, missing.wrong()), (Some(1), vec![("credential", "failure")]), "{}", missing.all);
    assert_eq!(api.simulator.requests().len(), 1, "something was sent without a key");

    std::fs::write(&file, DEFAULT_KEY).unwrap();
    set_mode(&file, 0o644);
    let open = doctor(&of_file);
    assert_eq!((open.code, open.wrong()), (Some(0), vec![("secret-file", "warning")]), "{}", open.all);
    set_mode(&file, 0o400);
    assert_eq!(doctor(&of_file).wrong(), []);
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_missing_scope_is_told_by_its_route() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path()).set("STREAM__ENABLED", "true");
    for (route, check, status, code) in [
        (Route::Agents, "agents", "warning", 0),
        (Route::List, "listing", "failure", 1),
        (Route::Session, "session", "failure", 1),
        (Route::Stream, "stream", "warning", 0),
    ] {
        fault(&api, Some(route), FaultKind::Status(403));
        let found = doctor(&setup);
        assert_eq!((found.code, found.wrong()), (Some(code), vec![(check, status)]), "{}", found.all);
        assert!(found.only(check).1.contains("lacks the scope"), "{}", found.all);
        assert_eq!(found.only("credential").0, "ok", "{}", found.all);
        // Of a load that nobody could see nothing is said.
        assert_eq!(found.of("budget").len(), usize::from(route != Route::List), "{}", found.all);
    }
    api.simulator.set_faults(Faults::default()).unwrap();
    let found = doctor(&setup.env("AGNTIX_API_KEY", NO_SCOPE_KEY));
    let all = [("agents", "warning"), ("listing", "failure"), ("session", "failure"), ("stream", "warning")];
    assert_eq!((found.code, found.wrong()), (Some(1), all.to_vec()), "{}", found.all);
}

#[test]
fn a_clock_that_is_off_is_told_and_fails_where_it_refuses_deliveries() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path());
    api.jump(SystemClock.now().plus(Duration::from_secs(600)));
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![("clock", "warning")]), "{}", found.all);
    assert!(found.only("clock").1.contains(" behind the API's"), "{}", found.all);
    let webhook = setup.set("WEBHOOK__ENABLED", "true").env("AGNTIX_WEBHOOK_SECRET", SECRET);
    let found = doctor(&webhook);
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("clock", "failure")]), "{}", found.all);
}

#[test]
fn a_stream_or_a_listing_that_is_not_there_is_told_where_it_is_wanted() {
    let config = SimulatorConfig { listing_refused: Some(404), ..organization() };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    fault(&api, Some(Route::Stream), FaultKind::Status(404));
    let setup = installation(api.address, place.path()).set("SESSIONS__LISTING", "false");
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    let found = doctor(&setup.clone().set("STREAM__ENABLED", "true"));
    assert_eq!((found.code, found.wrong()), (Some(0), vec![("stream", "warning")]), "{}", found.all);
    let found = doctor(&setup.unset("SESSIONS__LISTING"));
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("listing", "failure")]), "{}", found.all);
}

#[test]
fn a_dead_api_is_one_failure_and_the_rest_is_checked_all_the_same() {
    let place = tempfile::tempdir().unwrap();
    let found = doctor(&installation(free_port(), place.path()));
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("api", "failure")]), "{}", found.all);
    assert!(found.only("api").1.contains("connection refused"), "{}", found.all);
    assert_eq!(found.json["requests"], 1);
    for check in ["state", "disk", "listener", "series", "webhook-secret", "web-config"] {
        assert_eq!(found.only(check).0, "ok", "{}", found.all);
    }
    for check in ["credential", "clock", "agents", "listing", "session", "stream", "budget"] {
        assert!(found.of(check).is_empty(), "{check} cannot be known: {}", found.all);
    }
}

#[test]
fn an_api_that_never_answers_does_not_hold_it_up() {
    // Takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = tempfile::tempdir().unwrap();
    let setup = installation(silent.local_addr().unwrap(), place.path()).set("API__TIMEOUT", "5m");
    // Whoever waits for it does so for a minute and a half at most, and not for as long as the configuration would.
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("api", "failure")]), "{}", found.all);
    assert!(found.only("api").1.contains("did not answer"), "{}", found.all);
}

#[test]
fn a_limit_that_is_used_up_is_left_alone() {
    let config = SimulatorConfig { rate_limit: Some(2), ..organization() };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path());
    let found = doctor(&setup.clone().set("API__BUDGET_SHARE", "1.0"));
    assert_eq!(found.code, Some(0), "{}", found.all);
    assert!(found.only("api").1.contains("the rest was not asked"), "{}", found.all);
    let asked = api.simulator.requests();
    assert!(asked.iter().filter(|request| request.route != Route::Stream).count() <= 2, "{}", found.all);
    assert!(asked.iter().all(|request| request.status == 200), "{}", found.all);

    fault(&api, None, FaultKind::Status(429));
    let before = api.simulator.requests().len();
    let found = doctor(&setup);
    assert!(found.only("api").1.contains("answers 429"), "{}", found.all);
    assert_eq!(api.simulator.requests().len(), before + 1);
}

#[test]
fn a_budget_that_is_too_small_is_told() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let found = doctor(&installation(api.address, place.path()).set("API__BUDGET_SHARE", "0.02"));
    assert_eq!((found.code, found.wrong()), (Some(0), vec![("budget", "warning")]), "{}", found.all);
    assert!(found.only("budget").1.ends_with(": counts will come late"), "{}", found.all);
}

#[test]
fn a_state_that_cannot_be_written_fails() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path());
    std::fs::write(place.path().join("file"), "").unwrap();
    let below = place.path().join("file/state");
    let found = doctor(&setup.clone().set("STATE__PATH", &below.display().to_string()));
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("state", "failure")]), "{}", found.all);
    assert!(found.only("state").1.contains("is no directory"), "{}", found.all);

    let closed = place.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    set_mode(&closed, 0o555);
    set_mode(place.path(), 0o755);
    let closed = setup.clone().set("STATE__PATH", &closed.display().to_string());
    // Root may write everywhere, so that somebody else has to try.
    let is_root = rustix::process::geteuid().is_root();
    let other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let found = doctor(&if is_root { closed.through(&other) } else { closed });
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("state", "failure")]), "{}", found.all);
    assert!(found.only("state").1.contains("cannot be written by this user (Permission denied"), "{}", found.all);

    let foreign = place.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("ledger.sqlite"), "no database at all, but a text that somebody put here".repeat(9))
        .unwrap();
    let before = files(&foreign);
    let found = doctor(&setup.set("STATE__PATH", &foreign.display().to_string()));
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("state", "failure")]), "{}", found.all);
    assert!(found.only("state").1.contains("is damaged or not an agntix-exporter state"), "{}", found.all);
    assert_eq!(files(&foreign), before);
}

#[test]
fn a_running_exporter_is_known_by_its_state_and_its_listeners_and_not_disturbed() {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let config = SimulatorConfig { rate_limit: Some(100_000), ..SimulatorConfig::load(start, 10.0, 300) };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    let hook = free_port();
    let setup = Setup::new(api.address, &place.path().join("state"))
        .set("WEBHOOK__ENABLED", "true")
        .set("WEBHOOK__LISTEN_ADDRESS", &hook.to_string())
        .env("AGNTIX_WEBHOOK_SECRET", SECRET);
    let mut daemon = setup.start();
    daemon.shows(&api.truth());
    let here =
        setup.clone().set("WEB__LISTEN_ADDRESS", &daemon.address.to_string()).set("POLL__LISTING_INTERVAL", "30s");
    let found = doctor(&here);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    let process = format!(" is held by process {}, as by a running exporter", daemon.id());
    assert!(found.only("state").1.contains(&process), "{}", found.all);
    assert_eq!(found.only("listener").1, format!("a running exporter answers on {}", daemon.address));
    assert_eq!(found.only("webhook-listener").1, format!("a running exporter answers on {hook}"));
    assert!(found.only("series").1.contains(" of 8 agents are known to the running exporter now"), "{}", found.all);
    assert_eq!(durable(&daemon.samples()), api.truth(), "something was counted");
    assert_eq!(daemon.sample("agntix_exporter_state_writable"), Some(1.0));

    // Its state, and the port of nobody.
    let elsewhere = here.clone().set("WEB__LISTEN_ADDRESS", &free_port().to_string());
    let found = doctor(&elsewhere);
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("state", "failure")]), "{}", found.all);
    assert!(found.only("state").1.ends_with("but no exporter answers on web.listen_address"), "{}", found.all);

    daemon.stops_on("TERM");
    let before = files(&setup.state);
    let found = doctor(&elsewhere);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    assert!(found.only("state").1.contains(" of 8 agents, 0 sessions in progress"), "{}", found.all);
    assert!(found.only("series").1.contains(" of 8 agents are known to the state now"), "{}", found.all);
    assert_eq!(files(&setup.state), before, "it wrote into the state");
}

#[test]
fn what_a_killed_exporter_left_is_not_touched() {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let config = SimulatorConfig { rate_limit: Some(100_000), ..SimulatorConfig::load(start, 10.0, 50) };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state"));
    let daemon = setup.start();
    daemon.shows(&api.truth());
    daemon.kill();
    let before = files(&setup.state);
    let found = doctor(&setup.clone().set("POLL__LISTING_INTERVAL", "30s"));
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    assert!(found.only("state").1.contains("it was not closed"), "{}", found.all);
    assert_eq!(files(&setup.state), before);
    setup.start().shows(&api.truth());
}

#[test]
fn a_port_that_somebody_else_holds_fails() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    // An HTTP server, but no exporter.
    let setup = installation(api.address, place.path()).set("WEB__LISTEN_ADDRESS", &api.address.to_string());
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("listener", "failure")]), "{}", found.all);
    assert!(found.only("listener").1.contains("is taken by something that is no running exporter"), "{}", found.all);
}

#[test]
fn a_webhook_without_a_good_secret_fails() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path()).set("WEBHOOK__ENABLED", "true");
    let file = place.path().join("secret");
    let of_file = setup.clone().set("WEBHOOK__SECRET_FILE", &file.display().to_string());
    let wrong = [setup.clone(), setup.clone().env("AGNTIX_WEBHOOK_SECRET", "whsec_c2hvcnQ="), of_file.clone()];
    for setup in &wrong {
        let found = doctor(setup);
        assert_eq!((found.code, found.wrong()), (Some(1), vec![("webhook-secret", "failure")]), "{}", found.all);
        assert!(!found.all.contains("c2hvcnQ"), "{}", found.all);
    }
    std::fs::write(&file, SECRET).unwrap();
    set_mode(&file, 0o400);
    let found = doctor(&of_file);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    assert!(found.only("webhook-secret").1.ends_with("secret holds a signing secret"), "{}", found.all);
}

#[test]
fn a_web_configuration_is_read_and_the_end_of_its_certificate_told() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let file = place.path().join("web.yml");
    let setup = installation(api.address, place.path()).set("WEB__CONFIG_FILE", &file.display().to_string());
    std::fs::write(&file, "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n").unwrap();
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("web-config", "failure")]), "{}", found.all);
    assert!(found.only("web-config").1.contains("server.crt cannot be read"), "{}", found.all);
    let authority = Authority::new(place.path(), "authority");
    let day = Duration::from_secs(86_400);
    for (days, status, code) in [(100_i32, "ok", 0), (5, "warning", 0), (-5, "failure", 1)] {
        authority.server("server", |params| {
            let now = std::time::SystemTime::now();
            let end = if days > 0 { now + day * days.unsigned_abs() } else { now - day * days.unsigned_abs() };
            params.not_after = end.into();
        });
        let found = doctor(&setup);
        assert_eq!((found.code, found.only("web-config").0), (Some(code), status), "{}", found.all);
        assert!(found.only("web-config").1.starts_with("metrics: TLS, open to everybody"), "{}", found.all);
    }
}

#[test]
fn more_series_or_agents_than_are_good_are_a_warning_that_names_the_bounds() {
    let agents = |count: u32| {
        let agents = (0..count).map(|number| AgentProfile { id: format!("agent-{number}"), ..AgentProfile::default() });
        SimulatorConfig { agents: agents.collect(), ..organization() }
    };
    let (api, place) = (Api::start(agents(1_100)), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path()).set("API__BUDGET_SHARE", "1.0");
    let found = doctor(&setup);
    assert_eq!(found.code, Some(0), "{}", found.all);
    let (status, says) = found.only("series");
    assert_eq!(status, "warning", "{}", found.all);
    assert!(says.contains("metrics.max_agents = 1000 and metrics.max_label_values = 100"), "{}", found.all);
    assert_eq!(
        found.only("agent-limit").1,
        "the organization has 1,100 agents, but metrics.max_agents is 1000: further ones are counted together as agent_id=\"other\""
    );
    let found = doctor(&setup.set("METRICS__MAX_AGENTS", "20"));
    assert_eq!(found.only("series").0, "ok", "{}", found.all);
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
