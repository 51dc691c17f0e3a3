//! The listener: accepts connections, bounds what each may cost, and ends them when the daemon stops.
//!
//! It drives hyper itself. `axum::serve` has no time-outs at all, and a client that is slow to read, or ten thousand
//! that never send a request, must neither stop a scrape nor stay.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request};
use axum::{Router, middleware};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::body::{Answer, Arriving};
use crate::connections::{self, Connections, Place};
use crate::panics::survive_panics;
use crate::scrape::Scraped;
use crate::write_deadline::WriteDeadline;

/// How long to wait when the system has no file for a new connection.
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(50);
/// Request headers are a few hundred bytes; a connection gets this much memory for them.
const HEADER_BYTES: usize = 16 * 1024;

/// What a server allows each client, and itself when it stops.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// How long a client may take to send its request headers or to shake hands, and to sit idle between requests; 10 s.
    pub header_timeout: Duration,
    /// How long a client may take to read an answer before it is disconnected; 60 s.
    pub write_timeout: Duration,
    /// How long answers under way may take once the server stops; 4 s.
    pub stop_timeout: Duration,
    /// Connections that may be open at once, over all listeners; another one closes that which is of least use. By default
    /// it follows the limit of open files, from 16 to 4096.
    pub max_connections: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        // Where there is no such file (outside Linux) the limit is a cautious guess.
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Self {
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(4),
            max_connections: connections::limit(&limits),
        }
    }
}

/// Serves routes.
pub struct Server {
    router: Router,
    access: Access,
    options: ServerOptions,
}

impl Server {
    /// Serves `router` to everybody over plain HTTP. A panic in one of its handlers costs one request.
    pub fn new(router: Router) -> Self {
        let router = router.layer(middleware::from_fn(survive_panics));
        Self { router, access: Access::open(), options: ServerOptions::default() }
    }

    /// Serves only those whom `access` lets in.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Bounds what clients may cost in another way than by default.
    #[must_use]
    pub fn with_options(mut self, options: ServerOptions) -> Self {
        self.options = options;
        self
    }

    /// Serves on all of `listeners` until `shutdown`, then lets answers under way finish for
    /// [`ServerOptions::stop_timeout`].
    ///
    /// # Panics
    /// If a task of the server does, which is a defect of it: panics of handlers are answered.
    pub async fn serve(self, listeners: impl IntoIterator<Item = TcpListener>, shutdown: CancellationToken) {
        let connections = Connections::new(self.options.max_connections);
        let Self { router, access, options } = self;
        let running = Arc::new(Running { router, access, options, connections, shutdown });
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(Arc::clone(&running).accept(listener));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                // Whoever waits for this task is to know.
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// What the connections of a server share.
struct Running {
    router: Router,
    access: Access,
    options: ServerOptions,
    connections: Arc<Connections>,
    shutdown: CancellationToken,
}

impl Running {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
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
        if tokio::time::timeout(self.options.stop_timeout, tasks.wait()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "closing connections that did not finish in time");
            abort.cancel();
            tasks.wait().await;
        }
    }

    async fn converse(&self, stream: TcpStream, peer: IpAddr, place: Place) {
        // Answers are written whole; waiting to fill packets would only add delay. Failing to set it costs just that.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.access.file().tls() else { return self.answer(stream, peer, place).await };
        let handshake = tokio::time::timeout(self.options.header_timeout, handshake(stream, tls));
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
        let io = TokioIo::new(WriteDeadline::new(stream, self.options.write_timeout, Arc::clone(&place.activity)));
        let routes = TowerToHyperService::new(self.router.clone());
        let activity = Arc::clone(&place.activity);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (routes, activity) = (routes.clone(), Arc::clone(&activity));
            async move {
                let begun = activity.begin(request.body().is_end_stream());
                let mut request = request.map(|body| Arriving::new(body, Arc::clone(&activity)));
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
            .header_read_timeout(self.options.header_timeout)
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

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
