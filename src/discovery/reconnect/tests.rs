//! Connections that end, refusals and silence, without a network.

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
        assert_eq!(
            state.refused(&status(refusal), 1.0),
            Reconnection { wait: Duration::ZERO, report: None },
            "{refusal}"
        );
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
