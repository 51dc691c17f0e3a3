//! How many connections may be open, and which one gives way to a new one.
//!
//! Whoever neither sends nor reads gives way first; whoever waits for an answer that is still being made, last. Connections
//! over which scrapes come keep places of their own, so that no flood of others closes them. Pure: what happens is told
//! here, and sockets are elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::scrape::Origin;

/// Bounds of the number of connections, whatever the process may open.
const FEWEST: usize = 16;
const MOST: usize = 4096;
/// Files that the rest of the daemon may need: the state, the API's connections, the log.
const KEPT_FREE: usize = 128;
/// The share of the connections that scrapes keep for themselves is one in so many.
const SCRAPES_ONE_IN: usize = 4;
/// Two scrapes at least this far apart make a connection a regular one, which a flood of single scrapes does not close.
const REGULAR_AFTER: Duration = Duration::from_secs(1);
/// Requests that may follow each other without waiting for an answer; the connection ends after the answer to the last.
/// Prometheus sends one at a time.
const MOST_PIPELINED: u32 = 16;

/// How many connections to allow, from the text of `/proc/self/limits`; 512 where it says nothing.
pub fn limit(limits: &str) -> usize {
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next())
        .map(|soft| soft.parse().unwrap_or(usize::MAX));
    soft.map_or(512, |soft| soft.saturating_sub(KEPT_FREE) / 2).clamp(FEWEST, MOST)
}

/// Which connections give way first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Between two requests: whoever comes back finds another place.
    Idle,
    /// A request is being received, or an answer taken.
    Open,
    /// It has scraped, once so far.
    Scrape,
    /// It scrapes again and again.
    RegularScrape,
    /// An answer is being made.
    Answering,
}

/// How far the present request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There has been none yet.
    New,
    /// The last one is done with.
    Done,
    /// Its head is here, its body is not.
    Receiving,
    /// It is here as a whole.
    Answering,
    /// All of the answer is ready to be sent.
    Sending,
}

/// An open connection.
#[derive(Debug)]
struct Connection {
    /// Its place in the order in which connections give way.
    key: (Rank, u64),
    stage: Stage,
    /// The client takes nothing of what there is to send.
    is_blocked: bool,
    /// It keeps a place of those for scrapes; since when.
    scraped_first: Option<Instant>,
    is_regular: bool,
    /// The client was waited for since the last request began.
    has_waited: bool,
    /// Requests in a row that came without being waited for.
    pipelined: u32,
    evicted: CancellationToken,
}

impl Connection {
    const fn rank(&self) -> Rank {
        match self.stage {
            Stage::Answering if !self.is_blocked => Rank::Answering,
            _ if self.is_regular => Rank::RegularScrape,
            _ if self.scraped_first.is_some() => Rank::Scrape,
            Stage::Done => Rank::Idle,
            Stage::New | Stage::Receiving | Stage::Answering | Stage::Sending => Rank::Open,
        }
    }

    const fn has_scraped(&self) -> bool {
        self.scraped_first.is_some()
    }

    fn keeps_no_place(&mut self) {
        (self.scraped_first, self.is_regular) = (None, false);
    }
}

/// What is to be known of a request that begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Begun {
    /// Whose request it is.
    pub origin: Origin,
    /// The connection is to end after the answer: too many requests came without waiting for one.
    pub is_last: bool,
}

/// What a connection does. All of it is told to [`Connections`], where it is one of many; nobody is told in a test of a
/// single connection.
#[derive(Debug, Default)]
pub struct Activity {
    among: Option<(Arc<Connections>, u64)>,
}

impl Activity {
    /// The head of a request has arrived, and all of it if `is_whole`.
    pub fn begin(&self, is_whole: bool) -> Begun {
        let mut begun = Begun::default();
        self.tell(|connection| {
            connection.pipelined =
                if std::mem::take(&mut connection.has_waited) { 0 } else { connection.pipelined + 1 };
            if connection.pipelined > 1 {
                connection.keeps_no_place();
            }
            begun.origin = match connection {
                Connection { pipelined: 2.., .. } => Origin::Pipeliner,
                Connection { is_regular: true, .. } => Origin::Regular,
                _ => Origin::Anybody,
            };
            begun.is_last = connection.pipelined >= MOST_PIPELINED;
            connection.stage = if is_whole { Stage::Answering } else { Stage::Receiving };
        });
        begun
    }

