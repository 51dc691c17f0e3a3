//! The disk of the database is full: deliveries are deferred, and the replicas go on by themselves when there is room.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use test_postgres::Server;

use super::scene::Scene;
use crate::support::disk::fill;

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
        match scene.next().send(scene.webhooks[scene.taken % 2]) {
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
