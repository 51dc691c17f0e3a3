//! Which connection is evicted, and that the bookkeeping stays right.

use proptest::prelude::*;

use super::*;

#[test]
fn limit_follows_that_of_the_system() {
    assert_eq!(limit(Some(1024)), 448);
    assert_eq!(limit(Some(64)), FEWEST);
    assert_eq!(limit(None), MOST);
}

#[test]
fn oldest_connection_without_a_request_is_evicted() {
    let connections = Connections::new(2);
    let first = connections.admit();
    first.activity.begin(true);
    let second = connections.admit();
    let third = connections.admit();
    assert!(second.evicted.is_cancelled() && !first.evicted.is_cancelled());
    drop(third);
    first.activity.flushed();
    let fourth = connections.admit();
    assert!(!first.evicted.is_cancelled() && !fourth.evicted.is_cancelled());
    first.activity.answered();
    first.activity.flushed();
    let _fifth = connections.admit();
    assert!(first.evicted.is_cancelled(), "it is idle once its answer is sent");
}

/// One request that waits for its answer, as far as the connection knows.
fn request(place: &Place, is_whole: bool) {
    place.activity.waited();
    let begun = place.activity.begin(is_whole);
    assert!(begun.origin != Origin::Pipeliner && !begun.is_last);
}

fn scrape(place: &Place, now: Instant) {
    request(place, true);
    place.activity.scraped(now);
    place.activity.answered();
    place.activity.flushed();
}

#[test]
fn client_that_neither_sends_nor_reads_is_evicted_first() {
    let connections = Connections::new(4);
    let [stalled, sending, reading, answering] = std::array::from_fn(|_| connections.admit());
    request(&stalled, false);
    request(&sending, false);
    request(&reading, true);
    reading.activity.answered();
    request(&answering, true);
    // An answer is being made, and the client takes nothing of its beginning.
    answering.activity.blocked();
    reading.activity.blocked();
    for _ in 0..3 {
        sending.activity.progressed();
        reading.activity.progressed();
    }
    let mut order: Vec<Vec<&str>> = Vec::new();
    let _more: [Place; 4] = std::array::from_fn(|_| {
        let place = connections.admit();
        let all = [("stalled", &stalled), ("answering", &answering), ("sending", &sending), ("reading", &reading)];
        order.push(all.iter().filter(|(_, place)| place.evicted.is_cancelled()).map(|(name, _)| *name).collect());
        place
    });
    let all: [Vec<&str>; 4] = [
        vec!["stalled"],
        vec!["stalled", "answering"],
        vec!["stalled", "answering", "sending"],
        vec!["stalled", "answering", "sending", "reading"],
    ];
    assert_eq!(order, all);
}

#[test]
fn connection_whose_answer_is_being_made_is_evicted_last() {
    let connections = Connections::new(2);
    let whole = connections.admit();
    request(&whole, false);
    whole.activity.received();
    let scraper = connections.admit();
    scrape(&scraper, Instant::now());
    let _third = connections.admit();
    assert!(scraper.evicted.is_cancelled() && !whole.evicted.is_cancelled());
}

#[test]
fn connection_that_scrapes_keeps_its_place_in_any_flood() {
    let connections = Connections::new(16);
    let (kept, now) = (connections.admit(), Instant::now());
    scrape(&kept, now);
    scrape(&kept, now + REGULAR_AFTER);
    let mut others = Vec::new();
    for number in 0..1_000 {
        let other = connections.admit();
        match number % 4 {
            0 => {}
            1 => request(&other, false),
            2 => scrape(&other, now + REGULAR_AFTER * 2),
            _ => {
                scrape(&other, now + REGULAR_AFTER * 2);
                request(&other, true);
                other.activity.scraped(now + REGULAR_AFTER * 2);
                other.activity.blocked();
            }
        }
        others.push(other);
    }
    assert!(!kept.evicted.is_cancelled());
    assert_eq!(others.iter().filter(|other| !other.evicted.is_cancelled()).count(), 15);
}

