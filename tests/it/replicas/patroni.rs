//! Replicas on a cluster under Patroni, through a switchover and the loss of the primary with its machine.
//!
//! `PATRONI_MODES=synchronous,asynchronous cargo test --test it -- --ignored replicas::patroni` runs both modes.

use std::time::Duration;

use simulator::{Clock as _, DeliveryConfig, SimulatorConfig, SystemClock};
use test_postgres::{Cluster, Signal};

use super::scraper::Scraper;
use super::service::Service;
use super::{receiving, replica};
use crate::support::{Api, Daemon, WEBHOOK_SECRET, free_address, until};

fn through_a_switchover_and_the_loss_of_the_primary(is_synchronous: bool) {
    let mut cluster = Cluster::start(is_synchronous);
    let directory = tempfile::tempdir().unwrap();
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let sessions = SimulatorConfig { missing_part_share: 0.0, ..SimulatorConfig::load(start, 10.0, 1_000) };
    let api = Api::start(sessions);
    let webhooks: Vec<_> = (0..3).map(|_| free_address()).collect();
    let start_one = |webhook| receiving(replica(api.address, &cluster.url(), directory.path()), webhook).start();
    let replicas: Vec<Daemon> = webhooks.iter().copied().map(start_one).collect();
    let service = Service::before(webhooks, 1);
    let hook = format!("http://{}/webhooks/agntix", service.address);
    let deliveries = DeliveryConfig {
        since: Some(start),
        parallelism: 2,
        backoff_scale: 0.001,
        ..DeliveryConfig::new(&hook, vec![WEBHOOK_SECRET.parse().unwrap()]).unwrap()
    };
    api.simulator.set_deliveries(Some(deliveries)).unwrap();
    let scraper = Scraper::over(replicas.iter().map(|replica| replica.address).collect(), Duration::from_millis(50));
    let serves = |what: &str| {
        for replica in &replicas {
            until(what, || replica.try_get("/metrics").filter(|(status, _)| *status == 200).map(drop));
        }
    };
    serves("pages before anything has happened");
    cluster.switch_over();
    serves("pages after the switchover");
    cluster.eventually_has_standbys();
    let gone = cluster.kill_leader();
    cluster.leader_other_than(gone);
    serves("pages after the loss of the primary");
    // It comes back as a standby of the other, whatever it had.
    cluster.start_node(gone);
    cluster.eventually_has_standbys();
    // Asleep for longer than it may: another one takes its place, and it answers as the primary for a moment when it goes on.
    let asleep = cluster.leader().unwrap();
    cluster.signal(asleep, Signal::Stop);
    cluster.leader_other_than(asleep);
    serves("pages while the old primary sleeps");
    cluster.signal(asleep, Signal::Continue);
    api.all_delivered();
    serves("pages when the old primary goes on");
    for replica in &replicas {
        replica.shows(&api.truth());
    }
    let pages = scraper.stop();
    assert!(pages.falls.is_empty(), "{:#?}", pages.falls);
    assert!(pages.pages > 10, "only {} pages; gaps: {:#?}", pages.pages, pages.gaps);
    for replica in &replicas {
        assert_eq!(replica.sample("agntix_exporter_ledger_lost_sessions_total"), Some(0.0));
    }
}

#[test]
#[ignore = "needs PostgreSQL, Patroni and etcd (.ci/tools)"]
fn replicas_lose_nothing_through_failovers_of_a_cluster_and_no_page_falls() {
    let modes = std::env::var("PATRONI_MODES").unwrap_or_else(|_| "synchronous".into());
    for mode in modes.split(',') {
        through_a_switchover_and_the_loss_of_the_primary(mode == "synchronous");
    }
}
