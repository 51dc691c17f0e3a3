//! The database that replicas share: what doctor, `--config.check` and the log say of it, and that its password is printed nowhere.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use simulator::{Clock as _, SimulatorConfig, SystemClock};
use test_postgres::{Server, Setup as ServerSetup};

use super::{doctor, installation, organization, set_mode};
use crate::support::{Api, Daemon, Setup, durable, until};

/// It finds its way into nothing that is printed.
const PASSWORD: &str = "s3cret-Q7vJx2bN";

/// A server that asks the role `exporter` for a password, and keeps what it acknowledges.
fn server() -> Server {
    let setup = ServerSetup { settings: "fsync = on".into(), ..ServerSetup::default() };
    let server = Server::start_with(&setup.asking("host all exporter 127.0.0.1/32 scram-sha-256"));
    server.sql(&format!("SET password_encryption = 'scram-sha-256'; CREATE ROLE exporter LOGIN PASSWORD '{PASSWORD}'; GRANT CREATE ON DATABASE postgres TO exporter"));
    server
}

/// A replica whose password is in a file.
fn sharing(setup: Setup, server: &Server, place: &Path) -> Setup {
    let file = place.join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    set_mode(&file, 0o600);
    setup
        // On a busy machine a server takes seconds to check a password.
        .set("STATE__URL", &format!("postgres://exporter@127.0.0.1:{}/postgres?connect_timeout=20", server.port()))
        .set("STATE__PASSWORD_FILE", &file.display().to_string())
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn doctor_says_which_database_who_counts_and_what_becomes_of_a_commit() {
    let (api, place, server) = (Api::start(organization()), tempfile::tempdir().unwrap(), server());
    let setup = sharing(installation(api.address, place.path()), &server, place.path());
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    assert!(
        found.only("database").1.contains(&format!("at 127.0.0.1:{}, as user exporter", server.port())),
        "{}",
        found.all
    );
    assert_eq!(found.only("database-tables").1, "the tables will be made at the first start");
    assert!(found.only("database-durability").1.starts_with("commits are asynchronous"), "{}", found.all);
    assert!(found.of("state").is_empty() && found.of("disk").is_empty(), "{}", found.all);
    assert_eq!(server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'agntix_exporter'").trim(), "0");
    let daemon = setup.start();
    until("it to count", || (daemon.get("/-/active").0 == 200).then_some(()));
    let found = until("all of it to be there", || {
        let found = doctor(&setup);
        found.of("replicas").first().is_some_and(|(_, says)| says.contains(" counts, for ")).then_some(found)
    });
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    assert!(found.only("replicas").1.starts_with("1 replica is there ("), "{}", found.all);
    let standby = server.synchronous_standby();
    let found = doctor(&setup);
    assert!(found.only("database-durability").1.starts_with("commits are synchronous"), "{}", found.all);
    // A new standby, and what the log says of it.
    for line in [
        "connected to the database",
        "shares the counts of a database",
        "the replica that counts",
        "commits are asynchronous",
    ] {
        until(line, || (daemon.lines_with(line) == 1).then_some(()));
    }
    until("the change to be told", || (daemon.lines_with("commits are synchronous") == 1).then_some(()));
    drop(standby);
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn doctor_tells_what_is_wrong_with_a_database() {
    let (api, place, server) = (Api::start(organization()), tempfile::tempdir().unwrap(), server());
    let setup = sharing(installation(api.address, place.path()), &server, place.path());
    let file = place.path().join("password");
    set_mode(&file, 0o644);
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![("secret-file", "warning")]), "{}", found.all);
    std::fs::write(&file, "another").unwrap();
    set_mode(&file, 0o600);
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("database", "failure")]), "{}", found.all);
    assert!(found.only("database").1.contains("does not accept the password of user \"exporter\""), "{}", found.all);
    std::fs::write(&file, PASSWORD).unwrap();
    server.sql("REVOKE CREATE ON DATABASE postgres FROM exporter; ALTER ROLE exporter SET synchronous_commit = off");
    let found = doctor(&setup);
    let wrong = vec![("database-tables", "failure"), ("database-durability", "failure")];
    assert_eq!((found.code, found.wrong()), (Some(1), wrong), "{}", found.all);
    let findings = found.json["findings"].as_array().unwrap();
    let advice =
        findings.iter().find(|finding| finding["check"] == "database-tables").unwrap()["advice"].as_str().unwrap();
    server.psql(advice.split_once('\n').unwrap().1);
    server.sql("ALTER ROLE exporter RESET synchronous_commit");
    assert_eq!(doctor(&setup).wrong(), vec![]);
    // The counts of a state in a directory would be left behind.
    let alone = Setup::new(api.address, &place.path().join("state"));
    alone.start().stops_on("TERM");
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![("state", "warning")]), "{}", found.all);
    assert!(found.only("state").1.contains("the database holds none yet"), "{}", found.all);
}

