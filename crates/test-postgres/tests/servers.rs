//! The servers are what the tests of the ledger take them for.

use test_postgres::{Bouncer, Server};

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn server_keeps_what_was_committed_when_it_is_killed() {
    let mut server = Server::start();
    assert!(server.sql("SHOW server_version").starts_with("15."), "the version that the documentation names");
    server.sql("CREATE TABLE t AS SELECT 7 AS seven");
    server.kill();
    server.restart();
    assert_eq!(server.sql("SELECT seven FROM t").trim(), "7");
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn synchronous_standby_has_everything_when_it_is_promoted() {
    let mut primary = Server::start();
    let standby = primary.synchronous_standby();
    primary.sql("CREATE TABLE t AS SELECT 7 AS seven");
    primary.kill();
    standby.promote();
    assert_eq!(standby.sql("SELECT seven FROM t").trim(), "7");
}

#[test]
#[ignore = "needs PostgreSQL and PgBouncer (.ci/tools)"]
fn pooler_hands_connections_around() {
    let server = Server::start();
    let bouncer = Bouncer::start(&server, 1);
    assert!(!bouncer.log().contains("ERROR"), "{}", bouncer.log());
    assert_ne!(bouncer.port(), server.port());
}
