//! What goes wrong with the list of a session's messages: each session's are counted exactly once or skipped with a reason, and
//! the session itself is counted whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use simulator::{
    AgentProfile, EmptyPage, FaultKind, FaultRule, Faults, ListFaults, MessageFaults, Route, Session, SimulatorConfig,
    Stranger, TotalPages, TruthFilter, Writing,
};

use super::messages::{after_noon, begun, truth};
use crate::support::{Api, Daemon, NOON, Setup, number, total, until};

/// Some of everything, with few agents and long sessions, so that every third list has several pages.
fn conversations(sessions_per_day: f64) -> SimulatorConfig {
    let config = after_noon(5, 1.0);
    let agents = config.agents.iter().map(|agent| AgentProfile { sessions_per_day, ..agent.clone() });
    SimulatorConfig { agents: agents.collect(), ..config.clone() }
}

fn setup(api: &Api, state: &tempfile::TempDir) -> Setup {
    Setup::new(api.address, &state.path().join("state")).set("MESSAGES__ENABLED", "true")
}

fn skipped(daemon: &Daemon) -> BTreeMap<String, f64> {
    let samples = daemon.samples().into_iter().filter(|(_, value)| *value > 0.0);
    samples
        .filter_map(|(name, value)| {
            Some((name.strip_prefix("agntix_exporter_messages_skipped_total")?.to_owned(), value))
        })
        .collect()
}

