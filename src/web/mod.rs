//! The HTTP side: the listener and its limits ([`server`]), the routes, and what they show of the daemon's life
//! ([`status`]).
//!
//! Nothing in here decides what a metric is or talks to Agntix; it sends what [`exposition`](crate::exposition) and
//! [`status`] give it.

pub mod access;
mod connections;
pub mod guards;
pub(crate) mod landing;
mod metrics;
mod reach;
mod router;
pub mod server;
pub mod systemd;
#[cfg(test)]
mod tests;
pub mod web_config;
pub mod webhook;
mod write_deadline;

use std::sync::Arc;

pub use access::Access;
pub use guards::Guards;
pub use reach::{local_client, local_url, reachable};
pub use router::{probes, router};
pub use server::{bind, serve, serve_guarded, serve_routes};
use tokio::sync::mpsc;
pub use web_config::{Security, WebConfigError};

use crate::clock::Clock;
use crate::exposition::Exposition;
use crate::lifecycle::ReloadRequest;
use crate::status::Status;

/// What the routes need of the rest of the daemon.
#[derive(Clone)]
pub struct WebState {
    /// The pages of `/metrics`.
    pub exposition: Arc<Exposition>,
    /// What the landing page and readiness say.
    pub status: Arc<Status>,
    /// Where a wish to reload goes.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// For "so long ago" on the landing page.
    pub clock: Arc<dyn Clock>,
    /// Whether the landing page came encrypted, and to whom.
    pub security: Arc<Security>,
}

/// Why there is no web server.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The address is not one, or its name is not known.
    #[error(
        "web.listen_address {address:?} cannot be used ({source}); write it as host:port, for example 0.0.0.0:9899"
    )]
    Address {
        /// As configured.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another program listens there.
    #[error(
        "{address} is taken by another program, or by another agntix-exporter; set web.listen_address to a free port"
    )]
    Taken {
        /// As configured.
        address: String,
    },
    /// The system refuses the address or port.
    #[error(
        "cannot listen on {address} ({source}); set web.listen_address to an address and port that this user may use"
    )]
    Listen {
        /// As configured.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing was handed over.
    #[error(
        "web.systemd_socket is on, but systemd has handed over no socket; start the exporter by its .socket unit, or leave the key out"
    )]
    NoSockets,
    /// Something else than a listening TCP socket was handed over.
    #[error(
        "socket {number} that systemd has handed over cannot be listened on ({source}); write ListenStream=9899 in the .socket unit"
    )]
    Socket {
        /// Counted from 0.
        number: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The route of the metrics cannot be one.
    #[error("web.telemetry_path {path:?} cannot be used: {reason}")]
    TelemetryPath {
        /// As configured.
        path: String,
        /// Why, and what would do.
        reason: &'static str,
    },
}
