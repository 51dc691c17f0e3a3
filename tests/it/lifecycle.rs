//! The daemon's life: it stops cleanly and in time whatever is under way, reloads all or nothing, says when it is
//! ready, and follows what changes around it: files of ids, key files, an API without a listing.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use simulator::{Clock as _, DEFAULT_KEY, FaultKind, FaultRule, Faults, Route, SimulatorConfig, SystemClock};

use crate::support::{Api, Daemon, Setup, durable, request, until};

const UP: &str = "agntix_up";
const RELOADED: &str = "agntix_exporter_config_last_reload_successful";

/// Sessions that are all over and analysed by now.
fn finished(total: u64) -> SimulatorConfig {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    SimulatorConfig::load(start, 10.0, total)
}

fn ids(api: &Api) -> Vec<String> {
    let config = api.simulator.config();
    api.simulator.sessions(config.start, config.until.unwrap()).into_iter().map(|session| session.id).collect()
}

fn always(route: Option<Route>, kind: FaultKind) -> Faults {
    Faults { rules: vec![FaultRule { route, share: 1.0, kind }], ..Faults::default() }
}

fn is_ready(daemon: &Daemon) -> Option<()> {
    (daemon.get("/-/ready").0 == 200).then_some(())
}

/// The sessions that are shown one by one.
fn watched(daemon: &Daemon) -> BTreeSet<String> {
    let samples = daemon.samples();
    let ids = samples.keys().filter_map(|name| {
        let (_, rest) = name.strip_prefix("agntix_watched_session_info{")?.split_once("session_id=\"")?;
        Some(rest.split_once('"')?.0.to_owned())
    });
    ids.collect()
}

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

/// A client that has asked for more pages than fit between it and the daemon, and reads none of them.
fn slow_reader(daemon: &Daemon) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.address).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let padding = "x".repeat(7_000);
    let request = format!("GET /metrics HTTP/1.1\r\nhost: test\r\nx-padding: {padding}\r\n\r\n");
    loop {
        // Blocked for so long: the daemon reads no further request before its answer can be written.
        match stream.write(request.as_bytes()) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return stream,
            Err(error) => panic!("the daemon has given up on a slow reader: {error}"),
        }
    }
}

#[test]
fn it_stops_in_time_while_a_client_reads_slowly() {
    for signal in ["TERM", "INT"] {
        let (api, place) = (Api::start(finished(300)), tempfile::tempdir().unwrap());
        let mut daemon = Setup::new(api.address, &place.path().join("state")).start();
        daemon.shows(&api.truth());
        let _reader = slow_reader(&daemon);
        daemon.stops_on(signal);
    }
}

#[test]
fn it_stops_in_time_while_the_api_hangs() {
    for signal in ["TERM", "INT"] {
        let (api, place) = (Api::start(finished(300)), tempfile::tempdir().unwrap());
        api.simulator.set_faults(always(None, FaultKind::Delay(60_000))).unwrap();
        let mut daemon = Setup::new(api.address, &place.path().join("state")).start();
        until("a request under way", || (!api.simulator.requests().is_empty()).then_some(()));
        daemon.stops_on(signal);
    }
}

#[test]
fn it_stops_in_the_middle_of_its_work_and_goes_on_with_equal_totals() {
    let (api, place) = (Api::start(finished(2_000)), tempfile::tempdir().unwrap());
    let truth = api.truth();
    let setup = Setup::new(api.address, &place.path().join("state"))
        .set("API__MAX_CONCURRENCY", "2")
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s");
    let mut before = None;
    for signal in ["TERM", "INT", "TERM"] {
        let mut daemon = setup.start();
        let page = until("a page", || {
            let page = durable(&daemon.samples());
            (!page.is_empty()).then_some(page)
        });
        if let Some(before) = &before {
            let is_lower = |(name, value): (&String, &f64)| page.get(name) < Some(value);
            let fallen: Vec<_> = std::collections::BTreeMap::iter(before).filter(|entry| is_lower(*entry)).collect();
            assert!(fallen.is_empty(), "fell over a clean stop: {fallen:?}");
        }
        let sum = |page: &std::collections::BTreeMap<String, f64>| page.values().sum::<f64>();
        let begun = sum(&page);
        let later = until("more of them", || {
            let page = durable(&daemon.samples());
            (page == truth || sum(&page) > begun + 100.0).then_some(page)
        });
        before = Some(later);
        daemon.stops_on(signal);
        assert!(before != Some(truth.clone()) || signal == "TERM", "all was counted before the second stop");
    }
    setup.start().shows(&truth);
}

/// A daemon with a configuration file that can be rewritten.
struct Reloadable {
    api: Api,
    file: PathBuf,
    daemon: Daemon,
    _place: tempfile::TempDir,
}

