//! What a scrape costs over loopback: the exporter's own web server with 100,000 series, beside the same server giving
//! the same bytes from memory, and beside the stock encoders.
//!
//! `cargo bench --bench scrape`; with `python3` and its package `prometheus_client` that peer is measured as well.
//! Every kind of scrape takes its turn in every round, so that what disturbs the machine disturbs them all; what is
//! compared are medians. Client and server share the processors.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot be set up should stop")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agntix_exporter::catalogue::{ExporterMetrics, Exposition, Family, SeriesKey, SeriesState, buckets};
use agntix_exporter::clock::SystemClock;
use agntix_exporter::config::{MetricsConfig, WebConfig};
use agntix_exporter::status::Status;
use agntix_exporter::web::{self, WebState};
use axum::Router;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::routing::get;
use bytes::Bytes;
use exporter_web::{Server, WebConfigFile};
use exposition::negotiation::{Encoding, Format};
use exposition::{BucketSchemaId, LabelSet};
use prometheus::Encoder as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const SERIES: u64 = 100_000;
const ROUNDS: usize = 31;
/// Rounds in which the slow peers take part.
const SLOW_ROUNDS: usize = 3;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let exposition = Arc::new(exposition());
    let page = |encoding| Bytes::from(exposition.page(Format::Text, encoding, Instant::now()).unwrap().to_vec());
    let (plain, gzip) = (page(Encoding::Identity), page(Encoding::Gzip));
    println!("{SERIES} series, {} bytes, {} in gzip, over loopback", plain.len(), gzip.len());

    let listener = |runtime: &tokio::runtime::Runtime| {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        (listener.local_addr().unwrap(), listener)
    };
    let (exporter, socket) = listener(&runtime);
    let (reload, _) = tokio::sync::mpsc::channel(1);
    let (status, clock) = (Arc::new(Status::default()), Arc::new(SystemClock));
    let state = WebState {
        exposition: Arc::clone(&exposition),
        recent: Arc::default(),
        status,
        reload,
        clock,
        security: Arc::new(WebConfigFile::none()),
        replica: None,
    };
    let routes = web::router(state, &WebConfig::default()).unwrap();
    runtime.spawn(Server::new(routes).serve([socket], CancellationToken::new()));
    let (peers, socket) = listener(&runtime);
    runtime.spawn(Server::new(peer_routes(plain, gzip)).serve([socket], CancellationToken::new()));

    // A measurement ends with the comparison: which of the earlier ones is its floor, and the aim.
    let mut measured = vec![
        Measured::new("static bytes", Scrape::plain(peers, "/static")),
        Measured::new("static gzip", Scrape::gzip(peers, "/static-gzip")),
        Measured::new("changed", Scrape::plain(exporter, "/metrics").changed()).beside(0, Some(1.3)),
        Measured::new("unchanged", Scrape::plain(exporter, "/metrics")).beside(0, Some(1.3)),
        Measured::new("changed, OpenMetrics", Scrape::plain(exporter, "/metrics").open_metrics().changed())
            .beside(0, None),
        Measured::new("changed, gzip", Scrape::gzip(exporter, "/metrics").changed()).beside(1, None),
        Measured::new("unchanged, gzip", Scrape::gzip(exporter, "/metrics")).beside(1, Some(1.5)),
        Measured::new("prometheus, stock encoder", Scrape::plain(peers, "/prometheus").slow()).beside(0, None),
        Measured::new("prometheus-client", Scrape::plain(peers, "/prometheus-client").slow()).beside(0, None),
    ];
    let python = Python::start();
    match &python {
        Some(python) => {
            let scrape = Scrape::plain(python.address, "/metrics").slow();
            measured.push(Measured::new("Python's prometheus_client", scrape).beside(0, None));
        }
        None => println!("python3 has no package prometheus_client here: that peer is left out"),
    }

    for keep_alive in [false, true] {
        for round in 0..ROUNDS {
            for Measured { scrape, samples, .. } in &mut measured {
                // A server of another make closes the connection after each answer.
                if scrape.slow && (round >= SLOW_ROUNDS || keep_alive) {
                    continue;
                }
                if scrape.changed {
                    exposition.apply(&[state_of(0, 1_000_000 + round as u64)], Vec::new());
                }
                samples.push(scrape.time(keep_alive));
            }
        }
        report(&mut measured, keep_alive);
    }
}

