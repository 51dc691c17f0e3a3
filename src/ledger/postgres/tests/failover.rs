//! Another server becomes the primary and lacks commits that were shown: no page is behind one that was served before, unless
//! nobody is left who knows of what is lost.

use std::time::{Duration, Instant};

use test_postgres::{Server, Signal};

use super::replicas::{LONG, PATIENCE, Running, SHORT, start, started, url_of, whole};
use super::{database, runtime};
use crate::catalogue::{Family, SeriesState};
use crate::ledger::Change;
use crate::ledger::postgres::census::Census;
use crate::ledger::tests::{facts, session};

/// Scrapes all of them until each shows `last`. Every page on the way shows at least what was shown before.
async fn all_show(replicas: &[&Running], shown_before: u64, last: u64) {
    let until = Instant::now() + PATIENCE;
    let mut behind: Vec<_> = replicas.iter().collect();
    while !behind.is_empty() {
        for place in (0..behind.len()).rev() {
            let shown = started(behind[place].scrape().await.as_ref());
            assert!(
                shown.is_none_or(|shown| shown >= shown_before),
                "{shown:?} is behind {shown_before}, which was shown before"
            );
            if shown == Some(last) {
                behind.swap_remove(place);
            }
        }
        assert!(Instant::now() < until, "{} replicas do not show {last}", behind.len());
    }
}

/// A primary, and a standby that lacks what comes after `a`, which is counted by `one`.
async fn behind(primary: &Server, standby: &Server, one: &Running) {
    behind_after(vec![whole("a")], "1", (primary, standby), one).await;
}

