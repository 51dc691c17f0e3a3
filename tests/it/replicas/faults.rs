//! What can happen to a database that is still there: each kind is said once, and is mended without a restart.

use std::time::Duration;

use simulator::{Clock as _, SimulatorConfig, SystemClock};
use test_postgres::Server;

use super::replica;
use crate::support::{Api, Daemon, Setup, until};

/// A kind of failure: what happens, what mends it, and whether pages are an error meanwhile.
struct Fault {
    name: &'static str,
    begin: &'static [&'static str],
    end: &'static [&'static str],
    stops_pages: bool,
}

const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'exporter'";

const FAULTS: [Fault; 3] = [
    Fault {
        name: "a role that may not log in any more",
        begin: &["ALTER ROLE exporter NOLOGIN", CUT],
        end: &["ALTER ROLE exporter LOGIN"],
        stops_pages: true,
    },
    Fault {
        name: "a schema that is gone",
        begin: &["ALTER SCHEMA agntix_exporter RENAME TO gone"],
        end: &["ALTER SCHEMA gone RENAME TO agntix_exporter"],
        stops_pages: true,
    },
    Fault {
        name: "a table that is gone",
        begin: &["ALTER TABLE agntix_exporter.counted RENAME TO gone"],
        end: &["ALTER TABLE agntix_exporter.gone RENAME TO counted"],
        stops_pages: false,
    },
];

fn complaints(replica: &Daemon) -> Vec<String> {
    let is_complaint = |line: &&str| line.contains("level=error") || line.contains("level=warn");
    replica.log().lines().filter(is_complaint).map(str::to_owned).collect()
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn faults_of_the_database_are_said_once_and_mended_without_a_restart() {
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    server.sql("CREATE ROLE exporter LOGIN; GRANT CREATE ON DATABASE postgres TO exporter");
    // Sessions end during all of it.
    let start = SystemClock.now().minus(Duration::from_secs(600));
    let api = Api::start(SimulatorConfig::load(start, 4.0, 2_600));
    let url = format!("postgres://exporter@127.0.0.1:{}/postgres", server.port());
    let setup: Setup = replica(api.address, &url, directory.path());
    let replicas = [setup.start(), setup.start()];
    let all_answer = |is_served: bool, what: &str| {
        for replica in &replicas {
            until(what, || {
                let answer = replica.try_get("/metrics").map(|(status, _)| status == 200);
                (answer == Some(is_served)).then_some(())
            });
        }
    };
    all_answer(true, "the first pages");
    for Fault { name, begin, end, stops_pages } in FAULTS {
        let before = replicas.each_ref().map(|replica| complaints(replica).len());
        for statements in begin {
            server.sql(statements);
        }
        if stops_pages {
            all_answer(false, name);
        }
        // Long enough for every task to have failed several times.
        std::thread::sleep(Duration::from_secs(3));
        for statements in end {
            server.sql(statements);
        }
        all_answer(true, name);
        until("no failure to be reported any more", || {
            replicas.iter().all(|r| r.sample("agntix_exporter_state_writable") == Some(1.0)).then_some(())
        });
        for (replica, before) in replicas.iter().zip(before) {
            let said = complaints(replica).split_off(before);
            assert!(said.len() <= 8, "{name} is said too often:\n{}", said.join("\n"));
            assert!(!said.iter().any(|line| line.contains("panicked")), "{name}: {said:?}");
        }
    }
}