fn report(measured: &mut [Measured], keep_alive: bool) {
    println!("\n{}", if keep_alive { "over one connection" } else { "a connection a scrape" });
    let mut medians = Vec::new();
    for Measured { name, samples, floor, aim, .. } in measured {
        if samples.is_empty() {
            continue;
        }
        let median = support::median(samples);
        medians.push(median);
        let ratio = floor.map(|floor| format!("{:6.2} times {}", median / medians[floor], ["plain", "gzip"][floor]));
        let aim = aim.map(|aim| format!("(aim: {aim})"));
        println!("  {name:28} {median:8.2} ms {} {}", ratio.unwrap_or_default(), aim.unwrap_or_default());
        samples.clear();
    }
}

/// One kind of scrape, and how long it took.
struct Measured {
    name: &'static str,
    scrape: Scrape,
    samples: Vec<f64>,
    floor: Option<usize>,
    aim: Option<f64>,
}

impl Measured {
    fn new(name: &'static str, scrape: Scrape) -> Self {
        Self { name, scrape, samples: Vec::new(), floor: None, aim: None }
    }

    fn beside(self, floor: usize, aim: Option<f64>) -> Self {
        Self { floor: Some(floor), aim, ..self }
    }
}

/// A client that reads an answer and throws it away.
struct Scrape {
    server: SocketAddr,
    request: String,
    /// The page is another one each time.
    changed: bool,
    slow: bool,
    connection: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Scrape {
    fn plain(server: SocketAddr, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {server}\r\n");
        Self { server, request, changed: false, slow: false, connection: None, buffer: vec![0; 1 << 20] }
    }

    fn gzip(server: SocketAddr, path: &str) -> Self {
        let plain = Self::plain(server, path);
        Self { request: plain.request + "accept-encoding: gzip\r\n", ..plain }
    }

    fn open_metrics(self) -> Self {
        Self { request: self.request + "accept: application/openmetrics-text; version=1.0.0\r\n", ..self }
    }

    fn changed(self) -> Self {
        Self { changed: true, ..self }
    }

    fn slow(self) -> Self {
        Self { slow: true, ..self }
    }

    /// Milliseconds from connecting, or sending, to the last byte.
    fn time(&mut self, keep_alive: bool) -> f64 {
        if keep_alive && self.connection.is_none() {
            // The first scrape over it pays for its slow start.
            self.scrape(true);
        }
        let began = Instant::now();
        self.scrape(keep_alive);
        began.elapsed().as_secs_f64() * 1e3
    }

    fn scrape(&mut self, keep_alive: bool) {
        let mut stream = self.connection.take().unwrap_or_else(|| TcpStream::connect(self.server).unwrap());
        stream.set_nodelay(true).unwrap();
        stream.write_all(format!("{}\r\n", self.request).as_bytes()).unwrap();
        let mut read = 0;
        let mut left = loop {
            let more = stream.read(&mut self.buffer[read..]).unwrap();
            assert!(more > 0, "the connection was closed");
            read += more;
            if let Some(head) = self.buffer[..read].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let length = content_length(std::str::from_utf8(&self.buffer[..head]).unwrap());
                break length.map(|length| length + head + 4 - read);
            }
        };
        while left != Some(0) {
            let more = stream.read(&mut self.buffer).unwrap();
            if more == 0 {
                assert!(left.is_none(), "the answer was cut short");
                break;
            }
            left = left.map(|left| left - more);
        }
        self.connection = keep_alive.then_some(stream);
    }
}

