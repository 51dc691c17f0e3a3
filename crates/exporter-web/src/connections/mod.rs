//! How many connections may be open, and which of them is evicted to make room for a new one.
//!
//! A connection whose client neither sends nor reads is evicted first; one whose answer is still being made, last. A share of
//! the connections is kept for scrapes, so that no flood of other clients closes them. Pure bookkeeping: connections report
//! what happens, and the sockets are elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::scrape::Origin;

/// Bounds of the number of connections, whatever the process may open.
const FEWEST: usize = 16;
const MOST: usize = 4096;
/// File descriptors for the rest of the process.
const KEPT_FREE: usize = 128;
/// One in so many connections is kept for scrapes.
const SCRAPES_ONE_IN: usize = 4;
/// A connection with two scrapes at least this far apart scrapes regularly. A flood of single scrapes does not evict it.
const REGULAR_AFTER: Duration = Duration::from_secs(1);
/// How many requests a client may send in a row without waiting for an answer; the connection is closed after the answer to
/// the last. Prometheus sends one at a time.
const MOST_PIPELINED: u32 = 16;

/// How many connections to allow, by how many files this process may have open; `None`: any number.
pub(crate) fn limit(open_files: Option<u64>) -> usize {
    let soft = open_files.map_or(usize::MAX, |soft| usize::try_from(soft).unwrap_or(usize::MAX));
    (soft.saturating_sub(KEPT_FREE) / 2).clamp(FEWEST, MOST)
}

/// The order of eviction, first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Between two requests: the client can connect again.
    Idle,
    /// A request is being received, or an answer sent.
    Open,
    /// It has scraped, once so far.
    Scrape,
    /// It scrapes regularly.
    RegularScrape,
    /// An answer is being made.
    Answering,
}

/// How far the current request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestStage {
    /// There has been none yet.
    New,
    /// The answer to the last one has been sent.
    Done,
    /// Its headers have arrived, its body has not.
    Receiving,
    /// All of it has arrived.
    Answering,
    /// The whole answer is ready to be sent.
    Sending,
}

/// An open connection.
#[derive(Debug)]
struct Connection {
    /// Its place in the order of eviction.
    key: (Rank, u64),
    stage: RequestStage,
    /// The client does not read what is ready to be sent.
    is_blocked: bool,
    /// When it scraped for the first time, while it counts as a connection that scrapes.
    scraped_first: Option<Instant>,
    is_regular: bool,
    /// The server has waited for the client since the last request began.
    has_waited: bool,
    /// Requests in a row that the server did not have to wait for.
    pipelined: u32,
    evicted: CancellationToken,
}

impl Connection {
    const fn rank(&self) -> Rank {
        match self.stage {
            RequestStage::Answering if !self.is_blocked => Rank::Answering,
            _ if self.is_regular => Rank::RegularScrape,
            _ if self.scraped_first.is_some() => Rank::Scrape,
            RequestStage::Done => Rank::Idle,
            RequestStage::New | RequestStage::Receiving | RequestStage::Answering | RequestStage::Sending => Rank::Open,
        }
    }

    const fn has_scraped(&self) -> bool {
        self.scraped_first.is_some()
    }

    fn forget_scrapes(&mut self) {
        (self.scraped_first, self.is_regular) = (None, false);
    }
}

/// What the server must know of a request that begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Begun {
    /// Who sent it.
    pub origin: Origin,
    /// The connection must be closed after the answer: too many requests came without waiting for one.
    pub is_last: bool,
}

/// Where a connection reports what it does; [`Connections`] keeps it. The default one keeps nothing, for tests of a single
/// connection.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    among: Option<(Arc<Connections>, u64)>,
}

impl Activity {
    /// Whether the client has not asked for anything yet.
    pub fn is_new(&self) -> bool {
        self.among.as_ref().is_some_and(|(connections, id)| connections.lock().is_new(*id))
    }

    /// The headers of a request have arrived, and all of it if `is_whole`.
    pub fn begin(&self, is_whole: bool) -> Begun {
        let mut begun = Begun::default();
        self.update(|connection| {
            connection.pipelined =
                if std::mem::take(&mut connection.has_waited) { 0 } else { connection.pipelined + 1 };
            if connection.pipelined > 1 {
                connection.forget_scrapes();
            }
            begun.origin = match connection {
                Connection { pipelined: 2.., .. } => Origin::Pipeliner,
                Connection { is_regular: true, .. } => Origin::Regular,
                _ => Origin::Anybody,
            };
            begun.is_last = connection.pipelined >= MOST_PIPELINED;
            connection.stage = if is_whole { RequestStage::Answering } else { RequestStage::Receiving };
        });
        begun
    }

    /// The last of the request's body has arrived.
    pub fn received(&self) {
        self.update(|connection| {
            if connection.stage == RequestStage::Receiving {
                connection.stage = RequestStage::Answering;
            }
        });
    }

    /// The answer is a page of metrics, at `now`.
    pub fn scraped(&self, now: Instant) {
        self.update(|connection| {
            // Prometheus does not pipeline.
            if connection.pipelined <= 1 {
                let first = *connection.scraped_first.get_or_insert(now);
                connection.is_regular |= now.saturating_duration_since(first) >= REGULAR_AFTER;
            }
        });
    }

