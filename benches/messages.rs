//! What reading messages costs: how late sessions are counted, and how many requests each takes, with messages and without.
//!
//! `cargo bench --bench messages [-- rounds]`, three rounds by default, which take a good twenty minutes. Real time on loopback: the
//! daemon with messages and the one without take turns, each beside a simulator of its own with the same sessions, so that whatever else
//! the machine does hits both. A session's delay is the time from the moment at which the API has it whole (ended, with its analysis)
//! until it is counted and durable. A run is longer than the window of the request budget, which both need to reach.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot be set up should stop")]

mod support;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agntix_exporter::api;
use agntix_exporter::config::Config;
use agntix_exporter::ledger::{Change, Commit, CommitOutcome, Ledger};
use simulator::{Clock as _, DEFAULT_KEY, MessageShares, Route, Simulator, SimulatorConfig, SystemClock, Timestamp};
use support::daemon::{Daemon, threads};
use tokio_util::sync::CancellationToken;

/// For so long a daemon runs, and from then on sessions are measured.
const RUN: Duration = Duration::from_secs(100);
const WARM_UP: Duration = Duration::from_secs(40);
/// The vendor's largest rate limit, requests a minute, of which the exporter takes half.
const LIMIT: u32 = 3_000;
/// By so much the delay's 99th percentile may grow with messages.
const AIM: f64 = 1.05;

struct Scenario {
    what: &'static str,
    list_analysis: bool,
    sessions_a_second: f64,
}

const SCENARIOS: [Scenario; 2] = [
    Scenario {
        what: "the listing carries the analysis, and the budget is enough",
        list_analysis: true,
        sessions_a_second: 10.0,
    },
    Scenario { what: "a request a session, and the budget is short", list_analysis: false, sessions_a_second: 12.0 },
];

fn main() {
    agntix_api::install_crypto_provider();
    let rounds = std::env::args().find_map(|argument| argument.parse::<usize>().ok()).unwrap_or(3);
    for scenario in &SCENARIOS {
        println!("\n{}: {} sessions/s, {rounds} rounds", scenario.what, scenario.sessions_a_second);
        let mut sides = [Run::default(), Run::default()];
        for round in 0..rounds {
            let mut shown = String::new();
            // Who goes first changes with each round.
            for side in [round % 2, 1 - round % 2] {
                let mut run = scenario.run(round as u64, side == 1);
                let _ = write!(
                    shown,
                    "  {} messages: p50 {:.0} ms, p99 {:.0} ms",
                    ["without", "with"][side],
                    percentile(&mut run.delays, 0.5),
                    percentile(&mut run.delays, 0.99)
                );
                sides[side].add(run);
            }
            println!("  round {}:{}", round + 1, shown);
        }
        let [without, with] = &mut sides;
        for (name, run) in [("without", &mut *without), ("with", &mut *with)] {
            println!(
                "  {name} messages: {} sessions counted, delay p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms; {:.3} requests a session, \
                 {:.3} of them for messages; messages of {:.0} % of the sessions counted",
                run.delays.len(),
                percentile(&mut run.delays, 0.5),
                percentile(&mut run.delays, 0.99),
                percentile(&mut run.delays, 1.0),
                run.requests / run.counted,
                run.for_messages / run.counted,
                run.read / run.counted * 100.0
            );
        }
        let ratio = percentile(&mut with.delays, 0.99) / percentile(&mut without.delays, 0.99);
        println!(
            "  p99 with messages is {ratio:.3} of that without; aim: at most {AIM}, {}",
            if ratio <= AIM { "met" } else { "missed" }
        );
    }
}

/// What a daemon has shown.
#[derive(Default)]
struct Run {
    /// Milliseconds.
    delays: Vec<f64>,
    counted: f64,
    requests: f64,
    for_messages: f64,
    /// Sessions whose messages were counted.
    read: f64,
}

impl Run {
    fn add(&mut self, other: Self) {
        self.delays.extend(other.delays);
        self.counted += other.counted;
        self.requests += other.requests;
        self.for_messages += other.for_messages;
        self.read += other.read;
    }
}

