//! Disks that do not do as they should.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::{Daemon, Setup};

/// Writes until the disk takes not one byte more.
pub fn fill(ballast: &Path) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(ballast).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0x55; size]).is_ok() {}
    }
}

/// Syncs that fail in a daemon, by way of libfiu, from when that is wanted until it is not.
pub struct FailingSyncs {
    fifo: String,
}

impl FailingSyncs {
    /// `place` is a directory for what controls it.
    pub fn new(place: &Path) -> Self {
        let program = "/usr/bin/fiu-run";
        assert!(Path::new(program).exists(), "this test needs {program}: install the Debian package fiu-utils");
        Self { fifo: place.join("fiu").display().to_string() }
    }

    /// Makes it possible for a daemon.
    pub fn possible_in(&self, setup: Setup) -> Setup {
        setup.through(&["/usr/bin/fiu-run", "-x", "-f", &self.fifo])
    }

    /// From now on so many fail, with EIO.
    pub fn begin(&self, daemon: &Daemon, probability: f64) {
        let what = format!("enable_random name=posix/io/sync/*,probability={probability},failinfo=5");
        self.control(daemon, &what);
    }

    /// The disk is well again.
    pub fn end(&self, daemon: &Daemon) {
        self.control(daemon, "disable name=posix/io/sync/*");
    }

    fn control(&self, daemon: &Daemon, command: &str) {
        let daemon = daemon.id().to_string();
        let status = Command::new("fiu-ctrl").args(["-f", &self.fifo, "-c", command, &daemon]).status();
        assert!(status.unwrap().success(), "fiu-ctrl {command}");
    }
}