    /// The last of the answer is ready to be sent.
    pub fn answered(&self) {
        self.update(|connection| {
            // It may be reported twice, the second time when all has been sent.
            if matches!(connection.stage, RequestStage::Receiving | RequestStage::Answering) {
                connection.stage = RequestStage::Sending;
            }
        });
    }

    /// All that was ready to be sent has been sent.
    pub fn flushed(&self) {
        self.update(|connection| {
            connection.is_blocked = false;
            // A flush while the answer is still being made, of an earlier answer or of its own beginning, does not end it.
            if connection.stage == RequestStage::Sending {
                connection.stage = RequestStage::Done;
            }
        });
    }

    /// The client does not read what is ready to be sent.
    pub fn blocked(&self) {
        self.update(|connection| connection.is_blocked = true);
    }

    /// The client has sent or read something.
    pub fn progressed(&self) {
        if let Some((connections, id)) = &self.among {
            connections.lock().change(*id, true, |_| ());
        }
    }

    /// The client has sent nothing more.
    pub fn waited(&self) {
        self.update(|connection| connection.has_waited = true);
    }

    fn update(&self, change: impl FnOnce(&mut Connection)) {
        if let Some((connections, id)) = &self.among {
            connections.lock().change(*id, false, change);
        }
    }
}

/// The open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: usize,
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    scrapes_limit: usize,
    /// The next number for a connection or for something that one has done.
    next: u64,
    /// Those that are not evicted.
    connections: HashMap<u64, Connection>,
    /// The first is evicted first.
    order: BTreeMap<(Rank, u64), u64>,
    scrapes: usize,
    /// All that hold a file descriptor, evicted ones among them.
    held: usize,
}

/// A connection's place among the open ones. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    id: u64,
    /// Cancelled when the connection is evicted.
    pub evicted: CancellationToken,
    /// Where it reports what it does.
    pub activity: Arc<Activity>,
}

impl Connections {
    /// No connection yet, at most `limit`.
    pub fn new(limit: usize) -> Arc<Self> {
        let open = Open { scrapes_limit: (limit / SCRAPES_ONE_IN).max(1), ..Open::default() };
        Arc::new(Self { limit, open: Mutex::new(open), freed: Notify::new() })
    }

    /// A place for a new connection. If there is none left, another connection is evicted: the one that has been idle for
    /// longest, or else the one that has neither sent nor read for longest, or else one of those that scrape.
    pub fn admit(self: &Arc<Self>) -> Place {
        let evicted = CancellationToken::new();
        let mut open = self.lock();
        if open.connections.len() >= self.limit {
            open.evict_first();
        }
        let id = open.admit(evicted.clone());
        drop(open);
        let activity = Arc::new(Activity { among: Some((Arc::clone(self), id)) });
        Place { connections: Arc::clone(self), id, evicted, activity }
    }

    /// Evicts one connection, because of a lack of something that is not counted here.
    pub fn evict_one(&self) {
        self.lock().evict_first();
    }

    /// Waits until no more connections than the limit hold a file descriptor, that is, until evicted ones have ended.
    pub async fn evictions_done(&self) {
        loop {
            let freed = self.freed.notified();
            if self.lock().held <= self.limit {
                return;
            }
            freed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn admit(&mut self, evicted: CancellationToken) -> u64 {
        let id = self.number();
        let key = (Rank::Open, id);
        let connection = Connection {
            key,
            stage: RequestStage::New,
            is_blocked: false,
            scraped_first: None,
            is_regular: false,
            has_waited: true,
            pipelined: 0,
            evicted,
        };
        self.connections.insert(id, connection);
        self.order.insert(key, id);
        self.held += 1;
        id
    }

    fn is_new(&self, id: u64) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.stage == RequestStage::New)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Changes a connection that is not evicted. It goes to the end of those of its rank if it has progressed, or if the rank
    /// is new to it.
    fn change(&mut self, id: u64, has_progressed: bool, change: impl FnOnce(&mut Connection)) {
        let number = self.number();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let had_scraped = connection.has_scraped();
        change(connection);
        let (key, rank) = (connection.key, connection.rank());
        if has_progressed || rank != key.0 {
            connection.key = (rank, number);
            self.order.remove(&key);
            self.order.insert(connection.key, id);
        }
        match (had_scraped, connection.has_scraped()) {
            (false, true) => {
                self.scrapes += 1;
                self.bound_scrapes();
            }
            (true, false) => self.scrapes -= 1,
            _ => {}
        }
    }

    /// While more connections count as scraping than are kept for scrapes, the one that has scraped only once, longest ago,
    /// does not count any more.
    fn bound_scrapes(&mut self) {
        while self.scrapes > self.scrapes_limit {
            // Those whose answer is being made are left alone.
            let first = self.order.range((Rank::Scrape, 0)..(Rank::Answering, 0)).next().map(|(_, id)| *id);
            let Some(id) = first else { return };
            self.change(id, false, Connection::forget_scrapes);
        }
    }

    fn evict_first(&mut self) {
        if let Some((_, id)) = self.order.pop_first()
            && let Some(connection) = self.connections.remove(&id)
        {
            self.scrapes -= usize::from(connection.has_scraped());
            connection.evicted.cancel();
        }
    }

    fn free(&mut self, id: u64) {
        if let Some(connection) = self.connections.remove(&id) {
            self.scrapes -= usize::from(connection.has_scraped());
            self.order.remove(&connection.key);
        }
        self.held -= 1;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().free(self.id);
        self.connections.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