impl Reloadable {
    fn start(text: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let (api, place) = (Api::start(finished(50)), tempfile::tempdir().unwrap());
        let file = place.path().join("exporter.toml");
        std::fs::write(&file, text).unwrap();
        let setup = Setup::new(api.address, &place.path().join("state"))
            .argument("--config.file")
            .argument(&file.display().to_string());
        let daemon = change(setup).start();
        until("it to be ready", || is_ready(&daemon));
        Self { api, file, daemon, _place: place }
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.file, text).unwrap();
    }

    /// A reload that must be refused: the reason.
    fn refused(&self, text: &str) -> String {
        self.write(text);
        let (status, reason) = self.daemon.post("/-/reload");
        assert!(!(200..300).contains(&status), "{status} {reason}");
        assert_eq!(self.daemon.sample(RELOADED), Some(0.0));
        let logged = reason.trim().replace('"', "\\\"");
        until("the reason to be logged", || self.daemon.log().contains(&logged).then_some(()));
        reason
    }
}

#[test]
fn a_reload_takes_all_of_a_good_file_and_nothing_of_a_bad_one() {
    let world = Reloadable::start("[log]\nlevel = \"info\"\n", |setup| setup.set("METRICS__WATCH_RECENT", "0"));
    let (daemon, ids) = (&world.daemon, ids(&world.api));
    assert_eq!((daemon.sample(RELOADED), watched(daemon).len()), (Some(1.0), 0));
    assert_eq!(daemon.lines_with("level=debug"), 0);

    world.write(&format!("[sessions]\nids = {:?}\n[log]\nlevel = \"debug\"\n", &ids[..2]));
    assert_eq!(daemon.post("/-/reload"), (200, "The configuration was reloaded.\n".into()));
    until("the new sessions", || (watched(daemon) == set(&ids[..2])).then_some(()));
    until("lines of the new level", || (daemon.lines_with("level=debug") > 0).then_some(()));

    let reason = world.refused(&format!("[sessions]\nids = {:?}\nretention = \"1h\"\n", &ids[..4]));
    for word in ["exporter.toml, line 3", "sessions.retention", "1h", "48h"] {
        assert!(reason.contains(word), "{word} is not in: {reason}");
    }
    assert_eq!(watched(daemon), set(&ids[..2]), "the old configuration stays in effect");
    assert!(world.refused("[sessions\n").contains("line 1"));
    std::fs::remove_file(&world.file).unwrap();
    assert!(daemon.post("/-/reload").1.contains("exporter.toml cannot be read"));

    // What is allowed but probably not meant is said again.
    world.write(&format!("[sessions]\nids = [{:?}, {:?}]\n[log]\nlevel = \"warn\"\n", ids[0], ids[0]));
    let before = daemon.lines_with("level=warn");
    assert_eq!(daemon.post("/-/reload").0, 200);
    until("a warning about the repeated id", || (daemon.lines_with("level=warn") > before).then_some(()));

    // The same through the signal.
    world.write(&format!("[sessions]\nids = {:?}\n[log]\nlevel = \"warn\"\n", &ids[1..4]));
    daemon.signal("HUP");
    until("the other sessions", || (watched(daemon) == set(&ids[1..4])).then_some(()));
    until("the reload to be told", || (daemon.sample(RELOADED) == Some(1.0)).then_some(()));
    world.write("[sessions]\nidz = []\n");
    daemon.signal("HUP");
    until("the refusal to be told", || (daemon.sample(RELOADED) == Some(0.0)).then_some(()));
    assert_eq!(watched(daemon), set(&ids[1..4]));
    // A source that is off is not one that has fallen silent.
    let listed = r#"agntix_exporter_source_last_success_timestamp_seconds{source="listing"}"#;
    until("the listing to be read", || daemon.sample(listed));
    world.write("[sessions]\nlisting = false\nids = [\"x\"]\n");
    daemon.signal("HUP");
    until("the listing to be off", || daemon.sample(listed).is_none().then_some(()));
    daemon.shows(&world.api.truth());
}

#[test]
fn a_reload_refuses_by_name_what_needs_a_restart() {
    let text = |port: u16| format!("[web]\nlisten_address = \"127.0.0.1:{port}\"\n");
    let world = Reloadable::start(&text(0), |setup| setup.unset("WEB__LISTEN_ADDRESS"));
    let reason = world.refused(&text(9));
    assert!(reason.contains("web.listen_address") && reason.contains("restart"), "{reason}");
    assert!(!reason.contains("state.path"), "{reason}");
    let buckets = format!("{}[metrics]\nduration_buckets = [1, 2]\n", text(0));
    assert!(world.refused(&buckets).contains("metrics.duration_buckets"));
    world.write(&text(0));
    assert_eq!((world.daemon.post("/-/reload").0, world.daemon.sample(RELOADED)), (200, Some(1.0)));
}

