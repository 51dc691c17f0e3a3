//! Hours of simulated time with random faults, kills and a state that is moved away or put back from a backup. Every
//! scrape is compared with the simulator's truth: the page is right, or it says that it is not current (promises P1, P2,
//! P10, P11).
//!
//! The daemon runs under libfaketime, so that its clocks go as fast as the simulator's.

mod fault;
mod oracle;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use simulator::{
    AgentProfile, Clock, DeliveryConfig, Faults, Simulator, SimulatorConfig, StreamConfig, SystemClock, Timestamp,
};

use crate::support::{Api, Daemon, Setup, WEBHOOK_SECRET, faketime, free_address, until};
use fault::{Fault, Host};
use oracle::Oracle;

const MINUTE: Duration = Duration::from_secs(60);

/// What a soak does, all of it decided by the seed.
struct Soak {
    seed: u64,
    /// Simulated time during which sessions are created.
    length: Duration,
    /// How much faster than real time simulated time passes.
    speed: u32,
}

/// A clock that runs faster than the machine's from when it is made.
struct FastClock {
    began: Instant,
    start: Timestamp,
    speed: u32,
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        self.start.plus(self.began.elapsed() * self.speed)
    }
}

/// The simulator, the daemon under test, and the state directory between them.
struct Rig {
    api: Api,
    clock: Arc<FastClock>,
    setup: Setup,
    directory: PathBuf,
    daemon: Option<Daemon>,
    oracle: Oracle,
    random: fastrand::Rng,
}

impl Soak {
    fn run(&self) {
        let place = tempfile::tempdir().unwrap();
        let mut rig = self.rig(place.path());
        let end = rig.clock.start.plus(self.length);
        rig.start();
        while rig.clock.now() < end {
            rig.calm();
            for fault in Fault::several(&mut rig.random) {
                rig.suffer(&fault);
            }
        }
        rig.api.simulator.set_faults(Faults::default()).unwrap();
        rig.ends_with_the_truth(end);
        println!("seed {}: {}", self.seed, rig.oracle.summary());
    }

    fn rig(&self, place: &Path) -> Rig {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let start = SystemClock.now();
        let clock = Arc::new(FastClock { began: Instant::now(), start, speed: self.speed });
        let config = SimulatorConfig {
            seed: self.seed,
            start: start.minus(MINUTE * 10),
            until: Some(start.plus(self.length)),
            now: Some(start),
            speed: 1.0,
            agents: agents(),
            reclassified_share: 0.0,
            expired_share: 0.1,
            list_analysis: random.bool(),
            rate_limit: None,
            stream: StreamConfig::default(),
            log_capacity: 1_000,
            ..SimulatorConfig::default()
        };
        let api = Api::serve(Simulator::with_clock(config, Arc::clone(&clock) as Arc<dyn Clock>));
        let webhook = free_address();
        let directory = place.join("state");
        let setup = Setup::plain(&directory)
            .set("API__BASE_URL", &format!("http://{}", api.address))
            .set("API__REQUESTS_PER_MINUTE", "100000000")
            // The machine is as fast as ever: a second of it is many of the daemon's.
            .set("API__TIMEOUT", "2m")
            .set("API__CONNECT_TIMEOUT", "2m")
            .set("STATE__PATH", &directory.display().to_string())
            .set("STREAM__ENABLED", "true")
            .with_webhook(webhook)
            .set("WEB__LISTEN_ADDRESS", "127.0.0.1:0")
            .env("AGNTIX_API_KEY", simulator::DEFAULT_KEY)
            .env("LD_PRELOAD", &faketime::library())
            .env("NO_FAKE_STAT", "1");
        let deliveries = DeliveryConfig {
            repeated_share: 0.2,
            out_of_order_share: 0.1,
            delayed_share: 0.2,
            truncated_share: 0.2,
            unknown_share: 0.05,
            backoff_scale: 1.0 / f64::from(self.speed),
            ..DeliveryConfig::new(&format!("http://{webhook}/webhooks/agntix"), vec![WEBHOOK_SECRET.parse().unwrap()])
                .unwrap()
        };
        api.simulator.set_deliveries(Some(deliveries)).unwrap();
        Rig { api, clock, setup, directory, daemon: None, oracle: Oracle::default(), random }
    }
}

