//! Mistakes of the operator: what is wrong, where, and what to do is said in one sentence, and nothing is opened before.
//! And the commands other than the daemon.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use simulator::{
    Clock as _, DEFAULT_KEY, FaultKind, FaultRule, Faults, NO_SCOPE_KEY, PERSONAL_MARKER, PERSONAL_PHONE_PREFIX, Paths,
    SimulatorConfig, Stranger, SystemClock,
};

use crate::support::{Api, Daemon, Setup, free_address, ledger, until};

/// A simulator with a few finished sessions, a place for files, and a daemon that would work.
struct World {
    api: Api,
    place: tempfile::TempDir,
    setup: Setup,
}

fn world(config: SimulatorConfig) -> World {
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state"));
    World { api, place, setup }
}

/// Twenty sessions that are all over and analysed by now.
fn few() -> SimulatorConfig {
    SimulatorConfig::load(SystemClock.now().minus(std::time::Duration::from_secs(600)), 2.0, 20)
}

impl World {
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.place.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn with_file(self, text: &str) -> Self {
        let file = self.file("exporter.toml", text).display().to_string();
        Self { setup: self.setup.argument("--config.file").argument(&file), ..self }
    }

    fn setup(self, change: impl FnOnce(Setup) -> Setup) -> Self {
        Self { setup: change(self.setup), ..self }
    }

    /// It must refuse with exit code 2 and these words, and touch neither disk nor network.
    fn is_a_mistake(&self, words: &[&str]) {
        let (code, text) = self.setup.run();
        assert_eq!(code, Some(2), "{text}");
        says(&text, words);
        assert_eq!(text.trim_end().lines().count(), 1, "one sentence: {text}");
        assert!(!self.setup.state.exists(), "the state directory was made");
        assert!(self.api.simulator.requests().is_empty(), "a request was sent");
    }

    /// It must fail with exit code 1 and these words.
    fn fails(&self, words: &[&str]) {
        let (code, text) = self.setup.run();
        assert_eq!(code, Some(1), "{text}");
        says(&text, words);
    }
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in: {text}");
    }
}

#[test]
fn exactly_one_credential_must_be_set() {
    let none = || world(few()).setup(|setup| setup.unset("AGNTIX_API_KEY"));
    none().is_a_mistake(&["no credential is set", "AGNTIX_API_KEY", "api.key_file"]);
    for empty in ["", " \t"] {
        none().setup(|setup| setup.env("AGNTIX_API_KEY", empty)).is_a_mistake(&["no credential", "AGNTIX_API_KEY"]);
    }
    none().setup(|setup| setup.env("AGNTIX_API_KEY", "pk_secret\nx")).is_a_mistake(&["AGNTIX_API_KEY", "not shown"]);
    let both = none().with_file("[api]\nkey_file = \"a\"\nbearer_token_file = \"b\"\n");
    both.is_a_mistake(&["api.key_file", "api.bearer_token_file", "line 2", "line 3", "remove one"]);
    let token = world(few()).with_file("[api]\nbearer_token_file = \"b\"\n");
    token.is_a_mistake(&["AGNTIX_API_KEY", "api.bearer_token_file", "remove one"]);
}

#[test]
fn a_key_file_without_a_key_is_named_and_its_key_used_as_soon_as_it_is_there() {
    let world = world(few());
    for content in [None, Some(" \n")] {
        let file = world.place.path().join("key");
        let _ = std::fs::remove_file(&file);
        if let Some(content) = content {
            world.file("key", content);
        }
        let state = world.place.path().join(format!("state-{}", content.is_some()));
        let setup = Setup::new(world.api.address, &state).unset("AGNTIX_API_KEY");
        let before = world.api.simulator.requests().len();
        let daemon = setup.set("API__KEY_FILE", &file.display().to_string()).start();
        let reason = until("a reason", || not_ready(&daemon, "api.key_file"));
        let fault = if content.is_some() { "is empty" } else { "No such file" };
        says(&reason, &[fault, &file.display().to_string()]);
        assert_eq!(world.api.simulator.requests().len(), before, "a request without a credential");
        assert_eq!((daemon.sample("agntix_up"), daemon.lines_with("level=error")), (Some(0.0), 1), "{}", daemon.log());
        world.file("key", DEFAULT_KEY);
        daemon.shows(&world.api.truth());
        assert_eq!(daemon.sample("agntix_up"), Some(1.0));
    }
}

