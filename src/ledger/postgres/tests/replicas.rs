//! Replicas of one ledger in one process: who counts, what the others see, and that nothing is counted by whoever may not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use test_postgres::{Bouncer, Server};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{database, runtime};
use crate::catalogue::{SeriesKey, SeriesState};
use crate::config::Config;
use crate::ledger::policy::PolicyConfig;
use crate::ledger::postgres::{
    Database, Inbox, Look, Observers, PageReader, PostgresLedger, Replica, StoreConfig, lease_row,
};
use crate::ledger::tests::{at, facts, session, totals};
use crate::ledger::{Change, CommitOutcome, Ledger as _, LedgerError, Observer, Opened};
use crate::observation::AgentParts;

/// Long enough that a busy machine does not lose it by accident, where a test does not wait for its end.
pub(super) const LONG: Duration = Duration::from_secs(30);
pub(super) const SHORT: Duration = Duration::from_secs(1);
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A replica that runs, and what its page would show.
pub(super) struct Running {
    page: Arc<Mutex<BTreeMap<SeriesKey, SeriesState>>>,
    /// How often a counter would have decreased.
    falls: Arc<AtomicU32>,
    is_published: Arc<AtomicBool>,
    pub(super) reader: PageReader,
    agents: AgentParts,
    pub(super) inbox: Inbox,
    /// The ledger, while it counts.
    ledger: watch::Receiver<Option<Arc<PostgresLedger>>>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

pub(super) async fn start(url: &str, name: &str, lease: Duration) -> Running {
    start_on(database(url), name, lease).await.unwrap()
}

pub(super) async fn start_on(database: Database, name: &str, lease: Duration) -> Result<Running, LedgerError> {
    let page = Arc::<Mutex<BTreeMap<SeriesKey, SeriesState>>>::default();
    let is_published = Arc::<AtomicBool>::default();
    let falls = Arc::<AtomicU32>::default();
    let (shown, published, fell) = (Arc::clone(&page), Arc::clone(&is_published), Arc::clone(&falls));
    let show = move |series: &[SeriesState]| {
        let mut page = shown.lock().unwrap();
        for state in series {
            let has_fallen = |before: &SeriesState| before.counts.iter().zip(&state.counts).any(|(a, b)| b < a);
            // As the real page, it shows no counter that decreases.
            if page.get(&state.key).is_some_and(has_fallen) {
                fell.fetch_add(1, Ordering::Relaxed);
            } else {
                page.insert(state.key.clone(), state.clone());
            }
        }
    };
    let opened_shown = show.clone();
    let observer = || -> Observer {
        let (show, replaced) = (show.clone(), Arc::clone(&page));
        Box::new(move |result| {
            if let Ok(committed) = result {
                if committed.replaces {
                    replaced.lock().unwrap().clear();
                }
                show(&committed.series);
            }
        })
    };
    let (commits, news) = (observer(), observer());
    let config = StoreConfig { lease, policy: PolicyConfig::from(&Config::default()) };
    let agents = config.policy.agents.clone();
    let inbox = Inbox::new(database.clone(), &config.policy);
    let on_read = Box::new(move |read: Result<Look, &LedgerError>| {
        published.fetch_or(read.is_ok_and(|look| look.is_published), Ordering::Relaxed);
    });
    let observers = Observers { commits, news, looks: on_read };
    let (replica, reader) = Replica::start(database.clone(), name, config, inbox.clone(), observers).await?;
    let (counting, ledger) = watch::channel(None);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let count = move |ledger: PostgresLedger, opened: Opened| {
        let (counting, stop) = (counting.clone(), stop.clone());
        if ledger.is_settled() {
            opened_shown(&opened.series);
        }
        async move {
            let ledger = Arc::new(ledger);
            counting.send_replace(Some(Arc::clone(&ledger)));
            tokio::select! {
                () = stop.cancelled() => {}
                () = ledger.lost().cancelled() => {}
            }
            counting.send_replace(None);
            tokio::task::spawn_blocking(move || drop(ledger)).await.unwrap();
        }
    };
    let task = tokio::spawn(replica.run(count, shutdown.clone()));
    Ok(Running { page, falls, is_published, reader, agents, inbox, ledger, shutdown, task })
}

impl Running {
    /// Whether it counts, whether or not its page is current.
    pub(super) fn has_turn(&self) -> bool {
        self.ledger.borrow().is_some()
    }

