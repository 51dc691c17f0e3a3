//! Where connections come from: addresses to listen on, and sockets that systemd has opened.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted. With the usual 128, a burst of others costs a scrape the second or more
/// until its SYN is sent again.
const QUEUE: u32 = 4096;

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is not one, or its name is not known.
    #[error("{address:?} is not an address to listen on ({source}); write it as host:port")]
    Address {
        /// As it was given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another program listens there.
    #[error("{address} is taken by another program; choose a free port")]
    Taken {
        /// As it was given.
        address: String,
    },
    /// The system refuses the address or port.
    #[error("cannot listen on {address} ({source}); choose an address and port that this user may use")]
    Refused {
        /// As it was given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// No socket was handed over.
    #[error("systemd has handed over no socket; start the exporter by its .socket unit")]
    NoSockets,
    /// Something else than a listening TCP socket was handed over.
    #[error(
        "socket {number} that systemd has handed over cannot be listened on ({source}); write ListenStream= and a port in the .socket unit"
    )]
    Socket {
        /// Counted from 0.
        number: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens on `address`, a `host:port`; without a host, on every address of this machine.
///
/// # Errors
/// If it is not an address, is taken, or may not be used; the message says what to do.
pub async fn bind(address: &str) -> Result<TcpListener, ListenError> {
    let listener = async {
        let mut refusal = io::Error::new(ErrorKind::InvalidInput, "the name has no address");
        for resolved in resolve(address).await? {
            match listen(resolved) {
                Ok(listener) => return Ok(listener),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    };
    listener.await.map_err(|source| {
        let address = address.to_owned();
        match source.kind() {
            ErrorKind::AddrInUse => ListenError::Taken { address },
            ErrorKind::PermissionDenied | ErrorKind::AddrNotAvailable => ListenError::Refused { address, source },
            _ => ListenError::Address { address, source },
        }
    })
}

async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    // As in Go: IPv6 and IPv4 by one socket, or IPv4 alone where there is no IPv6.
    if let Some(port) = address.strip_prefix(':').and_then(|port| port.parse().ok()) {
        return Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]);
    }
    Ok(tokio::net::lookup_host(address).await?.collect())
}

/// As `TcpListener::bind` does it, but with a longer queue.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Whatever net.ipv6.bindv6only says: "every address" is that of IPv4, too.
    #[cfg(unix)]
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// The sockets that systemd has opened for this process: a port below 1024 without privileges, and no refused connection
/// during a restart.
///
/// They can be taken once, and before the process has other threads, because that changes the environment: the sockets are
/// not for child processes. [`adopt`] makes listeners of them when there is a runtime.
///
/// # Errors
/// If there are none, or if one is not a listening TCP socket.
pub fn take_systemd_sockets() -> Result<Vec<std::net::TcpListener>, ListenError> {
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for number in 0..handed.len() {
        let socket = handed.take_tcp_listener(number).map_err(|source| ListenError::Socket { number, source })?;
        if let Some(socket) = socket {
            socket.set_nonblocking(true).map_err(|source| ListenError::Socket { number, source })?;
            sockets.push(socket);
        }
    }
    if sockets.is_empty() { Err(ListenError::NoSockets) } else { Ok(sockets) }
}

/// Listeners of sockets that are open already. Must be called in a tokio runtime.
///
/// # Errors
/// If the runtime cannot watch one of them.
pub fn adopt(sockets: Vec<std::net::TcpListener>) -> Result<Vec<TcpListener>, ListenError> {
    let adopted = sockets
        .into_iter()
        .enumerate()
        .map(|(number, socket)| TcpListener::from_std(socket).map_err(|source| ListenError::Socket { number, source }));
    adopted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_that_cannot_be_had_is_one_clear_sentence() {
        let first = bind("127.0.0.1:0").await.unwrap();
        let address = first.local_addr().unwrap().to_string();
        let taken = bind(&address).await.unwrap_err();
        assert!(matches!(taken, ListenError::Taken { .. }));
        assert!(taken.to_string().contains(&address) && taken.to_string().contains("free port"));
        let nonsense = bind("nonsense").await.unwrap_err();
        assert!(matches!(nonsense, ListenError::Address { .. }), "{nonsense}");
    }
}