/// The length of the answer; `None` where its end is the connection's.
fn content_length(head: &str) -> Option<usize> {
    assert!(head.contains(" 200 "), "{head}");
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, n)| n.parse().unwrap()).next()
}

fn labels(n: u64) -> [String; 6] {
    let of = |choices: [&str; 3], by: u64| choices[usize::try_from(n / by % 3).unwrap()].to_owned();
    [
        format!("agent_{:08x}", n / 81),
        of(["voice", "chat", "email"], 1),
        of(["phone", "web", "whatsapp"], 3),
        "inbound".to_owned(),
        of(["resolved", "unresolved", "partially_resolved"], 9),
        of(["positive", "neutral", "negative"], 27),
    ]
}

fn state_of(n: u64, value: u64) -> SeriesState {
    let labels = labels(n);
    SeriesState {
        key: SeriesKey {
            family: Family::Outcomes,
            labels: LabelSet::new(Family::Outcomes.descriptor().labels, labels.iter().map(String::as_str)),
        },
        schema: BucketSchemaId::NONE,
        created_ms: 1_775_624_410_546,
        counts: Box::new([value]),
        held_counts: None,
    }
}

fn exposition() -> Exposition {
    let schemas = Arc::new(buckets::schemas(&MetricsConfig::default()));
    let exposition = ExporterMetrics::new().unwrap().exposition(schemas);
    let states: Vec<_> = (0..SERIES).map(|n| state_of(n, n * 37)).collect();
    exposition.apply(&states, Vec::new());
    exposition.publish();
    exposition
}

/// The page as bytes that are there, and the same series in the stock registries.
fn peer_routes(plain: Bytes, gzip: Bytes) -> Router {
    let text = Format::Text.content_type();
    let registry = prometheus::Registry::new();
    let descriptor = Family::Outcomes.descriptor();
    let counters =
        prometheus::IntCounterVec::new(prometheus::Opts::new(descriptor.name, descriptor.help), descriptor.labels);
    let counters = counters.unwrap();
    registry.register(Box::new(counters.clone())).unwrap();
    let mut client_registry = prometheus_client::registry::Registry::default();
    let family = prometheus_client::metrics::family::Family::<
        Vec<(&'static str, String)>,
        prometheus_client::metrics::counter::Counter,
    >::default();
    client_registry.register("agntix_session_outcomes", descriptor.help, family.clone());
    for n in 0..SERIES {
        counters.with_label_values(&labels(n)).inc_by(n * 37);
        family.get_or_create(&descriptor.labels.iter().copied().zip(labels(n)).collect()).inc_by(n * 37);
    }
    let client_registry = Arc::new(client_registry);
    Router::new()
        .route("/static", get(async move || ([(CONTENT_TYPE, text)], plain)))
        .route("/static-gzip", get(async move || ([(CONTENT_TYPE, text), (CONTENT_ENCODING, "gzip")], gzip)))
        .route(
            "/prometheus",
            get(async move || {
                let mut page = Vec::new();
                prometheus::TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
                ([(CONTENT_TYPE, text)], page)
            }),
        )
        .route(
            "/prometheus-client",
            get(async move || {
                let mut page = String::new();
                prometheus_client::encoding::text::encode(&mut page, &client_registry).unwrap();
                ([(CONTENT_TYPE, Format::OpenMetrics.content_type())], page)
            }),
        )
}

/// The peer in Python, where it can be had.
struct Python {
    child: Child,
    address: SocketAddr,
}

impl Python {
    fn start() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/client_python.py");
        let mut command = Command::new("python3");
        command.args([script, &SERIES.to_string()]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let mut port = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut port).ok()?;
        // Without its package it ends without a word.
        let port = port.trim().parse().ok()?;
        std::thread::sleep(Duration::from_millis(200));
        Some(Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)) })
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