    /// The ledger, when it counts.
    pub(super) async fn counts(&self) -> Arc<PostgresLedger> {
        let mut ledger = self.ledger.clone();
        let ledger = tokio::time::timeout(PATIENCE, ledger.wait_for(Option::is_some)).await.unwrap().unwrap();
        Arc::clone(ledger.as_ref().unwrap())
    }

    pub(super) async fn counts_no_more(&self) {
        let mut ledger = self.ledger.clone();
        tokio::time::timeout(PATIENCE, ledger.wait_for(Option::is_none)).await.unwrap().unwrap();
    }

    /// Counts, and gives nothing that could be held on to.
    pub(super) async fn commit(&self, changes: Vec<Change>) -> Result<Vec<CommitOutcome>, Arc<LedgerError>> {
        self.counts().await.commit(changes).await
    }

    /// Counts, as a poller does: again until it is done.
    pub(super) async fn commit_at_last(&self, changes: Vec<Change>) -> Vec<CommitOutcome> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.commit(changes.clone()).await {
                Ok(outcomes) => return outcomes,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
        }
    }

    /// What a scrape finds.
    pub(super) async fn scrape(&self) -> Option<BTreeMap<String, Vec<u64>>> {
        self.reader.current().await.ok()?;
        Some(totals(&self.page()))
    }

    /// The series that it shows, in no order, whether or not they are current.
    pub(super) fn page(&self) -> Vec<SeriesState> {
        self.page.lock().unwrap().values().cloned().collect()
    }

    pub(super) async fn stop(self) {
        let falls = Arc::clone(&self.falls);
        self.stop_after_loss().await;
        assert_eq!(falls.load(Ordering::Relaxed), 0);
    }

    pub(super) async fn stop_after_loss(self) {
        let Self { shutdown, task, reader, .. } = self;
        shutdown.cancel();
        // It ends when nobody can ask it any more.
        drop(reader);
        task.await.unwrap();
    }
}

pub(super) fn whole(id: &str) -> Change {
    session(&facts(id, Some(5_000), Some("Refund")))
}

const STARTED: &str =
    r#"agntix_sessions_started_total{agent_id="A",session_type="voice",platform="phone",direction="inbound"}"#;

