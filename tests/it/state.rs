//! What the machine does to a daemon: a full disk, a disk that fails, a clock that jumps, a network that is gone for
//! long. Nothing may be lost, nothing counted twice, and it must go on by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use simulator::{Clock as _, SimulatorConfig, SystemClock};

use crate::support::disk::{FailingSyncs, fill};
use crate::support::{Api, Daemon, Setup, durable, faketime, ledger, number, samples, until};

const UP: &str = "agntix_up";
const WRITABLE: &str = "agntix_exporter_state_writable";
const CANNOT_SAVE: &str = "counts cannot be saved";
const CAN_SAVE: &str = "the state can be written again";

/// Sessions that are all over and analysed by now.
fn finished(total: u64) -> SimulatorConfig {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    SimulatorConfig::load(start, 10.0, total)
}

/// Sessions that come while the test runs, for so many seconds.
fn live(seconds: u64) -> SimulatorConfig {
    SimulatorConfig::load(SystemClock.now(), 50.0, 50 * seconds)
}

/// Waits until all sessions are over and analysed, and the page shows them all.
fn shows_all(daemon: &Daemon, api: &Api) {
    let over = api.simulator.config().until.unwrap().plus(Duration::from_secs(4));
    until("the last session to end", || (api.simulator.now() > over).then_some(()));
    daemon.shows(&api.truth());
}

fn ended(daemon: &Daemon) -> f64 {
    let samples = daemon.samples();
    samples.iter().filter(|(name, _)| name.starts_with("agntix_sessions_ended_total{")).map(|(_, value)| value).sum()
}

/// No series of `before` may be lower on `daemon`'s page.
fn nothing_fell(before: &BTreeMap<String, f64>, daemon: &Daemon) -> BTreeMap<String, f64> {
    let now = durable(&daemon.samples());
    for (name, value) in before {
        assert!(now.get(name) >= Some(value), "{name} fell from {value} to {:?}", now.get(name));
    }
    now
}

#[test]
#[ignore = "needs root, to mount a small disk"]
fn a_full_disk_pauses_the_counting_and_loses_nothing() {
    if ledger::is_skipped(module_path!(), "a_full_disk_pauses_the_counting_and_loses_nothing", "SQLite's files") {
        return;
    }
    let (api, place) = (Api::start(live(10)), tempfile::tempdir().unwrap());
    let disk = place.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    // A mount that nobody else sees, and that goes with the process.
    let script = format!("mount -t tmpfs -o size=24m none {} && exec \"$0\" \"$@\"", disk.display());
    let mount = ["unshare", "--mount", "sh", "-c", &script];
    let can = Command::new(mount[0]).args(&mount[1..]).arg("true").output().expect("this test needs unshare");
    assert!(
        can.status.success(),
        "this test mounts a small disk, and so needs root (or CAP_SYS_ADMIN): {}",
        String::from_utf8_lossy(&can.stderr)
    );
    let setup = Setup::new(api.address, &place.path().join("state"))
        .set("STATE__PATH", &disk.join("state").display().to_string())
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s");
    let daemon = setup.through(&mount).start();
    until("sessions to be counted", || (ended(&daemon) > 20.0).then_some(()));
    assert_eq!(daemon.sample(WRITABLE), Some(1.0));

    let inside = format!("/proc/{}/root{}", daemon.id(), disk.display());
    let ballast = PathBuf::from(inside).join("ballast");
    // A commit that fails may give back some room, which is taken as well.
    let refill = || fill(&ballast);
    until("the disk to be full", || {
        refill();
        (daemon.sample(WRITABLE) == Some(0.0) && daemon.get("/").1.contains("Counts cannot be saved")).then_some(())
    });
    let mut before = durable(&daemon.samples());
    let failures = r#"agntix_exporter_state_commits_total{outcome="error"}"#;
    let (failed, asked) = (daemon.sample(failures), api.simulator.requests().len());
    until("three further attempts to save", || {
        refill();
        before = nothing_fell(&before, &daemon);
        (daemon.sample(failures) >= failed.map(|failed| failed + 3.0)).then_some(())
    });
    let asked = api.simulator.requests().len() - asked;
    let outages = daemon.lines_with(CANNOT_SAVE);
    let recoveries = daemon.lines_with(CAN_SAVE);
    assert_eq!(outages, recoveries + 1, "one line an outage: {}", daemon.log());
    assert_eq!(daemon.lines_with("level=error"), outages, "{}", daemon.log());
    // The state is opened again after each failure, which is no success yet.
    assert!(daemon.sample(failures) > Some(number(outages)), "{}", daemon.log());
    // What was under way when it began, and no more.
    assert!(asked <= 16 * (1 + recoveries), "{asked} requests while nothing could be saved: {}", daemon.log());
    assert!(daemon.log().contains("is full"), "{}", daemon.log());
    assert_eq!((daemon.get("/-/healthy").0, daemon.get("/metrics").0), (200, 200));

    std::fs::remove_file(&ballast).unwrap();
    until("the state to be writable", || (daemon.sample(WRITABLE) == Some(1.0)).then_some(()));
    until("a line about it", || (daemon.lines_with(CAN_SAVE) == daemon.lines_with(CANNOT_SAVE)).then_some(()));
    nothing_fell(&before, &daemon);
    shows_all(&daemon, &api);
}

