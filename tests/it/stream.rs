//! The event stream: hints of what to ask for. With nothing else it suffices while it works; whatever it misses, repeats
//! or garbles costs delay and never truth.

use std::time::Duration;

use simulator::{
    Clock as _, FaultKind, FaultRule, Faults, Paths, Route, SimulatorConfig, Stranger, StreamFaults, SystemClock,
};

use crate::support::{Api, Daemon, Setup, number, until};

/// An organization that sleeps until [`begin`]: 200 sessions then, within four seconds.
fn asleep() -> Api {
    let start = SystemClock.now();
    Api::start(SimulatorConfig { now: Some(start), speed: 0.0, ..SimulatorConfig::load(start, 50.0, 200) })
}

/// Lets time pass once the daemon follows the stream.
fn begin(api: &Api) {
    until("the stream to be followed", || (api.simulator.open_streams() == 1).then_some(()));
    api.simulator.set_clock(None, Some(1.0)).unwrap();
}

/// Waits until all sessions are over and analysed, and the page shows them all.
fn shows_all(daemon: &Daemon, api: &Api) {
    let over = api.simulator.config().until.unwrap().plus(Duration::from_secs(4));
    until("the last session to end", || (api.simulator.now() > over).then_some(()));
    daemon.shows(&api.truth());
}

fn following(api: &Api, state: &tempfile::TempDir) -> Setup {
    Setup::new(api.address, &state.path().join("state")).set("STREAM__ENABLED", "true")
}

fn requests(api: &Api, route: Route) -> usize {
    api.simulator.requests().iter().filter(|request| request.route == route).count()
}

