//! The real exporter as a process of its own, and an API for it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use simulator::{Clock as _, DEFAULT_KEY, Simulator, SimulatorConfig, SystemClock};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::deliveries::SECRET;

const PATIENCE: Duration = Duration::from_secs(120);

/// Where an exporter keeps its state.
pub enum Kind {
    Sqlite(PathBuf),
    /// At that URL.
    Shared(String),
}

/// A simulated API.
pub struct Api {
    pub address: SocketAddr,
    _runtime: Runtime,
}

impl Api {
    pub fn start(config: SimulatorConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(Simulator::new(config).serve(listener, CancellationToken::new()));
        Self { address, _runtime: runtime }
    }

    /// An API that has no sessions.
    pub fn empty() -> Self {
        let start = SystemClock.now();
        Self::start(SimulatorConfig { until: Some(start), ..SimulatorConfig::load(start, 1.0, 1) })
    }
}

/// An exporter that runs; killed when dropped.
pub struct Exporter {
    child: Child,
    pub web: SocketAddr,
    pub webhook: SocketAddr,
    /// From its start until it listened.
    pub started: Instant,
    _directory: tempfile::TempDir,
}

impl Exporter {
    /// Starts it, with more of the configuration, and waits until it listens.
    pub fn start(kind: &Kind, api: Option<&Api>, more: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = api.map_or_else(|| "http://127.0.0.1:1".to_owned(), |api| format!("http://{}", api.address));
        let set = |name: &str| format!("AGNTIX_EXPORTER__{name}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_agntix-exporter"));
        command
            .env_clear()
            .env("AGNTIX_API_KEY", DEFAULT_KEY)
            .env("AGNTIX_WEBHOOK_SECRET", SECRET)
            .env(set("API__BASE_URL"), base)
            .env(set("API__REQUESTS_PER_MINUTE"), "100000000")
            .env(set("METRICS__MAX_SERIES"), "1000000")
            .env(set("METRICS__MAX_LABEL_VALUES"), "1000")
            .env(set("METRICS__NEW_SERIES_HOLD"), "0s")
            .env(set("SESSIONS__LOOK_BACK_DEADLINE"), "0s")
            .env(set("WEB__LISTEN_ADDRESS"), "127.0.0.1:0")
            .env(set("WEBHOOK__ENABLED"), "true")
            .env(set("WEBHOOK__LISTEN_ADDRESS"), "127.0.0.1:0")
            .envs(more.iter().map(|(name, value)| (set(name), *value)))
            .current_dir(directory.path());
        match kind {
            Kind::Sqlite(path) => command.env(set("STATE__PATH"), path),
            Kind::Shared(url) => command.env(set("STATE__URL"), url),
        };
        let started = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = String::new();
        let mut address = |of: &str| loop {
            let Some(line) = lines.next() else { panic!("it ended: {of}\n{said}") };
            said.push_str(&line);
            said.push('\n');
            if let (true, Some((_, address))) = (line.contains(of), line.split_once("address=")) {
                break address.split_whitespace().next().unwrap().trim_matches('"').parse().unwrap();
            }
        };
        let (web, webhook) = (address("listening"), address("a listener of their own"));
        // Its log has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, web, webhook, started, _directory: directory }
    }

    /// One with SQLite in that directory, a replica that counts and one that does not, all of which serve pages.
    pub fn three(directory: PathBuf, url: &str, api: &Api) -> [Self; 3] {
        let sqlite = Self::start(&Kind::Sqlite(directory), Some(api), &[]);
        let holder = Self::start(&Kind::Shared(url.to_owned()), Some(api), &[]);
        holder.counts();
        let three = [sqlite, holder, Self::start(&Kind::Shared(url.to_owned()), Some(api), &[])];
        for exporter in &three {
            exporter.until("/metrics");
        }
        three
    }

    /// Waits until it counts.
    pub fn counts(&self) {
        self.until("/-/active");
    }

    /// Waits until it answers well, and gives how long it took from its start.
    pub fn until(&self, path: &str) -> Duration {
        loop {
            if self.get(path, false).is_some_and(|(status, _)| status == 200) {
                return self.started.elapsed();
            }
            assert!(self.started.elapsed() < PATIENCE, "{path}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The status and the rest of an answer.
    pub fn get(&self, path: &str, gzip: bool) -> Option<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.web).ok()?;
        let accept = if gzip { "accept-encoding: gzip\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{accept}connection: close\r\n\r\n", self.web);
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
        Some((status, answer))
    }

    /// Milliseconds of a scrape in gzip over a connection of its own.
    pub fn scrape(&self) -> f64 {
        let began = Instant::now();
        let (status, answer) = self.get("/metrics", true).unwrap();
        assert!(status == 200, "{}", String::from_utf8_lossy(&answer));
        began.elapsed().as_secs_f64() * 1e3
    }

    /// The samples of the page.
    pub fn samples(&self) -> Vec<(String, f64)> {
        let Some((200, page)) = self.get("/metrics", false) else { return Vec::new() };
        let page = String::from_utf8_lossy(&page);
        let lines = page.lines().filter(|line| line.starts_with("agntix_"));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.into(), value.parse().unwrap()))
            .collect()
    }

    /// The sum of a metric over its labels.
    pub fn total(&self, metric: &str) -> f64 {
        let of = |name: &str| name.split('{').next() == Some(metric);
        self.samples().iter().filter(|(name, _)| of(name)).map(|(_, value)| value).sum()
    }

    /// Its resident memory in MiB, now and at most.
    pub fn memory(&self) -> (f64, f64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mib = |what: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
            line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
        };
        (mib("VmRSS:"), mib("VmHWM:"))
    }

    /// Ends it as the failure of a machine would, or on SIGTERM; it is gone when this returns.
    pub fn end(mut self, is_killed: bool) {
        if is_killed {
            self.child.kill().unwrap();
        } else {
            let process = rustix::process::Pid::from_child(&self.child);
            rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        }
        self.child.wait().unwrap();
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