/// About thirteen sessions a minute.
fn agents() -> Vec<AgentProfile> {
    let agent =
        |id: &str, sessions_per_day| AgentProfile { id: id.into(), sessions_per_day, ..AgentProfile::default() };
    vec![agent("agnt_desk", 12_000.0), agent("agnt_shop", 6_000.0), agent("agnt_night", 500.0)]
}

impl Rig {
    fn start(&mut self) {
        let ahead = self.clock.now().as_seconds_f64() - SystemClock.now().as_seconds_f64();
        let faketime = format!("+{ahead:.3} x{}", self.clock.speed);
        self.daemon = Some(self.setup.clone().env("FAKETIME", &faketime).start());
    }

    /// Scrapes for so long of simulated time.
    fn watch(&mut self, length: Duration) {
        let end = self.clock.now().plus(length);
        while self.clock.now() < end {
            self.scrape();
            // Only spares the processor: the end of the loop decides.
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn scrape(&mut self) {
        let asked = self.clock.now();
        let page = self.daemon.as_ref().and_then(|daemon| daemon.try_get("/metrics"));
        let answered = self.clock.now();
        let log = || self.daemon.as_ref().map(Daemon::log).unwrap_or_default();
        self.oracle.judge(&self.api, asked, answered, page, log);
    }

    /// Nothing goes wrong for a while.
    fn calm(&mut self) {
        self.api.simulator.set_faults(Faults::default()).unwrap();
        let length = MINUTE * self.random.u32(5..=12);
        self.watch(length);
    }

    fn suffer(&mut self, fault: &Fault) {
        println!("{} {fault:?}", self.clock.now());
        match fault {
            Fault::Api(faults, length) => {
                self.api.simulator.set_faults(Faults::clone(faults)).unwrap();
                self.watch(*length);
            }
            Fault::Host(host, length) => self.suffer_host(*host, *length),
        }
    }

    fn suffer_host(&mut self, host: Host, length: Duration) {
        match host {
            Host::Kill => {
                self.daemon.take().unwrap().kill();
                self.watch(length);
                self.start();
            }
            Host::Stop => {
                self.stop();
                self.watch(length);
                self.start();
            }
            Host::StateMovedAway => {
                let away = self.directory.with_extension("away");
                std::fs::rename(&self.directory, &away).unwrap();
                self.watch(length);
                std::fs::rename(&away, &self.directory).unwrap();
            }
            Host::StateFromBackup => {
                let backup = self.directory.with_extension("backup");
                self.stop();
                copy(&self.directory, &backup);
                self.start();
                self.watch(length);
                self.daemon.take().unwrap().kill();
                std::fs::remove_dir_all(&self.directory).unwrap();
                std::fs::rename(&backup, &self.directory).unwrap();
                self.oracle.forget_highest();
                self.start();
            }
        }
    }

    fn stop(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.signal("TERM");
        assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
    }

    /// Once all sessions are over and nothing is wrong any more, the page comes to show exactly the truth.
    fn ends_with_the_truth(&mut self, end: Timestamp) {
        // The longest session, its analysis, and the deadline for one that never comes.
        let over = end.plus(MINUTE * 10 + MINUTE + MINUTE * 15);
        until("the last session to be over", || (self.clock.now() > over).then_some(()));
        let truth = self.api.truth();
        let daemon = self.daemon.as_ref().unwrap();
        daemon.shows(&truth);
        self.scrape();
        let panics = self.daemon.as_ref().unwrap().lines_with("panic");
        assert_eq!(panics, 0);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A number from the environment, for campaigns by hand.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

#[test]
#[ignore = "needs libfaketime"]
fn every_scrape_of_a_short_soak_is_right_or_says_that_it_is_not_current() {
    Soak { seed: number("SOAK_SEED", 1), length: MINUTE * 60, speed: 30 }.run();
}

/// `SOAK_SEED` and `SOAK_HOURS` choose another one.
#[test]
#[ignore = "takes a third of an hour; needs libfaketime"]
fn every_scrape_of_an_eight_hour_soak_is_right_or_says_that_it_is_not_current() {
    let hours = u32::try_from(number("SOAK_HOURS", 8)).unwrap();
    Soak { seed: number("SOAK_SEED", 1), length: MINUTE * 60 * hours, speed: 30 }.run();
}
