//! What a replica takes that does not count: it waits in the inbox until it is counted.

use std::time::Duration;

use simulator::{Clock as _, DeliveryConfig, SimulatorConfig, SystemClock};
use test_postgres::Server;

use super::{counting, receiving, replica};
use crate::support::{Api, WEBHOOK_SECRET, free_address, until};

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn delivery_that_cannot_be_counted_yet_stays_in_the_inbox() {
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    let start = SystemClock.now().minus(Duration::from_secs(120));
    let sessions = SimulatorConfig { missing_part_share: 0.0, ..SimulatorConfig::load(start, 10.0, 20) };
    let api = Api::start(sessions);
    // Nothing is found by listing: what leaves the inbox and is not counted is gone.
    let setup = replica(api.address, &server.url(), directory.path()).set("SESSIONS__LISTING", "false");
    let first = [setup.start()];
    counting(&first);
    let webhook = free_address();
    let other = receiving(setup, webhook).start();
    until("the page of the other one", || (other.try_get("/metrics")?.0 == 200).then_some(()));
    server.sql("ALTER TABLE agntix_exporter.counted RENAME TO gone");
    let deliveries = DeliveryConfig {
        since: Some(start),
        backoff_scale: 0.001,
        ..DeliveryConfig::new(&format!("http://{webhook}/webhooks/agntix"), vec![WEBHOOK_SECRET.parse().unwrap()])
            .unwrap()
    };
    api.simulator.set_deliveries(Some(deliveries)).unwrap();
    api.all_delivered();
    until("the inbox to be found", || (first[0].lines_with("its deliveries stay in it") > 0).then_some(()));
    let waiting = || server.sql("SELECT count(*) FROM agntix_exporter.inbox").trim().parse::<u32>().unwrap();
    assert!(waiting() >= 20, "{} deliveries", waiting());
    server.sql("ALTER TABLE agntix_exporter.gone RENAME TO counted");
    other.shows(&api.truth());
    until("the inbox to be empty", || (waiting() == 0).then_some(()));
}
