//! The disk of the database is full: deliveries are deferred, and the replicas go on by themselves when there is room.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use simulator::{Clock as _, SimulatorConfig, SystemClock};
use test_postgres::Server;

use super::{receiving, replica};
use crate::support::disk::fill;
use crate::support::{Api, Daemon, durable, free_address, until};
use crate::webhook::delivery::{Sent, session};

/// Two replicas that take deliveries, while sessions end.
struct Scene {
    api: Api,
    replicas: [Daemon; 2],
    webhooks: [SocketAddr; 2],
    /// So many lines has each replica logged before the fault.
    logged: [usize; 2],
    /// Deliveries that were answered 2xx.
    taken: usize,
}

impl Scene {
    fn begin(server: &Server, directory: &Path, sessions: u64) -> Self {
        let start = SystemClock.now().minus(Duration::from_secs(100));
        let api = Api::start(SimulatorConfig::load(start, 4.0, 400 + sessions));
        let url = format!("postgres://exporter@127.0.0.1:{}/postgres", server.port());
        let webhooks = [(); 2].map(|()| free_address());
        let start = |webhook| receiving(replica(api.address, &url, directory), webhook).start();
        let mut scene = Self { replicas: webhooks.map(start), api, webhooks, logged: [0; 2], taken: 0 };
        scene.go_on("the start");
        scene
    }

    /// Notes what was logged before a fault.
    fn mark(&mut self) {
        self.logged = self.replicas.each_ref().map(|replica| replica.log().lines().count());
    }

    /// Complaints of a replica since the fault.
    fn complaints(&self, replica: usize) -> Vec<String> {
        let log = self.replicas[replica].log();
        let lines = log.lines().skip(self.logged[replica]);
        lines.filter(|line| line.contains("level=error") || line.contains("level=warn")).map(str::to_owned).collect()
    }

    /// The delivery that was deferred before is taken, whichever replica gets it, and each page is served.
    fn go_on(&mut self, what: &str) {
        let sent = self.next();
        for webhook in self.webhooks {
            until(what, || (sent.send(webhook).status == 200).then_some(()));
        }
        self.taken += 1;
        for replica in &self.replicas {
            until(what, || (replica.try_get("/metrics")?.0 == 200).then_some(()));
            let is_well = || replica.samples_if_any().get("agntix_exporter_state_writable") == Some(&1.0);
            until("no failure to be reported any more", || is_well().then_some(()));
        }
    }

    fn next(&self) -> Sent {
        Sent::new(session("session.ended", &format!("delivered-{}", self.taken), true))
    }

    /// All sessions were counted, and those that were delivered as well, each once.
    fn ends(&self) {
        for replica in &self.replicas {
            until("all to be counted", || {
                let (delivered, others): (BTreeMap<_, _>, BTreeMap<_, _>) = durable(&replica.samples_if_any())
                    .into_iter()
                    .partition(|(name, _)| name.contains("agent_id=\"agent-1\""));
                let ended = delivered.iter().filter(|(name, _)| name.starts_with("agntix_sessions_ended_total"));
                let ended: f64 = ended.map(|(_, value)| value).sum();
                let taken = f64::from(u32::try_from(self.taken).unwrap());
                assert!(ended <= taken, "{ended} of {taken} deliveries were counted");
                (ended.total_cmp(&taken).is_eq() && others == self.api.truth()).then_some(())
            });
        }
    }
}

/// A disk of its own for the tables, which goes with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(place: &Path) -> Self {
        let disk = place.join("disk");
        std::fs::create_dir(&disk).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m,mode=0777", "none"]).arg(&disk).status();
        assert!(mount.unwrap().success());
        Self(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server may have files open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
#[ignore = "needs PostgreSQL (.ci/tools), and root, to mount a small disk"]
fn full_disk_of_the_database_defers_deliveries_until_there_is_room() {
    let (place, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The server's user must find its way to it.
    crate::doctor::set_mode(place.path(), 0o755);
    let disk = SmallDisk::mount(place.path());
    let server = Server::start();
    let tables = disk.0.join("tables");
    std::fs::create_dir(&tables).unwrap();
    test_postgres::hand_over(&tables);
    server.sql("CREATE ROLE exporter LOGIN; GRANT CREATE ON DATABASE postgres TO exporter");
    server.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", tables.display()));
    server.sql("GRANT CREATE ON TABLESPACE small TO exporter; ALTER ROLE exporter SET default_tablespace = small");
    let mut scene = Scene::begin(&server, directory.path(), 40);
    scene.mark();
    let ballast = disk.0.join("ballast");
    fill(&ballast);
    let mut refused = 0;
    // Tables have some room in the pages that they have.
    let began = Instant::now();
    while refused < 20 {
        assert!(began.elapsed() < Duration::from_secs(90), "the disk does not fill:\n{}", scene.replicas[0].log());
        let sent = Sent::new(session("session.ended", &format!("delivered-{}", scene.taken), true));
        match sent.send(scene.webhooks[scene.taken % 2]) {
            reply if reply.status == 200 => scene.taken += 1,
            reply => {
                assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")), "{reply:?}");
                refused += 1;
            }
        }
    }
    let complaints = [0, 1].map(|replica| scene.complaints(replica)).concat();
    let reasons: Vec<_> = complaints.iter().filter(|line| line.contains("has no room on its disk")).collect();
    assert!(!reasons.is_empty() && reasons.len() <= 4, "{complaints:#?}");
    std::fs::remove_file(&ballast).unwrap();
    scene.go_on("there is room again");
    scene.ends();
}
