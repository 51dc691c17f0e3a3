//! The real binary against the simulator, both on loopback, and pages as numbers.

pub mod alertmanager;
mod api;
pub mod certificates;
mod daemon;
pub mod disk;
pub mod faketime;
mod http;
pub mod https;
pub mod ledger;
pub mod page;
pub mod prometheus;
pub mod promtool;
pub mod receiver;
pub mod risen;
mod samples;
mod setup;
pub mod tool;
pub mod wait;

use std::net::SocketAddr;

pub use self::api::{Api, NOON, standing_at_noon};
pub use self::daemon::{Daemon, Scrape, signal};
pub use self::http::{Reply, ask, request};
pub use self::samples::{check_names, durable, is_durable, label, number, samples, total};
pub use self::setup::Setup;
pub use self::wait::{PATIENCE, until};

/// What signs deliveries where any secret will do.
pub const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// An address that nobody listens on: its port was free a moment ago, and it is a loopback address that only this process uses.
pub fn free_address() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let address = std::net::Ipv4Addr::new(127, 64 | high, middle, low);
    std::net::TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

/// Lets this process, and the daemons that it starts, open so many files: the usual limit is 1,024.
pub fn allow_files(count: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return;
    }
    let enough = limit.maximum.is_none_or(|maximum| maximum >= count);
    assert!(enough, "this test needs {count} open files, more than the system allows ({:?})", limit.maximum);
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limit }).unwrap();
}
