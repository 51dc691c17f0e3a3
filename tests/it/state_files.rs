//! The files of a state, and what an operator or a disk does to them: a rest of a state is never begun anew, and nothing
//! is acknowledged that the next start would not find (P4).

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use simulator::{Clock as _, FaultKind, FaultRule, Faults, Route, SimulatorConfig, SystemClock};

use crate::support::{Api, Daemon, Setup, durable, free_address, ledger, number, total, until};
use crate::webhook::delivery::{Sent, session};

const WRITABLE: &str = "agntix_exporter_state_writable";
const OUTCOMES: &str = "agntix_session_outcomes_total";
const DAY: Duration = Duration::from_secs(86_400);

fn no_sessions() -> Api {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    Api::start(SimulatorConfig { until: Some(start.minus(DAY)), ..SimulatorConfig::load(start, 1.0, 1) })
}

fn status(sent: &str, to: std::net::SocketAddr) -> u16 {
    Sent::new(session("session.ended", sent, true)).send(to).status
}

fn doctor(setup: &Setup, daemon: &Daemon) -> (Option<i32>, String) {
    let here = setup.clone().set("WEB__LISTEN_ADDRESS", &daemon.address.to_string());
    here.set("WEBHOOK__ENABLED", "false").argument("doctor").run()
}

/// Stops a daemon that has just been started: it handles signals when it answers. What it has logged.
fn stop(mut daemon: Daemon) -> String {
    until("it to answer", || daemon.try_get("/-/healthy"));
    daemon.stops_on("TERM");
    daemon.log()
}

#[test]
fn nothing_is_acknowledged_while_the_state_is_gone_and_nothing_is_lost_when_it_is_back() {
    if ledger::is_skipped(
        module_path!(),
        "nothing_is_acknowledged_while_the_state_is_gone_and_nothing_is_lost_when_it_is_back",
        "SQLite's files",
    ) {
        return;
    }
    let (api, place, webhook) = (no_sessions(), tempfile::tempdir().unwrap(), free_address());
    let setup = Setup::new(api.address, &place.path().join("state"))
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s")
        .with_webhook(webhook);
    let mut daemon = setup.start();
    for n in 0..20 {
        assert_eq!(status(&format!("before-{n}"), webhook), 200);
    }
    until("it to be ready", || (daemon.get("/-/ready").0 == 200).then_some(()));
    let elsewhere = place.path().join("elsewhere");
    std::fs::rename(&setup.state, &elsewhere).unwrap();
    // From the first one on: nobody has looked at the directory meanwhile.
    for n in 0..20 {
        assert_eq!(status(&format!("gone-{n}"), webhook), 503, "{}", daemon.log());
    }
    assert_eq!(daemon.sample(WRITABLE), Some(0.0));
    let (ready, why) = daemon.get("/-/ready");
    assert_eq!((ready, why.contains("counts cannot be saved")), (503, true), "{why}");
    until("an error in the log", || daemon.log().contains("ledger.sqlite was removed or moved").then_some(()));
    let (code, said) = doctor(&setup, &daemon);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot save its counts"), "{said}");

    // Another exporter begins anew in its place, which the first one must not take for its own.
    let second = setup.clone().set("WEBHOOK__ENABLED", "false").start();
    assert_eq!(status("second", webhook), 503);
    stop(second);
    std::fs::remove_dir_all(&setup.state).unwrap();
    std::fs::rename(&elsewhere, &setup.state).unwrap();
    until("it to be writable", || (daemon.sample(WRITABLE) == Some(1.0)).then_some(()));
    for n in 0..20 {
        assert_eq!(status(&format!("gone-{n}"), webhook), 200);
        assert_eq!(status(&format!("before-{n}"), webhook), 200);
    }
    until("all to be shown", || (total(&daemon.samples(), OUTCOMES) == 40.0).then_some(()));
    daemon.stops_on("TERM");
    let daemon = setup.start();
    until("all to be shown", || (total(&daemon.samples(), OUTCOMES) == 40.0).then_some(()));
}

