//! When to connect to the event stream again, and from where. Pure: answers, times and chance are handed in.
//!
//! What was received does not by itself end the backoff: a stream that gives one event and ends, again and again, would be
//! asked for without a pause.

use std::time::Duration;

use agntix_api::ApiError;
use agntix_api::promise::{self, Unexpected};
use agntix_api::stream::StreamEnd;

/// Longest backoff.
pub(super) const BACKOFF_CAP: Duration = Duration::from_secs(60);
/// A gateway that has no stream may get one.
pub(super) const MISSING_WAIT: Duration = Duration::from_secs(3600);
/// A connection that has lived for so long was good, if anything was received: the backoff starts afresh.
pub(super) const GOOD: Duration = Duration::from_secs(60);
/// So was one that brought so many events, however short: it was worth its request.
const GOOD_EVENTS: u64 = 100;
/// Servers and proxies that end every connection after a fixed time leave it at least this long. The wait after such a
/// connection is at most a quarter of what it lived.
const REGULAR: Duration = Duration::from_secs(10);
/// Longest `retry` that is obeyed: a day of it would be the end of the stream.
const RETRY_CAP: Duration = Duration::from_secs(300);
/// After so many failures in a row that may have any cause, one attempt is made without the event id.
const ID_DOUBT: u32 = 5;
/// After so many connections in a row that ended soon, or were silent, a warning is logged.
const SHORT_LIVED: u32 = 5;
const SILENT: u32 = 2;

/// Why there are no events, as far as one would do something else about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is nothing at that address.
    Missing,
    /// What is there is something else.
    NoStream,
    /// It is refused or cannot be reached, for now.
    Unavailable,
    /// It ends soon after it begins, each time.
    ShortLived,
    /// It opens, and nothing is received.
    Silent,
}

/// What one connection was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connection {
    /// From the request to the end.
    pub lived: Duration,
    /// Anything was received: an event, a heartbeat, a comment.
    pub alive: bool,
    /// Events, heartbeats among them.
    pub events: u64,
}

/// What follows from the end of a connection or a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reconnection {
    /// Connect again after this time.
    pub wait: Duration,
    /// To be logged now. Each trouble is reported once, and again after another one or a good connection.
    pub report: Option<Trouble>,
}

/// The state between connections.
#[derive(Debug, Default)]
pub(super) struct Reconnect {
    last_event_id: Option<String>,
    /// The next attempt leaves the id out, to see whether the id is what is refused.
    without_id: bool,
    /// Failed attempts with the id in a row.
    id_failures: u32,
    /// Connections and attempts in a row that were not good.
    failures: u32,
    silent: u32,
    retry: Duration,
    reported: Option<Trouble>,
    /// It was last seen to work.
    works: bool,
}

impl Connection {
    const fn is_good(&self) -> bool {
        self.alive && (self.lived.as_secs() >= GOOD.as_secs() || self.events >= GOOD_EVENTS)
    }
}

impl Reconnect {
    /// The id that the next request carries.
    pub(super) fn id(&self) -> Option<&str> {
        self.last_event_id.as_deref().filter(|_| !self.without_id)
    }