/// What a daemon has open, and holds in memory, does not grow with the times that it reads its configuration again.
fn leaks_nothing_with_so_many(reloads: usize) {
    // Certificates and users are read again with everything else; the webhook's listener shows them.
    let web = tempfile::tempdir().unwrap();
    let users = format!("basic_auth_users:\n  alice: {}\n", bcrypt::hash("alice's", 4).unwrap());
    let world =
        Reloadable::start("", |setup| setup.set("SESSIONS__FILES", "ids").with_guarded_webhook(web.path(), &users));
    let daemon = &world.daemon;
    let (status, _) = daemon.get("/-/reload");
    assert_eq!(status, 405);
    let reload = |times: usize| {
        for n in 0..times {
            // Each has something to change.
            world.write(&format!("[metrics]\nwatch_recent = {}\n", n % 2));
            assert_eq!(daemon.post("/-/reload").0, 200);
        }
    };
    reload(100);
    let threads = || std::fs::read_dir(format!("/proc/{}/task", daemon.id())).unwrap().count();
    let (before, threads_before, memory_before) = (daemon.open_files(), threads(), daemon.memory_mib("VmRSS"));
    reload(reloads - 100);
    until("open files to be as few as before", || (daemon.open_files() <= before + 4).then_some(()));
    assert!(threads() <= threads_before + 4, "{} threads, {threads_before} before", threads());
    // What the allocator keeps for itself is less.
    let memory = daemon.memory_mib("VmRSS");
    assert!(memory < memory_before + 8.0, "{memory:.1} MiB, {memory_before:.1} before");
    daemon.shows(&world.api.truth());
}

#[test]
fn reloads_leak_nothing_and_only_a_post_reloads() {
    leaks_nothing_with_so_many(200);
}

#[test]
#[ignore = "takes a minute of processor time"]
fn a_thousand_reloads_leak_nothing() {
    leaks_nothing_with_so_many(1_000);
}

#[test]
fn it_is_healthy_at_once_and_ready_after_the_first_listing() {
    let (api, place) = (Api::start(finished(50)), tempfile::tempdir().unwrap());
    api.simulator.set_faults(always(Some(Route::List), FaultKind::Status(503))).unwrap();
    let daemon = Setup::new(api.address, &place.path().join("state")).start();
    assert_eq!(daemon.get("/-/healthy").0, 200);
    let asked = || api.simulator.requests().iter().filter(|request| request.route == Route::List).count();
    until("a listing that fails", || (asked() > 0).then_some(()));
    let (status, sentence) = daemon.get("/-/ready");
    assert_eq!(status, 503);
    assert!(sentence.starts_with("Not ready: ") && sentence.trim_end().ends_with('.'), "{sentence}");
    api.simulator.set_faults(Faults::default()).unwrap();
    until("it to be ready", || is_ready(&daemon));
    // Once ready, it stays ready: what fails later is told by the metrics.
    api.simulator.set_faults(always(None, FaultKind::Status(503))).unwrap();
    until("up to be 0", || (daemon.sample(UP) == Some(0.0)).then_some(()));
    assert_eq!((daemon.get("/-/ready").0, daemon.get("/-/healthy").0), (200, 200));
}

#[test]
fn files_of_ids_are_followed_and_a_broken_one_keeps_its_last_good_list() {
    let (api, place) = (Api::start(finished(50)), tempfile::tempdir().unwrap());
    let ids = ids(&api);
    let files = ["one", "two"].map(|name| place.path().join(name));
    let paths = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(",");
    std::fs::write(&files[0], &ids[0]).unwrap();
    let setup = Setup::new(api.address, &place.path().join("state"))
        .set("SESSIONS__LISTING", "false")
        .set("METRICS__WATCH_RECENT", "0");
    let daemon = setup.set("SESSIONS__FILES", &paths).start();
    let shows = |expected: &[String]| {
        until("the sessions of the files", || (watched(&daemon) == set(expected)).then_some(()));
    };
    shows(&ids[..1]);
    until("it to be ready", || is_ready(&daemon));
    assert!(daemon.log().contains("cannot be read"), "the missing file is not named: {}", daemon.log());
    std::fs::write(&files[1], format!("[\"{}\", \"{}\"]", ids[1], ids[2])).unwrap();
    shows(&ids[..3]);
    std::fs::write(&files[0], format!("# a comment\n{}\n{}\n", ids[0], ids[3])).unwrap();
    shows(&ids[..4]);
    let complaints = daemon.lines_with("its last good state stays in effect");
    std::fs::write(&files[1], "[\"broken").unwrap();
    until("a line about the broken file", || {
        (daemon.lines_with("its last good state stays in effect") > complaints).then_some(())
    });
    let line = daemon.log().lines().rfind(|line| line.contains("its last good state")).unwrap().to_owned();
    for word in ["two", "JSON", "line 1"] {
        assert!(line.contains(word), "{word} is not in {line}");
    }
    assert_eq!(watched(&daemon), set(&ids[..4]));
    std::fs::remove_file(&files[1]).unwrap();
    until("a line about the removed file", || {
        (daemon.lines_with("its last good state stays in effect") > complaints + 1).then_some(())
    });
    assert_eq!(watched(&daemon), set(&ids[..4]), "a file that is gone for a moment takes nothing away");
    std::fs::write(&files[1], "[]").unwrap();
    std::fs::write(&files[0], &ids[3]).unwrap();
    shows(&ids[3..4]);
}

