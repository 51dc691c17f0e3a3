//! What real Prometheus servers see of failovers: they scrape one address before three replicas each second while the replica that
//! counts is stopped and killed. No scrape fails, and what they add up is what the simulator says, by raw series, by recorded
//! rules and by the dashboards' queries.
//!
//! A scrape that takes longer than its second can be the fault of a busy machine. It is held to be that only if a scrape of the
//! [`control`](super::control) by the same server was as late at that time; else it is one that a replica did not answer.
//!
//! `FAILOVER_SECONDS=3600 cargo test --test it -- --include-ignored replicas::prometheus --nocapture` lasts an hour.
//! `FAILOVER_HOLD=3s` sets `metrics.new_series_hold`, which is 5 s else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use simulator::{Clock as _, SimulatorConfig, SystemClock, Timestamp};
use test_postgres::Server;

use super::balancer::Balancer;
use super::control::{self, CONTROL, no_scrape_failed};
use super::replica;
use super::service::is_active;
use crate::support::prometheus::{Labels, Prometheus, Setup as Scraping, Version};
use crate::support::risen::{Span, is_near, parts, sum, without_target};
use crate::support::{Api, Daemon, Setup, free_address, until};

/// The job whose one target is the address before all replicas, with that instance.
const JOB: &str = "agntix";
/// Sessions a second.
const RATE: f64 = 10.0;

/// The shipped rules, which are evaluated each minute, each second.
fn rules(directory: &Path) -> Vec<String> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules");
    let files = std::fs::read_dir(shipped).unwrap().map(|entry| entry.unwrap().path());
    let quick = files.map(|file| {
        let text = std::fs::read_to_string(&file).unwrap().replace("interval: 1m\n", "interval: 1s\n");
        let quick = directory.join(file.file_name().unwrap());
        std::fs::write(&quick, text).unwrap();
        quick.display().to_string()
    });
    quick.collect()
}

/// One target for what the organization did, and one for each process.
fn scraping(balancer: SocketAddr, control: SocketAddr, replicas: &[SocketAddr], rules: &[String]) -> Scraping {
    let each: Vec<String> = replicas.iter().map(SocketAddr::to_string).collect();
    let jobs = json!([
        { "job_name": JOB, "params": { "collect[]": ["sessions"] },
          "static_configs": [{ "targets": [balancer.to_string()], "labels": { "instance": "agntix" } }] },
        { "job_name": "agntix-replicas", "params": { "collect[]": ["exporter"] }, "static_configs": [{ "targets": each }] },
        { "job_name": CONTROL, "static_configs": control::targets(control) },
    ]);
    let top: Map<String, Value> =
        [("scrape_configs".into(), jobs), ("rule_files".into(), json!(rules))].into_iter().collect();
    Scraping { top, ..Scraping::default() }
}