#[test]
fn with_nothing_but_the_stream_sessions_are_counted_as_they_end_and_drops_lose_none() {
    let (api, state) = (asleep(), tempfile::tempdir().unwrap());
    let daemon = following(&api, &state).set("SESSIONS__LISTING", "false").start();
    begin(&api);
    // Without `Last-Event-ID` the simulator goes on with new events only, so that each drop would lose some.
    let stream = StreamFaults { drop_after: Some(150), ..StreamFaults::default() };
    api.simulator.set_faults(Faults { stream, ..Faults::default() }).unwrap();
    shows_all(&daemon, &api);
    let connections = requests(&api, Route::Stream);
    assert!(connections > 3, "{connections} connections");
    assert_eq!(requests(&api, Route::List), 0);
    let samples = daemon.samples();
    let sessions = number(api.sessions().len());
    assert_eq!(samples[r#"agntix_exporter_sessions_discovered_total{source="stream"}"#], sessions);
    assert!(samples.contains_key(r#"agntix_exporter_source_last_success_timestamp_seconds{source="stream"}"#));
    assert_eq!(samples["agntix_exporter_webhook_missed_sessions_total"], 0.0);
    assert_eq!(daemon.lines_with("level=error"), 0, "{}", daemon.log());
}

#[test]
fn whatever_the_stream_does_the_listing_makes_good() {
    for stream in [
        StreamFaults {
            drop_after: Some(200),
            missed_share: 0.3,
            repeated_share: 0.3,
            swapped_share: 0.2,
            garbage_share: 0.1,
            comment_share: 0.2,
            bom: true,
            crlf: true,
            ..StreamFaults::default()
        },
        StreamFaults { endless_after: Some(100), ..StreamFaults::default() },
        StreamFaults { silent_after: Some(100), ..StreamFaults::default() },
    ] {
        let (api, state) = (asleep(), tempfile::tempdir().unwrap());
        let daemon = following(&api, &state).start();
        begin(&api);
        api.simulator.set_faults(Faults { stream, ..Faults::default() }).unwrap();
        shows_all(&daemon, &api);
        assert_eq!(daemon.lines_with("level=error") + daemon.lines_with("panic"), 0, "{}", daemon.log());
        assert_eq!(daemon.sample("agntix_up"), Some(1.0));
    }
}

/// Nonsense comes again each time that the stream is resumed before it; it must not be the end of the stream.
#[test]
fn nonsense_that_comes_again_is_skipped() {
    let (api, state) = (asleep(), tempfile::tempdir().unwrap());
    let daemon = following(&api, &state).set("SESSIONS__LISTING", "false").start();
    begin(&api);
    api.simulator.set_clock(None, Some(0.1)).unwrap();
    // One piece of garbage in ten is no UTF-8.
    let stream = StreamFaults { garbage_share: 0.2, ..StreamFaults::default() };
    api.simulator.set_faults(Faults { stream, ..Faults::default() }).unwrap();
    until("sessions to be heard of after nonsense", || {
        let heard = daemon.sample(r#"agntix_exporter_sessions_discovered_total{source="stream"}"#).unwrap();
        (heard > 50.0).then_some(())
    });
    assert_eq!(requests(&api, Route::Stream), 1, "an event that cannot be read ends the stream");
}

#[test]
fn a_stream_that_is_not_there_is_one_warning() {
    let (api, state) = (asleep(), tempfile::tempdir().unwrap());
    let daemon = following(&api, &state).set("API__STREAM_PATH", "/v1/nothing/here").start();
    until("a warning", || (daemon.lines_with("there is no event stream at api.stream_path") == 1).then_some(()));
    api.simulator.set_clock(None, Some(1.0)).unwrap();
    shows_all(&daemon, &api);
    assert_eq!(daemon.lines_with("level=warn"), 1, "{}", daemon.log());
    assert_eq!(requests(&api, Route::Other), 1);
}

#[test]
fn a_stream_under_another_spelling_is_found_shown_and_remembered() {
    const OTHER: &str = "/api/v1/chat/events/stream";
    let (api, state) = (asleep(), tempfile::tempdir().unwrap());
    let paths = Paths { stream: Some(OTHER.into()), ..Paths::default() };
    api.simulator.set_faults(Faults { paths, ..Faults::default() }).unwrap();
    let setup = following(&api, &state);
    let mut daemon = setup.start();
    begin(&api);
    let is_shown = |daemon: &Daemon| {
        let page = daemon.get("/").1;
        (page.contains(OTHER) && !page.contains("no good answer yet")).then_some(())
    };
    until("the page to show where it is", || is_shown(&daemon));
    shows_all(&daemon, &api);
    assert_eq!(daemon.lines_with(&format!("path={OTHER}")), 1, "{}", daemon.log());
    assert_eq!(daemon.lines_with("there is no event stream"), 0, "{}", daemon.log());
    assert_eq!(requests(&api, Route::Other), 1);
    daemon.stops_on("TERM");
    let daemon = setup.start();
    until("the stream to be followed", || (api.simulator.open_streams() == 1).then_some(()));
    until("the page to show where it is", || daemon.get("/").1.contains(OTHER).then_some(()));
    assert_eq!(requests(&api, Route::Other), 1, "what was found is asked first");
}

#[test]
fn a_stream_that_is_not_there_under_any_spelling_is_one_warning_that_names_them() {
    let (api, state) = (asleep(), tempfile::tempdir().unwrap());
    let kind = FaultKind::Stranger(Stranger::NotFoundText);
    let rules = vec![FaultRule { route: Some(Route::Stream), share: 1.0, kind }];
    api.simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
    let daemon = following(&api, &state).start();
    let tried = "/v1/chat/events/stream was answered 404, /api/v1/chat/events/stream 404";
    until("a warning", || (daemon.lines_with(tried) == 1).then_some(()));
    until("the page to say it", || daemon.get("/").1.contains(tried).then_some(()));
    api.simulator.set_clock(None, Some(1.0)).unwrap();
    shows_all(&daemon, &api);
    assert_eq!(daemon.lines_with("level=warn"), 1, "{}", daemon.log());
    assert_eq!(requests(&api, Route::Stream) + requests(&api, Route::Other), 2);
    assert_eq!(daemon.sample("agntix_up"), Some(1.0));
}

/// Such as the page of a proxy, or another route of the API.
#[test]
fn an_address_that_answers_with_something_else_is_one_warning() {
    let (api, state) = (asleep(), tempfile::tempdir().unwrap());
    let setup = following(&api, &state).set("SESSIONS__LISTING", "false");
    let daemon = setup.set("API__STREAM_PATH", "/api/v1/chat/sessions").start();
    until("it to be tried again", || (requests(&api, Route::List) > 2).then_some(()));
    assert_eq!(daemon.lines_with("application/json, and no event stream"), 1, "{}", daemon.log());
    assert_eq!(daemon.lines_with("level=warn") + daemon.lines_with("level=error"), 1, "{}", daemon.log());
    assert_eq!(daemon.sample("agntix_up"), Some(1.0));
}

#[test]
fn the_stream_does_not_count_against_the_budget() {
    let (api, state) = (asleep(), tempfile::tempdir().unwrap());
    let daemon =
        following(&api, &state).set("API__BUDGET_SHARE", "0.000000001").set("API__REQUESTS_PER_MINUTE", "1").start();
    begin(&api);
    let stream = StreamFaults { drop_after: Some(1), ..StreamFaults::default() };
    api.simulator.set_faults(Faults { stream, ..Faults::default() }).unwrap();
    until("several streams", || (requests(&api, Route::Stream) > 4).then_some(()));
    let all = api.simulator.requests().len();
    assert!(all - requests(&api, Route::Stream) <= 1, "{:?}", api.simulator.requests());
    assert_eq!(daemon.sample("agntix_up"), Some(1.0), "{}", daemon.log());
}

const STREAM_SUCCESS: &str = r#"agntix_exporter_source_last_success_timestamp_seconds{source="stream"}"#;

/// A server that was replaced, or one that remembers no events so old.
#[test]
fn refused_event_id_is_dropped_and_the_stream_is_followed_without_it() {
    for refused in [400, 404, 410] {
        let (api, state) = (asleep(), tempfile::tempdir().unwrap());
        let daemon = following(&api, &state).set("SESSIONS__LISTING", "false").start();
        begin(&api);
        // The first connection brings ids and ends. No later one can be resumed.
        let stream = StreamFaults { drop_after: Some(100), refused_ids: Some(refused), ..StreamFaults::default() };
        api.simulator.set_faults(Faults { stream, ..Faults::default() }).unwrap();
        let heard = || daemon.sample(r#"agntix_exporter_sessions_discovered_total{source="stream"}"#);
        let statuses = || {
            let requests = api.simulator.requests().into_iter().filter(|request| request.route == Route::Stream);
            requests.map(|request| request.status).collect::<Vec<_>>()
        };
        until("the id to be refused and the stream to be opened again", || {
            let refusal = statuses().iter().position(|status| *status == refused)?;
            statuses().get(refusal + 1).map(|after| assert_eq!(*after, 200))
        });
        let before = heard();
        until("more sessions to be heard of", || (heard() > before).then_some(()));
        assert_eq!(daemon.lines_with("level=warn") + daemon.lines_with("level=error"), 0, "{}", daemon.log());
    }
}

#[test]
fn comments_alone_show_that_the_stream_lives() {
    let start = SystemClock.now();
    let mut config = SimulatorConfig { now: Some(start), speed: 0.0, ..SimulatorConfig::load(start, 50.0, 200) };
    config.stream.heartbeat = Duration::from_millis(500);
    let (api, state) = (Api::start(config), tempfile::tempdir().unwrap());
    let stream = StreamFaults { comments_only: true, ..StreamFaults::default() };
    api.simulator.set_faults(Faults { stream, ..Faults::default() }).unwrap();
    let daemon = following(&api, &state).set("SESSIONS__LISTING", "false").start();
    let first = until("a first comment", || daemon.sample(STREAM_SUCCESS));
    until("a later one", || daemon.sample(STREAM_SUCCESS).filter(|last| *last >= first + 2.0));
    assert_eq!(requests(&api, Route::Stream), 1);
}

#[test]
fn stream_that_always_ends_is_asked_for_ever_more_rarely_and_one_warning() {
    let faults = [
        StreamFaults { end_after: Some(1), ..StreamFaults::default() },
        StreamFaults { end_after: Some(0), ..StreamFaults::default() },
        StreamFaults { cut_after: Some(1), retry_ms: Some(0), ..StreamFaults::default() },
        StreamFaults { end_after: Some(1), without_ids: true, ..StreamFaults::default() },
    ];
    let watch = |stream: StreamFaults| {
        let start = SystemClock.now();
        let api = Api::start(SimulatorConfig { now: Some(start), ..SimulatorConfig::load(start, 50.0, 1_000_000) });
        api.simulator.set_faults(Faults { stream, ..Faults::default() }).unwrap();
        let state = tempfile::tempdir().unwrap();
        let daemon = following(&api, &state).set("SESSIONS__LISTING", "false").start();
        let warning = "the event stream ends soon after each connection";
        until("a warning", || (daemon.lines_with(warning) == 1).then_some(()));
        // The waits before were up to 2, 4, 8 and 16 s; without them there would be hundreds of requests by now.
        let asked = requests(&api, Route::Stream);
        assert!(asked <= 7, "{asked} requests: {stream:?}");
        assert_eq!(daemon.lines_with("level=warn"), 1, "{}", daemon.log());
    };
    // Side by side: most of the time is spent waiting.
    std::thread::scope(|scope| faults.map(|stream| drop(scope.spawn(move || watch(stream)))));
}

#[test]
fn retry_of_the_stream_is_waited_for() {
    let start = SystemClock.now();
    let api = Api::start(SimulatorConfig { now: Some(start), ..SimulatorConfig::load(start, 50.0, 1_000_000) });
    let stream = StreamFaults { end_after: Some(100), retry_ms: Some(4_000), ..StreamFaults::default() };
    api.simulator.set_faults(Faults { stream, ..Faults::default() }).unwrap();
    let state = tempfile::tempdir().unwrap();
    let _daemon = following(&api, &state).set("SESSIONS__LISTING", "false").start();
    let asked = || {
        let requests = api.simulator.requests().into_iter().filter(|request| request.route == Route::Stream);
        requests.map(|request| request.received_at_ms).collect::<Vec<_>>()
    };
    until("two requests", || (asked().len() >= 2).then_some(()));
    let times = asked();
    assert!(times[1] - times[0] >= 4_000, "{times:?}");
}
