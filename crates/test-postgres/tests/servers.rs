//! The servers are what the tests of the ledger take them for.

use test_postgres::{Bouncer, Cluster, Server};

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

#[test]
#[ignore = "needs PostgreSQL, Patroni and etcd (.ci/tools)"]
fn cluster_makes_another_node_the_primary_when_it_is_told_to_and_when_the_primary_is_gone() {
    let mut cluster = Cluster::start(true);
    let first = cluster.leader().unwrap();
    cluster.sql(first, "CREATE TABLE kept (id integer); INSERT INTO kept VALUES (1)");
    let second = cluster.switch_over();
    assert_ne!(first, second);
    cluster.eventually_has_standbys();
    assert_eq!(cluster.kill_leader(), second);
    let third = cluster.leader_other_than(second);
    assert_eq!(cluster.sql(third, "SELECT id FROM kept").trim(), "1");
    cluster.start_node(second);
    cluster.eventually_has_standbys();
}
