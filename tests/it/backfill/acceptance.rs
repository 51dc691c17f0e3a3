//! A history imported into real Prometheus servers by the `import.sh` that `backfill` writes, beside a daemon that goes on counting: over the junction every
//! counter has risen by what the simulator says, by raw series and by the shipped recording rules; no sample of another target is lost; nothing that
//! is imported is as new as what the server has in memory.
//!
//! The gate has three days and the rules of totals. A month with all rules: `cargo test --test it -- --ignored --nocapture backfill::acceptance::a_month`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value, json};
use simulator::{AgentProfile, Clock as _, ExtractedSpec, ExtractedValues, SimulatorConfig, SystemClock, Timestamp};
use simulator::{TruthField, TruthFieldKind, TruthMetrics, weighted};

use super::risen;
use crate::support::prometheus::{Prometheus, Setup as Scraping, Version};
use crate::support::risen::sum;
use crate::support::{Api, Daemon, Setup, free_address, number, promtool, total, until};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// The job of the exporter, and of something else that is scraped.
const JOB: &str = "agntix";
const OTHER: &str = "other";

/// How much of it.
struct Size {
    days: u32,
    agents: u32,
    sessions_per_day: f64,
    /// The shipped rule files as they are; else the totals alone.
    all_rules: bool,
}

/// An organization with everything that can be counted. The clock stands at the daemon's first start.
fn organization(size: &Size, start: Timestamp, now: Timestamp) -> SimulatorConfig {
    let agents = (0..size.agents).map(|number| AgentProfile {
        id: format!("agent-{number}"),
        sessions_per_day: size.sessions_per_day,
        extracted: vec![
            ExtractedSpec { name: "transferred".into(), values: ExtractedValues::Boolean(0.2) },
            ExtractedSpec { name: "csat".into(), values: ExtractedValues::Tenths(10, 50) },
        ],
        variables: vec![("campaign".into(), weighted(&[("Spring", 0.6), ("Winter", 0.4)]))],
        ..AgentProfile::default()
    });
    let field = |field: &str, kind, buckets| TruthField { field: field.into(), kind, buckets };
    let metrics = TruthMetrics {
        extracted: vec![
            field("transferred", TruthFieldKind::Boolean, vec![]),
            field("csat", TruthFieldKind::Number, vec![1.0, 2.0, 3.0, 4.0]),
        ],
        variables: vec!["campaign".into()],
        messages_share: Some(1.0),
        ..TruthMetrics::default()
    };
    SimulatorConfig {
        start,
        now: Some(now),
        speed: 0.0,
        agents: agents.collect(),
        slot: Duration::from_secs(600),
        list_analysis: true,
        // The clock jumps, and for an analysis that does not come the daemon waits by its own.
        no_analysis_share: 0.0,
        rate_limit: None,
        metrics,
        ..SimulatorConfig::default()
    }
}

/// The daemon's configuration for it.
fn exporter(api: &Api, directory: &Path) -> Setup {
    let file = directory.join("exporter.toml");
    std::fs::write(
        &file,
        "[metrics]\nvariables = [\"campaign\"]\n[[metrics.extracted]]\nfield = \"transferred\"\nkind = \"boolean\"\n\
         [[metrics.extracted]]\nfield = \"csat\"\nkind = \"number\"\nbuckets = [1.0, 2.0, 3.0, 4.0]\n",
    )
    .unwrap();
    Setup::new(api.address, &directory.join("state"))
        .set("MESSAGES__ENABLED", "true")
        .argument(&format!("--config.file={}", file.display()))
}

/// The shipped rule files, or of these what adds up the totals; evaluated as they say, or each second.
fn rules(directory: &Path, all: bool, quick: bool) -> Vec<PathBuf> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules");
    let files = std::fs::read_dir(shipped).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| all || file.ends_with("agntix-recording.yml")).map(|file| {
        let mut text = std::fs::read_to_string(&file).unwrap();
        if !all {
            text.truncate(text.find("      # At least so many of the open sessions").expect("the rules of totals"));
        }
        if quick {
            text = text.replace("interval: 1m\n", "interval: 1s\n");
        }
        let copy = directory.join(format!("{quick}-{}", file.file_name().unwrap().display()));
        std::fs::write(&copy, text).unwrap();
        copy
    });
    files.collect()
}

/// A server whose data outlive it.
struct Scene {
    directory: tempfile::TempDir,
    daemon: Daemon,
    exporter: Setup,
    other: SocketAddr,
    address: SocketAddr,
    version: Version,
}

