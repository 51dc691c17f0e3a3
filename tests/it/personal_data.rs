//! P7: nothing personal and no credential on any page, in any log line, or in the state on disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use simulator::{
    AgentProfile, DeliveryConfig, FaultKind, FaultRule, Faults, MessageShares, PERSONAL_MARKER, PERSONAL_PHONE_PREFIX,
    Route, SimulatorConfig, TruthField, TruthFieldKind, TruthMetrics, Writing, weighted,
};

use crate::support::{Api, Daemon, NOON, Setup, WEBHOOK_SECRET, ask, free_address, is_durable, label, until};

/// As long and as strange as a real one, so that finding it means something.
pub const KEY: &str = "pk_live_9mVQ2xTbN7rLw3Zc";
/// The key that customers are hashed with.
pub const CONTACTS_KEY: &str = "contacts_7uHd2LxPq0Wn5Rk8Yc";
const MINUTE: Duration = Duration::from_secs(60);

pub fn simulation(metrics: TruthMetrics) -> SimulatorConfig {
    SimulatorConfig {
        start: NOON.minus(MINUTE * 30),
        until: Some(NOON),
        now: Some(NOON.plus(MINUTE * 15)),
        speed: 0.0,
        agents: vec![AgentProfile { sessions_per_day: 6_000.0, ..AgentProfile::default() }],
        no_analysis_share: 0.0,
        rate_limit: None,
        keys: vec![KEY.into()],
        metrics,
        ..SimulatorConfig::default()
    }
}

/// Everything but the credential is set in a file.
fn write_config(directory: &Path, api: &Api, more: &str) -> std::path::PathBuf {
    let file = directory.join("exporter.toml");
    let key_file = directory.join("key");
    std::fs::write(&key_file, format!("{KEY}\n")).unwrap();
    let ids = api.sessions().into_iter().take(3).map(|session| session.id).collect::<Vec<_>>();
    let text = format!(
        "[api]\nbase_url = \"http://{}\"\nkey_file = \"{}\"\nrequests_per_minute = 1000000\n\
         timeout = \"400ms\"\nconnect_timeout = \"400ms\"\n\
         [sessions]\nids = {ids:?}\n\
         [poll]\nlisting_interval = \"200ms\"\nopen_interval = \"50ms\"\nended_interval = \"50ms\"\n\
         [web]\nlisten_address = \"127.0.0.1:0\"\nmax_requests = 1\n\
         [state]\npath = \"{}\"\n\
         [log]\nlevel = \"trace\"\n\
         [metrics]\nnew_series_hold = \"0s\"\nwatch_recent = 20\n{more}",
        api.address,
        key_file.display(),
        directory.join("state").display(),
    );
    std::fs::write(&file, text).unwrap();
    file
}

fn finds(bytes: &[u8], what: &str) -> bool {
    bytes.windows(what.len()).any(|window| window == what.as_bytes())
}

/// Nothing personal and no key in what is named `place`.
pub fn check(place: &str, bytes: &[u8]) {
    for what in [PERSONAL_MARKER, PERSONAL_PHONE_PREFIX, "9990042", KEY, CONTACTS_KEY] {
        if finds(bytes, what) {
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<_> = text.lines().filter(|line| line.contains(what)).take(3).collect();
            panic!("{what} in {place}: {lines:?}");
        }
    }
    // Names in any other spelling, what the analysis said in words, what was said, and a variable that is not named.
    for what in [
        "Nakamura",
        "Özdemir",
        "customer_name",
        "customerName",
        "sessionVariables",
        "and was heard",
        "How can I help",
        " again, turn ",
        "contract",
    ] {
        assert!(!finds(bytes, what), "{what} in {place}");
    }
}

fn check_files(directory: &Path) -> usize {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| check(&file.display().to_string(), &std::fs::read(&file).unwrap())).count()
}

