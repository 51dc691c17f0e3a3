//! What Prometheus makes of the scrape configuration for replicas: one target for the organization, and one for each process.

use std::process::Command;

use serde_json::{Value, json};
use simulator::{Clock as _, SimulatorConfig, SystemClock};
use test_postgres::Server;

use super::service::Service;
use super::{counting, replica};
use crate::support::prometheus::{Prometheus, Sample, Setup, Version};
use crate::support::{Api, tool};

/// `scrape_configs` of `deploy/prometheus/prometheus.replicas.yml`, each second.
fn shipped() -> Vec<Value> {
    let python = tool::locate("KUBERNETES_PYTHON", "kubernetes-python/bin/python");
    let read = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1]))['scrape_configs'], sys.stdout)";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/prometheus.replicas.yml");
    let output = Command::new(python).args(["-c", read, file]).output().unwrap();
    let mut jobs: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    for job in &mut jobs {
        job["scrape_interval"] = "1s".into();
    }
    jobs
}

fn values(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.value).collect()
}

#[test]
#[ignore = "needs PostgreSQL and Prometheus (.ci/tools)"]
fn prometheus_sees_one_organization_and_each_process() {
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    let since = SystemClock.now().minus(std::time::Duration::from_secs(1_800));
    let api = Api::start(SimulatorConfig::load(since, 10.0, 200));
    let setup = replica(api.address, &server.url(), directory.path());
    let replicas = [setup.start(), setup.start(), setup.start()];
    counting(&replicas);
    for replica in &replicas {
        replica.shows(&api.truth());
    }
    let addresses: Vec<String> = replicas.iter().map(|replica| replica.address.to_string()).collect();
    let service = Service::before(replicas.iter().map(|replica| replica.address).collect(), 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for version in [Version::V2, Version::V3] {
        runtime.block_on(sees_one_organization_and_each_process(version, &addresses, &service));
    }
}

async fn sees_one_organization_and_each_process(version: Version, addresses: &[String], service: &Service) {
    let mut jobs = shipped();
    jobs[0]["static_configs"][0]["targets"] = json!([service.address.to_string()]);
    jobs[1]["static_configs"][0]["targets"] = json!(addresses);
    // As the chart does it with the pods behind a Service: with the same address and labels they are one target.
    let relabel = json!([
        {"source_labels": ["__address__"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": service.address.to_string()},
        {"target_label": "instance", "replacement": "service"},
        {"target_label": "job", "replacement": "pods"},
    ]);
    jobs.push(json!({
        "job_name": "pods",
        "params": {"collect[]": ["sessions"]},
        "static_configs": [{"targets": addresses}],
        "relabel_configs": relabel,
    }));
    let top = [("scrape_configs".to_owned(), json!(jobs))].into_iter().collect();
    let prometheus = Prometheus::start(version, Setup { top, ..Setup::default() }).await;
    let ask =
        async |query: &str, count: usize| prometheus.query_until(query, move |samples| samples.len() == count).await;
    let instances = async |query: &str, count: usize| {
        let samples = ask(query, count).await;
        let mut instances: Vec<String> = samples.into_iter().map(|sample| sample.labels["instance"].clone()).collect();
        instances.sort();
        instances
    };
    let mut each = addresses.to_vec();
    each.sort();
    // The organization's, once, and how current it is.
    assert_eq!(instances("agntix_up{job=\"agntix\"}", 1).await, ["agntix"]);
    assert_eq!(instances("group by (instance) (agntix_session_outcomes_total{job=\"agntix\"})", 1).await, ["agntix"]);
    for family in ["replicas", "inbox_deliveries", "ledger_synchronous", "catching_up"] {
        assert_eq!(instances(&format!("agntix_exporter_{family}{{job=\"agntix\"}}"), 1).await, ["agntix"], "{family}");
    }
    // Each process, under the same job.
    let of_process = [
        "active",
        "build_info",
        "ledger_lost_sessions_total",
        "ledger_regressions_total",
        "ledger_replayed_commits_total",
        "state_writable",
    ];
    for family in of_process {
        assert_eq!(instances(&format!("agntix_exporter_{family}{{job=\"agntix\"}}"), 3).await, each, "{family}");
    }
    assert_eq!(values(&ask("sum by (job) (agntix_exporter_active) == 1", 1).await), [1.0]);
    assert!(!ask("count(agntix_exporter_ledger_read_seconds_bucket)", 1).await.is_empty());
    // Together they are one page, twice nothing.
    assert_eq!(values(&ask("count by (job) (up{job=\"agntix\"})", 1).await), [4.0]);
    assert_eq!(instances("up{job=\"pods\"}", 1).await, ["service"]);
    let whole = "sum by (job) (agntix_session_outcomes_total)";
    let both = ask(whole, 2).await;
    assert_eq!(both[0].value, both[1].value);
}