/// What readiness says once it holds `word`.
fn not_ready(daemon: &Daemon, word: &str) -> Option<String> {
    let (status, text) = daemon.get("/-/ready");
    (status == 503 && text.contains(word)).then_some(text)
}

#[test]
fn a_wrong_key_is_said_everywhere_and_probed_gently() {
    for listing in ["true", "false"] {
        let world = world(few()).setup(|setup| {
            setup.env("AGNTIX_API_KEY", "pk_wrong").set("SESSIONS__LISTING", listing).set("SESSIONS__IDS", "a,b,c,d")
        });
        let daemon = world.setup.start();
        let reason = until("a reason", || not_ready(&daemon, "AGNTIX_API_KEY"));
        says(&reason, &["Not ready", "401", "wrong, expired or deleted"]);
        until("up to be 0", || (daemon.sample("agntix_up") == Some(0.0)).then_some(()));
        let (status, page) = daemon.get("/");
        assert_eq!(status, 200);
        says(&page, &["AGNTIX_API_KEY", "401"]);
        assert_eq!(daemon.get("/-/healthy").0, 200);
        // Sixty intervals of every source pass; what was under way together may have been refused together.
        let begun = world.api.simulator.requests()[0].received_at_ms;
        until("sixty intervals", || (SystemClock.now().as_millis() > begun + 3_000).then_some(()));
        let requests = world.api.simulator.requests();
        assert!((1..=16).contains(&requests.len()), "{} requests", requests.len());
        let (first, last) = (requests[0].received_at_ms, requests[requests.len() - 1].received_at_ms);
        assert!(last - first < 1_000 || last - first > 30_000, "not gentle: {requests:?}");
        assert!(requests.iter().all(|request| request.status == 401));
        assert_eq!(daemon.lines_with("level=error"), 1, "{}", daemon.log());
        assert!(!daemon.log().contains("pk_wrong") && !page.contains("pk_wrong"), "the key was shown");
    }
}

#[test]
fn a_missing_scope_is_said_with_its_name() {
    let world = world(few()).setup(|setup| setup.env("AGNTIX_API_KEY", NO_SCOPE_KEY));
    let daemon = world.setup.start();
    let reason = until("both scopes to be named", || {
        not_ready(&daemon, "to list sessions").filter(|reason| reason.contains("to read agents"))
    });
    says(&reason, &["403", "AGNTIX_API_KEY", "sessions.listing = false", "lacks the scope"]);
    until("up to be 0", || (daemon.sample("agntix_up") == Some(0.0)).then_some(()));
    says(&daemon.get("/").1, &["403", "lacks the scope"]);
    until("the scopes to be logged", || (daemon.lines_with("level=error") > 0).then_some(()));
    assert!(daemon.lines_with("level=error") <= 2, "one line a route: {}", daemon.log());
    assert!(world.api.simulator.requests().len() <= 2, "{:?}", world.api.simulator.requests());
}

