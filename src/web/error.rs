//! Why the exporter cannot serve: the errors of [`exporter_web`], in the words of the configuration.

use exporter_web::ListenError;

/// Why the exporter cannot serve. The message names the key of the configuration and what to do.
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