#[test]
#[ignore = "needs fiu-utils"]
fn syncs_that_fail_lose_nothing_and_count_nothing_twice() {
    if ledger::is_skipped(module_path!(), "syncs_that_fail_lose_nothing_and_count_nothing_twice", "SQLite's files") {
        return;
    }
    let (api, place) = (Api::start(live(6)), tempfile::tempdir().unwrap());
    let syncs = FailingSyncs::new(place.path());
    let setup = Setup::new(api.address, &place.path().join("state")).set("SESSIONS__LOOK_BACK_DEADLINE", "0s");
    let setup = syncs.possible_in(setup);
    let mut before = BTreeMap::new();
    // Twice through a kill in the middle of it, and once until the disk is well again.
    for round in 0..3 {
        let daemon = setup.start();
        syncs.begin(&daemon, 0.2);
        let errors = r#"agntix_exporter_state_commits_total{outcome="error"}"#;
        let successes = r#"agntix_exporter_state_commits_total{outcome="success"}"#;
        until("commits that fail, and some that do not", || {
            if let Some((200, page)) = daemon.try_get("/metrics") {
                let page = samples(&page);
                let is_between =
                    page.get(errors) >= Some(&if round == 2 { 3.0 } else { 1.0 }) && page.get(successes) >= Some(&5.0);
                return is_between.then_some(());
            }
            None
        });
        before = nothing_fell(&before, &daemon);
        if round == 2 {
            syncs.end(&daemon);
            until("the state to be writable", || (daemon.sample(WRITABLE) == Some(1.0)).then_some(()));
            shows_all(&daemon, &api);
        } else {
            daemon.kill();
        }
    }
}

/// Runs the daemon under a clock that shows so much more or less than the machine's.
fn with_clock(setup: Setup, offset: &Path) -> Setup {
    setup
        .env("LD_PRELOAD", &faketime::library())
        .env("FAKETIME_TIMESTAMP_FILE", &offset.display().to_string())
        .env("FAKETIME_NO_CACHE", "1")
        // A clock that is set does not change how fast time passes, nor the times of files.
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
}

/// Sets the clock while the daemon runs, and makes sure that it sees it.
fn set_clock(daemon: &Daemon, file: &Path, offset: &str, seconds: f64) {
    // In one step, so that no half-written offset is read.
    let new = file.with_extension("new");
    std::fs::write(&new, offset).unwrap();
    std::fs::rename(new, file).unwrap();
    sees_clock(daemon, seconds);
}

fn sees_clock(daemon: &Daemon, seconds: f64) {
    until("the daemon to see the other time", || {
        assert_eq!(daemon.post("/-/reload").0, 200);
        let shown = daemon.sample("agntix_exporter_config_last_reload_success_timestamp_seconds").unwrap();
        let real = SystemClock.now().as_seconds_f64();
        ((shown - real - seconds).abs() < 60.0).then_some(())
    });
}

