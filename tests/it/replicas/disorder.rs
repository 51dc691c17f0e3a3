//! Random schedules of what can happen to replicas and to their database, while every source tells of the same sessions, each
//! delivery comes to one to three replicas at once, and a scraper hops over all of them: nothing is lost, nothing counted twice,
//! no page is behind one that was served before, and the budget of the API is kept by all of them together.
//!
//! CONTRIBUTING.md, "Long campaigns", has the command for many seeds.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use simulator::{Clock as _, DeliveryConfig, Route, SimulatorConfig, SystemClock};

use super::database::{Database, Kind};
use super::link::Flow;
use super::scraper::Scraper;
use super::service::Service;
use super::{receiving, replica};
use crate::budget::fullest_window;
use crate::support::{Api, Daemon, Setup, WEBHOOK_SECRET, free_address};

const REPLICAS: usize = 3;
/// Of `ha.lease`, which is 2 s here.
const LONGEST_SLEEP: Duration = Duration::from_secs(9);
/// Longer than the lease.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);
/// The API's limit for the organization where it is to be felt, and the half of it that the exporter may use.
const LIMIT: u32 = 60;
const SHARE: usize = 30;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A replica is killed and started again.
    Kill,
    /// A replica ends as it is asked to, and is started again.
    Restart,
    /// A replica is stopped for up to several leases.
    Sleep,
    /// Connections of one replica, or of all, end.
    Cut,
    /// What one replica and the database say to each other is held, or swallowed, for longer than a lease.
    Silence,
    /// The server ends connections.
    Terminate,
    /// The primary is killed; its synchronous standby is promoted, or it is started again.
    DatabaseFails,
}

const FAULTS: [Fault; 7] =
    [Fault::Kill, Fault::Restart, Fault::Sleep, Fault::Cut, Fault::Silence, Fault::Terminate, Fault::DatabaseFails];

/// What a seed is about.
#[derive(Clone, Debug)]
struct Mix {
    kind: Kind,
    faults: Vec<Fault>,
    /// Whether the API's limit is small.
    is_limited: bool,
    /// `metrics.new_series_hold`
    hold: &'static str,
}

impl Mix {
    /// Some of all faults: what happens often hides what happens seldom.
    fn random(random: &mut fastrand::Rng) -> Self {
        let kind = [Kind::Alone, Kind::Pooled, Kind::Replicated][random.usize(..3)];
        let mut faults: Vec<Fault> = FAULTS.into_iter().filter(|_| random.f32() < 0.6).collect();
        faults.push(FAULTS[random.usize(..FAULTS.len())]);
        Self { kind, faults, is_limited: random.u8(..3) == 0, hold: ["0s", "1s"][random.usize(..2)] }
    }
}

struct Replica {
    setup: Setup,
    daemon: Option<Daemon>,
    address: SocketAddr,
    /// When it goes on, if it was stopped.
    asleep_until: Option<Instant>,
    /// When it is heard again, if it is not.
    silent_until: Option<Instant>,
}

impl Replica {
    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    fn is_awake(&self) -> bool {
        self.asleep_until.is_none()
    }
}

/// So many things happen, one after the other.
fn schedule(seed: u64, mix: &Mix, actions: u32) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut database, directory) = (Database::start(mix.kind, REPLICAS), tempfile::tempdir().unwrap());
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let load = SimulatorConfig::load(start, 10.0, 400);
    let api = Api::start(SimulatorConfig {
        expired_share: 0.1,
        missing_part_share: 0.0,
        unlisted_share: 0.2,
        rate_limit: mix.is_limited.then_some(LIMIT),
        ..load
    });
    let mut webhooks = Vec::new();
    let mut replicas: Vec<Replica> = (0..REPLICAS)
        .map(|number| {
            let (address, webhook) = (free_address(), free_address());
            webhooks.push(webhook);
            let setup = receiving(replica(api.address, &database.url(number), directory.path()), webhook)
                .set("API__MAX_CONCURRENCY", "2")
                .set("API__BUDGET_SHARE", "0.5")
                .set("METRICS__NEW_SERIES_HOLD", mix.hold)
                .set("STREAM__ENABLED", "true")
                .set("WEB__LISTEN_ADDRESS", &address.to_string());
            let setup = if mix.is_limited { setup.set("API__REQUESTS_PER_MINUTE", "50") } else { setup };
            Replica { daemon: Some(setup.start()), setup, address, asleep_until: None, silent_until: None }
        })
        .collect();
    let service = Service::before(webhooks, seed);
    let hook = format!("http://{}/webhooks/agntix", service.address);
    let deliveries = DeliveryConfig {
        since: Some(start),
        repeated_share: 0.3,
        out_of_order_share: 0.3,
        parallelism: 16,
        backoff_scale: 0.001,
        ..DeliveryConfig::new(&hook, vec![WEBHOOK_SECRET.parse().unwrap()]).unwrap()
    };
    api.simulator.set_deliveries(Some(deliveries)).unwrap();
    let addresses = replicas.iter().map(|replica| replica.address).collect();
    let scraper = Scraper::over(addresses, Duration::from_millis(50));
    for _ in 0..actions {
        let fault = mix.faults[random.usize(..mix.faults.len())];
        happens(fault, &mut random, &mut replicas, &mut database);
        // The instant of what happens is what is random here; nothing depends on its length.
        std::thread::sleep(Duration::from_millis(random.u64(0..700)));
        heal(&mut replicas, &database, false);
    }
    heal(&mut replicas, &database, true);
    api.all_delivered();
    let truth = api.truth();
    for replica in &replicas {
        replica.daemon().shows(&truth);
    }
    let pages = scraper.stop();
    assert!(pages.falls.is_empty(), "{} falls: {:#?}", pages.falls.len(), &pages.falls[..pages.falls.len().min(20)]);
    assert!(pages.pages > 10, "only {} pages; gaps: {:#?}", pages.pages, pages.gaps);
    if mix.is_limited {
        // The event stream is no request of the budget.
        let requests: Vec<_> =
            api.simulator.requests().into_iter().filter(|request| request.route != Route::Stream).collect();
        let fullest = fullest_window(&requests);
        assert!(fullest <= SHARE, "{fullest} requests to the API within 60 s");
        assert!(fullest > SHARE / 2, "only {fullest} requests to the API: the limit is not felt");
    }
    let ids = database.sql("SELECT count(*) FROM agntix_exporter.counted");
    assert_eq!(ids.trim(), api.sessions().len().to_string(), "sessions counted");
}

