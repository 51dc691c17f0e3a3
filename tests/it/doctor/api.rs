//! What the API says, and what it is asked.

use std::time::Duration;

use simulator::{
    AgentProfile, Clock as _, DEFAULT_KEY, FaultKind, FaultRule, Faults, NO_SCOPE_KEY, Paths, Route, SimulatorConfig,
    Stranger, SystemClock,
};

use super::{SECRET, doctor, installation, organization, set_mode};
use crate::support::{Api, free_address, until};

fn fault(api: &Api, route: Option<Route>, kind: FaultKind) {
    let rules = vec![FaultRule { route, share: 1.0, kind }];
    api.simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
}

#[test]
fn a_key_that_is_wrong_is_asked_with_once() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path());
    let found = doctor(&setup.clone().env("AGNTIX_API_KEY", "pk_live_wrong"));
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("credential", "failure")]), "{}", found.all);
    assert!(found.only("credential").1.contains("does not accept the credential in AGNTIX_API_KEY"), "{}", found.all);
    assert!(!found.all.contains("pk_live_wrong"), "{}", found.all);
    assert_eq!(api.simulator.requests().len(), 1);

    let none = doctor(&setup.clone().unset("AGNTIX_API_KEY"));
    assert_eq!((none.code, none.wrong()), (Some(1), vec![("credential", "failure")]), "{}", none.all);
    let file = place.path().join("key");
    let of_file = setup.unset("AGNTIX_API_KEY").set("API__KEY_FILE", &file.display().to_string());
    let missing = doctor(&of_file);
    assert_eq!((missing.code, missing.wrong()), (Some(1), vec![("credential", "failure")]), "{}", missing.all);
    assert_eq!(api.simulator.requests().len(), 1, "something was sent without a key");

    std::fs::write(&file, DEFAULT_KEY).unwrap();
    set_mode(&file, 0o644);
    let open = doctor(&of_file);
    assert_eq!((open.code, open.wrong()), (Some(0), vec![("secret-file", "warning")]), "{}", open.all);
    set_mode(&file, 0o400);
    assert_eq!(doctor(&of_file).wrong(), []);
}

#[test]
fn a_missing_scope_is_told_by_its_route() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path()).set("STREAM__ENABLED", "true");
    for (route, check, status, code) in [
        (Route::Agents, "agents", "warning", 0),
        (Route::List, "listing", "failure", 1),
        (Route::Session, "session", "failure", 1),
        (Route::Stream, "stream", "warning", 0),
    ] {
        fault(&api, Some(route), FaultKind::Status(403));
        let found = doctor(&setup);
        assert_eq!((found.code, found.wrong()), (Some(code), vec![(check, status)]), "{}", found.all);
        assert!(found.only(check).1.contains("lacks the scope"), "{}", found.all);
        assert_eq!(found.only("credential").0, "ok", "{}", found.all);
        // Of a load that nobody could see nothing is said.
        assert_eq!(found.of("budget").len(), usize::from(route != Route::List), "{}", found.all);
    }
    api.simulator.set_faults(Faults::default()).unwrap();
    let found = doctor(&setup.env("AGNTIX_API_KEY", NO_SCOPE_KEY));
    let all = [("agents", "warning"), ("listing", "failure"), ("session", "failure"), ("stream", "warning")];
    assert_eq!((found.code, found.wrong()), (Some(1), all.to_vec()), "{}", found.all);
}

