//! A real Alertmanager with the example's configuration: what it inhibits, and what it sends.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::prometheus::Labels;
use super::wait::eventually;
use super::{PATIENCE, tool};

/// A running server. It is killed when this is dropped.
pub struct Alertmanager {
    address: SocketAddr,
    client: Client,
    child: Child,
    _data: TempDir,
}

impl Alertmanager {
    /// Starts a server on a free port and waits until it is ready. It knows no other servers, and its receivers answer nothing.
    pub async fn start(config: &Path) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut child = command()
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", data.path().display()))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Alertmanager starts");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines
            .find_map(|line| {
                let line = line.split_once(r#"msg="Listening on" address="#)?.1.to_owned();
                line.split_whitespace().next()?.parse().ok()
            })
            .expect("Alertmanager says in its log where it listens");
        // Read to its end, so that a full pipe never stops it.
        std::thread::spawn(move || lines.for_each(drop));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let this = Self { address, client, child, _data: data };
        let url = format!("http://{address}/-/ready");
        let ready = eventually(async || this.client.get(&url).send().await.ok()?.status().is_success().then_some(()));
        ready.await.expect("Alertmanager becomes ready");
        this
    }

    /// Fires alerts, each given by its labels.
    pub async fn fire(&self, alerts: &[Labels]) {
        let alerts: Vec<_> = alerts.iter().map(|labels| json!({ "labels": labels })).collect();
        self.post(&Value::from(alerts)).await;
    }

    /// Posts alerts as Prometheus does.
    pub async fn post(&self, alerts: &Value) {
        let answer = self
            .client
            .post(format!("http://{}/api/v2/alerts", self.address))
            .header("content-type", "application/json")
            .body(alerts.to_string())
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// Waits until somebody is told of exactly these alerts, by name, and of no other of the `count` that fire; fails with what is shown instead.
    pub async fn shows(&self, expected: &[String], count: usize) {
        let url = format!("http://{}/api/v2/alerts", self.address);
        let mut last = Vec::new();
        let shown = eventually(async || {
            let text = self.client.get(&url).send().await.ok()?.text().await.ok()?;
            let alerts: Vec<Value> = serde_json::from_str(&text).ok()?;
            last = alerts
                .iter()
                .filter(|alert| alert["status"]["state"] == "active")
                .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
                .collect();
            last.sort_unstable();
            (alerts.len() == count && last == expected).then_some(())
        });
        assert!(shown.await.is_some(), "somebody is told of {last:?}, not of {expected:?}");
    }
}

/// Debian's Alertmanager reads its templates from below /usr/share. Where it is unpacked and not installed, it is shown them there in a view of
/// the file system that is its own.
fn command() -> Command {
    const TEMPLATES: &str = "/usr/share/prometheus/alertmanager/default.tmpl";
    const SHOWN: &str = r#"mount -t overlay -o "lowerdir=$1:/usr/share" overlay /usr/share && shift && exec "$@""#;
    let program = tool::locate("ALERTMANAGER", "alertmanager/usr/bin/prometheus-alertmanager");
    let share = program.parent().unwrap().with_file_name("share");
    if Path::new(TEMPLATES).exists() || !share.join("prometheus").exists() {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", SHOWN, "sh"]).arg(share).arg(program);
    command
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // It fails only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