#[test]
fn mistake_in_the_url_is_one_sentence_before_anything_is_asked() {
    let (place, listener) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    listener.set_nonblocking(true).unwrap();
    let (port, setup) =
        (listener.local_addr().unwrap().port(), Setup::plain(place.path()).env("AGNTIX_API_KEY", "pk_live_x"));
    for (url, named) in [
        (
            format!("postgres://u:{PASSWORD}@127.0.0.1:{port}/x?colour=red"),
            "\"colour\", which PostgreSQL does not know",
        ),
        (format!("postgres://u:{PASSWORD}@127.0.0.1:{port}/x?service=prod"), "service, which is not supported"),
        (format!("postgres://u:{PASSWORD}/1@127.0.0.1:{port}/x"), "percent-encoded"),
        (format!("postgres://u:{PASSWORD}@127.0.0.1:{port}/x?sslmode=on"), "sslmode"),
        (format!("host=127.0.0.1 port={port} password={PASSWORD}"), "must be a URL"),
    ] {
        for command in ["--config.check", "doctor"] {
            let (code, said) = setup.clone().set("STATE__URL", &url).argument(command).run();
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("state.url is ") && said.contains(named) && !said.contains(PASSWORD), "{said}");
            assert_eq!(said.trim().lines().count(), 1, "{said}");
        }
    }
    let url = format!("postgres://u:{PASSWORD}@127.0.0.1:{port}/x?sslmode=require");
    let (code, said) = setup.set("STATE__URL", &url).argument("--config.check").run();
    assert_eq!(code, Some(0), "{said}");
    let line = format!(
        "PostgreSQL at 127.0.0.1:{port}/x, schema agntix_exporter, as u with the password in state.url (not shown), sslmode=require"
    );
    assert!(said.contains(&line) && said.contains("state.path is not used") && !said.contains(PASSWORD), "{said}");
    assert!(listener.accept().is_err(), "it has connected");
}

/// Ends all connections of the replicas.
const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'exporter'";

