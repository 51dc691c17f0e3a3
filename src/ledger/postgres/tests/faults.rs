//! Each reason why a database cannot be used has a sentence of its own, on a real server.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use test_postgres::{Bouncer, Server, Setup};

use super::{database, runtime};
use crate::config::Config;
use crate::ledger::policy::PolicyConfig;
use crate::ledger::postgres::{Database, schema, snapshot, survey};
use crate::tasks::Tasks;

/// What is said of a connection, or of making the tables; `None` if both work.
fn said(url: &str, password_file: Option<PathBuf>) -> Option<String> {
    let runtime = runtime();
    let database = Database::new(url, password_file, "agntix_exporter", Tasks::new().0).unwrap();
    runtime.block_on(schema::prepare(&database)).err().map(|error| error.to_string())
}

fn assert_says(said: Option<String>, parts: &[&str]) {
    let said = said.expect("it works");
    for part in parts {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
}

fn server() -> Server {
    let server = Server::start_with(&Setup::default().asking(
        "host all exporter,nobody 127.0.0.1/32 scram-sha-256\nhost all old 127.0.0.1/32 md5\n\
         host all absent,reader,full,idle 127.0.0.1/32 trust",
    ));
    server.sql(
        "SET password_encryption = 'scram-sha-256'; CREATE ROLE exporter LOGIN PASSWORD 's3cret'; CREATE ROLE reader LOGIN; CREATE ROLE full LOGIN CONNECTION LIMIT 0; \
         CREATE ROLE idle; CREATE ROLE kept_out LOGIN; ALTER ROLE reader SET default_transaction_read_only = on; \
         SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 's3cret'; \
         GRANT CREATE ON DATABASE postgres TO exporter; GRANT exporter TO old",
    );
    server.sql("CREATE DATABASE closed");
    server.sql("REVOKE CONNECT ON DATABASE closed FROM PUBLIC");
    server
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn what_a_server_refuses_is_told_apart() {
    let (server, directory) = (server(), tempfile::tempdir().unwrap());
    let of = |user: &str| format!("postgres://{user}@127.0.0.1:{}/postgres", server.port());
    let file = |name: &str, content: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, content).unwrap();
        Some(file)
    };
    for user in ["exporter", "old"] {
        assert_eq!(said(&of(user), file("right", "s3cret\n")), None, "{user}");
    }
    let wrong = ["does not accept the password of user \"exporter\"", "state.password_file"];
    assert_says(said(&of("exporter"), file("wrong", "s3cretary")), &wrong);
    assert_says(said(&of("exporter:s3cretary"), None), &wrong);
    assert_says(said(&of("nobody"), file("right", "s3cret")), &["or has no such role"]);
    assert_says(said(&of("exporter"), None), &["asks for a password of user \"exporter\", and none is configured"]);
    for (name, why) in [("missing", "cannot be read: No such file"), ("", "cannot be read: Is a directory")] {
        assert_says(said(&of("exporter"), Some(directory.path().join(name))), &["asks for a password", why]);
    }
    assert_says(said(&of("exporter"), file("empty", "\n")), &["empty is empty"]);
    assert_says(said(&of("exporter"), file("many", "s3cret\nmore")), &["has several lines"]);
    let absent = ["has no role \"absent\"", "CREATE ROLE \"absent\" LOGIN"];
    assert_says(said(&of("absent"), None), &absent);
    assert_says(said(&of("idle"), None), &["not permitted to log in", "ALTER ROLE \"idle\" LOGIN"]);
    assert_says(said(&of("kept_out"), None), &["does not let user \"kept_out\" in", "let pg_hba.conf take this user"]);
    assert_says(said(&of("full"), None), &["takes no more connections", "max_connections"]);
    assert_says(
        said(&of("reader"), None),
        &["read-only (default_transaction_read_only), though it is no standby", "ALTER ROLE"],
    );
    let elsewhere = |name: &str| format!("postgres://reader@127.0.0.1:{}/{name}", server.port());
    assert_says(said(&elsewhere("nowhere"), None), &["has no database \"nowhere\"", "CREATE DATABASE"]);
    assert_says(said(&elsewhere("closed"), None), &["GRANT CONNECT ON DATABASE \"closed\""]);
    assert_says(
        said(&format!("{}?options=-c%20no_such=1", of("reader")), None),
        &["refuses a parameter of the connection", "options"],
    );
    assert_says(said(&format!("{}?sslmode=require", of("reader")), None), &["has no TLS", "ssl = on"]);
    assert_says(
        said(&format!("{}?sslmode=verify-ca&sslrootcert=/nowhere", of("reader")), None),
        &["/nowhere", "sslrootcert"],
    );
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn what_the_network_does_is_told_apart_and_every_host_is_named() {
    let mut primary = Server::start();
    let standby = primary.standby();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let of = |hosts: &str| format!("postgres://postgres@{hosts}/postgres?connect_timeout=1");
    let both = of(&format!("127.0.0.1:1,127.0.0.1:{},127.0.0.1:{}", standby.port(), primary.port()));
    assert_eq!(said(&both, None), None, "the primary is found behind the others");
    assert_says(
        said(&of(&format!("127.0.0.1:{}", standby.port())), None),
        &["is a standby (in recovery)", "name all servers"],
    );
    assert_says(said(&of("127.0.0.1:1"), None), &["cannot be reached (127.0.0.1:1 refuses the connection"]);
    assert_says(said(&of(&format!("127.0.0.1:{silent_port}")), None), &["does not answer within 1s", "firewalls"]);
    assert_says(said(&of("nowhere.invalid"), None), &["nowhere.invalid:5432"]);
    assert_says(said(&of("%2Fnowhere"), None), &["/nowhere/.s.PGSQL.5432 is not there"]);
    primary.kill();
    let port = primary.port();
    let all =
        ["127.0.0.1:1 refuses", "is a standby (in recovery)", &format!("127.0.0.1:{port} refuses the connection")];
    assert_says(said(&both, None), &all);
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn server_is_found_by_its_unix_socket_whatever_sslmode_says() {
    let setup = Setup { access: "local all all trust\nhost all all 127.0.0.1/32 trust".into(), ..Setup::default() };
    let server = Server::start_with(&Setup { settings: "unix_socket_directories = '.'".into(), ..setup });
    let encoded = server.data().display().to_string().replace('/', "%2F");
    for query in ["", "?sslmode=verify-full"] {
        assert_eq!(
            said(&format!("postgres://postgres@{encoded}:{}/postgres{query}", server.port()), None),
            None,
            "{query}"
        );
    }
}

#[test]
#[ignore = "needs PostgreSQL and PgBouncer (.ci/tools)"]
fn pooler_that_cannot_do_is_told() {
    let server = Server::start();
    let statements = Bouncer::start_with(&server, 2, "pool_mode = statement");
    assert_says(
        said(&statements.url(), None),
        &["takes no transaction of several statements", "pool_mode to transaction"],
    );
    let transactions = Bouncer::start(&server, 2);
    assert_eq!(said(&transactions.url(), None), None);
    let options = format!("{}?options=-c%20jit%3Doff", transactions.url());
    assert_says(said(&options, None), &["refuses a parameter of the connection", "ignore_startup_parameters"]);
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn role_without_rights_gets_statements_that_psql_takes() {
    let server = Server::start();
    server.sql("CREATE ROLE \"ex\"\"porter\" LOGIN; REVOKE CREATE ON DATABASE postgres FROM PUBLIC");
    let database = database(&server.url().replace("postgres@", "ex%22porter@"));
    let runtime = runtime();
    let statements = |what: &str| {
        let error = runtime.block_on(schema::prepare(&database)).expect_err(what).to_string();
        error.split_once("start again:\n").unwrap().1.to_owned()
    };
    server.psql(&statements("it may not make the tables"));
    runtime.block_on(schema::prepare(&database)).unwrap();
    server.sql("REVOKE DELETE ON agntix_exporter.inbox FROM \"ex\"\"porter\"");
    server.psql(&statements("it may not delete"));
    server.sql("REVOKE USAGE ON SCHEMA agntix_exporter FROM \"ex\"\"porter\"");
    server.psql(&statements("it may not use the schema"));
    runtime.block_on(schema::prepare(&database)).unwrap();
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn survey_says_what_is_there() {
    let server = Server::start_with(&Setup { encoding: "SQL_ASCII", ..Setup::default() });
    let take = || {
        runtime()
            .block_on(survey::Survey::take(&server.url(), None, "agntix_exporter"))
            .unwrap()
            .facts
            .unwrap()
            .unwrap()
    };
    let facts = take();
    assert!(matches!(facts.tables, survey::Tables::Missing), "{facts:?}");
    assert!(!facts.durability.fsync && facts.durability.full_page_writes && !facts.durability.is_synchronous());
    assert!(facts.clock_ahead_ms.abs() < 2_000 && !facts.round_trip.is_zero(), "{facts:?}");
    assert!((1..60).contains(&facts.connections) && (50..60).contains(&facts.most_connections), "{facts:?}");
    assert_eq!((facts.no_transactions, facts.reads_standby, facts.tls), (None, false, None));
    assert_eq!(
        server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'agntix_exporter'").trim(),
        "0",
        "it made the schema"
    );
    runtime().block_on(schema::prepare(&database(&server.url()))).unwrap();
    server.sql("ALTER ROLE postgres SET synchronous_commit = off");
    let facts = take();
    let survey::Tables::There(shared) = &facts.tables else { panic!("{facts:?}") };
    assert_eq!((shared.format, shared.is_held, shared.inbox, shared.replicas.len()), (1, false, 0, 0), "{shared:?}");
    let dangers = facts.durability.dangers();
    assert_eq!(dangers.last().unwrap().advice, "run ALTER ROLE \"postgres\" RESET synchronous_commit");
    // With an empty password file nothing is wrong where no password is asked for.
    let path: PathBuf = Path::new("/dev/null").into();
    assert_eq!(said(&server.url(), Some(path)), None);
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn read_that_fails_leaves_no_transaction_open() {
    let server = Server::start();
    let config = PolicyConfig::from(&Config::default());
    runtime().block_on(async {
        let database = database(&server.url());
        schema::prepare(&database).await.unwrap();
        let connection = database.connection().await.unwrap();
        server.sql("ALTER TABLE agntix_exporter.series RENAME TO gone");
        let error = snapshot::load(&connection, &config).await.err().unwrap().to_string();
        assert!(error.contains("does not exist"), "{error}");
        // As the next one does who gets this connection.
        connection.ask(Duration::from_secs(60), |client| client.query_typed_one("SELECT 1", &[])).await.unwrap();
    });
}
