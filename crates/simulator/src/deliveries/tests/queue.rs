//! Which attempt comes next, on clocks that are moved by hand.

use std::sync::Arc;

use super::super::queue::{Attempt, Queue};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

fn queue(generator: &Generator, change: impl FnOnce(&mut DeliveryConfig)) -> Queue {
    let mut config = DeliveryConfig { parallelism: usize::MAX, ..config() };
    change(&mut config);
    Queue::new(Arc::new(config), generator, generator.config().start)
}

fn real(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
}

#[test]
fn a_failing_delivery_is_retried_as_svix_does_and_given_up() {
    let generator = generator(|_| {});
    let now = outlines(&generator)[0].created;
    let mut queue = queue(&generator, |_| {});
    let mut real_now = real(0);
    let mut waits = Vec::new();
    let first = queue.take(&generator, now, real_now).unwrap();
    let mut attempt = first;
    while queue.progress(now).given_up == 0 {
        queue.fail(attempt, real_now);
        let mut waited = 0;
        let next = loop {
            if queue.progress(now).waiting == 0 {
                break None;
            }
            assert_eq!(queue.take(&generator, now, real_now), None);
            waited += 5;
            real_now = real_now.plus(SECOND * 5);
            let almost = real_now.minus(Duration::from_millis(1));
            assert_eq!(queue.take(&generator, now, almost), None);
            if let Some(next) = queue.take(&generator, now, real_now) {
                break Some(next);
            }
        };
        if let Some(next) = next {
            waits.push(waited);
            assert_eq!(next, Attempt { delivery: first.delivery, number: attempt.number + 1 });
            attempt = next;
        }
    }
    assert_eq!(waits, [5, 300, 1800, 7200, 18_000, 36_000, 36_000]);
    let progress = queue.progress(now);
    assert!(progress.done && progress.acknowledged == 0, "{progress:?}");
}

#[test]
fn the_schedule_can_be_scaled() {
    let generator = generator(|_| {});
    let now = outlines(&generator)[0].created;
    let mut queue = queue(&generator, |config| config.backoff_scale = 0.001);
    let attempt = queue.take(&generator, now, real(0)).unwrap();
    queue.fail(attempt, real(0));
    assert_eq!(queue.take(&generator, now, real(0).plus(Duration::from_millis(4))), None);
    assert!(queue.take(&generator, now, real(0).plus(Duration::from_millis(5))).is_some());
}

#[test]
fn parallelism_is_bounded_and_attempts_put_back_are_made_again() {
    let generator = generator(|_| {});
    let now = generator.config().start.plus(HOUR);
    let mut queue = queue(&generator, |config| config.parallelism = 2);
    let first = queue.take(&generator, now, real(0)).unwrap();
    let second = queue.take(&generator, now, real(0)).unwrap();
    assert_eq!(queue.take(&generator, now, real(0)), None);
    queue.put_back(first, real(0));
    assert_eq!(queue.take(&generator, now, real(0)), Some(first));
    queue.acknowledge();
    let third = queue.take(&generator, now, real(0)).unwrap();
    assert!(third != first && third != second);
    let progress = queue.progress(now);
    assert_eq!((progress.in_flight, progress.acknowledged, progress.done), (2, 1, false));
}

#[test]
fn only_events_since_switching_on_are_delivered() {
    let generator = generator(|_| {});
    let outlines = outlines(&generator);
    let middle = generator.config().start.plus(HOUR / 2);
    let now = generator.config().start.plus(HOUR * 2);
    let mut queue = Queue::new(Arc::new(DeliveryConfig { parallelism: usize::MAX, ..config() }), &generator, middle);
    let mut shown = Vec::new();
    while let Some(attempt) = queue.take(&generator, now, real(0)) {
        shown.push(attempt.delivery.shows);
        queue.acknowledge();
    }
    assert!(queue.progress(now).done);
    assert!(shown.is_sorted() && shown[0] >= middle);
    let first_hour = |at: &Timestamp| *at < generator.config().start.plus(HOUR);
    let due = |outline: &Outline| {
        let session = generator.session(*outline).unwrap();
        [session.created, session.analysis_at.unwrap_or(session.ended)]
    };
    let expected = outlines.iter().flat_map(due).filter(|at| *at >= middle).filter(first_hour).count();
    assert_eq!(shown.iter().filter(|at| first_hour(at)).count(), expected);
}

#[test]
fn an_edited_endpoint_keeps_its_waiting_deliveries() {
    let generator = generator(|_| {});
    let now = outlines(&generator)[0].created;
    let mut queue = queue(&generator, |_| {});
    let attempt = queue.take(&generator, now, real(0)).unwrap();
    queue.fail(attempt, real(0));
    queue.set_config(Arc::new(DeliveryConfig { url: "http://elsewhere/".into(), ..config() }));
    assert_eq!(queue.take(&generator, now, real(5)).map(|retry| retry.number), Some(2));
    assert_eq!(queue.config().url, "http://elsewhere/");
}
