//! The poller's core with a real ledger and the simulator in this process, in a time that is moved on as soon as there is nothing left
//! to do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agntix_api::{Answer, ApiError, ApiRateLimit, JsonText, wire};
use agntix_exporter::clock::{Tick, Timestamp};
use agntix_exporter::config::Config;
use agntix_exporter::discovery::News;
use agntix_exporter::ledger::sqlite::{LedgerConfig, SqliteLedger};
use agntix_exporter::ledger::{Change, CommitOutcome, Ledger as _};
use agntix_exporter::observation::{ObservationConfig, observe};
use agntix_exporter::poller::core::{Ask, Core, CoreDeps, NextAction, Now};
use agntix_exporter::session::Source;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use simulator::{DEFAULT_KEY, ManualClock, Simulator, SimulatorConfig, State};
use tower::ServiceExt as _;

use crate::support;

/// How far time is moved at most.
const STEP: Duration = Duration::from_secs(1);

/// A daemon's decisions in a time of its own.
pub struct Forward {
    core: Core,
    pub ledger: SqliteLedger,
    router: Router,
    simulator: Arc<Simulator>,
    clock: Arc<ManualClock>,
    runtime: tokio::runtime::Runtime,
    observation: ObservationConfig,
    began: Instant,
    tick: Tick,
    start: Timestamp,
    delivers: bool,
    /// What was asked, by route.
    pub requests: BTreeMap<&'static str, u64>,
    /// From the moment at which the API had a session whole until it was counted, in seconds.
    pub delays: Vec<f64>,
    /// Sessions that were counted.
    pub counted: u64,
    /// Where the state is.
    pub directory: PathBuf,
}

impl Forward {
    /// Starts at the simulation's start, with a new state. `delivers`: a webhook brings each session when it begins, and when it is
    /// whole.
    pub fn start(mut config: Config, simulation: SimulatorConfig, delivers: bool) -> Self {
        let start = Timestamp::from_millis(simulation.start.as_millis());
        let clock = Arc::new(ManualClock::new(simulation.start));
        let simulator = Simulator::with_clock(SimulatorConfig { now: None, ..simulation }, Arc::clone(&clock) as _);
        let directory = support::directory("scaling-forward");
        config.state.path.clone_from(&directory);
        config.webhook.enabled = delivers;
        let (ledger, opened) = SqliteLedger::open(LedgerConfig::from(&config), Box::new(|_| ())).unwrap();
        let (began, tick) = (Instant::now(), Tick::ZERO);
        let deps = CoreDeps { credential: String::new(), host: String::new(), seed: 1, counted: 0 };
        let core = Core::new(&config, &opened, deps, Now { tick, instant: began, local: start });
        Self {
            core,
            ledger,
            router: Arc::clone(&simulator).router(),
            simulator,
            clock,
            runtime: support::runtime(),
            observation: ObservationConfig::from(&config),
            began,
            tick,
            start,
            delivers,
            requests: BTreeMap::new(),
            delays: Vec::new(),
            counted: 0,
            directory,
        }
    }

    fn now(&self) -> Now {
        Now { tick: self.tick, instant: self.began + self.tick, local: self.local() }
    }

    fn local(&self) -> Timestamp {
        self.start.plus(self.tick)
    }

    /// Does what there is to do until that time after the start.
    pub fn until(&mut self, end: Tick) {
        let mut delivered = self.tick;
        while self.tick < end {
            let wake = self.work();
            let next = wake.max(self.tick + Duration::from_millis(1)).min(self.tick + STEP).min(end);
            let is_new_second = next.as_secs() != self.tick.as_secs();
            self.tick = next;
            self.clock.set(simulator::Timestamp::from_millis(self.local().as_millis()));
            if is_new_second {
                if self.delivers {
                    self.deliver(delivered, self.tick);
                    delivered = self.tick;
                }
                self.core.tick(Arc::default(), self.now());
                self.core.drain_updates().for_each(drop);
            }
        }
    }

    /// Sessions that are not counted yet, by the core's own count.
    pub fn pending(&mut self) -> usize {
        let summary = self.core.tick(Arc::default(), self.now()).summary;
        summary.open + summary.ended
    }

