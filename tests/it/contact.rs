//! P11: what was never seen to work, or does not work any more, is not reported as working.

use std::time::{Duration, Instant};

use simulator::{FaultKind, FaultRule, Faults, Paths, Route, SimulatorConfig, Stranger};

use crate::support::{Api, Daemon, NOON, Setup, ledger, standing_at_noon, total, until};

const MINUTE: Duration = Duration::from_secs(60);
const UP: &str = "agntix_up";
const CATCHING_UP: &str = "agntix_exporter_catching_up";

/// Sessions that were over long before the start, on a clock that stands still.
fn simulation() -> SimulatorConfig {
    standing_at_noon(NOON.minus(MINUTE * 50), NOON.minus(MINUTE * 40), 9_000.0)
}

fn answers_with(api: &Api, route: Option<Route>, stranger: Stranger) {
    let rules = vec![FaultRule { route, share: 1.0, kind: FaultKind::Stranger(stranger) }];
    api.simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
}

fn mend(api: &Api) {
    api.simulator.set_faults(Faults::default()).unwrap();
}

/// What `stranger` is called.
fn words(stranger: Stranger) -> &'static str {
    match stranger {
        Stranger::NotFoundPage => "404 (text/html)",
        Stranger::NotFoundText => "404 (text/plain)",
        Stranger::NotFoundJson => "404 (application/json)",
        Stranger::Redirect => "302, a redirect (text/html)",
        Stranger::LoginPage => "200 with text/html in place of JSON",
        Stranger::ErrorBody => "200 with an error in place of what was asked for",
        Stranger::OtherJson => "200 with JSON that is no page of sessions",
        Stranger::EmptyBody => "200 with an empty body",
        Stranger::ProxyLogin => "407, a proxy that asks who is there (text/html)",
    }
}

fn is_well(daemon: &Daemon) -> Option<()> {
    let is_ready = daemon.get("/-/ready").0 == 200;
    (is_ready && daemon.sample(UP) == Some(1.0) && daemon.get("/").1.contains("All is well")).then_some(())
}

/// Down, not ready, and saying why; how the page says it.
fn is_down(daemon: &Daemon, words: &str) -> Option<String> {
    // What the page says, readiness says from then on; the other way round, a change in between would be missed.
    let page = daemon.get("/").1.replace("&#60;", "<").replace("&#62;", ">");
    let (status, text) = daemon.get("/-/ready");
    let says = text.contains(words) && page.contains(words) && page.contains("Agntix does not answer");
    (status == 503 && daemon.sample(UP) == Some(0.0) && says).then_some(text)
}

#[test]
fn a_host_that_is_not_the_api_is_never_well_and_is_found_when_it_is() {
    for stranger in [Stranger::NotFoundPage, Stranger::LoginPage] {
        let api = Api::start(simulation());
        answers_with(&api, None, stranger);
        let state = tempfile::tempdir().unwrap();
        let daemon = Setup::new(api.address, &state.path().join("state")).start();
        let began = Instant::now();
        let said = until("it to be down", || {
            assert!(daemon.get("/-/ready").0 == 503 && daemon.sample(UP) == Some(0.0), "it is well:\n{}", daemon.log());
            assert_eq!(daemon.sample(CATCHING_UP), Some(1.0));
            is_down(&daemon, words(stranger))
        });
        assert!(began.elapsed() < MINUTE, "it took {:?}", began.elapsed());
        assert!(said.contains("api.base_url") && said.contains("GET /api/v1/chat/sessions"), "{said}");
        assert_eq!(total(&daemon.samples(), "agntix_sessions_ended_total"), 0.0);
        assert_eq!(daemon.lines_with("does not answer as the Agntix API does"), 1, "{}", daemon.log());
        mend(&api);
        daemon.shows(&api.truth());
        until("it to be well", || is_well(&daemon));
        assert_eq!(daemon.lines_with("the API answers again"), 1, "{}", daemon.log());
    }
}

#[test]
fn a_stranger_in_front_of_all_routes_after_a_good_start_is_noticed_and_so_is_its_end() {
    let api = Api::start(simulation());
    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state")).start();
    daemon.shows(&api.truth());
    until("it to be well", || is_well(&daemon));
    for stranger in [Stranger::Redirect, Stranger::LoginPage, Stranger::ErrorBody, Stranger::ProxyLogin] {
        answers_with(&api, None, stranger);
        let began = Instant::now();
        until(words(stranger), || is_down(&daemon, words(stranger)));
        assert!(began.elapsed() < MINUTE, "{stranger:?} took {:?}", began.elapsed());
        mend(&api);
        until("it to be well", || is_well(&daemon));
    }
    daemon.shows(&api.truth());
    assert_eq!(daemon.lines_with("the API answers again"), 4, "{}", daemon.log());
    assert!(!daemon.log().contains("login.invalid") && !daemon.log().contains("<form>"), "{}", daemon.log());
}