/// Every page there is, and every way to be refused.
pub fn check_pages(daemon: &Daemon) {
    let mut statuses = Vec::new();
    let open_metrics = [("accept", "application/openmetrics-text")];
    for (method, path, headers) in [
        ("GET", "/", &[][..]),
        ("GET", "/metrics", &[]),
        ("GET", "/metrics", &open_metrics),
        ("GET", "/-/healthy", &[]),
        ("GET", "/-/ready", &[]),
        ("GET", "/-/ready?page", &[]),
        ("GET", "/-/active", &[]),
        ("GET", "/-/reference", &[]),
        ("GET", "/-/runbooks/", &[]),
        ("GET", "/-/runbooks/AgntixUnresolvedSpike", &[]),
        ("GET", "/-/runbooks/AgntixNone", &[]),
        ("GET", "/nothing", &[]),
        ("POST", "/metrics", &[]),
        ("DELETE", "/", &[]),
        ("POST", "/-/reload", &[]),
    ] {
        let reply = ask(daemon.address, method, path, headers).unwrap();
        check(&format!("{method} {path}"), &reply.body);
        check(&format!("headers of {method} {path}"), format!("{:?}", reply.headers).as_bytes());
        statuses.push(reply.status);
    }
    for status in [200, 404, 405] {
        assert!(statuses.contains(&status), "{statuses:?}");
    }
}

#[test]
fn nothing_personal_gets_out_whatever_the_api_does() {
    let api = Api::start(simulation(TruthMetrics::default()));
    let fault = |share, kind| FaultRule { route: None, share, kind };
    let hostile = [
        FaultKind::Status(500),
        FaultKind::Status(404),
        FaultKind::Status(422),
        FaultKind::Delay(600),
        FaultKind::Truncate,
        FaultKind::HalfBody,
        FaultKind::Garbage,
        FaultKind::WrongTypes,
        FaultKind::UnknownEnums,
        FaultKind::Lenient(Writing::Any),
        FaultKind::BrokenItem,
        FaultKind::PersonalHeaders,
        FaultKind::Drop,
    ];
    let rules: Vec<_> = hostile.into_iter().map(|kind| fault(0.03, kind)).collect();
    let bad_sessions = api.sessions().into_iter().take(2).map(|session| session.id).collect();
    api.simulator.set_faults(Faults { rules, bad_sessions, ..Faults::default() }).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = write_config(directory.path(), &api, "");
    let state = directory.path().join("state");
    let setup = Setup::plain(&state).argument(&format!("--config.file={}", file.display()));

    let daemon = setup.start();
    let ended = |daemon: &Daemon| {
        crate::support::total(
            &daemon.try_get("/metrics").map(|(_, page)| crate::support::samples(&page)).unwrap_or_default(),
            "agntix_session_outcomes_total",
        )
    };
    until("most sessions", || (ended(&daemon) > 80.0).then_some(()));
    check_pages(&daemon);
    // A reload that is refused says why, without the key that somebody put into the wrong place.
    let good = std::fs::read_to_string(&file).unwrap();
    for bad in [
        good.replace("[api]", &format!("[api]\nkey = \"{KEY}\"")),
        good.replace("[api]", &format!("[api]\nkey_file2 = {KEY}")),
        good.replace("timeout = \"400ms\"", &format!("timeout = \"{KEY}\"")),
        good.replace("[state]", &format!("[{KEY}]\n[state]")),
    ] {
        std::fs::write(&file, bad).unwrap();
        let (status, why) = daemon.post("/-/reload");
        assert_eq!(status, 500, "{why}");
        check("a refused reload", why.as_bytes());
        let (code, said) = setup.run();
        assert_eq!(code, Some(2), "{said}");
        check("a refused start", said.as_bytes());
    }
    std::fs::write(&file, &good).unwrap();

    // In use, after a kill, and after a clean stop.
    assert!(check_files(&state) > 1);
    let log = daemon.log();
    daemon.kill();
    assert!(check_files(&state) > 1, "the write-ahead log is part of what is checked");
    assert!(log.contains("level=trace") && log.contains("a session cannot be read"), "the log says too little");
    check("the log", log.as_bytes());
    let mut daemon = setup.start();
    check_pages(&daemon);
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    check("the log", daemon.log().as_bytes());
    check_files(&state);

    // The commands.
    api.simulator.set_faults(Faults::default()).unwrap();
    let (code, report) =
        Setup::plain(&state).argument(&format!("--config.file={}", file.display())).argument("--config.check").run();
    assert_eq!(code, Some(0), "{report}");
    check("--config.check", report.as_bytes());
    for session in api.sessions().iter().take(5) {
        let (code, said) = Setup::plain(&state)
            .argument(&format!("--config.file={}", file.display()))
            .argument("session")
            .argument(&session.id)
            .run();
        assert!(code == Some(0) && said.contains("agntix_session_outcomes_total"), "{said}");
        check("session", said.as_bytes());
    }
}

