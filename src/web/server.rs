//! The listener: accepts connections, bounds what each may cost, and ends them when the daemon stops.
//!
//! It drives hyper itself. `axum::serve` has no time-outs at all, and a client that is slow to read, or ten thousand
//! that never send a request, must neither stop a scrape nor stay.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{self, Connections, Place};
use super::router::router;
use super::write_deadline::WriteDeadline;
use super::{WebError, WebState};
use crate::config::WebConfig;

/// How long answers under way may take once the daemon stops; the design gives the whole stop 5 s, and the state is
/// closed after them.
const GRACE: Duration = Duration::from_secs(4);
/// How long to wait when the system has no file for a new connection.
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(50);
/// Connections that may wait to be accepted. With the usual 128, a burst of others costs a scrape the second or more
/// until its SYN is sent again.
const QUEUE: u32 = 4096;
/// Request headers are a few hundred bytes; a connection gets this much memory for them.
const HEADER_BYTES: usize = 16 * 1024;

/// Listens on `address`, a `host:port`.
///
/// # Errors
/// If it is not an address, is taken, or may not be used; the message says what to do.
pub async fn bind(address: &str) -> Result<TcpListener, WebError> {
    let listener = async {
        let mut refusal = io::Error::new(ErrorKind::InvalidInput, "the name has no address");
        for resolved in tokio::net::lookup_host(address).await? {
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
            ErrorKind::AddrInUse => WebError::Taken { address },
            ErrorKind::PermissionDenied | ErrorKind::AddrNotAvailable => WebError::Listen { address, source },
            _ => WebError::Address { address, source },
        }
    })
}

/// As `TcpListener::bind` does it, but with a longer queue.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// Serves the exporter's routes on `listener` until `shutdown`, then lets answers under way finish, for less than 5 s.
///
/// # Errors
/// If `web.telemetry_path` cannot be a route.
pub async fn serve(
    listener: TcpListener,
    state: WebState,
    config: WebConfig,
    shutdown: CancellationToken,
) -> Result<(), WebError> {
    // Where there is no such file (outside Linux) the limit is a cautious guess.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    serve_within(connections::limit(&limits), listener, state, config, shutdown).await
}

/// [`serve`], with at most `limit` connections open.
pub(super) async fn serve_within(
    limit: usize,
    listener: TcpListener,
    state: WebState,
    config: WebConfig,
    shutdown: CancellationToken,
) -> Result<(), WebError> {
    let router = router(state, &config)?;
    let server = Arc::new(Server { router, config, connections: Connections::new(limit), shutdown });
    server.run(listener).await;
    Ok(())
}

struct Server {
    router: Router,
    config: WebConfig,
    connections: Arc<Connections>,
    shutdown: CancellationToken,
}

impl Server {
    async fn run(self: Arc<Self>, listener: TcpListener) {
        let tasks = TaskTracker::new();
        let abort = CancellationToken::new();
        let mut complained = false;
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    complained = false;
                    let (server, place, abort) = (Arc::clone(&self), self.connections.admit(), abort.clone());
                    tasks.spawn(async move {
                        tokio::select! {
                            () = abort.cancelled() => {}
                            () = server.converse(stream, place) => {}
                        }
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // One line when it begins, not one for each of the attempts to come.
                    if !std::mem::replace(&mut complained, true) {
                        tracing::warn!(%error, "connections cannot be accepted; idle ones are closed to make room");
                    }
                    self.connections.relieve();
                    tokio::time::sleep(OUT_OF_FILES_PAUSE).await;
                }
            }
        }
        drop(listener);
        tasks.close();
        if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "closing connections that did not finish in time");
            abort.cancel();
            tasks.wait().await;
        }
    }

    async fn converse(&self, stream: TcpStream, place: Place) {
        // Answers are written whole; waiting to fill packets would only add delay. Failing to set it costs just that.
        let _ = stream.set_nodelay(true);
        let io = TokioIo::new(WriteDeadline::new(stream, self.config.write_timeout, Arc::clone(&place.activity)));
        let routes = TowerToHyperService::new(self.router.clone());
        let activity = Arc::clone(&place.activity);
        let service = hyper::service::service_fn(move |request| {
            let (routes, activity) = (routes.clone(), Arc::clone(&activity));
            async move {
                activity.begin();
                let response = routes.call(request).await;
                activity.answered();
                response
            }
        });
        let connection = http1::Builder::new()
            // Without a timer hyper ignores the time-out. It runs while the connection idles between requests, too.
            .timer(TokioTimer::new())
            .header_read_timeout(self.config.header_timeout)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = place.evicted.cancelled() => return,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Whether a failed accept says something of the one client only, rather than of a lack of files, which passes.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}
