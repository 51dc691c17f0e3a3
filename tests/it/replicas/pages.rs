//! What the pages of replicas say: of the organization all the same, of the process each its own.

use simulator::{Clock as _, SimulatorConfig, SystemClock};
use std::collections::BTreeMap;
use std::time::Duration;

use super::service::is_active;
use super::*;
use crate::support::{Api, ask, samples};

const OPEN_METRICS: (&str, &str) = ("accept", "application/openmetrics-text;version=1.0.0");

/// The samples of a part of the page; `None` if it is not served.
fn part(replica: &Daemon, part: &str) -> Option<BTreeMap<String, f64>> {
    let (status, page) = replica.get(&format!("/metrics?collect[]={part}"));
    (status == 200).then(|| samples(&page))
}

fn part_of_open_metrics(replica: &Daemon) -> String {
    ask(replica.address, "GET", "/metrics?collect[]=sessions", &[OPEN_METRICS]).unwrap().text()
}

fn has(samples: &BTreeMap<String, f64>, name: &str) -> bool {
    samples.keys().any(|sample| sample.starts_with(name))
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn all_replicas_say_the_same_of_the_organization_and_each_its_own_of_itself() {
    let (mut server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    let api = Api::start(SimulatorConfig::load(SystemClock.now().minus(Duration::from_secs(1_800)), 1.0, 200));
    let setup = replica(api.address, &server.url(), directory.path());
    let mut replicas = vec![setup.start(), setup.start(), setup.start()];
    // What is counted, how current that is, and the sessions behind it.
    let is_time = |sample: &str| sample.contains("_created") || sample.contains("timestamp");
    let sessions = |replica: &Daemon| {
        let mut samples = part(replica, "sessions")?;
        samples.retain(|sample, _| !is_time(sample));
        Some(samples)
    };
    for replica in &replicas {
        replica.shows(&api.truth());
    }
    let page = until("all replicas to say that the numbers are current", || {
        let pages: Vec<_> = replicas.iter().filter_map(sessions).collect();
        let is_current = |page: &BTreeMap<String, f64>| {
            page.get("agntix_up") == Some(&1.0)
                && page.get("agntix_exporter_catching_up") == Some(&0.0)
                && page.get("agntix_exporter_replicas") == Some(&3.0)
        };
        (pages.len() == 3 && is_current(&pages[0]) && pages.iter().all(|page| *page == pages[0]))
            .then(|| pages[0].clone())
    });
    for family in ["agntix_sessions_ended_total{", "agntix_agent_info{", "agntix_exporter_sessions_tracked{"] {
        assert!(has(&page, family), "{family} in {page:?}");
    }
    for family in ["process_", "agntix_exporter_build_info", "agntix_exporter_active", "agntix_exporter_api_requests"] {
        assert!(!has(&page, family), "{family} in {page:?}");
    }
    let success = "agntix_exporter_source_last_success_timestamp_seconds{source=\"listing\"}";
    for replica in &replicas {
        assert!(part(replica, "sessions").unwrap()[success] > 0.0);
    }
    let exemplars = |replica: &Daemon| part_of_open_metrics(replica).matches("# {session_id=").count();
    // The latest ones of the replica that counts, which has more.
    until("all replicas to show the sessions behind the counts", || {
        let counts: Vec<_> = replicas.iter().map(exemplars).collect();
        let most = counts.iter().copied().max()?;
        (most > 0 && counts.iter().all(|count| *count >= most.min(128))).then_some(())
    });
    // Of itself, only the one that counts has asked and committed.
    let holder = replicas.swap_remove(counting(&replicas));
    let commits = "agntix_exporter_state_commits_total{outcome=\"success\"}";
    let of_process = |replica: &Daemon| part(replica, "exporter").unwrap();
    let own = of_process(&holder);
    assert!(own[commits] > 0.0 && own["agntix_exporter_active"] > 0.0 && has(&own, "agntix_exporter_api_rate_limit"));
    assert!(
        !has(&own, "agntix_session") && !has(&own, "agntix_up") && has(&own, "agntix_exporter_build_info"),
        "{own:?}"
    );
    for follower in &replicas {
        let own = of_process(follower);
        assert_eq!((own[commits], own["agntix_exporter_active"]), (0.0, 0.0));
        assert!(!has(&own, "agntix_exporter_api_rate_limit"), "{own:?}");
        assert!(own["agntix_exporter_ledger_read_seconds_count"] > 0.0);
        let (status, why) = follower.get("/-/active");
        assert!(status == 503 && why.contains(" since ") && why.contains("shows everything up to commit"), "{why}");
        let (_, landing) = follower.get("/");
        for text in ["All is well", "counts, and says:", "Replicas that are there", "schema agntix_exporter", "said"] {
            assert!(landing.contains(text), "{text} in {landing}");
        }
        assert!(follower.get("/-/ready").1.contains("takes deliveries"));
    }
    let (status, why) = holder.get("/-/active");
    assert!(status == 200 && why.contains(" counts since "), "{status} {why}");
    assert!(holder.get("/").1.contains("this replica, for"));
    // Without the database the organization's page is an error, and what a process says of itself is there.
    server.kill();
    for replica in replicas.iter().chain([&holder]) {
        until("the page of the organization to be an error", || part(replica, "sessions").is_none().then_some(()));
        assert!(part(replica, "exporter").is_some() && replica.get("/metrics").0 == 503);
    }
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn replica_with_other_settings_says_so_and_counts_the_same_when_its_turn_comes() {
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    let api = Api::start(SimulatorConfig::load(SystemClock.now().minus(Duration::from_secs(1_800)), 10.0, 300));
    let setup = replica(api.address, &server.url(), directory.path());
    let mut first = setup.start();
    first.shows(&api.truth());
    let relabelled = setup.clone().set("METRICS__STATIC_LABELS", "organization=acme").start();
    let converted = setup.clone().set("METRICS__DURATION_BUCKETS", "60,600").start();
    until("the difference to be told", || {
        (relabelled.log().contains("other settings than the one that counts")).then_some(())
    });
    assert!(relabelled.log().contains("settings=metrics.static_labels"), "{}", relabelled.log());
    until("the landing page to tell it", || relabelled.get("/").1.contains("(metrics.static_labels)").then_some(()));
    // Other buckets cannot be shown beside those of the replica that counts.
    let (status, why) =
        until("the reason", || Some(converted.get("/metrics")).filter(|(_, why)| why.contains("buckets")));
    assert!(status == 503 && why.contains("give all replicas the same configuration"), "{status} {why}");
    drop(relabelled);
    first.stops_on("TERM");
    // Alone it carries the histograms over, as a single daemon does.
    until("the other replica to count", || is_active(converted.address).then_some(()));
    let total = |page: &BTreeMap<String, f64>| {
        let counts = page.iter().filter(|(name, _)| name.starts_with("agntix_session_duration_seconds_count"));
        counts.map(|(_, value)| value).sum::<f64>()
    };
    until("its page", || {
        let page = part(&converted, "sessions")?;
        (total(&page) > 0.0 && (total(&page) - total(&api.truth())).abs() < 0.5).then_some(())
    });
}
