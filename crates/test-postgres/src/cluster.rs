//! Servers under Patroni with etcd: it decides which of them is the primary, and promotes another one when that is gone.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

use crate::port::free_port;
use crate::process::{PATIENCE, Running, Signal, command, hand_over, libraries, listens, programs};
use crate::server::sql;

/// How long the primary may say nothing until another server takes its place. Patroni's own is 30 s.
const TTL: u32 = 6;

/// Servers of one cluster, on loopback. Patroni uses etcd's API of version 2: with version 3, Patroni 3.0 writes over the key of
/// another leader when it goes on after a sleep, so that two servers are primaries.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    is_synchronous: bool,
    _etcd: Running,
    directory: TempDir,
}

/// A server and the Patroni that watches over it.
#[derive(Debug)]
struct Node {
    patroni: Option<Running>,
    name: String,
    port: u16,
    rest: u16,
}

impl Cluster {
    /// Three servers. `is_synchronous`: nothing is acknowledged before a standby has it, and no other is promoted.
    pub fn start(is_synchronous: bool) -> Self {
        let directory = TempDir::with_prefix("patroni-").unwrap();
        let (client, peer) = (free_port(), free_port());
        let of = |port: u16| format!("http://127.0.0.1:{port}");
        std::fs::create_dir(directory.path().join("etcd")).unwrap();
        hand_over(directory.path());
        let mut etcd = command(&programs().0.ancestors().find(|path| path.ends_with("usr")).unwrap().join("bin/etcd"));
        etcd.arg("--enable-v2=true").arg("--data-dir").arg(directory.path().join("etcd"));
        etcd.args(["--listen-client-urls", &of(client), "--advertise-client-urls", &of(client)]);
        etcd.args(["--listen-peer-urls", &of(peer), "--initial-advertise-peer-urls", &of(peer)]);
        etcd.args(["--initial-cluster", &format!("default={}", of(peer))]);
        let mut etcd = Running::start(etcd, &directory.path().join("etcd.log"));
        assert!(etcd.becomes("ready", || listens(client)), "etcd has ended: {}", etcd.log());
        let nodes = ["one", "two", "three"].map(|name| Node {
            patroni: None,
            name: name.to_owned(),
            port: free_port(),
            rest: free_port(),
        });
        let mut cluster = Self { nodes: nodes.into(), is_synchronous, _etcd: etcd, directory };
        for node in 0..cluster.nodes.len() {
            cluster.configure(node, client);
            cluster.start_node(node);
            // The first one makes the cluster, and the others copy it.
            cluster.eventually("have a primary", || cluster.leader().is_some());
        }
        cluster.eventually_has_standbys();
        cluster
    }

    fn node(&self, node: usize) -> &Node {
        self.nodes.get(node).expect("a node of this cluster")
    }

    fn set_patroni(&mut self, node: usize, patroni: Option<Running>) {
        self.nodes.get_mut(node).expect("a node of this cluster").patroni = patroni;
    }

    fn configure(&self, node: usize, etcd: u16) {
        let (bin, is_synchronous) = (programs().0, self.is_synchronous);
        let Node { name, port, rest, .. } = self.node(node);
        let home = self.directory.path().join(name);
        std::fs::create_dir(&home).unwrap();
        let mut text = String::new();
        write!(
            text,
            "scope: test\nname: {name}\nrestapi: {{listen: '127.0.0.1:{rest}', connect_address: '127.0.0.1:{rest}'}}\n\
             etcd: {{host: '127.0.0.1:{etcd}'}}\n\
             bootstrap:\n  dcs:\n    ttl: {TTL}\n    loop_wait: 1\n    retry_timeout: 2\n    synchronous_mode: {is_synchronous}\n    \
             maximum_lag_on_failover: 10485760\n    \
             postgresql: {{use_pg_rewind: true, use_slots: true, parameters: {{wal_log_hints: 'on', max_connections: 60}}}}\n  \
             initdb: [{{auth: trust}}, {{encoding: UTF8}}, {{locale: C}}, no-sync]\n\
             postgresql:\n  listen: '127.0.0.1:{port}'\n  connect_address: '127.0.0.1:{port}'\n  \
             data_dir: {home}/data\n  bin_dir: {bin}\n  pgpass: {home}/pgpass\n  \
             authentication:\n    superuser: {{username: postgres, password: none}}\n    \
             replication: {{username: postgres, password: none}}\n    rewind: {{username: postgres, password: none}}\n  \
             pg_hba: ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']\n  \
             parameters: {{fsync: 'off', jit: 'off', shared_buffers: 32MB, unix_socket_directories: ''}}\n",
            home = home.display(),
            bin = bin.display(),
        )
        .unwrap();
        std::fs::write(home.join("patroni.yml"), text).unwrap();
        hand_over(&home);
    }

    /// Starts a node that was killed.
    pub fn start_node(&mut self, node: usize) {
        let tools = programs().0.ancestors().find(|path| path.ends_with("usr")).unwrap().to_owned();
        let home = self.directory.path().join(&self.node(node).name);
        let mut patroni = command(Path::new("/usr/bin/python3"));
        patroni.arg(tools.join("bin/patroni")).arg(home.join("patroni.yml"));
        if tools != Path::new("/usr") {
            patroni
                .env("PYTHONPATH", tools.join("lib/python3/dist-packages"))
                .env("LD_LIBRARY_PATH", libraries(&tools));
        }
        let running = Running::start(patroni, &home.join("log"));
        self.set_patroni(node, Some(running));
    }