pub(super) fn started(page: Option<&BTreeMap<String, Vec<u64>>>) -> Option<u64> {
    page.and_then(|page| page.get(STARTED)).map(|counts| counts[0])
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn follower_shows_every_commit_that_was_acknowledged() {
    let server = Server::start();
    runtime().block_on(async {
        let one = start(&server.url(), "one", LONG).await;
        drop(one.counts().await);
        one.commit(vec![Change::FirstStart(at(0))]).await.unwrap();
        let two = start(&server.url(), "two", LONG).await;
        assert_eq!(two.reader.standing().holder, "");
        for round in 1..=40 {
            one.commit(vec![whole(&format!("{round}"))]).await.unwrap();
            let page = two.scrape().await;
            assert_eq!(started(page.as_ref()), Some(round));
            assert_eq!(page, one.scrape().await);
        }
        assert!(!two.is_published.load(Ordering::Relaxed));
        let held: Vec<_> = one.page.lock().unwrap().keys().cloned().collect();
        one.commit(vec![Change::LookBackDone, Change::Release(held.into())]).await.unwrap();
        two.scrape().await;
        assert!(two.is_published.load(Ordering::Relaxed));
        assert!(two.page.lock().unwrap().values().all(|state| state.held_counts.is_none()));
        assert_eq!((two.reader.standing().holder.as_str(), two.reader.is_active()), ("one", false));
        assert!(one.reader.is_active());
        // By this deliveries are judged, whoever takes them.
        let three = start(&server.url(), "three", LONG).await;
        three.scrape().await.unwrap();
        assert!(one.agents.of("A").is_some());
        assert_eq!(three.agents.of("A"), one.agents.of("A"));
        three.stop().await;
        one.stop().await;
        two.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn another_replica_counts_on_when_one_stops_and_when_one_is_superseded() {
    let server = Server::start();
    runtime().block_on(async {
        let one = start(&server.url(), "one", LONG).await;
        drop(one.counts().await);
        one.commit(vec![whole("a")]).await.unwrap();
        let two = start(&server.url(), "two", LONG).await;
        one.stop().await;
        assert_eq!(
            two.commit(vec![whole("a"), whole("b")]).await.unwrap(),
            [CommitOutcome::AlreadyCounted, CommitOutcome::Counted { historic: true, new: true }]
        );
        // As if it had been asleep for longer than the lease, and another one had counted meanwhile.
        server.sql("UPDATE agntix_exporter.lease SET epoch = epoch + 1, expires = now() + interval '1 minute'");
        assert!(two.commit(vec![whole("c")]).await.is_err());
        two.counts_no_more().await;
        assert_eq!(started(two.scrape().await.as_ref()), Some(2));
        server.sql("UPDATE agntix_exporter.lease SET expires = now()");
        assert_eq!(two.commit(vec![whole("c")]).await.unwrap(), [CommitOutcome::Counted { historic: true, new: true }]);
        assert_eq!(started(two.scrape().await.as_ref()), Some(3));
        two.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn commit_that_was_not_seen_by_its_holder_keeps_it_from_writing() {
    let server = Server::start();
    runtime().block_on(async {
        let one = start(&server.url(), "one", LONG).await;
        drop(one.counts().await);
        one.commit(vec![whole("a")]).await.unwrap();
        let epoch = || server.sql("SELECT epoch FROM agntix_exporter.lease");
        let before = epoch();
        server.sql(
            "UPDATE agntix_exporter.lease SET sequence = sequence + 1;
             INSERT INTO agntix_exporter.commits (sequence, epoch, news)
             SELECT sequence, epoch, '\\x01' FROM agntix_exporter.lease",
        );
        match one.commit(vec![whole("b")]).await {
            Err(_) => assert_eq!(server.sql("SELECT count(*) FROM agntix_exporter.counted").trim(), "1"),
            // On a busy machine its lease may have run out meanwhile: then it has read all of it, and holds it anew.
            Ok(_) => assert_ne!(epoch(), before, "it wrote without what it had not seen"),
        }
        one.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn holder_that_does_not_know_what_became_of_a_commit_shows_no_page_without_it() {
    // What waits for the standby and is cut may also be the renewal of the lease. Then the commit is answered, and it is tried anew.
    let is_seen = (0..5).any(|_| page_after_a_commit_that_was_cut(&Server::start()));
    assert!(is_seen, "no commit was cut");
}

/// `false` if the commit was answered.
fn page_after_a_commit_that_was_cut(server: &Server) -> bool {
    let wait_for_standby = |name: &str| {
        server.sql(&format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'"));
        server.sql("SELECT pg_reload_conf()");
    };
    runtime().block_on(async {
        let one = start(&server.url(), "one", LONG).await;
        one.commit_at_last(vec![whole("a")]).await;
        let two = start(&server.url(), "two", LONG).await;
        // The commit is durable here, and is not answered before a standby has it: there is none.
        wait_for_standby("nobody");
        let counting = one.commit(vec![whole("b")]);
        let losing = async {
            let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            let until = Instant::now() + PATIENCE;
            while tokio::task::block_in_place(|| server.sql(cut)).trim() == "0" {
                assert!(Instant::now() < until);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let until = Instant::now() + PATIENCE;
            while started(two.scrape().await.as_ref()) != Some(2) {
                assert!(Instant::now() < until);
            }
            let page = one.scrape();
            wait_for_standby("");
            assert_eq!(started(page.await.as_ref()), Some(2), "an older page than another replica has served");
        };
        let (counted, ()) = tokio::join!(counting, losing);
        one.commit_at_last(vec![whole("b"), whole("c")]).await;
        assert_eq!(started(two.scrape().await.as_ref()), Some(3));
        one.stop().await;
        two.stop().await;
        counted.is_err()
    })
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn connections_that_are_cut_lose_nothing_and_count_nothing_twice() {
    let server = Server::start();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE application_name = 'agntix-exporter' AND random() < 0.5";
    runtime().block_on(async {
        let one = start(&server.url(), "one", LONG).await;
        drop(one.counts().await);
        let two = start(&server.url(), "two", LONG).await;
        let counting = async {
            for round in 0..150 {
                one.commit_at_last(vec![whole(&format!("{round}")), whole("again")]).await;
            }
        };
        let cutting = async {
            loop {
                tokio::task::block_in_place(|| server.sql(cut));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = counting => {}
            () = cutting => {}
        }
        let until = Instant::now() + PATIENCE;
        while started(two.scrape().await.as_ref()) != Some(151) {
            assert!(Instant::now() < until);
        }
        assert_eq!(two.scrape().await, one.scrape().await);
        assert_eq!(server.sql("SELECT count(*) FROM agntix_exporter.counted").trim(), "151");
        one.stop().await;
        two.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn page_is_an_error_and_counting_ends_while_the_database_is_away() {
    let mut server = Server::start();
    runtime().block_on(async {
        let one = start(&server.url(), "one", SHORT).await;
        drop(one.counts().await);
        let two = start(&server.url(), "two", SHORT).await;
        // On a busy machine either may count by then.
        tokio::select! {
            _ = one.commit_at_last(vec![whole("a")]) => {}
            _ = two.commit_at_last(vec![whole("a")]) => {}
        }
        server.kill();
        // The one that counts shows its page for as long as its lease is certain.
        let follows = if one.has_turn() { &two } else { &one };
        assert!(follows.scrape().await.is_none());
        one.counts_no_more().await;
        two.counts_no_more().await;
        assert!(one.scrape().await.is_none() && two.scrape().await.is_none());
        server.restart();
        let until = Instant::now() + PATIENCE;
        while started(two.scrape().await.as_ref()) != Some(1) || started(one.scrape().await.as_ref()) != Some(1) {
            assert!(Instant::now() < until);
        }
        one.stop().await;
        two.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL and PgBouncer (.ci/tools)"]
fn replicas_work_behind_a_pooler_that_gives_each_transaction_another_connection() {
    let server = Server::start();
    let bouncer = Bouncer::start(&server, 2);
    runtime().block_on(async {
        let one = start(&bouncer.url(), "one", LONG).await;
        drop(one.counts().await);
        let two = start(&bouncer.url(), "two", LONG).await;
        let three = start(&bouncer.url(), "three", LONG).await;
        for round in 1..=50 {
            one.commit_at_last(vec![whole(&format!("{round}"))]).await;
            let (second, third) = tokio::join!(two.scrape(), three.scrape());
            assert_eq!((started(second.as_ref()), started(third.as_ref())), (Some(round), Some(round)));
        }
        one.stop().await;
        let (counts, follows) = tokio::select! {
            _ = two.counts() => (&two, &three),
            _ = three.counts() => (&three, &two),
        };
        assert_eq!(counts.commit(vec![whole("1")]).await.unwrap(), [CommitOutcome::AlreadyCounted]);
        assert_eq!(started(follows.scrape().await.as_ref()), Some(50));
        two.stop().await;
        three.stop().await;
    });
}

/// The URL of several servers.
pub(super) fn url_of(servers: &[&Server]) -> String {
    let hosts: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    format!("postgres://postgres@{}/postgres", hosts.join(","))
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn synchronous_standby_that_is_promoted_has_everything_and_counting_goes_on() {
    let mut primary = Server::start();
    let standby = primary.synchronous_standby();
    let url = url_of(&[&primary, &standby]);
    runtime().block_on(async {
        let one = start(&url, "one", SHORT * 5).await;
        drop(one.counts().await);
        let two = start(&url, "two", SHORT * 5).await;
        for round in 0..100 {
            if round == 50 {
                primary.kill();
                standby.promote();
            }
            // Whichever counts by then.
            let changes = || vec![whole(&format!("{round}"))];
            tokio::select! {
                _ = one.commit_at_last(changes()) => {}
                _ = two.commit_at_last(changes()) => {}
            }
        }
        let until = Instant::now() + PATIENCE;
        for replica in [&one, &two] {
            while started(replica.scrape().await.as_ref()) != Some(100) {
                assert!(Instant::now() < until);
            }
        }
        assert_eq!(standby.sql("SELECT count(*) FROM agntix_exporter.counted").trim(), "100");
        one.stop().await;
        two.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn commits_that_an_asynchronous_standby_lacks_are_committed_again() {
    let mut primary = Server::start();
    let standby = primary.standby();
    let url = url_of(&[&primary, &standby]);
    runtime().block_on(async {
        let one = start(&url, "one", LONG).await;
        one.commit_at_last(vec![whole("a")]).await;
        standby.eventually_has("SELECT count(*) FROM agntix_exporter.counted", "1");
        standby.detach();
        for id in ["b", "c", "d"] {
            one.commit(vec![whole(id)]).await.unwrap();
        }
        primary.kill();
        standby.promote();
        one.commit_at_last(vec![whole("e"), whole("b")]).await;
        assert_eq!(started(one.scrape().await.as_ref()), Some(5));
        assert_eq!(standby.sql("SELECT count(*) FROM agntix_exporter.counted").trim(), "5");
        let two = start(&url, "two", LONG).await;
        assert_eq!(two.scrape().await, one.scrape().await);
        one.stop().await;
        two.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn what_a_promoted_standby_lacks_is_counted_by_whoever_counts_then() {
    let mut primary = Server::start();
    let standby = primary.standby();
    let url = url_of(&[&primary, &standby]);
    runtime().block_on(async {
        let one = start(&url, "one", SHORT).await;
        one.commit_at_last(vec![whole("a")]).await;
        standby.eventually_has("SELECT count(*) FROM agntix_exporter.counted", "1");
        standby.detach();
        one.commit_at_last(vec![whole("b")]).await;
        let inbox = one.inbox.clone();
        inbox.put(&[whole("c")]).await.unwrap();
        primary.kill();
        one.counts_no_more().await;
        standby.promote();
        // Of another replica, which knows of neither. What was counted and what was delivered are in its inbox.
        let waiting = async {
            loop {
                let waiting = inbox.oldest(9).await.unwrap_or_default();
                if waiting.len() >= 2 {
                    return waiting;
                }
            }
        };
        let waiting = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
        let changes: Vec<_> = waiting.into_iter().filter_map(|delivery| delivery.change).collect();
        one.commit_at_last(changes).await;
        one.commit_at_last(vec![whole("a"), whole("b"), whole("c")]).await;
        assert_eq!(standby.sql("SELECT count(*) FROM agntix_exporter.counted").trim(), "3");
        one.stop_after_loss().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn replica_that_stops_answers_scrapes_that_are_under_way() {
    let server = Server::start();
    runtime().block_on(async {
        let one = start(&server.url(), "one", LONG).await;
        one.commit_at_last(vec![whole("a")]).await;
        let two = start(&server.url(), "two", LONG).await;
        assert_eq!(started(two.scrape().await.as_ref()), Some(1));
        let locked = database(&server.url()).connection().await.unwrap();
        let lock = "BEGIN; LOCK TABLE agntix_exporter.lease IN ACCESS EXCLUSIVE MODE";
        locked.ask(PATIENCE, |client| client.batch_execute(lock)).await.unwrap();
        server.eventually_has("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted", "t");
        let scrape = |reader: PageReader| tokio::spawn(async move { reader.current().await });
        let before = scrape(two.reader.clone());
        two.shutdown.cancel();
        let after = scrape(two.reader.clone());
        // Both wait now.
        tokio::task::yield_now().await;
        locked.ask(PATIENCE, |client| client.batch_execute("ROLLBACK")).await.unwrap();
        assert_eq!((before.await.unwrap().is_ok(), after.await.unwrap().is_ok()), (true, true));
        two.stop().await;
        one.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn lease_that_was_given_up_is_not_extended_by_what_was_under_way() {
    let server = Server::start();
    let expires = || server.sql("SELECT expires FROM agntix_exporter.lease");
    runtime().block_on(async {
        let database = database(&server.url());
        crate::ledger::postgres::schema::prepare(&database).await.unwrap();
        server.sql("UPDATE agntix_exporter.lease SET epoch = 7, expires = now()");
        let before = expires();
        assert!(lease_row::extend(&database, 7, SHORT).await.unwrap());
        assert_ne!(expires(), before);
        assert!(!lease_row::extend(&database, 6, SHORT).await.unwrap(), "another replica has it");
        server.sql(&format!("UPDATE agntix_exporter.lease SET expires = {}", lease_row::GIVEN_UP));
        assert!(!lease_row::extend(&database, 7, SHORT).await.unwrap());
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn replica_that_reads_for_longer_than_a_lease_keeps_it() {
    let server = Server::start();
    let lease = |columns: &str| server.sql(&format!("SELECT {columns} FROM agntix_exporter.lease"));
    runtime().block_on(async {
        let database = database(&server.url());
        crate::ledger::postgres::schema::prepare(&database).await.unwrap();
        server.sql("UPDATE agntix_exporter.lease SET expires = now() + interval '1 hour'");
        let (one, two) = (start(&server.url(), "one", SHORT).await, start(&server.url(), "two", SHORT).await);
        // Both follow, and need no more of the table that nobody can read from here on.
        assert!(one.scrape().await.is_some() && two.scrape().await.is_some());
        let locked = database.connection().await.unwrap();
        let lock = "BEGIN; LOCK TABLE agntix_exporter.series IN ACCESS EXCLUSIVE MODE";
        locked.ask(PATIENCE, |client| client.batch_execute(lock)).await.unwrap();
        server.sql("UPDATE agntix_exporter.lease SET expires = now()");
        server.eventually_has(
            "SELECT epoch > 0 AND expires > since + interval '4 seconds' FROM agntix_exporter.lease",
            "t",
        );
        let (holder, epoch) = (lease("holder"), lease("epoch"));
        locked.ask(PATIENCE, |client| client.batch_execute("ROLLBACK")).await.unwrap();
        let (counts, follows) = if holder.trim() == "one" { (&one, &two) } else { (&two, &one) };
        drop(counts.counts().await);
        assert_eq!(lease("epoch"), epoch, "it changed hands");
        counts.commit_at_last(vec![whole("a")]).await;
        assert_eq!(started(follows.scrape().await.as_ref()), Some(1));
        one.stop().await;
        two.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn ledger_that_outlives_its_runtime_holds_nothing_up() {
    let server = Server::start();
    let runtime = runtime();
    let ledger = runtime.block_on(async { start(&server.url(), "one", LONG).await.counts().await });
    drop(runtime);
    let began = Instant::now();
    drop(ledger);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
