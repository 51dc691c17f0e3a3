//! How many connections may be open, and which one gives way to a new one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Bounds of the number of connections, whatever the process may open.
const FEWEST: usize = 16;
const MOST: usize = 4096;
/// Files that the rest of the daemon may need: the state, the API's connections, the log.
const KEPT_FREE: usize = 128;

/// How many connections to allow, from the text of `/proc/self/limits`; 512 where it says nothing.
pub fn limit(limits: &str) -> usize {
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next())
        .map(|soft| soft.parse().unwrap_or(usize::MAX));
    soft.map_or(512, |soft| soft.saturating_sub(KEPT_FREE) / 2).clamp(FEWEST, MOST)
}

/// Whether a connection is answering a request. It is idle until the headers of one are complete, and again once the
/// system has taken the whole answer.
#[derive(Debug, Default)]
pub struct Activity {
    state: AtomicU8,
    /// Where it is one of many; none in a test of a single connection.
    among: Option<(Arc<Connections>, u64)>,
}

impl Activity {
    const IDLE: u8 = 0;
    const ANSWERING: u8 = 1;
    const SENDING: u8 = 2;

    /// A request has arrived.
    pub fn begin(&self) {
        if self.state.swap(Self::ANSWERING, Ordering::Relaxed) == Self::IDLE {
            self.tell(|open, age| Open::transfer(&mut open.idle, &mut open.busy, age));
        }
    }

    /// The last of its answer is ready to be sent.
    pub fn answered(&self) {
        // It may be said twice, and the second time when all has been taken.
        let _ = self.state.compare_exchange(Self::ANSWERING, Self::SENDING, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// All that was ready to be sent has been taken.
    pub fn flushed(&self) {
        // A flush while the answer is still being made, of what came before it or of its beginning, ends nothing.
        let sent = self.state.compare_exchange(Self::SENDING, Self::IDLE, Ordering::Relaxed, Ordering::Relaxed);
        if sent.is_ok() {
            self.tell(|open, age| Open::transfer(&mut open.busy, &mut open.idle, age));
        }
    }

    fn tell(&self, change: impl FnOnce(&mut Open, u64)) {
        if let Some((connections, age)) = &self.among {
            change(&mut connections.lock(), *age);
        }
    }
}

/// The open connections.
#[derive(Debug)]
pub struct Connections {
    limit: usize,
    open: Mutex<Open>,
}

/// Kept apart, so that the one which gives way is found at once however many others are busy.
#[derive(Debug, Default)]
struct Open {
    next: u64,
    idle: BTreeMap<u64, CancellationToken>,
    busy: BTreeMap<u64, CancellationToken>,
}

/// A connection's place among the open ones; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    age: u64,
    /// Cancelled when the connection has to give way.
    pub evicted: CancellationToken,
    /// Whether a request is being answered.
    pub activity: Arc<Activity>,
}

impl Connections {
    /// None open, `limit` allowed.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default() })
    }

    /// A place for a new connection. Where there is none left, the oldest connection on which no request is being
    /// answered gives way (half-open and idle ones are such), so that a flood of those never stops a scrape.
    pub fn admit(self: &Arc<Self>) -> Place {
        let evicted = CancellationToken::new();
        let mut open = self.lock();
        if open.idle.len() + open.busy.len() >= self.limit {
            open.evict_oldest();
        }
        let age = open.next;
        open.next += 1;
        open.idle.insert(age, evicted.clone());
        drop(open);
        let activity = Arc::new(Activity { among: Some((Arc::clone(self), age)), ..Activity::default() });
        Place { connections: Arc::clone(self), age, evicted, activity }
    }

    /// Makes the oldest connection without a request give way, for the lack of something that is not counted here.
    pub fn relieve(&self) {
        self.lock().evict_oldest();
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn evict_oldest(&mut self) {
        if let Some((_, evicted)) = self.idle.pop_first().or_else(|| self.busy.pop_first()) {
            evicted.cancel();
        }
    }

    fn transfer(from: &mut BTreeMap<u64, CancellationToken>, to: &mut BTreeMap<u64, CancellationToken>, age: u64) {
        // One that has given way meanwhile is in neither.
        if let Some(evicted) = from.remove(&age) {
            to.insert(age, evicted);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        if open.idle.remove(&self.age).is_none() {
            open.busy.remove(&self.age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_follows_the_systems() {
        let limits =
            |soft: &str| format!("Limit  Soft Limit  Hard Limit\nMax open files            {soft}  524288  files\n");
        assert_eq!(limit(&limits("1024")), 448);
        assert_eq!(limit(&limits("64")), FEWEST);
        assert_eq!(limit(&limits("unlimited")), MOST);
        assert_eq!(limit(""), 512);
    }

    #[test]
    fn the_oldest_without_a_request_gives_way() {
        let connections = Connections::new(2);
        let first = connections.admit();
        first.activity.begin();
        let second = connections.admit();
        let third = connections.admit();
        assert!(second.evicted.is_cancelled() && !first.evicted.is_cancelled());
        drop(third);
        first.activity.flushed();
        let fourth = connections.admit();
        assert!(!first.evicted.is_cancelled() && !fourth.evicted.is_cancelled());
        first.activity.answered();
        first.activity.flushed();
        let _fifth = connections.admit();
        assert!(first.evicted.is_cancelled(), "it is idle once its answer is sent");
    }
}
