//! What deliveries and the event stream make of the schedule.

use super::*;

impl World {
    /// A delivery of this session, as the route makes it durable and tells of it.
    pub(super) fn deliver(&mut self, text: &str) {
        let news = self.make_durable(text);
        self.core.hear(news, self.now());
    }

    /// What the route tells of a delivery when it is durable.
    fn make_durable(&self, text: &str) -> News {
        let session: agntix_api::wire::Session<'_> = serde_json::from_str(text).unwrap();
        let config = &self.core.config.observation;
        let facts = Arc::new(crate::observation::observe_entry(&session, config, self.now().local).unwrap());
        let (source, now) = (Source::Webhook, self.now().local);
        let change = Change::Session { facts: Arc::clone(&facts), source, now };
        let outcome = self.runtime.block_on(self.ledger.commit(vec![change])).unwrap().remove(0);
        News::Session { facts, outcome, source }
    }
}

impl World {
    /// [`value`](Self::value), once new series may rise.
    fn settled(&mut self, sample: &str) -> Option<f64> {
        for _ in 0..2 {
            self.advance(S);
            self.serve(nothing);
        }
        self.value(sample)
    }
}

pub(super) fn webhook_only(config: &mut Config) {
    config.webhook.enabled = true;
    config.sessions.listing = false;
}

pub(super) fn with_webhook() -> World {
    let mut world = World::new(webhook_only);
    world.serve(nothing);
    world.advance(S);
    world.serve(nothing);
    world
}

pub(super) fn sessions_asked(asked: &[Ask]) -> usize {
    asked.iter().filter(|ask| matches!(ask, Ask::Session(_))).count()
}

