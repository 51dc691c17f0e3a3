//! Prometheus' own programs: `promtool` makes blocks of samples, a server answers queries about them, on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use reqwest::{Client, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// Points of one series: Unix seconds and values.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Series {
    pub labels: Labels,
    pub points: Vec<(u64, f64)>,
}

/// The program named by the environment variable, or else the one that `.ci/tools` fetched.
fn program(variable: &str, name: &str) -> PathBuf {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/prometheus3/usr/bin").join(name);
    let program = std::env::var_os(variable).map_or(fetched, PathBuf::from);
    assert!(program.is_file(), "{} is not there; run `.ci/tools`, or set {variable}", program.display());
    program
}

/// A `promtool` that makes blocks of a file.
pub struct Import {
    child: Child,
    file: PathBuf,
}

impl Import {
    /// Begins to make blocks in `data` of the samples in `file`, which is removed in the end.
    ///
    /// `promtool` reads the whole file for each block, so the blocks are as long as the file.
    pub fn begin(file: PathBuf, data: &Path) -> Self {
        let child = Command::new(program("PROMTOOL_3", "promtool"))
            .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=1458h"])
            .args([&file, data])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, file }
    }

    pub fn end(mut self) {
        assert!(self.child.wait().unwrap().success(), "promtool made no blocks of {}", self.file.display());
        std::fs::remove_file(&self.file).unwrap();
    }
}

/// A running server; it ends with this.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    client: Client,
}

impl Prometheus {
    /// Starts a server on the blocks in `data` with these rule files.
    pub async fn start(directory: &Path, data: &Path, rule_files: &[PathBuf]) -> Self {
        let config = directory.join("prometheus.yml");
        std::fs::write(&config, serde_json::json!({ "rule_files": rule_files }).to_string()).unwrap();
        let mut child = Command::new(program("PROMETHEUS_3", "prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .arg("--storage.tsdb.retention.time=100y")
            // Blocks stay as they are: nothing is compacted behind the measurement's back.
            .args(["--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h"])
            .arg("--no-storage.tsdb.allow-overlapping-compaction")
            // A sample is seen at its own step only, as if it were followed by a marker that its series has ended.
            .arg("--query.lookback-delta=59s")
            .args(["--query.max-samples=200000000", "--query.timeout=30m"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (found, address) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains(r#"msg="Listening on""#) {
                    let address = line.split_once(" address=").and_then(|(_, rest)| rest.split_whitespace().next());
                    let _ = found.send(address.and_then(|address| address.parse().ok()));
                } else if line.contains("level=ERROR") {
                    eprintln!("{line}");
                }
            }
        });
        let address = address.recv_timeout(Duration::from_secs(60)).ok().flatten().expect("Prometheus listens");
        // Without the provider even a client that never speaks TLS cannot be made.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(1800)).build().unwrap();
        let prometheus = Self { child, address, client };
        let url = format!("http://{address}/-/ready");
        for _ in 0..600 {
            match prometheus.client.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return prometheus,
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        panic!("Prometheus does not become ready");
    }

    /// `data` of an answer of the HTTP API.
    pub async fn ask<T: DeserializeOwned>(&self, call: &str, parameters: &[(&str, &str)]) -> T {
        #[derive(Deserialize)]
        struct Envelope<T> {
            data: T,
        }
        let url = Url::parse_with_params(&format!("http://{}/api/v1/{call}", self.address), parameters).unwrap();
        let answer = self.client.get(url.clone()).send().await.unwrap_or_else(|e| panic!("{url}: {e}"));
        let status = answer.status();
        let body = answer.bytes().await.unwrap_or_else(|e| panic!("{url}: {e}"));
        assert!(status.is_success(), "{url}: {status}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice::<Envelope<T>>(&body).unwrap_or_else(|e| panic!("{url}: {e}")).data
    }

    /// The answer to a range query from `from` until before `to`, asked for in parts of what the API gives at once.
    pub async fn query_range(&self, promql: &str, from: u64, to: u64, step: u64) -> Vec<Series> {
        #[derive(Deserialize)]
        struct Matrix {
            result: Vec<Part>,
        }
        #[derive(Deserialize)]
        struct Part {
            metric: Labels,
            values: Vec<(f64, String)>,
        }
        const POINTS: u64 = 10_080;
        let mut found: BTreeMap<Labels, Vec<(u64, f64)>> = BTreeMap::new();
        let mut at = from;
        while at < to {
            let last = (at + (POINTS - 1) * step).min(to - 1);
            let (start, end, every) = (at.to_string(), last.to_string(), step.to_string());
            let parameters = [("query", promql), ("start", &*start), ("end", &*end), ("step", &*every)];
            let matrix: Matrix = self.ask("query_range", &parameters).await;
            for part in matrix.result {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole Unix seconds")]
                let points = part.values.iter().map(|(at, value)| (*at as u64, value.parse().unwrap()));
                found.entry(part.metric).or_default().extend(points);
            }
            at += POINTS * step;
        }
        found.into_iter().map(|(labels, points)| Series { labels, points }).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It fails only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
