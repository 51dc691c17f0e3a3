//! The simulator, served on loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use simulator::{AgentProfile, Session, Simulator, SimulatorConfig, Timestamp, TruthFilter};
use tokio_util::sync::CancellationToken;

use super::until;

/// A moment for simulations that stand still: 2026-04-08T06:00:00Z, whole as the `Date` of an answer is.
pub const NOON: Timestamp = Timestamp::from_millis(1_775_628_000_000);

/// Sessions of one agent that start from `start` until `until`, so many a day, each analysed as soon as it has ended. The clock
/// stands still at noon.
pub fn standing_at_noon(start: Timestamp, until: Timestamp, sessions_per_day: f64) -> SimulatorConfig {
    SimulatorConfig {
        start,
        until: Some(until),
        now: Some(NOON),
        speed: 0.0,
        agents: vec![AgentProfile { sessions_per_day, ..AgentProfile::default() }],
        analysis_delay: (Duration::ZERO, Duration::ZERO),
        no_analysis_share: 0.0,
        rate_limit: None,
        ..SimulatorConfig::default()
    }
}

/// A simulator that is being served.
pub struct Api {
    pub simulator: Arc<Simulator>,
    pub address: SocketAddr,
    stop: CancellationToken,
    _runtime: tokio::runtime::Runtime,
}

impl Api {
    pub fn start(config: SimulatorConfig) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), config)
    }

    pub fn start_at(address: SocketAddr, config: SimulatorConfig) -> Self {
        Self::serve_at(address, Simulator::new(config))
    }

    /// Serves a simulator that has a clock of its own.
    pub fn serve(simulator: Arc<Simulator>) -> Self {
        Self::serve_at("127.0.0.1:0".parse().unwrap(), simulator)
    }

    fn serve_at(address: SocketAddr, simulator: Arc<Simulator>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let stop = CancellationToken::new();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(Arc::clone(&simulator).serve(listener, stop.clone()));
        Self { simulator, address, stop, _runtime: runtime }
    }

    /// What the page must show in the end.
    pub fn truth(&self) -> BTreeMap<String, f64> {
        self.truth_within(TruthFilter::default().analysis_deadline)
    }

    /// The same, with another `poll.analysis_deadline`.
    pub fn truth_within(&self, analysis_deadline: Duration) -> BTreeMap<String, f64> {
        let filter = TruthFilter { analysis_deadline, ..TruthFilter::default() };
        self.simulator.truth(&filter, &self.simulator.config().metrics, self.simulator.now())
    }

    /// All sessions created by now.
    pub fn sessions(&self) -> Vec<Session<'_>> {
        self.simulator.sessions(self.simulator.config().start, self.simulator.now())
    }

    /// Moves the simulated clock.
    pub fn jump(&self, to: Timestamp) {
        self.simulator.set_clock(Some(to), None).unwrap();
    }

    /// Waits until every delivery was acknowledged.
    pub fn all_delivered(&self) {
        let mut progress = self.simulator.delivery_progress().unwrap();
        while !progress.done {
            let before = progress.acknowledged;
            progress = until("a delivery to be acknowledged", || {
                self.simulator.delivery_progress().filter(|progress| progress.done || progress.acknowledged > before)
            });
        }
        assert_eq!(progress.given_up, 0, "{progress:?}");
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
