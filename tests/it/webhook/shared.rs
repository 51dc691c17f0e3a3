//! Scrapes and deliveries on one listener, which is the default: whatever strangers do there, scrapes get through. A scrape
//! may be repeated once, as Go's client does it when a kept connection was closed.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::delivery::{Sent, session};
use super::{no_sessions, receiving, shows};
use crate::support::{Daemon, Reply, Setup, allow_files};

/// What one of the strangers does with its connection, again and again.
#[derive(Clone, Copy, Debug)]
enum Stranger {
    /// Sends the head of a delivery and a part of its body.
    HalfBody,
    /// The same, and goes on byte by byte.
    SlowBody,
    /// Sends half a head, or nothing.
    HalfHead,
    /// Asks for the page many times at once, and reads nothing.
    Pipelines,
    /// Scrapes once, and stays.
    ScrapesOnce,
}

const ALL: [Stranger; 10] = [
    Stranger::HalfBody,
    Stranger::SlowBody,
    Stranger::HalfHead,
    Stranger::Pipelines,
    Stranger::HalfBody,
    Stranger::ScrapesOnce,
    Stranger::HalfBody,
    Stranger::SlowBody,
    Stranger::HalfHead,
    Stranger::HalfBody,
];

impl Stranger {
    fn connect(self, address: SocketAddr) -> Option<TcpStream> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10)).ok()?;
        stream.set_write_timeout(Some(Duration::from_millis(10))).ok()?;
        let scrape: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: t\r\n\r\n";
        let sent = match self {
            Self::HalfBody | Self::SlowBody => {
                b"POST /webhooks/agntix HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 10000\r\n\r\n{".to_vec()
            }
            Self::HalfHead => scrape[..20].to_vec(),
            Self::Pipelines => scrape.repeat(500),
            Self::ScrapesOnce => scrape.to_vec(),
        };
        // What does not fit, or comes too late, is enough.
        let _ = stream.write_all(&sent);
        stream.set_nonblocking(true).ok()?;
        Some(stream)
    }

    /// Whether the connection is still there, once more has been sent.
    fn goes_on(self, stream: &mut TcpStream) -> bool {
        let is_blocked = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        match self {
            Self::SlowBody => stream.write(b" ").map_or_else(is_blocked, |_| true),
            Self::Pipelines => stream.peek(&mut [0]).map_or_else(is_blocked, |peeked| peeked > 0),
            Self::ScrapesOnce => stream.read(&mut [0; 4096]).map_or_else(is_blocked, |read| read > 0),
            Self::HalfBody | Self::HalfHead => stream.read(&mut [0]).map_or_else(is_blocked, |read| read > 0),
        }
    }
}

/// A client as Prometheus is: one request at a time, over a connection that it keeps where it may.
#[derive(Default)]
struct Scraper {
    kept: Option<TcpStream>,
}

