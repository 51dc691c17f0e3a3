//! What can happen to a database that is still there: deliveries are deferred and no page lies, each reason is logged once, and the
//! replicas go on by themselves when it is mended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use test_postgres::Server;

use super::scene::Scene;
use crate::support::until;

/// A kind of failure: what happens, what mends it, and what fails meanwhile.
struct Fault {
    name: &'static str,
    begin: &'static [&'static str],
    end: &'static [&'static str],
    stops_pages: bool,
    stops_deliveries: bool,
    /// What a replica logs of it.
    reason: &'static str,
}

const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'exporter'";

const FAULTS: [Fault; 5] = [
    Fault {
        name: "a role that may not log in any more",
        begin: &["ALTER ROLE exporter NOLOGIN", CUT],
        end: &["ALTER ROLE exporter LOGIN"],
        stops_pages: true,
        stops_deliveries: true,
        reason: "is not permitted to log in",
    },
    Fault {
        name: "a schema that is gone",
        begin: &["ALTER SCHEMA agntix_exporter RENAME TO gone"],
        end: &["ALTER SCHEMA gone RENAME TO agntix_exporter"],
        stops_pages: true,
        stops_deliveries: true,
        reason: "does not exist",
    },
    Fault {
        name: "a table that is gone",
        begin: &["ALTER TABLE agntix_exporter.counted RENAME TO gone"],
        end: &["ALTER TABLE agntix_exporter.gone RENAME TO counted"],
        stops_pages: false,
        stops_deliveries: false,
        reason: "does not exist",
    },
    // As managed databases do when their disk is full. What is shown stays current, since nobody can change it.
    Fault {
        name: "a database that became read-only",
        begin: &["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"],
        end: &["ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"],
        stops_pages: false,
        stops_deliveries: true,
        reason: "read-only",
    },
    Fault {
        name: "a database that became read-only, and was started again",
        begin: &["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()", CUT],
        end: &["ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"],
        stops_pages: true,
        stops_deliveries: true,
        reason: "(default_transaction_read_only)",
    },
];

impl Scene {
    /// A delivery of a session of its own is refused by each replica, and its sender told to come again.
    fn defers(&self, what: &str) {
        let sent = self.next();
        for webhook in self.webhooks {
            let reply = until(what, || Some(sent.send(webhook)).filter(|reply| reply.status != 200));
            assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")), "{what}: {reply:?}");
        }
    }

    /// The reason was logged, by each replica if it keeps both from serving pages, and no complaint twice, however often it has failed.
    fn has_logged_once(&self, what: &str, reason: &str, stops_pages: bool) {
        until(what, || {
            let has_logged = |replica| self.complaints(replica).iter().any(|line| line.contains(reason));
            let is_logged = if stops_pages { has_logged(0) && has_logged(1) } else { has_logged(0) || has_logged(1) };
            is_logged.then_some(())
        });
        for replica in 0..2 {
            let mut times = BTreeMap::<String, usize>::new();
            for line in self.complaints(replica) {
                let (_, said) = line.split_once("target=").unwrap();
                *times.entry(said.to_owned()).or_default() += 1;
            }
            assert!(times.values().all(|times| *times == 1) && times.len() <= 5, "{what}: {times:#?}");
            assert!(!times.keys().any(|line| line.contains("panicked")), "{what}: {times:#?}");
        }
    }
}

/// Fails every task of the replicas several times.
fn long_enough(mut each: impl FnMut()) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        each();
    }
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn faults_of_the_database_are_said_once_and_mended_without_a_restart() {
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    server.sql("CREATE ROLE exporter LOGIN; GRANT CREATE ON DATABASE postgres TO exporter");
    let mut scene = Scene::begin(&server, directory.path(), 160);
    for Fault { name, begin, end, stops_pages, stops_deliveries, reason } in FAULTS {
        scene.mark();
        for statements in begin {
            server.sql(statements);
        }
        for replica in &scene.replicas {
            until(name, || {
                if begin.contains(&CUT) {
                    // A connection that was just being made goes on.
                    server.sql(CUT);
                }
                ((replica.try_get("/metrics")?.0 != 200) == stops_pages).then_some(())
            });
        }
        long_enough(|| {
            if stops_deliveries {
                scene.defers(name);
            } else {
                // It is kept for the replica that counts, which cannot; that one may refuse it.
                for webhook in scene.webhooks {
                    scene.next().send(webhook);
                }
            }
        });
        scene.has_logged_once(name, reason, stops_pages);
        for statements in end {
            server.sql(statements);
        }
        scene.go_on(name);
        scene.has_logged_once(name, reason, stops_pages);
    }
    scene.ends();
}
