//! The whole way of a session: from the simulator on loopback through client, poller and ledger to durable counts.
//!
//! `cargo bench --bench pipeline`. The simulator and the daemon share the machine's processors, so that the figures are
//! bounded by both: what the simulator gives to the same client when nothing is counted is measured first, and what each
//! part has used of the processors is told apart by thread. A run counts every session of a made-up history once, and
//! ends when all are durable.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot be set up should stop")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agntix_api::{Client, ListQuery};
use agntix_exporter::api;
use agntix_exporter::config::Config;
use simulator::{Clock as _, DEFAULT_KEY, Simulator, SimulatorConfig, SystemClock};
use support::daemon::Daemon;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const RUNS: usize = 3;
/// The vendor's largest rate limit, requests a minute, and the share of it that the exporter may use by default.
const LARGEST_LIMIT: f64 = 3_000.0;
const SHARE: f64 = 0.5;

fn main() {
    agntix_api::install_crypto_provider();
    for (list_analysis, total, what) in
        [(true, 60_000, "the listing carries the analysis"), (false, 20_000, "a request a session")]
    {
        println!("\n{what}, {total} sessions, medians of {RUNS} runs");
        let simulator = Api::start(list_analysis, total);
        let ceiling = if list_analysis { simulator.pages_a_second() * 100.0 } else { simulator.sessions_a_second() };
        println!("  the simulator alone gives this client {ceiling:.0} sessions/s");
        let runs: Vec<Run> = (0..RUNS).map(|_| simulator.count()).collect();
        let median = |of: fn(&Run) -> f64| support::median(&mut runs.iter().map(of).collect::<Vec<_>>());
        let (rate, requests) = (median(|run| run.sessions_a_second), median(|run| run.requests));
        println!("  counted and durable: {rate:.0} sessions/s, {:.0} % of that", rate / ceiling * 100.0);
        println!(
            "  processor time a session: poller and client {:.0} us, ledger {:.0} us, simulator {:.0} us",
            median(|run| run.daemon),
            median(|run| run.ledger),
            median(|run| run.simulator)
        );
        println!(
            "  {requests:.3} requests a session, {:.4} commits a session; half of {LARGEST_LIMIT} requests a minute is \
             enough for {:.0} sessions a minute",
            median(|run| run.commits),
            LARGEST_LIMIT * SHARE / requests
        );
    }
}

/// A simulator on threads of its own.
struct Api {
    simulator: Arc<Simulator>,
    config: Config,
    stop: CancellationToken,
    _runtime: Runtime,
}

/// What a run has shown; all but the first by session.
struct Run {
    sessions_a_second: f64,
    requests: f64,
    commits: f64,
    /// Microseconds of processor time.
    daemon: f64,
    ledger: f64,
    simulator: f64,
}

impl Api {
    fn start(list_analysis: bool, total: u64) -> Self {
        let start = SystemClock.now().minus(Duration::from_secs(1_800));
        let simulator =
            Simulator::new(SimulatorConfig { list_analysis, ..SimulatorConfig::load(start, 1_000.0, total) });
        let runtime = support::daemon::threads("simulator");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let mut config = Config::default();
        config.api.base_url = format!("http://{}", listener.local_addr().unwrap());
        config.api.requests_per_minute = 100_000_000;
        let stop = CancellationToken::new();
        runtime.spawn(Arc::clone(&simulator).serve(listener, stop.clone()));
        Self { simulator, config, stop, _runtime: runtime }
    }

    fn client(&self) -> Client {
        api::client(&self.config.api, Some(&DEFAULT_KEY.into())).unwrap()
    }

    /// Pages of the listing, one after the other, as the poller reads them.
    fn pages_a_second(&self) -> f64 {
        let (client, runtime) = (self.client(), support::daemon::threads("daemon"));
        runtime.block_on(async {
            let (began, mut pages) = (Instant::now(), 0);
            while began.elapsed() < Duration::from_secs(2) {
                let query = ListQuery { created_after: None, open_only: false, page: pages % 500 + 1, limit: 100 };
                client.list(&query).await.result.unwrap();
                pages += 1;
            }
            f64::from(pages) / began.elapsed().as_secs_f64()
        })
    }

    /// Single sessions, as many at once as the poller asks for.
    fn sessions_a_second(&self) -> f64 {
        let (client, runtime) = (self.client(), support::daemon::threads("daemon"));
        let config = self.simulator.config();
        let sessions = self.simulator.sessions(config.start, config.start.plus(Duration::from_secs(1)));
        let ids: Arc<[String]> = sessions.into_iter().map(|session| session.id).collect();
        let began = Instant::now();
        let askers: Vec<_> = (0..self.config.api.max_concurrency)
            .map(|_| {
                let (client, ids) = (client.clone(), Arc::clone(&ids));
                runtime.spawn(async move {
                    let mut asked = 0_u32;
                    while began.elapsed() < Duration::from_secs(2) {
                        client.session(&ids[asked as usize % ids.len()]).await.result.unwrap();
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        let asked: u32 = askers.into_iter().map(|asker| runtime.block_on(asker).unwrap()).sum();
        f64::from(asked) / began.elapsed().as_secs_f64()
    }

    /// Counts every session with a daemon that has never counted before.
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
    fn count(&self) -> Run {
        let directory = support::directory("pipeline");
        let simulated = self.simulator.config();
        let total = self.simulator.count(simulated.start, simulated.until.unwrap());
        let requests_before = self.simulator.requests().len();
        let runtime = support::daemon::threads("daemon");
        let mut config = self.config.clone();
        config.state.path.clone_from(&directory);
        let (before, began) = (processor_time(), Instant::now());
        let daemon = Daemon::start(&config, self.client(), &runtime, |ledger| ledger);
        while daemon.status.snapshot().counted < total {
            std::thread::sleep(Duration::from_millis(2));
        }
        let took = began.elapsed().as_secs_f64();
        let used = |thread: &str| {
            let of = |times: &BTreeMap<String, f64>| times.get(thread).copied().unwrap_or(0.0);
            (of(&processor_time()) - of(&before)) * 1e6 / total as f64
        };
        let run = Run {
            sessions_a_second: total as f64 / took,
            requests: (self.simulator.requests().len() - requests_before) as f64 / total as f64,
            commits: daemon.own.state_commits.with_label_values(&["success"]).get() as f64 / total as f64,
            daemon: used("daemon"),
            ledger: used("ledger"),
            simulator: used("simulator"),
        };
        daemon.stop(&runtime);
        std::fs::remove_dir_all(directory).unwrap();
        run
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Seconds of processor time by name of thread, of the threads that live; in steps of 10 ms.
fn processor_time() -> BTreeMap<String, f64> {
    const TICKS: f64 = 100.0;
    let mut times = BTreeMap::new();
    for thread in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        // One may have ended since the directory was read.
        let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else { continue };
        let (name, rest) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")).unwrap();
        // Fields 14 and 15 of proc_pid_stat(5), of which two are before the rest.
        let ticks: f64 = rest.split(' ').skip(11).take(2).map(|field| field.parse::<f64>().unwrap()).sum();
        *times.entry(name.to_owned()).or_default() += ticks / TICKS;
    }
    times
}