/// The poller has nothing to save for long here: what the log says must not wait for it.
#[test]
fn state_that_is_gone_and_back_is_told_by_one_line_each_whosever_commits_fail() {
    if ledger::is_skipped(
        module_path!(),
        "state_that_is_gone_and_back_is_told_by_one_line_each_whosever_commits_fail",
        "SQLite's files",
    ) {
        return;
    }
    let (api, place, webhook) = (no_sessions(), tempfile::tempdir().unwrap(), free_address());
    let setup =
        Setup::new(api.address, &place.path().join("state")).set("SESSIONS__LISTING", "false").with_webhook(webhook);
    let daemon = setup.start();
    until("it to be ready", || (daemon.get("/-/ready").0 == 200).then_some(()));
    let elsewhere = place.path().join("elsewhere");
    std::fs::rename(&setup.state, &elsewhere).unwrap();
    for n in 0..5 {
        assert_eq!(status(&format!("gone-{n}"), webhook), 503, "{}", daemon.log());
    }
    until("an error in the log", || (daemon.lines_with("counts cannot be saved") == 1).then_some(()));
    assert!(daemon.log().contains("ledger.sqlite was removed or moved"), "{}", daemon.log());
    std::fs::rename(&elsewhere, &setup.state).unwrap();
    until("the end of it in the log", || (daemon.lines_with("the state can be written again") == 1).then_some(()));
    assert_eq!(daemon.sample(WRITABLE), Some(1.0));
    assert_eq!(status("after", webhook), 200);
    assert_eq!(daemon.lines_with("counts cannot be saved"), 1, "{}", daemon.log());
}

#[test]
fn state_that_is_removed_for_good_takes_nothing_more_and_doctor_finds_who_has_it_open() {
    if ledger::is_skipped(
        module_path!(),
        "state_that_is_removed_for_good_takes_nothing_more_and_doctor_finds_who_has_it_open",
        "SQLite's files",
    ) {
        return;
    }
    let (api, place, webhook) = (no_sessions(), tempfile::tempdir().unwrap(), free_address());
    let setup = Setup::new(api.address, &place.path().join("state"))
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s")
        .with_webhook(webhook);
    let mut daemon = setup.start();
    assert_eq!(status("before", webhook), 200);
    std::fs::remove_dir_all(&setup.state).unwrap();
    let taken = (0..10).filter(|n| status(&format!("s-{n}"), webhook) == 200).count();
    assert_eq!(taken, 0);
    let (code, said) = setup.clone().set("WEBHOOK__ENABLED", "false").argument("doctor").run();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("process {} has a state open that was removed", daemon.id())), "{said}");
    daemon.stops_on("TERM");
    // The operator's restart begins anew, and says so.
    let daemon = setup.start();
    assert_eq!(daemon.lines_with("a new state was begun"), 1, "{}", daemon.log());
    for n in 0..10 {
        assert_eq!(status(&format!("s-{n}"), webhook), 200);
    }
    until("all to be shown", || (total(&daemon.samples(), OUTCOMES) == 10.0).then_some(()));
}

#[test]
fn empty_state_is_refused_and_doctor_says_so() {
    if ledger::is_skipped(module_path!(), "empty_state_is_refused_and_doctor_says_so", "SQLite's files") {
        return;
    }
    let (api, place) = (no_sessions(), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state"));
    std::fs::create_dir(&setup.state).unwrap();
    let file = setup.state.join("ledger.sqlite");
    std::fs::write(&file, "").unwrap();
    for command in
        [setup.clone(), setup.clone().argument("doctor"), setup.clone().argument("state").argument("inspect")]
    {
        let (code, said) = command.run();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("it is empty, as a copy to a full disk leaves it"), "{said}");
    }
    assert_eq!(std::fs::metadata(file).unwrap().len(), 0);
}

#[test]
fn first_start_may_be_killed_at_any_instant() {
    if ledger::is_skipped(module_path!(), "first_start_may_be_killed_at_any_instant", "SQLite's files") {
        return;
    }
    let (api, place) = (no_sessions(), tempfile::tempdir().unwrap());
    for round in 0..30_u64 {
        let setup = Setup::new(api.address, &place.path().join(format!("{round}/state")));
        std::fs::create_dir(setup.state.parent().unwrap()).unwrap();
        let mut child = setup.command().stderr(std::process::Stdio::null()).spawn().unwrap();
        // Only spreads the kills; each of them must be survived.
        std::thread::sleep(Duration::from_millis(round * 4));
        child.kill().unwrap();
        child.wait().unwrap();
        if round.is_multiple_of(5) {
            stop(setup.start());
            let names = std::fs::read_dir(&setup.state).unwrap().map(|entry| entry.unwrap().file_name());
            assert!(
                names.into_iter().all(|name| ["ledger.sqlite", "ledger.commits"].contains(&name.to_str().unwrap()))
            );
        } else {
            agntix_exporter::ledger::sqlite::upkeep::glance(&setup.state).unwrap();
        }
    }
}

