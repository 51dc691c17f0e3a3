//! What a request costs, what the API says of its limits, and what lost connections count for.

use agntix_api::Quota;

use super::*;

fn failed(ask: &Ask, elapsed: Duration, error: ApiError) -> Answer {
    Answer {
        route: ask.route(),
        path: match ask.route() {
            agntix_api::Route::Session | agntix_api::Route::Messages => "/api/v1/chat/sessions/{id}".into(),
            agntix_api::Route::List => "/api/v1/chat/sessions".into(),
            agntix_api::Route::Agents => "/v1/chat/agents".into(),
        },
        status: None,
        content_type: Some("application/json"),
        elapsed,
        rate_limit: ApiRateLimit::default(),
        date: None,
        head_received: None,
        request_id: None,
        is_unsent: false,
        result: Err(error),
    }
}

/// Nothing has to be found out first.
fn known_paths(config: &mut Config) {
    config.api.session_path = "/api/v1/chat/sessions/{id}".into();
    config.api.agents_path = "/v1/chat/agents".into();
}

fn many(config: &mut Config) {
    known_paths(config);
    config.sessions.ids = (0..40).map(|n| n.to_string()).collect();
    config.sessions.listing = false;
    config.api.requests_per_minute = 10_000;
}

/// A world whose budget has seen an answer, so that many requests may be under way, and those requests.
fn with_requests_under_way() -> (World, Vec<Ask>) {
    let mut world = World::new(many);
    let Ok(first) = world.next() else { panic!("nothing to ask") };
    world.answer(&first, Err(no_session()));
    world.advance(S);
    let mut asks = Vec::new();
    while let Ok(ask) = world.next() {
        asks.push(ask);
    }
    assert!(asks.len() > 30, "{}", asks.len());
    (world, asks)
}

#[test]
fn retry_after_pauses_everything_whatever_answer_it_comes_with() {
    for code in [301, 302, 408, 425, 429, 500, 502, 503, 504] {
        let mut world = World::new(|_| {});
        let error = ApiError::Status { status: code, code: None, request_id: None, retry_after: Some(S * 40) };
        let Ok(ask) = world.next() else { panic!("nothing to ask") };
        world.answer(&ask, Err(error));
        let mut asked = 0;
        for _ in 0..40 {
            asked += world.serve(nothing).len();
            world.advance(S);
        }
        assert_eq!(asked, 0, "{code}");
        for _ in 0..3 {
            world.advance(S);
            asked += world.serve(nothing).len();
        }
        assert_ne!(asked, 0, "{code}");
    }
    let mut world = World::new(many);
    let error = ApiError::Status { status: 404, code: None, request_id: None, retry_after: Some(S * 40) };
    let Ok(ask) = world.next() else { panic!("nothing to ask") };
    world.answer(&ask, Err(error));
    assert_ne!(world.serve(nothing).len(), 0, "one missing session stops nothing else");
}

#[test]
fn goaway_with_many_requests_under_way_costs_nothing_and_they_are_sent_again() {
    let (mut world, asks) = with_requests_under_way();
    for ask in &asks {
        let answer = failed(ask, S, ApiError::Unprocessed("no error".into()));
        world.core.answered(ask, answer, world.now());
    }
    world.advance(Duration::ZERO);
    assert_eq!(world.value("agntix_exporter_api_requests_total{route=\"session\",code=\"connect\"}"), None);
    let again: Vec<Ask> = std::iter::from_fn(|| world.next().ok()).collect();
    assert_eq!(again.len(), asks.len(), "all of them at once");
}

#[test]
fn server_that_takes_no_request_is_a_failure_in_the_end() {
    let mut world = World::new(many);
    let mut sent = 0;
    for _ in 0..600 {
        sent += world.serve(|_| Err(ApiError::Unprocessed("no error".into()))).len();
        world.advance(S);
    }
    assert!((256..500).contains(&sent), "{sent} requests in ten minutes");
    assert_eq!(world.value("agntix_up"), Some(0.0));
}