#[test]
fn messages_are_asked_for_where_they_are_read_and_the_key_of_customers_is_looked_at() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path());
    assert!(doctor(&setup).of("messages").is_empty());
    let setup = setup.set("MESSAGES__ENABLED", "true");
    assert_eq!((doctor(&setup).wrong(), doctor(&setup).only("messages").0), (vec![], "ok"));
    fault(&api, Some(Route::Messages), FaultKind::Status(403));
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![("messages", "warning")]), "{}", found.all);
    assert!(found.only("messages").1.contains("lacks the scope"), "{}", found.all);
    api.simulator.set_faults(Faults::default()).unwrap();

    let setup = crate::numbers::customers::recognising(setup, place.path());
    let key = place.path().join("contacts-key");
    set_mode(&key, 0o600);
    assert_eq!((doctor(&setup).wrong(), doctor(&setup).only("contacts-key").0), (vec![], "ok"));
    set_mode(&key, 0o644);
    assert_eq!(doctor(&setup).wrong(), [("secret-file", "warning")]);
    std::fs::write(&key, "short").unwrap();
    let found = doctor(&setup);
    assert!(
        found.wrong().contains(&("contacts-key", "failure")) && found.all.contains("openssl rand"),
        "{}",
        found.all
    );
}

#[test]
fn a_clock_that_is_off_is_told_and_fails_where_it_refuses_deliveries() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path());
    api.jump(SystemClock.now().plus(Duration::from_secs(600)));
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![("clock", "warning")]), "{}", found.all);
    assert!(found.only("clock").1.contains(" behind the API's"), "{}", found.all);
    let webhook = setup.set("WEBHOOK__ENABLED", "true").env("AGNTIX_WEBHOOK_SECRET", SECRET);
    let found = doctor(&webhook);
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("clock", "failure")]), "{}", found.all);
}

#[test]
fn a_stream_or_a_listing_that_is_not_there_is_told_where_it_is_wanted() {
    let config = SimulatorConfig { listing_refused: Some(404), ..organization() };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    fault(&api, Some(Route::Stream), FaultKind::Status(404));
    let setup = installation(api.address, place.path()).set("SESSIONS__LISTING", "false");
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    let found = doctor(&setup.clone().set("STREAM__ENABLED", "true"));
    assert_eq!((found.code, found.wrong()), (Some(0), vec![("stream", "warning")]), "{}", found.all);
    let found = doctor(&setup.unset("SESSIONS__LISTING"));
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("listing", "failure")]), "{}", found.all);
}

#[test]
fn a_dead_api_is_one_failure_and_the_rest_is_checked_all_the_same() {
    let place = tempfile::tempdir().unwrap();
    let found = doctor(&installation(free_address(), place.path()));
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("api", "failure")]), "{}", found.all);
    assert!(found.only("api").1.contains("connection refused"), "{}", found.all);
    assert_eq!(found.json["requests"], 0, "nothing has left this machine");
    for check in ["state", "disk", "listener", "series", "webhook-secret", "web-config"] {
        assert_eq!(found.only(check).0, "ok", "{}", found.all);
    }
    for check in ["credential", "clock", "agents", "listing", "session", "stream", "budget"] {
        assert!(found.of(check).is_empty(), "{check} cannot be known: {}", found.all);
    }
}

#[test]
fn an_api_that_never_answers_does_not_hold_it_up() {
    // Takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = tempfile::tempdir().unwrap();
    let setup = installation(silent.local_addr().unwrap(), place.path()).set("API__TIMEOUT", "5m");
    // Whoever waits for it does so for a minute and a half at most, and not for as long as the configuration would.
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("api", "failure")]), "{}", found.all);
    assert!(found.only("api").1.contains("did not answer"), "{}", found.all);
}

#[test]
fn a_limit_that_is_used_up_is_left_alone() {
    let config = SimulatorConfig { rate_limit: Some(2), ..organization() };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path());
    let found = doctor(&setup.clone().set("API__BUDGET_SHARE", "1.0"));
    assert_eq!(found.code, Some(0), "{}", found.all);
    assert!(found.only("api").1.contains("the rest was not asked"), "{}", found.all);
    let asked = api.simulator.requests();
    assert!(asked.iter().filter(|request| request.route != Route::Stream).count() <= 2, "{}", found.all);
    assert!(asked.iter().all(|request| request.status == 200), "{}", found.all);

    fault(&api, None, FaultKind::Status(429));
    let before = api.simulator.requests().len();
    let found = doctor(&setup);
    assert!(found.only("api").1.contains("answers 429"), "{}", found.all);
    assert_eq!(api.simulator.requests().len(), before + 1);
}

