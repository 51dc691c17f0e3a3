//! Scrapes by well-behaved and other clients: they do not stop each other, and all of them read the same page.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use simulator::{Clock as _, SimulatorConfig, SystemClock};

use crate::support::{Api, Daemon, Reply, Setup, allow_files, ask, until};

/// A daemon that has counted everything there is, and that looks for more once in an hour.
fn settled(sessions: u64, change: impl FnOnce(Setup) -> Setup) -> (Api, Daemon, tempfile::TempDir) {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let api = Api::start(SimulatorConfig { list_analysis: true, ..SimulatorConfig::load(start, 10.0, sessions) });
    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state")).set("POLL__LISTING_INTERVAL", "1h");
    let daemon = change(setup).start();
    daemon.shows(&api.truth());
    (api, daemon, state)
}

fn scrape(address: SocketAddr, headers: &[(&str, &str)]) -> Reply {
    ask(address, "GET", "/metrics", headers).unwrap()
}

/// The page without what changes from scrape to scrape: the samples of the process and of the exporter itself.
fn lasting(page: &[u8]) -> Vec<String> {
    let own = |line: &&str| !line.starts_with("process_") && !line.starts_with("agntix_exporter_");
    std::str::from_utf8(page).unwrap().lines().filter(own).map(str::to_owned).collect()
}

/// Connections over which no whole request will ever come.
fn half_open(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let open = |number| {
        let mut stream = TcpStream::connect(address).unwrap();
        // Some say nothing, others a part of their headers. One that was closed meanwhile makes room for others.
        let _ = stream.write_all(if number % 2 == 0 { b"" } else { b"GET /metrics HTTP/1.1\r\nhost: x\r\n" });
        stream
    };
    (0..count).map(open).collect()
}

#[test]
fn ten_thousand_half_open_connections_neither_stop_a_scrape_nor_stay() {
    const MANY: usize = 10_000;
    const THREADS: usize = 20;
    allow_files(MANY as u64 + 1_000);
    let (_api, daemon, _state) = settled(200, |setup| setup.set("WEB__HEADER_TIMEOUT", "3s"));
    let open_files = || daemon.samples()["process_open_fds"];
    let before = open_files();
    let mut slowest = Duration::ZERO;
    let mut idle: Vec<TcpStream> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| half_open(daemon.address, MANY / THREADS))).collect();
        while clients.iter().any(|client| !client.is_finished()) {
            let began = Instant::now();
            assert_eq!(daemon.get("/metrics").0, 200);
            slowest = slowest.max(began.elapsed());
        }
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(idle.len(), MANY);
    assert!(slowest < Duration::from_secs(3), "a scrape took {slowest:?}");
    assert!(open_files() > before + 100.0, "the connections were not there");
    let opened = Instant::now();
    until("the connections to be closed", || (open_files() < before + 50.0).then_some(()));
    assert!(opened.elapsed() < Duration::from_secs(15), "they stayed for {:?}", opened.elapsed());
    // The clients see the end, too.
    let last = idle.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut rest = Vec::new();
    let ended = last.read_to_end(&mut rest);
    assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_client_that_reads_a_byte_a_second_delays_nobody_and_is_cut_off() {
    let (_api, daemon, _state) = settled(2_000, |setup| setup.set("WEB__WRITE_TIMEOUT", "4s"));
    let page = daemon.get("/metrics").1.len();
    // It asks for more than all buffers between the two hold.
    let requests = 40_000_000 / page;
    let mut slow: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(daemon.address).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            let request = b"GET /metrics HTTP/1.1\r\nhost: slow\r\n\r\n".repeat(requests);
            // What does not fit any more is enough.
            let _ = stream.write_all(&request);
            stream
        })
        .collect();
    let began = Instant::now();
    let mut next_byte = began;
    let mut byte = [0];
    while began.elapsed() < Duration::from_secs(3) {
        if Instant::now() >= next_byte {
            next_byte += Duration::from_secs(1);
            for stream in &mut slow {
                assert_eq!(stream.read(&mut byte).unwrap(), 1);
            }
        }
        let asked = Instant::now();
        assert_eq!(daemon.get("/metrics").0, 200);
        // Whoever is held up by them waits for their time-out, which is longer.
        assert!(asked.elapsed() < Duration::from_secs(3), "a scrape took {:?}", asked.elapsed());
    }
    // They are disconnected in the end: what they still get ends.
    for stream in &mut slow {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut got = 0;
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            got += read;
            // A slow reader goes on slowly.
            if got < 1 << 17 {
                std::thread::sleep(Duration::from_millis(2_500));
            }
        }
        assert!(got < requests * page, "it got all {got} bytes");
    }
}