#[test]
fn one_lost_connection_is_one_failure_however_many_requests_it_carried() {
    let (mut world, asks) = with_requests_under_way();
    world.tick += S;
    for ask in &asks {
        let answer = failed(ask, S / 2, ApiError::Connect("connection reset".into()));
        world.core.answered(ask, answer, world.now());
    }
    world.tick();
    assert!(!matches!(world.status.snapshot().api, ApiStatus::Down(_)));
    // Three of them, one after the other, are an API that is gone.
    for _ in 0..2 {
        world.tick += S * 5;
        let Ok(ask) = world.next() else { panic!("nothing to ask") };
        let answer = failed(&ask, S / 2, ApiError::Connect("connection reset".into()));
        world.tick += S;
        world.core.answered(&ask, answer, world.now());
    }
    world.tick();
    assert!(matches!(world.status.snapshot().api, ApiStatus::Down(_)));
}

/// Sends until the budget says to wait: how many requests that were.
fn spend(world: &mut World, limit: ApiRateLimit) -> usize {
    let mut sent = 0;
    while let Ok(ask) = world.next() {
        let mut answer = failed(&ask, Duration::ZERO, no_session());
        answer.rate_limit = limit;
        world.core.answered(&ask, answer, world.now());
        sent += 1;
    }
    sent
}

fn limited(requests: u32, seconds: u32) -> ApiRateLimit {
    let mut limit = ApiRateLimit { limit: Some(requests), ..ApiRateLimit::default() };
    limit.quotas[0] = Some(Quota { requests, seconds });
    limit
}

fn always_due(config: &mut Config) {
    known_paths(config);
    config.sessions.ids = (0..500).map(|n| n.to_string()).collect();
    config.sessions.listing = false;
}

#[test]
fn limit_of_the_last_process_holds_until_the_first_good_answer_and_a_lowered_setting_is_obeyed() {
    let mut world = World::new(always_due);
    let sent = spend(&mut world, limited(600, 60));
    assert!((200..=300).contains(&sent), "{sent}");
    world.tick += S * 120;
    let mut world = world.restarted(always_due);
    assert_eq!(world.core.choice.budget.per_window(), 300, "so that its first request need not wait");
    // The API does not state it any more, and the configuration was lowered.
    world.tick += S * 120;
    let mut world = world.restarted(|config| {
        always_due(config);
        config.api.requests_per_minute = 7;
    });
    let Ok(ask) = world.next() else { panic!("nothing to ask") };
    world.answer(&ask, Ok(r#"{"data":[]}"#.into()));
    assert_eq!(world.core.choice.budget.per_window(), 7);
    world.serve(|_| Err(status(404)));
    world.tick += S * 120;
    let world = world.restarted(|config| config.api.requests_per_minute = 5);
    assert_eq!(world.core.choice.budget.per_window(), 5);
}

#[test]
fn crashes_charge_what_was_sent_and_little_more() {
    let mut world = World::new(|config| {
        always_due(config);
        config.api.requests_per_minute = 100_000;
    });
    let mut sent = 0;
    for _ in 0..25 {
        for _ in 0..49 {
            let Ok(ask) = world.next() else { break };
            world.answer(&ask, Err(no_session()));
            sent += 1;
        }
        world.tick += S;
        world = world.restarted(|config| {
            always_due(config);
            config.api.requests_per_minute = 100_000;
        });
    }
    assert_eq!(sent, 25 * 49, "none had to wait");
    let World { ledger, _directory: directory, .. } = world;
    drop(ledger);
    let mut config = Config::default();
    config.state.path = directory.path().into();
    let opened = SqliteLedger::open(LedgerConfig::from(&config), Box::new(|_| {})).unwrap().1;
    let charged: u32 = opened.leases.iter().map(|lease| lease.count).sum();
    assert!((sent..=2 * sent + 250).contains(&charged), "{charged} charged for {sent}");
}

#[test]
fn what_was_left_of_a_lapsed_lease_is_not_charged() {
    let mut world = World::new(|config| config.api.requests_per_minute = 1_000);
    world.serve(nothing);
    for _ in 0..10 {
        world.advance(S * 31);
        world.serve(nothing);
    }
    let sent: u64 = world.own.api_request_duration.with_label_values(&["list"]).get_sample_count();
    let World { ledger, _directory: directory, .. } = world;
    drop(ledger);
    let mut config = Config::default();
    config.state.path = directory.path().into();
    let opened = SqliteLedger::open(LedgerConfig::from(&config), Box::new(|_| {})).unwrap().1;
    assert!(sent >= 10 && opened.leases.len() >= 3);
    let (_, earlier) = opened.leases.split_last().unwrap();
    assert!(earlier.iter().all(|lease| lease.count <= 3), "{:?}", opened.leases);
}
