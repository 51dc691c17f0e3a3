//! What the core wants logged, counted and shown, as values in the order in which it came about. The shell carries them out
//! (`publish`); nothing is written, counted or shown here.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::notices::Notice;
use crate::clock::Timestamp;
use crate::session::{MalformedReason, SkipReason, Source};
use agntix_api::Route;
use exposition::LabelSet;

/// Something that the shell is to carry out.
#[derive(Debug)]
pub enum Update {
    /// A line of the log.
    Notice(Notice),
    /// A change of the exporter's own metrics.
    Metric(MetricUpdate),
    /// The session metrics are on every page from then on.
    Publish(Instant),
    /// The organization's agents, all of them.
    Agents(Vec<(LabelSet, f64)>),
    /// A session was counted.
    SessionCounted,
    /// When a source last gave what it had; `None` for one that is switched off.
    SourceSucceeded {
        /// The source.
        source: Source,
        /// When, in the API's time.
        at: Option<Timestamp>,
    },
    /// The API's time at a moment; `None` while it cannot be trusted.
    ApiTime {
        /// The moment.
        at: Instant,
        /// What the API's clock shows then.
        time: Option<Timestamp>,
    },
}

/// A change of the exporter's own metrics.
#[derive(Debug)]
pub enum MetricUpdate {
    /// A request was answered, or has failed.
    Request {
        /// Its route.
        route: Route,
        /// The status of the answer, or what came in its place.
        code: Cow<'static, str>,
        /// From sending it to the end of its answer.
        elapsed: Duration,
        /// What the answer says of the rate limit.
        stated: StatedLimit,
    },
    /// Due requests had to wait for the budget.
    Throttled(Duration),
    /// So many sessions were first heard of.
    Discovered {
        /// The source.
        source: Source,
        /// How many.
        sessions: u64,
    },
    /// A session was counted so long after its end.
    CountDelay {
        /// The source that first reported it.
        source: Source,
        /// The delay.
        delay: Duration,
    },
    /// A session was counted that no delivery has reported.
    WebhookMissed,
    /// Something made no sense in an answer about a session.
    Malformed(MalformedReason),
    /// The messages of a session were to be read and were not.
    MessagesSkipped(SkipReason),
    /// So many sessions are not watched because too many are to be.
    WatchedLeftOut(u64),
}

/// What an answer says of the rate limit, each only if it does.
#[derive(Clone, Copy, Debug)]
pub struct StatedLimit {
    /// Requests a window.
    pub limit: Option<u32>,
    /// Requests left in the window.
    pub remaining: Option<u32>,
    /// When the next window begins.
    pub reset: Option<Timestamp>,
}

/// The updates that were not carried out yet. Their room is used again and again.
#[derive(Debug, Default)]
pub(super) struct Updates(Vec<Update>);

impl Updates {
    pub(super) fn push(&mut self, update: Update) {
        self.0.push(update);
    }

    /// A line for the log.
    pub(super) fn notice(&mut self, notice: Notice) {
        self.0.push(Update::Notice(notice));
    }

    pub(super) fn metric(&mut self, update: MetricUpdate) {
        self.0.push(Update::Metric(update));
    }

    /// Something made no sense in an answer about a session.
    pub(super) fn malformed(&mut self, reason: MalformedReason) {
        self.metric(MetricUpdate::Malformed(reason));
    }

    /// A source was the first to report so many sessions.
    pub(super) fn discovered(&mut self, source: Source, sessions: u64) {
        self.metric(MetricUpdate::Discovered { source, sessions });
    }

    /// All of them, in order; none is left.
    pub(super) fn drain(&mut self) -> std::vec::Drain<'_, Update> {
        self.0.drain(..)
    }
}
