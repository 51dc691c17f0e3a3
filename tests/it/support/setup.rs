//! How the binary is started: its configuration, and what it is waited for.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use simulator::DEFAULT_KEY;

use super::{Daemon, PATIENCE, WEBHOOK_SECRET, certificates, ledger};

/// How a daemon is started.
#[derive(Clone)]
pub struct Setup {
    pub state: PathBuf,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    wrapper: Vec<String>,
}

impl Setup {
    /// Quick intervals, no hold, a budget without end: what a test does not set itself should not slow it down.
    pub fn new(api: SocketAddr, state: &Path) -> Self {
        let setup = Self::plain(state)
            .set("API__BASE_URL", &format!("http://{api}"))
            .set("API__REQUESTS_PER_MINUTE", "100000000")
            .set("STATE__PATH", &state.display().to_string())
            .set("POLL__LISTING_INTERVAL", "50ms")
            .set("POLL__OPEN_INTERVAL", "50ms")
            .set("POLL__ENDED_INTERVAL", "50ms")
            .set("METRICS__NEW_SERIES_HOLD", "0s")
            .set("WEB__LISTEN_ADDRESS", "127.0.0.1:0")
            .env("AGNTIX_API_KEY", DEFAULT_KEY);
        ledger::chosen(setup, state)
    }

    /// Nothing set: for tests that bring a configuration file. `state` is the directory that it names.
    pub fn plain(state: &Path) -> Self {
        Self { state: state.to_owned(), environment: Vec::new(), arguments: Vec::new(), wrapper: Vec::new() }
    }

    /// Sets a key of the configuration: `POLL__LISTING_INTERVAL`.
    pub fn set(self, key: &str, value: &str) -> Self {
        self.env(&format!("AGNTIX_EXPORTER__{key}"), value)
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a variable, or a key of the configuration, back.
    pub fn unset(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name && *known != format!("AGNTIX_EXPORTER__{name}"));
        self
    }

    /// Starts the binary through another program, which must become it with `exec`.
    pub fn through(mut self, program: &[&str]) -> Self {
        self.wrapper = program.iter().map(ToString::to_string).collect();
        self
    }

    /// Takes deliveries that are signed with [`WEBHOOK_SECRET`], on a listener of its own.
    pub fn with_webhook(self, address: SocketAddr) -> Self {
        self.set("WEBHOOK__ENABLED", "true")
            .set("WEBHOOK__LISTEN_ADDRESS", &address.to_string())
            .env("AGNTIX_WEBHOOK_SECRET", WEBHOOK_SECRET)
    }

    /// Takes deliveries on a listener of its own, whose certificate and web configuration file are made in `directory`; `more`
    /// is what the file says besides TLS.
    pub fn with_guarded_webhook(self, directory: &Path, more: &str) -> Self {
        certificates::Authority::new(directory, "authority").server("server", |_| ());
        let file = directory.join("web.yml");
        std::fs::write(&file, format!("{}{more}", certificates::TLS)).unwrap();
        self.env("AGNTIX_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .set("WEBHOOK__ENABLED", "true")
            .set("WEBHOOK__LISTEN_ADDRESS", "127.0.0.1:0")
            .set("WEBHOOK__WEB_CONFIG_FILE", &file.display().to_string())
    }

    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub fn command(&self) -> Command {
        // Another build of it may be tested than the one at hand.
        let program =
            std::env::var("AGNTIX_TEST_EXPORTER").unwrap_or_else(|_| env!("CARGO_BIN_EXE_agntix-exporter").into());
        let words: Vec<&str> = self.wrapper.iter().map(String::as_str).chain([program.as_str()]).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(&self.arguments)
            .current_dir(self.state.parent().unwrap())
            .stdin(Stdio::null());
        command
    }

    /// Starts the daemon and waits until it listens.
    pub fn start(&self) -> Daemon {
        let mut child = self.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (log, found) = follow(child.stderr.take().unwrap());
        let Ok(address) = found.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("it does not listen: {:?}\n{}", child.wait(), log.lock().unwrap());
        };
        Daemon { child, address, log, schema: self.schema() }
    }

    /// Starts it so many times, and kills it within a quarter of a second.
    pub fn start_and_kill(&self, times: usize, random: &mut fastrand::Rng) {
        for _ in 0..times {
            let daemon = self.start();
            // The instant of the kill is what is random here; nothing depends on its length.
            std::thread::sleep(Duration::from_millis(random.u64(0..250)));
            daemon.kill();
        }
    }

    /// The schema on the shared server that its state is in.
    fn schema(&self) -> Option<String> {
        let is_shared = ledger::is_postgres() && self.value("STATE__URL") == Some(&test_postgres::shared().url());
        is_shared.then(|| self.value("STATE__SCHEMA").map(str::to_owned)).flatten()
    }

    fn value(&self, key: &str) -> Option<&str> {
        let name = format!("AGNTIX_EXPORTER__{key}");
        self.environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Runs a daemon that is expected to end by itself: its exit code, and all that it wrote.
    pub fn run(&self) -> (Option<i32>, String) {
        let mut child = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let outputs = [collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap())];
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("it does not end by itself:\n{}", outputs.map(|output| output.join().unwrap()).concat());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        (status.code(), outputs.map(|output| output.join().unwrap()).concat())
    }

    /// Starts a command that prints its address on standard output, and waits for what it prints first.
    pub fn start_command(&self) -> (Daemon, Arc<Mutex<String>>) {
        let mut child = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (log, _) = follow(child.stderr.take().unwrap());
        let (sender, addresses) = channel();
        let printed = Arc::new(Mutex::new(String::new()));
        let (keep, stdout) = (Arc::clone(&printed), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let address = line.split_once("http://").and_then(|(_, rest)| {
                    rest.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').next()?.parse().ok()
                });
                keep.lock().unwrap().extend([line.as_str(), "\n"]);
                if let Some(address) = address {
                    // Only the first one is waited for.
                    let _ = sender.send(address);
                }
            }
        });
        let Ok(address) = addresses.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("it prints no address: {:?}\n{}", child.wait(), log.lock().unwrap());
        };
        (Daemon { child, address, log, schema: self.schema() }, printed)
    }
}

fn collect(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // What came before a failure is shown all the same.
        let _ = from.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Keeps what a daemon logs, and sends the address that it listens on when it says it.
fn follow(log: std::process::ChildStderr) -> (Arc<Mutex<String>>, Receiver<SocketAddr>) {
    let (sender, found) = channel();
    let kept = Arc::new(Mutex::new(String::new()));
    let keep = Arc::clone(&kept);
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            // Before the address is sent, so that whoever waits for that finds the line in the log.
            keep.lock().unwrap().extend([line.as_str(), "\n"]);
            if let (true, Some((_, rest))) = (line.contains("listening"), line.split_once("address=")) {
                let address = rest.split_whitespace().next().and_then(|a| a.trim_matches('"').parse().ok());
                if let Some(address) = address {
                    // Only the first one is waited for.
                    let _ = sender.send(address);
                }
            }
        }
    });
    (kept, found)
}
