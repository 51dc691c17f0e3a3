//! Sessions that cannot be read: whose fault it is, what the page says meanwhile, and how soon it is whole again.

use super::*;

const GARBLED: &str = r#"{"id":7}"#;
const CATCHING_UP: &str = "agntix_exporter_catching_up";

/// Sessions `0` to `count - 1` are configured, the first `garbled` of them garbled.
fn answers(garbled: usize) -> impl Fn(&Ask) -> Result<String, ApiError> {
    move |ask: &Ask| match ask {
        Ask::Session(id) if id.parse::<usize>().unwrap() < garbled => Ok(GARBLED.into()),
        Ask::Session(id) => Ok(session(id, S * 60, true)),
        ask => nothing(ask),
    }
}

fn world(count: usize) -> World {
    World::new(|config| {
        config.sessions.ids = (0..count).map(|n| n.to_string()).collect();
        config.metrics.watch_recent = 0;
    })
}

/// Goes on for so long, answering as `api` does; how often the page said that it was catching up, and in how many looks at it.
fn go_on(world: &mut World, seconds: u32, api: impl Fn(&Ask) -> Result<String, ApiError>) -> (u32, u32) {
    let mut said = 0;
    for _ in 0..seconds {
        world.serve(&api);
        world.advance(S);
        said += u32::from(world.value(CATCHING_UP) == Some(1.0));
    }
    (said, seconds)
}

#[test]
fn while_many_sessions_cannot_be_read_the_numbers_are_not_called_complete() {
    let mut world = world(20);
    go_on(&mut world, 120, answers(20));
    let (said, of) = go_on(&mut world, 1_800, answers(20));
    assert_eq!(said, of, "none of 20 sessions was counted");
    go_on(&mut world, 400, answers(0));
    assert_eq!(world.value(OUTCOME), Some(20.0), "all are read soon after the API is mended");
    let (said, _) = go_on(&mut world, 60, answers(0));
    assert_eq!(said, 0);
}

#[test]
fn one_session_that_cannot_be_read_is_a_backlog_only_until_it_is_its_own_fault() {
    let mut world = world(20);
    let (said, _) = go_on(&mut world, 300, answers(1));
    assert!(said > 0, "for the first minutes it may be the API's");
    assert_eq!(world.value(OUTCOME), Some(19.0));
    let (said, _) = go_on(&mut world, 1_800, answers(1));
    assert_eq!(said, 0);
}

#[test]
fn sessions_that_the_api_says_it_does_not_have_are_no_backlog() {
    let mut world = world(20);
    go_on(&mut world, 120, nothing);
    let (said, _) = go_on(&mut world, 900, nothing);
    assert_eq!(said, 0);
}
