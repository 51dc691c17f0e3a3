//! What a listing gets wrong about its pages and entries hides no session, and costs no more than it must.

use std::time::Duration;

use simulator::{
    AgentProfile, BadEntry, EmptyPage, EveryNth, FaultKind, FaultRule, Faults, ListFaults, Route, SimulatorConfig,
    TotalPages,
};

use crate::support::{Api, NOON, Setup, durable, is_durable, standing_at_noon, total, until};

const MINUTE: Duration = Duration::from_secs(60);

/// Some 60 sessions before noon and as many after it; all of them are over and analysed 20 minutes after noon.
fn simulation() -> SimulatorConfig {
    standing_at_noon(NOON.minus(MINUTE * 10), NOON.plus(MINUTE * 10), 9_000.0)
}

fn with(lists: ListFaults) -> Faults {
    Faults { lists, ..Faults::default() }
}

fn list_requests(api: &Api) -> usize {
    api.simulator.requests().iter().filter(|request| request.route == Route::List).count()
}

#[test]
fn no_session_is_missed_whatever_the_pages_claim() {
    let lies = [
        ListFaults { total_pages: Some(TotalPages::Zero), clamp: Some(10), ..ListFaults::default() },
        ListFaults { total_pages: Some(TotalPages::RoundedDown), clamp: Some(7), ..ListFaults::default() },
        ListFaults {
            total_pages: Some(TotalPages::OfLimit(100)),
            clamp: Some(25),
            without_total: true,
            ..ListFaults::default()
        },
        ListFaults {
            total_pages: Some(TotalPages::Absent),
            clamp: Some(20),
            empty: Some(EmptyPage::NoContent),
            ..ListFaults::default()
        },
        ListFaults {
            total_pages: Some(TotalPages::OfLimit(3)),
            empty: Some(EmptyPage::EmptyObject),
            ..ListFaults::default()
        },
        ListFaults {
            total_pages: Some(TotalPages::Zero),
            without_total: true,
            clamp: Some(10),
            empty: Some(EmptyPage::BareArray),
            ..ListFaults::default()
        },
        ListFaults {
            total_pages: Some(TotalPages::Zero),
            without_total: true,
            clamp: Some(10),
            repeats_last_page: true,
            ..ListFaults::default()
        },
        ListFaults {
            total_pages: Some(TotalPages::Zero),
            clamp: Some(10),
            empty: Some(EmptyPage::NoData),
            ..ListFaults::default()
        },
    ];
    for lists in lies {
        let api = Api::start(simulation());
        api.simulator.set_faults(with(lists)).unwrap();
        assert!(api.sessions().len() > 30, "{}", api.sessions().len());
        let state = tempfile::tempdir().unwrap();
        let daemon = Setup::new(api.address, &state.path().join("state")).start();
        daemon.shows(&api.truth());
        api.jump(NOON.plus(MINUTE * 40));
        daemon.shows(&api.truth());
        assert!(daemon.lines_with("contradicts what its pages hold") <= 1, "{lists:?}:\n{}", daemon.log());
    }
}

#[test]
fn entry_that_nobody_can_name_delays_no_session() {
    for bad in [BadEntry::Null, BadEntry::NoId, BadEntry::NumberId, BadEntry::NotJson] {
        let api = Api::start(simulation());
        api.simulator.set_faults(with(ListFaults { bad_entry: Some(bad), ..ListFaults::default() })).unwrap();
        let state = tempfile::tempdir().unwrap();
        let setup = Setup::new(api.address, &state.path().join("state")).set("POLL__LISTING_INTERVAL", "200ms");
        let daemon = setup.start();
        daemon.shows(&api.truth());
        let malformed = || total(&daemon.samples(), "agntix_exporter_malformed_sessions_total");
        assert!(malformed() >= 1.0, "{bad:?}: nothing was counted");
        api.jump(NOON.plus(MINUTE * 40));
        daemon.shows(&api.truth());
        // It stands beside other sessions on other pages, and is another one then, until sweeps reach no deeper any more.
        let sweeps = |count: usize| {
            let requests = list_requests(&api);
            until("more sweeps", || (list_requests(&api) >= requests + count).then_some(()));
        };
        sweeps(10);
        let before = malformed();
        sweeps(10);
        assert!((malformed() - before).abs() < 0.5, "{bad:?}: counted again");
        assert!(before < 9.0, "{bad:?}: counted {before} times");
        assert!(daemon.lines_with("have no readable id") < 9, "{}", daemon.log());
    }
}

