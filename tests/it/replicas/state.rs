//! A state moves from the disk of one exporter to the database of several, and back: no count is lost or doubled, no series falls,
//! and the page after a move is the page before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use simulator::{Clock as _, SimulatorConfig, SystemClock};
use test_postgres::{Bouncer, Server};

use super::{counting, replica};
use crate::support::{Api, Daemon, Setup, ask, durable, free_address, is_durable, until};

/// The command on the state of `setup`: exit code and all that it wrote.
fn state(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String) {
    let command = arguments.iter().fold(setup.clone().argument("state"), |setup, argument| setup.argument(argument));
    command.run()
}

fn succeeds(setup: &Setup, arguments: &[&str]) -> String {
    let (code, said) = state(setup, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    said
}

/// The lines of the page that are about the organization, as they were sent; nothing is asked of the API meanwhile.
fn session_part(setup: &Setup) -> String {
    let silent = setup
        .clone()
        .set("API__BASE_URL", &format!("http://{}", free_address()))
        .set("METRICS__NEW_SERIES_HOLD", "1h")
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s");
    let mut daemon = silent.start();
    let lines = until("the session metrics", || {
        let page = daemon.try_get("/metrics").filter(|(status, _)| *status == 200)?.1;
        let lines: Vec<&str> = page.lines().filter(|line| is_durable(line)).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    });
    daemon.stops_on("TERM");
    lines
}

/// No series of `before` is lower now.
fn rose(before: &BTreeMap<String, f64>, daemon: &Daemon) -> BTreeMap<String, f64> {
    let now = durable(&daemon.samples());
    for (name, value) in before {
        assert!(now.get(name) >= Some(value), "{name} fell from {value} to {:?}", now.get(name));
    }
    now
}

fn sessions_of(page: &BTreeMap<String, f64>) -> f64 {
    crate::support::total(page, "agntix_sessions_ended_total")
}

#[test]
#[ignore = "needs PostgreSQL and PgBouncer (.ci/tools)"]
fn counts_go_on_in_the_database_and_back_on_the_disk_as_if_nothing_had_moved() {
    let (server, place) = (Server::start(), tempfile::tempdir().unwrap());
    let bouncer = Bouncer::start(&server, 4);
    let start = SystemClock.now().minus(Duration::from_secs(60));
    let api = Api::start(SimulatorConfig::load(start, 10.0, 2_000));
    let alone = Setup::new(api.address, &place.path().join("state")).set("SESSIONS__LOOK_BACK_DEADLINE", "0s");
    let shared = replica(api.address, &bouncer.url(), place.path());

    let mut daemon = alone.start();
    let seen = until("sessions to be counted on the disk", || {
        let page = durable(&daemon.samples());
        (sessions_of(&page) > 200.0).then_some(page)
    });
    let refused = state(&alone, &["migrate", "--to", &bouncer.url()]);
    assert!(refused.0 == Some(1) && refused.1.contains("is in use by another process"), "{refused:?}");
    daemon.stops_on("TERM");
    let page = session_part(&alone);
    assert!(page.lines().any(|line| line.ends_with(" 0")), "series in their initial-zero window are to stay there");
    let said = succeeds(&alone, &["migrate", "--to", &bouncer.url()]);
    assert!(said.contains("Next: set state.url") && said.contains("series"), "{said}");
    let (code, said) = alone.run();
    assert!(code == Some(1) && said.contains("was moved to 127.0.0.1"), "{code:?} {said}");
    assert_eq!(session_part(&shared), page);

    let mut replicas = vec![shared.start(), shared.start()];
    let seen = {
        let counted = sessions_of(&seen);
        until("sessions to be counted in the database", || {
            replicas.iter().find_map(|replica| {
                let page = rose(&seen, replica);
                (sessions_of(&page) > counted + 200.0).then_some(page)
            })
        })
    };
    // What reads may run beside them; what writes names who counts.
    let holder = &replicas[counting(&replicas)];
    let said = succeeds(&shared, &["inspect"]);
    assert!(said.contains(&format!("/{}, since", holder.id())) && said.contains("table counted"), "{said}");
    assert!(!said.contains(simulator::PERSONAL_MARKER), "{said}");
    let exported = place.path().join("exported.jsonl");
    succeeds(&shared, &["export", "--to", exported.to_str().unwrap()]);
    succeeds(&shared, &["inspect", "--verify"]);
    let disk = place.path().join("back");
    let back = ["migrate", "--to", disk.to_str().unwrap()];
    for arguments in [&back[..], &["compact"], &["forget", "x"], &["import", "--from", exported.to_str().unwrap()]] {
        let (code, said) = state(&shared, arguments);
        let names = said.contains(" counts in 127.0.0.1") || said.contains("replicas use the state in");
        assert!(code == Some(1) && names && said.contains("stop "), "{arguments:?}: {said}");
    }
    let (code, said) = state(&shared, &["backup", disk.to_str().unwrap()]);
    assert!(code == Some(2) && said.contains("pg_dump"), "{said}");
    for daemon in &mut replicas {
        daemon.stops_on("TERM");
    }
    // What was written beside the replicas is a whole state.
    let copy = Setup::new(api.address, &place.path().join("copy"));
    succeeds(&copy, &["import", "--from", exported.to_str().unwrap()]);
    succeeds(&copy, &["inspect", "--verify"]);

    let page = session_part(&shared);
    let said = succeeds(&shared, &back);
    assert!(said.contains("remove state.url"), "{said}");
    let (code, said) = shared.run();
    assert!(code == Some(1) && said.contains("was moved to /"), "{code:?} {said}");
    let alone = alone.set("STATE__PATH", disk.to_str().unwrap());
    assert_eq!(session_part(&alone), page);
    let daemon = alone.start();
    until("a page", || (!durable(&daemon.samples()).is_empty()).then_some(()));
    rose(&seen, &daemon);
    // The rest of the sessions come and end.
    api.jump(api.simulator.config().until.unwrap().plus(Duration::from_secs(600)));
    daemon.shows(&api.truth());
}

fn lines_of(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    lines.retain(|line| !line.starts_with("{\"end\""));
    lines.sort();
    lines
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn move_that_is_killed_at_any_moment_leaves_one_state_in_use_and_can_be_repeated() {
    let (server, place) = (Server::start(), tempfile::tempdir().unwrap());
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let api = Api::start(SimulatorConfig::load(start, 10.0, 2_000));
    let alone = Setup::new(api.address, &place.path().join("state")).set("SESSIONS__LOOK_BACK_DEADLINE", "0s");
    let shared = replica(api.address, &server.url(), place.path());
    let mut daemon = alone.start();
    daemon.shows(&api.truth());
    daemon.stops_on("TERM");
    let (before, after) = (place.path().join("before"), place.path().join("after"));
    succeeds(&alone, &["export", "--to", before.to_str().unwrap()]);
    let mut random = fastrand::Rng::with_seed(7);
    let kills = std::env::var("STATE_KILLS").map_or(4, |kills| kills.parse().unwrap());
    for _ in 0..kills {
        let url = server.url();
        let command = ["state", "migrate", "--to", &url];
        let mut child = command
            .iter()
            .fold(alone.clone().set("HA__LEASE", "2s"), |setup, argument| setup.argument(argument))
            .command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The instant is what is random here.
        std::thread::sleep(Duration::from_millis(random.u64(0..1_500)));
        let _ = child.kill();
        child.wait().unwrap();
    }
    // The last one leaves the lease to run out. One that was quick enough has done it.
    let said = until("a move that nobody kills", || {
        let (code, said) = state(&alone, &["migrate", "--to", &server.url()]);
        let is_done = code == Some(0) || said.contains("already, and is there");
        assert!(is_done || said.contains("counts in 127.0.0.1"), "{said}");
        is_done.then_some(said)
    });
    succeeds(&shared, &["export", "--to", after.to_str().unwrap()]);
    assert!(lines_of(&before) == lines_of(&after), "{said}");
    shared.start().shows(&api.truth());
}

/// The page in every format, as bytes.
fn pages(replica: &Daemon) -> Vec<Vec<u8>> {
    let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let formats = ["text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0", protobuf];
    let page = |format| {
        until("a page", || {
            ask(replica.address, "GET", "/metrics", &[("accept", format)]).filter(|page| page.status == 200)
        })
    };
    let mut pages: Vec<_> = formats.map(|format| page(format).body).into();
    pages.push(replica.get("/").1.into_bytes());
    pages
}

fn names(page: &[u8], id: &str) -> bool {
    page.windows(id.len()).any(|window| window == id.as_bytes())
}

/// The ids in the exemplars of a page.
fn exemplars(replica: &Daemon) -> BTreeSet<String> {
    let page = replica.open_metrics();
    let behind = page.split("# {session_id=\"").skip(1);
    behind.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn forgotten_session_is_on_no_page_of_any_replica() {
    let (server, place) = (Server::start(), tempfile::tempdir().unwrap());
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let api = Api::start(SimulatorConfig::load(start, 10.0, 200));
    let setup = replica(api.address, &server.url(), place.path());
    let mut replicas = [setup.start(), setup.start()];
    let id = until("an exemplar on both pages", || {
        let [one, two] = replicas.each_ref().map(exemplars);
        one.intersection(&two).next().cloned()
    });
    for replica in &replicas {
        replica.shows(&api.truth());
    }
    let shown = format!("SELECT count(*) FROM agntix_exporter.gauges WHERE position('{id}'::bytea in page) > 0");
    server.eventually_has(&shown, "1");
    for daemon in &mut replicas {
        daemon.stops_on("TERM");
    }
    assert_eq!(server.sql(&shown).trim(), "1", "what follows would find nothing");
    let said = succeeds(&setup, &["forget", &id]);
    assert!(
        said.contains("a hash of its id") && said.to_lowercase().contains("what was shown of it is gone"),
        "{said}"
    );
    // Agntix has nothing to say of it any more either.
    let silent = setup.set("API__BASE_URL", &format!("http://{}", free_address()));
    let replicas = [silent.start(), silent.start()];
    counting(&replicas);
    let mut counts = replicas.each_ref().map(|replica| {
        until("the counts", || {
            let page = durable(&replica.samples_if_any());
            (!page.is_empty()).then_some(page)
        })
    });
    assert_eq!(counts[0], counts[1]);
    counts[0].retain(|name, _| api.truth().contains_key(name));
    assert_eq!(counts[0], api.truth(), "no count changes");
    // The replica that counts shows the others what it knows every few seconds.
    let version = server.sql("SELECT version FROM agntix_exporter.gauges");
    server.eventually_has(&format!("SELECT version > {version} FROM agntix_exporter.gauges"), "t");
    for page in replicas.iter().flat_map(pages) {
        assert!(!names(&page, &id), "{}", String::from_utf8_lossy(&page));
    }
    assert_eq!(server.sql(&shown).trim(), "0");
}
