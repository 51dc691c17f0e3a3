//! Messages: last of all, once, and given up after an hour.

use super::*;
use crate::config::Config;

const TURNS: &str =
    r#"agntix_session_turns_count{agent_id="A",session_type="voice",platform="phone",direction="inbound"}"#;

fn reading(config: &mut Config) {
    config.messages.enabled = true;
    config.sessions.listing = false;
    config.sessions.ids = vec!["s".into()];
    config.sessions.look_back_deadline = Duration::ZERO;
}

fn page(ids: std::ops::Range<u32>, total: u32) -> String {
    let message = |id: u32| {
        let role = if id.is_multiple_of(2) { "ASSISTANT" } else { "USER" };
        let at = Timestamp::from_millis(T0).plus(S * id);
        format!(r#"{{"id":"m{id}","content":"Ann's secret","role":"{role}","createdAt":"{at}"}}"#)
    };
    let pages = total.div_ceil(100);
    let data = ids.map(message).collect::<Vec<_>>().join(",");
    format!(r#"{{"data":[{data}],"pagination":{{"page":1,"limit":100,"total":{total},"totalPages":{pages}}}}}"#)
}

/// A session that is open at first, and over five seconds later.
fn over(id: &str) -> String {
    let text = session(id, Duration::ZERO, true);
    text.replace(&Timestamp::from_millis(T0).plus(S).to_string(), &Timestamp::from_millis(T0).plus(S * 5).to_string())
}

fn started(world: &mut World) {
    world.serve(|ask| match ask {
        Ask::Session(id) => Ok(session(id, Duration::ZERO, false)),
        ask => nothing(ask),
    });
    world.advance(S);
    world.serve(nothing);
    world.advance(S * 60);
}

#[test]
fn messages_are_asked_for_beside_a_session_whose_path_is_searched_first_where_none_was_asked_for_yet() {
    let mut world = World::new(|config| config.messages.enabled = true);
    let found = "/v1/chat/sessions/{id}";
    let mut asked = Vec::new();
    for second in 0..90 {
        while let Ok(ask) = world.next() {
            let path = world.core.path(ask.route()).to_string();
            let result = match &ask {
                Ask::List(_) if second < 5 => Ok(list(&[])),
                Ask::List(_) => Ok(list(&[over("s")])),
                Ask::Agents(_) => nothing(&ask),
                Ask::Session(id) if path == found => Ok(over(id)),
                Ask::Messages(..) if path == found => Ok(page(0..2, 2)),
                Ask::Session(_) | Ask::Messages(..) => Err(status(404)),
            };
            world.answer(&ask, result);
            asked.push((ask, path));
        }
        world.advance(S);
    }
    let sessions = asked.iter().filter(|(ask, _)| matches!(ask, Ask::Session(_))).count();
    let messages = asked.iter().filter(|(ask, _)| is_messages(ask)).map(|(_, path)| &**path).collect::<Vec<_>>();
    assert_eq!((sessions, messages), (2, vec![found]), "{asked:?}");
    assert_eq!((world.value(TURNS), world.value(OUTCOME)), (Some(1.0), Some(1.0)));
}

fn is_messages(ask: &Ask) -> bool {
    matches!(ask, Ask::Messages(..))
}

#[test]
fn messages_are_read_page_after_page_behind_everything_else_and_once() {
    let mut world = World::new(reading);
    started(&mut world);
    let api = |ask: &Ask| match ask {
        Ask::Session(id) => Ok(over(id)),
        Ask::Messages(_, 1) => Ok(page(0..100, 150)),
        Ask::Messages(_, 2) => Ok(page(100..150, 150)),
        ask => nothing(ask),
    };
    let asked = world.serve(api);
    assert!(asked.ends_with(&[Ask::Messages("s".into(), 1), Ask::Messages("s".into(), 2)]), "{asked:?}");
    world.advance(S);
    world.serve(nothing);
    world.advance(S);
    assert_eq!(world.value(TURNS), Some(1.0));
    assert_eq!(world.value(&TURNS.replace("_count", "_sum")), Some(75.0));
    assert_eq!(world.value(r#"agntix_exporter_sessions_tracked{stage="messages"}"#), Some(0.0));
    world.advance(S * 4_000);
    assert!(!world.serve(api).iter().any(is_messages));
    assert_eq!(world.value(TURNS), Some(1.0));
    assert!(!world.page().contains("secret"));
}

#[test]
fn messages_that_were_not_read_before_a_crash_are_read_after_it_from_the_first_page() {
    let mut world = World::new(reading);
    started(&mut world);
    let asked = world.serve(|ask| match ask {
        Ask::Session(id) => Ok(over(id)),
        Ask::Messages(_, 1) => Ok(page(0..100, 150)),
        Ask::Messages(..) => Err(status(500)),
        ask => nothing(ask),
    });
    assert!(asked.contains(&Ask::Messages("s".into(), 2)), "{asked:?}");
    let mut world = world.restarted(reading);
    world.tick();
    let mut asked = Vec::new();
    for _ in 0..5 {
        asked.extend(world.serve(|ask| match ask {
            Ask::Session(id) => Ok(over(id)),
            Ask::Messages(..) => Ok(page(0..50, 50)),
            ask => nothing(ask),
        }));
        world.advance(S);
    }
    assert_eq!(asked.iter().filter(|ask| is_messages(ask)).collect::<Vec<_>>(), [&Ask::Messages("s".into(), 1)]);
    assert_eq!(world.value(&TURNS.replace("_count", "_sum")), Some(25.0));
}

#[test]
fn messages_that_cannot_be_read_are_given_up_after_an_hour_and_the_session_is_counted_all_the_same() {
    for (answer, reason, most) in [
        (Err(status(500)), "failed", 100),
        (Err(status(403)), "failed", 100),
        (Ok("<html>Please log in</html>".to_owned()), "failed", 100),
        (Err(no_session()), "missing", 1),
    ] {
        let mut world = World::new(reading);
        started(&mut world);
        let mut asked = 0;
        for _ in 0..3_700 {
            let api = |ask: &Ask| match ask {
                Ask::Session(id) => Ok(over(id)),
                Ask::Messages(..) => answer.clone(),
                ask => nothing(ask),
            };
            asked += world.serve(api).iter().filter(|ask| is_messages(ask)).count();
            world.advance(S);
        }
        assert!((1..=most).contains(&asked), "{reason}: {asked} requests");
        let skipped = format!(r#"agntix_exporter_messages_skipped_total{{reason="{reason}"}}"#);
        assert_eq!((world.value(&skipped), world.value(TURNS)), (Some(1.0), None), "{reason}");
        assert_eq!((world.value(OUTCOME), world.value("agntix_up")), (Some(1.0), Some(1.0)), "{reason}");
        let restarted = world.restarted(reading);
        assert_eq!(restarted.core.messages.len(), 0);
    }
}

#[test]
fn messages_of_sessions_that_ended_before_the_start_or_were_switched_off_are_skipped() {
    let mut world = World::new(|config| {
        reading(config);
        config.sessions.look_back_deadline = S * 300;
    });
    let mut asked = world.serve(|ask| match ask {
        Ask::Session(id) => Ok(session(id, S * 60, true)),
        ask => nothing(ask),
    });
    world.advance(S);
    asked.extend(world.serve(nothing));
    assert!(!asked.iter().any(is_messages), "{asked:?}");
    assert_eq!(world.value(r#"agntix_exporter_messages_skipped_total{reason="look_back"}"#), Some(1.0));

    let mut world = World::new(reading);
    started(&mut world);
    world.serve(|ask| match ask {
        Ask::Session(id) => Ok(over(id)),
        Ask::Messages(..) => Err(status(500)),
        ask => nothing(ask),
    });
    let mut world = world.restarted(|config| {
        reading(config);
        config.messages.enabled = false;
    });
    world.serve(nothing);
    assert_eq!(world.value(r#"agntix_exporter_messages_skipped_total{reason="off"}"#), Some(1.0));
    assert_eq!(world.restarted(reading).core.messages.len(), 0);
}