impl Scraper {
    /// One attempt.
    fn attempt(&mut self, address: SocketAddr, keep: bool) -> Option<()> {
        let mut stream = match self.kept.take() {
            Some(stream) => stream,
            None => TcpStream::connect_timeout(&address, Duration::from_secs(10)).ok()?,
        };
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: t\r\n\r\n").ok()?;
        let (mut answer, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        let reply = loop {
            let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
            answer.extend_from_slice(&buffer[..read]);
            let Some(reply) = Reply::parse(&answer) else { continue };
            let length: usize = reply.header("content-length").unwrap().parse().unwrap();
            if reply.body.len() >= length {
                break reply;
            }
        };
        if reply.status != 200 {
            // Told to come back in a second.
            assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
            std::thread::sleep(Duration::from_secs(1));
            return None;
        }
        self.kept = keep.then_some(stream);
        Some(())
    }

    /// With one retry, over a new connection.
    fn scrape(&mut self, address: SocketAddr, keep: bool) -> bool {
        self.attempt(address, keep).or_else(|| self.attempt(address, keep)).is_some()
    }
}

/// A daemon that takes deliveries beside everything else, and may open 1,024 files.
fn shared() -> (crate::support::Api, tempfile::TempDir, Daemon) {
    let (api, state) = (no_sessions(), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &state.path().join("state")).set("SESSIONS__LOOK_BACK_DEADLINE", "0s");
    let limited = ["/bin/sh", "-c", "ulimit -n 1024 && exec \"$0\" \"$@\""];
    let daemon = receiving(setup, None).through(&limited).start();
    (api, state, daemon)
}

struct Load {
    strangers: usize,
    /// Each kind as often as it is here.
    kinds: &'static [Stranger],
    /// So many over a kept connection, and so many over new ones.
    scrapes: usize,
}

/// Scrapes under load: how many failed even when repeated, and how long the slowest took, over a kept connection and over
/// new ones.
fn scrape_under(load: &Load, daemon: &Daemon) -> [(usize, Duration); 2] {
    const THREADS: usize = 8;
    const MOST_CONNECTIONS: usize = 200_000;
    let (over, connected, address) = (AtomicBool::new(false), AtomicUsize::new(0), daemon.address);
    let is_over = || over.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (is_over, connected) = (&is_over, &connected);
            scope.spawn(move || {
                let mut strangers: Vec<(Stranger, Option<TcpStream>)> = (0..load.strangers / THREADS)
                    .map(|number| (load.kinds[(thread + number) % load.kinds.len()], None))
                    .collect();
                while !is_over() {
                    for (stranger, stream) in &mut strangers {
                        let is_there = stream.as_mut().is_some_and(|stream| stranger.goes_on(stream));
                        if !is_there && connected.fetch_add(1, Ordering::Relaxed) < MOST_CONNECTIONS {
                            *stream = stranger.connect(address);
                        }
                        if is_over() {
                            return;
                        }
                    }
                    // Spares the processor; the strangers that are there stay.
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        let scrapers = [true, false].map(|keep| {
            scope.spawn(move || {
                let (mut scraper, mut failed, mut slowest) = (Scraper::default(), 0, Duration::ZERO);
                for _ in 0..load.scrapes {
                    let began = Instant::now();
                    failed += usize::from(!scraper.scrape(address, keep));
                    slowest = slowest.max(began.elapsed());
                    // Prometheus does not scrape without a pause either.
                    std::thread::sleep(Duration::from_millis(100));
                }
                (failed, slowest)
            })
        });
        let results = scrapers.map(|scraper| scraper.join().unwrap());
        over.store(true, Ordering::Relaxed);
        results
    })
}

fn no_scrape_fails_under(load: &Load) {
    allow_files(load.strangers as u64 + 2_000);
    let (_api, _state, daemon) = shared();
    let [kept, new] = scrape_under(load, &daemon);
    println!("{} strangers, {} scrapes each: {kept:?} kept, {new:?} new", load.strangers, load.scrapes);
    assert_eq!((kept.0, new.0), (0, 0), "{kept:?} {new:?}\n{}", daemon.log());
    assert_eq!(daemon.lines_with("connections cannot be accepted"), 0, "{}", daemon.log());
    // It takes deliveries as before.
    let reply = Sent::new(session("session.ended", "s-1", true)).send(daemon.address);
    assert_eq!(reply.status, 200, "{reply:?}");
    shows(&daemon, "agntix_session_outcomes_total", 1.0);
}

#[test]
fn no_scrape_fails_beside_a_thousand_strangers_of_every_kind() {
    no_scrape_fails_under(&Load { strangers: 1_000, kinds: &ALL, scrapes: 10 });
}

/// Run with `cargo nextest run --run-ignored only no_scrape_fails_beside_ten_thousand`; it takes a few minutes.
#[test]
#[ignore = "a load test: 10,000 connections for minutes"]
fn no_scrape_fails_beside_ten_thousand_strangers_of_every_kind() {
    no_scrape_fails_under(&Load { strangers: 10_000, kinds: &ALL, scrapes: 150 });
}

/// Run with `cargo nextest run --run-ignored only no_scrape_fails_beside_two_thousand`; it takes a few minutes.
#[test]
#[ignore = "a load test: 2,000 connections for minutes"]
fn no_scrape_fails_beside_two_thousand_that_pipeline_and_do_not_read() {
    no_scrape_fails_under(&Load { strangers: 2_000, kinds: &[Stranger::Pipelines], scrapes: 150 });
}