#[test]
fn new_state_in_another_working_directory_is_told_with_both_paths() {
    if ledger::is_skipped(
        module_path!(),
        "new_state_in_another_working_directory_is_told_with_both_paths",
        "SQLite's files",
    ) {
        return;
    }
    let (api, place) = (no_sessions(), tempfile::tempdir().unwrap());
    let start_in = |directory: &str| {
        let here = place.path().join(directory);
        std::fs::create_dir(&here).unwrap();
        // The daemon is started where its state is.
        stop(Setup::new(api.address, &here.join("data")).set("STATE__PATH", "./data").start())
    };
    let begun = |log: &str| log.lines().find(|line| line.contains("a new state was begun")).unwrap().to_owned();
    let first = begun(&start_in("first"));
    assert!(first.contains("level=warn") && first.contains("state.path is relative"), "{first}");
    let absolute = place.path().join("first/data").display().to_string();
    assert!(first.contains(&absolute), "{first}");
    let second = begun(&start_in("second"));
    assert!(second.contains(&format!("an earlier state in {absolute}")), "{second}");

    let alone = place.path().join("deep/state");
    let daemon = Setup::new(api.address, &alone).env("NOTHING", "");
    std::fs::create_dir(alone.parent().unwrap()).unwrap();
    let line = begun(&daemon.start().log());
    assert!(line.contains("level=info") && line.contains(&alone.display().to_string()), "{line}");
}

/// Sessions that have been open for three days, and are for longer.
fn long_sessions() -> SimulatorConfig {
    let start = SystemClock.now().minus(DAY * 3);
    let mut config = SimulatorConfig::load(start, 1.0, 30);
    for agent in &mut config.agents {
        agent.mean_duration = DAY * 30;
        (agent.shortest, agent.longest) = (agent.mean_duration, agent.mean_duration);
    }
    config
}

