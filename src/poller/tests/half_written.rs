//! An analysis that is found half-written, and agents of which a part is switched off or on.

use super::news::{sessions_asked, webhook_only, with_webhook};
use super::*;

/// A session that began at the first start, and ended a second later.
fn whole(id: &str) -> String {
    session(id, S * 60, true).replace("2026-04-08T05:59", "2026-04-08T06:00")
}

/// The same, of whose analysis the sentiment is missing.
fn half(id: &str) -> String {
    whole(id).replace(r#""sentiment":{"#, r#""absent":{"#)
}

fn without_sentiment() -> String {
    OUTCOME.replace("positive", "none")
}

impl World {
    fn hear(&mut self, id: &str) {
        self.core.hear(News::Id { id: id.into(), source: Source::Webhook }, self.now());
    }

    /// Lets time pass while every session is answered with `text`. How often one was asked for.
    fn pass(&mut self, time: Duration, text: impl Fn(&str) -> String) -> usize {
        let (end, mut asked) = (self.tick + time, 0);
        while self.tick < end {
            self.advance(S * 5);
            asked += sessions_asked(&self.serve(|ask| match ask {
                Ask::Session(id) => Ok(text(id)),
                ask => nothing(ask),
            }));
        }
        asked
    }
}

#[test]
fn the_first_session_of_an_agent_is_counted_when_its_analysis_is_whole() {
    let mut world = with_webhook();
    world.advance(S * 30);
    world.hear("s");
    assert!(world.pass(S * 20, half) >= 2);
    assert_eq!((world.value(OUTCOME), world.value(&without_sentiment())), (Some(0.0), Some(0.0)));
    world.pass(S * 60, whole);
    assert_eq!((world.value(OUTCOME), world.value(&without_sentiment())), (Some(1.0), Some(0.0)));
}

#[test]
fn an_agent_with_a_part_switched_off_is_learned_and_its_deliveries_cost_no_request() {
    let mut world = with_webhook();
    world.advance(S * 30);
    world.hear("first");
    world.pass(S * 180, half);
    assert_eq!(world.value(&without_sentiment()), Some(1.0), "it does not wait for the deadline");
    world.deliver(&half("second"));
    assert_eq!(world.pass(S * 10, half), 0);
    assert_eq!(world.value(&without_sentiment()), Some(2.0));
    // It is switched on: the first session that carries it is counted with it, and the next is waited for.
    world.deliver(&whole("third"));
    world.deliver(&half("fourth"));
    assert_eq!(world.pass(S * 10, half), 1);
    world.pass(S * 30, whole);
    assert_eq!((world.value(OUTCOME), world.value(&without_sentiment())), (Some(2.0), Some(2.0)));
}

#[test]
fn parts_that_an_agent_had_before_are_awaited_until_the_deadline_and_over_a_restart() {
    let mut world = with_webhook();
    world.advance(S * 30);
    world.deliver(&whole("known"));
    world.hear("late");
    world.hear("never");
    world.pass(S * 300, half);
    let mut world = world.restarted(webhook_only);
    world.pass(S * 300, half);
    assert_eq!((world.value(OUTCOME), world.value(&without_sentiment())), (Some(1.0), Some(0.0)));
    world.pass(S * 130, |id| if id == "late" { whole(id) } else { half(id) });
    assert_eq!((world.value(OUTCOME), world.value(&without_sentiment())), (Some(2.0), Some(0.0)));
    // P5: the deadline is 15 minutes after the end, and what is there then is counted.
    world.pass(S * 180, half);
    assert_eq!((world.value(OUTCOME), world.value(&without_sentiment())), (Some(2.0), Some(1.0)));
    assert!(!world.page().contains("analysis_timeouts_total{agent_id=\"A\"} 1"));
}

#[test]
fn part_that_was_switched_off_is_awaited_three_times_and_then_no_more() {
    let mut world = with_webhook();
    world.advance(S * 30);
    world.deliver(&whole("known"));
    for id in ["a", "b", "c"] {
        world.deliver(&half(id));
    }
    world.pass(S * 800, half);
    assert_eq!(world.value(&without_sentiment()), Some(0.0));
    world.pass(S * 120, half);
    assert_eq!(world.value(&without_sentiment()), Some(3.0));
    // Long before its deadline, and without a request.
    let late = half("d").replace("2026-04-08T06:00", "2026-04-08T06:15");
    world.deliver(&late);
    assert_eq!(world.pass(S * 10, half), 0);
    assert_eq!(world.value(&without_sentiment()), Some(4.0));
}

#[test]
fn sessions_of_the_past_are_counted_in_the_look_back_with_what_they_have() {
    let mut world = World::new(|_| {});
    let old = |id: &str| session(id, S * 1_800, true).replace(r#""sentiment":{"#, r#""absent":{"#);
    let listed = list(&[old("a"), old("b")]);
    world.serve(|ask| match ask {
        Ask::List(page) if !page.open_only => Ok(listed.clone()),
        Ask::Session(id) => Ok(old(id)),
        ask => nothing(ask),
    });
    world.advance(S);
    world.serve(nothing);
    assert!(world.exposition.is_published());
    assert_eq!(world.value(&without_sentiment()), Some(2.0));
}
