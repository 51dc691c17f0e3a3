//! What time it is for the sessions when one of the clocks, or some of the answers, say something else.

use super::*;

/// By how many milliseconds the answer with this number is ahead.
type Ahead = fn(u32) -> i64;

const MINUTE: i64 = 60_000;
const NONE: &str = r#"agntix_session_outcomes_total{agent_id="A",session_type="voice",platform="phone",direction="inbound",resolution="none",sentiment="none"}"#;

/// Lists `sessions`, gives each one that is asked for, and has nothing else.
fn api<'s>(sessions: &'s [(&'static str, String)]) -> impl FnMut(&Ask) -> Result<String, ApiError> + 's {
    move |ask| match ask {
        Ask::List(page) if !page.open_only => {
            Ok(list(&sessions.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>()))
        }
        Ask::Session(id) => {
            let found = sessions.iter().find(|(known, _)| *known == &**id);
            found.map_or_else(|| Err(status(404)), |(_, text)| Ok(text.clone()))
        }
        ask => nothing(ask),
    }
}

fn without_analysis(text: &str) -> String {
    text.replace(r#""analysis":{"#, r#""no":{"#)
}

/// Runs for `seconds`, and gives the second from which on the page showed `sample` at 1.
fn second_of(world: &mut World, sample: &str, seconds: u32, sessions: &[(&'static str, String)]) -> Option<u32> {
    let mut shown = None;
    for second in 0..seconds {
        world.serve(api(sessions));
        if shown.is_none() && world.value(sample) == Some(1.0) {
            shown = Some(second);
        }
        world.advance(S);
    }
    shown
}

fn first_start(world: World) -> Option<Timestamp> {
    let World { ledger, _directory: directory, .. } = world;
    drop(ledger);
    let mut config = Config::default();
    config.state.path = directory.path().into();
    SqliteLedger::open(LedgerConfig::from(&config), Box::new(|_| {})).unwrap().1.first_start
}

#[test]
fn half_of_the_answers_20_minutes_ahead_give_up_no_session_early() {
    // The session ends at T0 - 59 s and has its analysis a minute later; its end is seen at once.
    for first_lies in [0, 1] {
        let mut world = World::new(|_| {});
        world.date_ahead = if first_lies == 0 {
            |n| if n % 2 == 0 { 20 * MINUTE } else { 0 }
        } else {
            |n| if n % 2 == 1 { 20 * MINUTE } else { 0 }
        };
        let whole = session("s", S * 60, true);
        assert_eq!(second_of(&mut world, NONE, 60, &[("s", without_analysis(&whole))]), None);
        second_of(&mut world, NONE, 60, &[("s", whole)]);
        assert_eq!((world.value(OUTCOME), world.value(NONE)), (Some(1.0), Some(0.0)));
    }
}

#[test]
fn session_that_ended_here_is_given_up_only_after_its_deadline_on_the_monotonic_clock() {
    // All answers are 20 minutes ahead from some moment on, and so is this machine: nothing else tells the truth.
    let mut world = World::new(|_| {});
    let open = session("s", S * 60, false);
    second_of(&mut world, NONE, 5, &[("s", open)]);
    (world.date_ahead, world.machine_ahead) = (|_| 20 * MINUTE, 20 * MINUTE);
    let ended = without_analysis(&session("s", S * 60, true));
    let second = second_of(&mut world, NONE, 1_100, &[("s", ended)]).unwrap();
    assert!((900..1_050).contains(&second), "{second}");
}

#[test]
fn session_that_ended_before_the_start_is_given_up_without_waiting_again() {
    let old = without_analysis(&session("s", S * 1_000, true));
    let mut world = World::new(|_| {});
    assert!(second_of(&mut world, NONE, 30, &[("s", old.clone())]).unwrap() < 5);
    // This machine's clock does not confirm it.
    let mut world = World::new(|_| {});
    world.machine_ahead = -20 * MINUTE;
    let second = second_of(&mut world, NONE, 1_200, &[("s", old)]).unwrap();
    assert!((200..1_050).contains(&second), "{second}");
}

#[test]
fn session_that_waits_over_a_restart_is_given_up_at_its_deadline_by_both_clocks() {
    let ended = without_analysis(&session("s", S * 60, true));
    let mut world = World::new(|_| {});
    assert_eq!(second_of(&mut world, NONE, 600, &[("s", ended.clone())]), None);
    let mut world = world.restarted(|_| {});
    let second = second_of(&mut world, NONE, 600, &[("s", ended)]).unwrap();
    assert!((239..400).contains(&second), "{second}");
}

#[test]
fn first_start_is_dated_by_the_api_whichever_clock_is_wrong() {
    // A first answer that lies; a machine that is wrong; both right.
    let cases: [(i64, Ahead); 5] = [
        (0, |n| if n == 0 { 40 * MINUTE } else { 0 }),
        (0, |n| if n < 3 { -40 * MINUTE } else { 0 }),
        (60 * MINUTE, |_| 0),
        (-60 * MINUTE, |_| 0),
        (0, |_| 0),
    ];
    for (machine_ahead, date_ahead) in cases {
        let mut world = World::new(|_| {});
        (world.machine_ahead, world.date_ahead) = (machine_ahead, date_ahead);
        second_of(&mut world, NONE, 60, &[]);
        assert!(world.exposition.is_published());
        let first_start = first_start(world).unwrap();
        let off = first_start.as_millis() - T0;
        assert!(off.abs() <= 3_000, "{off} ms with a machine {machine_ahead} ms ahead");
    }
}

#[test]
fn nothing_dates_the_first_start_while_no_clock_is_confirmed() {
    let mut world = World::new(|_| {});
    // Each answer has another time.
    world.date_ahead = |n| i64::from(n + 1) * 7 * MINUTE;
    second_of(&mut world, NONE, 3, &[]);
    assert!(!world.exposition.is_published());
    assert_eq!(first_start(world), None);
}

#[test]
fn date_of_a_captive_portal_is_ignored() {
    let mut world = World::new(|_| {});
    world.date_ahead = |_| 40 * MINUTE;
    for _ in 0..100 {
        world.serve(|ask| match ask {
            Ask::List(_) | Ask::Agents(_) => Ok("<html>Please log in</html>".into()),
            ask @ (Ask::Session(_) | Ask::Messages(..)) => nothing(ask),
        });
        world.advance(S * 2);
    }
    assert_eq!(world.core.api_time.latest(world.tick), None);
}

#[test]
fn slow_body_does_not_shift_the_clock() {
    let mut world = World::new(|_| {});
    let Ok(ask) = world.next() else { panic!("nothing to ask") };
    let answer = Answer {
        route: ask.route(),
        path: world.core.path(ask.route()),
        status: Some(200),
        content_type: Some("application/json"),
        elapsed: S * 9,
        rate_limit: ApiRateLimit::default(),
        date: Some(Timestamp::from_millis(T0)),
        head_received: Some(world.began),
        request_id: None,
        is_unsent: false,
        result: Ok(list(&[]).into()),
    };
    world.tick = S * 9;
    world.core.answered(&ask, answer, world.now());
    assert_eq!(world.core.api_time.latest(S * 9), Some(Timestamp::from_millis(T0).plus(S * 9)));
}

#[test]
fn sweep_that_was_begun_by_a_clock_ahead_is_begun_anew() {
    let mut world = World::new(|_| {});
    world.machine_ahead = 60 * MINUTE;
    // It ended half an hour ago, and a sweep of an hour by this machine's clock would not meet it.
    let after = std::cell::Cell::new(None);
    let old = session("s", S * 1_800, true);
    for _ in 0..30 {
        world.serve(|ask| match ask {
            Ask::List(page) if !page.open_only => {
                after.set(page.created_after);
                let is_met =
                    page.created_after.is_some_and(|after| after <= Timestamp::from_millis(T0).minus(S * 1_800));
                Ok(list(if is_met { std::slice::from_ref(&old) } else { &[] }))
            }
            ask => nothing(ask),
        });
        world.advance(S);
    }
    assert_eq!(world.value(OUTCOME), Some(1.0), "{:?}", after.get());
}