#[test]
fn open_session_that_vanished_is_forgotten_when_it_is_older_than_sessions_are_remembered() {
    let (api, place) = (Api::start(long_sessions()), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state")).set("SESSIONS__RETENTION", "48h");
    let mut daemon = setup.start();
    let sessions = api.sessions();
    let all = number(sessions.len());
    until("all to be open", || (total(&daemon.samples(), "agntix_sessions_open") == all).then_some(()));
    let vanished = sessions.iter().take(10).map(|session| session.id.clone()).collect();
    api.simulator.set_faults(Faults { vanished_sessions: vanished, ..Faults::default() }).unwrap();
    daemon.stops_on("TERM");
    let mut daemon = setup.start();
    let given_up = r#"agntix_exporter_malformed_sessions_total{reason="given_up"}"#;
    until("ten to be given up", || (daemon.sample(given_up) == Some(10.0)).then_some(()));
    daemon.stops_on("TERM");
    // They are in no gauge, no alert and no request any more.
    let asked = api.simulator.requests().len();
    let mut daemon = setup.start();
    until("it to be ready", || (daemon.get("/-/ready").0 == 200).then_some(()));
    until("the others to be open", || (total(&daemon.samples(), "agntix_sessions_open") == all - 10.0).then_some(()));
    let requests = api.simulator.requests().into_iter().skip(asked);
    assert_eq!(requests.filter(|request| request.status == 404).count(), 0);
    // They turn up again, and are not counted anew.
    api.simulator.set_faults(Faults::default()).unwrap();
    daemon.stops_on("TERM");
    let daemon = setup.start();
    until("all to be open", || (total(&daemon.samples(), "agntix_sessions_open") == all).then_some(()));
    assert_eq!(total(&daemon.samples(), "agntix_sessions_started_total"), all);
}

fn finished(total: u64) -> SimulatorConfig {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    SimulatorConfig { list_analysis: true, missing_part_share: 0.0, ..SimulatorConfig::load(start, 10.0, total) }
}

fn everywhere(kind: FaultKind) -> Faults {
    Faults { rules: vec![FaultRule { route: None, share: 1.0, kind }], ..Faults::default() }
}

#[test]
fn sessions_of_the_far_future_are_malformed_and_counted_when_their_dates_are_right_again() {
    let (api, place) = (Api::start(finished(100)), tempfile::tempdir().unwrap());
    api.simulator.set_faults(everywhere(FaultKind::DatedAhead(24 * 400))).unwrap();
    let setup = Setup::new(api.address, &place.path().join("state")).set("SESSIONS__LOOK_BACK_DEADLINE", "1s");
    let mut daemon = setup.start();
    let malformed = r#"agntix_exporter_malformed_sessions_total{reason="created_in_future"}"#;
    until("them to be found malformed", || (daemon.sample(malformed) >= Some(100.0)).then_some(()));
    assert_eq!(total(&daemon.samples(), "agntix_sessions_started_total"), 0.0);
    api.simulator.set_faults(Faults::default()).unwrap();
    // What is missing is asked for again at once.
    daemon.signal("HUP");
    daemon.shows(&api.truth());
    daemon.stops_on("TERM");
    assert!(durable(&setup.start().samples()) == api.truth());
}

#[test]
fn sessions_whose_dates_change_with_every_answer_are_counted_once() {
    let (api, place) = (Api::start(finished(200)), tempfile::tempdir().unwrap());
    api.simulator.set_faults(everywhere(FaultKind::DatedAnew(25))).unwrap();
    let setup = Setup::new(api.address, &place.path().join("state"));
    let totals = |daemon: &Daemon| {
        let samples = daemon.samples();
        ["agntix_sessions_started_total", "agntix_sessions_ended_total", OUTCOMES].map(|name| total(&samples, name))
    };
    let all = [number(api.sessions().len()); 3];
    for _ in 0..3 {
        let mut daemon = setup.start();
        until("all to be counted", || (totals(&daemon) == all).then_some(()));
        // Each sweep shows all of them again, with other dates.
        let lists = || api.simulator.requests().iter().filter(|request| request.route == Route::List).count();
        let before = lists();
        until("further sweeps", || (lists() > before + 10).then_some(()));
        assert_eq!(totals(&daemon), all);
        daemon.stops_on("TERM");
    }
}

#[test]
fn backup_beside_a_running_exporter_holds_nothing_up_and_counts_nothing_twice_when_restored() {
    if ledger::is_skipped(
        module_path!(),
        "backup_beside_a_running_exporter_holds_nothing_up_and_counts_nothing_twice_when_restored",
        "SQLite's files",
    ) {
        return;
    }
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let config =
        SimulatorConfig { list_analysis: true, missing_part_share: 0.0, ..SimulatorConfig::load(start, 10.0, 400) };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state"));
    let backup = |setup: &Setup, file: &std::path::Path| {
        let command = setup.clone().argument("state").argument("backup").argument(file.to_str().unwrap());
        command.run()
    };
    let file = place.path().join("backup.sqlite");
    let mut daemon = setup.start();
    daemon.shows(&api.truth());
    let (code, said) = backup(&setup, &file);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("copied by the running exporter and checked"), "{said}");
    // Never over another file, and nothing is left in the state's directory.
    let (code, said) = backup(&setup, &file);
    assert_eq!((code, said.contains("exists")), (Some(1), true), "{said}");
    let left = std::fs::read_dir(&setup.state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| name.starts_with("ledger.")));
    assert_eq!(daemon.sample(WRITABLE), Some(1.0));
    assert_eq!(durable(&daemon.samples()), api.truth());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    daemon.stops_on("TERM");

    let stopped = place.path().join("stopped.sqlite");
    let (code, said) = backup(&setup, &stopped);
    assert_eq!((code, said.contains("nobody has open")), (Some(0), true), "{said}");
    for copy in [&file, &stopped] {
        let restored = Setup::new(api.address, &place.path().join("restored"));
        std::fs::create_dir(&restored.state).unwrap();
        std::fs::copy(copy, restored.state.join("ledger.sqlite")).unwrap();
        let mut daemon = restored.start();
        until("it to be ready", || (daemon.get("/-/ready").0 == 200).then_some(()));
        daemon.shows(&api.truth());
        daemon.stops_on("TERM");
        std::fs::remove_dir_all(&restored.state).unwrap();
    }
}