#[test]
fn a_gateway_without_a_listing_is_said_once_and_configured_sessions_are_counted() {
    for status in [404, 405] {
        let api = Api::start(SimulatorConfig { listing_refused: Some(status), ..finished(60) });
        let place = tempfile::tempdir().unwrap();
        let all = ids(&api);
        let setup = Setup::new(api.address, &place.path().join("state")).set("SESSIONS__IDS", &all.join(","));
        let daemon = setup.start();
        daemon.shows(&api.truth());
        until("it to be ready", || is_ready(&daemon));
        assert_eq!(daemon.sample(UP), Some(1.0));
        let asked = |route| api.simulator.requests().iter().filter(|request| request.route == route).count();
        // Sixty intervals of the listing pass.
        let begun = api.simulator.requests()[0].received_at_ms;
        until("sixty intervals", || (SystemClock.now().as_millis() > begun + 3_000).then_some(()));
        // Believed at the third refusal, 6 s after the first; never asked for as often as a listing that is there.
        let lists = asked(Route::List);
        assert!((1..=3).contains(&lists), "the listing is asked for {lists} times");
        until("it to be believed", || (asked(Route::List) >= 3).then_some(()));
        until("the warning", || (daemon.lines_with("level=warn") > 0).then_some(()));
        let warnings: Vec<String> =
            daemon.log().lines().filter(|line| line.contains("level=warn")).map(ToOwned::to_owned).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for word in [&*status.to_string(), "api.list_path", "sessions.listing = false"] {
            assert!(warnings[0].contains(word), "{word} is not in {}", warnings[0]);
        }
        assert_eq!(daemon.lines_with("level=error"), 0);
    }
}

/// Replaces a file as an orchestrator does: in one step.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

#[test]
fn a_key_file_that_is_rewritten_is_used_at_once() {
    let api = Api::start(SimulatorConfig { keys: vec!["pk_new".into()], ..finished(50) });
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("key");
    std::fs::write(&file, "pk_old").unwrap();
    let setup = Setup::new(api.address, &place.path().join("state")).unset("AGNTIX_API_KEY");
    let daemon = setup.set("API__KEY_FILE", &file.display().to_string()).start();
    until("the old key to be refused", || daemon.get("/").1.contains("the credential in api.key_file").then_some(()));
    assert_eq!(daemon.sample(UP), Some(0.0));
    let refused = refusals(&api);
    for (key, accepted) in [("pk_older", false), (" pk_new\n", true)] {
        let changed = Instant::now();
        replace(&file, key);
        if accepted {
            until("up to be 1", || (daemon.sample(UP) == Some(1.0)).then_some(()));
        } else {
            until("the next key to be refused", || (refusals(&api) > refused).then_some(()));
        }
        // The probe comes once a minute where nothing has changed.
        assert!(changed.elapsed() < Duration::from_secs(20), "{:?}", changed.elapsed());
    }
    daemon.shows(&api.truth());
    assert!(refusals(&api) <= refused + 4, "{} refusals", refusals(&api));
    assert!(!daemon.log().contains("pk_"), "a key was logged");
    // A key that cannot be read leaves the last good one in use.
    std::fs::remove_file(&file).unwrap();
    until("a line about the file", || daemon.log().contains("the last good one stays in use").then_some(()));
    let served = api.simulator.requests().len();
    until("requests with the last good key", || (api.simulator.requests().len() > served + 10).then_some(()));
    assert_eq!(daemon.sample(UP), Some(1.0));
    assert_eq!(request(api.address, "GET", "/v1/chat/agents").unwrap().0, 401, "{DEFAULT_KEY} is not asked for");
}

fn refusals(api: &Api) -> usize {
    api.simulator.requests().iter().filter(|request| request.status == 401).count()
}
