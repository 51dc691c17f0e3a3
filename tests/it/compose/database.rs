//! The database of `deploy/compose.ha.yaml`: its scripts and its replicas' settings as they are, on servers of this machine in place of containers.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;
use simulator::{Clock as _, SimulatorConfig, SystemClock};

use super::{environment, replicated, root, services, texts};
use crate::support::{Api, Daemon, Setup, durable, signal, until};

/// What the entry point of PostgreSQL's image does: a new server, a password for its superuser, and begin.sh before anybody can connect.
const ENTRY_POINT: &str = r#"#!/bin/sh
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username=postgres --auth=trust --pwfile="$POSTGRES_PASSWORD_FILE" --encoding=UTF8 --no-sync --pgdata="$PGDATA"
    printf 'local all all trust\nhost all all all scram-sha-256\n' >"$PGDATA/pg_hba.conf"
    pg_ctl --pgdata="$PGDATA" --wait start --options="-p $OWN_PORT -k $SOCKETS -c listen_addresses=''"
    (
        unset PGHOSTADDR
        PGHOST=$SOCKETS PGPORT=$OWN_PORT POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
        export PGHOST PGPORT POSTGRES_PASSWORD
        . "$HOME/begin.sh"
    )
    pg_ctl --pgdata="$PGDATA" --wait --mode=fast stop
fi
exec "$@"
"#;

/// A server whose address is its own, as that of a container is.
const POSTGRES: &str = r#"#!/bin/sh
exec "$PROGRAMS/postgres" -p "$OWN_PORT" -k "$SOCKETS" -c listen_addresses=127.0.0.1 -c jit=off -c fsync=off "$@"
"#;

/// The two servers, and what their containers would have.
struct Containers {
    home: tempfile::TempDir,
    ports: [u16; 2],
    running: [Option<Child>; 2],
}

const NAMES: [&str; 2] = ["primary", "standby"];

