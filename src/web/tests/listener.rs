//! The server of `exporter-web` with the exporter's own routes and configuration keys. Clients that behave badly are tested
//! there.

use std::time::Duration;

use axum::routing::post;
use bytes::Bytes;
use exporter_web::{Server, ServerOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::web_state;
use crate::config::WebConfig;
use crate::web::{WebError, router};

/// Only a failure takes this long.
const BOUND: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_listener_that_cannot_be_had_is_one_clear_sentence() {
    let bind = async |address: &str| exporter_web::bind(address).await.map_err(WebError::from);
    let first = bind("127.0.0.1:0").await.unwrap();
    let address = first.local_addr().unwrap().to_string();
    let taken = bind(&address).await.unwrap_err();
    assert!(matches!(taken, WebError::Taken { .. }));
    assert!(taken.to_string().contains(&address) && taken.to_string().contains("web.listen_address"));
    let nonsense = bind("nonsense").await.unwrap_err();
    assert!(matches!(nonsense, WebError::Address { .. }), "{nonsense}");
}

/// Waits until the other side has closed the connection.
async fn closed(client: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as good as any.
    let _ = timeout(BOUND, client.read_to_end(&mut rest)).await.expect("the connection stays open");
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

/// The route of the metrics marks its page, so that the server knows which connection scrapes.
#[tokio::test]
async fn connection_that_scrapes_outlives_bodies_that_never_end() {
    let listener = exporter_web::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = router(web_state(2).0, &WebConfig::default()).unwrap();
    let routes = routes.route("/delivery", post(|_: Bytes| async { "read" }));
    let patience = Duration::from_secs(600);
    let options = ServerOptions {
        header_timeout: patience,
        write_timeout: patience,
        max_connections: 8,
        ..ServerOptions::default()
    };
    let server = Server::new(routes).with_options(options).serve([listener], CancellationToken::new());
    let server = tokio::spawn(server);
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
