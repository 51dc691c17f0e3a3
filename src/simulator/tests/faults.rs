//! Faults: each kind does what it says, to the share and the route that it names, repeatably.

use super::*;

fn with_fault(route: Option<Route>, share: f64, kind: FaultKind) -> Arc<Simulator> {
    let (simulator, _) = frozen(|_| {});
    simulator.set_faults(Faults { rules: vec![FaultRule { route, share, kind }], ..Faults::default() }).unwrap();
    simulator
}

fn some_session(simulator: &Simulator) -> String {
    let sessions = simulator.sessions(simulator.config().start, simulator.now());
    sessions.iter().find(|session| session.analysis_at.is_some()).unwrap().id.clone()
}

fn always(kind: FaultKind) -> Answer {
    let simulator = with_fault(None, 1.0, kind);
    get(&simulator, Route::Session, &some_session(&simulator), &[])
}

#[test]
fn every_kind_at_share_one_hits() {
    for status in [401, 403, 404, 429, 500, 502, 503] {
        let answer = always(FaultKind::Status(status));
        assert_eq!(answer.status, status);
        assert_eq!(header(&answer, "retry-after").is_some(), status == 429);
        assert_eq!(answer.content_type == "text/html", status == 502);
    }
    assert_eq!(always(FaultKind::Delay(250)).delay, Duration::from_millis(250));
    let cut = always(FaultKind::Truncate);
    assert_eq!(cut.delivery, Delivery::CutAt(cut.body.len() / 2));
    assert_eq!(always(FaultKind::Drop).delivery, Delivery::Drop);
    for broken in [FaultKind::HalfBody, FaultKind::Garbage] {
        let answer = always(broken);
        assert_eq!((answer.status, answer.delivery), (200, Delivery::Whole));
        assert!(serde_json::from_slice::<Value>(&answer.body).is_err());
    }
    let huge = always(FaultKind::Huge);
    assert!(huge.body.len() > 4 * 1024 * 1024);
    assert!(body(&huge)["createdAt"].is_string(), "only its size is wrong");
    let odd = body(&always(FaultKind::UnknownEnums));
    assert_eq!((odd["type"].as_str(), odd["platform"].as_str()), (Some("NEW_TYPE"), Some("NEW_PLATFORM")));
}

#[test]
fn wrong_types_are_wrong_in_several_ways_and_still_json() {
    let simulator = with_fault(None, 1.0, FaultKind::WrongTypes);
    let id = some_session(&simulator);
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let session = body(&get(&simulator, Route::Session, &id, &[]));
        kinds.insert(match &session {
            s if s["createdAt"].is_object() => "time as object",
            s if s["createdAt"].is_null() => "time as null",
            s if s["state"].is_array() => "state as list",
            s if s["id"].is_null() => "id as null",
            s if s["analysis"]["resolution"]["confidenceScore"].is_string() => "numbers as text",
            s => panic!("nothing is wrong with {s}"),
        });
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

#[test]
fn a_fault_keeps_to_its_route_and_share_and_repeats() {
    let run = || {
        let simulator = with_fault(Some(Route::Session), 0.25, FaultKind::Status(503));
        let id = some_session(&simulator);
        for _ in 0..400 {
            assert_eq!(get(&simulator, Route::Agents, "", &[]).status, 200);
            get(&simulator, Route::Session, &id, &[]);
        }
        simulator.requests().into_iter().map(|record| record.status).collect::<Vec<_>>()
    };
    let statuses = run();
    let hit = statuses.iter().filter(|status| **status == 503).count();
    assert!((70..130).contains(&hit), "{hit} of 400");
    assert_eq!(statuses, run());
}

#[test]
fn a_delay_adds_to_another_fault() {
    let (simulator, _) = frozen(|_| {});
    let rule = |kind| FaultRule { route: None, share: 1.0, kind };
    let rules = vec![rule(FaultKind::Delay(10)), rule(FaultKind::Status(500)), rule(FaultKind::Status(404))];
    simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
    let answer = get(&simulator, Route::Agents, "", &[]);
    assert_eq!((answer.delay, answer.status), (Duration::from_millis(10), 500));
}

#[test]
fn a_bad_session_is_bad_everywhere_and_alone() {
    let (simulator, _) = frozen(|_| {});
    let (start, now) = (simulator.config().start, simulator.now());
    let ids: Vec<String> = simulator.sessions(start, now).into_iter().map(|session| session.id).collect();
    let everything = simulator.truth(&TruthFilter::default(), &simulator.config().metrics, now);
    simulator.set_faults(Faults { bad_sessions: [ids[3].clone()].into(), ..Faults::default() }).unwrap();
    assert!(serde_json::from_slice::<Value>(&get(&simulator, Route::Session, &ids[3], &[]).body).is_err());
    assert_eq!(body(&get(&simulator, Route::Session, &ids[4], &[]))["id"], ids[4]);
    let listed = body(&get(&simulator, Route::List, "", &[("sort", "createdAt:asc")]));
    let malformed = |entry: &&Value| entry["createdAt"].is_object();
    let bad: Vec<&Value> = listed["data"].as_array().unwrap().iter().filter(malformed).collect();
    assert_eq!((bad.len(), bad[0]["id"].as_str()), (1, Some(ids[3].as_str())));
    let started = |truth: &std::collections::BTreeMap<String, f64>| {
        truth.iter().filter(|(name, _)| name.starts_with("agntix_sessions_started_total")).map(|(_, n)| n).sum::<f64>()
    };
    let without = simulator.truth(&TruthFilter::default(), &simulator.config().metrics, now);
    assert!((started(&everything) - started(&without) - 1.0).abs() < 1e-9);
}

#[test]
fn nonsense_is_refused() {
    let (simulator, _) = frozen(|_| {});
    for (share, kind) in [(1.5, FaultKind::Drop), (f64::NAN, FaultKind::Drop), (1.0, FaultKind::Status(200))] {
        let rules = vec![FaultRule { route: None, share, kind }];
        assert!(simulator.set_faults(Faults { rules, ..Faults::default() }).is_err());
    }
    assert_eq!(*simulator.faults(), Faults::default());
}
