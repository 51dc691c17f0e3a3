//! `deploy/local.sh`, which is the stack of `deploy/compose.yaml` on loopback: from the simulated incident to the receiver, through
//! the rules, the routes and the templates as they are shipped.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::receiver::{self, Message};
use crate::support::{PATIENCE, signal, tool, until};

/// The agent of the demo that stops resolving.
const AGENT: &str = "40235145-aa3d-443e-9d0c-841dd0716a2f";
/// Simulated time passes so many times as fast. The rules keep their own: of the up to eight minutes that this takes, nearly all is
/// their intervals (five minutes for what is expected), the time that a condition must hold, and Alertmanager's wait for more of
/// the same. The agent is a busy one, of about 40 sessions a minute then, and its incident lasts nearly as long.
const SPEED: u32 = 1;
/// After so much simulated time it does so.
const UNTIL_INCIDENT: Duration = Duration::from_secs(180);
/// How soon the incident of a busy agent is to be known.
const PROMISE: Duration = Duration::from_secs(15 * 60);

/// The script, and what it has started.
struct Stack {
    script: Child,
    /// Where all of its files are; removed with this.
    temporary: TempDir,
    /// The exporter's, Prometheus', Alertmanager's and the receiver's.
    addresses: Vec<SocketAddr>,
}

impl Stack {
    fn start() -> Self {
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
            .envs(["EXPORTER_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "RECEIVER_PORT"].map(|port| (port, "0")))
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
        while stack.addresses.len() < 4 {
            let line = lines.recv_timeout(PATIENCE).expect("the script prints four addresses");
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

/// The first messages about the agent, as each service shows them.
async fn first_messages(stack: &Stack, deadline: Instant) -> [Message; 2] {
    let (client, receiver) = (receiver::client(), stack.addresses[3]);
    loop {
        let sent = receiver::latest(&client, receiver).await;
        let first = |kind: &str| {
            let mut of_kind = sent.iter().filter(|message| message.kind == kind);
            of_kind.find(|message| message.links.iter().any(|link| link.url.contains(AGENT))).cloned()
        };
        if let (Some(slack), Some(incident)) = (first("Slack"), first("PagerDuty")) {
            return [slack, incident];
        }
        assert!(Instant::now() < deadline, "no message within {PROMISE:?} of the incident, but {sent:#?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
#[ignore = "needs Prometheus and Alertmanager from .ci/tools"]
async fn a_simulated_incident_is_told_within_the_promised_time() {
    let mut stack = Stack::start();
    // The simulation started before.
    let incident = Instant::now() + UNTIL_INCIDENT / SPEED;
    let [slack, page] = first_messages(&stack, incident + PROMISE).await;
    let after = Instant::now().checked_duration_since(incident).expect("a message before there was a reason for one");
    println!("{after:?} after the incident began:\n{}", stack.logs(Some("receiver")));

    assert_eq!((slack.state.as_str(), page.state.as_str()), ("firing", "firing"));
    assert!(slack.title.starts_with("[CRITICAL] ") && slack.title.contains("Delivery Desk"), "{slack:#?}");
    assert!(page.title.contains("Delivery Desk") && page.text.contains("Severity: critical"), "{page:#?}");
    assert!(page.text.contains("Slot-"), "its intents: {page:#?}");
    assert!(page.link("Runbook").contains("/-/runbooks/Agntix"), "{page:#?}");
    let runbook = receiver::client().get(page.link("Runbook")).send().await.unwrap();
    let (status, runbook) = (runbook.status(), runbook.text().await.unwrap());
    assert!(status == 200 && runbook.contains("Check in a minute"), "{status}: {runbook}");

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