impl Scene {
    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    async fn prometheus(&self, rules: &[PathBuf]) -> Prometheus {
        let jobs = json!([
            { "job_name": JOB, "static_configs": [{ "targets": [self.daemon.address.to_string()], "labels": { "instance": "exporter" } }] },
            { "job_name": OTHER, "static_configs": [{ "targets": [self.other.to_string()] }] },
        ]);
        let top: Map<String, Value> =
            [("scrape_configs".into(), jobs), ("rule_files".into(), json!(rules))].into_iter().collect();
        let setup = Scraping { top, data: Some(self.data()), address: Some(self.address), ..Scraping::default() };
        Prometheus::start(self.version, setup.flag("--storage.tsdb.retention.time=60d")).await
    }

    /// Runs `backfill`; what it prints.
    fn backfill(&self, from: Timestamp, prometheus: &Prometheus) -> String {
        let from = humantime(from);
        let output = self
            .exporter
            .clone()
            .argument("backfill")
            .argument(&format!("--from={from}"))
            .argument(&format!("--output={}", self.history().display()))
            .argument(&format!("--prometheus.url={}", prometheus.url()))
            .argument("--budget-share=0.5")
            .command()
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}");
        said
    }

    fn history(&self) -> PathBuf {
        self.directory.path().join("history")
    }

    /// `import.sh` with these arguments; standard output and error, if it ends well.
    fn import(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("sh")
            .arg(self.history().join("import.sh"))
            .args(arguments)
            .env("PROMTOOL", promtool::locate(self.version))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() { Ok(said) } else { Err(said) }
    }
}

fn humantime(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis()).unwrap().to_string()
}

