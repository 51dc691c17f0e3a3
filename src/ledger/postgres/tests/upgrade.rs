//! Replicas of two versions on one ledger, where the newer one has another format of the tables: those that can go on do, the
//! others serve errors and never an older page.

use std::time::Duration;

use test_postgres::Server;

use super::replicas::{LONG, PATIENCE, SHORT, start, start_on, started, whole};
use super::{database, runtime};
use crate::ledger::CommitOutcome;
use crate::ledger::postgres::error::PostgresError;
use crate::ledger::postgres::schema::prepare;
use crate::ledger::postgres::tables::Format;

/// The next version, beside which this one can go on.
static BESIDE: Format = Format {
    number: 2,
    compatible: 1,
    upgrades: &["ALTER TABLE {s}.pending ADD COLUMN note text; CREATE TABLE {s}.further (a integer);\n"],
};

/// The next version, beside which this one cannot go on.
static ALONE: Format = Format { number: 2, compatible: 2, upgrades: BESIDE.upgrades };

const FORMAT: &str = "SELECT version, compatible FROM agntix_exporter.format";

fn is_newer(error: &impl std::fmt::Display) -> bool {
    let error = error.to_string();
    error.contains("are of a newer version (format 2, this version knows up to 1); run that version")
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn replicas_of_two_formats_take_turns_where_the_newer_is_compatible() {
    let server = Server::start();
    runtime().block_on(async {
        let old = start(&server.url(), "old", LONG).await;
        old.commit_at_last(vec![whole("a")]).await;
        let next = || database(&server.url()).with_format(&BESIDE);
        let new = start_on(next(), "new", LONG).await.unwrap();
        assert_eq!(server.sql(FORMAT).trim(), "2|1");
        // The old one counts on, in the tables as they are now, and the new one shows it.
        old.commit(vec![whole("b")]).await.unwrap();
        let (one, other) = (old.scrape().await, new.scrape().await);
        assert_eq!((started(one.as_ref()), &one), (Some(2), &other));
        old.stop().await;
        new.commit_at_last(vec![whole("c")]).await;
        // A replica of the old version that starts, or goes back to it, follows and counts.
        let back = start(&server.url(), "back", LONG).await;
        new.commit(vec![whole("d")]).await.unwrap();
        let (one, other) = (new.scrape().await, back.scrape().await);
        assert_eq!((started(one.as_ref()), &one), (Some(4), &other));
        new.stop().await;
        let outcomes = back.commit_at_last(vec![whole("a"), whole("e")]).await;
        assert_eq!(outcomes, [CommitOutcome::AlreadyCounted, CommitOutcome::Counted { historic: true, new: true }]);
        back.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn replica_that_does_not_know_the_tables_counts_no_more_and_shows_no_older_page() {
    let server = Server::start();
    runtime().block_on(async {
        let lease = SHORT * 3;
        let old = start(&server.url(), "old", lease).await;
        old.commit_at_last(vec![whole("a")]).await;
        let follower = start(&server.url(), "old too", lease).await;
        assert_eq!(started(follower.scrape().await.as_ref()), Some(1));
        let new = start_on(database(&server.url()).with_format(&ALONE), "new", lease).await.unwrap();
        // At once: who follows knows, and who counts cannot commit.
        assert!(is_newer(&follower.reader.current().await.unwrap_err()));
        assert_eq!(started(new.scrape().await.as_ref()), Some(1));
        tokio::select! {
            _ = new.commit_at_last(vec![whole("b")]) => {}
            // Until its lease ends its page is current, since nobody else counts; then it is an error.
            () = async {
                loop {
                    let shown = started(old.scrape().await.as_ref());
                    assert!(shown.is_none_or(|shown| shown == 1), "{shown:?}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            } => {}
        }
        assert!(old.scrape().await.is_none() && follower.scrape().await.is_none());
        assert_eq!(started(new.scrape().await.as_ref()), Some(2));
        old.counts_no_more().await;
        // What is delivered to it is counted all the same.
        old.inbox.put(&[whole("c")]).await.unwrap();
        let waiting = new.inbox.oldest(9).await.unwrap();
        assert_eq!(waiting.iter().filter(|delivery| delivery.change.is_some()).count(), 1);
        let refused = start_on(database(&server.url()), "late", lease).await.err().unwrap();
        assert!(is_newer(&refused), "{refused}");
        assert_eq!(server.sql("SELECT count(*) FROM agntix_exporter.counted").trim(), "2");
        for replica in [old, follower, new] {
            replica.stop().await;
        }
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn tables_that_cannot_even_be_read_are_said_to_be_of_a_newer_version() {
    let server = Server::start();
    runtime().block_on(async {
        let old = start(&server.url(), "old", SHORT).await;
        old.commit_at_last(vec![whole("a")]).await;
        server.sql(
            "BEGIN; UPDATE agntix_exporter.format SET version = 2, compatible = 2;
             ALTER TABLE agntix_exporter.commits RENAME COLUMN news TO entries;
             UPDATE agntix_exporter.lease SET epoch = epoch + 1; COMMIT",
        );
        old.counts_no_more().await;
        let error = old.reader.current().await.unwrap_err();
        assert!(is_newer(&error), "{error}");
        old.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn upgrade_that_is_cut_short_changes_nothing_and_is_made_once_by_those_that_start_then() {
    let mut server = Server::start();
    let (old, new) = (database(&server.url()), database(&server.url()).with_format(&ALONE));
    runtime().block_on(async {
        prepare(&old).await.unwrap();
        server.sql("UPDATE agntix_exporter.lease SET epoch = 7");
        for cut in ["server", "connection"] {
            // It has taken the row of the format, and waits for a table that somebody reads.
            let reader = old.connection().await.unwrap();
            let read = "BEGIN; LOCK TABLE agntix_exporter.pending IN ACCESS SHARE MODE";
            reader.ask(PATIENCE, |client| client.batch_execute(read)).await.unwrap();
            let upgrading = { let new = new.clone(); tokio::spawn(async move { prepare(&new).await }) };
            let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%further%'";
            server.eventually_has(waits, "1");
            if cut == "server" {
                server.kill();
                assert!(upgrading.await.unwrap().is_err());
                server.restart();
            } else {
                server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%further%' AND pid <> pg_backend_pid()");
                assert!(upgrading.await.unwrap().is_err());
            }
            // It has gone with its server, in the first case.
            let _ = reader.ask(PATIENCE, |client| client.batch_execute("ROLLBACK")).await;
            drop(reader);
            assert_eq!(server.sql(FORMAT).trim(), "1|1");
            assert_eq!(server.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'further'").trim(), "0");
            // Replicas of the version before go on.
            prepare(&old).await.unwrap();
        }
        let start = |_| { let new = new.clone(); tokio::spawn(async move { prepare(&new).await }) };
        for started in (0..4).map(start).collect::<Vec<_>>() {
            started.await.unwrap().unwrap();
        }
        assert_eq!(server.sql(FORMAT).trim(), "2|2");
        assert_eq!(server.sql("SELECT epoch FROM agntix_exporter.lease").trim(), "8", "one upgrade");
    });
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn user_without_rights_gets_the_statements_of_the_upgrade() {
    let server = Server::start();
    server.sql("CREATE ROLE exporter LOGIN");
    runtime().block_on(async {
        prepare(&database(&server.url())).await.unwrap();
        server.sql(
            "GRANT USAGE ON SCHEMA agntix_exporter TO exporter;
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA agntix_exporter TO exporter",
        );
        let new = database(&server.url().replace("postgres@", "exporter@")).with_format(&ALONE);
        let error = prepare(&new).await.unwrap_err();
        let PostgresError::Rights { statements, .. } = error else { panic!("{error}") };
        assert_eq!(server.sql(FORMAT).trim(), "1|1", "nothing was changed");
        server.sql(&statements);
        assert_eq!(server.sql(FORMAT).trim(), "2|2");
        prepare(&new).await.unwrap();
    });
}
