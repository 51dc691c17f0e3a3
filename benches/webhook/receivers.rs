//! What deliveries are sent to: the exporter itself, and what it is held against. Each is a process of its own.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use agntix_api::{SignatureHeaders, WebhookSecrets, wire};
use agntix_exporter::clock::{Clock as _, SystemClock};
use agntix_exporter::config::Config;
use agntix_exporter::observation::{ObservationConfig, observe_entry};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use bytes::Bytes;
use exporter_web::Server;
use simulator::DEFAULT_KEY;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::deliveries::{PATH, SECRET};

/// As the first argument it makes this program one of the receivers.
pub const RECEIVE: &str = "--receive";

/// A receiver that runs; killed when dropped.
pub struct Receiving {
    child: Child,
    /// Where deliveries go.
    pub webhook: SocketAddr,
    /// Where scrapes go.
    pub metrics: SocketAddr,
}

impl Receiving {
    /// The exporter, with the webhook on a listener of its own, asking an API that has no sessions.
    pub fn exporter(state: &Path, api: SocketAddr, wrapper: &[&str]) -> Self {
        let words: Vec<&str> = wrapper.iter().copied().chain([env!("CARGO_BIN_EXE_agntix-exporter")]).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .env("AGNTIX_API_KEY", DEFAULT_KEY)
            .env("AGNTIX_WEBHOOK_SECRET", SECRET)
            .env("AGNTIX_EXPORTER__API__BASE_URL", format!("http://{api}"))
            .env("AGNTIX_EXPORTER__STATE__PATH", state)
            .env("AGNTIX_EXPORTER__WEB__LISTEN_ADDRESS", "127.0.0.1:0")
            .env("AGNTIX_EXPORTER__WEBHOOK__ENABLED", "true")
            .env("AGNTIX_EXPORTER__WEBHOOK__LISTEN_ADDRESS", "127.0.0.1:0")
            .current_dir(state);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut address = |of: &str| {
            let line = lines.by_ref().find(|line| line.contains(of)).unwrap_or_else(|| panic!("it ended: {of}"));
            let (_, address) = line.split_once("address=").unwrap();
            address.split_whitespace().next().unwrap().trim_matches('"').parse().unwrap()
        };
        let (metrics, webhook) = (address("listening"), address("a listener of their own"));
        // Its log has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, webhook, metrics }
    }

    /// This program as the receiver called `name`, which may write to `directory`.
    pub fn own(name: &str, directory: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([RECEIVE, name]).arg(directory);
        Self::printing(command).unwrap()
    }

    /// The receiver in Go, where it can be built.
    pub fn go(directory: &Path) -> Option<Self> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/webhook.go");
        let program = directory.join("webhook-go");
        let mut go = Command::new("go");
        let built = go.arg("build").arg("-o").arg(&program).arg(source).status().ok()?;
        let mut command = Command::new(program);
        command.args([SECRET, PATH]).arg(directory.join("go.log"));
        if built.success() { Self::printing(command) } else { None }
    }

    /// A program that prints its port.
    fn printing(mut command: Command) -> Option<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().ok()?;
        let mut port = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut port).ok()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().ok()?));
        Some(Self { child, webhook: address, metrics: address })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in MiB.
    pub fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Its page, as text.
    pub fn page(&self) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("http://{}/metrics", self.metrics);
        runtime.block_on(async { reqwest::get(url).await.unwrap().text().await.unwrap() })
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the receiver called `name` until it is killed.
pub fn receive(name: &str, directory: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let receiver = match name {
        "empty" => post(async || "Counted.\n"),
        "checked" => {
            let checks = Arc::new(Checks::new());
            post(async move |headers: HeaderMap, body: Bytes| match checks.record(&headers, &body) {
                Some(_) => (StatusCode::OK, "Counted.\n"),
                None => (StatusCode::UNAUTHORIZED, "No.\n"),
            })
        }
        "floor" => {
            let (checks, records) = (Arc::new(Checks::new()), appended(&directory.join("floor.log")));
            post(async move |headers: HeaderMap, body: Bytes| {
                let Some(record) = checks.record(&headers, &body) else { return (StatusCode::UNAUTHORIZED, "No.\n") };
                let (done, synced) = oneshot::channel();
                records.send((record, done)).unwrap();
                synced.await.unwrap();
                (StatusCode::OK, "Counted.\n")
            })
        }
        _ => panic!("there is no receiver {name}"),
    };
    let routes = Router::new().route(PATH, receiver).route("/metrics", get(async || "up 1\n"));
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        Server::new(routes).serve([listener], CancellationToken::new()).await;
    });
}

/// A signature is checked, and a session is read, as by the exporter.
struct Checks {
    secrets: WebhookSecrets,
    observation: ObservationConfig,
}

impl Checks {
    fn new() -> Self {
        Self {
            secrets: WebhookSecrets::parse(SECRET).unwrap(),
            observation: ObservationConfig::from(&Config::default()),
        }
    }

    /// About 120 bytes of the session, if it is well signed and one.
    fn record(&self, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        let now = SystemClock.now();
        self.secrets.verify(&SignatureHeaders::of(headers), body, now).ok()?;
        let session = serde_json::from_slice::<wire::Session<'_>>(body).ok()?;
        let facts = observe_entry(&session, &self.observation, now).ok()?;
        let (ended, outcome) = (facts.ended?, facts.outcome?);
        let (resolution, sentiment) = (outcome.resolution?, outcome.sentiment?);
        let at = (facts.created.as_millis(), ended.at.as_millis());
        Some(format!("{} {} {at:?} {resolution} {sentiment}\n", facts.id, facts.channel.agent_id))
    }
}

/// Where records go to be appended to a file and synced together: those that came while the last ones were synced.
fn appended(path: &Path) -> Sender<(String, oneshot::Sender<()>)> {
    let mut file = File::create(path).unwrap();
    let (records, queue): (_, Receiver<(String, oneshot::Sender<()>)>) = channel();
    std::thread::spawn(move || {
        while let Ok(first) = queue.recv() {
            let (mut text, mut waiting) = (String::new(), Vec::new());
            for (record, done) in std::iter::once(first).chain(queue.try_iter()) {
                text.push_str(&record);
                waiting.push(done);
            }
            file.write_all(text.as_bytes()).unwrap();
            file.sync_data().unwrap();
            for done in waiting {
                // The client may have gone.
                let _ = done.send(());
            }
        }
    });
    records
}
