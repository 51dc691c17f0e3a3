//! What a replica does so that its lease goes on while it has to.

use std::time::Duration;

use test_postgres::Server;

use super::replicas::{PATIENCE, start, started, whole};
use super::{database, runtime};

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
