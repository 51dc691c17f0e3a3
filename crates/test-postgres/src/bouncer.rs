//! `PgBouncer` before a server, in transaction mode: what a client says in one transaction and in the next may come to two
//! connections of the server.

use tempfile::TempDir;

use crate::port::free_port;
use crate::process::{Running, command, hand_over, listens, programs};
use crate::server::Server;

/// A pooler on loopback. It knows the superuser of the server, and asks for no password.
#[derive(Debug)]
pub struct Bouncer {
    running: Running,
    _directory: TempDir,
    port: u16,
}

impl Bouncer {
    /// A pooler that hands `connections` of the server around.
    pub fn start(server: &Server, connections: usize) -> Self {
        Self::start_with(server, connections, "pool_mode = transaction")
    }

    /// A pooler with further `lines` of its configuration.
    pub fn start_with(server: &Server, connections: usize, lines: &str) -> Self {
        let directory = TempDir::with_prefix("pgbouncer-").unwrap();
        let (port, users) = (free_port(), directory.path().join("users"));
        std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let configuration = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\n{lines}\nmax_client_conn = 200\n\
             default_pool_size = {connections}\nserver_login_retry = 0.1\n",
            server.port(),
            users.display()
        );
        std::fs::write(&configuration, text).unwrap();
        for file in [&users, &configuration] {
            hand_over(file);
        }
        hand_over(directory.path());
        let mut command = command(&programs().1);
        command.arg(&configuration);
        let mut running = Running::start(command, &directory.path().join("log"));
        let is_up = running.becomes("ready", || listens(port));
        assert!(is_up, "PgBouncer has ended: {}", running.log());
        Self { running, _directory: directory, port }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the server's first database, by way of the pooler.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.running.log()
    }
}
