//! Black-box tests: the real binary on loopback, against the simulator and against real Prometheus servers. A file a
//! promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bad_input;
mod exactly_once;
mod first_events;
mod lifecycle;
mod prometheus;
mod state;
mod support;
