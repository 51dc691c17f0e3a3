//! Promise P11: what was never seen to work is not reported as working, whatever is answered in place of the API.

use agntix_api::Route;
use proptest::prelude::*;

use super::*;

const UP: &str = "agntix_up";
const CATCHING_UP: &str = "agntix_exporter_catching_up";
const MINUTE: u32 = 60;

type Reply = Result<String, ApiError>;

impl World {
    /// Answers by path, second by second, all that is asked for; what was asked.
    fn live(&mut self, seconds: u32, mut api: impl FnMut(&Ask, &str) -> Reply) -> Vec<(Ask, String)> {
        let mut asked = Vec::new();
        for _ in 0..seconds {
            while let Ok(ask) = self.next() {
                let path = self.core.path(ask.route()).to_string();
                let result = api(&ask, &path);
                self.answer(&ask, result);
                asked.push((ask, path));
                assert!(asked.len() < 20_000, "it asks without end");
            }
            self.advance(S);
        }
        asked
    }

    fn is_up(&self) -> bool {
        self.value(UP) == Some(1.0)
    }

    fn is_ready(&self) -> bool {
        self.status.snapshot().ready.is_ok()
    }

    fn why(&self) -> String {
        let snapshot = self.status.snapshot();
        format!("{:?} {:?} {:?}", snapshot.api, snapshot.ready, snapshot.missing)
    }
}

