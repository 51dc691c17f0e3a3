//! Random schedules of what can happen to replicas, while every source tells of the same sessions and a scraper hops over all of
//! them: nothing is lost, nothing counted twice, and no page is behind one that was served before.
//!
//! `REPLICA_SEEDS=500 cargo test --test it -- --ignored replicas::disorder` runs so many schedules.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use simulator::{Clock as _, DeliveryConfig, SimulatorConfig, SystemClock};
use test_postgres::{Bouncer, Server};

use super::service::{Scraper, Service};
use super::{receiving, replica};
use crate::support::{Api, Daemon, Setup, WEBHOOK_SECRET, free_address, until};

/// Longer than the lease.
const LONGEST_SLEEP: u64 = 3_500;

struct Replica {
    setup: Setup,
    daemon: Option<Daemon>,
    address: SocketAddr,
    /// When it goes on, if it was stopped.
    asleep_until: Option<Instant>,
}

impl Replica {
    fn start(&mut self) {
        self.daemon = Some(self.setup.start());
    }
}

fn everything(seed: u64, actions: u32) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    let bouncer = random.bool().then(|| Bouncer::start(&server, 6));
    let url = bouncer.as_ref().map_or_else(|| server.url(), Bouncer::url);
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let sessions =
        SimulatorConfig { expired_share: 0.1, missing_part_share: 0.0, ..SimulatorConfig::load(start, 10.0, 1_500) };
    let api = Api::start(SimulatorConfig { unlisted_share: 0.2, ..sessions });
    let mut webhooks = Vec::new();
    let mut replicas: Vec<Replica> = (0..3)
        .map(|_| {
            let (address, webhook) = (free_address(), free_address());
            webhooks.push(webhook);
            let setup = receiving(replica(api.address, &url, directory.path()), webhook)
                .set("API__MAX_CONCURRENCY", "2")
                .set("STREAM__ENABLED", "true")
                .set("WEB__LISTEN_ADDRESS", &address.to_string());
            Replica { setup, daemon: None, address, asleep_until: None }
        })
        .collect();
    for replica in &mut replicas {
        replica.start();
    }
    let service = Service::before(webhooks, seed);
    let hook = format!("http://{}/webhooks/agntix", service.address);
    let deliveries = DeliveryConfig {
        since: Some(start),
        repeated_share: 0.5,
        out_of_order_share: 0.3,
        parallelism: 4,
        backoff_scale: 0.001,
        ..DeliveryConfig::new(&hook, vec![WEBHOOK_SECRET.parse().unwrap()]).unwrap()
    };
    api.simulator.set_deliveries(Some(deliveries)).unwrap();
    let addresses = replicas.iter().map(|replica| replica.address).collect();
    let scraper = Scraper::over(addresses, Duration::from_millis(50));
    for _ in 0..actions {
        act(&mut random, &mut replicas, &server);
        // The instant of what happens is what is random here; nothing depends on its length.
        std::thread::sleep(Duration::from_millis(random.u64(0..700)));
        wake(&mut replicas, false);
    }
    wake(&mut replicas, true);
    until("all deliveries to be acknowledged", || {
        api.simulator.delivery_progress().filter(|progress| progress.done).map(drop)
    });
    let truth = api.truth();
    for replica in &replicas {
        replica.daemon.as_ref().unwrap().shows(&truth);
    }
    let pages = scraper.stop();
    assert!(pages.falls.is_empty(), "seed {seed}: {:#?}", pages.falls);
    assert!(pages.pages > 10, "seed {seed}: {pages:?}");
}

fn act(random: &mut fastrand::Rng, replicas: &mut [Replica], server: &Server) {
    let chosen = random.usize(..replicas.len());
    match random.u32(..10) {
        0..=2 => {
            let replica = &mut replicas[chosen];
            (replica.daemon, replica.asleep_until) = (None, None);
            replica.start();
        }
        3..=4 => {
            let replica = &mut replicas[chosen];
            if replica.asleep_until.is_none() {
                let mut daemon = replica.daemon.take().unwrap();
                daemon.signal("TERM");
                daemon.wait();
                replica.start();
            }
        }
        5..=7 => {
            let replica = &mut replicas[chosen];
            if replica.asleep_until.is_none() {
                replica.daemon.as_ref().unwrap().signal("STOP");
                let sleep = Duration::from_millis(random.u64(0..LONGEST_SLEEP));
                replica.asleep_until = Some(Instant::now() + sleep);
            }
        }
        _ => {
            let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < 0.5";
            server.sql(cut);
        }
    }
}

/// Lets those go on whose time has come, or all of them.
fn wake(replicas: &mut [Replica], all: bool) {
    for replica in replicas {
        if replica.asleep_until.is_some_and(|until| all || until <= Instant::now()) {
            replica.daemon.as_ref().unwrap().signal("CONT");
            replica.asleep_until = None;
        }
    }
}

#[test]
#[ignore = "needs PostgreSQL and PgBouncer (.ci/tools)"]
fn random_schedules_lose_nothing_count_nothing_twice_and_let_no_page_fall() {
    let seeds = std::env::var("REPLICA_SEEDS").map_or(2, |seeds| seeds.parse().unwrap());
    let first = std::env::var("REPLICA_FIRST_SEED").map_or(1, |seed| seed.parse().unwrap());
    for seed in first..first + seeds {
        everything(seed, 25);
    }
}
