//! The server: accepts connections, bounds what each may cost, and ends them when the server stops.
//!
//! It drives hyper itself, because `axum::serve` has no time-outs: clients that read slowly, or that connect and never send
//! a request, must neither delay a scrape nor stay connected.

mod body;
#[cfg(test)]
mod tests;

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

use self::body::{AnswerBody, RequestBody};
use crate::access::Access;
use crate::connections::{self, Activity, Connections, Place};
use crate::panics::survive_panics;
use crate::scrape::Scraped;
use crate::write_deadline::WriteDeadline;

/// How long to wait when the process has no file descriptor left for a new connection.
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(50);
/// How long a client that has connected just before the server stops may take to ask: whoever chose this server, such as a load
/// balancer, could not know it.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// Request headers are a few hundred bytes; a connection gets this much memory for them.
const HEADER_BYTES: usize = 16 * 1024;

/// Limits of a server. The defaults suit an exporter that a few Prometheus servers scrape.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// How long a client may take for the TLS handshake, to send its request headers, and to sit idle between two requests.
    /// Default: 10 s.
    pub header_timeout: Duration,
    /// How long a client may take to read an answer before it is disconnected. Default: 60 s.
    pub write_timeout: Duration,
    /// How long answers under way may take once the server stops; then their connections are closed. Default: 4 s.
    pub stop_timeout: Duration,
    /// How many connections may be open at once, over all listeners. One more closes the least useful of them: an idle one
    /// first, one that scrapes regularly last. Default: half of the open files that the system allows this process beyond
    /// 128, but at least 16 and at most 4096.
    pub max_connections: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        #[cfg(unix)]
        let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        // There is no such limit.
        #[cfg(not(unix))]
        let open_files = None;
        Self {
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(4),
            max_connections: connections::limit(open_files),
        }
    }
}

/// Serves an axum router over HTTP/1.1, with TLS if the web configuration file says so.
pub struct Server {
    router: Router,
    access: Access,
    options: ServerOptions,
}

impl Server {
    /// A server of `router`, open to everybody over plain HTTP, with the default limits. A panic in a handler is answered 500
    /// and logged.
    pub fn new(router: Router) -> Self {
        let router = router.layer(middleware::from_fn(survive_panics));
        Self { router, access: Access::open(), options: ServerOptions::default() }
    }

    /// Lets in only those whom `access` lets in, and uses TLS if it says so.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_options(mut self, options: ServerOptions) -> Self {
        self.options = options;
        self
    }

    /// Serves on all of `listeners` until `shutdown` is cancelled, then accepts no more connections than those that are open
    /// already, answers the requests of clients that have just connected, and gives the answers under way
    /// [`ServerOptions::stop_timeout`] to finish.
    ///
    /// # Panics
    /// If one of the server's own tasks panics, which is a defect of this crate.
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
                // The caller must learn of it: nobody listens any more.
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
        let mut is_reported = false;
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    is_reported = false;
                    Arc::clone(&self).spawn(stream, peer.ip(), (&tasks, &abort));
                    // An evicted connection holds its file descriptor until its task has ended.
                    tokio::select! {
                        () = self.shutdown.cancelled() => break,
                        () = self.connections.evictions_done() => {}
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // One line when it begins, not one for each of the attempts to come.
                    if !std::mem::replace(&mut is_reported, true) {
                        tracing::warn!(%error, "connections cannot be accepted; idle ones are closed to make room");
                    }
                    self.connections.evict_one();
                    tokio::time::sleep(OUT_OF_FILES_PAUSE).await;
                }
            }
        }
        // For their clients these are open: the system has accepted them.
        for (stream, peer) in waiting(listener) {
            Arc::clone(&self).spawn(stream, peer, (&tasks, &abort));
        }
        tasks.close();
        if tokio::time::timeout(self.options.stop_timeout, tasks.wait()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "closing connections that did not finish in time");
            abort.cancel();
            tasks.wait().await;
        }
    }

    fn spawn(self: Arc<Self>, stream: TcpStream, peer: IpAddr, (tasks, abort): (&TaskTracker, &CancellationToken)) {
        let (place, abort) = (self.connections.admit(), abort.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = abort.cancelled() => {}
                () = self.serve_connection(stream, peer, place) => {}
            }
        });
    }

    /// Comes back when the server stops and a client that has not asked for anything yet is not waited for any more.
    async fn stopped(&self, activity: &Activity) {
        self.shutdown.cancelled().await;
        if activity.is_new() {
            tokio::time::sleep(FIRST_REQUEST).await;
        }
    }

    async fn serve_connection(&self, stream: TcpStream, peer: IpAddr, place: Place) {
        // Answers are written whole; waiting to fill packets would only add delay. Failing to set it costs just that.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.access.file().tls() else { return self.serve_http(stream, peer, place).await };
        let handshake = tokio::time::timeout(self.options.header_timeout, handshake(stream, tls));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = place.evicted.cancelled() => return,
            () = self.stopped(&place.activity) => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.serve_http(stream, peer, place).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    async fn serve_http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: IpAddr,
        place: Place,
    ) {
        let io = TokioIo::new(WriteDeadline::new(stream, self.options.write_timeout, Arc::clone(&place.activity)));
        let routes = TowerToHyperService::new(self.router.clone());
        let activity = Arc::clone(&place.activity);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (routes, activity) = (routes.clone(), Arc::clone(&activity));
            async move {
                let begun = activity.begin(request.body().is_end_stream());
                let mut request = request.map(|body| RequestBody::new(body, Arc::clone(&activity)));
                request.extensions_mut().insert(begun.origin);
                let mut response = match self.access.refuse(&request, peer).await {
                    Some(refusal) => refusal,
                    None => match routes.call(request).await {
                        Ok(response) => response,
                        Err(never) => match never {},
                    },
                };
                self.access.add_headers(&mut response);
                if response.extensions().get::<Scraped>().is_some() {
                    activity.scraped(Instant::now());
                }
                if begun.is_last || self.shutdown.is_cancelled() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| AnswerBody::new(body, activity)))
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
            () = self.stopped(&place.activity) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// The connections that wait to be accepted. The listener is closed afterwards.
fn waiting(listener: TcpListener) -> impl Iterator<Item = (TcpStream, IpAddr)> {
    // What the runtime knows of the listener is as old as its last look; the system is asked itself.
    let listener = listener.into_std().ok();
    std::iter::from_fn(move || {
        let (stream, peer) = listener.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer.ip()))
    })
}

/// Makes an encrypted stream. A client that speaks plain HTTP gets an answer in plain HTTP that says so, as from Go's
/// servers.
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

/// Whether accepting failed because of the one client. Otherwise the process has no file descriptor left, for a while.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}