/// What stands in the API's place, as one that answers all routes alike.
fn strangers() -> Vec<(&'static str, Reply)> {
    vec![
        ("404", Err(status(404))),
        ("302, a redirect", Err(status(302))),
        ("407", Err(status(407))),
        ("400", Err(status(400))),
        ("200 with application/json in place of JSON", Ok("<html>Sign in</html>".into())),
        ("200 with an error", Ok(r#"{"error":"login required"}"#.into())),
        ("200 with an error", Ok(r#"{"error":{"code":"X"},"data":[]}"#.into())),
        ("200 with an empty body", Ok(String::new())),
        ("200 with JSON", Ok("{}".into())),
    ]
}

#[test]
fn a_host_that_answers_all_routes_alike_is_never_up_and_is_found_when_it_is_the_api() {
    for (words, stranger) in strangers() {
        let mut world = World::new(|config| config.sessions.ids = vec!["s".into()]);
        world.live(15, |_, _| stranger.clone());
        assert!(!world.is_up() && !world.is_ready(), "{words}: {}", world.why());
        assert_eq!(world.value(CATCHING_UP), Some(1.0), "{words}");
        assert!(!world.exposition.is_published(), "{words}");
        assert!(world.why().contains(words) && world.why().contains("/chat/sessions"), "{words}: {}", world.why());
        world.live(4 * MINUTE, |_, _| stranger.clone());
        assert!(
            !world.is_up() && matches!(world.status.snapshot().api, ApiStatus::Down(_)),
            "{words}: {}",
            world.why()
        );
        world.live(65, |ask, _| nothing(ask));
        assert!(world.is_up() && world.is_ready(), "{words}: {}", world.why());
    }
}

#[test]
fn a_login_page_after_a_good_start_is_noticed_within_a_minute_and_costs_no_session() {
    for (words, stranger) in strangers() {
        let mut world = World::new(|_| {});
        let open = session("s", S * 60, false);
        let api = |ask: &Ask, _: &str| match ask {
            Ask::List(_) => Ok(list(std::slice::from_ref(&open))),
            Ask::Session(_) => Ok(open.clone()),
            ask @ (Ask::Agents(_) | Ask::Messages(..)) => nothing(ask),
        };
        world.live(20, api);
        assert!(world.is_up() && world.is_ready(), "{words}: {}", world.why());
        world.live(MINUTE, |_, _| stranger.clone());
        assert!(!world.is_up() && !world.is_ready(), "{words}: {}", world.why());
        assert!(world.why().contains(words), "{words}: {}", world.why());
        // A day and more of it does not make a session given up.
        for _ in 0..26 {
            world.advance(S * 3_600);
            world.live(1, |_, _| stranger.clone());
        }
        assert!(!world.is_up(), "{words}: {}", world.why());
        assert!(world.core.tracker.get("s").is_some(), "{words}: it was given up");
        world.live(65, api);
        assert!(world.is_up() && world.is_ready(), "{words}: {}", world.why());
    }
}

#[test]
fn one_wrong_answer_changes_nothing_and_the_agents_are_asked_for_again() {
    for (words, stranger) in strangers() {
        let mut world = World::new(|_| {});
        let mut first = true;
        world.live(MINUTE, |ask, path| match ask {
            Ask::Agents(_) if std::mem::take(&mut first) => stranger.clone(),
            Ask::Agents(_) if path == "/v1/chat/agents" => Ok(list(&[r#"{"id":"a","fullName":"Desk"}"#.into()])),
            Ask::Agents(_) | Ask::Messages(..) => Err(status(404)),
            ask => nothing(ask),
        });
        assert!(world.page().contains(r#"agntix_agent_info{agent_id="a""#), "{words}");
        assert!(world.is_up() && world.is_ready(), "{words}: {}", world.why());
    }
}

#[test]
fn the_routes_are_found_under_the_spelling_that_answers_and_remembered() {
    let api = |ask: &Ask, path: &str| match (ask, path) {
        (Ask::List(_), "/api/v1/chat/chat/sessions") => Ok(list(&[session("s", S * 60, true)])),
        (Ask::Session(_), "/v1/chat/chat/sessions/{id}") => Err(no_session()),
        (Ask::Agents(_), "/api/v1/chat/agents") => nothing(ask),
        _ => Err(status(404)),
    };
    let mut world = World::new(|config| config.sessions.ids = (0..20).map(|n| format!("none{n}")).collect());
    let asked = world.live(5, api);
    assert!(world.is_up() && world.is_ready(), "{}", world.why());
    assert_eq!(world.value(OUTCOME), Some(1.0));
    let wrong = asked.iter().filter(|(ask, path)| matches!(api(ask, path), Err(error) if error == status(404)));
    assert_eq!(wrong.count(), 3 + 2 + 1, "{asked:?}");
    let mut world = world.restarted(|_| {});
    // What may have been sent before counts as sent.
    let asked = world.live(70, api);
    assert!(world.is_up() && !asked.is_empty());
    assert!(asked.iter().all(|(ask, path)| !matches!(api(ask, path), Err(error) if error == status(404))), "{asked:?}");
}

#[test]
fn outages_and_refusals_start_no_search_for_another_path() {
    for silent in [status(401), status(403), status(429), status(500), status(503), ApiError::Timeout] {
        let mut world = World::new(|config| config.sessions.ids = vec!["s".into()]);
        for (_, path) in world.live(5 * MINUTE, |_, _| Err(silent.clone())) {
            let first = ["/api/v1/chat/sessions", "/api/v1/chat/sessions/{id}", "/v1/chat/agents"];
            assert!(first.contains(&path.as_str()), "{path} after {silent}");
        }
        assert!(!world.is_up() && !world.is_ready(), "{silent}");
        assert!(matches!(world.status.snapshot().api, ApiStatus::Down(_)), "{silent}: {}", world.why());
    }
}

#[test]
fn a_route_that_moves_is_looked_for_after_a_minute_and_found() {
    let mut world = World::new(|_| {});
    let moved = |ask: &Ask, path: &str| match ask {
        Ask::List(_) if path != "/v1/chat/sessions" => Err(status(404)),
        ask => nothing(ask),
    };
    world.live(20, |ask, _| nothing(ask));
    assert!(world.is_up());
    let asked = world.live(50, moved);
    assert!(asked.iter().all(|(_, path)| path != "/v1/chat/sessions"), "one that has worked is not left at once");
    assert!(!world.is_up() && !world.is_ready() && world.status.snapshot().missing.is_empty(), "{}", world.why());
    assert_eq!(world.value(CATCHING_UP), Some(0.0), "of the listing this is said when it is late");
    world.live(3 * MINUTE, moved);
    assert!(world.is_up() && world.is_ready(), "{}", world.why());
    assert_eq!(&*world.core.path(Route::List), "/v1/chat/sessions");
}

#[test]
fn a_gateway_without_a_listing_is_usable_with_other_sources_and_says_what_is_missing() {
    let api = |ask: &Ask, _: &str| match ask {
        Ask::List(_) => Err(status(404)),
        ask => nothing(ask),
    };
    let listing = r#"agntix_exporter_source_last_success_timestamp_seconds{source="listing"}"#;
    for is_elsewhere in [true, false] {
        let mut world = World::new(|config| config.webhook.enabled = is_elsewhere);
        world.live(30, api);
        assert!(world.is_up(), "{}", world.why());
        assert_eq!(world.is_ready(), is_elsewhere, "{}", world.why());
        assert_eq!(world.exposition.is_published(), is_elsewhere);
        assert_eq!(world.value(CATCHING_UP), Some(if is_elsewhere { 0.0 } else { 1.0 }));
        assert_eq!(world.value(listing), Some(0.0), "as if it were long ago, so that an alert sees it");
        let why = world.why();
        for word in ["/api/v1/chat/chat/sessions 404", "api.list_path", "sessions.listing = false"] {
            assert!(why.contains(word), "{why}");
        }
        // It may come.
        world.live(11 * MINUTE, |ask, _| nothing(ask));
        assert!(world.is_up() && world.is_ready() && world.status.snapshot().missing.is_empty(), "{}", world.why());
    }
}

#[test]
fn an_organization_without_sessions_is_told_apart_from_all_that_is_wrong() {
    let mut world = World::new(|_| {});
    world.live(5, |ask, _| nothing(ask));
    assert!(world.is_up() && world.is_ready() && world.status.snapshot().missing.is_empty(), "{}", world.why());
    let said = world.status.snapshot().nothing_found.clone().unwrap();
    assert!(said.starts_with("No session has been found so far: /api/v1/chat/sessions answers"), "{said}");
    world.live(MINUTE, |ask, _| match ask {
        Ask::List(_) => Ok(list(&[session("s", S * 60, false)])),
        ask => nothing(ask),
    });
    assert_eq!(world.status.snapshot().nothing_found, None);
}

#[test]
fn missing_session_does_not_affect_the_others() {
    let mut world = World::new(|config| config.sessions.ids = vec!["deleted".into(), "there".into()]);
    let api = |ask: &Ask, _: &str| match ask {
        // Without the API's own word.
        Ask::Session(id) if **id == *"deleted" => Err(status(404)),
        Ask::Session(id) => Ok(session(id, S * 60, true)),
        ask => nothing(ask),
    };
    for _ in 0..10 {
        world.live(5 * MINUTE, api);
        assert!(world.is_up() && world.is_ready(), "{}", world.why());
    }
    assert_eq!(world.value(OUTCOME), Some(1.0));
}

#[test]
fn long_start_reports_what_is_done_what_is_left_and_its_deadline() {
    let mut world = World::new(|config| config.api.requests_per_minute = 5);
    let sessions: Vec<_> =
        (0..60).map(|n| session(&n.to_string(), S * 60, true).replace(r#""analysis":{"#, r#""no":{"#)).collect();
    let api = |ask: &Ask, _: &str| match ask {
        Ask::List(page) if !page.open_only => Ok(list(&sessions)),
        Ask::Session(id) => Ok(session(id, S * 60, true)),
        ask => nothing(ask),
    };
    world.live(10, api);
    assert_eq!(world.status.snapshot().progress, None, "a moment is no news");
    world.live(20, api);
    let said = world.status.snapshot().progress.clone().unwrap();
    for words in [
        "Started 30s ago. Done: 1 page of the listing read",
        " ended sessions that may get an analysis",
        "in 4m 30s at the latest",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    assert!(world.is_up());
    world.live(5 * MINUTE, api);
    assert!(world.exposition.is_published() && world.is_ready(), "{}", world.why());
    assert_eq!(world.status.snapshot().progress, None);
}

#[test]
fn a_look_back_that_only_waits_for_analyses_is_over_without_a_complaint() {
    let mut world = World::new(|_| {});
    let ended = session("s", S * 60, true).replace(r#""analysis":{"#, r#""no":{"#);
    world.live(5 * MINUTE + 1, |ask, _| match ask {
        Ask::List(_) => Ok(list(std::slice::from_ref(&ended))),
        Ask::Session(_) => Ok(ended.clone()),
        ask @ (Ask::Agents(_) | Ask::Messages(..)) => nothing(ask),
    });
    world.live(1, |ask, _| nothing(ask));
    assert!(world.exposition.is_published());
    assert_eq!(world.status.snapshot().look_back, crate::status::LookBack::Done);
}

fn any_bad() -> impl Strategy<Value = Reply> {
    let kinds: Vec<Reply> = strangers()
        .into_iter()
        .map(|(_, reply)| reply)
        .chain([401, 403, 405, 410, 422, 429, 500, 502].map(|code| Err(status(code))))
        .chain([Err(ApiError::Timeout), Err(ApiError::Body("cut off".into())), Ok("\u{1}".into()), Ok("[]".into())])
        .collect();
    proptest::sample::select(kinds)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_but_a_good_answer_makes_it_up_or_ready(replies in proptest::collection::vec(any_bad(), 1..12)) {
        let mut world = World::new(|config| config.sessions.ids = vec!["s".into()]);
        let mut replies = replies.into_iter().cycle();
        for _ in 0..40 {
            world.live(1, |_, _| replies.next().unwrap());
            world.advance(S * 20);
            prop_assert!(!world.is_up() && !world.is_ready(), "{}", world.why());
            prop_assert_eq!(world.value(CATCHING_UP), Some(1.0));
        }
        world.live(130, |ask, _| nothing(ask));
        prop_assert!(world.is_up() && world.is_ready(), "it is not found again: {}", world.why());
    }
}

#[test]
fn listing_that_writes_no_list_for_an_organization_without_sessions_is_found_by_elimination() {
    for empty in ["", "{}", "[]"] {
        for place in ["/api/v1/chat/sessions", "/v1/chat/chat/sessions"] {
            let mut world = World::new(|_| {});
            let api = |ask: &Ask, path: &str| match ask {
                Ask::List(_) if path == place => Ok(empty.into()),
                Ask::List(_) => Err(status(404)),
                ask => nothing(ask),
            };
            world.live(30, api);
            assert!(world.is_up() && world.is_ready(), "{empty:?} at {place}: {}", world.why());
            assert!(world.exposition.is_published());
            let session = session("s", Duration::ZERO, true);
            world.live(MINUTE, |ask, path| match ask {
                Ask::List(_) if path == place => Ok(list(std::slice::from_ref(&session))),
                ask => api(ask, path),
            });
            assert_eq!(world.value(OUTCOME), Some(1.0), "{empty:?} at {place}: {}", world.why());
        }
    }
}

/// A reload repairs nothing: whether the API is back, only the API can say.
#[test]
fn a_reload_while_the_api_is_down_does_not_make_it_up() {
    let refused: Reply = Err(status(401));
    let broken: Reply = Err(status(503));
    let reload = |world: &mut World| {
        let mut config = Config::default();
        config.metrics.new_series_hold = Duration::ZERO;
        config.sessions.ids = vec!["s".into()];
        world.core.reconfigure(&config, "AGNTIX_API_KEY".into(), "api.agntix.ai".into(), world.now());
    };
    let strangers = strangers().into_iter().map(|(_, reply)| reply).chain([refused, broken]);
    for stranger in strangers {
        let mut world = World::new(|config| config.sessions.ids = vec!["s".into()]);
        world.live(30, |ask, _| nothing(ask));
        assert!(world.is_up() && world.is_ready(), "{}", world.why());
        world.live(3 * MINUTE, |_, _| stranger.clone());
        assert!(!world.is_up() && !world.is_ready(), "{stranger:?}: {}", world.why());
        reload(&mut world);
        for _ in 0..40 {
            world.live(1, |_, _| stranger.clone());
            assert!(!world.is_up() && !world.is_ready(), "{stranger:?}: {}", world.why());
        }
        reload(&mut world);
        world.live(2, |ask, _| nothing(ask));
        assert!(world.is_up() && world.is_ready(), "it is asked at once: {stranger:?}: {}", world.why());
    }
}

#[test]
fn other_routes_are_asked_at_once_when_one_recovers() {
    let mut world = World::new(|_| {});
    world.live(4 * MINUTE, |_, _| Err(status(302)));
    assert!(!world.is_up());
    for _ in 0..70 {
        let asked = world.live(1, |ask, _| nothing(ask));
        if !asked.is_empty() {
            break;
        }
    }
    world.live(2, |ask, _| nothing(ask));
    assert!(world.is_up() && world.is_ready(), "{}", world.why());
}

#[test]
fn finished_start_is_not_reported_again_when_the_api_goes_down() {
    let mut world = World::new(|_| {});
    world.live(30, |ask, _| nothing(ask));
    assert!(world.is_ready());
    world.live(2 * MINUTE, |_, _| Err(status(302)));
    assert!(!world.is_ready());
    assert_eq!(world.status.snapshot().progress, None);
}

#[test]
fn page_shown_at_the_deadline_is_catching_up_while_sessions_are_left() {
    let mut world = World::new(|config| {
        config.api.requests_per_minute = 10;
        config.sessions.look_back_deadline = S * 20;
        config.sessions.ids = (0..60).map(|id| id.to_string()).collect();
    });
    world.live(60, |ask, _| match ask {
        Ask::Session(id) => Ok(session(id, S * 60, true)),
        ask => nothing(ask),
    });
    let snapshot = world.status.snapshot();
    assert!(world.exposition.is_published() && world.value(CATCHING_UP) == Some(1.0));
    assert!(snapshot.lagging.as_ref().is_some_and(|left| left.contains("sessions to read")), "{:?}", snapshot.lagging);
    world.live(10 * MINUTE, |ask, _| match ask {
        Ask::Session(id) => Ok(session(id, S * 60, true)),
        ask => nothing(ask),
    });
    assert_eq!((world.status.snapshot().lagging.clone(), world.value(OUTCOME)), (None, Some(60.0)));
}

/// Found by the property above: its failures made a session wait for up to half an hour, and not even the API's return ended that.
#[test]
fn sessions_are_asked_for_when_an_api_that_failed_in_many_ways_is_back() {
    let mut world = World::new(|config| config.sessions.ids = vec!["s".into()]);
    let cut_off = || Err(ApiError::Body("cut off".into()));
    let replies = [Err(status(429)), cut_off(), cut_off(), Err(status(500)), Ok("<html>Sign in</html>".into())];
    let mut replies = replies.into_iter().cycle();
    for _ in 0..40 {
        world.live(1, |_, _| replies.next().unwrap());
        world.advance(S * 20);
    }
    world.live(130, |ask, _| nothing(ask));
    assert!(world.is_up() && world.is_ready(), "{}", world.why());
}
