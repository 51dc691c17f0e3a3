//! What goes wrong, chosen at random.

use std::time::Duration;

use agntix_exporter::simulator::{FaultKind, FaultRule, Faults, Route, StreamFaults};
use fastrand::Rng;

/// Shorter than `poll.analysis_deadline`, behind which a session counts without the analysis that it has.
const LONGEST_MINUTES: u32 = 8;

/// Something that goes wrong for so long of simulated time.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Of the API.
    Api(Box<Faults>, Duration),
    /// Of the machine or its operator.
    Host(Host, Duration),
}

/// What happens to the daemon or its state.
#[derive(Clone, Copy, Debug)]
pub enum Host {
    /// SIGKILL, and a start when the time is over.
    Kill,
    /// SIGTERM, and a start when the time is over.
    Stop,
    /// The directory of the state is renamed under the running daemon, and back.
    StateMovedAway,
    /// A backup is put back that is as old as the time.
    StateFromBackup,
}

impl Fault {
    /// One to three of them.
    pub fn several(random: &mut Rng) -> Vec<Self> {
        (0..random.u32(1..=3)).map(|_| Self::any(random)).collect()
    }

    fn any(random: &mut Rng) -> Self {
        let length = Duration::from_secs(60) * random.u32(1..=LONGEST_MINUTES);
        if random.f64() < 0.3 {
            let hosts = [Host::Kill, Host::Kill, Host::Stop, Host::StateMovedAway, Host::StateFromBackup];
            return Self::Host(random.choice(hosts).unwrap(), length);
        }
        let rules = (0..random.u32(1..=3)).map(|_| rule(random)).collect();
        let stream = if random.bool() { stream(random) } else { StreamFaults::default() };
        Self::Api(Box::new(Faults { rules, stream, ..Faults::default() }), length)
    }
}

fn rule(random: &mut Rng) -> FaultRule {
    let routes = [None, None, Some(Route::List), Some(Route::Session), Some(Route::Agents), Some(Route::Stream)];
    let route = random.choice(routes).unwrap();
    let share = random.choice([0.1, 0.3, 0.6, 1.0]).unwrap();
    FaultRule { route, share, kind: kind(random) }
}

fn kind(random: &mut Rng) -> FaultKind {
    let statuses = [400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504];
    match random.u32(0..8) {
        0..=2 => FaultKind::Status(random.choice(statuses).unwrap()),
        3 => FaultKind::Delay(random.u64(10..500)),
        4 => FaultKind::Truncate,
        5 => FaultKind::HalfBody,
        6 => FaultKind::Garbage,
        _ => FaultKind::Drop,
    }
}

fn stream(random: &mut Rng) -> StreamFaults {
    StreamFaults {
        drop_after: random.bool().then(|| random.u64(1..20)),
        silent_after: random.bool().then(|| random.u64(1..50)),
        missed_share: random.f64() * 0.5,
        repeated_share: random.f64() * 0.5,
        swapped_share: random.f64() * 0.5,
        garbage_share: random.f64() * 0.3,
        comment_share: random.f64() * 0.3,
        ..StreamFaults::default()
    }
}