#[test]
fn a_wrong_address_is_told_apart() {
    let free = free_address();
    let api = Api::start(few());
    for (url, words) in [
        (format!("http://{free}"), vec!["connection refused".to_owned(), free.to_string()]),
        ("http://no-such-host.invalid".into(), vec!["the name no-such-host.invalid is not known".into()]),
        (format!("https://{}", api.address), vec!["TLS".into(), "http://".into(), api.address.to_string()]),
    ] {
        let place = tempfile::tempdir().unwrap();
        let daemon = Setup::new(api.address, &place.path().join("state")).set("API__BASE_URL", &url).start();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let reason = until("a reason", || not_ready(&daemon, words[0]));
        says(&reason, &words);
        until("up to be 0", || (daemon.sample("agntix_up") == Some(0.0)).then_some(()));
        says(&daemon.get("/").1, &words[..1]);
        until("the error to be logged", || (daemon.lines_with("level=error") > 0).then_some(()));
        assert_eq!(daemon.lines_with("level=error"), 1, "{}", daemon.log());
    }
}

#[test]
fn a_mistake_in_the_configuration_is_one_sentence_and_opens_nothing() {
    let file = |text: &str| world(few()).with_file(text);
    file("[sessions]\nlistng = true\n").is_a_mistake(&["exporter.toml, line 2", "listng", "sessions.listing"]);
    file("\n[poll]\nagents_interval = \"5 parsecs\"\n").is_a_mistake(&[
        "exporter.toml, line 3",
        "poll.agents_interval",
        "5 parsecs",
    ]);
    file("[poll]\n\nagents_interval = \n").is_a_mistake(&["exporter.toml, line 3", "TOML"]);
    file("[api]\nkey = \"pk_live_secret\"\n").is_a_mistake(&["line 2", "api.key", "api.key_file", "not shown"]);
    let set = |key: &str, value: &str| world(few()).setup(|setup| setup.set(key, value));
    set("SESSIONS__LISTNG", "1").is_a_mistake(&["AGNTIX_EXPORTER__SESSIONS__LISTNG", "SESSIONS__LISTING?"]);
    set("POLL__OPEN_INTERVAL", "soon").is_a_mistake(&["AGNTIX_EXPORTER__POLL__OPEN_INTERVAL", "soon", "90s"]);
    set("API__BASE_URL", "api.agntix.ai").is_a_mistake(&["AGNTIX_EXPORTER__API__BASE_URL", "https://api.agntix.ai"]);
    set("WEB__TELEMETRY_PATH", "/-/ready").is_a_mistake(&["web.telemetry_path", "/-/ready"]);
    let missing = world(few());
    let path = missing.place.path().join("missing.toml").display().to_string();
    missing.setup(|setup| setup.argument("--config.file").argument(&path)).is_a_mistake(&[
        "missing.toml",
        "cannot be read",
        "No such file",
    ]);
}

/// Whoever collects a daemon's log as JSON must find there why it ended.
#[test]
fn what_ends_a_daemon_is_logged_in_the_format_of_the_log() {
    let line = |world: &World| {
        let (code, text) = world.setup.run();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).expect(&text);
        assert_eq!((&last["level"], &last["target"]), (&"error".into(), &"agntix_exporter".into()), "{text}");
        (code, last["message"].as_str().unwrap().to_owned())
    };
    let json = "[log]\nformat = \"json\"\n";
    let (code, message) = line(&world(few()).with_file(&format!("{json}[sessions]\nlistng = true\n")));
    assert!(code == Some(2) && message.contains("sessions.listing"), "{code:?} {message}");
    let (code, message) = line(&world(few()).with_file("[sess").setup(|setup| setup.set("LOG__FORMAT", "json")));
    assert!(code == Some(2) && message.contains("TOML"), "{code:?} {message}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, message) = line(&world(few()).with_file(json).setup(|setup| setup.set("WEB__LISTEN_ADDRESS", &address)));
    assert!(code == Some(1) && message.contains(&address), "{code:?} {message}");
}

#[test]
fn a_variable_with_single_underscores_is_told_its_right_name() {
    let world = world(few()).setup(|setup| setup.env("AGNTIX_EXPORTER_POLL_LISTING_INTERVAL", "5s"));
    let daemon = world.setup.start();
    assert_eq!(daemon.lines_with("did you mean AGNTIX_EXPORTER__POLL__LISTING_INTERVAL?"), 1, "{}", daemon.log());
}

