//! The real binary against the simulator, both on loopback, and pages as numbers.

pub mod alertmanager;
pub mod certificates;
pub mod disk;
pub mod faketime;
pub mod https;
pub mod ledger;
pub mod page;
pub mod prometheus;
pub mod promtool;
pub mod receiver;
pub mod tool;
pub mod wait;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agntix_exporter::catalogue::{Family, reference};
use rustix::process::{Pid, Signal, kill_process};
use simulator::{AgentProfile, DEFAULT_KEY, Session, Simulator, SimulatorConfig, Timestamp, TruthFilter};
use tokio_util::sync::CancellationToken;

use self::wait::Wait;
pub use self::wait::{PATIENCE, until};

/// What signs deliveries where any secret will do.
pub const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// An address that nobody listens on: its port was free a moment ago, and it is a loopback address that only this process uses.
pub fn free_address() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let address = std::net::Ipv4Addr::new(127, 64 | high, middle, low);
    std::net::TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

/// A moment for simulations that stand still: 2026-04-08T06:00:00Z, whole as the `Date` of an answer is.
pub const NOON: Timestamp = Timestamp::from_millis(1_775_628_000_000);

/// Sessions of one agent that start from `start` until `until`, so many a day, each analysed as soon as it has ended. The clock
/// stands still at noon.
pub fn standing_at_noon(start: Timestamp, until: Timestamp, sessions_per_day: f64) -> SimulatorConfig {
    SimulatorConfig {
        start,
        until: Some(until),
        now: Some(NOON),
        speed: 0.0,
        agents: vec![AgentProfile { sessions_per_day, ..AgentProfile::default() }],
        analysis_delay: (Duration::ZERO, Duration::ZERO),
        no_analysis_share: 0.0,
        rate_limit: None,
        ..SimulatorConfig::default()
    }
}

/// Lets this process, and the daemons that it starts, open so many files: the usual limit is 1,024.
pub fn allow_files(count: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return;
    }
    let enough = limit.maximum.is_none_or(|maximum| maximum >= count);
    assert!(enough, "this test needs {count} open files, more than the system allows ({:?})", limit.maximum);
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limit }).unwrap();
}

/// A simulator that is being served.
pub struct Api {
    pub simulator: Arc<Simulator>,
    pub address: SocketAddr,
    stop: CancellationToken,
    _runtime: tokio::runtime::Runtime,
}

impl Api {
    pub fn start(config: SimulatorConfig) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), config)
    }

    pub fn start_at(address: SocketAddr, config: SimulatorConfig) -> Self {
        Self::serve_at(address, Simulator::new(config))
    }

    /// Serves a simulator that has a clock of its own.
    pub fn serve(simulator: Arc<Simulator>) -> Self {
        Self::serve_at("127.0.0.1:0".parse().unwrap(), simulator)
    }

    fn serve_at(address: SocketAddr, simulator: Arc<Simulator>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let stop = CancellationToken::new();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(Arc::clone(&simulator).serve(listener, stop.clone()));
        Self { simulator, address, stop, _runtime: runtime }
    }

    /// What the page must show in the end.
    pub fn truth(&self) -> BTreeMap<String, f64> {
        self.truth_within(TruthFilter::default().analysis_deadline)
    }

    /// The same, with another `poll.analysis_deadline`.
    pub fn truth_within(&self, analysis_deadline: Duration) -> BTreeMap<String, f64> {
        let filter = TruthFilter { analysis_deadline, ..TruthFilter::default() };
        self.simulator.truth(&filter, &self.simulator.config().metrics, self.simulator.now())
    }

    /// All sessions created by now.
    pub fn sessions(&self) -> Vec<Session<'_>> {
        self.simulator.sessions(self.simulator.config().start, self.simulator.now())
    }

    /// Moves the simulated clock.
    pub fn jump(&self, to: Timestamp) {
        self.simulator.set_clock(Some(to), None).unwrap();
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

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

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
    /// Where its state is, if that is on the shared server.
    schema: Option<String>,
}