#[test]
fn a_complete_delivery_costs_no_request_and_an_incomplete_one_is_completed() {
    let mut world = with_webhook();
    // It ended a second after the first start, so that it is news.
    let recent = |id: &str| session(id, S * 60, true).replace("2026-04-08T05:59", "2026-04-08T06:00");
    world.advance(S * 30);
    world.deliver(&recent("whole"));
    assert_eq!(sessions_asked(&world.serve(nothing)), 0);
    assert_eq!(world.settled(OUTCOME), Some(1.0));
    world.deliver(&recent("part").replace(r#""resolution":{"#, r#""cut":{"#));
    world.advance(S * 15);
    assert_eq!(
        world.serve(|ask| match ask {
            Ask::Session(_) => Ok(recent("part")),
            ask => nothing(ask),
        }),
        [Ask::Session("part".into())]
    );
    assert_eq!(world.settled(OUTCOME), Some(2.0));
    let delays = |source: &str| format!(r#"agntix_exporter_count_delay_seconds_count{{source="{source}"}}"#);
    assert_eq!((world.value(&delays("webhook")), world.value(&delays("listing"))), (Some(2.0), Some(0.0)));
    assert_eq!(world.value("agntix_exporter_webhook_missed_sessions_total"), Some(0.0));
}

#[test]
fn deliveries_in_any_order_and_number_count_once() {
    let mut world = with_webhook();
    let (open, ended) = (session("s", S * 60, false), session("s", S * 60, true));
    for text in [&ended, &open, &ended, &open, &ended] {
        world.deliver(text);
        world.advance(S * 70);
        world.serve(nothing);
    }
    assert_eq!(world.value(OUTCOME), Some(1.0));
    assert_eq!(world.status.snapshot().sessions_open, 0);
}

/// Routes that wait for the same commit go on in any order.
#[test]
fn late_commit_notice_does_not_reopen_counted_session() {
    for order in [[0, 1, 2, 3], [1, 0, 2, 3], [0, 3, 1, 2], [0, 2, 3, 1], [0, 3, 2, 1]] {
        let mut world = with_webhook();
        let (open, ended) = (session("s", S * 60, false), session("s", S * 60, true));
        let news = [&open, &open, &ended, &ended].map(|text| world.make_durable(text));
        for place in order {
            world.core.hear(news[place].clone(), world.now());
        }
        world.advance(S * 120);
        assert_eq!(sessions_asked(&world.serve(nothing)), 0, "{order:?}");
        assert_eq!(world.value(OUTCOME), Some(1.0));
        let discovered = r#"agntix_exporter_sessions_discovered_total{source="webhook"}"#;
        assert_eq!(world.value(discovered), Some(1.0), "{order:?}");
    }
}

#[test]
fn sessions_known_only_from_deliveries_may_all_be_refused() {
    let mut world = with_webhook();
    for id in ["a", "b", "c", "d", "e", "f"] {
        world.deliver(&session(id, S * 60, false));
    }
    world.advance(S * 120);
    let refused = world.serve(|ask| match ask {
        Ask::Session(_) => Err(status(403)),
        ask => nothing(ask),
    });
    assert_eq!(sessions_asked(&refused), 6);
    world.advance(S);
    world.serve(nothing);
    assert_eq!(world.value("agntix_up"), Some(1.0));
}

/// By the time that it is refused, nothing is known any more of the session.
#[test]
fn a_session_that_is_counted_while_it_is_asked_for_may_be_refused() {
    let mut world = with_webhook();
    world.deliver(&session("s", S * 60, false));
    world.advance(S * 120);
    let ask = world.next().unwrap();
    assert_eq!(ask, Ask::Session("s".into()));
    world.deliver(&session("s", S * 60, true));
    world.answer(&ask, Err(status(403)));
    world.advance(S);
    world.serve(nothing);
    assert_eq!(world.value("agntix_up"), Some(1.0));
    assert_eq!(world.value(OUTCOME), Some(1.0));
    assert_eq!(sessions_asked(&world.serve(nothing)), 0);
}

#[test]
fn sessions_missed_by_the_webhook_are_polled_and_counted_as_missed() {
    let mut world = World::new(|config| config.webhook.enabled = true);
    world.serve(nothing);
    world.advance(S);
    world.serve(nothing);
    world.advance(S * 60);
    let missed = session("s", S * 60, true).replace("2026-04-08T05:59", "2026-04-08T06:00");
    world.serve(|ask| match ask {
        Ask::List(_) => Ok(list(std::slice::from_ref(&missed))),
        ask => nothing(ask),
    });
    assert_eq!(world.value("agntix_exporter_webhook_missed_sessions_total"), Some(1.0));
}

/// What was delivered before a restart is not known behind it; nor is what would have been, had somebody been here.
#[test]
fn a_restart_makes_no_delivery_look_missed() {
    const MISSED: &str = "agntix_exporter_webhook_missed_sessions_total";
    let enabled = |config: &mut Config| config.webhook.enabled = true;
    let mut world = World::new(enabled);
    world.serve(nothing);
    world.advance(S);
    world.serve(nothing);
    world.advance(S * 60);
    // 06:01:01: the listing tells of it first, a delivery next.
    let listed = |sessions: &[String]| {
        let page = list(sessions);
        move |ask: &Ask| match ask {
            Ask::List(_) => Ok(page.clone()),
            ask => nothing(ask),
        }
    };
    let open = session("announced", S * 60, false).replace("2026-04-08T05:59", "2026-04-08T06:01");
    world.serve(listed(std::slice::from_ref(&open)));
    world.deliver(&open);

    let mut world = world.restarted(enabled);
    world.advance(S * 60);
    // Both are over, one of them since before the restart.
    let over =
        |id: &str, minute| session(id, S * 60, true).replace("2026-04-08T05:59", &format!("2026-04-08T{minute}"));
    world.serve(listed(&[over("announced", "06:01"), over("late", "06:00")]));
    assert_eq!(world.settled(OUTCOME), Some(2.0));
    assert_eq!(world.value(MISSED), Some(0.0));
    // What began and ended since is judged.
    world.advance(S * 60);
    world.serve(listed(&[over("missed", "06:02")]));
    assert_eq!((world.settled(OUTCOME), world.value(MISSED)), (Some(3.0), Some(1.0)));
}

/// Svix tries for more than a day, and signs anew each time: the signature is fresh, the session is not.
#[test]
fn a_retry_after_a_day_and_a_restart_counts_nothing() {
    let mut world = with_webhook();
    let recent = session("s", S * 60, true).replace("2026-04-08T05:59", "2026-04-08T06:00");
    world.advance(S * 60);
    world.deliver(&recent);
    assert_eq!(world.settled(OUTCOME), Some(1.0));
    for hours in [24, 28, 47] {
        world = world.restarted(webhook_only);
        world.advance(S * 3_600 * hours);
        world.deliver(&recent);
        assert_eq!(sessions_asked(&world.serve(nothing)), 0);
        assert_eq!(world.settled(OUTCOME), Some(1.0), "{hours} h later");
    }
}

#[test]
fn stream_events_decide_which_session_is_asked_for_and_when() {
    let mut world = with_webhook();
    let hint = |world: &mut World, id: &str, hint| world.core.hear(News::Hint { id: id.into(), hint }, world.now());
    hint(&mut world, "s", Hint::Updated);
    hint(&mut world, "s", Hint::Started);
    let open = |_: &Ask| Ok(session("s", S * 60, false));
    assert_eq!(sessions_asked(&world.serve(open)), 0, "it has nothing to tell yet");
    world.advance(S * 40);
    assert_eq!(sessions_asked(&world.serve(open)), 1);
    hint(&mut world, "s", Hint::Ended);
    let ended = |_: &Ask| Ok(session("s", S * 60, true).replace(r#""analysis":{"#, r#""no":{"#));
    assert_eq!(sessions_asked(&world.serve(ended)), 1);
    hint(&mut world, "s", Hint::Updated);
    assert_eq!(sessions_asked(&world.serve(|_| Ok(session("s", S * 60, true)))), 1);
    hint(&mut world, "s", Hint::Ended);
    assert_eq!(sessions_asked(&world.serve(nothing)), 0, "it is counted");
    assert_eq!(world.settled(OUTCOME), Some(1.0));
}