    /// The credential or the host may be another one.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::default();
    }

    /// A reload: connect at once, and report what is still wrong.
    pub(super) fn reloaded(&mut self) {
        (self.failures, self.silent, self.reported) = (0, 0, None);
    }

    /// The stream has been opened.
    pub(super) fn opened(&mut self) {
        if std::mem::take(&mut self.without_id) {
            // With it there was none.
            (self.last_event_id, self.id_failures) = (None, 0);
        }
    }

    /// Something was received. Whether the stream works now, and did not before.
    pub(super) fn received(&mut self, connection: Connection) -> bool {
        (self.id_failures, self.silent) = (0, 0);
        if connection.is_good() || self.reported != Some(Trouble::ShortLived) {
            self.reported = None;
            return !std::mem::replace(&mut self.works, true);
        }
        false
    }

    /// What an event says of reconnecting.
    pub(super) fn event(&mut self, id: Option<String>, retry: Option<Duration>) {
        if let Some(id) = id {
            self.last_event_id = Some(id).filter(|id| !id.is_empty());
        }
        if let Some(retry) = retry {
            self.retry = retry.min(RETRY_CAP);
        }
    }

    /// A connection has ended; `chance` is from 0 to 1.
    pub(super) fn ended(&mut self, end: &StreamEnd, connection: Connection, chance: f64) -> Reconnection {
        if !connection.alive {
            return self.ended_without_a_word(end, chance);
        }
        if connection.is_good() {
            (self.failures, self.reported) = (0, None);
        }
        let mut cap = self.raise_backoff();
        if connection.lived >= REGULAR {
            cap = cap.min(connection.lived / 4);
        }
        let report = (self.failures >= SHORT_LIVED && connection.lived < REGULAR).then_some(Trouble::ShortLived);
        self.next(cap, chance, report)
    }

    fn ended_without_a_word(&mut self, end: &StreamEnd, chance: f64) -> Reconnection {
        let cap = self.raise_backoff();
        let report = match end {
            // It comes first again wherever the stream is resumed, and is skipped. If nothing was resumed, there is nothing
            // else.
            StreamEnd::Nonsense | StreamEnd::TooLong => {
                self.last_event_id.take().is_none().then_some(Trouble::NoStream)
            }
            StreamEnd::Silent => {
                self.silent += 1;
                self.doubt_id();
                (self.silent >= SILENT).then_some(Trouble::Silent)
            }
            StreamEnd::Ended | StreamEnd::Broken(_) => {
                self.doubt_id();
                (self.failures >= SHORT_LIVED).then_some(Trouble::ShortLived)
            }
        };
        self.next(cap, chance, report)
    }

    /// Whether the answer to a request may be due to its path: the id, of which a refusal may be as well, was left out.
    pub(super) fn may_be_elsewhere(&self, error: &ApiError) -> bool {
        let may_be_the_id = self.id().is_some() && is_of_the_request(error);
        !may_be_the_id && matches!(promise::of_stream(error), Unexpected::Foreign { .. })
    }

    /// Another path is asked next: what was refused under the one before says nothing of the id.
    pub(super) fn path_changed(&mut self) {
        self.without_id = false;
    }

    /// A request was not answered with a stream; `chance` is from 0 to 1.
    pub(super) fn refused(&mut self, error: &ApiError, chance: f64) -> Reconnection {
        let had_id = self.id().is_some();
        self.without_id = false;
        if had_id && is_of_the_request(error) {
            // Events older than the server remembers, or ids of a server that was replaced. Tried again at once, once.
            self.without_id = true;
            return Reconnection { wait: Duration::ZERO, report: None };
        }
        let cap = self.raise_backoff();
        let trouble = match error {
            ApiError::Status { status: 404 | 405 | 410, .. } => Trouble::Missing,
            ApiError::Body(_) => Trouble::NoStream,
            _ => Trouble::Unavailable,
        };
        if had_id && matches!(error, ApiError::Status { status: 500..=599, .. } | ApiError::Body(_)) {
            self.doubt_id();
        }
        let mut next = self.next(cap, chance, Some(trouble));
        if trouble == Trouble::Missing {
            next.wait = MISSING_WAIT;
        } else if let Some(asked) = error.retry_after() {
            next.wait = next.wait.max(asked);
        }
        next
    }

    /// A failure that may be the id's.
    fn doubt_id(&mut self) {
        if self.last_event_id.is_some() {
            self.id_failures += 1;
            if self.id_failures >= ID_DOUBT {
                (self.without_id, self.id_failures) = (true, 0);
            }
        }
    }

    fn raise_backoff(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        Duration::from_secs(1_u64.checked_shl(self.failures.min(16)).unwrap_or(u64::MAX)).min(BACKOFF_CAP)
    }

    fn next(&mut self, cap: Duration, chance: f64, report: Option<Trouble>) -> Reconnection {
        self.works &= report.is_none();
        let report = report.filter(|trouble| self.reported.replace(*trouble) != Some(*trouble));
        // Never sooner than the server asks for.
        Reconnection { wait: self.retry + cap.mul_f64(chance), report }
    }
}

/// Whether a refusal may be due to what the request asked for, and not to who asked, how often, or when.
fn is_of_the_request(error: &ApiError) -> bool {
    let ApiError::Status { status, .. } = error else { return false };
    matches!(status, 400..=499) && !matches!(status, 401 | 403 | 407 | 408 | 425 | 429)
}

#[cfg(test)]
mod tests;
