//! Sockets that systemd has opened for us: a port below 1024 without privileges, and no refused connection during a restart.

use std::net::TcpListener;

use listenfd::ListenFd;

use super::WebError;

/// The sockets that were handed over. Can be had once, before the process has other threads, since it changes the
/// environment: what is handed over is not for our children.
///
/// # Errors
/// If there are none, or if one is not of TCP.
pub fn take_sockets() -> Result<Vec<TcpListener>, WebError> {
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for number in 0..handed.len() {
        let socket = handed.take_tcp_listener(number).map_err(|source| WebError::Socket { number, source })?;
        if let Some(socket) = socket {
            socket.set_nonblocking(true).map_err(|source| WebError::Socket { number, source })?;
            sockets.push(socket);
        }
    }
    if sockets.is_empty() { Err(WebError::NoSockets) } else { Ok(sockets) }
}
