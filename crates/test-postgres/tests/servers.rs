//! The servers are what the tests of the ledger take them for.

use test_postgres::{Bouncer, Server};

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn server_keeps_what_was_committed_when_it_is_killed() {
    let mut server = Server::start();
    // POSTGRES may name another one.
    let version = server.sql("SHOW server_version");
    assert!(
        ["13.", "15.", "17.", "18."].iter().any(|tested| version.starts_with(tested)),
        "the documentation names no {version}"
    );
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