#[test]
#[ignore = "needs faketime"]
fn a_clock_that_jumps_while_it_runs_changes_nothing() {
    let (api, place) = (Api::start(live(8)), tempfile::tempdir().unwrap());
    let offset = place.path().join("offset");
    std::fs::write(&offset, "+0").unwrap();
    let setup = Setup::new(api.address, &place.path().join("state")).set("SESSIONS__LOOK_BACK_DEADLINE", "0s");
    let daemon = with_clock(setup, &offset).start();
    let mut before = BTreeMap::new();
    for (text, seconds) in [("-3600", -3600.0), ("+86400", 86_400.0), ("-3600", -3600.0), ("+0", 0.0)] {
        let counted = ended(&daemon);
        set_clock(&daemon, &offset, text, seconds);
        until("sessions to be counted", || (ended(&daemon) > counted + 10.0).then_some(()));
        before = nothing_fell(&before, &daemon);
        assert_eq!((daemon.get("/").0, daemon.get("/-/ready").0), (200, 200));
    }
    shows_all(&daemon, &api);
    nothing_fell(&before, &daemon);
    assert_eq!(daemon.lines_with("level=error") + daemon.lines_with("panic"), 0, "{}", daemon.log());
}

#[test]
#[ignore = "needs faketime"]
fn a_clock_that_is_set_over_a_restart_changes_nothing_and_holds_nothing_up() {
    // Each start takes a tenth of the window as a lease, which is written down with the time of this machine.
    let config = SimulatorConfig { rate_limit: Some(200_000), ..live(6) };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    let offset = place.path().join("offset");
    let setup = Setup::new(api.address, &place.path().join("state"))
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s")
        .set("API__BUDGET_SHARE", "1.0");
    let setup = with_clock(setup, &offset);
    let mut before = BTreeMap::new();
    for (text, seconds) in [("+86400", 86_400.0), ("+0", 0.0), ("-3600", -3600.0), ("+86400", 86_400.0), ("+0", 0.0)] {
        std::fs::write(&offset, text).unwrap();
        let started = Instant::now();
        let daemon = setup.start();
        sees_clock(&daemon, seconds);
        until("it to be ready", || (daemon.get("/-/ready").0 == 200).then_some(()));
        assert!(started.elapsed() < Duration::from_secs(30), "held up for {:?}", started.elapsed());
        before = nothing_fell(&before, &daemon);
        daemon.kill();
    }
    let daemon = setup.start();
    shows_all(&daemon, &api);
    nothing_fell(&before, &daemon);
}

/// What an attempt costs that reaches nobody, in memory, files and numbers.
#[test]
fn an_api_that_is_gone_for_long_costs_nothing_and_is_found_again() {
    let (config, place) = (finished(500), tempfile::tempdir().unwrap());
    let api = Api::start(config.clone());
    let (address, truth) = (api.address, api.truth());
    let daemon = Setup::new(address, &place.path().join("state")).start();
    daemon.shows(&truth);
    until("up to be 1", || (daemon.sample(UP) == Some(1.0)).then_some(()));
    let memory = || daemon.sample("process_resident_memory_bytes").unwrap();
    let (files, bytes) = (daemon.open_files(), memory());

    drop(api);
    let attempts = || {
        let samples = daemon.samples();
        let failed =
            |name: &str| name.starts_with("agntix_exporter_api_requests_total{") && name.contains("\"connect\"");
        samples.iter().filter(|(name, _)| failed(name)).map(|(_, value)| value).sum::<f64>()
    };
    until("up to be 0", || (daemon.sample(UP) == Some(0.0)).then_some(()));
    let (mut last, mut since) = (attempts(), Instant::now());
    // Every 50 ms in its good days.
    until("the attempts to become rare", || {
        let now = attempts();
        if now > last {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_secs(3)).then_some(())
    });
    assert!(attempts() < 40.0, "{} attempts", attempts());
    assert!(daemon.open_files() <= files, "{} files, {files} before", daemon.open_files());
    assert!(memory() < bytes + 16e6, "{} bytes, {bytes} before", memory());
    assert_eq!(daemon.lines_with("level=error"), 1, "{}", daemon.log());
    assert_eq!(daemon.get("/-/ready").0, 200);
    assert!(daemon.get("/").1.contains("connection refused"));
    assert_eq!(durable(&daemon.samples()), truth, "the last counts stay on the page");

    let api = Api::start_at(address, config);
    until("up to be 1", || (daemon.sample(UP) == Some(1.0)).then_some(()));
    until("the listing to be read", || (api.simulator.requests().len() > 10).then_some(()));
    daemon.shows(&truth);
}
