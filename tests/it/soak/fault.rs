//! What goes wrong, chosen at random.

use std::time::Duration;

use fastrand::Rng;
use simulator::{
    BadEntry, DateFault, EmptyPage, EveryNth, FaultKind, FaultRule, Faults, HeadFaults, ListFaults, RetryAfter, Route,
    StreamFaults, TotalPages, Writing,
};

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
        let mut faults = Faults::default();
        while faults == Faults::default() {
            if random.bool() {
                faults.rules = (0..random.u32(1..=3)).map(|_| rule(random)).collect();
            }
            if random.f64() < 0.4 {
                faults.stream = stream(random);
            }
            if random.f64() < 0.3 {
                faults.lists = lists(random);
            }
            if random.f64() < 0.3 {
                faults.heads = heads(random);
            }
            faults.every_nth = (random.f64() < 0.1).then(|| EveryNth { n: random.u64(2..6), status: 503 });
            faults.deliveries_written = (random.f64() < 0.3).then_some(Writing::Any);
        }
        Self::Api(Box::new(faults), length)
    }
}

fn rule(random: &mut Rng) -> FaultRule {
    let routes = [None, None, Some(Route::List), Some(Route::Session), Some(Route::Agents), Some(Route::Stream)];
    let route = random.choice(routes).unwrap();
    let share = random.choice([0.1, 0.3, 0.6, 1.0]).unwrap();
    FaultRule { route, share, kind: kind(random) }
}

fn kind(random: &mut Rng) -> FaultKind {
    let statuses = [302, 400, 401, 403, 404, 407, 408, 422, 429, 500, 502, 503, 504];
    match random.u32(0..12) {
        0..=2 => FaultKind::Status(random.choice(statuses).unwrap()),
        3 => FaultKind::Delay(random.u64(10..500)),
        4 => FaultKind::Truncate,
        5 => FaultKind::HalfBody,
        6 => FaultKind::Garbage,
        7 => FaultKind::Lenient(Writing::Any),
        8 => FaultKind::BrokenItem,
        9 => FaultKind::Huge,
        10 => FaultKind::Close,
        _ => FaultKind::Drop,
    }
}

fn stream(random: &mut Rng) -> StreamFaults {
    StreamFaults {
        drop_after: some(random, 0.3, |random| random.u64(1..20)),
        silent_after: some(random, 0.2, |random| random.u64(1..50)),
        missed_share: random.f64() * 0.5,
        repeated_share: random.f64() * 0.5,
        swapped_share: random.f64() * 0.5,
        garbage_share: random.f64() * 0.3,
        comment_share: random.f64() * 0.3,
        lenient_share: random.f64() * 0.5,
        end_after: some(random, 0.2, |random| random.u64(0..10)),
        cut_after: some(random, 0.2, |random| random.u64(0..10)),
        refused_ids: some(random, 0.3, |random| random.choice([400, 404, 410]).unwrap()),
        ids_forgotten: random.bool(),
        without_ids: random.bool(),
        comments_only: random.f64() < 0.2,
        retry_ms: some(random, 0.3, |random| random.u64(0..1_000_000)),
        bom: random.bool(),
        crlf: random.bool(),
        ..StreamFaults::default()
    }
}

fn some<T>(random: &mut Rng, share: f64, value: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    (random.f64() < share).then(|| value(random))
}

/// Of several claims about a list at least one is left true, or nothing shows that there is more.
fn lists(random: &mut Rng) -> ListFaults {
    let entries = [BadEntry::Null, BadEntry::NoId, BadEntry::NumberId, BadEntry::NotJson];
    let pages = [TotalPages::Zero, TotalPages::RoundedDown, TotalPages::OfLimit(500), TotalPages::Absent];
    let empty = [EmptyPage::NoContent, EmptyPage::EmptyObject, EmptyPage::BareArray, EmptyPage::NoData];
    ListFaults {
        bad_entry: some(random, 0.3, |random| random.choice(entries).unwrap()),
        total_pages: some(random, 0.5, |random| random.choice(pages).unwrap()),
        empty: some(random, 0.5, |random| random.choice(empty).unwrap()),
        clamp: some(random, 0.3, |random| random.u64(20..60)),
        repeats_last_page: random.f64() < 0.3,
        refused_state: some(random, 0.2, |random| random.choice([400, 422]).unwrap()),
        ..ListFaults::default()
    }
}

fn heads(random: &mut Rng) -> HeadFaults {
    let date = some(random, 0.7, |random| DateFault {
        share: random.f64() * 0.4,
        ahead_seconds: (random.f64() - 0.5) * 7_200.0,
        drift_seconds: 0.0,
        until_request: None,
    });
    let retry_after = some(random, 0.4, |random| RetryAfter { seconds: random.u32(0..90), as_date: random.bool() });
    HeadFaults { date, retry_after, ..HeadFaults::default() }
}
