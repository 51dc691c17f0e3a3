//! What a client is sent, and what it is sent when it comes back.

use std::collections::BTreeMap;

use super::*;

#[test]
fn all_events_come_in_order_and_numbered() {
    let (simulator, clock) = frozen(|config| config.stream.heartbeat = SECOND * 100_000);
    let mut connection = simulator.connect(None);
    assert_eq!(pieces(&simulator, &mut connection), (Vec::new(), Then::Goes), "past events are not sent");
    let (from, real) = (simulator.now(), clock.now());
    let mut bytes = Vec::new();
    for second in 0..=1200 {
        clock.set(real.plus(SECOND * second));
        bytes.extend(pieces(&simulator, &mut connection).0);
    }
    let events = read(&bytes);
    assert!(events.iter().map(|event| event.id.unwrap()).eq(1..=events.len() as u64));
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for event in &events {
        let at = Timestamp::parse_rfc3339(event.data["timestamp"].as_str().unwrap()).unwrap();
        assert!(from < at && at <= simulator.now());
        *seen.entry((event.data["sessionId"].as_str().unwrap(), &event.name)).or_default() += 1;
    }
    let happened = |at: Timestamp| usize::from(from < at && at <= simulator.now());
    let mut expected = 0;
    for session in simulator.sessions(simulator.config().start, simulator.now()) {
        let seen = |name| seen.get(&(session.id.as_str(), name)).copied().unwrap_or(0);
        assert_eq!(seen("session.started"), happened(session.created));
        assert_eq!(seen("session.ended"), happened(session.ended));
        assert_eq!(seen("usage.updated"), happened(session.ended));
        let updates = [session.analysis_at, session.change.as_ref().map(|(at, _)| *at)];
        assert_eq!(seen("session.updated"), updates.into_iter().flatten().map(happened).sum::<usize>());
        let messages = crate::json::message_times(&session).map(happened).sum::<usize>();
        assert_eq!(seen("message.added"), messages);
        expected += seen("session.started") + 2 * seen("session.ended") + seen("session.updated") + messages;
    }
    assert!(expected == events.len() && expected > 500, "{expected} {}", events.len());
}

#[test]
fn events_say_what_has_become_of_the_session() {
    let (simulator, clock) = frozen(|_| {});
    let mut connection = simulator.connect(None);
    clock.set(clock.now().plus(SECOND * 600));
    let events = read(&pieces(&simulator, &mut connection).0);
    let first = |name: &str| &events.iter().find(|event| event.name == name).unwrap().data;
    assert_eq!(first("session.started")["state"], "OPEN");
    assert_ne!(first("session.ended")["state"], "OPEN");
    assert!(first("usage.updated")["seconds"].is_u64());
    let message = first("message.added");
    assert_eq!(message["message"]["createdAt"], message["timestamp"]);
}

#[test]
fn heartbeats_come_in_real_time_and_without_a_number() {
    let (simulator, clock) = frozen(|config| config.speed = 0.0);
    let mut connection = simulator.connect(None);
    let real = clock.now();
    let mut beats = Vec::new();
    for second in 1..=90 {
        clock.set(real.plus(SECOND * second));
        let events = read(&pieces(&simulator, &mut connection).0);
        beats.extend(events.into_iter().map(|event| (second, event.name, event.id)));
    }
    assert_eq!(beats, [30, 60, 90].map(|second| (second, "heartbeat".to_owned(), None)));
}

#[test]
fn a_client_that_comes_back_gets_what_it_has_missed() {
    let (simulator, clock) = frozen(|_| {});
    let mut first = simulator.connect(None);
    clock.set(clock.now().plus(SECOND * 20));
    let seen = ids(&pieces(&simulator, &mut first).0);
    clock.set(clock.now().plus(SECOND * 300));
    let last = *seen.last().unwrap();
    let missed = ids(&pieces(&simulator, &mut simulator.connect(Some(last))).0);
    assert!(missed.len() > 50);
    assert!(missed.iter().copied().eq(last + 1..=last + missed.len() as u64));
    assert_eq!(ids(&pieces(&simulator, &mut first).0), missed);
    for nothing_to_resume in [None, Some(u64::MAX)] {
        assert!(pieces(&simulator, &mut simulator.connect(nothing_to_resume)).0.is_empty());
    }
}

#[test]
fn events_beyond_the_capacity_cannot_be_resumed() {
    let (simulator, clock) = frozen(|config| config.stream.capacity = 10);
    simulator.connect(None);
    clock.set(clock.now().plus(SECOND * 300));
    let got = ids(&pieces(&simulator, &mut simulator.connect(Some(1))).0);
    assert!(got.len() == 10 && got[0] > 2, "{got:?}");
}
