//! What a delivery costs: signed deliveries of complete sessions to the real exporter with its state on a real disk,
//! beside the same web server with less behind it, and beside a receiver in Go.
//!
//! `cargo bench --bench webhook`; behind ` -- ` may follow `quick`, and the parts to run: `deliveries`, `memory`, `syncs`,
//! `slow`. The Go program is measured where `go` is installed, calls of the system are counted where `strace` is.
//! Every receiver takes its turn in every round, so that what disturbs the machine disturbs them all; what is compared are
//! medians. Client and receivers share the processors. Each second, somebody reads `/metrics`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be set up should stop"
)]

mod deliveries;
mod receivers;
mod slow;
#[path = "../support/mod.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use simulator::{Clock as _, Simulator, SimulatorConfig, SystemClock};
use tokio_util::sync::CancellationToken;

use deliveries::{Deliveries, Load, deliver};
use receivers::{RECEIVE, Receiving, receive};
use slow::SlowSenders;

const CONNECTIONS: [usize; 3] = [1, 16, 64];
const SLOW_CONNECTIONS: u32 = 10_000;
const WARM_UP: Duration = Duration::from_millis(500);

/// How long and how often.
struct Plan {
    rounds: usize,
    measured: Duration,
    memory: Duration,
    slow: Duration,
    parts: Vec<String>,
}

impl Plan {
    fn new(arguments: &[String]) -> Self {
        let named = |name: &str| arguments.iter().any(|argument| argument == name);
        let parts = ["deliveries", "memory", "syncs", "slow"];
        let chosen: Vec<String> = parts.iter().filter(|part| named(part)).map(ToString::to_string).collect();
        let seconds = |usual, quick| Duration::from_secs(if named("quick") { quick } else { usual });
        Self {
            rounds: if named("quick") { 1 } else { 5 },
            measured: seconds(4, 2),
            memory: seconds(60, 9),
            slow: seconds(20, 8),
            parts: if chosen.is_empty() { parts.map(str::to_owned).into() } else { chosen },
        }
    }

    fn has(&self, part: &str) -> bool {
        self.parts.iter().any(|chosen| chosen == part)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, directory, ..] = arguments.as_slice()
        && flag == RECEIVE
    {
        return receive(name, Path::new(directory));
    }
    allow_files(u64::from(SLOW_CONNECTIONS) + 1_000);
    agntix_api::install_crypto_provider();
    let plan = Plan::new(&arguments);
    let directory = support::directory("webhook");
    let (_api, api) = empty_api();
    let deliveries = Arc::new(Deliveries::new());
    let ours = Receiving::exporter(&directory, api, &[]);
    wait_until_published(&ours);
    if plan.has("deliveries") {
        compare(&plan, &ours, &directory, &deliveries);
    }
    if plan.has("memory") {
        watch_memory(&plan, &ours, &deliveries);
    }
    if plan.has("slow") {
        be_slow(&plan, &ours, &directory);
    }
    drop(ours);
    if plan.has("syncs") {
        count_syncs(&plan, &directory, api, &deliveries);
    }
    std::fs::remove_dir_all(directory).unwrap();
}

/// Lets this process, and those that it starts, open so many files.
fn allow_files(count: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limit }).unwrap();
    }
}

/// An API that has no sessions, so that what is counted has come by delivery.
fn empty_api() -> (tokio::runtime::Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let start = SystemClock.now();
    let config = SimulatorConfig { until: Some(start), ..SimulatorConfig::load(start, 1.0, 1) };
    runtime.spawn(Simulator::new(config).serve(listener, CancellationToken::new()));
    (runtime, address)
}