/// The truth, with the messages of those sessions alone.
fn truth_of(api: &Api, is_read: impl Fn(&Session<'_>) -> bool) -> BTreeMap<String, f64> {
    let (now, mut metrics) = (api.simulator.now(), api.simulator.config().metrics.clone());
    let read: BTreeSet<String> = api.sessions().into_iter().filter(is_read).map(|session| session.id).collect();
    let filter = TruthFilter { messages_after: Some(NOON), ids: Some(read), ..TruthFilter::default() };
    let of_read = api.simulator.truth(&filter, &metrics, now);
    metrics.messages_share = None;
    let mut truth = api.simulator.truth(&TruthFilter::default(), &metrics, now);
    truth.extend(of_read.into_iter().filter(|(name, _)| {
        ["session_messages", "turns", "first_response", "session_response", "unanswered", "silent"]
            .iter()
            .any(|part| name.split('{').next().is_some_and(|name| name.contains(part)))
    }));
    truth
}

/// A daemon that is given all of the sessions while that is so.
fn counted_beside(faults: Faults) -> (Api, tempfile::TempDir, Daemon) {
    sessions_beside(2_500.0, faults)
}

fn sessions_beside(sessions_per_day: f64, faults: Faults) -> (Api, tempfile::TempDir, Daemon) {
    let (api, state) = (Api::start(conversations(sessions_per_day)), tempfile::tempdir().unwrap());
    api.simulator.set_faults(faults).unwrap();
    let daemon = begun(&api, &setup(&api, &state));
    (api, state, daemon)
}

#[test]
fn messages_equal_the_truth_however_their_list_is_written() {
    let list = |lists: ListFaults| MessageFaults { lists, ..MessageFaults::default() };
    let plain = ListFaults::default;
    let untold = || ListFaults { without_total: true, total_pages: Some(TotalPages::Absent), ..plain() };
    let cases = [
        list(ListFaults { clamp: Some(7), repeats_last_page: true, ..plain() }),
        list(ListFaults { clamp: Some(40), ..untold() }),
        list(ListFaults { twice: true, empty: Some(EmptyPage::NoContent), ..plain() }),
        list(ListFaults { twice: true, empty: Some(EmptyPage::EmptyObject), ..untold() }),
        list(ListFaults { total_pages: Some(TotalPages::Zero), empty: Some(EmptyPage::BareArray), ..untold() }),
        list(ListFaults { total_pages: Some(TotalPages::RoundedDown), empty: Some(EmptyPage::NoData), ..untold() }),
        MessageFaults { without_ids: true, ..list(ListFaults { twice: true, repeats_last_page: true, ..plain() }) },
        MessageFaults { longer_by: 1_000_000, ..MessageFaults::default() },
    ];
    for messages in cases {
        let (api, _state, daemon) = counted_beside(Faults { messages, ..Faults::default() });
        assert!(api.sessions().iter().any(|session| session.said().len() > 100), "no list has two pages");
        assert!(api.sessions().iter().any(|session| session.said().is_empty()), "no list is empty");
        daemon.shows(&truth(&api));
        assert_eq!(skipped(&daemon), BTreeMap::new(), "{messages:?}");
    }
}

#[test]
fn messages_equal_the_truth_through_every_kind_of_broken_answer() {
    let kinds = [
        FaultKind::Status(429),
        FaultKind::Status(503),
        FaultKind::Status(403),
        FaultKind::Truncate,
        FaultKind::HalfBody,
        FaultKind::Garbage,
        FaultKind::Drop,
        FaultKind::Close,
        FaultKind::PersonalHeaders,
        FaultKind::Lenient(Writing::Any),
        FaultKind::Stranger(Stranger::LoginPage),
    ];
    let rules = kinds.map(|kind| FaultRule { route: Some(Route::Messages), share: 0.03, kind }).into();
    let (api, _state, daemon) = counted_beside(Faults { rules, ..Faults::default() });
    daemon.shows(&truth(&api));
    assert_eq!(skipped(&daemon), BTreeMap::new());
}

#[test]
fn messages_of_which_the_same_page_comes_again_and_again_are_skipped_and_all_others_counted() {
    let lists = ListFaults { ignores_page: true, ..ListFaults::default() };
    let messages = MessageFaults { lists, ..MessageFaults::default() };
    let (api, _state, daemon) = counted_beside(Faults { messages, ..Faults::default() });
    let is_short = |session: &Session<'_>| session.said().len() <= 100;
    daemon.shows(&truth_of(&api, is_short));
    let long = number(api.sessions().iter().filter(|session| !is_short(session)).count());
    assert!(long > 2.0, "{long}");
    until("the long ones to be skipped", || {
        (skipped(&daemon) == BTreeMap::from([(r#"{reason="failed"}"#.to_owned(), long)])).then_some(())
    });
}

#[test]
fn messages_of_sessions_that_the_api_does_not_know_are_skipped_at_once() {
    let rule = FaultRule { route: Some(Route::Messages), share: 1.0, kind: FaultKind::Status(404) };
    let (api, _state, daemon) = counted_beside(Faults { rules: vec![rule], ..Faults::default() });
    daemon.shows(&truth_of(&api, |_| false));
    let all = number(api.sessions().len());
    until("all to be skipped", || {
        (skipped(&daemon) == BTreeMap::from([(r#"{reason="missing"}"#.to_owned(), all)])).then_some(())
    });
    let asked = api.simulator.requests().iter().filter(|request| request.route == Route::Messages).count();
    // The listing may show one again at the very moment.
    assert!(number(asked) < all * 1.1, "{asked} requests for {all}");
}

#[test]
fn messages_longer_than_any_answer_that_is_read_cost_themselves_and_no_memory() {
    let messages = MessageFaults { longer_by: 5_000_000, ..MessageFaults::default() };
    let (api, _state, daemon) = sessions_beside(700.0, Faults { messages, ..Faults::default() });
    let is_empty = |session: &Session<'_>| session.said().is_empty();
    daemon.shows(&truth_of(&api, is_empty));
    let long = number(api.sessions().iter().filter(|session| !is_empty(session)).count());
    until("all others to be skipped", || {
        (skipped(&daemon) == BTreeMap::from([(r#"{reason="too_long"}"#.to_owned(), long)])).then_some(())
    });
    let most = daemon.memory_mib("VmHWM");
    assert!(most < 100.0, "{most} MiB");
}

#[test]
fn messages_that_are_refused_for_a_while_are_read_after_it() {
    for kind in [
        FaultKind::Status(403),
        FaultKind::Status(429),
        FaultKind::Status(500),
        FaultKind::Stranger(Stranger::NotFoundPage),
    ] {
        let rule = FaultRule { route: Some(Route::Messages), share: 1.0, kind };
        let (api, _state, daemon) = counted_beside(Faults { rules: vec![rule], ..Faults::default() });
        until("a refusal", || {
            api.simulator.requests().iter().any(|request| request.route == Route::Messages).then_some(())
        });
        api.simulator.set_faults(Faults::default()).unwrap();
        daemon.shows(&truth(&api));
        assert_eq!(skipped(&daemon), BTreeMap::new(), "{kind:?}");
        assert!(total(&daemon.samples(), "agntix_up") == 1.0);
    }
}