#[test]
fn a_budget_that_is_too_small_is_told() {
    let config = SimulatorConfig { rate_limit: Some(600), ..organization() };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    let found = doctor(&installation(api.address, place.path()).set("API__BUDGET_SHARE", "0.02"));
    assert_eq!((found.code, found.wrong()), (Some(0), vec![("budget", "warning")]), "{}", found.all);
    assert!(found.only("budget").1.ends_with(": counts will come late"), "{}", found.all);
}

#[test]
fn more_series_or_agents_than_are_good_are_a_warning_that_names_the_bounds() {
    let agents = |count: u32| {
        let agents = (0..count).map(|number| AgentProfile { id: format!("agent-{number}"), ..AgentProfile::default() });
        SimulatorConfig { agents: agents.collect(), ..organization() }
    };
    let (api, place) = (Api::start(agents(1_100)), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path()).set("API__BUDGET_SHARE", "1.0");
    let found = doctor(&setup);
    assert_eq!(found.code, Some(0), "{}", found.all);
    let (status, says) = found.only("series");
    assert_eq!(status, "warning", "{}", found.all);
    assert!(says.contains("metrics.max_agents = 1000 and metrics.max_label_values = 100"), "{}", found.all);
    assert_eq!(
        found.only("agent-limit").1,
        "the organization has 1,100 agents, but metrics.max_agents is 1000: further ones are counted together as agent_id=\"other\""
    );
    let found = doctor(&setup.set("METRICS__MAX_AGENTS", "20"));
    assert_eq!(found.only("series").0, "ok", "{}", found.all);
}

/// What `stranger` is called, as the answer for a page of agents.
fn words(stranger: Stranger) -> &'static str {
    match stranger {
        Stranger::NotFoundPage => "404 (text/html)",
        Stranger::NotFoundText => "404 (text/plain)",
        Stranger::NotFoundJson => "404 (application/json)",
        Stranger::Redirect => "302, a redirect (text/html)",
        Stranger::LoginPage => "200 with text/html in place of JSON",
        Stranger::ErrorBody => "200 with an error in place of what was asked for",
        Stranger::OtherJson => "200 with JSON that is no page of agents",
        Stranger::EmptyBody => "200 with an empty body",
        Stranger::ProxyLogin => "407, a proxy that asks who is there (text/html)",
    }
}

#[test]
fn somebody_else_in_the_apis_place_is_one_failure_that_names_every_path_and_what_came() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path()).set("STREAM__ENABLED", "true");
    for stranger in Stranger::ALL {
        fault(&api, None, FaultKind::Stranger(stranger));
        let found = doctor(&setup);
        assert_eq!((found.code, found.wrong()), (Some(1), vec![("api", "failure")]), "{stranger:?}: {}", found.all);
        let (_, says) = found.only("api");
        let agents = format!("GET /v1/chat/agents was answered {0}, /api/v1/chat/agents {0}", words(stranger));
        assert!(says.contains("does not answer as the Agntix API does") && says.contains(&agents), "{says}");
        for path in ["/api/v1/chat/chat/sessions ", "/v1/chat/chat/sessions/{id} "] {
            assert!(says.contains(path), "{path} is not in {says}");
        }
        for body in ["<", "type=password", "Route matched", "login required", "login.invalid"] {
            assert!(!found.all.contains(body), "{body} in {}", found.all);
        }
        for check in ["credential", "clock", "agents", "listing", "session", "stream", "budget"] {
            assert!(found.of(check).is_empty(), "{check} cannot be known: {}", found.all);
        }
    }
}

