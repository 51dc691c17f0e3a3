#![doc = include_str!("../README.md")]

mod agenda;
mod answer;
mod api;
mod config;
mod control;
mod deliveries;
mod faults;
mod generate;
mod heads;
mod id;
mod json;
mod labels;
mod lenient;
mod limits;
mod list_faults;
mod listing;
mod presets;
mod profile;
mod random;
mod request_log;
mod ring;
mod routes;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod time;
mod timeline;
mod truth;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::serve::ListenerExt as _;
use axum::{Extension, Router};
pub use config::{
    DEFAULT_KEY, IdStyle, Incident, IncidentKind, NO_SCOPE_KEY, PartSwitch, Rhythm, SimulatorConfig, TruthField,
    TruthFieldKind, TruthMetrics,
};
use deliveries::Deliveries;
pub use deliveries::{DeliveryConfig, DeliveryProgress, DeliveryRecord, WebhookSecret};
pub use faults::{FaultKind, FaultRule, Faults, Paths, Route, Stranger};
use generate::Generator;
pub use heads::{DateFault, HeadFaults, RetryAfter};
pub use json::{PERSONAL_MARKER, PERSONAL_PHONE_PREFIX};
pub use lenient::Writing;
use limits::RateLimit;
pub use list_faults::{BadEntry, EmptyPage, EveryNth, ListFaults, TotalPages};
use listing::Filter;
pub use profile::{
    AgentProfile, Channel, ExtractedSpec, ExtractedValues, ResolutionShares, SentimentShares, Weighted, weighted,
};
pub use request_log::RequestRecord;
use ring::Ring;
pub use session::{Analysis, Extracted, Missing, Part, Session, State};
use stream::Stream;
pub use stream::{StreamConfig, StreamFaults};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
pub use truth::TruthFilter;

/// A simulated organization and its API.
pub struct Simulator {
    generator: Generator,
    real_clock: Arc<dyn Clock>,
    clock: Mutex<SimulatedClock>,
    rate_limit: Mutex<RateLimit>,
    faults: Mutex<Arc<Faults>>,
    requests: Mutex<Ring<RequestRecord>>,
    next_request: AtomicU64,
    deliveries: Deliveries,
    stream: Stream,
}

/// What the simulated clock showed at one real moment, and how fast it goes from there.
#[derive(Clone, Copy, Debug)]
struct SimulatedClock {
    real: Timestamp,
    simulated: Timestamp,
    speed: f64,
}

impl SimulatedClock {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "milliseconds since the simulator was made, far below 2^53; the conversion saturates"
    )]
    fn at(&self, real: Timestamp) -> Timestamp {
        let elapsed = real.as_millis().saturating_sub(self.real.as_millis());
        let passed = (elapsed as f64 * self.speed) as i64;
        Timestamp::from_millis(self.simulated.as_millis().saturating_add(passed))
    }
}

impl Simulator {
    /// A simulator on the machine's clock.
    pub fn new(config: SimulatorConfig) -> Arc<Self> {
        Self::with_clock(config, Arc::new(SystemClock))
    }

    /// A simulator on another clock, which stands for real time: simulated time passes `speed` times as fast, and the
    /// windows of the rate limit follow it as it is.
    pub fn with_clock(config: SimulatorConfig, real_clock: Arc<dyn Clock>) -> Arc<Self> {
        let real = real_clock.now();
        let simulated = config.now.unwrap_or(real);
        let generator = Generator::new(config);
        let config = generator.config();
        Arc::new(Self {
            clock: Mutex::new(SimulatedClock { real, simulated, speed: config.speed }),
            rate_limit: Mutex::new(RateLimit::new(config.rate_limit)),
            faults: Mutex::default(),
            requests: Mutex::new(Ring::new(config.log_capacity)),
            next_request: AtomicU64::new(0),
            deliveries: Deliveries::new(&generator, simulated),
            stream: Stream::new(config.stream),
            generator,
            real_clock,
        })
    }

    /// What the simulation is made of.
    pub fn config(&self) -> &SimulatorConfig {
        self.generator.config()
    }

    /// The simulated time.
    pub fn now(&self) -> Timestamp {
        lock(&self.clock).at(self.real_clock.now())
    }