/// Sessions of few customers from noon on, with messages and variables, one of which is about the customer.
pub fn conversations() -> SimulatorConfig {
    let config = simulation(TruthMetrics { messages_share: Some(1.0), ..TruthMetrics::default() });
    let agents = config.agents.iter().map(|agent| AgentProfile {
        variables: vec![
            ("campaign".into(), weighted(&[("Spring", 1.0)])),
            ("contract".into(), weighted(&[("of Nakamura", 1.0)])),
        ],
        ..agent.clone()
    });
    SimulatorConfig {
        start: NOON,
        until: Some(NOON.plus(MINUTE * 30)),
        now: Some(NOON),
        agents: agents.collect(),
        messages: MessageShares::LIVELY,
        customers: Some(30),
        ..config
    }
}

/// Waits until messages, customers and variables of most of these sessions are on the page.
pub fn conversations_are_counted(daemon: &Daemon) {
    for (name, least) in [("turns_count", 60.0), ("repeat_contacts_total", 20.0), ("variables_total", 60.0)] {
        until(name, || {
            let counted = crate::support::total(&daemon.samples_if_any(), &format!("agntix_session_{name}"));
            (counted > least).then_some(())
        });
    }
    let page = daemon.open_metrics();
    assert!(page.contains("Spring"), "the variable that is named");
}

/// Nothing in a file that the state is exported to but, of each customer, the first half of a hash.
pub fn check_export(setup: &Setup, directory: &Path, number: u32) {
    let file = directory.join("exported");
    let (code, said) =
        ["state", "export", "--to", file.to_str().unwrap()].into_iter().fold(setup.clone(), Setup::argument).run();
    assert_eq!(code, Some(0), "{said}");
    check("what an export says", said.as_bytes());
    let exported = std::fs::read(&file).unwrap();
    check("the export", &exported);
    let (whole, digits) = (contact_hash(number), |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    });
    assert!(finds(&exported, &digits(&whole[..16])), "the export has no customer");
    assert!(!finds(&exported, &digits(&whole)));
}

/// The whole of a customer's hash.
fn contact_hash(number: u32) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, CONTACTS_KEY.as_bytes());
    ring::hmac::sign(&key, format!("{PERSONAL_PHONE_PREFIX}{number:05}").as_bytes()).as_ref().to_vec()
}

