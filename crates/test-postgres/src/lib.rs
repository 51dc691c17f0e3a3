//! Throw-away PostgreSQL servers on loopback, for tests: a primary, a standby of it, and `PgBouncer` before it. All of them end
//! with the value that started them, and leave nothing behind.
//!
//! The programs are those that `.ci/tools` fetches, or those that `POSTGRES` and `PGBOUNCER` name. Nothing here knows what is
//! stored.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "used by tests only"
)]

mod bouncer;
mod cluster;
mod port;
mod process;
mod server;
mod shared;
mod tls;

pub use bouncer::Bouncer;
pub use cluster::Cluster;
pub use port::free_port;
pub use process::{Signal, command, hand_over, programs};
pub use server::{Server, Setup};
pub use shared::shared;
