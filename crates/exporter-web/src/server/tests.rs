//! The server against clients that behave badly. Nothing here waits for a length of time: each test waits for the
//! event, under a bound that only a failure reaches.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use http_body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Server, ServerOptions};
use crate::listener::bind;
use crate::scrape::Scraped;

/// Only a failure takes this long.
const BOUND: Duration = Duration::from_secs(30);

/// A page of metrics with so many series, and a health check.
fn routes(series: u64) -> Router {
    let page =
        (0..series).fold(String::new(), |page, n| page + &format!("languages_total{{agent_id=\"agent{n}\"}} {n}\n"));
    let page = Bytes::from(page);
    Router::new()
        .route("/metrics", get(move || std::future::ready((Extension(Scraped), page.clone()))))
        .route("/-/healthy", get(|| async { "Healthy.\n" }))
}

struct Started {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

async fn start(routes: Router, options: ServerOptions) -> Started {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(Server::new(routes).with_options(options).serve([listener], stop.clone()));
    Started { address, stop, server }
}

fn options(header_ms: u64, write_ms: u64) -> ServerOptions {
    ServerOptions {
        header_timeout: Duration::from_millis(header_ms),
        write_timeout: Duration::from_millis(write_ms),
        ..ServerOptions::default()
    }
}

/// Patient, but with few connections.
fn eight_connections() -> ServerOptions {
    ServerOptions { max_connections: 8, ..options(600_000, 600_000) }
}

async fn scrape(address: SocketAddr) -> String {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(BOUND, client.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

/// Waits until the other side has closed the connection.
async fn closed(client: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as good as any.
    let _ = timeout(BOUND, client.read_to_end(&mut rest)).await.expect("the connection stays open");
}

#[tokio::test]
async fn half_sent_requests_are_closed_and_stop_no_scrape() {
    let running = start(routes(2), options(300, 10_000)).await;
    let mut half_open = Vec::new();
    for n in 0..200 {
        let mut client = TcpStream::connect(running.address).await.unwrap();
        if n % 2 == 0 {
            client.write_all(b"GET /metrics HTTP/1.1\r\nHost:").await.unwrap();
        }
        half_open.push(client);
    }
    assert!(scrape(running.address).await.starts_with("HTTP/1.1 200 OK\r\n"));
    for client in &mut half_open {
        closed(client).await;
    }
    assert!(scrape(running.address).await.contains("agent_id=\"agent1\""));
}

#[tokio::test]
async fn a_flood_of_connections_makes_the_oldest_give_way() {
    let Started { address, server, .. } = start(routes(2), eight_connections()).await;
    let mut flood = Vec::new();
    for _ in 0..40 {
        flood.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(scrape(address).await.starts_with("HTTP/1.1 200 OK\r\n"));
    for client in &mut flood[..32] {
        closed(client).await;
    }
    server.abort();
}

/// A body that comes in pieces, as they are sent.
struct Pieces(mpsc::UnboundedReceiver<&'static str>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }
}

#[tokio::test]
async fn an_answer_of_which_a_part_was_sent_does_not_give_way() {
    let (send, pieces) = mpsc::unbounded_channel();
    let body = Arc::new(Mutex::new(Some(Body::new(Pieces(pieces)))));
    let page = move || std::future::ready(body.lock().unwrap().take().unwrap_or_default());
    let routes = Router::new().route("/", get(page));
    let Started { address, server, .. } = start(routes, eight_connections()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    send.send("first, ").unwrap();
    let mut answer = Vec::new();
    while !answer.windows(7).any(|part| part == b"first, ") {
        timeout(BOUND, client.read_buf(&mut answer)).await.unwrap().unwrap();
    }
    let mut flood = Vec::new();
    for _ in 0..40 {
        flood.push(TcpStream::connect(address).await.unwrap());
    }
    for client in &mut flood[..32] {
        closed(client).await;
    }
    send.send("last").unwrap();
    drop(send);
    timeout(BOUND, client.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("last"), "{answer}");
    server.abort();
}

#[tokio::test]
async fn a_connection_that_idles_between_requests_is_closed() {
    let running = start(routes(0), options(200, 10_000)).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(BOUND, client.read_to_end(&mut answer)).await.expect("the connection stays open").unwrap();
    assert!(answer.ends_with(b"Healthy.\n"));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_others_are_served() {
    let running = start(routes(60_000), options(10_000, 300)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut slow = socket.connect(running.address).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let whole = scrape(running.address).await;
    assert!(whole.contains("agent_id=\"agent59999\""));
    // One byte, then nothing for as long as the server keeps its side open.
    slow.read_exact(&mut [0; 1]).await.unwrap();
    running.stop.cancel();
    // The stop waits for answers under way, 4.5 s at most; the write time-out ends this one long before.
    timeout(Duration::from_secs(4), running.server).await.expect("it was not cut off").unwrap();
    let mut rest = Vec::new();
    let _ = timeout(BOUND, slow.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.len() + 1 < whole.len(), "{} of {}", rest.len() + 1, whole.len());
}

#[tokio::test]
async fn stopping_finishes_and_frees_the_port() {
    let running = start(routes(0), options(60_000, 60_000)).await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    assert!(scrape(running.address).await.starts_with("HTTP/1.1 200 OK\r\n"));
    running.stop.cancel();
    timeout(Duration::from_secs(5), running.server).await.expect("stopped in 5 s").unwrap();
    closed(&mut idle).await;
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn clients_that_connected_just_before_the_stop_are_answered() {
    let running = start(routes(2), options(60_000, 60_000)).await;
    let mut accepted = TcpStream::connect(running.address).await.unwrap();
    assert!(scrape(running.address).await.starts_with("HTTP/1.1 200 OK\r\n"));
    // Nothing else runs here before this one is connected and the server is told to stop.
    let waiting = std::net::TcpStream::connect(running.address).unwrap();
    waiting.set_nonblocking(true).unwrap();
    running.stop.cancel();
    for client in [&mut accepted, &mut TcpStream::from_std(waiting).unwrap()] {
        let answer = kept(client, "/metrics").await.expect("it was closed unanswered");
        assert!(answer.contains("connection: close\r\n") && answer.contains("agent_id=\"agent1\""), "{answer}");
        closed(client).await;
    }
    timeout(BOUND, running.server).await.expect("it does not end").unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn answer_under_way_at_the_stop_says_that_its_connection_closes() {
    let (asked, stopped) = (CancellationToken::new(), CancellationToken::new());
    let (has_asked, is_stopped) = (asked.clone(), stopped.clone());
    let slow = move || async move {
        has_asked.cancel();
        is_stopped.cancelled().await;
        "late"
    };
    let running = start(routes(2).route("/slow", get(slow)), options(60_000, 60_000)).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    let before = kept(&mut client, "/metrics").await.expect("it was closed unanswered");
    assert!(!before.contains("connection:"), "nobody has asked for it: {before}");
    let answer = tokio::spawn(async move { (kept(&mut client, "/slow").await, client) });
    timeout(BOUND, asked.cancelled()).await.unwrap();
    running.stop.cancel();
    stopped.cancel();
    let (answer, mut client) = answer.await.unwrap();
    // A client that keeps its connections would send its next request into one that nobody reads.
    let answer = answer.expect("it was closed unanswered");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("late"), "{answer}");
    closed(&mut client).await;
    timeout(BOUND, running.server).await.expect("it does not end").unwrap();
}

/// One request and its answer over a connection that stays open; none if it does not.
async fn kept(client: &mut TcpStream, path: &str) -> Option<String> {
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    loop {
        if timeout(BOUND, client.read_buf(&mut answer)).await.unwrap().ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            return Some(text.into_owned());
        }
    }
}

#[tokio::test]
async fn connection_that_scrapes_outlives_bodies_that_never_end() {
    let routes = routes(2).route("/delivery", post(|_: Bytes| async { "read" }));
    let Started { address, server, .. } = start(routes, eight_connections()).await;
    let mut scraper = TcpStream::connect(address).await.unwrap();
    assert!(kept(&mut scraper, "/metrics").await.is_some());
    for _ in 0..3 {
        let mut flood = Vec::new();
        for _ in 0..40 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"POST /delivery HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf").await.unwrap();
            flood.push(client);
        }
        for client in &mut flood[..32] {
            closed(client).await;
        }
        let page = kept(&mut scraper, "/metrics").await.expect("the connection was closed");
        assert!(page.contains("agent_id=\"agent1\""));
    }
    server.abort();
}

#[tokio::test]
async fn pipelined_requests_are_answered_up_to_a_bound() {
    let running = start(routes(2), options(600_000, 600_000)).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.write_all(&b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200)).await.unwrap();
    let mut answers = Vec::new();
    timeout(BOUND, client.read_to_end(&mut answers)).await.expect("the connection stays open").unwrap();
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 17);
    assert_eq!(answers.matches("connection: close").count(), 1);
    // Who waits for each answer may ask for ever.
    let mut client = TcpStream::connect(running.address).await.unwrap();
    for _ in 0..100 {
        assert!(kept(&mut client, "/-/healthy").await.is_some());
    }
}