impl Scenario {
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
    fn run(&self, seed: u64, with_messages: bool) -> Run {
        let start = SystemClock.now();
        let simulator = Simulator::new(self.simulated(seed, start));
        let (runtime, stop) = (threads("simulator"), CancellationToken::new());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let mut config = Config::default();
        config.api.base_url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(Arc::clone(&simulator).serve(listener, stop.clone()));
        config.state.path = support::directory("messages");
        config.messages.enabled = with_messages;
        // As often as the budget is asked for anything else, so that little hides what messages take.
        config.poll.listing_interval = Duration::from_secs(1);
        let client = api::client(&config.api, Some(&DEFAULT_KEY.into())).unwrap();
        let (daemon_runtime, noted) = (threads("daemon"), Arc::new(Noted::default()));
        let noting = Arc::clone(&noted);
        let daemon =
            Daemon::start(&config, client, &daemon_runtime, |ledger| Arc::new(Noting { ledger, noted: noting }));
        std::thread::sleep(RUN);
        let end = SystemClock.now();
        // What was whole by then is counted soon after; nothing is measured that was not.
        std::thread::sleep(Duration::from_secs(5));
        daemon.stop(&daemon_runtime);
        let counted = noted.counted.lock().unwrap();
        let whole = simulator.sessions(start, end).into_iter().filter_map(|session| {
            let whole = session.whole_at().filter(|whole| *whole > start.plus(WARM_UP) && *whole < end)?;
            let at = counted.get(session.id.as_str()).copied();
            // One that was never counted counts as if it had been just now.
            let at = at.unwrap_or_else(|| end.plus(Duration::from_secs(5)).as_millis());
            Some((at - whole.as_millis()) as f64)
        });
        let delays = whole.collect();
        let requests = simulator.requests();
        let run = Run {
            delays,
            counted: counted.len() as f64,
            requests: requests.len() as f64,
            for_messages: requests.iter().filter(|request| request.route == Route::Messages).count() as f64,
            read: *noted.read.lock().unwrap() as f64,
        };
        stop.cancel();
        std::fs::remove_dir_all(&config.state.path).unwrap();
        run
    }

    fn simulated(&self, seed: u64, start: Timestamp) -> SimulatorConfig {
        // Short ones, so that the end of each is on the page that the listing is read from.
        let load = SimulatorConfig::load(start, self.sessions_a_second, 1_000_000);
        SimulatorConfig {
            seed,
            list_analysis: self.list_analysis,
            missing_part_share: 0.0,
            // It is there with the end, so that no wait until a session is asked for again hides the rest.
            analysis_delay: (Duration::ZERO, Duration::ZERO),
            messages: MessageShares::LIVELY,
            rate_limit: Some(LIMIT),
            ..load
        }
    }
}

/// When which session was counted, in milliseconds since 1970, and how often messages were.
#[derive(Default)]
struct Noted {
    counted: Mutex<HashMap<Arc<str>, i64>>,
    read: Mutex<u64>,
}

/// A ledger that notes when what was counted is durable.
struct Noting {
    ledger: Arc<dyn Ledger>,
    noted: Arc<Noted>,
}

impl Ledger for Noting {
    fn commit(&self, changes: Vec<Change>) -> Commit {
        let ids: Vec<Option<Arc<str>>> = changes
            .iter()
            .map(|change| match change {
                Change::Session { facts, .. } => Some(Arc::clone(&facts.id)),
                _ => None,
            })
            .collect();
        let read = changes.iter().filter(|change| matches!(change, Change::Messages { tally: Some(_), .. })).count();
        let (commit, noted) = (self.ledger.commit(changes), Arc::clone(&self.noted));
        Box::pin(async move {
            let outcomes = commit.await?;
            let (now, mut counted) = (SystemClock.now().as_millis(), noted.counted.lock().unwrap());
            for (id, outcome) in ids.into_iter().zip(&outcomes) {
                if let (Some(id), CommitOutcome::Counted { .. }) = (id, outcome) {
                    counted.insert(id, now);
                }
            }
            drop(counted);
            *noted.read.lock().unwrap() += read as u64;
            Ok(outcomes)
        })
    }
}

fn percentile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place")]
    let place = ((samples.len() - 1) as f64 * part).round() as usize;
    samples[place]
}
