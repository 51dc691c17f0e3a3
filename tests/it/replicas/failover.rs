//! The primary fails, and a standby that lacks its last commits takes its place: what any replica knows is counted again, and
//! what nobody knows is told.
//!
//! `FAILOVER_RUNS=100 cargo test --test it -- --ignored replicas::failover` runs so many of either kind.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use simulator::{Clock as _, DeliveryConfig, SimulatorConfig, SystemClock};
use test_postgres::Server;

use super::scraper::Scraper;
use super::service::Service;
use super::{receiving, replica};
use crate::support::{Api, Daemon, Setup, WEBHOOK_SECRET, free_address, total, until};

fn runs(usually: u64) -> u64 {
    std::env::var("FAILOVER_RUNS").map_or(usually, |runs| runs.parse().unwrap())
}

/// Replicas on a primary and an asynchronous standby, which take the deliveries of all sessions.
struct Scene {
    primary: Server,
    standby: Server,
    api: Api,
    setups: Vec<Setup>,
    replicas: Vec<Daemon>,
    service: Service,
}

impl Scene {
    fn begin(seed: u64, directory: &Path, more: impl Fn(Setup) -> Setup) -> Self {
        let primary = Server::start();
        let standby = primary.standby();
        // All are over. An open session is asked for again after a twentieth of its age, which is how long the last test takes.
        let start = SystemClock.now().minus(Duration::from_secs(120));
        let sessions = SimulatorConfig { missing_part_share: 0.0, ..SimulatorConfig::load(start, 10.0, 400) };
        let api = Api::start(sessions);
        let url = format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres", primary.port(), standby.port());
        let webhooks: Vec<SocketAddr> = (0..2).map(|_| free_address()).collect();
        let setup = |webhook: &SocketAddr| {
            let address = free_address().to_string();
            more(receiving(replica(api.address, &url, directory), *webhook)).set("WEB__LISTEN_ADDRESS", &address)
        };
        let setups: Vec<Setup> = webhooks.iter().map(setup).collect();
        let replicas = setups.iter().map(Setup::start).collect();
        let service = Service::before(webhooks, seed);
        let scene = Self { primary, standby, api, setups, replicas, service };
        scene.deliver(start);
        scene
    }

    fn deliver(&self, since: simulator::Timestamp) {
        let hook = format!("http://{}/webhooks/agntix", self.service.address);
        let deliveries = DeliveryConfig {
            since: Some(since),
            parallelism: 4,
            backoff_scale: 0.001,
            ..DeliveryConfig::new(&hook, vec![WEBHOOK_SECRET.parse().unwrap()]).unwrap()
        };
        self.api.simulator.set_deliveries(Some(deliveries)).unwrap();
    }

    /// The standby lacks what is committed from now on until the primary is killed, and then takes its place.
    fn fail_over(&mut self, random: &mut fastrand::Rng, killed: impl FnOnce(&mut Vec<Daemon>)) {
        let some = f64::from(random.u32(20..150));
        until("some sessions to be counted", || {
            (total(&self.replicas[0].samples_if_any(), "agntix_sessions_started_total") >= some).then_some(())
        });
        self.standby.detach();
        // The instant is what is random here; nothing depends on its length.
        std::thread::sleep(Duration::from_millis(random.u64(0..400)));
        self.primary.kill();
        killed(&mut self.replicas);
        self.standby.promote();
    }
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn replicas_that_live_lose_nothing_and_count_nothing_twice_when_an_asynchronous_standby_takes_over() {
    for seed in 0..runs(2) {
        let (mut random, directory) = (fastrand::Rng::with_seed(seed), tempfile::tempdir().unwrap());
        // Nothing is found by listing: what is lost is gone.
        let mut scene = Scene::begin(seed, directory.path(), |setup| setup.set("SESSIONS__LISTING", "false"));
        let scraper =
            Scraper::over(scene.replicas.iter().map(|replica| replica.address).collect(), Duration::from_millis(50));
        scene.fail_over(&mut random, |_| {});
        scene.api.all_delivered();
        for replica in &scene.replicas {
            replica.shows(&scene.api.truth());
        }
        let pages = scraper.stop();
        assert!(pages.falls.is_empty(), "seed {seed}: {:#?}", pages.falls);
    }
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn what_is_lost_with_all_replicas_is_told_and_the_page_shows_what_the_database_has() {
    for seed in 0..runs(1) {
        let (mut random, directory) = (fastrand::Rng::with_seed(seed), tempfile::tempdir().unwrap());
        // What the database still knows to be open is asked for again, and the deliveries about it were acknowledged.
        let mut scene = Scene::begin(seed, directory.path(), |setup| {
            setup.set("SESSIONS__LISTING", "false").set("POLL__OPEN_INTERVAL", "1s")
        });
        scene.fail_over(&mut random, |replicas| replicas.drain(..).for_each(Daemon::kill));
        let began = Instant::now();
        scene.replicas = scene.setups.iter().map(Setup::start).collect();
        let is_served = || scene.replicas.iter().any(|replica| !replica.samples_if_any().is_empty());
        until("a page to be served", || is_served().then_some(()));
        let served = began.elapsed();
        scene.api.all_delivered();
        let delivered = began.elapsed();
        let counted = || scene.standby.sql("SELECT count(*) FROM agntix_exporter.counted").trim().to_owned();
        let left =
            "SELECT (SELECT count(*) FROM agntix_exporter.inbox) + (SELECT count(*) FROM agntix_exporter.pending)";
        until("everything that the database knows to be counted", || {
            let _ = scene.replicas[0].samples_if_any();
            (scene.standby.sql(left).trim() == "0").then_some(())
        });
        for replica in &scene.replicas {
            until("the page to show what is there", || {
                let page: BTreeMap<String, f64> = replica.samples_if_any();
                let ended = total(&page, "agntix_sessions_ended_total").to_string();
                (total(&page, "agntix_sessions_started_total").to_string() == counted() && ended == counted())
                    .then_some(())
            });
        }
        println!(
            "seed {seed}: pages after {served:.1?}, all delivered after {delivered:.1?}, counted after {:.1?}",
            began.elapsed()
        );
        let told: f64 =
            scene.replicas.iter().filter_map(|r| r.sample("agntix_exporter_ledger_regressions_total")).sum();
        assert!(told >= 1.0, "seed {seed}");
        let lines: usize = scene.replicas.iter().map(|replica| replica.lines_with("nobody knows how many")).sum();
        assert_eq!(lines, 1, "seed {seed}: {}", scene.replicas[0].log());
    }
}