#[test]
fn a_check_of_the_configuration_shows_where_each_value_comes_from_and_opens_nothing() {
    let world = world(few())
        .with_file("[api]\nmax_concurrency = 7\n[log]\nlevel = \"warn\"\n")
        .setup(|setup| setup.argument("--config.check").argument("--web.telemetry-path").argument("/m"));
    let (code, text) = world.setup.run();
    assert_eq!(code, Some(0), "{text}");
    let origin = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        line.rsplit_once("# ").unwrap().1.to_owned()
    };
    assert!(origin("api.max_concurrency").ends_with("exporter.toml:2"), "{text}");
    assert_eq!(origin("web.telemetry_path"), "--web.telemetry-path");
    assert_eq!(origin("poll.open_interval"), "AGNTIX_EXPORTER__POLL__OPEN_INTERVAL");
    assert_eq!(origin("sessions.retention"), "default");
    says(&text, &["AGNTIX_API_KEY (set, not shown)"]);
    assert!(!text.contains(DEFAULT_KEY), "{text}");
    assert!(!world.setup.state.exists() && world.api.simulator.requests().is_empty());
    world.setup(|setup| setup.set("API__TIMEOUT", "never")).is_a_mistake(&["api.timeout", "never"]);
}

#[test]
fn version_and_help_are_printed_and_an_unknown_flag_is_a_mistake() {
    let run = |argument: &str| world(few()).setup(|setup| setup.argument(argument)).setup.run();
    let (code, text) = run("--version");
    assert_eq!(code, Some(0));
    says(&text, &[concat!("agntix-exporter, version ", env!("CARGO_PKG_VERSION"), " (revision: "), "\n  platform: "]);
    let (code, text) = run("--help");
    assert_eq!(code, Some(0));
    says(&text, &["--config.file", "demo", "AGNTIX_API_KEY", "AGNTIX_EXPORTER__", "SIGHUP", "Exit codes"]);
    let (code, text) = run("--config.fil");
    assert_eq!(code, Some(2));
    says(&text, &["--config.fil", "--config.file"]);
}

