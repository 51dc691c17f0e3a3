//! Messages and returning customers: every replica shows the truth, whoever counts and whichever commits a new primary lacks.

use std::path::Path;
use std::time::Duration;

use simulator::SimulatorConfig;
use test_postgres::Server;

use super::{counting, replica};
use crate::numbers::customers::{recognising, windows, without_previous};
use crate::numbers::messages::{after_noon, truth};
use crate::support::{Api, Daemon, NOON, Setup, durable, until};

/// Sessions of few customers, with messages, that begin and end after noon.
fn sessions(seed: u64) -> SimulatorConfig {
    let config = after_noon(seed, 1.0);
    let metrics = simulator::TruthMetrics { repeat_windows: windows(), ..config.metrics.clone() };
    SimulatorConfig { customers: Some(40), metrics, ..config }
}

fn setup(api: &Api, url: &str, directory: &Path) -> Setup {
    recognising(replica(api.address, url, directory), directory)
        .set("MESSAGES__ENABLED", "true")
        .set("SESSIONS__LOOK_BACK_DEADLINE", "5m")
        .set("LOG__LEVEL", "info")
}

/// Gives the replicas all of the sessions at once, when it is durable that they were first started at noon.
fn begin(api: &Api, replicas: &[Daemon]) {
    until("the look-back to be done", || {
        replicas.iter().any(|replica| replica.lines_with("the look-back is done") > 0).then_some(())
    });
    api.jump(NOON.plus(Duration::from_secs(7_200)));
}

fn show_the_truth(api: &Api, replicas: &[Daemon]) {
    let truth = truth(api);
    for name in ["agntix_session_turns_count{", "agntix_session_repeat_contacts_total{"] {
        assert!(truth.keys().any(|sample| sample.starts_with(name)), "the truth has no {name}");
    }
    let expected = without_previous(truth);
    for replica in replicas {
        until("the replica to show the truth", || {
            (without_previous(durable(&replica.samples_if_any())) == expected).then_some(())
        });
    }
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn messages_and_customers_are_counted_once_whoever_counts() {
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    let api = Api::start(sessions(1));
    let setup = setup(&api, &server.url(), directory.path()).set("API__MAX_CONCURRENCY", "4");
    let mut replicas = vec![setup.start(), setup.start()];
    begin(&api, &replicas);
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..3 {
        // The instant of the kill is what is random here; nothing depends on its length.
        std::thread::sleep(Duration::from_millis(random.u64(50..900)));
        let counting = counting(&replicas);
        replicas.remove(counting).kill();
        replicas.push(setup.start());
    }
    show_the_truth(&api, &replicas);
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn messages_and_customers_of_lost_commits_are_counted_again_and_not_twice() {
    for seed in 1..3 {
        let (primary, directory) = (Server::start(), tempfile::tempdir().unwrap());
        let standby = primary.standby();
        let api = Api::start(sessions(seed));
        let url = format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres", primary.port(), standby.port());
        let setup = setup(&api, &url, directory.path()).set("API__MAX_CONCURRENCY", "4");
        let replicas = vec![setup.start(), setup.start()];
        begin(&api, &replicas);
        let mut random = fastrand::Rng::with_seed(seed);
        // Both instants are what is random here; nothing depends on their length.
        std::thread::sleep(Duration::from_millis(random.u64(50..900)));
        standby.detach();
        std::thread::sleep(Duration::from_millis(random.u64(50..900)));
        let mut primary = primary;
        primary.kill();
        standby.promote();
        show_the_truth(&api, &replicas);
    }
}
