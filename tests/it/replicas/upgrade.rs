//! A rolling upgrade: each replica gives way to a new one while sessions are counted, deliveries come and pages are read; and what
//! replicas say that meet tables of a version they do not know.

use std::net::SocketAddr;
use std::time::Duration;

use simulator::{Clock as _, DeliveryConfig, SimulatorConfig, SystemClock};
use test_postgres::Server;

use super::balancer::Balancer;
use super::scraper::Scraper;
use super::service::{Service, is_active};
use super::{receiving, replica};
use crate::support::{Api, Daemon, WEBHOOK_SECRET, free_address, until};

/// What the upgrade to a format does with which this version cannot go on.
const UPGRADE: &str = "BEGIN; UPDATE agntix_exporter.format SET version = 2, compatible = 2;
    UPDATE agntix_exporter.lease SET epoch = epoch + 1; COMMIT";

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn rolling_upgrade_has_no_gap_and_no_fall() {
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    let start = SystemClock.now().minus(Duration::from_secs(5));
    let sessions = SimulatorConfig { missing_part_share: 0.0, ..SimulatorConfig::load(start, 20.0, 400) };
    let api = Api::start(SimulatorConfig { unlisted_share: 0.2, ..sessions });
    // Of the three that are there first, and of the three that come in their place.
    let addresses: Vec<(SocketAddr, SocketAddr)> = (0..6).map(|_| (free_address(), free_address())).collect();
    let begin = |place: usize| -> Daemon {
        let (web, webhook) = addresses[place];
        let setup = receiving(replica(api.address, &server.url(), directory.path()), webhook);
        setup.set("WEB__LISTEN_ADDRESS", &web.to_string()).start()
    };
    let mut replicas: Vec<Option<Daemon>> = (0..3).map(|place| Some(begin(place))).collect();
    let webs: Vec<SocketAddr> = addresses.iter().map(|(web, _)| *web).collect();
    let balancer = Balancer::before(&webs);
    until("all replicas to be ready", || (balancer.ready() == 3).then_some(()));
    let service = Service::before(addresses.iter().map(|(_, webhook)| *webhook).collect(), 1);
    let hook = format!("http://{}/webhooks/agntix", service.address);
    let deliveries = DeliveryConfig {
        since: Some(start),
        parallelism: 4,
        backoff_scale: 0.001,
        ..DeliveryConfig::new(&hook, vec![WEBHOOK_SECRET.parse().unwrap()]).unwrap()
    };
    api.simulator.set_deliveries(Some(deliveries)).unwrap();
    let scraper = Scraper::over(vec![balancer.address], Duration::from_millis(50));
    for place in 0..3 {
        replicas.push(Some(begin(place + 3)));
        until("one more replica to be ready", || (balancer.ready() == 4).then_some(()));
        // The one that counts goes as any other does.
        replicas[place].take().unwrap().stops_on("TERM");
        until("the old replica to be gone", || (balancer.ready() == 3).then_some(()));
    }
    // The truth grows until the last session has ended and has its analysis.
    let last = api.simulator.config().until.unwrap().plus(Duration::from_secs(4));
    while api.simulator.now() < last {
        std::thread::sleep(Duration::from_millis(100));
    }
    api.all_delivered();
    let truth = api.truth();
    for replica in replicas.iter().flatten() {
        replica.shows(&truth);
    }
    let pages = scraper.stop();
    if !pages.gaps.is_empty() {
        let answers = balancer.answers(0.0, f64::MAX).into_iter().filter(|answer| answer.status != Some(200));
        panic!("{:#?}; as the balancer saw it: {:#?}", pages.gaps, answers.collect::<Vec<_>>());
    }
    assert!(pages.falls.is_empty(), "{:#?}", pages.falls);
    assert!(pages.pages > 10, "only {} pages; gaps: {:#?}", pages.pages, pages.gaps);
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn replicas_say_in_one_sentence_that_the_tables_are_of_a_newer_version() {
    const SENTENCE: &str = "are of a newer version (format 2, this version knows up to 1); run that version";
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let api = Api::start(SimulatorConfig::load(start, 10.0, 100));
    let setup = replica(api.address, &server.url(), directory.path());
    let replicas = [setup.start(), setup.start()];
    for replica in &replicas {
        replica.shows(&api.truth());
    }
    server.sql(UPGRADE);
    for replica in &replicas {
        until("no page to be served", || (replica.get("/metrics").0 == 503).then_some(()));
        let (status, why) = replica.get("/metrics");
        assert!(status == 503 && why.contains(SENTENCE), "{status}: {why}");
        until("it to say that it is not ready", || {
            let (status, why) = replica.get("/-/ready");
            (status == 503 && why.contains(SENTENCE)).then_some(())
        });
        assert!(!is_active(replica.address));
        // Not with each look.
        let said = replica.lines_with(SENTENCE);
        assert!((1..=3).contains(&said), "{}", replica.log());
    }
    let (code, output) = setup.run();
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains(SENTENCE), "{output}");
    // Going back is possible as long as what was written can be read.
    server.sql("UPDATE agntix_exporter.format SET version = 2, compatible = 1");
    for replica in &replicas {
        replica.shows(&api.truth());
    }
}