fn wait_until_published(ours: &Receiving) {
    while sample(&ours.page(), "agntix_exporter_catching_up") != 0.0 {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The value of the sample called so, labels included.
fn sample(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(f64::NAN, |value| value.parse().unwrap())
}

fn counted(page: &str) -> f64 {
    sample(page, r#"agntix_exporter_webhook_deliveries_total{event="session.ended",outcome="counted"}"#)
}

fn commits(page: &str) -> f64 {
    sample(page, r#"agntix_exporter_state_commits_total{outcome="success"}"#)
}

/// A receiver, and what was measured of it, by number of connections.
struct Compared<'r> {
    name: &'static str,
    receiving: &'r Receiving,
    rates: [Vec<f64>; CONNECTIONS.len()],
    medians: [Vec<f64>; CONNECTIONS.len()],
    tails: [Vec<f64>; CONNECTIONS.len()],
    refused: u64,
}

fn compare(plan: &Plan, ours: &Receiving, directory: &Path, deliveries: &Arc<Deliveries>) {
    let own = |name| Receiving::own(name, directory);
    let (empty, checked, floor, go) = (own("empty"), own("checked"), own("floor"), Receiving::go(directory));
    if go.is_none() {
        println!("there is no Go here: that receiver is left out");
    }
    let named = [
        ("the same server, empty handler", Some(&empty)),
        ("+ signature and session checked", Some(&checked)),
        ("+ record appended, group fdatasync", Some(&floor)),
        ("Go net/http, checked, group fdatasync", go.as_ref()),
        ("agntix-exporter", Some(ours)),
    ];
    let mut compared: Vec<Compared<'_>> = named
        .into_iter()
        .filter_map(|(name, receiving)| {
            let receiving = receiving?;
            Some(Compared {
                name,
                receiving,
                rates: Default::default(),
                medians: Default::default(),
                tails: Default::default(),
                refused: 0,
            })
        })
        .collect();
    let before = ours.page();
    for _ in 0..plan.rounds {
        for (index, connections) in CONNECTIONS.into_iter().enumerate() {
            for compared in &mut compared {
                let mut load = measure(compared.receiving, deliveries, connections, plan.measured);
                compared.rates[index].push(load.per_second());
                compared.medians[index].push(load.percentile(500));
                compared.tails[index].push(load.percentile(990));
                compared.refused += load.refused;
            }
        }
    }
    report(&mut compared);
    let after = ours.page();
    let (counted, commits) = (counted(&after) - counted(&before), commits(&after) - commits(&before));
    println!(
        "\nagntix-exporter: {counted:.0} sessions counted, {commits:.0} commits, {:.4} a session",
        commits / counted
    );
}

/// Deliveries while `/metrics` is read each second, after a little to warm up.
fn measure(receiving: &Receiving, deliveries: &Arc<Deliveries>, connections: usize, time: Duration) -> Load {
    let over = Arc::new(AtomicBool::new(false));
    let (until, metrics) = (Arc::clone(&over), receiving.metrics);
    let scraper = std::thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            scrape(metrics);
            std::thread::park_timeout(Duration::from_secs(1));
        }
    });
    deliver(deliveries, receiving.webhook, connections, WARM_UP);
    let load = deliver(deliveries, receiving.webhook, connections, time);
    over.store(true, Ordering::Relaxed);
    scraper.thread().unpark();
    scraper.join().unwrap();
    load
}