#[test]
fn every_format_and_compression_is_the_same_page() {
    let (_api, daemon, _state) = settled(500, |setup| setup);
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = "text/plain; version=0.0.4; charset=utf-8";
    for (accept, content_type) in [
        ("", text),
        ("*/*", text),
        ("image/png", text),
        ("application/x-nothing;q=0.9, garbage, ;;;", text),
        ("application/openmetrics-text; version=0.0.1", text),
        ("application/openmetrics-text; version=1.0.0", open_metrics),
    ] {
        let plain = scrape(daemon.address, &[("accept", accept)]);
        assert_eq!((plain.status, plain.header("content-type")), (200, Some(content_type)), "{accept}");
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.header("content-length"), Some(plain.body.len().to_string().as_str()));
        let expected = lasting(&plain.body);
        assert!(expected.len() > 1_000);

        let gzip = scrape(daemon.address, &[("accept", accept), ("accept-encoding", "gzip")]);
        assert_eq!((gzip.header("content-encoding"), gzip.header("content-type")), (Some("gzip"), Some(content_type)));
        let mut decoded = Vec::new();
        flate2::read::MultiGzDecoder::new(&gzip.body[..]).read_to_end(&mut decoded).unwrap();
        assert_eq!(lasting(&decoded), expected);

        let zstd = scrape(daemon.address, &[("accept", accept), ("accept-encoding", "gzip;q=0.5, zstd")]);
        assert_eq!((zstd.header("content-encoding"), zstd.header("content-type")), (Some("zstd"), Some(content_type)));
        assert_eq!(lasting(&zstd::decode_all(&zstd.body[..]).unwrap()), expected);
        assert!(gzip.body.len() * 5 < plain.body.len() && zstd.body.len() * 5 < plain.body.len());

        let head = ask(daemon.address, "HEAD", "/metrics", &[("accept", accept)]).unwrap();
        assert_eq!((head.status, head.header("content-type"), head.body.len()), (200, Some(content_type), 0));
        let length: f64 = head.header("content-length").unwrap().parse().unwrap();
        assert!((length - f64::from(u32::try_from(plain.body.len()).unwrap())).abs() < 500.0);
    }
}

#[test]
fn protobuf_is_for_those_who_ask_for_it_and_the_same_in_every_compression() {
    let (_api, daemon, _state) = settled(500, |setup| setup);
    let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    // As Prometheus 3 sends it.
    let accept =
        format!("{};escaping=allow-utf-8;q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", protobuf.replace("; ", ";"));
    let page = |encoding| {
        let headers = [("accept", &*accept), ("accept-encoding", encoding)];
        // Without what is of the process, which changes from scrape to scrape.
        let reply = ask(daemon.address, "GET", "/metrics?collect[]=sessions", &headers).unwrap();
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(protobuf)));
        let mut page = Vec::new();
        match encoding {
            "gzip" => drop(flate2::read::MultiGzDecoder::new(&reply.body[..]).read_to_end(&mut page).unwrap()),
            "zstd" => page = zstd::decode_all(&reply.body[..]).unwrap(),
            _ => page = reply.body,
        }
        page
    };
    // A gauge may change in between.
    let page = until("the same page three times", || {
        let [plain, gzip, zstd] = ["identity", "gzip", "zstd"].map(page);
        (plain == gzip && plain == zstd).then_some(plain)
    });
    let has = |wanted: &[u8]| page.windows(wanted.len()).any(|window| window == wanted);
    assert!(page.len() > 10_000 && has(b"\x0a\x08agent_id\x12") && has(b"agntix_session_outcomes_total"));
    for encoding in ["text", "compact-text"] {
        let accept = protobuf.replace("delimited", encoding);
        let reply = scrape(daemon.address, &[("accept", &*accept)]);
        assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"), "{encoding}");
    }
}

#[test]
fn sixty_scrapes_at_once_are_answered_or_told_to_come_back() {
    let (_api, daemon, _state) = settled(500, |setup| setup.set("WEB__MAX_REQUESTS", "2"));
    let address = daemon.address;
    let (mut served, mut refused) = (0, 0);
    until("both kinds of answers", || {
        let barrier = std::sync::Barrier::new(60);
        let replies: Vec<Reply> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..60)
                .map(|number| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        let encoding = ["identity", "gzip", "zstd"][number % 3];
                        barrier.wait();
                        scrape(address, &[("accept-encoding", encoding)])
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        for reply in replies {
            match reply.status {
                200 => {
                    served += 1;
                    assert!(reply.body.len() > 1_000);
                }
                503 => {
                    refused += 1;
                    assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
                }
                other => panic!("{other}"),
            }
        }
        (served > 0 && refused > 0).then_some(())
    });
    assert_eq!(daemon.get("/metrics").0, 200);
}

const WITH_EXEMPLARS: [&str; 3] = [
    "agntix_session_duration_seconds_bucket",
    "agntix_session_outcomes_total",
    "agntix_session_sentiment_score_bucket",
];

#[test]
fn exemplars_name_real_sessions() {
    let (api, daemon, _state) = settled(500, |setup| setup);
    let ids: HashSet<String> = api.sessions().into_iter().map(|session| session.id).collect();
    // Not before the series are released: what is held names nobody.
    let page = until("exemplars", || {
        let page = daemon.open_metrics();
        let has = |family: &&str| page.lines().any(|line| line.starts_with(*family) && line.contains(" # {"));
        WITH_EXEMPLARS.iter().all(has).then_some(page)
    });
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for line in page.lines() {
        let Some((sample, exemplar)) = line.split_once(" # ") else { continue };
        if line.starts_with('#') {
            continue;
        }
        let (labels, rest) = exemplar.strip_prefix('{').unwrap().split_once('}').unwrap();
        let id = labels.strip_prefix("session_id=\"").unwrap().strip_suffix('"').unwrap();
        assert!(ids.contains(id), "{id} is no session");
        assert!("session_id".len() + id.chars().count() <= 128);
        let numbers: Vec<f64> = rest.split_whitespace().map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 2, "value and time: {line}");
        // The time is that of the session's end.
        let session = api.simulator.session(id, api.simulator.now()).unwrap();
        assert!((numbers[1] - session.ended.as_seconds_f64()).abs() < 0.001, "{line}");
        *found.entry(sample.split('{').next().unwrap()).or_default() += 1;
    }
    let names: Vec<&str> = found.keys().copied().collect();
    assert_eq!(names, WITH_EXEMPLARS);
    assert!(!daemon.get("/metrics").1.contains(" # {session_id=\""), "text 0.0.4 has no exemplars");
}
