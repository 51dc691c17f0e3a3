//! The same over a real connection: what only shows on the wire.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;

/// Sends one request and returns everything that comes back until the connection ends.
async fn exchange(address: SocketAddr, request: String) -> String {
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut received = Vec::new();
        // A reset is one of the ways in which a connection ends.
        let _ = stream.read_to_end(&mut received);
        String::from_utf8_lossy(&received).into_owned()
    })
    .await
    .unwrap()
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {DEFAULT_KEY}\r\nconnection: close\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn split(answer: &str) -> (&str, &str) {
    answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"))
}

async fn running() -> (Arc<Simulator>, SocketAddr, CancellationToken, tokio::task::JoinHandle<std::io::Result<()>>) {
    let (simulator, _) = frozen(|_| {});
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(Arc::clone(&simulator).serve(listener, shutdown.clone()));
    (simulator, address, shutdown, serving)
}

#[tokio::test]
async fn the_routes_answer_and_are_logged_and_the_server_stops() {
    let (simulator, address, shutdown, serving) = running().await;
    let id = simulator.sessions(simulator.config().start, simulator.now())[0].id.clone();
    let answer = exchange(address, request(&format!("/api/v1/chat/sessions/{id}"))).await;
    let (head, body) = split(&answer);
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert_eq!(head.matches("date: Wed, 08 Apr 2026 06:00:00 GMT").count(), 1, "{head}");
    assert!(head.contains("x-ratelimit-remaining: "), "{head}");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["id"], id);
    for (path, status) in [
        (format!("/api/v1/chat/sessions/{id}/messages"), 200),
        ("/api/v1/chat/sessions?limit=3&createdAfter=2026-04-08T05%3A10%3A00Z".into(), 200),
        ("/v1/chat/agents".into(), 200),
        (format!("/v1/chat/call-campaigns/{}", simulator.campaign_id(&simulator.config().agents[0].id)), 200),
        ("/v1/chat/nothing".into(), 404),
        ("/api/v1/chat/sessions/a%2Fb".into(), 404),
    ] {
        let answer = exchange(address, request(&path)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
    let bearer = format!(
        "GET /v1/chat/agents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {DEFAULT_KEY}\r\nconnection: close\r\n\r\n"
    );
    assert!(exchange(address, bearer).await.starts_with("HTTP/1.1 200"));

    let log = exchange(address, request("/simulator/requests")).await;
    let lines: Vec<Value> = split(&log).1.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let routes: Vec<&str> = lines.iter().map(|line| line["route"].as_str().unwrap()).collect();
    assert_eq!(routes, ["session", "messages", "list", "agents", "campaign", "other", "session", "agents"]);
    assert!(lines.iter().all(|line| line["authenticated"] == true));
    assert_eq!(lines[2]["path"], "/api/v1/chat/sessions?limit=3&createdAfter=2026-04-08T05%3A10%3A00Z");

    shutdown.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn faults_can_be_switched_over_http_and_break_the_connection() {
    let (simulator, address, _shutdown, _serving) = running().await;
    let whole = exchange(address, request("/v1/chat/agents")).await;
    let fault = |kind: &str| format!(r#"{{"rules":[{{"route":"agents","share":1,"kind":{kind}}}]}}"#);
    let switched = exchange(address, post("/simulator/faults", &fault(r#""truncate""#))).await;
    assert!(switched.starts_with("HTTP/1.1 200"), "{switched}");
    let answer = exchange(address, request("/v1/chat/agents")).await;
    let (_, whole_body) = split(&whole);
    let (head, body) = split(&answer);
    assert!(head.contains(&format!("content-length: {}", whole_body.len())), "{head}");
    assert!(!body.is_empty() && body.len() < whole_body.len() && whole_body.starts_with(body));

    exchange(address, post("/simulator/faults", &fault(r#""drop""#))).await;
    assert_eq!(exchange(address, request("/v1/chat/agents")).await, "");
    assert_eq!(simulator.requests().last().map(|record| record.status), Some(0));

    exchange(address, post("/simulator/faults", &fault(r#"{"status":503}"#))).await;
    assert!(exchange(address, request("/v1/chat/agents")).await.starts_with("HTTP/1.1 503"));
    for nonsense in ["", r#"{"rulez":[]}"#, &fault(r#"{"status":42}"#)] {
        let answer = exchange(address, post("/simulator/faults", nonsense)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert_eq!(simulator.faults().rules[0].kind, FaultKind::Status(503), "nonsense changes nothing");
    exchange(address, post("/simulator/faults", "{}")).await;
    assert_eq!(*simulator.faults(), Faults::default());
}

#[tokio::test]
async fn clock_and_truth_are_there_over_http() {
    let (simulator, address, _shutdown, _serving) = running().await;
    let later = r#"{"now":"2026-04-08T06:30:00Z","speed":0}"#;
    let answer = exchange(address, post("/simulator/clock", later)).await;
    assert!(answer.ends_with(r#"{"now":"2026-04-08T06:30:00.000Z","speed":0.0}"#), "{answer}");
    let answer = exchange(address, request("/simulator/truth?created_before=2026-04-08T05:30:00Z")).await;
    let filter = TruthFilter { created_before: Some(after(simulator.config(), 1800)), ..TruthFilter::default() };
    let expected = simulator.truth(&filter, &simulator.config().metrics, simulator.now());
    assert!(expected.len() > 50);
    assert_eq!(serde_json::from_str::<std::collections::BTreeMap<String, f64>>(split(&answer).1).unwrap(), expected);
    for path in ["/simulator/truth?at=noon", "/simulator/truth?since=1"] {
        assert!(exchange(address, request(path)).await.starts_with("HTTP/1.1 400"), "{path}");
    }
}
