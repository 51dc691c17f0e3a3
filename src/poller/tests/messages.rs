//! Messages: last of all, once, and given up after an hour.

use agntix_api::ApiError;

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

/// A session's turns and the requests for its messages, whose page of a number is `api`; and why it was skipped, if it was.
fn read_pages(api: impl Fn(u32) -> String) -> (Option<f64>, usize, Option<&'static str>) {
    let mut world = World::new(|config| {
        reading(config);
        config.api.requests_per_minute = 10_000;
    });
    started(&mut world);
    let mut asked = 0;
    for _ in 0..5 {
        let answer = |ask: &Ask| match ask {
            Ask::Session(id) => Ok(over(id)),
            Ask::Messages(_, page) => Ok(api(*page)),
            ask => nothing(ask),
        };
        asked += world.serve(answer).iter().filter(|ask| is_messages(ask)).count();
        world.advance(S);
    }
    let skipped = |reason: &&str| {
        world.value(&format!(r#"agntix_exporter_messages_skipped_total{{reason="{reason}"}}"#)) == Some(1.0)
    };
    (world.value(&TURNS.replace("_count", "_sum")), asked, ["failed", "too_long"].into_iter().find(skipped))
}

#[test]
fn session_that_the_listing_shows_again_while_its_messages_are_settled_is_skipped_once() {
    let mut world = World::new(|config| {
        config.messages.enabled = true;
        config.sessions.look_back_deadline = Duration::ZERO;
        config.poll.listing_interval = S;
        config.api.requests_per_minute = 10_000;
    });
    let (mut asked, mut held) = (0, Vec::new());
    for second in 0..30 {
        let mut asks = Vec::new();
        while let Ok(ask) = world.next() {
            asks.push(ask);
        }
        // The answer about the messages takes until the listing has shown the session again, and nothing of either is durable then.
        let is_listed = asks.iter().any(|ask| matches!(ask, Ask::List(_)));
        let (messages, others): (Vec<_>, Vec<_>) = asks.into_iter().partition(is_messages);
        asked += messages.len();
        held.extend(messages);
        let late = if is_listed { std::mem::take(&mut held) } else { Vec::new() };
        for ask in others.iter().chain(&late) {
            let result = match ask {
                Ask::List(_) if second < 7 => Ok(list(&[])),
                Ask::List(_) => Ok(list(&[over("s")])),
                Ask::Session(id) => Ok(over(id)),
                ask @ (Ask::Messages(..) | Ask::Agents(_)) => nothing(ask),
            };
            world.answer(ask, result);
        }
        world.advance(S);
    }
    assert_eq!(asked, 1);
    assert_eq!(world.value(r#"agntix_exporter_messages_skipped_total{reason="missing"}"#), Some(1.0));
    assert_eq!(world.value(r#"agntix_exporter_sessions_tracked{stage="messages"}"#), Some(0.0));
}

#[test]
fn list_of_messages_is_read_to_its_end_whatever_it_states() {
    let bare = |ids: std::ops::Range<u32>| page(ids, 1).replace(r#""total":1,"totalPages":1"#, r#""note":1"#);
    let pages = |number: u32| (number - 1) * 100..(number * 100).min(150);
    // The same page again and again, though more is stated: what was read is not all.
    assert_eq!(read_pages(|_| page(0..100, 150)), (None, 4, Some("failed")));
    // Each page twice, and pages of forty.
    assert_eq!(read_pages(|number| page(pages(number.div_ceil(2)), 150)), (Some(75.0), 3, None));
    let short = |number: u32| (number * 40 - 40).min(150)..(number * 40).min(150);
    assert_eq!(read_pages(|number| page(short(number), 150)), (Some(75.0), 4, None));
    // It states more than there is, or less, or nothing.
    assert_eq!(read_pages(|number| page(pages(number.min(2)).start..150, 150)).0, Some(75.0));
    assert_eq!(read_pages(|number| page(if number < 3 { pages(number) } else { 0..0 }, 900)), (Some(75.0), 5, None));
    assert_eq!(read_pages(|number| bare(if number < 3 { pages(number) } else { 0..0 })), (Some(75.0), 3, None));
    assert_eq!(read_pages(|number| bare(short(number))), (Some(75.0), 5, None));
    assert_eq!(read_pages(|number| page(if number < 3 { pages(number) } else { 0..0 }, 0)), (Some(75.0), 3, None));
    // Without end.
    assert_eq!(read_pages(|number| page(number * 100..number * 100 + 100, 1_000_000)), (None, 100, Some("too_long")));
}

#[test]
fn page_of_messages_that_is_longer_than_any_is_read_is_asked_for_once_and_holds_up_no_other_session() {
    let too_long = || Err(ApiError::Body("longer than 4 MiB".into()));
    let mut world = World::new(|config| {
        reading(config);
        config.sessions.ids = vec!["s".into(), "t".into()];
    });
    started(&mut world);
    let mut asked = Vec::new();
    for _ in 0..5 {
        asked.extend(world.serve(|ask| match ask {
            Ask::Session(id) => Ok(over(id)),
            Ask::Messages(id, _) if **id == *"s" => too_long(),
            Ask::Messages(..) => Ok(page(0..2, 2)),
            ask => nothing(ask),
        }));
        world.advance(S);
    }
    assert_eq!(asked.iter().filter(|ask| is_messages(ask)).count(), 2, "{asked:?}");
    assert_eq!(world.value(r#"agntix_exporter_messages_skipped_total{reason="too_long"}"#), Some(1.0));
    assert_eq!((world.value(TURNS), world.value(OUTCOME)), (Some(1.0), Some(2.0)));
}

#[test]
fn messages_that_cannot_be_read_are_given_up_after_an_hour_and_the_session_is_counted_all_the_same() {
    for (answer, reason, most) in [
        (Err(status(500)), "failed", 100),
        (Err(status(429)), "failed", 100),
        (Err(status(403)), "failed", 100),
        (Err(status(401)), "failed", 100),
        (Err(ApiError::Timeout), "failed", 100),
        (Err(ApiError::Body("cut off".into())), "failed", 150),
        (Ok(r#"{"data":[{"role":"USER","#.to_owned()), "failed", 150),
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

/// How late sessions are counted, in seconds, in the order in which they are: one every six seconds for `minutes`, listed without
/// their analysis. Then how many messages were read, and how many were never asked for.
fn hours(enabled: bool, per_window: u32, minutes: u64) -> (Vec<u64>, f64, f64) {
    let mut world = World::new(|config| {
        config.messages.enabled = enabled;
        config.api.budget_share = 1.0;
        config.api.requests_per_minute = per_window;
        config.sessions.look_back_deadline = Duration::ZERO;
        config.poll.listing_interval = S * 10;
    });
    let ended = |n: u64| 30 + n * 6;
    let text = |n: u64, analysed: bool| {
        let text = session(&n.to_string(), Duration::ZERO, true);
        let text = text.replace(
            &Timestamp::from_millis(T0).plus(S).to_string(),
            &Timestamp::from_millis(T0).plus(S * u32::try_from(ended(n)).unwrap()).to_string(),
        );
        let text = text.replace(
            &format!(r#""createdAt":"{}""#, Timestamp::from_millis(T0)),
            &format!(r#""createdAt":"{}""#, Timestamp::from_millis(T0).plus(S * u32::try_from(ended(n) - 5).unwrap())),
        );
        if analysed { text } else { text.replace(r#""analysis""#, r#""unread""#) }
    };
    let all = minutes * 10;
    let mut counted = Vec::new();
    for second in 0..minutes * 60 + 120 {
        world.serve(|ask| match ask {
            Ask::List(_) => {
                let over = (0..all).filter(|n| ended(*n) <= second).rev().take(40);
                Ok(list(&over.map(|n| text(n, false)).collect::<Vec<_>>()))
            }
            Ask::Session(id) => Ok(text(id.parse().unwrap(), true)),
            Ask::Messages(..) => Ok(page(0..2, 2)),
            ask @ Ask::Agents(_) => nothing(ask),
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        let now = world.value(OUTCOME).unwrap_or(0.0) as u64;
        while (counted.len() as u64) < now {
            counted.push(second - ended(counted.len() as u64));
        }
        world.advance(S);
    }
    assert_eq!(counted.len() as u64, all, "every session is counted");
    let lost = world.value(r#"agntix_exporter_messages_skipped_total{reason="budget"}"#).unwrap_or(0.0);
    (counted, world.value(TURNS).unwrap_or(0.0), lost)
}

#[test]
fn short_budget_costs_messages_and_no_session_is_counted_later_for_them() {
    let p99 = |counted: &[u64]| {
        let mut counted = counted.to_vec();
        counted.sort_unstable();
        counted[counted.len() * 99 / 100]
    };
    // Ten sessions and six pages of the listing a minute; for more than an hour where the budget is short.
    let ((without, ..), (with, read, lost)) = (hours(false, 100, 10), hours(true, 100, 10));
    assert!(p99(&with) <= p99(&without) + 1, "{} s, and {} s without", p99(&with), p99(&without));
    assert_eq!((read, lost), (100.0, 0.0));
    let ((without, ..), (with, read, lost)) = (hours(false, 25, 75), hours(true, 25, 75));
    assert!(p99(&with) <= p99(&without) + 1, "{} s, and {} s without", p99(&with), p99(&without));
    assert!((40.0..250.0).contains(&read) && lost > 20.0, "{read} read, {lost} lost, of 750");
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