/// Sends a signal to a process. A small Debian has no `kill` for it.
pub fn signal(child: &Child, name: &str) {
    let signal = match name {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "TERM" => Signal::TERM,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        _ => panic!("{name} is none of the signals that tests send"),
    };
    kill_process(Pid::from_child(child), signal).unwrap();
}

impl Daemon {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Ends it as a power cut would, as far as the process goes.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.expire_lease();
    }

    fn expire_lease(&self) {
        if let Some(schema) = &self.schema {
            ledger::expire_lease(schema);
        }
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        until("the daemon to end", || self.child.try_wait().unwrap())
    }

    /// Signals it, and makes sure that it ends well and in time.
    pub fn stops_on(&mut self, signal: &str) {
        let began = Instant::now();
        self.signal(signal);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "after {signal}:\n{}", self.log());
        assert!(began.elapsed() < Duration::from_secs(5), "{signal} took {:?}:\n{}", began.elapsed(), self.log());
    }

    /// How many lines of the log hold `text`.
    pub fn lines_with(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// How many files it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// `GET`: status and body; `None` if nobody answers.
    pub fn try_get(&self, path: &str) -> Option<(u16, String)> {
        request(self.address, "GET", path)
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let get = || self.try_get(path).unwrap_or_else(|| panic!("no answer to {path}:\n{}", self.log()));
        let is_gap = |(status, _): &(u16, String)| self.schema.is_some() && (*status, path) == (503, "/metrics");
        // A page that is not known to be current is an error, which Prometheus shows as a gap.
        let (status, body) = until("a page that is current", || Some(get()).filter(|answer| !is_gap(answer)));
        if (status, path) == (200, "/metrics") {
            check_names(&body);
            wait::seen(&body);
        }
        (status, body)
    }

    /// The page in OpenMetrics.
    pub fn open_metrics(&self) -> String {
        let accept = [("accept", "application/openmetrics-text; version=1.0.0")];
        let get = || ask(self.address, "GET", "/metrics", &accept).filter(|page| page.status == 200);
        let page = until("a page that is current", get).text();
        assert!(page.ends_with("# EOF\n"), "not OpenMetrics: {page}");
        page
    }

    /// Scrapes as quickly as the daemon answers, until a page is `last`; all pages, that one included.
    pub fn scrape_until(&self, what: &str, mut last: impl FnMut(&Scrape) -> bool) -> Vec<Scrape> {
        let mut scrapes = Vec::new();
        until(what, || {
            let asked = Instant::now();
            let samples = self.samples();
            let scrape = Scrape { asked, answered: Instant::now(), samples };
            let is_last = last(&scrape);
            scrapes.push(scrape);
            is_last.then_some(())
        });
        scrapes
    }

    /// `VmRSS` or `VmHWM` of the process, in MiB.
    pub fn memory_mib(&self, what: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).unwrap();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib / 1024.0
    }

    pub fn post(&self, path: &str) -> (u16, String) {
        request(self.address, "POST", path).unwrap_or_else(|| panic!("no answer to {path}:\n{}", self.log()))
    }

    /// The samples of the page, by name and labels.
    pub fn samples(&self) -> BTreeMap<String, f64> {
        samples(&self.get("/metrics").1)
    }

    /// The samples of the page; none if it is an error now.
    pub fn samples_if_any(&self) -> BTreeMap<String, f64> {
        self.try_get("/metrics")
            .filter(|(status, _)| *status == 200)
            .map(|(_, page)| samples(&page))
            .unwrap_or_default()
    }

    /// One sample of the page.
    pub fn sample(&self, name: &str) -> Option<f64> {
        self.samples().get(name).copied()
    }

    /// Waits until the durable families show exactly this. A page that is an error meanwhile is waited for.
    pub fn shows(&self, truth: &BTreeMap<String, f64>) {
        let mut wait = Wait::begin();
        let last = loop {
            let (status, page) = self.try_get("/metrics").unwrap_or_default();
            let shown = if status == 200 {
                wait::seen(&page);
                check_names(&page);
                durable(&samples(&page))
            } else {
                BTreeMap::new()
            };
            if status == 200 && shown == *truth {
                return;
            }
            if wait.is_in_vain() {
                assert!(status == 200, "no page: {status} {page}\n{}", self.log());
                break shown;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let differs: Vec<String> = truth
            .keys()
            .chain(last.keys())
            .filter(|key| truth.get(*key) != last.get(*key))
            .map(|key| format!("{key}: shown {:?}, true {:?}", last.get(key), truth.get(key)))
            .take(20)
            .collect();
        panic!("the page differs from the truth:\n{}\n{}", differs.join("\n"), self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let was_running = self.child.try_wait().is_ok_and(|ended| ended.is_none());
        let _ = self.child.kill();
        let _ = self.child.wait();
        if was_running && !std::thread::panicking() {
            self.expire_lease();
        }
    }
}

/// One page, and when it was asked for and read.
pub struct Scrape {
    pub asked: Instant,
    pub answered: Instant,
    pub samples: BTreeMap<String, f64>,
}

/// An answer with its headers, names in lower case.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    /// The answer in the bytes of a connection.
    pub fn parse(answer: &[u8]) -> Option<Self> {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&answer[..end]).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Some(Self { status, headers, body: answer[end + 4..].to_vec() })
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// A request over a connection of its own: status and body.
pub fn request(address: SocketAddr, method: &str, path: &str) -> Option<(u16, String)> {
    let reply = ask(address, method, path, &[])?;
    Some((reply.status, String::from_utf8(reply.body).ok()?))
}

/// A request with headers, over a connection of its own.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Option<Reply> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let more = headers.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect::<String>();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 0\r\n{more}\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Reply::parse(&answer)
}

/// Every metric on a text page must be in the reference, and every sample under its own metric.
pub fn check_names(page: &str) {
    static REFERENCE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let reference = REFERENCE.get_or_init(reference);
    let mut family = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap();
            assert!(reference.contains(&format!("| `{family}` |")), "{family} is not in the reference");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let suffix = name.strip_prefix(family);
            assert!(matches!(suffix, Some("" | "_bucket" | "_sum" | "_count")), "{name} under {family}");
        }
    }
}

