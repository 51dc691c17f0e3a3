//! What keeps a replica from writing whose turn is over, or which has not seen the last commit: each guard alone, where no other
//! one stands behind it.

use std::sync::Arc;
use std::time::Duration;

use test_postgres::Server;

use super::{database, runtime};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::ledger::policy::PolicyConfig;
use crate::ledger::postgres::follower::Follower;
use crate::ledger::postgres::lease::uptime;
use crate::ledger::postgres::lease_row::{self, Asked};
use crate::ledger::postgres::schema::prepare;
use crate::ledger::postgres::store::Store;
use crate::ledger::postgres::{Database, Inbox, PostgresError, StoreConfig};
use crate::ledger::tests::{facts, session};
use crate::ledger::{Change, Lease, Opened};

const LEASE: Duration = Duration::from_secs(30);

async fn take_lease(database: &Database, name: &str) -> i64 {
    match lease_row::ask(database, name, LEASE).await.unwrap() {
        Asked::Granted { epoch, .. } => epoch,
        Asked::HeldBy { holder } => panic!("{holder} has the lease"),
    }
}

async fn open(database: &Database, epoch: i64) -> (Store, Opened) {
    let config = StoreConfig { lease: LEASE, policy: PolicyConfig::from(&Config::default()) };
    Store::open(database, epoch, config).await.unwrap()
}

/// The database of `server` with tables, and the store of a replica that has just begun to count in it.
async fn begin(server: &Server) -> (Database, i64, Store) {
    let database = database(&server.url());
    prepare(&database).await.unwrap();
    let epoch = take_lease(&database, "one").await;
    let (store, _) = open(&database, epoch).await;
    (database, epoch, store)
}

fn whole(id: &str) -> Change {
    session(&facts(id, Some(5_000), Some("Refund")))
}