/// A primary, and a standby that lacks what comes after `last`. So many sessions are counted then.
async fn behind_after(last: Vec<Change>, counted: &str, (primary, standby): (&Server, &Server), one: &Running) {
    one.commit_at_last(last).await;
    standby.eventually_has("SELECT count(*) FROM agntix_exporter.counted", counted);
    standby.detach();
    assert_eq!(primary.sql("SELECT count(*) FROM agntix_exporter.counted").trim(), counted);
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn no_replica_shows_what_a_promoted_standby_has_before_the_holder_has_committed_the_rest_again() {
    let mut primary = Server::start();
    let standby = primary.standby();
    let url = url_of(&[&primary, &standby]);
    runtime().block_on(async {
        let one = start(&url, "one", LONG / 6).await;
        let two = start(&url, "two", LONG / 6).await;
        // Either may have been first.
        let (one, two) = tokio::select! { _ = one.counts() => (one, two), _ = two.counts() => (two, one) };
        behind(&primary, &standby, &one).await;
        // It has seen no more than the standby has.
        assert_eq!(started(two.scrape().await.as_ref()), Some(1));
        let three = start(&url, "three", LONG).await;
        one.commit(vec![whole("b")]).await.unwrap();
        assert_eq!(started(three.scrape().await.as_ref()), Some(2));
        primary.kill();
        standby.promote();
        let four = start(&url, "four", LONG).await;
        all_show(&[&two, &three, &four, &one], 2, 2).await;
        for replica in [two, three, four, one] {
            replica.stop().await;
        }
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn commit_without_an_answer_that_another_replica_has_shown_is_committed_again() {
    let mut primary = Server::start();
    let standby = primary.standby();
    let url = url_of(&[&primary, &standby]);
    runtime().block_on(async {
        let one = start(&url, "one", LONG / 3).await;
        behind(&primary, &standby, &one).await;
        let two = start(&url, "two", LONG).await;
        // Durable and shown, but its holder does not learn of it.
        primary.reconfigure("synchronous_standby_names = 'nobody'");
        let counting = one.commit(vec![whole("b")]);
        let losing = async {
            let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            let until = Instant::now() + PATIENCE;
            while tokio::task::block_in_place(|| primary.sql(cut)).trim() == "0" {
                assert!(Instant::now() < until);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            while started(two.scrape().await.as_ref()) != Some(2) {
                assert!(Instant::now() < until);
            }
            primary.signal(Signal::Stop);
        };
        // Now and then the server hears of the setting only afterwards, and the commit is answered.
        let _ = tokio::join!(counting, losing);
        primary.kill();
        standby.promote();
        let three = start(&url, "three", LONG).await;
        all_show(&[&two, &three, &one], 2, 2).await;
        for replica in [two, three, one] {
            replica.stop().await;
        }
    });
}

/// Counts what is in the inbox, as whoever counts does.
async fn empty_inbox(replicas: &[&Running]) {
    loop {
        for replica in replicas.iter().filter(|replica| replica.reader.is_active() || replica.has_turn()) {
            let waiting = replica.inbox.oldest(100).await.unwrap_or_default();
            let ids: Vec<_> = waiting.iter().map(|delivery| delivery.id).collect();
            let changes: Vec<Change> = waiting.into_iter().filter_map(|delivery| delivery.change).collect();
            if !changes.is_empty() && replica.commit(changes).await.is_ok() {
                let _ = replica.inbox.delete(&ids).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn what_a_replica_counted_before_it_lost_its_turn_is_counted_again_before_pages_are_served() {
    let mut primary = Server::start();
    let standby = primary.standby();
    let url = url_of(&[&primary, &standby]);
    runtime().block_on(async {
        let one = start(&url, "one", SHORT * 2).await;
        let two = start(&url, "two", SHORT * 2).await;
        for name in ["one", "two"] {
            Census::new(database(&primary.url()), name).take().await.unwrap();
        }
        let counts = tokio::select! { _ = one.counts() => &one, _ = two.counts() => &two };
        behind(&primary, &standby, counts).await;
        counts.commit_at_last(vec![whole("b"), whole("c")]).await;
        all_show(&[&one, &two], 1, 3).await;
        primary.kill();
        one.counts_no_more().await;
        two.counts_no_more().await;
        standby.promote();
        let three = start(&url, "three", SHORT * 2).await;
        let replicas = [&one, &two, &three];
        tokio::select! {
            () = all_show(&replicas, 3, 3) => {}
            () = empty_inbox(&replicas) => {}
        }
        for replica in [one, two, three] {
            replica.stop().await;
        }
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn what_nobody_knows_any_more_is_lost_on_all_pages_at_once_and_told() {
    let mut primary = Server::start();
    let standby = primary.standby();
    let url = url_of(&[&primary, &standby]);
    let gone = runtime();
    let one = gone.block_on(async {
        let one = start(&url, "one", SHORT * 2).await;
        behind(&primary, &standby, &one).await;
        one
    });
    runtime().block_on(async {
        let two = start(&url, "two", SHORT * 2).await;
        one.commit_at_last(vec![whole("b"), whole("c")]).await;
        all_show(&[&two], 1, 3).await;
        primary.kill();
        gone.shutdown_background();
        standby.promote();
        // The replica that has counted is known, and is waited for.
        standby.sql("INSERT INTO agntix_exporter.replicas (name, seen) VALUES ('one', now()) ON CONFLICT DO NOTHING");
        let three = start(&url, "three", SHORT * 2).await;
        let until = Instant::now() + PATIENCE;
        let mut shown = (None, None);
        while shown != (Some(1), Some(1)) {
            assert!(Instant::now() < until);
            for (replica, shown) in [(&two, &mut shown.0), (&three, &mut shown.1)] {
                *shown = started(replica.scrape().await.as_ref()).or(*shown);
            }
        }
        let settled = standby.sql("SELECT timeline FROM agntix_exporter.lease");
        assert_eq!(settled.trim(), "00000002");
        two.stop().await;
        three.stop().await;
    });
}

/// The intents of the series that are in their initial-zero window on the page of a replica, and of those that are not.
fn intents(replica: &Running) -> (Vec<String>, Vec<String>) {
    let page = replica.page();
    let of_intents = page.into_iter().filter(|state| state.key.family == Family::Intents);
    let (held, shown): (Vec<_>, Vec<_>) = of_intents.partition(|state| state.held_counts.is_some());
    let intent = |state: SeriesState| ["old", "new"].into_iter().find(|of| state.key.labels.as_str().contains(of));
    let names = |states: Vec<SeriesState>| states.into_iter().filter_map(intent).map(str::to_owned).collect();
    (names(held), names(shown))
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn series_whose_window_cannot_have_ended_in_a_commit_that_is_lost_stay_in_it() {
    let mut primary = Server::start();
    let standby = primary.standby();
    let url = url_of(&[&primary, &standby]);
    let gone = runtime();
    let one = gone.block_on(async {
        let one = start(&url, "one", SHORT * 2).await;
        one.commit_at_last(vec![session(&facts("a", Some(5_000), Some("old")))]).await;
        // It is shown at 0 for a minute, which may have passed before the primary is killed.
        primary.sql("UPDATE agntix_exporter.commits SET at = at - interval '1 hour'");
        let last = vec![session(&facts("b", Some(5_000), Some("new")))];
        behind_after(last, "2", (&primary, &standby), &one).await;
        one
    });
    runtime().block_on(async {
        one.commit_at_last(vec![whole("c")]).await;
        primary.kill();
        gone.shutdown_background();
        standby.promote();
        standby.sql("INSERT INTO agntix_exporter.replicas (name, seen) VALUES ('one', now()) ON CONFLICT DO NOTHING");
        let two = start(&url, "two", SHORT * 2).await;
        let three = start(&url, "three", SHORT * 2).await;
        all_show(&[&two, &three], 2, 2).await;
        for replica in [&two, &three] {
            assert_eq!(intents(replica), (vec!["new".to_owned()], vec!["old".to_owned()]));
        }
        two.stop().await;
        three.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn primary_whose_place_another_has_taken_is_not_read_although_it_answers() {
    let primary = Server::start();
    let standby = primary.standby();
    let url = url_of(&[&primary, &standby]);
    runtime().block_on(async {
        let one = start(&url, "one", SHORT * 2).await;
        behind(&primary, &standby, &one).await;
        one.stop().await;
        // Nobody has stopped the old one, and it comes first in the URL.
        standby.promote();
        let two = start(&url, "two", SHORT * 2).await;
        two.commit_at_last(vec![whole("b")]).await;
        let three = start(&url, "three", SHORT * 2).await;
        all_show(&[&two, &three], 2, 2).await;
        let counted = "SELECT count(*) FROM agntix_exporter.counted";
        assert_eq!((primary.sql(counted).trim(), standby.sql(counted).trim()), ("1", "2"));
        two.stop().await;
        three.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn transaction_that_is_never_finished_keeps_nobody_from_counting() {
    let server = Server::start();
    runtime().block_on(async {
        let one = start(&server.url(), "one", SHORT * 2).await;
        one.commit_at_last(vec![whole("a")]).await;
        one.stop().await;
        // As of a holder whose machine has stopped in the middle of a message.
        let open = "BEGIN; UPDATE agntix_exporter.lease SET holder = 'stopped'; SELECT pg_sleep(600)";
        std::thread::scope(|scope| {
            let stuck = scope.spawn(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.sql(open))));
            server.eventually_has("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", "1");
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    let two = start(&server.url(), "two", SHORT * 2).await;
                    two.commit_at_last(vec![whole("b")]).await;
                    assert_eq!(started(two.scrape().await.as_ref()), Some(2));
                    two.stop().await;
                });
            });
            assert!(stuck.join().unwrap().is_err(), "its connection was ended");
        });
    });
}