/// The samples of a text page.
pub fn samples(page: &str) -> BTreeMap<String, f64> {
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{name} {value}"))))
        .collect()
}

/// Whether a sample belongs to a durable family.
pub fn is_durable(sample: &str) -> bool {
    Family::ALL.iter().any(|family| {
        let rest = sample.strip_prefix(family.descriptor().name);
        rest.is_some_and(|rest| ["{", "_bucket{", "_sum{", "_count{"].iter().any(|start| rest.starts_with(start)))
    })
}

/// The value of a label of a sample.
pub fn label<'s>(sample: &'s str, name: &str) -> Option<&'s str> {
    let (_, rest) = sample.split_once(&format!("{name}=\""))?;
    Some(&rest[..rest.find('"')?])
}

/// A number of things as a sample shows it.
pub fn number(things: usize) -> f64 {
    f64::from(u32::try_from(things).unwrap())
}

/// The sum of a metric over all its labels; bucket bounds are kept apart by asking for `…_count`, `…_sum`.
pub fn total(samples: &BTreeMap<String, f64>, name: &str) -> f64 {
    samples.iter().filter(|(sample, _)| sample.split('{').next() == Some(name)).map(|(_, value)| value).sum()
}

/// The samples of the durable families that are not 0, as the truth has them.
pub fn durable(samples: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    samples.iter().filter(|(name, value)| **value != 0.0 && is_durable(name)).map(|(k, v)| (k.clone(), *v)).collect()
}
