//! A real Prometheus server: started on a free port with a configuration of the test's, asked through its HTTP API,
//! and ended with the test. A target is first scraped some 5 s after the start, which no setting makes shorter.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::wait::eventually;
use super::{PATIENCE, number, tool};

/// How many of its last log lines a failed test shows.
const SHOWN_LINES: usize = 40;

/// Which Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 2.42, the oldest that is supported: Debian bookworm's.
    V2,
    /// 3.x
    V3,
}

/// What a server is started with. Each map goes into the configuration file as it is.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// What to scrape, each as `host:port`.
    pub targets: Vec<String>,
    /// Further keys of the one scrape job, `metrics_path` for example.
    pub job: Map<String, Value>,
    /// Further keys of `global`; the interval is 1 s.
    pub global: Map<String, Value>,
    /// Further keys at the top, `rule_files` for example.
    pub top: Map<String, Value>,
    /// Further flags, `--enable-feature=exemplar-storage` for example.
    pub flags: Vec<String>,
    /// Where samples are stored, so that another server can go on with them; else they go with the server.
    pub data: Option<PathBuf>,
    /// Where it listens, so that another server can do so after it; else on a free port.
    pub address: Option<SocketAddr>,
}

impl Setup {
    /// Scrapes `target` each second.
    pub fn scraping(target: SocketAddr) -> Self {
        Self { targets: vec![target.to_string()], ..Self::default() }
    }

    /// With one more flag.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// The configuration file; YAML, of which JSON is a part.
    fn file(self) -> Value {
        let mut global = json!({ "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" });
        let mut job = json!({ "job_name": "agntix", "static_configs": [{ "targets": self.targets }] });
        global.as_object_mut().unwrap().extend(self.global);
        job.as_object_mut().unwrap().extend(self.job);
        let mut file = json!({ "global": global, "scrape_configs": [job] });
        file.as_object_mut().unwrap().extend(self.top);
        file
    }
}

/// A labelled value of an instant query.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// All labels, the name as `__name__` among them.
    pub labels: Labels,
    /// The value.
    pub value: f64,
}

/// A series of a range query.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// All labels.
    pub labels: Labels,
    /// Unix time in seconds, and value.
    pub points: Vec<(f64, f64)>,
}

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// The exemplars of one series.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeriesExemplars {
    /// Labels of the series.
    pub series_labels: Labels,
    /// Its exemplars.
    pub exemplars: Vec<Exemplar>,
}

/// One exemplar.
#[derive(Clone, Debug, Deserialize)]
pub struct Exemplar {
    /// Its own labels.
    pub labels: Labels,
    /// The observed value, as the server spells it.
    pub value: String,
}

/// How a target fares.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// `up`, `down`, or `unknown` before the first scrape.
    pub health: String,
    /// Why it is down; empty when it is not.
    pub last_error: String,
}

/// A running server. It is killed when this is dropped; a failing test shows the end of its log.
pub struct Prometheus {
    address: SocketAddr,
    client: Client,
    server: Server,
}

impl Prometheus {
    /// Starts a server and waits until it is ready.
    pub async fn start(version: Version, setup: Setup) -> Self {
        let mut server = Server::spawn(version, setup);
        let address = eventually(async || server.running().listens_on()).await;
        let address = address.expect("Prometheus says in its log where it listens");
        // Without the provider even a client that never speaks TLS cannot be made; another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let url = format!("http://{address}/-/ready");
        let ready = eventually(async || {
            server.running();
            let answer = client.get(&url).send().await.ok()?;
            answer.status().is_success().then_some(())
        });
        ready.await.expect("Prometheus becomes ready");
        Self { address, client, server }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The answer to an instant query, now. A scalar has no labels.
    pub async fn query(&self, promql: &str) -> Vec<Sample> {
        self.instant(promql, &[("query", promql)]).await
    }

    /// The answer to an instant query at this Unix time.
    pub async fn query_at(&self, promql: &str, time: f64) -> Vec<Sample> {
        self.instant(promql, &[("query", promql), ("time", &time.to_string())]).await
    }

    async fn instant(&self, promql: &str, parameters: &[(&str, &str)]) -> Vec<Sample> {
        match self.ask("query", parameters).await {
            QueryResult::Vector(result) => {
                result.into_iter().map(|s| Sample { labels: s.metric, value: s.value.number() }).collect()
            }
            QueryResult::Scalar(value) => vec![Sample { labels: Labels::new(), value: value.number() }],
            other @ QueryResult::Matrix(_) => panic!("{promql} is not an instant query: {other:?}"),
        }
    }

    /// The answer to an instant query once `good` accepts it.
    pub async fn query_until(&self, promql: &str, good: impl Fn(&[Sample]) -> bool) -> Vec<Sample> {
        let mut last = Vec::new();
        let answer = eventually(async || {
            last = self.query(promql).await;
            good(&last).then(|| last.clone())
        });
        match answer.await {
            Some(answer) => answer,
            None => panic!(
                "{promql} did not become what was waited for in {PATIENCE:?}; last it was {last:?}, with {:?}",
                self.targets().await
            ),
        }
    }

    /// The answer to a range query, both ends included; times are Unix times, and the step is in seconds.
    pub async fn query_range(&self, promql: &str, start: f64, end: f64, step: f64) -> Vec<Series> {
        let (start, end, step) = (start.to_string(), end.to_string(), step.to_string());
        let parameters = [("query", promql), ("start", &*start), ("end", &*end), ("step", &*step)];
        match self.ask("query_range", &parameters).await {
            QueryResult::Matrix(result) => result.into_iter().map(RangeSeries::into).collect(),
            other => panic!("{promql} is not a range query: {other:?}"),
        }
    }

    /// The samples of a range selector as they are stored.
    pub async fn raw(&self, selector: &str) -> Vec<Series> {
        match self.ask("query", &[("query", selector)]).await {
            QueryResult::Matrix(result) => result.into_iter().map(RangeSeries::into).collect(),
            other => panic!("{selector} selects no range: {other:?}"),
        }
    }

    /// The exemplars of the series that `promql` selects, in this span of Unix time. Needs `exemplar-storage`.
    pub async fn exemplars(&self, promql: &str, start: f64, end: f64) -> Vec<SeriesExemplars> {
        let (start, end) = (start.to_string(), end.to_string());
        self.ask("query_exemplars", &[("query", promql), ("start", &*start), ("end", &*end)]).await
    }

    /// The labels of every series that `selector` has matched so far.
    pub async fn series(&self, selector: &str) -> Vec<Labels> {
        self.ask("series", &[("match[]", selector)]).await
    }

    /// How the targets fare.
    pub async fn targets(&self) -> Vec<Target> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Targets {
            active_targets: Vec<Target>,
        }
        let targets: Targets = self.ask("targets", &[("state", "active")]).await;
        targets.active_targets
    }