    /// Everything that is due now.
    fn work(&mut self) -> Tick {
        loop {
            let next = self.core.next(self.now(), true);
            self.core.drain_updates().for_each(drop);
            match next {
                NextAction::Wait(until) => return until,
                NextAction::Commit(batch) => {
                    let (now, changes) = (self.now(), batch.changes.len());
                    let outcomes = self.commit(batch.changes);
                    self.core.commit_ended(changes, None, now);
                    self.core.committed(batch.purpose, &outcomes, now);
                }
                NextAction::Ask(ask) => {
                    let answer = self.ask(&ask);
                    self.core.answered(&ask, answer, self.now());
                }
            }
        }
    }

    fn commit(&mut self, changes: Vec<Change>) -> Vec<CommitOutcome> {
        let ids: Vec<_> = changes
            .iter()
            .map(|change| match change {
                Change::Session { facts, .. } => Some(Arc::clone(&facts.id)),
                _ => None,
            })
            .collect();
        let outcomes = self.runtime.block_on(self.ledger.commit(changes)).unwrap();
        for (id, outcome) in ids.iter().zip(&outcomes) {
            let (Some(id), CommitOutcome::Counted { historic: false, .. }) = (id, outcome) else { continue };
            self.counted += 1;
            let now = simulator::Timestamp::from_millis(self.local().as_millis());
            if let Some(whole) = self.simulator.session(id, now).and_then(|session| session.whole_at()) {
                self.delays.push(now.since(whole).as_secs_f64());
            }
        }
        outcomes
    }

    fn ask(&mut self, ask: &Ask) -> Answer {
        let path = self.core.path(ask.route());
        let (route, target) = match ask {
            Ask::Session(id) => {
                let now = simulator::Timestamp::from_millis(self.local().as_millis());
                let is_open = self.simulator.session(id, now).is_some_and(|session| session.state(now) == State::Open);
                let route = if is_open { "open" } else { "ended" };
                (route, path.replace("{id}", id))
            }
            Ask::Messages(id, page) => ("messages", format!("{}?page={page}&limit=100", path.replace("{id}", id))),
            Ask::Agents(page) => ("agents", format!("{path}?page={page}&limit=100")),
            Ask::List(page) => {
                let after = page.created_after.map_or_else(String::new, |after| format!("&createdAfter={after}"));
                let open = if page.open_only { "&state=OPEN" } else { "" };
                let route = if page.open_only { "open sessions" } else { "listing" };
                (route, format!("{path}?sort=createdAt:desc&page={}&limit={}{after}{open}", page.page, page.limit))
            }
        };
        *self.requests.entry(route).or_default() += 1;
        let (status, body) = self.get(&target);
        let refused = ApiError::Status { status, code: None, request_id: None, retry_after: None };
        Answer {
            route: ask.route(),
            path,
            status: Some(status),
            content_type: Some("application/json"),
            elapsed: Duration::ZERO,
            rate_limit: ApiRateLimit::default(),
            date: (status == 200).then(|| self.local()),
            head_received: None,
            request_id: None,
            is_unsent: false,
            result: if status == 200 { Ok(body) } else { Err(refused) },
        }
    }

    fn get(&self, target: &str) -> (u16, bytes::Bytes) {
        let request = Request::get(target).header("x-api-key", DEFAULT_KEY).body(Body::empty()).unwrap();
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            (status, axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap())
        })
    }

    /// What the webhook brings in that time.
    fn deliver(&mut self, from: Tick, to: Tick) {
        let at = |tick: Tick| simulator::Timestamp::from_millis(self.start.plus(tick).as_millis());
        let (from, to) = (at(from), at(to));
        let longest = Duration::from_secs(3_600);
        let ids: Vec<String> = self
            .simulator
            .sessions(from.minus(longest), to)
            .iter()
            .filter(|session| {
                let is_new = session.created >= from;
                is_new || session.whole_at().is_some_and(|whole| whole >= from && whole < to)
            })
            .map(|session| session.id.clone())
            .collect();
        for id in ids {
            let (status, body) = self.get(&format!("/api/v1/chat/sessions/{id}"));
            assert_eq!(status, 200, "{id}");
            let now = self.local();
            let text = JsonText::new(&body);
            let session = text.read::<wire::Session<'_>>().unwrap();
            let facts = Arc::new(observe(&session, &self.observation, now).unwrap());
            let (source, shared) = (Source::Webhook, Arc::clone(&facts));
            let outcome = self.commit(vec![Change::Session { facts: shared, source, now }]).remove(0);
            self.core.hear(News::Session { facts, outcome, source }, self.now());
        }
    }
}
