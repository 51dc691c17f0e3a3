//! A first start: when the session metrics are shown, and when they are complete.

use super::*;

#[test]
fn a_first_start_shows_session_metrics_when_the_look_back_is_done() {
    let mut world = World::new(|_| {});
    world.tick();
    assert!(!world.exposition.is_published());
    let listed = list(&[session("new", S * 60, false), session("old", S * 600, true)]);
    let asked = world.serve(|ask| match ask {
        Ask::List(page) if !page.open_only => Ok(listed.clone()),
        ask => nothing(ask),
    });
    let lists = asked.iter().filter(|ask| matches!(ask, Ask::List(_))).count();
    assert_eq!(lists, 2, "the recent window and the open sessions: {asked:?}");
    assert_eq!(
        world.status.snapshot().ready.clone().err().as_deref(),
        Some("Not ready: the first listing of sessions is not done.")
    );
    world.advance(S);
    world.serve(nothing);
    assert!(world.exposition.is_published() && world.status.snapshot().ready.is_ok());
    assert_eq!(world.value(OUTCOME), Some(1.0), "it is a starting value, which is not held");
}

#[test]
fn a_look_back_that_takes_too_long_is_cut_short() {
    let mut world = World::new(|_| {});
    world.serve(|_| Err(ApiError::Timeout));
    world.advance(S * 299);
    world.serve(|_| Err(ApiError::Timeout));
    assert!(!world.exposition.is_published());
    world.advance(S);
    world.serve(|_| Err(ApiError::Timeout));
    assert!(world.exposition.is_published());
    assert_eq!(world.status.snapshot().look_back, crate::status::LookBack::DeadlinePassed);
    assert!(world.status.snapshot().ready.is_err());
}

#[test]
fn first_page_waits_for_unlucky_sessions_but_not_for_one_that_keeps_failing() {
    let mut world = World::new(|config| config.api.requests_per_minute = 10_000);
    let in_part = |id: &str| session(id, S * 600, true).replace(r#""analysis":{"#, r#""no":{"#);
    let of_other_agent = |text: String| text.replace(r#""agentId":"A""#, r#""agentId":"B""#);
    let mut listed: Vec<_> = (0..40).map(|n| in_part(&n.to_string())).collect();
    listed.push(of_other_agent(in_part("broken")));
    let (mut request, mut is_broken) = (0, true);
    let mut api = |ask: &Ask, is_broken: bool| {
        request += 1;
        match ask {
            // Every fourth request fails, and one session's always do.
            Ask::Session(id) if **id == *"broken" && is_broken => Err(status(500)),
            _ if request % 4 == 0 => Err(status(503)),
            Ask::Session(id) if **id == *"broken" => Ok(of_other_agent(session(id, S * 600, true))),
            Ask::Session(id) => Ok(session(id, S * 600, true)),
            Ask::List(page) if !page.open_only => Ok(list(&listed)),
            ask => nothing(ask),
        }
    };
    let mut waited = Duration::ZERO;
    while !world.exposition.is_published() {
        world.serve(|ask| api(ask, is_broken));
        world.advance(S / 2);
        waited += S / 2;
        assert!(waited < S * 30, "one session holds the first page");
    }
    assert_eq!(world.value(OUTCOME), Some(40.0), "each of the others is in the starting values");
    let of_broken = OUTCOME.replace(r#"agent_id="A""#, r#"agent_id="B""#);
    let intent =
        r#"agntix_session_intents_total{agent_id="B",intent="Refund",resolution="resolved",sentiment="positive"}"#;
    assert_eq!((world.value(&of_broken), world.value(intent)), (Some(0.0), None));
    // It answers in the end: its new series are seen at 0 before they rise.
    is_broken = false;
    world.core.tracker.put_back(&"broken".into(), world.tick);
    let asked = world.serve(|ask| api(ask, is_broken));
    assert!(asked.contains(&Ask::Session("broken".into())), "{asked:?}");
    assert_eq!(world.value(intent), Some(0.0));
    for _ in 0..2 {
        world.advance(S);
        world.serve(|ask| api(ask, is_broken));
    }
    assert_eq!(world.value(OUTCOME), Some(40.0));
    assert_eq!((world.value(&of_broken), world.value(intent)), (Some(1.0), Some(1.0)));
}

#[test]
fn what_was_counted_late_is_complete_only_after_its_initial_zero_window() {
    let mut world = World::new(|config| config.metrics.new_series_hold = S * 60);
    let ended = list(&[session("s", S * 60, true)]);
    world.serve(|ask| match ask {
        Ask::List(page) if !page.open_only => Ok(ended.clone()),
        ask => nothing(ask),
    });
    world.advance(S);
    world.serve(nothing);
    assert!(world.exposition.is_published());
    world.advance(S * 58);
    assert_eq!(world.value("agntix_exporter_catching_up"), Some(1.0));
    world.serve(nothing);
    world.advance(S * 2);
    assert_eq!(world.value("agntix_exporter_catching_up"), Some(0.0));
}
