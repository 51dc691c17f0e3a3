//! The listener: accepts connections, bounds what each may cost, and ends them when the daemon stops.
//!
//! It drives hyper itself. `axum::serve` has no time-outs at all, and a client that is slow to read, or ten thousand
//! that never send a request, must neither stop a scrape nor stay.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Access;
use super::connections::{self, Activity, Connections, Place};
use super::metrics::Scraped;
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

/// Listens on `address`, a `host:port`; without a host, on every address of this machine.
///
/// # Errors
/// If it is not an address, is taken, or may not be used; the message says what to do.
pub async fn bind(address: &str) -> Result<TcpListener, WebError> {
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
            ErrorKind::AddrInUse => WebError::Taken { address },
            ErrorKind::PermissionDenied | ErrorKind::AddrNotAvailable => WebError::Listen { address, source },
            _ => WebError::Address { address, source },
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
    let routes = router(state, &config)?;
    serve_routes(listener, routes, config, shutdown).await;
    Ok(())
}

/// Serves any routes as [`serve`] does the exporter's: with the same time-outs and the same bound on connections.
pub async fn serve_routes(listener: TcpListener, routes: Router, config: WebConfig, shutdown: CancellationToken) {
    serve_guarded(vec![listener], routes, Access::open(), config, shutdown).await;
}

/// Serves routes on several listeners, which share the bound on connections, to those whom `access` lets in.
pub async fn serve_guarded(
    listeners: Vec<TcpListener>,
    routes: Router,
    access: Access,
    config: WebConfig,
    shutdown: CancellationToken,
) {
    // Where there is no such file (outside Linux) the limit is a cautious guess.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let connections = Connections::new(connections::limit(&limits));
    let server = Arc::new(Server { router: routes, access, config, connections, shutdown });
    let mut running = JoinSet::new();
    for listener in listeners {
        running.spawn(Arc::clone(&server).run(listener));
    }
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            // Whoever waits for this task is to know.
            std::panic::resume_unwind(panic);
        }
    }
}

/// [`serve`], with at most `limit` connections open.
#[cfg(test)]
pub(super) async fn serve_within(
    limit: usize,
    listener: TcpListener,
    state: WebState,
    config: WebConfig,
    shutdown: CancellationToken,
) -> Result<(), WebError> {
    serve_guarded_within(limit, listener, router(state, &config)?, Access::open(), config, shutdown).await;
    Ok(())
}

/// [`serve_guarded`], with at most `limit` connections open.
#[cfg(test)]
pub(super) async fn serve_guarded_within(
    limit: usize,
    listener: TcpListener,
    router: Router,
    access: Access,
    config: WebConfig,
    shutdown: CancellationToken,
) {
    let server = Server { router, access, config, connections: Connections::new(limit), shutdown };
    Arc::new(server).run(listener).await;
}

struct Server {
    router: Router,
    access: Access,
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
                Ok((stream, peer)) => {
                    complained = false;
                    let (server, place, abort) = (Arc::clone(&self), self.connections.admit(), abort.clone());
                    tasks.spawn(async move {
                        tokio::select! {
                            () = abort.cancelled() => {}
                            () = server.converse(stream, peer.ip(), place) => {}
                        }
                    });
                    // Whoever has to give way holds a file until it has.
                    tokio::select! {
                        () = self.shutdown.cancelled() => break,
                        () = self.connections.settled() => {}
                    }
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

    async fn converse(&self, stream: TcpStream, peer: IpAddr, place: Place) {
        // Answers are written whole; waiting to fill packets would only add delay. Failing to set it costs just that.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.access.security().tls() else { return self.answer(stream, peer, place).await };
        let handshake = tokio::time::timeout(self.config.header_timeout, handshake(stream, tls));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = place.evicted.cancelled() => return,
            () = self.shutdown.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.answer(stream, peer, place).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    async fn answer(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: IpAddr, place: Place) {
        let io = TokioIo::new(WriteDeadline::new(stream, self.config.write_timeout, Arc::clone(&place.activity)));
        let routes = TowerToHyperService::new(self.router.clone());
        let activity = Arc::clone(&place.activity);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (routes, activity) = (routes.clone(), Arc::clone(&activity));
            async move {
                let begun = activity.begin(request.body().is_end_stream());
                let mut request = request.map(|body| Arriving { body, activity: Arc::clone(&activity) });
                request.extensions_mut().insert(begun.origin);
                let mut response = match self.access.refuse(&request, peer).await {
                    Some(refusal) => refusal,
                    None => match routes.call(request).await {
                        Ok(response) => response,
                        Err(never) => match never {},
                    },
                };
                self.access.complete(&mut response);
                if response.extensions().get::<Scraped>().is_some() {
                    activity.scraped(Instant::now());
                }
                if begun.is_last {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| Answer::new(body, activity)))
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

/// The body of a request, which says when the last of it has arrived.
struct Arriving {
    body: Incoming,
    activity: Arc<Activity>,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.activity.received();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, which says when the last of it is handed on. A long one is sent piece by piece, and its connection is
/// not idle between two of them.
struct Answer {
    body: Body,
    activity: Arc<Activity>,
}

impl Answer {
    fn new(body: Body, activity: Arc<Activity>) -> Self {
        if body.is_end_stream() {
            activity.answered();
        }
        Self { body, activity }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if self.body.is_end_stream() {
            self.activity.answered();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    /// Of a body whose end is not known before nothing more comes, and of one that is not sent, as that of HEAD.
    fn drop(&mut self) {
        self.activity.answered();
    }
}

/// The encrypted stream. A client that does not speak TLS is told so in plain HTTP, as Go's servers do it.
async fn handshake(mut stream: TcpStream, tls: Arc<ServerConfig>) -> io::Result<TlsStream<TcpStream>> {
    // A handshake begins with the byte 22, a request with the name of its method.
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first.iter().all(u8::is_ascii_uppercase) {
        const ANSWER: &[u8] = b"HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n\
            This port speaks HTTPS; write https:// in the address, or scheme: https in the scrape configuration.\n";
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        // What the client has sent is read, or the system would cut the answer short with a reset.
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        return Err(io::Error::new(ErrorKind::InvalidData, "the client does not speak TLS"));
    }
    TlsAcceptor::from(tls).accept(stream).await
}

/// Whether a failed accept says something of the one client only, rather than of a lack of files, which passes.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}