#[test]
fn pipelining_is_bounded_and_does_not_count_as_scraping() {
    let connections = Connections::new(16);
    let (place, now) = (connections.admit(), Instant::now());
    let mut served = 1;
    while !place.activity.begin(true).is_last {
        place.activity.scraped(now);
        place.activity.answered();
        place.activity.flushed();
        served += 1;
    }
    assert_eq!(served, 17);
    assert_eq!(connections.lock().scrapes, 0);
    // Who waits for each answer may go on for ever.
    let place = connections.admit();
    (0..1_000).for_each(|_| scrape(&place, now));
}

#[tokio::test]
async fn evictions_are_done_when_the_evicted_have_ended() {
    let connections = Connections::new(2);
    let mut places = vec![connections.admit(), connections.admit()];
    connections.evictions_done().await;
    places.push(connections.admit());
    let settled = tokio::spawn({
        let connections = Arc::clone(&connections);
        async move { connections.evictions_done().await }
    });
    tokio::task::yield_now().await;
    assert!(!settled.is_finished());
    drop(places.remove(0));
    settled.await.unwrap();
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit,
    Close(usize),
    Begin(usize, bool),
    Received(usize),
    Scraped(usize, u64),
    Answered(usize),
    Flushed(usize),
    Blocked(usize),
    Progressed(usize),
    Waited(usize),
    EvictOne,
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0_usize..24;
    prop_oneof![
        4 => Just(Step::Admit),
        1 => at.clone().prop_map(Step::Close),
        3 => (at.clone(), any::<bool>()).prop_map(|(at, is_whole)| Step::Begin(at, is_whole)),
        1 => at.clone().prop_map(Step::Received),
        3 => (at.clone(), 0_u64..5).prop_map(|(at, seconds)| Step::Scraped(at, seconds)),
        2 => at.clone().prop_map(Step::Answered),
        2 => at.clone().prop_map(Step::Flushed),
        1 => at.clone().prop_map(Step::Blocked),
        2 => at.clone().prop_map(Step::Progressed),
        2 => at.prop_map(Step::Waited),
        1 => Just(Step::EvictOne),
    ]
}

proptest! {
    #[test]
    fn bookkeeping_stays_right_in_any_order_of_events(steps in proptest::collection::vec(step(), 0..400)) {
        let connections = Connections::new(8);
        let (mut places, now): (Vec<Place>, _) = (Vec::new(), Instant::now());
        for step in steps {
            let tell = |at: usize, act: &dyn Fn(&Activity)| {
                if let Some(place) = places.get(at) {
                    act(&place.activity);
                }
            };
            match step {
                Step::Admit => places.push(connections.admit()),
                Step::Close(at) if at < places.len() => drop(places.remove(at)),
                Step::Close(_) => {}
                Step::Begin(at, is_whole) => tell(at, &|activity| {
                    activity.begin(is_whole);
                }),
                Step::Received(at) => tell(at, &Activity::received),
                Step::Scraped(at, seconds) => {
                    tell(at, &|activity| activity.scraped(now + Duration::from_secs(seconds)));
                }
                Step::Answered(at) => tell(at, &Activity::answered),
                Step::Flushed(at) => tell(at, &Activity::flushed),
                Step::Blocked(at) => tell(at, &Activity::blocked),
                Step::Progressed(at) => tell(at, &Activity::progressed),
                Step::Waited(at) => tell(at, &Activity::waited),
                Step::EvictOne => connections.evict_one(),
            }
            let open = connections.lock();
            prop_assert_eq!(open.held, places.len());
            prop_assert!(open.connections.len() <= 8);
            prop_assert_eq!(open.connections.len(), places.iter().filter(|p| !p.evicted.is_cancelled()).count());
            prop_assert_eq!(open.connections.len(), open.order.len());
            for (key, id) in &open.order {
                prop_assert_eq!(open.connections[id].key, *key);
                prop_assert_eq!(open.connections[id].rank(), key.0);
            }
            let scrapes = open.connections.values().filter(|connection| connection.has_scraped()).count();
            prop_assert_eq!(open.scrapes, scrapes);
        }
        places.clear();
        prop_assert_eq!(connections.lock().held, 0);
    }
}
