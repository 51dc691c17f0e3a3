//! The database that replicas share: what doctor, `--config.check` and the log say of it, and that its password is printed nowhere.

use std::net::TcpListener;
use std::path::Path;

use test_postgres::{Server, Setup as ServerSetup};

use super::{doctor, installation, organization, set_mode};
use crate::support::{Api, Setup, until};

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
        .set("STATE__URL", &format!("postgres://exporter@127.0.0.1:{}/postgres", server.port()))
        .set("STATE__PASSWORD_FILE", &file.display().to_string())
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
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'exporter'");
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
