//! The exporter from outside: real sockets, real Prometheus servers. One binary, so that it links once; a file a
//! subject; what they share is in `support`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy.toml allows them in tests, and clippy does not see that this is one"
)]

mod prometheus;
mod support;
