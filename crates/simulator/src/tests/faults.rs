//! Faults: each kind does what it says, to the share and the route that it names, repeatably.

use serde_json::json;

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
fn every_kind_of_fault_hits_each_request_at_share_one() {
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
fn a_bad_session_is_bad_on_every_route_and_no_other_is() {
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

/// The pages of the listing, until one is empty, repeats or claims to be the last.
fn listed(simulator: &Simulator, page: u32) -> Answer {
    get(
        simulator,
        Route::List,
        "",
        &[("page", &page.to_string()), ("limit", "20"), ("createdAfter", "2000-01-01T00:00:00Z")],
    )
}

#[test]
fn lists_with_wrong_page_numbers_hold_the_same_sessions() {
    let (simulator, _) = frozen(|_| {});
    let honest = body(&listed(&simulator, 1))["pagination"].clone();
    let total = honest["total"].as_u64().unwrap();
    assert!(total > 45 && !total.is_multiple_of(20), "{total}");
    let set = |lists: ListFaults| simulator.set_faults(Faults { lists, ..Faults::default() }).unwrap();
    for (lie, pages) in [
        (TotalPages::Zero, json!(0)),
        (TotalPages::RoundedDown, json!(total / 20)),
        (TotalPages::OfLimit(7), json!(total.div_ceil(7))),
        (TotalPages::Absent, Value::Null),
    ] {
        set(ListFaults { total_pages: Some(lie), ..ListFaults::default() });
        let page = body(&listed(&simulator, 1));
        assert_eq!((&page["pagination"]["totalPages"], &page["pagination"]["total"]), (&pages, &honest["total"]));
    }
    set(ListFaults { clamp: Some(3), without_total: true, ..ListFaults::default() });
    let clamped = body(&listed(&simulator, 2));
    assert_eq!((clamped["data"].as_array().unwrap().len(), &clamped["pagination"]["limit"]), (3, &json!(20)));
    assert!(clamped["pagination"]["total"].is_null());

    let last = u32::try_from(total.div_ceil(20)).unwrap();
    set(ListFaults { repeats_last_page: true, ..ListFaults::default() });
    assert_eq!(body(&listed(&simulator, last + 5))["data"], body(&listed(&simulator, last))["data"]);
    set(ListFaults { ignores_page: true, ..ListFaults::default() });
    assert_eq!(body(&listed(&simulator, 2))["data"], body(&listed(&simulator, 1))["data"]);

    for (empty, status, text) in
        [(EmptyPage::NoContent, 204, ""), (EmptyPage::EmptyObject, 200, "{}"), (EmptyPage::BareArray, 200, "[]")]
    {
        set(ListFaults { empty: Some(empty), ..ListFaults::default() });
        let answer = listed(&simulator, last + 1);
        assert_eq!((answer.status, answer.body.as_slice()), (status, text.as_bytes()));
        assert_eq!(body(&listed(&simulator, 1))["pagination"], honest);
    }
    set(ListFaults { empty: Some(EmptyPage::NoData), ..ListFaults::default() });
    let without = body(&listed(&simulator, last + 1));
    assert!(without["data"].is_null() && without["pagination"]["total"] == honest["total"]);
}

#[test]
fn entries_without_a_usable_id_stand_beside_the_sessions() {
    let (simulator, _) = frozen(|_| {});
    let honest = body(&listed(&simulator, 1));
    for bad in [BadEntry::Null, BadEntry::NoId, BadEntry::NumberId, BadEntry::NotJson] {
        let lists = ListFaults { bad_entry: Some(bad), ..ListFaults::default() };
        simulator.set_faults(Faults { lists, ..Faults::default() }).unwrap();
        let answer = listed(&simulator, 1);
        let Ok(mut page) = serde_json::from_slice::<Value>(&answer.body) else {
            assert_eq!(bad, BadEntry::NotJson);
            continue;
        };
        let entry = page["data"].as_array_mut().unwrap().remove(10);
        assert!(entry["id"].is_null() || entry["id"].is_number(), "{bad:?}: {entry}");
        assert_eq!(page, honest, "{bad:?}");
    }
}

#[test]
fn the_state_filter_can_be_refused_and_every_nth_request_fails() {
    let (simulator, _) = frozen(|_| {});
    let lists = ListFaults { refused_state: Some(422), ..ListFaults::default() };
    simulator.set_faults(Faults { lists, ..Faults::default() }).unwrap();
    assert_eq!(get(&simulator, Route::List, "", &[("state", "OPEN")]).status, 422);
    assert_eq!(listed(&simulator, 1).status, 200);
    let every_nth = Some(EveryNth { n: 4, status: 503 });
    simulator.set_faults(Faults { every_nth, ..Faults::default() }).unwrap();
    let statuses: Vec<u16> = (0..8).map(|_| listed(&simulator, 1).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 2, "{statuses:?}");
    for (faults, why) in [
        (Faults { every_nth: Some(EveryNth { n: 0, status: 503 }), ..Faults::default() }, "every_nth"),
        (Faults { lists: ListFaults { clamp: Some(0), ..ListFaults::default() }, ..Faults::default() }, "clamp"),
    ] {
        assert!(simulator.set_faults(faults).unwrap_err().contains(why));
    }
}

#[test]
fn response_heads_have_the_configured_faults() {
    let (simulator, _) = frozen(|_| {});
    let set = |text: &str| simulator.set_faults(serde_json::from_str(text).unwrap());
    let date = || header(&get(&simulator, Route::Agents, "", &[]), "date").unwrap().to_owned();
    let honest = date();
    set(r#"{"heads":{"date":{"share":0.5,"ahead_seconds":1200}}}"#).unwrap();
    let dates: Vec<String> = (0..200).map(|_| date()).collect();
    let lies = dates.iter().filter(|date| **date != honest).count();
    assert!((70..130).contains(&lies), "{lies} of 200");
    set(r#"{"heads":{"date":{"share":1,"ahead_seconds":-60,"until_request":0}}}"#).unwrap();
    assert_eq!(date(), honest);
    set(r#"{"heads":{"date":{"share":1,"ahead_seconds":0,"drift_seconds":1}}}"#).unwrap();
    assert_ne!(date(), date());
    set(r#"{"rules":[{"share":1,"kind":{"status":503}}],"heads":{"retry_after":{"seconds":40}}}"#).unwrap();
    assert_eq!(header(&get(&simulator, Route::Agents, "", &[]), "retry-after"), Some("40"));
    set(r#"{"heads":{"retry_after":{"seconds":40,"as_date":true},"rate_limit":[["x-ratelimit-limit","{limit};w=60"],
        ["ratelimit","\"a\";r={remaining};t=1"]]}}"#)
    .unwrap();
    let answer = get(&simulator, Route::Agents, "", &[]);
    assert_eq!((header(&answer, "retry-after"), header(&answer, "x-ratelimit-limit")), (None, Some("1000000000;w=60")));
    assert!(header(&answer, "ratelimit").is_some() && header(&answer, "x-ratelimit-remaining").is_none());
    for nonsense in [
        r#"{"heads":{"date":{"share":2,"ahead_seconds":0}}}"#,
        r#"{"heads":{"date":{"share":1,"ahead_seconds":1e12}}}"#,
        r#"{"heads":{"rate_limit":[["cookie","x"]]}}"#,
    ] {
        assert!(set(nonsense).is_err(), "{nonsense}");
    }
}

#[test]
fn another_service_answers_nothing_that_the_api_would() {
    for stranger in Stranger::ALL {
        let answer = always(FaultKind::Stranger(stranger));
        let is_session = serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body["id"].is_string());
        assert!(!is_session, "{stranger:?}");
        assert!([200, 302, 404, 407].contains(&answer.status), "{stranger:?}");
        assert_eq!(header(&answer, "location").is_some(), answer.status == 302);
    }
    let text = serde_json::json!({"rules": [{"route": "agents", "share": 0.5, "kind": {"stranger": "login_page"}}]});
    let faults: Faults = serde_json::from_value(text).unwrap();
    assert_eq!(faults.rules[0].kind, FaultKind::Stranger(Stranger::LoginPage));
}

#[test]
fn an_organization_without_sessions_lists_none_and_has_none() {
    let (simulator, _) = frozen(|_| {});
    let id = some_session(&simulator);
    simulator.set_faults(Faults { no_sessions: true, ..Faults::default() }).unwrap();
    let listed = body(&get(&simulator, Route::List, "", &[]));
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["pagination"]["total"]), (0, &0.into()));
    assert_eq!(body(&get(&simulator, Route::Session, &id, &[]))["error"]["code"], "SESSION_NOT_FOUND");
    assert_eq!(get(&simulator, Route::Agents, "", &[]).status, 200);
}

#[test]
fn a_route_is_served_at_one_path() {
    let moved = Paths { session: Some("/v1/chat/sessions".into()), ..Paths::default() };
    for (paths, route, path, is_served) in [
        (Paths::default(), Route::Session, "/api/v1/chat/sessions/ses_1", true),
        (Paths::default(), Route::Session, "/v1/chat/sessions/ses_1", false),
        (Paths::default(), Route::Agents, "/v1/chat/agents", true),
        (Paths::default(), Route::Agents, "/api/v1/chat/agents", false),
        (moved.clone(), Route::Session, "/v1/chat/sessions/ses_1", true),
        (moved.clone(), Route::Session, "/api/v1/chat/sessions/ses_1", false),
        (moved, Route::List, "/api/v1/chat/sessions", true),
    ] {
        assert_eq!(paths.serve(route, path), is_served, "{paths:?} {path}");
    }
}