    /// Every rule of every group, as the server writes it.
    pub async fn rules(&self) -> Vec<Value> {
        #[derive(Deserialize)]
        struct Groups {
            groups: Vec<Group>,
        }
        #[derive(Deserialize)]
        struct Group {
            rules: Vec<Value>,
        }
        let groups: Groups = self.ask("rules", &[]).await;
        groups.groups.into_iter().flat_map(|group| group.rules).collect()
    }

    /// The processor time that the server has used so far, in seconds.
    pub fn processor_time(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.server.child.id())).unwrap();
        // The name of the program may have spaces; what follows it are the third field and those behind.
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks = |place: usize| number(fields[place].parse().unwrap());
        let a_second = usize::try_from(rustix::param::clock_ticks_per_second()).unwrap();
        (ticks(11) + ticks(12)) / number(a_second)
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        self.server.log.text()
    }

    async fn ask<T: DeserializeOwned>(&self, call: &str, parameters: &[(&str, &str)]) -> T {
        #[derive(Deserialize)]
        struct Envelope<T> {
            data: T,
        }
        let url = Url::parse_with_params(&format!("http://{}/api/v1/{call}", self.address), parameters).unwrap();
        let answer = self.client.get(url.clone()).send().await.unwrap_or_else(|e| panic!("{url}: {e}"));
        let status = answer.status();
        let body = answer.text().await.unwrap_or_else(|e| panic!("{url}: {e}"));
        assert!(status.is_success(), "{url}: {status}: {body}");
        serde_json::from_str::<Envelope<T>>(&body).unwrap_or_else(|e| panic!("{url}: {e}: {body}")).data
    }
}

/// `data` of a query, as the API writes it.
#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum QueryResult {
    Vector(Vec<InstantSeries>),
    Matrix(Vec<RangeSeries>),
    Scalar(Point),
}

#[derive(Debug, Deserialize)]
struct InstantSeries {
    metric: Labels,
    value: Point,
}

#[derive(Debug, Deserialize)]
struct RangeSeries {
    metric: Labels,
    values: Vec<Point>,
}

impl From<RangeSeries> for Series {
    fn from(RangeSeries { metric: labels, values }: RangeSeries) -> Self {
        Self { labels, points: values.iter().map(|point| (point.0, point.number())).collect() }
    }
}

/// Unix time, and a number as text since JSON has no infinity.
#[derive(Debug, Deserialize)]
struct Point(f64, String);

impl Point {
    fn number(&self) -> f64 {
        self.1.parse().unwrap_or_else(|e| panic!("{:?} is not a number: {e}", self.1))
    }
}

/// The process, and what it leaves behind.
struct Server {
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
    /// Configuration and data; removed with this.
    _directory: TempDir,
}

impl Server {
    fn spawn(version: Version, setup: Setup) -> Self {
        let program = match version {
            Version::V2 => tool::locate("PROMETHEUS_2", "prometheus2/usr/bin/prometheus"),
            Version::V3 => tool::locate("PROMETHEUS_3", "prometheus3/usr/bin/prometheus"),
        };
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("prometheus.yml");
        let flags = setup.flags.clone();
        let data = setup.data.clone().unwrap_or_else(|| directory.path().join("data"));
        // The system picks a free port, which no other test can take meanwhile; the log says which.
        let address = setup.address.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
        std::fs::write(&config, setup.file().to_string()).unwrap();
        let mut child = Command::new(&program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{} does not start: {e}", program.display()));
        let log = Arc::new(Log::default());
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let writer = Arc::clone(&log);
        let reader = std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| writer.push(&line)));
        Self { child, log, reader: Some(reader), _directory: directory }
    }

    /// Fails the test at once, rather than when its patience ends, if the server has ended by itself.
    fn running(&mut self) -> &Self {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("Prometheus ended by itself: {status}");
        }
        self
    }

    /// The address of the line `msg="Listening on" address=127.0.0.1:41234`, which both versions log.
    fn listens_on(&self) -> Option<SocketAddr> {
        let log = self.log.text();
        let line = log.lines().find(|line| line.contains(r#"msg="Listening on""#))?;
        line.split_once(" address=")?.1.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            let log = self.log.text();
            let lines: Vec<_> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("the end of Prometheus' log:\n{}", shown.join("\n"));
        }
    }
}

#[derive(Default)]
struct Log(Mutex<String>);

impl Log {
    fn push(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(line);
        text.push('\n');
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
