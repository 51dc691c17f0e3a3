//! What systemd hears of the daemon (`Type=notify`): the test holds the socket that systemd would.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use simulator::{Clock as _, SimulatorConfig, SystemClock};

use crate::support::{Api, PATIENCE, Setup};

/// Stands for systemd.
struct Supervisor {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Supervisor {
    fn new(place: &Path) -> Self {
        let path = place.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path }
    }

    fn message(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("no message came");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// Waits for a message of which one line is, or begins with, this; what came before it is passed over.
    fn hears(&self, expected: &str) -> String {
        let began = Instant::now();
        let mut passed = String::new();
        while began.elapsed() < PATIENCE {
            let message = self.message();
            if message.lines().any(|line| line.starts_with(expected)) {
                return message;
            }
            passed.push_str(&message);
        }
        panic!("no {expected} in {passed}");
    }
}

#[test]
fn systemd_hears_that_it_listens_works_reloads_and_stops() {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let (api, place) = (Api::start(SimulatorConfig::load(start, 10.0, 50)), tempfile::tempdir().unwrap());
    let supervisor = Supervisor::new(place.path());
    let file = place.path().join("exporter.toml");
    std::fs::write(&file, "").unwrap();
    let mut daemon = Setup::new(api.address, &place.path().join("state"))
        .argument(&format!("--config.file={}", file.display()))
        .env("NOTIFY_SOCKET", &supervisor.path.display().to_string())
        .env("WATCHDOG_USEC", "400000")
        .start();

    let first = supervisor.message();
    assert!(first.starts_with("READY=1\nSTATUS="), "{first}");
    assert_eq!(daemon.get("/-/healthy").0, 200);
    supervisor.hears("STATUS=All is well: ");
    for _ in 0..5 {
        supervisor.hears("WATCHDOG=1");
    }

    // A good file, and one that is refused: a reload is over either way.
    for (text, is_good) in [("", true), ("[sessions\n", false)] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(daemon.post("/-/reload").0 == 200, is_good);
        let message = supervisor.hears("RELOADING=1");
        let time = message.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("no time");
        assert!(time.parse::<u64>().unwrap() > 0);
        assert_eq!(supervisor.hears("READY=1"), "READY=1\n");
    }

    daemon.signal("TERM");
    supervisor.hears("STOPPING=1");
    assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
}

#[test]
fn it_runs_where_the_socket_of_systemd_is_gone_and_says_so_once() {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let (api, place) = (Api::start(SimulatorConfig::load(start, 10.0, 50)), tempfile::tempdir().unwrap());
    let mut daemon = Setup::new(api.address, &place.path().join("state"))
        .env("NOTIFY_SOCKET", &place.path().join("gone").display().to_string())
        .env("WATCHDOG_USEC", "10000")
        .start();
    daemon.shows(&api.truth());
    daemon.stops_on("TERM");
    assert_eq!(daemon.lines_with("NOTIFY_SOCKET"), 1, "{}", daemon.log());
}