/// Imports with the rules, restarting the server whenever the script asks for it; the last of the servers.
fn import_with_rules(
    scene: &Scene,
    runtime: &tokio::runtime::Runtime,
    first: Prometheus,
    rules: &[PathBuf],
) -> Prometheus {
    let asked = scene.directory.path().join("restart");
    let (url, data) = (first.url(), scene.data().display().to_string());
    let command = format!("touch '{0}' && while [ -e '{0}' ]; do sleep 0.05; done", asked.display());
    std::thread::scope(|threads| {
        let importing =
            threads.spawn(|| scene.import(&["--url", url.as_str(), "--restart", command.as_str(), data.as_str()]));
        let mut prometheus = Some(first);
        while !importing.is_finished() {
            if asked.exists() {
                drop(prometheus.take());
                prometheus = Some(runtime.block_on(scene.prometheus(rules)));
                std::fs::remove_file(&asked).unwrap();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = importing.join().unwrap().unwrap_or_else(|said| panic!("{said}"));
        println!("{said}");
        assert!(said.contains("Imported "), "{said}");
        prometheus.unwrap()
    })
}

/// The blocks that are there, with their last millisecond. Prometheus merges blocks that overlap as soon as it can.
fn blocks(data: &Path) -> BTreeMap<String, i64> {
    let entries = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap());
    let last = |entry: std::fs::DirEntry| {
        let meta = std::fs::read_to_string(entry.path().join("meta.json")).ok()?;
        let meta: Value = serde_json::from_str(&meta).unwrap();
        Some((entry.file_name().into_string().unwrap(), meta["maxTime"].as_i64().unwrap()))
    };
    entries.filter_map(last).collect()
}

fn goes_on_from_the_history(version: Version, size: &Size) {
    let now = SystemClock.now();
    let first_start = now.minus(HOUR * 4);
    let midnight = Timestamp::from_millis(first_start.as_millis() / 86_400_000 * 86_400_000);
    let from = midnight.minus(DAY * (size.days - 1));
    let api = Api::start(organization(size, from, first_start));
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    let exporter = exporter(&api, directory.path());
    let daemon = exporter.start();
    until("the look-back", || (daemon.sample("agntix_exporter_catching_up") == Some(0.0)).then_some(()));
    let starting = daemon.samples();
    let (other, address) = (crate::replicas::control::start(), free_address());
    let scene = Scene { directory, daemon, exporter, other, address, version };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let [shipped, quick] = [false, true].map(|quick| rules(scene.directory.path(), size.all_rules, quick));
    let prometheus = runtime.block_on(scene.prometheus(&shipped));
    let scraped = |job: &str| format!(r#"count_over_time(up{{job="{job}"}}[1h])"#);
    runtime.block_on(prometheus.query_until(&scraped(JOB), |found| found.first().is_some_and(|of| of.value >= 2.0)));

    let said = scene.backfill(from, &prometheus);
    println!("{said}");
    let summary = std::fs::read_to_string(scene.history().join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(
        (&summary["labels"]["job"], &summary["labels"]["instance"]),
        (&json!(JOB), &json!("exporter")),
        "{said}"
    );
    assert_eq!(summary["junction"]["starting_values"], json!(true), "{said}");

    // Life goes on meanwhile: four hours of it, and the sessions that are open then.
    api.jump(now);
    let truth = api.truth();
    let live = number(api.sessions().iter().filter(|session| session.created >= first_start).count());
    let all = |name: &str| sum(&truth, name, |_| true);
    let awaited = all("agntix_sessions_ended_total") - all("agntix_session_outcomes_total");
    assert!(live > 10.0, "{live}");
    until("the sessions since then to be counted", || {
        let page = scene.daemon.samples();
        let started = total(&page, "agntix_sessions_started_total") - total(&starting, "agntix_sessions_started_total");
        let pending = total(&page, "agntix_exporter_sessions_tracked") - total(&page, "agntix_sessions_open") - awaited;
        (pending == 0.0 && started == live && total(&page, "agntix_sessions_awaiting_analysis") == awaited)
            .then_some(())
    });
    let head = runtime.block_on(prometheus.query(&format!(r#"min_over_time(timestamp(up{{job="{OTHER}"}})[1h:1s])"#)))
        [0]
    .value;
    let head = i64::try_from(Duration::from_secs_f64(head).as_millis()).unwrap();
    let before = runtime.block_on(prometheus.raw(&format!(r#"up{{job="{OTHER}"}}[1h]"#)));

    let prometheus = import_with_rules(&scene, &runtime, prometheus, &quick);
    let stored = blocks(&scene.data());
    assert!(!stored.is_empty() && stored.values().all(|last| *last <= head), "{head}: {stored:?}");
    let after = runtime.block_on(prometheus.raw(&format!(r#"up{{job="{OTHER}"}}[1h]"#)));
    assert!(after[0].points.starts_with(&before[0].points), "{before:?} became {after:?}");
    let log = prometheus.log();
    assert!(!log.lines().any(|line| line.contains("level=ERROR") || line.contains("level=error")), "{log}");

    // As many days as the history has, over its end and the hours until now.
    let last = format!(r#"max(timestamp(agntix_sessions_ended_total{{job="{JOB}"}})) - {}"#, now.as_millis() / 1_000);
    runtime.block_on(prometheus.query_until(&last, |found| found.first().is_some_and(|of| of.value > 0.0)));
    let scope = risen::Scope { job: JOB, range: format!("{}d", size.days + 1) };
    runtime.block_on(async {
        risen::raw_series_rise_by(&truth, &prometheus, &scope).await;
        risen::recorded_rules_rise_by(&truth, &prometheus, &scope).await;
    });

    // What was imported is not imported again, and can be taken back.
    let data = scene.data().display().to_string();
    drop(prometheus);
    let again = scene.import(&[&data]).unwrap();
    assert!(again.contains("Imported 0 files as 0 blocks"), "{again}");
    let other = scene.directory.path().join("other");
    std::fs::create_dir(&other).unwrap();
    scene.import(&[&other.display().to_string()]).unwrap();
    assert!(blocks(&other).len() >= size.days as usize, "{:?}", blocks(&other));
    let undone = scene.import(&["--undo", &other.display().to_string()]).unwrap();
    assert!(undone.contains("blocks are removed") && std::fs::read_dir(&other).unwrap().next().is_none(), "{undone}");
}

const SHORT: Size = Size { days: 3, agents: 1, sessions_per_day: 150.0, all_rules: false };

#[test]
#[ignore = "needs Prometheus from .ci/tools"]
fn prometheus_2_goes_on_from_the_history() {
    goes_on_from_the_history(Version::V2, &SHORT);
}

#[test]
#[ignore = "needs Prometheus from .ci/tools"]
fn prometheus_3_goes_on_from_the_history() {
    goes_on_from_the_history(Version::V3, &SHORT);
}

#[test]
#[ignore = "takes many minutes; CONTRIBUTING.md has the command"]
fn a_month_of_history_with_all_rules() {
    goes_on_from_the_history(Version::V3, &Size { days: 30, agents: 1, sessions_per_day: 300.0, all_rules: true });
}