    /// The last of the request's body has arrived.
    pub fn received(&self) {
        self.tell(|connection| {
            if connection.stage == Stage::Receiving {
                connection.stage = Stage::Answering;
            }
        });
    }

    /// The answer is a page of metrics, at `now`.
    pub fn scraped(&self, now: Instant) {
        self.tell(|connection| {
            // Who pipelines is no Prometheus.
            if connection.pipelined <= 1 {
                let first = *connection.scraped_first.get_or_insert(now);
                connection.is_regular |= now.saturating_duration_since(first) >= REGULAR_AFTER;
            }
        });
    }

    /// The last of the answer is ready to be sent.
    pub fn answered(&self) {
        self.tell(|connection| {
            // It may be said twice, and the second time when all has been taken.
            if matches!(connection.stage, Stage::Receiving | Stage::Answering) {
                connection.stage = Stage::Sending;
            }
        });
    }

    /// All that was ready to be sent has been taken.
    pub fn flushed(&self) {
        self.tell(|connection| {
            connection.is_blocked = false;
            // A flush while the answer is still being made, of what came before it or of its beginning, ends nothing.
            if connection.stage == Stage::Sending {
                connection.stage = Stage::Done;
            }
        });
    }

    /// The client does not take what there is to send.
    pub fn blocked(&self) {
        self.tell(|connection| connection.is_blocked = true);
    }

    /// The client has sent or taken something.
    pub fn progressed(&self) {
        if let Some((connections, id)) = &self.among {
            connections.lock().change(*id, true, |_| ());
        }
    }

    /// The client has sent nothing more.
    pub fn waited(&self) {
        self.tell(|connection| connection.has_waited = true);
    }

    fn tell(&self, change: impl FnOnce(&mut Connection)) {
        if let Some((connections, id)) = &self.among {
            connections.lock().change(*id, false, change);
        }
    }
}

/// The open connections.
#[derive(Debug)]
pub struct Connections {
    limit: usize,
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    scrapes_limit: usize,
    /// Counts connections, and what they do.
    next: u64,
    /// Those that are not told to give way.
    connections: HashMap<u64, Connection>,
    /// The first gives way first.
    order: BTreeMap<(Rank, u64), u64>,
    scrapes: usize,
    /// All that hold a file, those that have been told to give way among them.
    held: usize,
}

/// A connection's place among the open ones; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    id: u64,
    /// Cancelled when the connection has to give way.
    pub evicted: CancellationToken,
    /// Where what it does is told.
    pub activity: Arc<Activity>,
}

impl Connections {
    /// None open, `limit` allowed.
    pub fn new(limit: usize) -> Arc<Self> {
        let open = Open { scrapes_limit: (limit / SCRAPES_ONE_IN).max(1), ..Open::default() };
        Arc::new(Self { limit, open: Mutex::new(open), freed: Notify::new() })
    }

    /// A place for a new connection. Where there is none left, another one gives way: the one that has been idle for
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

    /// Makes the connection that would be the next to do so give way, for the lack of something that is not counted here.
    pub fn relieve(&self) {
        self.lock().evict_first();
    }

    /// Waits until those that were told to give way have done so, as far as more than the limit hold a file.
    pub async fn settled(&self) {
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
            stage: Stage::New,
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

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Changes a connection that has not been told to give way. It goes to the end of those of its rank if it has
    /// progressed, or come to that rank.
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

    /// Where more keep a place than there are, the one that has scraped once, and that longest ago, keeps none any more.
    fn bound_scrapes(&mut self) {
        while self.scrapes > self.scrapes_limit {
            // What is being answered is left alone.
            let first = self.order.range((Rank::Scrape, 0)..(Rank::Answering, 0)).next().map(|(_, id)| *id);
            let Some(id) = first else { return };
            self.change(id, false, Connection::keeps_no_place);
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
