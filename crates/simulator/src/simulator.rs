//! The state of a simulated organization: its sessions, clock, faults, rate limit and logs.
//!
//! What is done with it is elsewhere: requests are answered in `api`, webhooks delivered in `deliveries`, streams opened in
//! `stream`, the truth computed in `truth`, and `serve` puts all of it on a listener.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::config::SimulatorConfig;
use crate::deliveries::config::DeliveryConfig;
use crate::deliveries::queue::Progress;
use crate::deliveries::record::DeliveryRecord;
use crate::deliveries::state::Deliveries;
use crate::faults::Faults;
use crate::generate::Generator;
use crate::limits::{Admission, RateLimit};
use crate::listing::{self, Filter};
use crate::lock::lock;
use crate::request_log::RequestRecord;
use crate::ring::Ring;
use crate::session::Session;
use crate::stream::state::Stream;
use crate::time::{Clock, SimulatedClock, SystemClock, Timestamp};
use crate::{id, json};

/// A simulated organization and its API.
pub struct Simulator {
    generator: Generator,
    real_clock: Arc<dyn Clock>,
    clock: Mutex<SimulatedClock>,
    rate_limit: Mutex<RateLimit>,
    faults: Mutex<Arc<Faults>>,
    requests: Mutex<Ring<RequestRecord>>,
    next_request: AtomicU64,
    pub(crate) deliveries: Deliveries,
    pub(crate) stream: Stream,
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

    /// Switches the delivery of webhooks on, or off with `None`: then what waits is forgotten. While it is on, another
    /// configuration goes on with what waits, as when an endpoint is edited; `since` is for switching on only.
    ///
    /// Deliveries are made while the simulator is served.
    ///
    /// # Errors
    /// A message that names the value that is out of range.
    pub fn set_deliveries(&self, config: Option<DeliveryConfig>) -> Result<(), String> {
        self.deliveries.set(config, &self.generator, self.now())
    }

    /// What is delivered where at present.
    pub fn delivery_config(&self) -> Option<DeliveryConfig> {
        self.deliveries.config()
    }

    /// How far the deliveries have got; `None` while they are switched off.
    pub fn delivery_progress(&self) -> Option<Progress> {
        self.deliveries.progress(self.now())
    }

    /// Every finished attempt at a delivery, oldest first, as far back as the log reaches.
    pub fn deliveries(&self) -> Vec<DeliveryRecord> {
        self.deliveries.with_log(|log| log.iter().cloned().collect())
    }

    /// Event streams that are open.
    pub fn open_streams(&self) -> usize {
        self.stream.open()
    }

    pub(crate) fn generator(&self) -> &Generator {
        &self.generator
    }

    pub(crate) fn real_now(&self) -> Timestamp {
        self.real_clock.now()
    }

    /// The number of the next request, from 0.
    pub(crate) fn next_request(&self) -> u64 {
        self.next_request.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a request from the rate limit of the organization; opening a stream takes none.
    pub(crate) fn admit(&self, received_at_ms: i64, opens_stream: bool) -> Admission {
        let mut limit = lock(&self.rate_limit);
        if opens_stream { limit.peek(received_at_ms) } else { limit.admit(received_at_ms) }
    }

    /// Reads the log of requests without copying it.
    pub(crate) fn with_request_log<T>(&self, read: impl FnOnce(&Ring<RequestRecord>) -> T) -> T {
        read(&lock(&self.requests))
    }

    pub(crate) fn log(&self, record: RequestRecord) {
        lock(&self.requests).push(record);
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator").field("seed", &self.config().seed).finish_non_exhaustive()
    }
}
