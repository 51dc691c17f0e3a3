//! The core with a real ledger, hand-made answers and a time that only moves when it is moved.

mod budget;
mod contact;
mod half_written;
mod listing;
mod messages;
mod news;
mod start;
mod time;
mod unreadable;
mod world;

use std::sync::Arc;
use std::time::Duration;

use agntix_api::{Answer, ApiError, ApiRateLimit};
use world::*;

use super::core::{Ask, NextAction};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::discovery::{Hint, News};
use crate::ledger::sqlite::{LedgerConfig, SqliteLedger};
use crate::ledger::{Change, Ledger as _};
use crate::session::Source;
use crate::status::ApiStatus;

#[test]
fn a_configured_session_that_does_not_exist_holds_nothing_up_and_is_asked_for_ever_more_rarely() {
    let mut world = World::new(|config| {
        config.sessions.ids = vec!["typo".into()];
        config.sessions.listing = false;
    });
    assert!(world.serve(nothing).contains(&Ask::Session("typo".into())));
    world.advance(S);
    world.serve(nothing);
    assert!(world.exposition.is_published() && world.status.snapshot().ready.is_ok());
    let mut looks = 0;
    for _ in 0..26 * 60 {
        world.advance(S * 60);
        looks += world.serve(nothing).iter().filter(|ask| matches!(ask, Ask::Session(_))).count();
    }
    assert!((25..50).contains(&looks), "{looks} looks in a day");
    assert_eq!(world.value(r#"agntix_exporter_malformed_sessions_total{reason="given_up"}"#), Some(1.0));
}

#[test]
fn ended_sessions_go_first_then_open_ones_then_the_listing_and_the_agents() {
    let mut world = World::new(|config| config.sessions.ids = vec!["ended".into(), "open".into()]);
    let ended = session("ended", S * 60, true).replace(r#""analysis":{"#, r#""no":{"#);
    let api = |ask: &Ask| match ask {
        Ask::Session(id) if **id == *"ended" => Ok(ended.clone()),
        Ask::Session(id) => Ok(session(id, S * 60, false)),
        ask => nothing(ask),
    };
    world.serve(api);
    world.advance(S * 55);
    let order = |asked: Vec<Ask>| {
        asked
            .iter()
            .map(|ask| match ask {
                Ask::Session(id) => id.to_string(),
                Ask::List(_) => "list".to_owned(),
                Ask::Agents(_) => "agents".to_owned(),
                Ask::Messages(id, _) => format!("messages of {id}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(order(world.serve(api)), ["ended", "open", "list"]);
    world.advance(S * 150);
    assert_eq!(order(world.serve(api)), ["ended", "list", "open"], "an overdue listing goes before open sessions");
    world.advance(S * 700);
    assert_eq!(
        order(world.serve(api)),
        ["list", "ended", "open", "agents"],
        "a starved listing goes before everything"
    );
}

#[test]
fn missing_analysis_is_counted_as_none_at_deadline() {
    let mut world = World::new(|config| config.sessions.ids = vec!["s".into()]);
    let ended = session("s", S * 60, true).replace(r#""analysis":{"#, r#""no":{"#);
    let api = |ask: &Ask| match ask {
        Ask::Session(_) => Ok(ended.clone()),
        ask => nothing(ask),
    };
    let mut looks = 0;
    for _ in 0..60 {
        looks += world.serve(api).iter().filter(|ask| matches!(ask, Ask::Session(_))).count();
        world.advance(S * 15);
    }
    let outcome = OUTCOME.replace("resolved", "none").replace("positive", "none");
    assert_eq!(world.value(&outcome), Some(1.0));
    assert_eq!(world.value(r#"agntix_session_analysis_timeouts_total{agent_id="A"}"#), Some(1.0));
    assert!((8..16).contains(&looks), "{looks} looks in a quarter of an hour");
}

#[test]
fn a_refused_credential_stops_all_but_a_probe_a_minute() {
    let mut world = World::new(|config| config.sessions.ids = vec!["a".into(), "b".into()]);
    assert_eq!(world.serve(|_| Err(status(401))).len(), 1);
    world.advance(S);
    assert!(matches!(world.status.snapshot().api, ApiStatus::Down(why) if why.contains("AGNTIX_API_KEY")));
    assert_eq!(world.value("agntix_up"), Some(0.0));
    world.advance(S * 57);
    assert_eq!(world.serve(|_| Err(status(401))).len(), 0);
    world.advance(S * 3);
    assert_eq!(world.serve(|_| Err(status(401))).len(), 1);
    world.advance(S * 61);
    world.serve(|ask| match ask {
        Ask::Session(id) => Ok(session(id, S * 60, true)),
        ask => nothing(ask),
    });
    world.advance(S);
    assert_eq!(world.value("agntix_up"), Some(1.0));
}

#[test]
fn an_api_that_is_gone_is_asked_gently_and_a_429_is_obeyed() {
    let mut world = World::new(|config| config.sessions.ids = (0..40).map(|n| n.to_string()).collect());
    let mut asked = 0;
    for _ in 0..3_600 {
        asked += world.serve(|_| Err(ApiError::Connect("refused".into()))).len();
        world.advance(S);
    }
    assert!((60..250).contains(&asked), "{asked} requests in an hour");
    world.advance(S * 60);
    let limited = ApiError::Status { status: 429, code: None, request_id: None, retry_after: Some(S * 100) };
    assert_eq!(world.serve(|_| Err(limited.clone())).len(), 1);
    world.advance(S * 99);
    assert_eq!(world.serve(nothing).len(), 0);
    world.advance(S * 3);
    assert_ne!(world.serve(nothing).len(), 0);
}

#[test]
fn nothing_is_asked_while_the_state_cannot_be_written_and_nothing_is_lost() {
    let mut world = World::new(|_| {});
    let Ok(ask) = world.next() else { panic!("nothing to ask") };
    world.disk_full = true;
    world.answer(&ask, Ok(list(&[session("s", S * 60, true)])));
    for _ in 0..100 {
        assert!(world.next().is_err());
        world.advance(S * 6);
    }
    world.disk_full = false;
    world.serve(nothing);
    world.advance(S);
    world.serve(nothing);
    assert_eq!(world.value(OUTCOME), Some(1.0));
}

#[test]
fn page_of_nameless_entries_is_read_again_and_unusable_entry_is_fetched_alone() {
    let mut world = World::new(|_| {});
    let nameless = session("s", S * 60, true).replace(r#""id":"s""#, r#""id":null"#);
    let mut pages = 0;
    for _ in 0..10 {
        world.serve(|ask| match ask {
            Ask::List(page) if !page.open_only => {
                pages += 1;
                Ok(list(std::slice::from_ref(&nameless)))
            }
            ask => nothing(ask),
        });
        if world.core.listing.sweep.first_sweep_done() {
            break;
        }
        world.advance(S * 60);
    }
    assert_eq!(pages, 6, "five more tries");
    let broken = session("broken", S * 60, true).replace(r#""createdAt":""#, r#""createdAt":"not "#);
    let asked_for = |world: &mut World| {
        world.advance(S * 61);
        let asked = world.serve(|ask| match ask {
            Ask::List(_) => Ok(list(std::slice::from_ref(&broken))),
            Ask::Session(id) => Ok(session(id, S * 60, true)),
            ask @ (Ask::Agents(_) | Ask::Messages(..)) => nothing(ask),
        });
        asked.contains(&Ask::Session("broken".into()))
    };
    assert!(asked_for(&mut world));
    assert!(!asked_for(&mut world), "once is enough");
    world.advance(S);
    world.serve(nothing);
    assert_eq!(world.value(OUTCOME), Some(1.0));
}

#[test]
fn listed_open_sessions_cost_no_request_of_their_own() {
    let mut world = World::new(|_| {});
    let open: Vec<_> = (0..5).map(|n| session(&n.to_string(), S * 60, false)).collect();
    let api = |ask: &Ask| match ask {
        Ask::List(_) => Ok(list(&open)),
        ask => nothing(ask),
    };
    world.serve(api);
    let mut asked = Vec::new();
    for _ in 0..120 {
        world.advance(S);
        asked.extend(world.serve(api));
    }
    assert!(asked.iter().all(|ask| matches!(ask, Ask::List(_))), "{asked:?}");
    assert_eq!(
        world.value(r#"agntix_sessions_open{agent_id="A",session_type="voice",platform="phone",direction="inbound"}"#),
        Some(5.0)
    );
}

#[test]
fn a_lease_is_durable_before_it_is_used() {
    let mut world = World::new(|config| config.api.requests_per_minute = 20);
    let NextAction::Commit(batch) = world.core.next(world.now(), true) else { panic!("a request before its lease") };
    assert!(matches!(&batch.changes[..], [Change::Lease(lease)] if lease.count == 2 && lease.per_window == 20));
    assert!(matches!(world.core.next(world.now(), true), NextAction::Wait(_)), "the lease is not durable yet");
}

#[test]
fn broken_sessions_do_not_stop_the_rest() {
    let mut world = World::new(|config| config.sessions.ids = (0..8).map(|n| format!("broken{n}")).collect());
    let (mut sweeps, mut broken) = (0, 0);
    for second in 0..3_600 {
        for ask in world.serve(|ask| match ask {
            Ask::Session(_) => Err(status(500)),
            ask => nothing(ask),
        }) {
            sweeps += u32::from(matches!(ask, Ask::List(_)) && second > 600);
            broken += u32::from(matches!(ask, Ask::Session(_)) && second > 600);
        }
        world.advance(S);
    }
    assert!(sweeps > 80, "{sweeps} sweeps in 50 minutes");
    assert!(broken < 100, "{broken} requests for eight broken sessions");
    assert_eq!(world.value("agntix_up"), Some(1.0));
}

#[test]
fn session_of_another_organization_does_not_mark_the_credential_refused() {
    let mut world = World::new(|config| config.sessions.ids = vec!["ours".into(), "theirs".into()]);
    let api = |ask: &Ask| match ask {
        Ask::Session(id) if **id == *"theirs" => Err(status(403)),
        Ask::Session(id) => Ok(session(id, S * 60, false)),
        ask => nothing(ask),
    };
    for _ in 0..300 {
        world.serve(api);
        world.advance(S);
    }
    assert_eq!(world.value("agntix_up"), Some(1.0));
    let refused = world.serve(|_| Err(status(403)));
    assert!(refused.len() <= 5, "{refused:?}");
}

#[test]
fn a_reload_keeps_what_is_known_of_the_limit_and_tries_at_once_what_was_refused() {
    let mut world = World::new(|_| {});
    world.serve(|_| Err(status(401)));
    world.advance(S);
    assert_eq!(world.value("agntix_up"), Some(0.0));
    let config = Config::default();
    world.core.reconfigure(&config, "api.key_file /key".into(), "api.agntix.ai".into(), world.now());
    assert_ne!(world.serve(nothing).len(), 0);
    let late = Answer {
        route: agntix_api::Route::List,
        path: "/api/v1/chat/sessions".into(),
        status: Some(401),
        content_type: None,
        elapsed: Duration::ZERO,
        rate_limit: ApiRateLimit::default(),
        date: None,
        head_received: None,
        request_id: None,
        is_unsent: false,
        result: Err(status(401)),
    };
    let ask = Ask::Agents(1);
    world.core.answered_before_reload(&ask, late, world.now());
    world.advance(S);
    assert_eq!(world.value("agntix_up"), Some(1.0), "the old key's refusal says nothing of the new one");
}

#[test]
fn a_session_created_in_the_future_does_not_end_discovery() {
    let mut world = World::new(|_| {});
    let from_the_future = session("future", S * 60, false).replace("2026-", "2099-");
    let api = |ask: &Ask| match ask {
        Ask::List(_) => Ok(list(std::slice::from_ref(&from_the_future))),
        ask => nothing(ask),
    };
    world.serve(api);
    world.advance(S * 60);
    let asked = world.serve(api);
    let after = asked.iter().find_map(|ask| if let Ask::List(page) = ask { page.created_after } else { None });
    assert!(after.unwrap() < Timestamp::from_millis(T0), "{after:?}");
}

#[test]
fn answer_without_a_list_is_not_an_empty_list() {
    let mut world = World::new(|_| {});
    world.serve(|ask| match ask {
        Ask::List(_) => Ok(r#"{"items":[]}"#.into()),
        ask => nothing(ask),
    });
    assert!(!world.core.listing.sweep.first_sweep_done());
    assert!(world.value(r#"agntix_exporter_malformed_sessions_total{reason="json"}"#) >= Some(1.0));
}

#[test]
fn a_watched_session_that_the_listing_tells_in_part_is_still_asked_for() {
    let mut world = World::new(|_| {});
    let in_part = session("s", S * 60, true).replace(r#""analysis":{"#, r#""no":{"#);
    let api = |ask: &Ask| match ask {
        Ask::List(_) => Ok(list(std::slice::from_ref(&in_part))),
        Ask::Session(id) => Ok(session(id, S * 60, true)),
        ask @ (Ask::Agents(_) | Ask::Messages(..)) => nothing(ask),
    };
    for _ in 0..20 {
        world.serve(api);
        world.advance(S);
    }
    assert_eq!(world.value(OUTCOME), Some(1.0));
    // It is watched from now on; before it is asked for, a page tells of it once more.
    let mut config = Config::default();
    config.sessions.ids = vec!["s".into()];
    world.core.reconfigure(&config, "AGNTIX_API_KEY".into(), "api.agntix.ai".into(), world.now());
    let (mut asked, mut held_back) = (Vec::new(), None);
    while let Ok(ask) = world.next() {
        if matches!(ask, Ask::Session(_)) && held_back.is_none() {
            held_back = Some(ask);
            continue;
        }
        let result = api(&ask);
        world.answer(&ask, result);
        asked.push(ask);
    }
    assert!(asked.iter().any(|ask| matches!(ask, Ask::List(_))), "{asked:?}");
    let ask = held_back.unwrap();
    world.answer(&ask, Err(ApiError::Timeout));
    world.advance(S * 60);
    world.serve(api);
    world.advance(S);
    assert!(world.page().contains("agntix_watched_session_info{session_id=\"s\""), "{}", world.page());
}