fn report(compared: &mut [Compared<'_>]) {
    println!("\n| receiver | connections | accepted a second | p50 | p99 | refused |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (index, connections) in CONNECTIONS.into_iter().enumerate() {
        for Compared { name, rates, medians, tails, refused, .. } in compared.iter_mut() {
            let [rate, half, tail] = [rates, medians, tails].map(|samples| support::median(&mut samples[index]));
            println!("| {name} | {connections} | {rate:.0} | {half:.2} ms | {tail:.2} ms | {refused} |");
        }
    }
    let Some((ours, others)) = compared.split_last_mut() else { return };
    println!("\n| ours beside | 1 connection | 16 | 64 |");
    println!("| --- | --- | --- | --- |");
    for other in others {
        let ratio = |index: usize| support::median(&mut ours.rates[index]) / support::median(&mut other.rates[index]);
        let [one, some, many] = [0, 1, 2].map(ratio);
        println!("| {} | {one:.2} | {some:.2} | {many:.2} |", other.name);
    }
    println!("\naims at 64 connections: 0.60 of the record appended and synced, 1.2 of Go, p99 within 15 ms");
}

fn watch_memory(plan: &Plan, ours: &Receiving, deliveries: &Arc<Deliveries>) {
    const PARTS: u32 = 6;
    println!("\n| seconds of deliveries over 64 connections | sessions counted | resident memory |");
    println!("| --- | --- | --- |");
    let line = |part| {
        println!(
            "| {} | {:.0} | {:.1} MiB |",
            (plan.memory / PARTS * part).as_secs(),
            counted(&ours.page()),
            ours.memory()
        );
    };
    line(0);
    for part in 1..=PARTS {
        measure(ours, deliveries, 64, plan.memory / PARTS);
        line(part);
    }
}

/// The exporter's calls of the system, counted; they make it slower, so that nothing is timed.
fn count_syncs(plan: &Plan, directory: &Path, api: SocketAddr, deliveries: &Arc<Deliveries>) {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("\nthere is no strace here: syncs are not counted");
        return;
    }
    println!("\n| connections | sessions counted | commits a session | syncs a session |");
    println!("| --- | --- | --- | --- |");
    for connections in CONNECTIONS {
        let state = directory.join(format!("traced-{connections}"));
        std::fs::create_dir_all(&state).unwrap();
        let trace = directory.join("trace");
        let wrapper = ["strace", "-D", "-f", "-o", trace.to_str().unwrap(), "-e", "trace=fsync,fdatasync"];
        let ours = Receiving::exporter(&state, api, &wrapper);
        wait_until_published(&ours);
        let syncs = || std::fs::read_to_string(&trace).unwrap().lines().filter(|line| line.contains("sync(")).count();
        let (before, commits_before) = (syncs(), commits(&ours.page()));
        deliver(deliveries, ours.webhook, connections, plan.measured);
        let page = ours.page();
        let (counted, commits) = (counted(&page), commits(&page) - commits_before);
        #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
        let syncs = (syncs() - before) as f64;
        println!("| {connections} | {counted:.0} | {:.4} | {:.4} |", commits / counted, syncs / counted);
    }
}

/// Scrapes on their own, and while thousands are slow with their deliveries; the same with a receiver that does nothing, to
/// tell apart what the slow senders take of the processors themselves.
fn be_slow(plan: &Plan, ours: &Receiving, directory: &Path) {
    println!("\n| scrapes of | slow connections | open | opened | scrapes | p50 | p99 | worst |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let aside = Receiving::own("empty", directory);
    let mut moved = Vec::new();
    for (name, slow_to) in
        [("agntix-exporter", Some(ours.webhook)), ("agntix-exporter, slow to another process", Some(aside.webhook))]
    {
        let mut p99 = [0.0; 2];
        for (slow_to, p99) in [None, slow_to].into_iter().zip(&mut p99) {
            let senders = slow_to.map(|to| SlowSenders::start(to, SLOW_CONNECTIONS));
            if senders.is_some() {
                // Until all have been opened, and the first have had to give way.
                std::thread::sleep(Duration::from_secs(3));
            }
            let mut scrapes = Load::default();
            let began = Instant::now();
            while began.elapsed() < plan.slow {
                let took = scrape(ours.metrics);
                scrapes.latencies.push(u32::try_from(took.as_micros()).unwrap());
                std::thread::sleep(Duration::from_millis(10));
            }
            let (open, opened) = senders.as_ref().map_or((0, 0), SlowSenders::counts);
            *p99 = scrapes.percentile(990);
            println!(
                "| {name} | {} | {open} | {opened} | {} | {:.2} ms | {:.2} ms | {:.2} ms |",
                if senders.is_some() { SLOW_CONNECTIONS } else { 0 },
                scrapes.latencies.len(),
                scrapes.percentile(500),
                *p99,
                scrapes.percentile(1000)
            );
        }
        moved.push(format!("{name}: the p99 is {:.2} times what it was before (aim: 1.5)", p99[1] / p99[0]));
    }
    println!("\n{}", moved.join("\n"));
}

/// Reads the page in gzip over a connection of its own.
fn scrape(metrics: SocketAddr) -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(metrics).unwrap();
    let request =
        format!("GET /metrics HTTP/1.1\r\nhost: {metrics}\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    began.elapsed()
}
