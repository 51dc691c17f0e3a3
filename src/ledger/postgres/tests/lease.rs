//! What a replica does so that its lease goes on while it has to.

use std::time::Duration;

use test_postgres::Server;

use super::replicas::{LONG, PATIENCE, start, started, whole};
use super::{database, runtime};
use crate::config::Config;
use crate::ledger::policy::PolicyConfig;
use crate::ledger::postgres::StoreConfig;
use crate::ledger::postgres::lease_row::{self, Asked};
use crate::ledger::postgres::schema::prepare;
use crate::ledger::postgres::store::Store;

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn replica_that_reads_again_after_a_failure_for_longer_than_a_lease_keeps_it() {
    // Long enough that a busy machine connects again meanwhile.
    const LEASE: Duration = Duration::from_secs(4);
    let server = Server::start();
    let epoch = || server.sql("SELECT epoch FROM agntix_exporter.lease");
    runtime().block_on(async {
        let one = start(&server.url(), "one", LEASE).await;
        one.commit_at_last(vec![whole("a")]).await;
        let two = start(&server.url(), "two", LEASE).await;
        assert_eq!(started(two.scrape().await.as_ref()), Some(1));
        let before = epoch();
        let locked = database(&server.url()).connection().await.unwrap();
        let lock = "BEGIN; LOCK TABLE agntix_exporter.series IN ACCESS EXCLUSIVE MODE";
        locked.ask(PATIENCE, |client| client.batch_execute(lock)).await.unwrap();
        server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
             AND state <> 'idle in transaction' AND pid <> pg_backend_pid()",
        );
        let failed = server.sql("SELECT clock_timestamp()");
        let goes_on = format!("expires > timestamptz '{}' + interval '12 seconds'", failed.trim());
        let query = format!("SELECT epoch <> {before} OR {goes_on} FROM agntix_exporter.lease");
        server.eventually_has(&query, "t");
        assert_eq!(epoch(), before, "it changed hands");
        locked.ask(PATIENCE, |client| client.batch_execute("ROLLBACK")).await.unwrap();
        one.commit_at_last(vec![whole("b")]).await;
        assert_eq!(epoch(), before, "it changed hands");
        assert_eq!(started(two.scrape().await.as_ref()), Some(2));
        one.stop().await;
        two.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn row_of_the_lease_is_changed_in_its_place() {
    let server = Server::start();
    runtime().block_on(async {
        let database = database(&server.url());
        prepare(&database).await.unwrap();
        let asked = lease_row::ask(&database, "one", LONG).await.unwrap();
        let Asked::Granted { epoch, .. } = asked else { panic!("{asked:?}") };
        let config = StoreConfig { lease: LONG, policy: PolicyConfig::from(&Config::default()) };
        let (mut store, _) = Store::open(&database, epoch, config).await.unwrap();
        for number in 0..300 {
            match number % 3 {
                0 => store.commit(&[whole(&number.to_string())]).await.map(drop).unwrap(),
                1 => store.renew().await.unwrap(),
                _ => store.fold().await.unwrap(),
            }
        }
        // A server process counts what it has done when its connection ends.
        drop(store.release().await);
    });
    // Each change of another kind leaves an entry in every index, and a page that only a vacuum gives back.
    let updates = "n_tup_upd >= 300 AND n_tup_hot_upd >= n_tup_upd * 9 / 10";
    server.eventually_has(&format!("SELECT {updates} FROM pg_stat_user_tables WHERE relname = 'lease'"), "t");
    let size = "SELECT pg_relation_size('agntix_exporter.lease') <= 4 * current_setting('block_size')::integer";
    assert_eq!(server.sql(size).trim(), "t");
}