#[test]
fn a_route_that_answers_strangely_is_named_with_all_that_was_tried() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path()).set("STREAM__ENABLED", "true");
    for (route, check, last) in [
        (Route::Agents, "agents", "/api/v1/chat/agents "),
        (Route::List, "listing", "/api/v1/chat/chat/sessions "),
        (Route::Session, "session", "/v1/chat/chat/sessions/{id} "),
        (Route::Stream, "stream", "/api/v1/chat/events/stream "),
    ] {
        for stranger in [Stranger::Redirect, Stranger::LoginPage, Stranger::ErrorBody, Stranger::NotFoundText] {
            fault(&api, Some(route), FaultKind::Stranger(stranger));
            let found = doctor(&setup);
            let may_be_done_without = route == Route::Stream
                || stranger == Stranger::NotFoundText && matches!(route, Route::Agents | Route::List);
            let status = if may_be_done_without { "warning" } else { "failure" };
            let code = i32::from(!may_be_done_without);
            assert_eq!((found.code, found.wrong()), (Some(code), vec![(check, status)]), "{stranger:?}: {}", found.all);
            assert!(found.only(check).1.contains(last), "{stranger:?}: {}", found.all);
            assert_eq!(found.only("credential").0, "ok", "{}", found.all);
        }
    }
}

#[test]
fn a_refusal_or_a_failure_is_no_reason_to_ask_under_another_path() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path());
    for status in [403, 408, 500, 503] {
        fault(&api, None, FaultKind::Status(status));
        let before = api.simulator.requests().len();
        doctor(&setup);
        let asked = api.simulator.requests().split_off(before);
        assert!(asked.len() <= 5 && asked.iter().all(|request| request.route != Route::Other), "{status}: {asked:?}");
    }
}

#[test]
fn routes_under_other_spellings_are_well_and_what_the_state_remembers_is_asked_first() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let paths = Paths {
        session: Some("/v1/chat/chat/sessions".into()),
        list: Some("/v1/chat/sessions".into()),
        agents: Some("/api/v1/chat/agents".into()),
        stream: Some("/api/v1/chat/events/stream".into()),
    };
    api.simulator.set_faults(Faults { paths, ..Faults::default() }).unwrap();
    let setup = installation(api.address, place.path());
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    let requests = found.json["requests"].as_u64().unwrap();
    assert_eq!(requests, 5 + 2 + 1 + 1 + 1, "each spelling before the right one once: {}", found.all);
    assert_eq!(found.only("agents").1, "5 agents can be read (at /api/v1/chat/agents; api.agents_path is auto)");
    assert!(found.only("session").1.contains("/v1/chat/chat/sessions/{id}"), "{}", found.all);

    let mut daemon = setup.clone().set("API__BUDGET_SHARE", "1.0").start();
    until("the paths to be found", || {
        let is_found = |path| daemon.lines_with(&format!("path={path}")) == 1;
        ["/v1/chat/sessions", "/api/v1/chat/agents", "/v1/chat/chat/sessions/{id}"]
            .into_iter()
            .all(is_found)
            .then_some(())
    });
    daemon.stops_on("TERM");
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    assert!(found.json["requests"].as_u64().unwrap() <= 6, "what is remembered is asked first: {}", found.all);
    assert_eq!(found.only("agents").1, "5 agents can be read");

    api.simulator.set_faults(Faults::default()).unwrap();
    let found = doctor(&setup);
    assert_eq!(found.code, Some(0), "{}", found.all);
    let moved = found.of("path");
    assert!(moved.len() >= 3 && moved.iter().all(|(status, _)| *status == "warning"), "{}", found.all);
    let says = moved.iter().find(|(_, says)| says.contains("the agents moved to /v1/chat/agents")).unwrap().1;
    assert!(says.contains("GET /api/v1/chat/agents was answered 404"), "{says}");
}

#[test]
fn an_organization_without_sessions_is_well_and_said() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    api.simulator.set_faults(Faults { no_sessions: true, ..Faults::default() }).unwrap();
    let found = doctor(&installation(api.address, place.path()));
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    assert!(found.only("listing").1.starts_with("sessions can be listed; there is none"), "{}", found.all);
    assert!(found.only("session").1.contains("one that does not exist was asked for"), "{}", found.all);
}