/// As the running daemon sees it: the path of the metrics is told by who answers where.
#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = || world(few()).with_file("[web]\ntelemetry_path = \"/file\"\n");
    let environment = |world: World| world.setup(|setup| setup.set("WEB__TELEMETRY_PATH", "/environment"));
    let flag = |world: World| world.setup(|setup| setup.argument("--web.telemetry-path").argument("/flag"));
    for (world, path) in [
        (world(few()), "/metrics"),
        (file(), "/file"),
        (environment(file()), "/environment"),
        (flag(environment(file())), "/flag"),
    ] {
        let daemon = world.setup.start();
        let answered = ["/metrics", "/file", "/environment", "/flag"].map(|path| (daemon.get(path).0, path));
        let found: Vec<&str> = answered.iter().filter(|(status, _)| *status == 200).map(|(_, path)| *path).collect();
        assert_eq!(found, [path]);
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let world = world(few()).setup(|setup| setup.set("WEB__LISTEN_ADDRESS", &address));
    world.fails(&[&address, "is taken", "web.listen_address"]);
    assert!(!world.setup.state.exists() && world.api.simulator.requests().is_empty());
    world.setup(|setup| setup.set("WEB__LISTEN_ADDRESS", "203.0.113.1:80")).fails(&["203.0.113.1:80", "listen"]);
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named() {
    if ledger::is_skipped(module_path!(), "a_state_directory_that_cannot_be_written_is_named", "SQLite's files") {
        return;
    }
    let blocked = world(few());
    let file = blocked.file("state", "not a directory");
    blocked.fails(&["state directory", &file.display().to_string(), "state.path"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a directory");
    assert!(blocked.api.simulator.requests().is_empty());
}

#[test]
#[ignore = "needs root, to mount a read-only disk"]
fn a_read_only_disk_is_named() {
    if ledger::is_skipped(module_path!(), "a_read_only_disk_is_named", "SQLite's files") {
        return;
    }
    // Root may write anywhere else.
    let read_only = world(few());
    let mount = read_only.place.path().join("mount");
    std::fs::create_dir(&mount).unwrap();
    let script = format!("mount -t tmpfs -o ro none {} && exec \"$0\" \"$@\"", mount.display());
    let state = mount.join("state").display().to_string();
    let setup = Setup::new(read_only.api.address, &read_only.setup.state).set("STATE__PATH", &state);
    let read_only = World { setup: setup.through(&["unshare", "--mount", "sh", "-c", &script]), ..read_only };
    read_only.fails(&["state directory", &state, "Read-only file system", "state.path"]);

    // With a state in it, of which SQLite would say that its input or output fails.
    let kept = world(few());
    let mut daemon = kept.setup.start();
    daemon.shows(&kept.api.truth());
    daemon.stops_on("TERM");
    let state = kept.setup.state.display().to_string();
    let script = format!("mount --bind {state} {state} && mount -o remount,bind,ro {state} && exec \"$0\" \"$@\"");
    let through =
        |world: World| World { setup: world.setup.through(&["unshare", "--mount", "sh", "-c", &script]), ..world };
    let kept = through(kept);
    kept.fails(&["state directory", &state, "Read-only file system"]);
    let kept = kept.setup(|setup| setup.argument("state").argument("inspect"));
    kept.fails(&["state directory", &state, "Read-only file system"]);
}

#[test]
fn a_standard_output_that_takes_nothing_is_no_panic() {
    let place = tempfile::tempdir().unwrap();
    let check = || {
        let mut command =
            Setup::plain(place.path()).env("AGNTIX_API_KEY", "pk_test").argument("--config.check").command();
        command.stderr(Stdio::piped());
        command
    };
    // A reader that has seen enough, such as `head`.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = check().stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = check().stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("agntix-exporter: standard output cannot be written (No space left"), "{said}");
}

#[test]
fn a_variable_names_the_file_where_no_flag_can() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("elsewhere.toml");
    std::fs::write(&file, "[web]\nsystemd_socket = true\n").unwrap();
    let setup = Setup::plain(place.path())
        .env("AGNTIX_API_KEY", "pk_test")
        .env("AGNTIX_EXPORTER_CONFIG_FILE", file.to_str().unwrap());
    let (code, said) = setup.clone().argument("--config.check").run();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("elsewhere.toml"), "{said}");
    // What asks an exporter by its address must know it.
    let (code, said) = setup.clone().argument("healthcheck").run();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("web.systemd_socket is true") && said.contains("--web.listen-address"), "{said}");
    let (code, said) = setup.argument("healthcheck").argument("--web.listen-address=127.0.0.1:1").run();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("http://127.0.0.1:1/-/healthy does not answer"), "{said}");
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    if ledger::is_skipped(module_path!(), "a_second_daemon_is_refused_and_the_first_goes_on", "SQLite's files") {
        return;
    }
    let world = world(few());
    let first = world.setup.start();
    first.shows(&world.api.truth());
    world.fails(&["is in use by another process", &world.setup.state.display().to_string(), "state.path"]);
    let commits = r#"agntix_exporter_state_commits_total{outcome="success"}"#;
    assert_eq!(first.post("/-/reload").0, 200);
    assert!(first.sample(commits) > Some(0.0));
    first.shows(&world.api.truth());
    assert_eq!(first.get("/-/ready").0, 200);
}

