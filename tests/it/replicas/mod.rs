//! P12: replicas share one ledger, each session is counted once, and no page is behind one that was served before.

mod balancer;
pub mod control;
mod database;
mod disorder;
mod failover;
mod faults;
mod full_disk;
mod inbox;
mod link;
mod numbers;
mod pages;
mod patroni;
mod personal_data;
mod prometheus;
mod scene;
mod scraper;
mod service;
mod state;
mod targets;
mod upgrade;

use std::net::SocketAddr;
use std::path::Path;

use test_postgres::Server;

use crate::support::{Api, Daemon, Setup, WEBHOOK_SECRET, until};
use service::{is_active, scrape};

/// A replica on the database at `url`. It loses its turn when it was silent for two seconds.
fn replica(api: SocketAddr, url: &str, directory: &Path) -> Setup {
    Setup::new(api, &directory.join("unused"))
        .set("STATE__URL", url)
        .set("STATE__SCHEMA", "agntix_exporter")
        .set("HA__LEASE", "2s")
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s")
        .set("LOG__LEVEL", "warn,agntix_exporter::cli=info,agntix_exporter::app=info,agntix_exporter::lifecycle=info")
}

/// The replica that counts, of those.
fn counting(replicas: &[Daemon]) -> usize {
    until("a replica to count", || replicas.iter().position(|replica| is_active(replica.address)))
}

mod turns {
    use std::time::{Duration, Instant};

    use simulator::{Clock as _, SimulatorConfig, SystemClock};

    use super::*;

    fn finished(total: u64) -> SimulatorConfig {
        SimulatorConfig::load(SystemClock.now().minus(Duration::from_secs(1_800)), 10.0, total)
    }

    #[test]
    #[ignore = "needs PostgreSQL (.ci/tools)"]
    fn every_replica_shows_the_truth_and_one_of_them_counts() {
        let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
        let api = Api::start(finished(1_000));
        let setup = replica(api.address, &server.url(), directory.path());
        let replicas = [setup.start(), setup.start(), setup.start()];
        for replica in &replicas {
            replica.shows(&api.truth());
        }
        assert_eq!(replicas.iter().filter(|replica| is_active(replica.address)).count(), 1);
        for replica in &replicas {
            until("all replicas to be counted", || {
                (replica.sample("agntix_exporter_replicas") == Some(3.0)).then_some(())
            });
            let active = f64::from(u8::from(is_active(replica.address)));
            until("it to say whether it counts", || {
                (replica.sample("agntix_exporter_active") == Some(active)).then_some(())
            });
            assert_eq!(replica.sample("agntix_exporter_ledger_synchronous"), Some(0.0));
            assert_eq!(replica.sample("agntix_exporter_ledger_regressions_total"), Some(0.0));
        }
        let mut missing = crate::reference::of_replicas();
        assert!(missing.len() >= 7, "{missing:?}");
        for (name, _) in replicas.iter().flat_map(Daemon::samples) {
            missing.retain(|metric| !name.starts_with(metric.as_str()));
        }
        assert!(missing.is_empty(), "never met: {missing:?}");
        let passive = replicas.iter().find(|replica| !is_active(replica.address)).unwrap();
        let (status, why) = passive.get("/-/active");
        assert!(status == 503 && why.starts_with("Another replica counts"), "{status} {why}");
        assert!(!directory.path().join("unused").exists(), "no state is kept here");
        // What is not counted is shown as well: here the agents.
        let gauges = |replica: &Daemon| {
            let samples = replica.samples().into_iter().filter(|(name, _)| name.starts_with("agntix_agent_info{"));
            samples.collect::<Vec<_>>()
        };
        until("all replicas to show the agents", || {
            let [one, two, three] = replicas.each_ref().map(gauges);
            (!one.is_empty() && one == two && two == three).then_some(())
        });
    }

    #[test]
    #[ignore = "needs PostgreSQL (.ci/tools)"]
    fn replica_that_stops_hands_over_at_once_and_one_that_is_killed_within_the_lease() {
        let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
        let api = Api::start(finished(300));
        let setup = replica(api.address, &server.url(), directory.path()).set("HA__LEASE", "5s");
        let mut replicas = vec![setup.start(), setup.start()];
        let mut first = replicas.swap_remove(counting(&replicas));
        first.shows(&api.truth());
        let began = Instant::now();
        first.stops_on("TERM");
        assert_eq!(counting(&replicas), 0);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        replicas.push(setup.start());
        let second = replicas.swap_remove(0);
        second.kill();
        let killed = Instant::now();
        // The page is there all the time.
        while !is_active(replicas[0].address) {
            assert!(scrape(replicas[0].address).is_some_and(|page| page == api.truth()));
            assert!(killed.elapsed() < Duration::from_secs(30), "{}", replicas[0].log());
        }
        replicas[0].shows(&api.truth());
    }

    #[test]
    #[ignore = "needs PostgreSQL (.ci/tools)"]
    fn database_that_cannot_be_used_is_one_clear_error() {
        let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
        let api = Api::start(finished(1));
        let url = format!("postgres://s3cret:s3cret@127.0.0.1:{}/nothing", server.port());
        let (code, output) = replica(api.address, &url, directory.path()).run();
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("/nothing cannot be used") && output.contains("has no role"), "{output}");
        assert!(!output.contains(":s3cret"), "{output}");
    }

    #[test]
    #[ignore = "needs PostgreSQL (.ci/tools)"]
    fn replica_that_starts_while_the_database_is_away_says_so_and_counts_when_it_is_back() {
        let (mut server, directory) = (Server::start(), tempfile::tempdir().unwrap());
        let api = Api::start(finished(100));
        server.kill();
        let replica = replica(api.address, &server.url(), directory.path()).start();
        let [page, ready, current] = ["/metrics", "/-/ready", "/-/ready?page"].map(|path| replica.get(path));
        for (status, text) in [page, ready, current] {
            assert_eq!(status, 503, "{text}");
            assert!(text.contains("the database") && text.contains("cannot be reached"), "{text}");
        }
        assert_eq!(replica.get("/-/active").0, 503);
        assert_eq!(replica.get("/-/healthy").0, 200, "a restart would mend nothing");
        // What the process says of itself is there.
        let (status, own) = replica.get("/metrics?collect[]=exporter");
        assert!(status == 200 && own.contains("\nagntix_exporter_active 0\n"), "{status} {own}");
        assert!(own.contains("\nagntix_exporter_state_writable 0\n"), "{own}");
        server.restart();
        replica.shows(&api.truth());
        assert_eq!(replica.get("/-/ready?page"), (200, "The page is current.\n".into()));
    }
}

/// Takes deliveries on that address.
fn receiving(setup: Setup, webhook: SocketAddr) -> Setup {
    setup
        .set("WEBHOOK__ENABLED", "true")
        .set("WEBHOOK__LISTEN_ADDRESS", &webhook.to_string())
        .env("AGNTIX_WEBHOOK_SECRET", WEBHOOK_SECRET)
}