#[test]
fn of_messages_variables_and_customers_only_what_is_named_and_a_keyed_hash_is_kept() {
    let api = Api::start(conversations());
    let directory = tempfile::tempdir().unwrap();
    let table = crate::numbers::customers::table(directory.path(), CONTACTS_KEY);
    let webhook = free_address();
    let more = format!(
        "variables = [\"campaign\"]\nrepeat_contacts = {table}\n[messages]\nenabled = true\n[stream]\nenabled = true\n\
         [webhook]\nenabled = true\nlisten_address = \"{webhook}\"\n"
    );
    let file = write_config(directory.path(), &api, &more);
    let state = directory.path().join("state");
    let setup = Setup::plain(&state)
        .argument(&format!("--config.file={}", file.display()))
        .env("AGNTIX_WEBHOOK_SECRET", WEBHOOK_SECRET);
    let mut daemon = setup.start();
    until("the look-back to be done", || (daemon.lines_with("the look-back is done") > 0).then_some(()));
    let hostile = [FaultKind::Garbage, FaultKind::Truncate, FaultKind::WrongTypes, FaultKind::PersonalHeaders];
    let rules = hostile.map(|kind| FaultRule { route: Some(Route::Messages), share: 0.1, kind });
    api.simulator.set_faults(Faults { rules: rules.into(), ..Faults::default() }).unwrap();
    api.jump(NOON.plus(MINUTE * 120));
    let deliveries = DeliveryConfig {
        since: Some(NOON),
        unknown_share: 0.1,
        repeated_share: 0.3,
        backoff_scale: 0.001,
        ..DeliveryConfig::new(&format!("http://{webhook}/webhooks/agntix"), vec![WEBHOOK_SECRET.parse().unwrap()])
            .unwrap()
    };
    api.simulator.set_deliveries(Some(deliveries)).unwrap();
    api.all_delivered();
    conversations_are_counted(&daemon);
    check_pages(&daemon);
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    let log = daemon.log();
    assert!(log.contains("level=trace"), "the log says too little");
    check("the log", log.as_bytes());
    assert!(check_files(&state) > 1);
    // Of a number the first half of its hash is there.
    let number = api.sessions()[0].number;
    let hash = contact_hash(number);
    let files = std::fs::read_dir(&state).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let files: Vec<_> = files.collect();
    let has = |what: &[u8]| files.iter().any(|file| file.windows(what.len()).any(|window| window == what));
    assert!(has(&hash[..16]) && !has(&hash));
    check_export(&setup, directory.path(), number);
}

#[test]
fn of_the_extracted_data_only_what_is_named_is_shown() {
    let named = |field: &str, kind| TruthField { field: field.into(), kind, buckets: vec![] };
    let extracted = vec![named("callOutcome", TruthFieldKind::Enum), named("customerNote", TruthFieldKind::Enum)];
    let api = Api::start(simulation(TruthMetrics { extracted, ..TruthMetrics::default() }));
    let tables = |fields: &[&str]| {
        let table = |field: &&str| format!("[[metrics.extracted]]\nfield = \"{field}\"\nkind = \"enum\"\n");
        fields.iter().map(table).collect::<String>()
    };
    let truth = api.truth();
    let values = |samples: &BTreeMap<String, f64>, field: &str| {
        let values = samples.iter().filter(|(name, _)| label(name, "field") == Some(field));
        values.map(|(name, value)| (name.clone(), *value)).collect::<BTreeMap<_, _>>()
    };
    let outcome = values(&truth, "callOutcome");
    assert!(outcome.len() == 3 && values(&truth, "customerNote").is_empty());

    // Only the named one is there, and of the text beside it nothing.
    let directory = tempfile::tempdir().unwrap();
    let file = write_config(directory.path(), &api, &tables(&["callOutcome"]));
    let state = directory.path().join("state");
    let daemon = Setup::plain(&state).argument(&format!("--config.file={}", file.display())).start();
    daemon.shows(&truth);
    check_pages(&daemon);
    check_files(&state);
    check("the log", daemon.log().as_bytes());
    let samples = daemon.samples();
    assert_eq!(values(&samples, "callOutcome"), outcome);
    let fields = samples.keys().filter(|name| is_durable(name)).filter_map(|name| label(name, "field"));
    assert!(fields.into_iter().all(|field| field == "callOutcome"));
    drop(daemon);

    // Who names the text gets the text, there and nowhere else.
    let directory = tempfile::tempdir().unwrap();
    let file = write_config(directory.path(), &api, &tables(&["customerNote"]));
    let state = directory.path().join("state");
    let daemon = Setup::plain(&state).argument(&format!("--config.file={}", file.display())).start();
    let shown = until("the text", || {
        let samples = daemon.samples();
        let values = values(&samples, "customerNote");
        (crate::support::total(&samples, "agntix_session_outcomes_total")
            == crate::support::total(&truth, "agntix_session_outcomes_total"))
        .then_some((values, samples))
    });
    assert!(shown.0.keys().any(|name| name.contains(PERSONAL_MARKER)));
    for name in shown.1.keys().filter(|name| label(name, "field") != Some("customerNote")) {
        assert!(!name.contains(PERSONAL_MARKER), "{name}");
    }
    check("the log", daemon.log().as_bytes());
}