#[test]
fn a_state_that_is_damaged_foreign_or_newer_is_left_as_it_is() {
    if ledger::is_skipped(module_path!(), "a_state_that_is_damaged_foreign_or_newer_is_left_as_it_is", "SQLite's files")
    {
        return;
    }
    let world = world(few());
    let mut daemon = world.setup.start();
    daemon.shows(&world.api.truth());
    daemon.stops_on("TERM");
    let file = world.setup.state.join("ledger.sqlite");
    let good = std::fs::read(&file).unwrap();
    let newer = patched(&good, 60, &99_u32.to_be_bytes());
    let foreign = patched(&good, 68, b"Fgn!");
    let garbage = vec![0xa5; good.len()];
    let cut = good[..good.len() / 2].to_vec();
    for (content, words) in [
        (newer, &["newer version", "99", "run that version"][..]),
        (foreign, &["of another program", "restore it from a backup"]),
        (garbage, &["damaged", "restore it from a backup", "move its directory away"]),
        (cut, &["damaged", "restore it from a backup", "move its directory away"]),
        (patched(&good, 100, &[0xff; 4000]), &["damaged", "restore it from a backup", "move its directory away"]),
    ] {
        std::fs::write(&file, &content).unwrap();
        let before = files(&world.setup.state);
        world.fails(words);
        world.fails(&[&file.display().to_string()]);
        assert_eq!(files(&world.setup.state).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
        assert!(files(&world.setup.state) == before, "the file was changed: {words:?}");
    }
    std::fs::write(&file, &good).unwrap();
    world.setup.start().shows(&world.api.truth());
}

fn patched(content: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    content[at..at + with.len()].copy_from_slice(with);
    content
}

fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn one_session_is_printed_as_what_it_adds_and_nothing_personal() {
    let world = world(few());
    let config = world.api.simulator.config();
    let sessions = world.api.simulator.sessions(config.start, config.until.unwrap());
    let of = |id: &str| Setup::new(world.api.address, &world.setup.state).argument("session").argument(id);
    for session in &sessions[..5] {
        let (code, text) = of(&session.id).run();
        assert_eq!(code, Some(0), "{text}");
        says(
            &text,
            &[&session.id, "agntix_sessions_started_total{agent_id=", "agntix_session_outcomes_total{", "} +1"],
        );
        assert!(!text.contains(PERSONAL_MARKER) && !text.contains(PERSONAL_PHONE_PREFIX), "{text}");
    }
    let fails = |setup: Setup, words: &[&str]| {
        let (code, text) = setup.run();
        assert_eq!(code, Some(1), "{text}");
        says(&text, words);
        assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    };
    let host = world.api.address.to_string();
    fails(of("no-such-session"), &[&host, "has no session \"no-such-session\"", "404", "check the id"]);
    fails(of(&sessions[0].id).env("AGNTIX_API_KEY", "pk_wrong"), &[&host, "AGNTIX_API_KEY", "401"]);
    fails(of(&sessions[0].id).env("AGNTIX_API_KEY", NO_SCOPE_KEY), &["AGNTIX_API_KEY", "403", "scope"]);
    let paths = Paths { session: Some("/v1/chat/chat/sessions".into()), ..Paths::default() };
    world.api.simulator.set_faults(Faults { paths, ..Faults::default() }).unwrap();
    let (code, text) = of(&sessions[0].id).run();
    assert_eq!(code, Some(0), "it is served under another spelling: {text}");
    fails(of("no-such-session"), &[&host, "has no session \"no-such-session\"", "404", "check the id"]);
    let configured = of(&sessions[0].id).set("API__SESSION_PATH", "/v1/chat/sessions/{id}");
    fails(configured, &["GET /v1/chat/sessions/{id} was answered 404", "api.session_path"]);
    for (stranger, words) in [(Stranger::LoginPage, "200 with text/html"), (Stranger::NotFoundText, "404 (text/plain)")]
    {
        let rules = vec![FaultRule { route: None, share: 1.0, kind: FaultKind::Stranger(stranger) }];
        world.api.simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
        fails(of(&sessions[0].id), &[&host, words, "/v1/chat/chat/sessions/{id}", "api.base_url"]);
    }
    assert!(!world.setup.state.exists(), "a state was opened");
}

/// A command without an account, with a directory of its own for temporary files.
fn command(arguments: &[&str]) -> (tempfile::TempDir, Setup) {
    let place = tempfile::tempdir().unwrap();
    let unused: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let temporary = place.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut setup = Setup::new(unused, &place.path().join("state"))
        .unset("AGNTIX_API_KEY")
        .env("TMPDIR", &temporary.display().to_string());
    for argument in arguments {
        setup = setup.argument(argument);
    }
    (place, setup)
}

#[test]
fn the_demo_needs_no_account_and_leaves_nothing_behind() {
    let (place, setup) = command(&["demo"]);
    let left = || std::fs::read_dir(place.path().join("tmp")).unwrap().count();
    let (mut daemon, printed) = setup.start_command();
    let found = r#"agntix_exporter_sessions_discovered_total{source="listing"}"#;
    until("sessions to be found", || (daemon.sample(found) > Some(100.0)).then_some(()));
    until("up to be 1", || (daemon.sample("agntix_up") == Some(1.0)).then_some(()));
    assert_eq!((daemon.get("/").0, daemon.get("/-/healthy").0), (200, 200));
    let address = daemon.address.to_string();
    let shown = [&format!("http://{address}/metrics"), "the API behind", "webhook", "event stream", "Ctrl-C"];
    says(&printed.lock().unwrap(), &shown);
    assert_eq!(left(), 1, "its state");
    daemon.stops_on("INT");
    assert_eq!(left(), 0, "the demo left something behind");
    assert!(!setup.state.exists());

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, text) = setup.argument("--web.listen-address").argument(&address).run();
    assert_eq!(code, Some(1), "{text}");
    says(&text, &[&address, "is taken"]);
    assert_eq!(left(), 0, "the demo left something behind");
}