    /// The URL of its first database on all nodes, for its superuser.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("postgres://postgres@{}/postgres?target_session_attrs=read-write", hosts.join(","))
    }

    /// Which node is the primary, if one answers as such.
    pub fn leader(&self) -> Option<usize> {
        let is_primary =
            |node: &Node| sql(node.port, "SELECT pg_is_in_recovery()").is_ok_and(|text| text.trim() == "f");
        self.nodes.iter().position(|node| node.patroni.is_some() && is_primary(node))
    }

    /// Runs statements on a node.
    pub fn sql(&self, node: usize, statements: &str) -> String {
        sql(self.node(node).port, statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    /// Makes another node the primary, in good order. Which.
    pub fn switch_over(&self) -> usize {
        let leader = self.leader().expect("it has a primary");
        let body = format!("{{\"leader\": \"{}\"}}", self.node(leader).name);
        self.eventually("take a switchover", || {
            ask(self.node(leader).rest, "POST", "/switchover", &body).starts_with("HTTP/1.0 200")
        });
        self.eventually("have another primary", || self.leader().is_some_and(|node| node != leader));
        self.leader().unwrap_or(leader)
    }

    /// Ends the primary and its Patroni as the failure of their machine would. Which; another one becomes the primary by itself.
    pub fn kill_leader(&mut self) -> usize {
        let leader = self.leader().expect("it has a primary");
        self.signal(leader, Signal::Kill);
        self.set_patroni(leader, None);
        leader
    }

    /// Waits for a primary that is not that node.
    pub fn leader_other_than(&self, node: usize) -> usize {
        self.eventually("have another primary", || self.other_leader(node).is_some());
        self.other_leader(node).unwrap_or(node)
    }

    fn other_leader(&self, node: usize) -> Option<usize> {
        let is_primary =
            |node: &Node| sql(node.port, "SELECT pg_is_in_recovery()").is_ok_and(|text| text.trim() == "f");
        (0..self.nodes.len()).find(|other| *other != node && is_primary(self.node(*other)))
    }

    /// Waits until the other nodes follow the primary, and one is synchronous where that is asked for.
    pub fn eventually_has_standbys(&self) {
        let up = self.nodes.iter().filter(|node| node.patroni.is_some()).count() - 1;
        let found = |query: &str| self.leader().and_then(|leader| sql(self.node(leader).port, query).ok());
        let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name <> 'pg_basebackup'";
        self.eventually("have standbys", || found(streaming).is_some_and(|count| count.trim() == up.to_string()));
        if self.is_synchronous {
            // Patroni promotes no other, and notes which one it is after the server has it. A standby says so only if the note is
            // this leader's.
            let is_noted = |node: &Node| ask(node.rest, "GET", "/patroni", "").contains("\"sync_standby\": true");
            let is_up = |node: &&Node| node.patroni.is_some();
            self.eventually("have a synchronous standby", || self.nodes.iter().filter(is_up).any(is_noted));
        }
    }

    /// Signals a server, all its processes and its Patroni.
    pub fn signal(&self, node: usize, signal: Signal) {
        let node = self.node(node);
        if let Some(patroni) = &node.patroni {
            patroni.signal(signal);
        }
        let data = self.directory.path().join(&node.name).join("data");
        let Ok(text) = std::fs::read_to_string(data.join("postmaster.pid")) else { return };
        let Some(postmaster) = text.lines().next().and_then(|pid| pid.parse().ok()) else { return };
        for process in with_children(postmaster) {
            if let Some(pid) = Pid::from_raw(process) {
                // It may have ended meanwhile.
                let _ = kill_process(pid, signal.native());
            }
        }
    }

    /// The end of what each Patroni has logged, and whom it holds for what.
    fn last_words(&self) -> String {
        let of = |node: &Node| {
            let log = node.patroni.as_ref().map(Running::log).unwrap_or_default();
            let lines: Vec<_> =
                log.lines().filter(|line| line.contains(" INFO: ") || line.contains(" WARNING: ")).collect();
            let end = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n");
            let cluster = ask(node.rest, "GET", "/cluster", "");
            format!("{}:\n{end}\n{}\n", node.name, cluster.lines().last().unwrap_or_default())
        };
        self.nodes.iter().map(of).collect()
    }

    fn eventually(&self, what: &str, is_so: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE * 2;
        while !is_so() {
            assert!(Instant::now() < until, "the cluster does not {what}:\n{}", self.last_words());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..self.nodes.len() {
            self.signal(node, Signal::Kill);
        }
    }
}

/// A process and the children that it has now.
fn with_children(process: i32) -> Vec<i32> {
    let parent = |pid: i32| -> Option<i32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut family: Vec<i32> = pids.filter(|pid| parent(*pid) == Some(process)).collect();
    family.insert(0, process);
    family
}

fn ask(port: u16, method: &str, path: &str, body: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
        let head = format!(
            "{method} {path} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        // Without an answer it is asked again.
        let _ = stream.write_all(format!("{head}{body}").as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    }
    answer
}