#[test]
fn unlucky_requests_do_not_hold_the_first_page() {
    let api = Api::start(simulation());
    let faults = Faults { every_nth: Some(EveryNth { n: 4, status: 503 }), ..Faults::default() };
    api.simulator.set_faults(faults).unwrap();
    let truth = api.truth();
    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state")).start();
    let scrapes = daemon.scrape_until("session metrics", |scrape| scrape.samples.keys().any(|name| is_durable(name)));
    assert_eq!(durable(&scrapes.last().unwrap().samples), truth, "all of the past is in the first page");
    let waited = scrapes.last().unwrap().answered.duration_since(scrapes[0].asked);
    assert!(waited < Duration::from_secs(60), "the first page took {waited:?}:\n{}", daemon.log());
}

/// Sessions that last for long: some that are open began before any sweep that is not of the open ones reaches back to.
fn long_sessions() -> SimulatorConfig {
    let start = NOON.minus(MINUTE * 60);
    let (mean_duration, longest) = (MINUTE * 25, MINUTE * 50);
    let agent = AgentProfile { sessions_per_day: 2_000.0, mean_duration, longest, ..AgentProfile::default() };
    SimulatorConfig { start, agents: vec![agent], ..simulation() }
}

/// The listing looks back one minute at first, and ten minutes behind the newest session later.
fn open_sessions(api: &Api, state: &std::path::Path) -> (Setup, f64) {
    let open = api.sessions().iter().filter(|session| session.ended > NOON).count();
    let recent = api.sessions().iter().filter(|s| s.ended > NOON && s.created > NOON.minus(MINUTE * 15)).count();
    assert!(open > recent + 2, "{recent} of {open} open sessions are recent");
    let setup = Setup::new(api.address, &state.join("state")).set("SESSIONS__RECENT_WINDOW", "1m");
    (setup, f64::from(u32::try_from(open).unwrap()))
}

#[test]
fn failures_do_not_hide_the_sessions_that_were_open_before_the_first_start() {
    let api = Api::start(long_sessions());
    let failing = ListFaults { refused_state: Some(503), ..ListFaults::default() };
    api.simulator.set_faults(with(failing)).unwrap();
    let state = tempfile::tempdir().unwrap();
    let (setup, open) = open_sessions(&api, state.path());
    let daemon = setup.start();
    let failed = |at_least: usize| {
        let of_list = |request: &&simulator::RequestRecord| {
            request.route == Route::List && request.status == 503 && request.path.contains("state=OPEN")
        };
        (api.simulator.requests().iter().filter(of_list).count() >= at_least).then_some(())
    };
    until("failures of the open sessions' listing", || failed(4));
    api.simulator.set_faults(Faults::default()).unwrap();
    until("the open sessions", || {
        let shown = total(&daemon.samples(), "agntix_sessions_open");
        ((shown - open).abs() < 0.5).then_some(())
    });
}

#[test]
fn refused_state_filter_is_tried_again_by_the_next_start() {
    let api = Api::start(long_sessions());
    let refused = ListFaults { refused_state: Some(422), ..ListFaults::default() };
    api.simulator.set_faults(with(refused)).unwrap();
    let state = tempfile::tempdir().unwrap();
    let (setup, open) = open_sessions(&api, state.path());
    let daemon = setup.start();
    until("the refusal to be believed", || {
        (daemon.lines_with("does not list open sessions by state") == 1).then_some(())
    });
    until("the page", || (total(&daemon.samples(), "agntix_sessions_open") > 0.0).then_some(()));
    assert!(total(&daemon.samples(), "agntix_sessions_open") < open - 0.5);
    daemon.kill();
    api.simulator.set_faults(Faults::default()).unwrap();
    let daemon = setup.start();
    until("the open sessions", || {
        let shown = total(&daemon.samples(), "agntix_sessions_open");
        ((shown - open).abs() < 0.5).then_some(())
    });
}

#[test]
fn outage_right_after_the_first_start_hides_no_session() {
    for restarts in [false, true] {
        // There is nothing before noon, so that the first sweep finds nothing to begin the next one from.
        let api = Api::start(SimulatorConfig {
            start: NOON.plus(MINUTE),
            until: Some(NOON.plus(MINUTE * 10)),
            ..simulation()
        });
        let state = tempfile::tempdir().unwrap();
        let setup = Setup::new(api.address, &state.path().join("state")).set("SESSIONS__RECENT_WINDOW", "1m");
        let mut daemon = setup.start();
        until("the look-back", || (daemon.lines_with("the look-back is done") == 1).then_some(()));
        let gone = FaultRule { route: None, share: 1.0, kind: FaultKind::Drop };
        api.simulator.set_faults(Faults { rules: vec![gone], ..Faults::default() }).unwrap();
        until("the outage", || (daemon.sample("agntix_up") == Some(0.0)).then_some(()));
        api.jump(NOON.plus(MINUTE * 180));
        if restarts {
            daemon.kill();
            daemon = setup.start();
        }
        api.simulator.set_faults(Faults::default()).unwrap();
        assert!(api.sessions().len() > 30);
        daemon.shows(&api.truth());
    }
}