    /// How much faster than real time simulated time passes.
    pub fn speed(&self) -> f64 {
        lock(&self.clock).speed
    }

    /// Moves the simulated clock (backwards too), or changes how fast it goes from now on; 0 stands still.
    ///
    /// # Errors
    /// A message when the speed is negative or not a number.
    pub fn set_clock(&self, now: Option<Timestamp>, speed: Option<f64>) -> Result<(), String> {
        if let Some(speed) = speed
            && !(speed.is_finite() && speed >= 0.0)
        {
            return Err(format!("speed is {speed}, but must be 0 or more"));
        }
        let real = self.real_clock.now();
        let mut clock = lock(&self.clock);
        *clock = SimulatedClock {
            real,
            simulated: now.unwrap_or_else(|| clock.at(real)),
            speed: speed.unwrap_or(clock.speed),
        };
        Ok(())
    }

    /// What goes wrong at present.
    pub fn faults(&self) -> Arc<Faults> {
        Arc::clone(&lock(&self.faults))
    }

    /// Replaces everything that goes wrong.
    ///
    /// # Errors
    /// A message that names the value when a share or a status is out of range.
    pub fn set_faults(&self, faults: Faults) -> Result<(), String> {
        faults.check()?;
        *lock(&self.faults) = Arc::new(faults);
        Ok(())
    }

    /// Every request that the API received, oldest first, as far back as the log reaches.
    pub fn requests(&self) -> Vec<RequestRecord> {
        lock(&self.requests).iter().cloned().collect()
    }

    /// The session called `id`, if it is created by `at`.
    pub fn session(&self, id: &str, at: Timestamp) -> Option<Session<'_>> {
        self.generator.find(id, at)
    }

    /// Whether the session called `id` is one that the API refuses to give (see [`SimulatorConfig::hidden_share`]).
    pub fn is_hidden(&self, id: &str) -> bool {
        id::decode(self.config().seed, id).is_some_and(|place| self.generator.is_hidden(place))
    }

    /// Whether the session called `id` is in the listing.
    pub fn is_listed(&self, id: &str) -> bool {
        id::decode(self.config().seed, id).is_some_and(|place| self.generator.is_listed(place))
    }

    /// All sessions created from `from` to `to`, both included, oldest first, future ones too.
    pub fn sessions(&self, from: Timestamp, to: Timestamp) -> Vec<Session<'_>> {
        let filter = Filter::created(from, to);
        listing::all(&self.generator, &filter).filter_map(|outline| self.generator.session(outline)).collect()
    }

    /// How many sessions are created from `from` to `to`, both included; much cheaper than making them.
    pub fn count(&self, from: Timestamp, to: Timestamp) -> u64 {
        listing::page(&self.generator, &Filter::created(from, to), 0, 0).1
    }

    /// The id of the campaign that the agent called `agent_id` runs.
    pub fn campaign_id(&self, agent_id: &str) -> String {
        json::campaign_id(self.config().seed, agent_id)
    }

    /// The API's routes, and the simulator's own under `/simulator/`.
    pub fn router(self: Arc<Self>) -> Router {
        routes::router(self)
    }

    /// Serves, and delivers webhooks, until `shutdown` is cancelled.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
        // Answers are small; waiting to fill a packet would only slow the client down.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let stop = shutdown.child_token();
        let _stop_deliveries = stop.clone().drop_guard();
        tokio::spawn(deliveries::run(Arc::clone(&self), stop));
        // Event streams end with the server; they would keep it from stopping.
        let router = self.router().layer(Extension(shutdown.clone()));
        axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }

    fn generator(&self) -> &Generator {
        &self.generator
    }

    fn real_now(&self) -> Timestamp {
        self.real_clock.now()
    }

    fn next_request(&self) -> u64 {
        self.next_request.fetch_add(1, Ordering::Relaxed)
    }

    fn log(&self, record: RequestRecord) {
        lock(&self.requests).push(record);
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator").field("seed", &self.config().seed).finish_non_exhaustive()
    }
}

/// No code panics while it holds one of these, and if it did, what it guards is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
