//! The routes: the metrics, the landing page, health, reload and the webhook, and what guards their listeners. Listeners,
//! TLS, users and limits are [`exporter_web`]'s.
//!
//! Nothing in here decides what a metric is or talks to Agntix; it sends what [`exposition`] and
//! [`status`](crate::status) give it.

pub mod guards;
pub(crate) mod landing;
mod metrics;
mod reach;
mod router;
#[cfg(test)]
mod tests;
pub mod webhook;

use std::sync::Arc;

use exporter_web::{ListenError, ServerOptions, WebConfigFile};
pub use guards::Guards;
pub use reach::{local_client, local_url, reachable};
pub use router::{probes, router};
use tokio::sync::mpsc;

use crate::catalogue::Exposition;
use crate::clock::Clock;
use crate::config::WebConfig;
use crate::lifecycle::ReloadRequest;
use crate::status::Status;

/// What the routes need of the rest of the daemon.
#[derive(Clone)]
pub struct WebState {
    /// The pages of `/metrics`.
    pub exposition: Arc<Exposition>,
    /// What the landing page and readiness say.
    pub status: Arc<Status>,
    /// Where requests to reload go.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// For "so long ago" on the landing page.
    pub clock: Arc<dyn Clock>,
    /// The listener's web configuration file, for what the landing page says of encryption and users.
    pub security: Arc<WebConfigFile>,
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

impl From<ListenError> for WebError {
    /// Says which key of the configuration is to be changed.
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::Address { address, source } => Self::Address { address, source },
            ListenError::Taken { address } => Self::Taken { address },
            ListenError::Refused { address, source } => Self::Listen { address, source },
            ListenError::NoSockets => Self::NoSockets,
            ListenError::Socket { number, source } => Self::Socket { number, source },
        }
    }
}

/// What `[web]` says of the time that clients have.
pub fn server_options(config: &WebConfig) -> ServerOptions {
    ServerOptions {
        header_timeout: config.header_timeout,
        write_timeout: config.write_timeout,
        ..ServerOptions::default()
    }
}