#[test]
fn routes_are_found_under_the_spelling_that_is_served_and_remembered_over_restarts_and_moves() {
    if ledger::is_skipped(
        module_path!(),
        "routes_are_found_under_the_spelling_that_is_served_and_remembered_over_restarts_and_moves",
        "SQLite's files",
    ) {
        return;
    }
    let api = Api::start(simulation());
    let paths = Paths {
        session: Some("/v1/chat/chat/sessions".into()),
        list: Some("/api/v1/chat/chat/sessions".into()),
        agents: Some("/api/v1/chat/agents".into()),
        stream: None,
    };
    api.simulator.set_faults(Faults { paths: paths.clone(), ..Faults::default() }).unwrap();
    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state"));
    let mut daemon = setup.start();
    daemon.shows(&api.truth());
    until("it to be well", || is_well(&daemon));
    let page = daemon.get("/").1;
    for path in ["/v1/chat/chat/sessions/{id}", "/api/v1/chat/chat/sessions", "/api/v1/chat/agents"] {
        assert!(page.contains(path), "{path} is not in {page}");
        assert_eq!(daemon.lines_with(&format!("path={path}")), 1, "{path} in {}", daemon.log());
    }
    let wrong = |api: &Api| api.simulator.requests().iter().filter(|request| request.route == Route::Other).count();
    assert_eq!(wrong(&api), 3 + 1 + 2, "each spelling before the right one is asked once");
    daemon.stops_on("TERM");
    // By way of an export, too.
    let export = state.path().join("export");
    let to = setup.clone().argument("state").argument("export").argument("--to").argument(export.to_str().unwrap());
    assert_eq!(to.run().0, Some(0));
    let moved = Setup::new(api.address, &state.path().join("moved"));
    let from = moved.clone().argument("state").argument("import").argument("--from").argument(export.to_str().unwrap());
    assert_eq!(from.run().0, Some(0));
    let daemon = moved.start();
    until("it to be well", || is_well(&daemon));
    assert_eq!(wrong(&api), 6, "what was found is asked first");
}

#[test]
fn a_configured_path_is_the_only_one_that_is_asked() {
    let api = Api::start(simulation());
    let paths = Paths { agents: Some("/api/v1/chat/agents".into()), ..Paths::default() };
    api.simulator.set_faults(Faults { paths, ..Faults::default() }).unwrap();
    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state")).set("API__AGENTS_PATH", "/v1/chat/agents");
    let daemon = setup.start();
    until("the page to say what is missing", || daemon.get("/").1.contains("Set api.agents_path").then_some(()));
    assert_eq!(daemon.sample(UP), Some(1.0));
    assert!(api.simulator.requests().iter().all(|request| !request.path.starts_with("/api/v1/chat/agents")));
}

#[test]
fn one_bad_answer_about_the_agents_costs_a_moment() {
    for stranger in [Stranger::Redirect, Stranger::ProxyLogin, Stranger::EmptyBody] {
        let api = Api::start(simulation());
        answers_with(&api, Some(Route::Agents), stranger);
        let state = tempfile::tempdir().unwrap();
        let daemon = Setup::new(api.address, &state.path().join("state")).start();
        let is_agents = |route| route == Route::Agents;
        until("the agents to be asked for", || {
            api.simulator.requests().iter().any(|request| is_agents(request.route)).then_some(())
        });
        mend(&api);
        until("the agents' names", || (total(&daemon.samples(), "agntix_agent_info") > 0.0).then_some(()));
        until("it to be well", || is_well(&daemon));
    }
}

#[test]
fn an_organization_without_sessions_is_well_and_says_so() {
    let api = Api::start(simulation());
    api.simulator.set_faults(Faults { no_sessions: true, ..Faults::default() }).unwrap();
    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state")).start();
    until("it to be well", || is_well(&daemon));
    for path in ["/", "/-/ready"] {
        let text = daemon.get(path).1;
        assert!(
            text.contains("No session has been found so far: /api/v1/chat/sessions answers as it should"),
            "{text}"
        );
    }
    let log = daemon.log();
    // Its clock stands still, which is told.
    let complaints = log.lines().filter(|line| !line.contains("level=info") && !line.contains("clock"));
    assert_eq!(complaints.count(), 0, "{log}");
    mend(&api);
    daemon.shows(&api.truth());
    until("the note to go", || (!daemon.get("/-/ready").1.contains("No session has been found")).then_some(()));
}

#[test]
fn a_gateway_without_a_listing_and_without_another_source_is_not_ready() {
    let api = Api::start(SimulatorConfig { listing_refused: Some(404), ..simulation() });
    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state")).start();
    let said = until("it to say that it hears of nothing", || {
        let (status, text) = daemon.get("/-/ready");
        (status == 503 && text.contains("no way to hear of sessions")).then_some(text)
    });
    for word in ["/api/v1/chat/chat/sessions 404", "api.list_path", "webhook", "sessions.ids"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    let samples = daemon.samples();
    assert_eq!((samples.get(UP), samples.get(CATCHING_UP)), (Some(&1.0), Some(&1.0)));
    let listing = r#"agntix_exporter_source_last_success_timestamp_seconds{source="listing"}"#;
    assert_eq!(samples.get(listing), Some(&0.0));
}

#[test]
fn a_start_with_a_small_budget_says_every_15_s_how_far_it_is() {
    let api = Api::start(SimulatorConfig { rate_limit: Some(20), ..simulation() });
    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state"))
        .set("API__REQUESTS_PER_MINUTE", "10")
        .set("SESSIONS__LOOK_BACK_DEADLINE", "40s")
        .start();
    until("two lines about the start", || (daemon.lines_with("the start is under way") >= 2).then_some(()));
    for path in ["/", "/-/ready"] {
        let text = daemon.get(path).1;
        assert!(text.contains("of the listing read, "), "{text}");
        assert!(text.contains("Left: ") && text.contains("sessions.look_back_deadline"), "{text}");
    }
    until("the session metrics", || (total(&daemon.samples(), "agntix_sessions_ended_total") > 0.0).then_some(()));
    until("it to be ready", || (daemon.get("/-/ready").0 == 200).then_some(()));
}