/// In which order role and file get another password.
#[derive(Clone, Copy, PartialEq)]
enum First {
    Role,
    File,
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn password_that_is_replaced_while_replicas_run_loses_nothing() {
    let (place, server) = (tempfile::tempdir().unwrap(), server());
    // Sessions end during all of it.
    let start = SystemClock.now().minus(Duration::from_secs(100));
    let api = Api::start(SimulatorConfig { rate_limit: Some(1_000_000), ..SimulatorConfig::load(start, 4.0, 500) });
    let setup = sharing(Setup::new(api.address, &place.path().join("unused")), &server, place.path())
        .set("HA__LEASE", "2s")
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s");
    let replicas = [setup.start(), setup.start()];
    until("a replica to count", || replicas.iter().find(|replica| replica.get("/-/active").0 == 200));
    for (first, password) in [(First::Role, "an0ther-Q7vJx2bN"), (First::File, "th1rd-Q7vJx2bN")] {
        let role = || {
            server.sql(&format!("SET password_encryption = 'scram-sha-256'; ALTER ROLE exporter PASSWORD '{password}'"))
        };
        let file = || std::fs::write(place.path().join("password"), format!("{password}\n")).unwrap();
        let before = replicas.each_ref().map(refusals);
        if first == First::Role {
            drop(role());
        } else {
            file();
        }
        // Connections that are there go on. These end, and new ones are not made.
        for (replica, before) in replicas.iter().zip(before) {
            // It is told, though the lost connections were told before.
            until("the refusal to be told", || {
                // One that was just being made may have the old password.
                server.sql(CUT);
                (refusals(replica) > before).then_some(())
            });
            until("no page to be served", || (replica.try_get("/metrics")?.0 == 503).then_some(()));
        }
        if first == First::Role {
            file();
        } else {
            drop(role());
        }
        for replica in &replicas {
            until("a page to be served again", || (replica.try_get("/metrics")?.0 == 200).then_some(()));
        }
    }
    for replica in &replicas {
        until("all to be counted", || (durable(&replica.samples_if_any()) == api.truth()).then_some(()));
        assert!(!replica.log().contains("Q7vJx2bN"), "{}", replica.log());
    }
}

/// How often a replica has said that it cannot use the database because of the password.
fn refusals(replica: &Daemon) -> usize {
    let log = replica.log();
    let said = log.lines().filter(|line| line.contains("target=agntix_exporter::app::commits"));
    said.filter(|line| line.contains("does not accept the password of user")).count()
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn password_is_on_no_page_and_in_no_log_line_error_or_finding() {
    let (api, place, server) = (Api::start(organization()), tempfile::tempdir().unwrap(), server());
    let in_file = sharing(installation(api.address, place.path()), &server, place.path());
    let url = format!("postgres://exporter:{PASSWORD}@127.0.0.1:{}/postgres", server.port());
    let in_url = in_file.clone().unset("STATE__PASSWORD_FILE").set("STATE__URL", &url);
    for setup in [in_file, in_url] {
        let setup = setup.set("LOG__LEVEL", "trace");
        let mut daemon = setup.start();
        let mut said = Vec::new();
        for path in ["/", "/metrics", "/-/ready", "/-/active", "/-/healthy", "/-/reference"] {
            said.push(daemon.get(path).1);
        }
        said.push(daemon.post("/-/reload").1);
        for command in ["doctor", "--config.check"] {
            said.push(setup.clone().argument(command).run().1);
        }
        said.push(setup.clone().argument("doctor").argument("--format=json").run().1);
        // A server that is away, and one that refuses.
        server.sql("ALTER ROLE exporter PASSWORD 'an0ther'");
        server.sql(CUT);
        until("no page to be served", || (daemon.get("/metrics").0 != 200).then_some(()));
        said.push(daemon.get("/metrics").1);
        said.push(daemon.get("/").1);
        said.push(setup.clone().set("WEB__LISTEN_ADDRESS", "127.0.0.1:0").run().1);
        server.sql(&format!("ALTER ROLE exporter PASSWORD '{PASSWORD}'"));
        daemon.stops_on("TERM");
        said.push(daemon.log());
        for text in said {
            assert!(!text.is_empty() && !text.contains(PASSWORD) && !text.contains("Q7vJx2bN"), "{text}");
        }
    }
}

/// The lines of docs/high-availability.md, as a newcomer pastes them.
#[test]
#[ignore = "needs PostgreSQL (.ci/tools)"]
fn lines_of_the_documentation_set_a_database_up() {
    let (api, place, server) = (Api::start(organization()), tempfile::tempdir().unwrap(), server());
    server.sql("DROP OWNED BY exporter");
    server.sql("DROP ROLE exporter");
    let text = std::fs::read_to_string("docs/high-availability.md").unwrap();
    let lines =
        text.split("```sql\n").find(|part| part.starts_with("CREATE ROLE")).unwrap().split("```").next().unwrap();
    server.psql(lines);
    server.sql(&format!("ALTER ROLE exporter PASSWORD '{PASSWORD}'"));
    let setup = sharing(installation(api.address, place.path()), &server, place.path())
        .set("STATE__URL", &format!("postgres://exporter@127.0.0.1:{}/agntix", server.port()));
    assert_eq!(doctor(&setup).wrong(), vec![]);
    let daemon = setup.start();
    until("it to count", || (daemon.get("/-/active").0 == 200).then_some(()));
}
