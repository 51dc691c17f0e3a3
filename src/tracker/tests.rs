//! The tracker by itself.

use super::*;

const S: Duration = Duration::from_secs(1);

fn id(text: &str) -> Arc<str> {
    text.into()
}

#[test]
fn a_session_waits_in_the_queue_of_its_class_the_earlier_before_the_later() {
    let mut tracker = Tracker::default();
    for name in ["a", "b", "c"] {
        assert!(tracker.hear(&id(name), Source::Listing, Timestamp::default(), S));
    }
    assert!(!tracker.hear(&id("a"), Source::Listing, Timestamp::default(), S));
    tracker.settle(&id("b"), Progress::Pending(Stage::Open), S, |_| S);
    tracker.settle(&id("c"), Progress::Pending(Stage::Ended), S, |_| S * 2);
    assert_eq!((tracker.due_in(Class::Finishing, S), tracker.due_in(Class::Open, S)), (None, Some(id("a"))));
    assert_eq!(tracker.due_in(Class::Finishing, S * 3), Some(id("c")));
    tracker.take(&id("c"));
    assert_eq!(tracker.due_in(Class::Finishing, S * 3), None);
    tracker.forget(&id("a"));
    assert_eq!((tracker.due_in(Class::Open, S * 3), tracker.next_due()), (Some(id("b")), Some(S * 2)));
}

#[test]
fn a_session_is_in_one_queue_once_however_it_is_settled() {
    let mut tracker = Tracker::default();
    tracker.hear(&id("a"), Source::Listing, Timestamp::default(), S);
    tracker.settle(&id("a"), Progress::Pending(Stage::Open), S, |_| S);
    tracker.settle(&id("a"), Progress::Pending(Stage::Open), S * 2, |_| S);
    tracker.fail(&id("a"), S * 3, |tracked| {
        assert_eq!((tracked.looks, tracked.failures), (1, 1));
        S
    });
    assert_eq!(tracker.queues.iter().map(BTreeSet::len).sum::<usize>(), 1);
    assert_eq!(tracker.next_due(), Some(S * 4));
}

#[test]
fn sessions_are_summed_up_by_channel_and_agent_whoever_holds_the_channel() {
    let channel = |platform: &str| {
        Arc::new(Channel {
            agent_id: "A".into(),
            session_type: "voice".into(),
            platform: platform.into(),
            direction: "inbound".into(),
        })
    };
    let (phone, web) = (channel("phone"), channel("web"));
    let mut tracker = Tracker::default();
    let sessions = [
        ("a", Stage::Open, &phone),
        ("b", Stage::Open, &phone),
        ("c", Stage::Open, &channel("phone")),
        ("d", Stage::Ended, &phone),
        ("e", Stage::Ended, &web),
    ];
    for (name, stage, channel) in sessions {
        tracker.hear(&id(name), Source::Listing, Timestamp::default(), S);
        tracker.learn(name, Timestamp::default(), None, Some(channel));
        tracker.settle(&id(name), Progress::Pending(stage), S, |_| S);
    }
    let summary = tracker.summary(None, S);
    assert_eq!(summary.open_by_channel, HashMap::from([(phone, 3)]));
    assert_eq!(summary.awaiting_by_agent, HashMap::from([("A".to_owned(), 2)]));
}

#[test]
fn look_back_waits_for_a_session_until_it_keeps_failing() {
    let (start, ended) = (Timestamp::from_millis(2_000), Timestamp::from_millis(1_000));
    let waits = |failures: u16, apart: Duration, refused: bool| {
        let mut tracker = Tracker::default();
        tracker.hear(&id("a"), Source::Listing, start, S);
        tracker.learn("a", Timestamp::default(), Some(ended), None);
        tracker.settle(&id("a"), Progress::Pending(Stage::Ended), S, |_| S);
        for failure in 0..u32::from(failures) {
            let now = S + apart * failure;
            if refused {
                tracker.miss(&id("a"), true, now, |_| S);
            } else {
                tracker.fail(&id("a"), now, |_| S);
            }
        }
        let now = S + apart * u32::from(failures.saturating_sub(1));
        let waited_for = tracker.summary(Some(start), now).look_back;
        tracker.settle(&id("a"), Progress::Pending(Stage::Ended), now, |_| S);
        assert_eq!(tracker.summary(Some(start), now).look_back, 1, "it answers again, and is waited for again");
        waited_for == 1
    };
    assert!(waits(0, S, false) && waits(7, S, false) && !waits(8, S, false));
    assert!(waits(2, S * 30, false) && !waits(3, S * 10, false), "time-outs take long");
    assert!(waits(2, S, true) && !waits(3, S, true), "one 404 may be an accident");
}

#[test]
fn watched_sessions_are_tracked_on_after_they_are_counted() {
    let mut tracker = Tracker::default();
    for name in ["watched", "other"] {
        tracker.hear(&id(name), Source::Configured, Timestamp::default(), S);
    }
    tracker.watch(&BTreeSet::from([id("watched")]));
    tracker.settle(&id("watched"), Progress::Counted, S, |_| S);
    let summary = tracker.summary(None, S);
    assert_eq!((summary.known, summary.unlooked), (1, 1));
    tracker.watch(&BTreeSet::new());
    assert!(tracker.get("watched").is_none() && tracker.get("other").is_some());
}