fn happens(fault: Fault, random: &mut fastrand::Rng, replicas: &mut [Replica], database: &mut Database) {
    let chosen = random.usize(..replicas.len());
    let replica = &mut replicas[chosen];
    let within = |random: &mut fastrand::Rng, longest: Duration| Some(Instant::now() + longest.mul_f64(random.f64()));
    match fault {
        Fault::Kill => {
            (replica.daemon, replica.asleep_until) = (None, None);
            // It ends at once where it has no database, and whoever runs it starts it again.
            listen_again(replica, chosen, database);
            replica.daemon = Some(replica.setup.start());
        }
        Fault::Restart if replica.is_awake() => {
            let mut daemon = replica.daemon.take().unwrap();
            daemon.signal("TERM");
            daemon.wait();
            listen_again(replica, chosen, database);
            replica.daemon = Some(replica.setup.start());
        }
        Fault::Sleep if replica.is_awake() => {
            replica.daemon().signal("STOP");
            replica.asleep_until = within(random, LONGEST_SLEEP);
        }
        Fault::Silence => {
            let flows = [Flow::Held, Flow::RequestsSwallowed, Flow::AnswersSwallowed, Flow::Swallowed];
            database.set(chosen, flows[random.usize(..flows.len())]);
            replica.silent_until = within(random, LONGEST_SILENCE);
        }
        Fault::Cut if random.bool() => database.cut(chosen),
        Fault::Cut => (0..REPLICAS).for_each(|replica| database.cut(replica)),
        Fault::Terminate => database.terminate_some(),
        Fault::DatabaseFails => database.fail(),
        Fault::Restart | Fault::Sleep => {}
    }
}

fn listen_again(replica: &mut Replica, number: usize, database: &Database) {
    database.set(number, Flow::Open);
    replica.silent_until = None;
}

/// Ends what has lasted long enough, or all of it.
fn heal(replicas: &mut [Replica], database: &Database, all: bool) {
    for (number, replica) in replicas.iter_mut().enumerate() {
        let is_over = |until: Option<Instant>| until.is_some_and(|until| all || until <= Instant::now());
        if is_over(replica.asleep_until) {
            replica.daemon().signal("CONT");
            replica.asleep_until = None;
        }
        if is_over(replica.silent_until) {
            listen_again(replica, number, database);
        }
    }
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn replicas_that_sleep_and_die_share_one_budget_and_count_each_session_once() {
    let faults = vec![Fault::Kill, Fault::Restart, Fault::Sleep];
    schedule(1, &Mix { kind: Kind::Alone, faults, is_limited: true, hold: "0s" }, 15);
}

#[test]
#[ignore = "needs PostgreSQL and PgBouncer (.ci/tools)"]
fn replicas_with_a_bad_network_behind_a_pooler_count_each_session_once() {
    let faults = vec![Fault::Sleep, Fault::Cut, Fault::Silence, Fault::Terminate, Fault::Kill];
    schedule(2, &Mix { kind: Kind::Pooled, faults, is_limited: false, hold: "1s" }, 15);
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn replicas_whose_primary_is_killed_and_standby_promoted_count_each_session_once() {
    let faults = vec![Fault::DatabaseFails, Fault::Kill, Fault::Sleep, Fault::Silence];
    schedule(3, &Mix { kind: Kind::Replicated, faults, is_limited: false, hold: "0s" }, 12);
}

/// `REPLICA_SEEDS` schedules from `REPLICA_FIRST_SEED` on, `REPLICA_JOBS` at once.
#[test]
#[ignore = "takes hours: 500 schedules"]
fn hundreds_of_random_schedules_of_replicas_count_each_session_once() {
    let number = |name: &str, usual| std::env::var(name).map_or(usual, |number| number.parse::<u64>().unwrap());
    let (first, seeds) = (number("REPLICA_FIRST_SEED", 1), number("REPLICA_SEEDS", 500));
    let next = AtomicU64::new(first);
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..number("REPLICA_JOBS", 2) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let mix = Mix::random(&mut fastrand::Rng::with_seed(seed));
                    let began = Instant::now();
                    let run = || schedule(seed, &mix, 20);
                    let is_good = std::panic::catch_unwind(AssertUnwindSafe(run)).is_ok();
                    let verdict = if is_good { "good" } else { "FAILED" };
                    eprintln!("seed {seed}: {verdict} after {:.0?}: {mix:?}", began.elapsed());
                    if !is_good {
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {seeds} schedules failed: {failed:?}", failed.len());
}