impl Containers {
    fn new(password: &Path) -> Self {
        let home = tempfile::tempdir().unwrap();
        let place = |name: &str, text: &str| {
            let file = home.path().join(name);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        std::fs::create_dir(home.path().join("bin")).unwrap();
        place("bin/docker-entrypoint.sh", ENTRY_POINT);
        place("bin/postgres", POSTGRES);
        for name in ["begin.sh", "server.sh"] {
            place(name, &std::fs::read_to_string(root().join("deploy/postgres").join(name)).unwrap());
        }
        place("password", &std::fs::read_to_string(password).unwrap());
        for name in NAMES {
            std::fs::create_dir(home.path().join(name)).unwrap();
        }
        test_postgres::hand_over(home.path());
        Self { home, ports: [(); 2].map(|()| test_postgres::free_port()), running: [None, None] }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A program with what is around it in the container of a server.
    fn command(&self, server: usize, program: &Path) -> Command {
        let programs = test_postgres::programs().0;
        let mut command = test_postgres::command(program);
        let of_server = test_postgres::command(&programs.join("postgres"));
        let libraries = of_server.get_envs().find(|(name, _)| *name == "LD_LIBRARY_PATH").and_then(|(_, value)| value);
        let paths = [&self.path("bin"), &programs, Path::new("/usr/bin"), Path::new("/bin")];
        command
            .env("PATH", std::env::join_paths(paths).unwrap())
            .env("LD_LIBRARY_PATH", libraries.map_or_else(OsString::new, ToOwned::to_owned))
            .env("PROGRAMS", &programs)
            .env("HOME", self.home.path())
            .env("SOCKETS", self.home.path())
            .env("PGDATA", self.path(NAMES[server]).join("data"))
            .env("POSTGRES_PASSWORD_FILE", self.path("password"))
            .env("OWN_PORT", self.ports[server].to_string())
            // Where the name of the other one leads to.
            .env("PGHOSTADDR", "127.0.0.1")
            .env("PGPORT", self.ports[1 - server].to_string())
            .current_dir(self.home.path());
        command
    }

    /// Starts a server as its container does, and waits until it is healthy, as the other containers do.
    fn start(&mut self, server: usize, service: &Value) {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command(server, Path::new("/bin/sh"));
        command
            .arg(self.path("server.sh"))
            .args(texts(&service["command"]))
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.running[server] = Some(command.spawn().unwrap());
        let test = texts(&service["healthcheck"]["test"]);
        until("the server to be healthy", || {
            let ended = self.running[server].as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{}", std::fs::read_to_string(self.path("log")).unwrap());
            let mut check = self.command(server, &test_postgres::programs().0.join(test[1]));
            check.args(&test[2..]).env_remove("PGHOSTADDR").env("PGPORT", self.ports[server].to_string());
            check.output().unwrap().status.success().then_some(())
        });
    }

    /// What `docker compose stop` does, with the signal that the image asks for.
    fn stop(&mut self, server: usize) {
        let mut child = self.running[server].take().unwrap();
        signal(&child, "INT");
        until("the server to stop", || child.try_wait().unwrap());
    }

    fn try_sql(&self, server: usize, statement: &str) -> Option<String> {
        let mut command = self.command(server, &test_postgres::programs().0.join("psql"));
        let port = self.ports[server].to_string();
        command.env_remove("PGHOSTADDR").env("PGPORT", port).env("PGHOST", self.home.path());
        let output = command.args(["--username=postgres", "--dbname=postgres", "-Atc", statement]).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            // It may have ended by itself.
            let _ = (child.kill(), child.wait());
        }
    }
}

/// A replica with the settings of its container, but for the addresses, and the API of this test.
fn replica(service: &Value, containers: &Containers, api: &Api) -> Daemon {
    let names = format!("127.0.0.1:{},127.0.0.1:{}", containers.ports[0], containers.ports[1]);
    let mut setup = Setup::new(api.address, &containers.path("unused"));
    for (name, value) in environment(service) {
        let value = value.replace("@primary,standby/", &format!("@{names}/"));
        setup = setup.env(
            &name,
            &value.replace("/run/secrets/database-password", &containers.path("password").display().to_string()),
        );
    }
    setup.set("API__BASE_URL", &format!("http://{}", api.address)).set("SESSIONS__LOOK_BACK_DEADLINE", "0s").start()
}

#[test]
#[ignore = "needs Docker Compose and PostgreSQL (.ci/tools)"]
fn replicas_go_on_when_the_standby_is_promoted_and_the_old_primary_becomes_its_standby() {
    let config = replicated();
    let (services, password) = (services(&config), config["secrets"]["database-password"]["file"].as_str().unwrap());
    for name in NAMES {
        assert_eq!(texts(&services[name]["entrypoint"]), ["sh", "/server.sh"], "{name}");
    }
    let mut containers = Containers::new(Path::new(password));
    containers.start(0, services["primary"]);
    containers.start(1, services["standby"]);
    let synchronous = |containers: &Containers, server: usize, name: &str| {
        let follows = format!("{name}|sync");
        until("a synchronous standby", || {
            let found = containers.try_sql(server, "SELECT application_name, sync_state FROM pg_stat_replication");
            (found? == follows).then_some(())
        });
    };
    synchronous(&containers, 0, "standby");
    // Sessions end during all of it.
    let start = SystemClock.now().minus(Duration::from_secs(100));
    let api = Api::start(SimulatorConfig::load(start, 4.0, 460));
    let replicas = ["exporter-1", "exporter-2"].map(|name| replica(services[name], &containers, &api));
    let all_say = |synchronous: f64| {
        for replica in &replicas {
            until("the replicas to say whether commits are synchronous", || {
                (replica.samples_if_any().get("agntix_exporter_ledger_synchronous") == Some(&synchronous)).then_some(())
            });
        }
    };
    all_say(1.0);
    containers.stop(0);
    let mut promote = containers.command(1, &test_postgres::programs().0.join("pg_ctl"));
    assert!(promote.arg("promote").output().unwrap().status.success());
    // It waits for no standby, or nothing could be counted.
    all_say(0.0);
    std::fs::remove_dir_all(containers.path("primary").join("data")).unwrap();
    containers.start(0, services["primary"]);
    containers.try_sql(1, "ALTER SYSTEM SET synchronous_standby_names = 'primary'").unwrap();
    containers.try_sql(1, "SELECT pg_reload_conf()").unwrap();
    synchronous(&containers, 1, "primary");
    all_say(1.0);
    for replica in &replicas {
        until("all to be counted", || (durable(&replica.samples_if_any()) == api.truth()).then_some(()));
    }
}