/// Nothing of what `store` sends takes effect, and what `counts` sends does.
async fn writes_nothing(server: &Server, store: &mut Store, counts: &mut Store) {
    server.sql("INSERT INTO agntix_exporter.counted VALUES ('of a forgotten day', 1, -1)");
    let state = "SELECT sequence, epoch, folded, expires FROM agntix_exporter.lease";
    let stored = "SELECT (SELECT count(*) FROM agntix_exporter.counted), (SELECT count(*) FROM agntix_exporter.series)";
    let before = (server.sql(state), server.sql(stored));
    assert_eq!(store.renew().await, Err(PostgresError::Superseded));
    assert_eq!(store.fold().await, Err(PostgresError::Superseded));
    assert_eq!(store.commit(&[whole("late")]).await.map(drop), Err(PostgresError::Superseded));
    assert_eq!(store.delete_forgotten().await, Err(PostgresError::Superseded));
    assert_eq!((server.sql(state), server.sql(stored)), before);
    counts.renew().await.unwrap();
    counts.delete_forgotten().await.unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM agntix_exporter.counted WHERE day = -1").trim(), "0");
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn store_that_has_not_seen_the_last_commit_writes_nothing() {
    let server = Server::start();
    runtime().block_on(async {
        let (database, epoch, mut old) = begin(&server).await;
        old.commit(&[whole("a")]).await.unwrap();
        // What was sent by the old one is late, and its replica has opened the store again.
        let (mut new, _) = open(&database, epoch).await;
        new.commit(&[whole("b")]).await.unwrap();
        // The row of the commit would stand in the way of another one of that number.
        server.sql("DELETE FROM agntix_exporter.commits WHERE sequence = (SELECT sequence FROM agntix_exporter.lease)");
        writes_nothing(&server, &mut old, &mut new).await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn store_of_a_turn_that_is_over_writes_nothing() {
    let server = Server::start();
    runtime().block_on(async {
        let (database, _, mut old) = begin(&server).await;
        old.commit(&[whole("a")]).await.unwrap();
        server.sql("UPDATE agntix_exporter.lease SET expires = now()");
        // The other one has not committed yet.
        let epoch = take_lease(&database, "two").await;
        let (mut new, _) = open(&database, epoch).await;
        writes_nothing(&server, &mut old, &mut new).await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn follower_notices_that_the_last_commit_it_has_read_is_another_one_now() {
    let server = Server::start();
    runtime().block_on(async {
        let (database, _, mut store) = begin(&server).await;
        store.commit(&[whole("a")]).await.unwrap();
        let mut follower = Follower::new(database.clone(), LEASE, PolicyConfig::from(&Config::default()));
        follower.read(false).await.unwrap();
        // As on a standby that was promoted without it, where another commit has got its number and more have followed.
        server.sql("UPDATE agntix_exporter.commits SET at = at + interval '1 second'");
        store.commit(&[whole("b")]).await.unwrap();
        let read = follower.read(false).await;
        assert!(matches!(read, Err(PostgresError::Lost { .. })), "{read:?}");
        let found = follower.read(true).await.unwrap();
        assert!(found.committed.has_lost && !found.committed.series.is_empty(), "{found:?}");
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn delivery_that_has_the_number_of_a_counted_one_stays_in_the_inbox() {
    let server = Server::start();
    runtime().block_on(async {
        let database = database(&server.url());
        prepare(&database).await.unwrap();
        let inbox = Inbox::new(database, &PolicyConfig::from(&Config::default()));
        inbox.put(&[whole("a"), whole("b")]).await.unwrap();
        let ids = async || inbox.oldest(9).await.unwrap().iter().map(|delivery| delivery.id).collect::<Vec<_>>();
        let counted = ids().await;
        // As on a standby that was promoted without it, where another delivery has got its number.
        server.sql("UPDATE agntix_exporter.inbox SET at = at + interval '1 microsecond' WHERE number = 1");
        inbox.delete(&counted).await.unwrap();
        let left = ids().await;
        assert_eq!((left.len(), server.sql("SELECT number FROM agntix_exporter.inbox").trim()), (1, "1"));
        inbox.delete(&left).await.unwrap();
        assert_eq!(ids().await, []);
    });
}

/// Holds the row of the lease for two seconds, in which whoever changes it waits.
fn hold_row(server: &Arc<Server>) -> std::thread::JoinHandle<String> {
    let statements = "BEGIN; SELECT 1 FROM agntix_exporter.lease FOR UPDATE; SELECT pg_sleep(2); COMMIT";
    let holder = Arc::clone(server);
    let held = std::thread::spawn(move || holder.sql(statements));
    server.eventually_has("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", "1");
    held
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn lease_is_counted_from_before_a_request_is_sent_however_late_its_answer_is() {
    let server = Arc::new(Server::start());
    runtime().block_on(async {
        let (_, _, mut store) = begin(&server).await;
        for is_renewal in [true, false] {
            let held = tokio::task::block_in_place(|| hold_row(&server));
            let before = uptime();
            if is_renewal {
                store.renew().await.unwrap();
            } else {
                store.commit(&[whole("a")]).await.unwrap();
            }
            let (waited, sent) = (uptime().saturating_sub(before), store.extended().unwrap());
            assert!(sent < before + waited / 2, "sent at {before:?}, answered after {waited:?}, counted from {sent:?}");
            held.join().unwrap();
        }
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn leased_requests_are_as_old_on_a_machine_whose_clock_is_another() {
    const HOUR_MS: i64 = 3_600_000;
    let server = Server::start();
    // The clock of the database is an hour ahead of this machine's.
    server.sql(
        "CREATE SCHEMA ahead;
         CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql
         AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$;
         ALTER ROLE postgres SET search_path = ahead, pg_catalog",
    );
    runtime().block_on(async {
        let (database, epoch, mut store) = begin(&server).await;
        let granted = SystemClock.now();
        store.commit(&[Change::Lease(Lease { granted, count: 7, per_window: 30 })]).await.unwrap();
        let stored: i64 = server.sql("SELECT granted FROM agntix_exporter.requests").trim().parse().unwrap();
        let ahead = stored - granted.as_millis();
        assert!((ahead - HOUR_MS).abs() < HOUR_MS / 10, "{ahead} ms");
        let (_, opened) = open(&database, epoch).await;
        let Lease { granted: found, count, .. } = opened.leases[0];
        assert_eq!(count, 7);
        assert!((found.as_millis() - granted.as_millis()).abs() < HOUR_MS / 10, "{found:?} is not {granted:?}");
    });
}