/// Each series has risen by what the truth says.
async fn raw_series_rise_by(truth: &BTreeMap<String, f64>, prometheus: &Prometheus) {
    let truth = truth.iter().map(|(sample, value)| (parts(sample), *value));
    // In OpenMetrics a histogram without a sum has no count either.
    let truth: Vec<_> = truth.filter(|((name, _), _)| name != "agntix_session_sentiment_score_count").collect();
    let names: BTreeSet<&str> = truth.iter().map(|((name, _), _)| name.as_str()).collect();
    let span = Span::of(prometheus, &format!(r#"agntix_sessions_ended_total{{job="{JOB}"}}"#), "2h").await;
    for name in names {
        let risen = span.increase(prometheus, &format!(r#"{name}{{job="{JOB}"}}"#)).await;
        let mut risen = without_target(risen);
        for ((_, labels), value) in truth.iter().filter(|((of, _), _)| of == name) {
            let found = risen.remove(labels);
            if !found.is_some_and(|found| is_near(found, *value)) {
                let matchers: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                let samples = prometheus.raw(&format!(r#"{name}{{job="{JOB}",{}}}[2h]"#, matchers.join(","))).await;
                panic!("{name}{labels:?}: {found:?}, truly {value}; its samples: {samples:?}");
            }
        }
        assert!(risen.values().all(|value| is_near(*value, 0.0)), "{name}: {risen:?}");
    }
}

/// What the rules have recorded of the whole organization.
async fn recorded_rules_rise_by(truth: &BTreeMap<String, f64>, prometheus: &Prometheus) {
    let is =
        |label: &'static str, values: &'static [&'static str]| move |of: &Labels| values.contains(&of[label].as_str());
    let (judged, rated) = (["resolved", "partially_resolved", "unresolved"], ["positive", "neutral", "negative"]);
    let outcomes = "agntix_session_outcomes_total";
    let expected = [
        ("agntix:sessions_started:sum", "", sum(truth, "agntix_sessions_started_total", |_| true)),
        (
            "agntix:sessions_judged:sum",
            "unresolved",
            sum(truth, outcomes, |of| judged.contains(&of["resolution"].as_str())),
        ),
        (
            "agntix:sessions_judged:sum",
            "negative",
            sum(truth, outcomes, |of| rated.contains(&of["sentiment"].as_str())),
        ),
        ("agntix:sessions_bad:sum", "unresolved", sum(truth, outcomes, is("resolution", &["unresolved"]))),
        ("agntix:sessions_bad:sum", "negative", sum(truth, outcomes, is("sentiment", &["negative"]))),
    ];
    for (rule, signal, truth) in expected {
        let selector = format!(r#"{rule}{{job="{JOB}", agent_id="", signal="{signal}"}}"#);
        // Recorded a moment after what it is recorded from was scraped.
        prometheus.query_until(&selector, |found| found.first().is_some_and(|found| is_near(found.value, truth))).await;
        let span = Span::of(prometheus, &selector, "2h").await;
        let risen = span.increase(prometheus, &selector).await;
        assert!(risen.len() == 1 && is_near(risen[0].1, truth), "{selector}: {risen:?}, truly {truth}");
    }
}

/// What the panels of the shipped dashboards show that add up over their range.
async fn dashboards_show(truth: &BTreeMap<String, f64>, prometheus: &Prometheus) {
    let outcomes = "agntix_session_outcomes_total";
    let panels = [
        ("agntix-agent", "Started", sum(truth, "agntix_sessions_started_total", |_| true)),
        ("agntix-agent", "Ended", sum(truth, "agntix_sessions_ended_total", |_| true)),
        ("agntix-overview", "Sessions ended", sum(truth, "agntix_sessions_ended_total", |_| true)),
        ("agntix-intents", "Sessions with an intent", sum(truth, "agntix_session_intents_total", |_| true)),
        (
            "agntix-agent",
            "Unresolved",
            sum(truth, outcomes, |of| of["resolution"] == "unresolved")
                / sum(truth, outcomes, |of| {
                    ["resolved", "partially_resolved", "unresolved"].contains(&of["resolution"].as_str())
                }),
        ),
    ];
    let span = Span::of(prometheus, &format!(r#"agntix_sessions_ended_total{{job="{JOB}"}}"#), "2h").await;
    for (uid, title, truth) in panels {
        let query = query_of(uid, title).replace("$__range", &span.range()).replace("$job", JOB);
        // Whatever else can be chosen is not.
        let query =
            ["cluster", "namespace", "organization", "instance", "agent_id", "agent", "session_type", "channel"]
                .iter()
                .fold(query, |query, variable| query.replace(&format!("\"${variable}\""), "\".*\""));
        let shown = prometheus.query_at(&query, span.last).await;
        assert!(
            shown.len() == 1 && is_near(shown[0].value, truth),
            "{uid}, {title}: {shown:?}, truly {truth}: {query}"
        );
    }
}

fn query_of(uid: &str, title: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards").join(uid).with_extension("json");
    let board: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let panel = board["panels"].as_array().unwrap().iter().find(|panel| panel["title"] == title).expect(title);
    panel["targets"][0]["expr"].as_str().unwrap().to_owned()
}

/// The replica that counts, and the others.
struct Replicas {
    setups: Vec<Setup>,
    daemons: Vec<Option<Daemon>>,
}

impl Replicas {
    fn counting(&self) -> usize {
        until("a replica to count", || {
            self.daemons.iter().position(|daemon| daemon.as_ref().is_some_and(|daemon| is_active(daemon.address)))
        })
    }

    /// Ends the replica that counts, waits until another one does, and starts it again.
    fn fail_over(&mut self, server: &Server, is_killed: bool) {
        let lease = |columns: &str| -> Vec<f64> {
            let row = server.sql(&format!("SELECT {columns} FROM agntix_exporter.lease"));
            row.trim().split('|').map(|value| value.parse().unwrap()).collect()
        };
        let place = self.counting();
        let mut daemon = self.daemons[place].take().unwrap();
        let [ended, epoch] = lease("extract(epoch FROM clock_timestamp()), epoch")[..] else { panic!() };
        if is_killed {
            daemon.kill();
        } else {
            daemon.stops_on("TERM");
        }
        let expires = lease("extract(epoch FROM expires)")[0];
        let since = until("another replica to take the lease", || {
            let row = lease("extract(epoch FROM since), epoch");
            (row[1] > epoch).then_some(row[0])
        });
        self.counting();
        println!(
            "is_killed={is_killed}: another replica counts {:.2} s after the end, by the database's clock",
            since - ended
        );
        if is_killed {
            // It lasts at most one lease from the last commit or renewal. The rest is how busy this machine is: less than one more.
            assert!(
                expires <= since && since < expires + 10.0,
                "the lease ended at {expires}, and was taken at {since}"
            );
        } else {
            assert!(expires <= 0.0 || since < ended + 10.0, "it was not given up: {expires}, {since}");
        }
        self.daemons[place] = Some(self.setups[place].start());
    }
}

#[test]
#[ignore = "needs PostgreSQL and Prometheus (.ci/tools)"]
fn failovers_are_not_seen_by_real_prometheus_servers() {
    let length = std::env::var("FAILOVER_SECONDS").map_or(24, |seconds| seconds.parse().unwrap());
    let hold = std::env::var("FAILOVER_HOLD").unwrap_or_else(|_| "5s".into());
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    let start = SystemClock.now();
    let total = length * 10;
    let api = Api::start(SimulatorConfig {
        missing_part_share: 0.0,
        // Until they are scraped, there are no sessions.
        now: Some(start.minus(Duration::from_secs(1))),
        speed: 0.0,
        ..SimulatorConfig::load(start, RATE, total)
    });
    let addresses: Vec<SocketAddr> = (0..3).map(|_| free_address()).collect();
    let setups: Vec<Setup> = addresses
        .iter()
        .map(|address| {
            replica(api.address, &server.url(), directory.path())
                .set("HA__LEASE", "10s")
                .set("METRICS__NEW_SERIES_HOLD", &hold)
                .set("WEB__LISTEN_ADDRESS", &address.to_string())
        })
        .collect();
    let daemons = setups.iter().map(|setup| Some(setup.start())).collect();
    let mut replicas = Replicas { setups, daemons };
    let balancer = Balancer::before(&addresses);
    until("all replicas to be ready", || (balancer.ready() == 3).then_some(()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (rules, control) = (rules(directory.path()), control::start());
    let prometheus = runtime.block_on(async {
        let start = |version| Prometheus::start(version, scraping(balancer.address, control, &addresses, &rules));
        [start(Version::V2).await, start(Version::V3).await]
    });
    let up = format!(r#"up{{job="{JOB}"}}"#);
    for server in &prometheus {
        runtime.block_on(server.query_until(&up, |up| up.first().is_some_and(|up| up.value > 0.0)));
    }
    api.simulator.set_clock(None, Some(1.0)).unwrap();
    for (part, is_killed) in [(1, false), (2, true), (3, false)] {
        // Failovers in the midst of sessions.
        wait_for(&api, start.plus(Duration::from_secs(length / 4 * part)));
        until("sessions of this part to be counted", || {
            let counted = crate::support::total(&counting(&replicas).samples(), "agntix_sessions_ended_total");
            (counted >= f64::from(u32::try_from(total / 4 * part).unwrap()) * 0.8).then_some(())
        });
        replicas.fail_over(&server, is_killed);
        until("all replicas to be ready", || (balancer.ready() == 3).then_some(()));
    }
    wait_for(&api, api.simulator.config().until.unwrap().plus(Duration::from_secs(4)));
    let truth = api.truth();
    for daemon in replicas.daemons.iter().flatten() {
        daemon.shows(&truth);
    }
    let shown_at = SystemClock.now().as_seconds_f64();
    let ended = sum(&truth, "agntix_sessions_ended_total", |_| true);
    println!(
        "{ended} sessions; connections to each replica: {:?}, refused: {}",
        balancer.given(),
        balancer.redispatched()
    );
    assert!(balancer.given().iter().all(|given| *given > 0), "{:?}", balancer.given());
    for server in &prometheus {
        runtime.block_on(async {
            // A scrape from after all initial-zero windows.
            let scraped = format!(r#"max(timestamp(agntix_sessions_ended_total{{job="{JOB}"}}))"#);
            server.query_until(&scraped, |at| at.first().is_some_and(|at| at.value > shown_at)).await;
            let (all, stalled) = no_scrape_failed(server, JOB, &balancer).await;
            println!("{all} scrapes, {stalled} of them failed while the control was late as well");
            raw_series_rise_by(&truth, server).await;
            recorded_rules_rise_by(&truth, server).await;
            dashboards_show(&truth, server).await;
        });
    }
}

/// Waits until it is so late in the simulation, which may be an hour.
fn wait_for(api: &Api, time: Timestamp) {
    while api.simulator.now() < time {
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn counting(replicas: &Replicas) -> &Daemon {
    replicas.daemons[replicas.counting()].as_ref().unwrap()
}