/// Also where the operator's own configuration is at hand, which is not meant for the demo.
#[test]
fn the_demo_shows_the_faster_news() {
    let (place, setup) = command(&["demo", "--speed", "60"]);
    let setup = setup
        .set("WEBHOOK__LISTEN_ADDRESS", "127.0.0.1:1")
        .set("WEBHOOK__SECRET_FILE", &place.path().join("none").display().to_string());
    let (mut daemon, _) = setup.start_command();
    for sample in [
        r#"agntix_exporter_webhook_deliveries_total{event="session.created",outcome="pending"}"#,
        r#"agntix_exporter_webhook_deliveries_total{event="session.ended",outcome="counted"}"#,
        r#"agntix_exporter_sessions_discovered_total{source="webhook"}"#,
        r#"agntix_exporter_source_last_success_timestamp_seconds{source="stream"}"#,
    ] {
        until(sample, || (daemon.sample(sample) > Some(0.0)).then_some(()));
    }
    assert_eq!(daemon.lines_with("level=warn") + daemon.lines_with("level=error"), 0, "{}", daemon.log());
    daemon.stops_on("INT");
}

#[test]
fn the_simulator_alone_serves_an_exporter() {
    let (place, setup) = command(&["simulate", "--listen", "127.0.0.1:0", "--rate-limit", "0"]);
    let (mut simulator, printed) = setup.start_command();
    let address = simulator.address;
    until("all of its addresses", || printed.lock().unwrap().contains("/simulator/truth").then_some(()));
    says(&printed.lock().unwrap(), &[DEFAULT_KEY, &format!("AGNTIX_EXPORTER__API__BASE_URL=http://{address}")]);
    let mut exporter = Setup::new(address, &place.path().join("state")).start();
    until("the exporter to be ready", || (exporter.get("/-/ready").0 == 200).then_some(()));
    until("up to be 1", || (exporter.sample("agntix_up") == Some(1.0)).then_some(()));
    simulator.stops_on("INT");
    exporter.stops_on("INT");
}
