//! A server: made from a template, started on a free port, and ended with its directory.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::port::free_port;
use crate::process::{PATIENCE, Running, Signal, command, hand_over, listens, programs, run};

/// What differs from the usual server.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Lines of `postgresql.conf`, after the usual ones.
    pub settings: String,
    /// The whole of `pg_hba.conf`. Usually whoever connects is whom they say.
    pub access: String,
    /// Further files beside `postgresql.conf`, readable by the server only: name and content.
    pub files: Vec<(String, String)>,
    /// `--encoding` of `initdb`; UTF8 usually.
    pub encoding: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        let access = "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n";
        Self { settings: String::new(), access: access.into(), files: Vec::new(), encoding: "UTF8" }
    }
}

/// A server on loopback. It lives no longer than the thread that started it. Its superuser is `postgres`, and so is its first database. Nothing is ever forced to the disk: what
/// is killed here loses no page of the kernel's.
#[derive(Debug)]
pub struct Server {
    running: Option<Running>,
    directory: TempDir,
    port: u16,
}

/// An empty cluster, made once for a machine and copied for each server: to make one takes a second.
fn template(encoding: &str) -> PathBuf {
    let programs = programs().0;
    let version =
        String::from_utf8(command(&programs.join("postgres")).arg("--version").output().unwrap().stdout).unwrap();
    let version = version.split_whitespace().nth(2).unwrap().to_owned();
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-postgres");
    let template = templates.join(if encoding == "UTF8" { version } else { format!("{version}-{encoding}") });
    if template.is_dir() {
        return template;
    }
    let directory = TempDir::with_prefix("postgres-template-").unwrap();
    hand_over(directory.path());
    let data = directory.path().join("data");
    let encoding = format!("--encoding={encoding}");
    let arguments: [&OsStr; 8] = [
        "--auth=trust".as_ref(),
        "--username=postgres".as_ref(),
        encoding.as_ref(),
        "--locale=C".as_ref(),
        "--no-sync".as_ref(),
        "--wal-segsize=1".as_ref(),
        "--pgdata".as_ref(),
        data.as_ref(),
    ];
    run(&programs.join("initdb"), &arguments);
    std::fs::create_dir_all(&templates).unwrap();
    let part = TempDir::with_prefix_in(".part-", &templates).unwrap();
    copy(&data, &part.path().join("data"));
    // Another test may have been first.
    if std::fs::rename(part.path().join("data"), &template).is_err() {
        assert!(template.is_dir());
    }
    template
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

impl Server {
    /// A server as it is usually.
    pub fn start() -> Self {
        Self::start_with(&Setup::default())
    }

    /// A server of its own kind.
    pub fn start_with(setup: &Setup) -> Self {
        let directory = TempDir::with_prefix("postgres-").unwrap();
        copy(&template(setup.encoding), &directory.path().join("data"));
        for (name, content) in &setup.files {
            let file = directory.path().join("data").join(name);
            std::fs::write(&file, content).unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        }
        hand_over(directory.path());
        let mut server = Self { running: None, directory, port: 0 };
        std::fs::write(server.data().join("pg_hba.conf"), &setup.access).unwrap();
        server.set(&format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\njit = off\nmax_connections = 60\n\
             shared_buffers = 32MB\nmax_wal_size = 256MB\nwal_level = replica\nhot_standby = on\nlog_min_messages = warning\n{}\n",
            setup.settings
        ));
        server.restart();
        server
    }

    /// A standby of this server. It follows by itself; this server waits for nobody.
    #[must_use]
    pub fn standby(&self) -> Self {
        let directory = TempDir::with_prefix("postgres-standby-").unwrap();
        hand_over(directory.path());
        let data = directory.path().join("data");
        let source = format!("host=127.0.0.1 port={} user=postgres application_name=standby", self.port);
        let arguments: [&OsStr; 7] = [
            "--dbname".as_ref(),
            source.as_ref(),
            "--pgdata".as_ref(),
            data.as_ref(),
            "--write-recovery-conf".as_ref(),
            "--checkpoint=fast".as_ref(),
            "--no-sync".as_ref(),
        ];
        run(&programs().0.join("pg_basebackup"), &arguments);
        let mut standby = Self { running: None, directory, port: 0 };
        standby.restart();
        standby
    }

    /// A standby without which this server acknowledges nothing.
    #[must_use]
    pub fn synchronous_standby(&self) -> Self {
        let standby = self.standby();
        self.reconfigure("synchronous_standby_names = 'standby'");
        self.eventually("have a synchronous standby", || {
            self.sql("SELECT sync_state FROM pg_stat_replication").trim() == "sync"
        });
        standby
    }

    /// Starts it again, on the port that it had.
    pub fn restart(&mut self) {
        self.running = None;
        let until = Instant::now() + PATIENCE;
        loop {
            let port = if self.port == 0 { free_port() } else { self.port };
            let mut command = command(&programs().0.join("postgres"));
            command.arg("-D").arg(self.data()).arg("-p").arg(port.to_string()).process_group(0);
            let mut running = Running::start(command, &self.directory.path().join("log")).with_children();
            let is_up = running.becomes("ready", || listens(port) && sql(port, "SELECT 1").is_ok());
            if is_up {
                (self.port, self.running) = (port, Some(running));
                return;
            }
            // Processes of the one that was killed end a moment after it.
            if Instant::now() < until && running.log().contains("shared memory block") {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            // Somebody else took the port first.
            assert!(self.port == 0, "the server has ended: {}", running.log());
            assert!(running.log().contains("could not bind"), "the server has ended: {}", running.log());
        }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of its first database, for its superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Where its files are.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.running.as_ref().map(Running::log).unwrap_or_default()
    }

    /// Runs statements as its superuser, and gives what they answer: a line a row, columns with `|` between them.
    pub fn sql(&self, statements: &str) -> String {
        sql(self.port, statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    /// Gives `psql` a file, as somebody does who pastes statements into it, and stops at the first error.
    pub fn psql(&self, statements: &str) {
        let file = self.directory.path().join("pasted.sql");
        std::fs::write(&file, statements).unwrap();
        hand_over(&file);
        let port = format!("--port={}", self.port);
        let (user, database) = ("--username=postgres".as_ref(), "--dbname=postgres".as_ref());
        let arguments: [&OsStr; 7] = [
            "--no-psqlrc".as_ref(),
            "--set=ON_ERROR_STOP=1".as_ref(),
            "--host=127.0.0.1".as_ref(),
            port.as_ref(),
            user,
            database,
            "--file".as_ref(),
        ];
        let arguments: Vec<&OsStr> = arguments.into_iter().chain([file.as_os_str()]).collect();
        run(&programs().0.join("psql"), &arguments);
    }

    /// Puts lines at the end of `postgresql.conf`, where they win; for the next start.
    pub fn set(&self, lines: &str) {
        let file = self.data().join("postgresql.conf");
        let mut text = std::fs::read_to_string(&file).unwrap();
        writeln!(text, "\n{lines}").unwrap();
        std::fs::write(file, text).unwrap();
    }

    /// Puts lines at the end of `postgresql.conf`, and has it read.
    pub fn reconfigure(&self, lines: &str) {
        self.set(lines);
        self.sql("SELECT pg_reload_conf()");
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        self.sql("SELECT pg_promote()");
        self.eventually("be the primary", || self.sql("SELECT pg_is_in_recovery()").trim() == "f");
    }

    /// Lets a standby follow no more: it lacks what the primary commits from here on.
    pub fn detach(&self) {
        self.sql("ALTER SYSTEM SET primary_conninfo = ''");
        self.sql("SELECT pg_reload_conf()");
        self.eventually_has("SELECT count(*) FROM pg_stat_wal_receiver", "0");
    }

    /// Waits until a query answers this.
    pub fn eventually_has(&self, query: &str, answer: &str) {
        // Of a standby that does not have the table yet it is an error.
        self.eventually(query, || sql(self.port, query).is_ok_and(|found| found.trim() == answer));
    }

    /// The number of the group of its processes.
    pub(crate) fn group(&self) -> u32 {
        self.running.as_ref().map(Running::id).unwrap_or_default()
    }

    /// Signals it and all of its processes.
    pub fn signal(&self, signal: Signal) {
        if let Some(running) = &self.running {
            running.signal(signal);
        }
    }

    /// Ends it as the failure of a machine would: at once, whoever is connected.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.signal(Signal::Kill);
            running.wait();
        }
    }

    fn eventually(&self, what: &str, is_so: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < until, "it does not {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub(crate) fn sql(port: u16, statements: &str) -> Result<String, String> {
    let mut psql: Command = command(&programs().0.join("psql"));
    psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--host=127.0.0.1", "--username=postgres"]);
    psql.args(["--set=ON_ERROR_STOP=1", "--dbname=postgres", &format!("--port={port}"), "--command", statements]);
    let output = psql.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}
