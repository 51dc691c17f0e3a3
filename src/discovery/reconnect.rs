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
/// After so many connections in a row that ended soon, or were silent, somebody is told.
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn status(status: u16) -> ApiError {
        ApiError::Status { status, code: None, request_id: None, retry_after: None }
    }

    fn with_id(id: &str) -> Reconnect {
        let mut state = Reconnect::default();
        state.event(Some(id.into()), None);
        state
    }

    fn connection(lived: Duration, events: u64) -> Connection {
        Connection { lived, alive: events > 0, events }
    }

    /// The longest wait after each of so many connections that all were the same.
    fn waits(count: usize, connection: Connection) -> Vec<Duration> {
        let mut state = Reconnect::default();
        (0..count).map(|_| state.ended(&StreamEnd::Ended, connection, 1.0).wait).collect()
    }

    #[test]
    fn refused_id_is_left_out_at_once_and_dropped_when_the_stream_opens() {
        for refusal in [400, 404, 405, 409, 410, 412, 416, 422] {
            let mut state = with_id("7");
            assert_eq!(state.refused(&status(refusal), 1.0), Reconnection { wait: Duration::ZERO, report: None }, "{refusal}");
            assert_eq!(state.id(), None, "{refusal}");
            state.opened();
            state.event(None, None);
            assert_eq!(state.id(), None, "{refusal}");
            assert!(state.ended(&StreamEnd::Ended, connection(SECOND, 1), 1.0).wait > Duration::ZERO);
        }
    }

    #[test]
    fn event_id_is_kept_if_the_stream_is_refused_without_it_too() {
        let mut state = with_id("7");
        state.refused(&status(404), 1.0);
        assert_eq!(state.refused(&status(404), 1.0), Reconnection { wait: MISSING_WAIT, report: Some(Trouble::Missing) });
        assert_eq!(state.id(), Some("7"), "it is there for a stream that comes back");
        for refusal in [401, 403, 407, 408, 425, 429, 302] {
            let mut state = with_id("7");
            assert_eq!(state.refused(&status(refusal), 0.5).report, Some(Trouble::Unavailable), "{refusal}");
            assert_eq!(state.id(), Some("7"), "{refusal}");
        }
    }

    #[test]
    fn the_id_is_doubted_before_the_path_and_an_outage_says_nothing_of_the_path() {
        for refusal in [404, 405, 410] {
            let mut state = with_id("7");
            assert!(!state.may_be_elsewhere(&status(refusal)), "{refusal}");
            state.refused(&status(refusal), 1.0);
            assert!(state.may_be_elsewhere(&status(refusal)), "{refusal}");
            state.path_changed();
            assert_eq!(state.id(), Some("7"), "it may be resumed there");
        }
        let html = ApiError::Body("text/html, and no event stream".into());
        assert!(with_id("7").may_be_elsewhere(&html));
        for refusal in [401, 403, 429, 500, 503] {
            assert!(!Reconnect::default().may_be_elsewhere(&status(refusal)), "{refusal}");
        }
    }

    #[test]
    fn failures_of_any_cause_lead_to_one_attempt_without_the_id() {
        for error in [status(500), status(503), ApiError::Body("text/html, and no event stream".into())] {
            let mut state = with_id("7");
            let sent: Vec<bool> = (0..13)
                .map(|_| {
                    let had_id = state.id().is_some();
                    state.refused(&error, 0.0);
                    had_id
                })
                .collect();
            let left_out: Vec<usize> = (0..13).filter(|attempt| !sent[*attempt]).collect();
            assert_eq!(left_out, [5, 11], "an outage costs no id");
            state.received(Connection::default());
            for _ in 0..5 {
                state.refused(&error, 0.0);
            }
            state.opened();
            assert_eq!(state.id(), None, "it opened without the id only");
        }
        let mut state = with_id("7");
        for _ in 0..5 {
            state.opened();
            assert_eq!(state.id(), Some("7"));
            state.ended(&StreamEnd::Ended, connection(SECOND, 0), 0.0);
        }
        assert_eq!(state.id(), None, "a server may end a stream that it cannot resume");
    }

    #[test]
    fn empty_id_takes_the_earlier_one_back() {
        let mut state = with_id("7");
        state.event(None, None);
        assert_eq!(state.id(), Some("7"));
        state.event(Some(String::new()), None);
        assert_eq!(state.id(), None);
    }

    #[test]
    fn stream_that_always_ends_backs_off_whatever_it_gives_first() {
        for events in [0, 1, 5, 99] {
            let waits = waits(10, connection(SECOND / 10, events));
            let expected = [2, 4, 8, 16, 32, 60, 60, 60, 60, 60].map(Duration::from_secs);
            assert_eq!(waits, expected, "{events} events");
        }
    }

    #[test]
    fn good_connections_are_resumed_soon() {
        assert_eq!(waits(10, connection(GOOD, 1)), [SECOND * 2; 10]);
        assert_eq!(waits(10, connection(SECOND, GOOD_EVENTS)), [SECOND * 2; 10]);
        // A proxy that ends every connection after 25 s.
        let waits = waits(10, connection(SECOND * 25, 2));
        assert!(waits.iter().all(|wait| *wait <= SECOND * 25 / 4), "{waits:?}");
    }

    #[test]
    fn retry_is_honoured_within_bounds() {
        let after = |retry: Duration| {
            let mut state = Reconnect::default();
            state.event(None, Some(retry));
            let first = state.ended(&StreamEnd::Ended, connection(SECOND, 1), 0.0).wait;
            let waits = (0..20).map(|_| state.ended(&StreamEnd::Ended, connection(SECOND, 1), 0.5).wait);
            (first, waits.last().unwrap())
        };
        assert_eq!(after(Duration::from_secs(3)), (SECOND * 3, SECOND * 33));
        assert_eq!(after(Duration::ZERO), (Duration::ZERO, SECOND * 30), "the backoff grows all the same");
        assert_eq!(after(Duration::from_secs(86_400)).0, RETRY_CAP);
        assert_eq!(after(Duration::from_millis(u64::MAX)).0, RETRY_CAP);
    }

    #[test]
    fn retry_after_is_obeyed() {
        let mut state = Reconnect::default();
        let busy = ApiError::Status { status: 503, code: None, request_id: None, retry_after: Some(SECOND * 90) };
        assert_eq!(state.refused(&busy, 1.0).wait, SECOND * 90);
    }

    #[test]
    fn stream_that_never_says_anything_is_reported_once() {
        let reports = |end: &StreamEnd, connection: Connection| {
            let mut state = Reconnect::default();
            let reports = (0..20).filter_map(|_| state.ended(end, connection, 0.0).report);
            reports.collect::<Vec<_>>()
        };
        let silent = connection(SECOND * 75, 0);
        assert_eq!(reports(&StreamEnd::Silent, silent), [Trouble::Silent]);
        assert_eq!(reports(&StreamEnd::Ended, connection(SECOND / 10, 0)), [Trouble::ShortLived]);
        assert_eq!(reports(&StreamEnd::Broken("reset".into()), connection(SECOND / 10, 1)), [Trouble::ShortLived]);
        assert_eq!(reports(&StreamEnd::Nonsense, connection(SECOND / 10, 0)), [Trouble::NoStream]);
        assert_eq!(reports(&StreamEnd::Ended, connection(GOOD, 3)), []);
    }

    #[test]
    fn unreadable_event_is_skipped_by_dropping_the_last_event_id() {
        let mut state = with_id("7");
        assert_eq!(state.ended(&StreamEnd::Nonsense, connection(SECOND, 0), 0.0).report, None);
        assert_eq!(state.id(), None);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Refused(u16),
        Ended(u64, u64),
        Event(Option<u8>, Option<u64>),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (300_u16..600).prop_map(Step::Refused),
            (0_u64..200_000, 0_u64..200).prop_map(|(ms, events)| Step::Ended(ms, events)),
            (proptest::option::of(0_u8..9), proptest::option::of(any::<u64>())).prop_map(|(i, r)| Step::Event(i, r)),
        ];
        proptest::collection::vec(step, 1..200)
    }

    proptest! {
        /// However a server behaves, two requests at most follow each other at once, and no wait is longer than an hour.
        #[test]
        fn requests_are_never_sent_without_a_pause(steps in steps()) {
            let mut state = Reconnect::default();
            let mut at_once = 0;
            for step in steps {
                let next = match step {
                    Step::Refused(code) => state.refused(&status(code), 1.0),
                    Step::Ended(ms, events) => {
                        state.opened();
                        state.ended(&StreamEnd::Ended, connection(Duration::from_millis(ms), events), 1.0)
                    }
                    Step::Event(id, retry) => {
                        state.received(Connection::default());
                        state.event(id.map(|id| id.to_string()), retry.map(Duration::from_millis));
                        continue;
                    }
                };
                prop_assert!(next.wait <= MISSING_WAIT);
                at_once = if next.wait < SECOND { at_once + 1 } else { 0 };
                prop_assert!(at_once <= 1);
            }
        }
    }
}
