//! `deploy/local.sh`, which is the stack of `deploy/compose.yaml` on loopback: from the simulated incident to a webhook receiver,
//! through the rules, the routes and the templates as they are shipped.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use agntix_exporter::clock::{Clock as _, SystemClock, Timestamp};
use axum::extract::{Json, State};
use axum::routing::post;
use serde::Deserialize;
use tempfile::TempDir;

use crate::support::prometheus::Labels;
use crate::support::{PATIENCE, signal, tool, until};

/// The agent of the demo that stops resolving.
const AGENT: &str = "40235145-aa3d-443e-9d0c-841dd0716a2f";
/// Simulated time passes so many times as fast. The rules keep their own: of the up to eight minutes that this takes, nearly all is
/// their intervals (five minutes for what is expected), the time that a condition must hold, and Alertmanager's wait for more of
/// the same. The agent is a busy one, of about 40 sessions a minute then, and its incident lasts nearly as long.
const SPEED: u32 = 4;
/// After so much simulated time it does so.
const UNTIL_INCIDENT: Duration = Duration::from_secs(180);
/// How soon the incident of a busy agent is to be known.
const PROMISE: Duration = Duration::from_secs(15 * 60);

/// What Alertmanager posts to a webhook.
#[derive(Debug, Deserialize)]
struct Notification {
    alerts: Vec<Alert>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: String,
    labels: Labels,
    annotations: Labels,
    starts_at: String,
}

/// A webhook receiver on a free port.
struct Pager {
    address: SocketAddr,
    alerts: Receiver<Alert>,
    _runtime: tokio::runtime::Runtime,
}

impl Pager {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, alerts) = channel();
        let receive = |State(sender): State<std::sync::mpsc::Sender<Alert>>, Json(sent): Json<Notification>| async move {
            // The test may have what it waits for, and be gone.
            sent.alerts.into_iter().for_each(|alert| drop(sender.send(alert)));
        };
        let routes = axum::Router::new().route("/page", post(receive)).with_state(sender);
        runtime.spawn(async { axum::serve(listener, routes).await });
        Self { address, alerts, _runtime: runtime }
    }
}

/// The script, and what it has started.
struct Stack {
    script: Child,
    /// Where all of its files are; removed with this.
    temporary: TempDir,
    addresses: Vec<SocketAddr>,
}

impl Stack {
    fn start(pager: &Pager) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/local.sh");
        let mut script = Command::new(script)
            .args(["--speed", &SPEED.to_string()])
            .env("TMPDIR", temporary.path())
            .env("AGNTIX_EXPORTER", env!("CARGO_BIN_EXE_agntix-exporter"))
            .env("PROMETHEUS_3", tool::locate("PROMETHEUS_3", "prometheus3/usr/bin/prometheus"))
            .env("PROMTOOL_3", tool::locate("PROMTOOL_3", "prometheus3/usr/bin/promtool"))
            .env("ALERTMANAGER", tool::locate("ALERTMANAGER", "alertmanager/usr/bin/prometheus-alertmanager"))
            .env("AMTOOL", tool::locate("AMTOOL", "alertmanager/usr/bin/amtool"))
            .envs(["EXPORTER_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT"].map(|port| (port, "0")))
            .env("ON_CALL_URL", format!("http://{}/page", pager.address))
            .env_remove("TEAM_URL")
            .env_remove("AGNTIX_API_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(script.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // Read on when nobody waits for lines any more: a script that writes into a closed pipe is ended by the system.
                let _ = sender.send(line);
            }
        });
        let mut stack = Self { script, temporary, addresses: Vec::new() };
        while stack.addresses.len() < 3 {
            let line = lines.recv_timeout(PATIENCE).expect("the script prints three addresses");
            stack.addresses.extend(
                line.split_once("http://").and_then(|(_, rest)| rest.trim_end_matches('/').parse::<SocketAddr>().ok()),
            );
        }
        stack
    }

    /// The logs of what it has started, of all or of one.
    fn logs(&self, of: Option<&str>) -> String {
        let directories = std::fs::read_dir(self.temporary.path()).unwrap().flatten();
        let files =
            directories.flat_map(|directory| std::fs::read_dir(directory.path()).into_iter().flatten().flatten());
        let logs = files.map(|file| file.path()).filter(|path| {
            path.extension().is_some_and(|extension| extension == "log")
                && of.is_none_or(|name| path.file_stem().is_some_and(|stem| stem == name))
        });
        let texts = logs.map(|log| [log.display().to_string(), std::fs::read_to_string(&log).unwrap()].join("\n"));
        texts.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs(None));
        }
        // It fails only if the script has ended already. What it has started ends with it.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
#[ignore = "needs Prometheus and Alertmanager from .ci/tools"]
fn a_simulated_incident_pages_within_the_promised_time() {
    let pager = Pager::start();
    let spawned = SystemClock.now();
    let mut stack = Stack::start(&pager);
    let started = Instant::now();
    // The simulation started between these two.
    let (incident_at_least, incident_at_most) =
        (spawned.plus(UNTIL_INCIDENT / SPEED), started + UNTIL_INCIDENT / SPEED);

    let page = loop {
        let left = (incident_at_most + PROMISE).saturating_duration_since(Instant::now());
        let alert = match pager.alerts.recv_timeout(left) {
            Ok(alert) => alert,
            Err(RecvTimeoutError::Timeout) => panic!("no page within {PROMISE:?} of the incident"),
            Err(RecvTimeoutError::Disconnected) => panic!("the receiver has ended"),
        };
        let began = Timestamp::parse_rfc3339(&alert.starts_at).unwrap();
        assert!(began > incident_at_least, "a page before there was a reason for one: {alert:?}");
        assert_eq!(alert.status, "firing", "{alert:?}");
        // Which of its alerts is first depends on when the rules are evaluated: the spike, or the objective that burns.
        if alert.labels.get("agent_id").is_some_and(|id| id == AGENT) {
            break alert;
        }
    };
    let name = &page.labels["alertname"];
    println!("{name} {:?} after the incident began", started.elapsed().saturating_sub(UNTIL_INCIDENT / SPEED));

    assert!(matches!(name.as_str(), "AgntixUnresolvedSpike" | "AgntixResolutionBudgetBurnFast"), "{page:?}");
    assert_eq!((page.labels["signal"].as_str(), page.labels["severity"].as_str()), ("unresolved", "critical"));
    let annotation =
        |name: &str| page.annotations.get(name).unwrap_or_else(|| panic!("no {name} in {page:?}")).as_str();
    assert!(annotation("summary").contains("Delivery Desk"), "{page:?}");
    assert!(annotation("description").contains("Slot-"), "its intents: {page:?}");
    assert!(annotation("runbook_url").ends_with(&format!("/-/runbooks/{name}")), "{page:?}");
    assert!(annotation("dashboard_url").contains(AGENT), "{page:?}");

    // A warning that comes back at each scrape would hide the one that matters.
    let log = stack.logs(Some("prometheus"));
    assert!(log.contains("Server is ready") && !log.contains("Error on ingesting"), "{log}");

    signal(&stack.script, "INT");
    let status = until("the script to end", || stack.script.try_wait().unwrap());
    assert!(status.success(), "{status}");
    for address in &stack.addresses {
        assert!(TcpStream::connect(address).is_err(), "something still listens on {address}");
    }
    assert_eq!(std::fs::read_dir(stack.temporary.path()).unwrap().count(), 0, "files are left behind");
}
