//! What a receiver gets, over real connections.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::hmac;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::Simulator;
use crate::time::{Clock, ManualClock};

const PATIENCE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// One delivery as it came in.
struct Received {
    headers: HeaderMap,
    body: Bytes,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Which of the keys has signed it; fails if there is a signature of another one.
    fn signers<'k>(&self, keys: &[&'k str]) -> Vec<&'k str> {
        let mut content = format!("{}.{}.", self.header("svix-id"), self.header("svix-timestamp")).into_bytes();
        content.extend_from_slice(&self.body);
        let signed_by = |signature: &str| {
            let tag = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
            let is_by =
                |key: &&&str| hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), &content, &tag).is_ok();
            *keys.iter().find(is_by).unwrap()
        };
        self.header("svix-signature").split(' ').map(signed_by).collect()
    }
}

/// A receiver that passes on what it gets and answers with a given status; 0 never answers.
struct Receiver {
    url: String,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Receiver {
    /// Answers with these statuses in turn, then with 204.
    async fn start(statuses: impl IntoIterator<Item = u16, IntoIter: Send + 'static>) -> Self {
        let mut statuses = statuses.into_iter();
        Self::answering(move |_| statuses.next().unwrap_or(204)).await
    }

    async fn answering(status: impl FnMut(&Received) -> u16 + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (send, received) = mpsc::unbounded_channel();
        let status = Arc::new(Mutex::new(status));
        let receive = async move |headers: HeaderMap, body: Bytes| {
            let received = Received { headers, body };
            let status = (*status.lock().unwrap())(&received);
            send.send(received).unwrap();
            if status == 0 {
                std::future::pending::<()>().await;
            }
            StatusCode::from_u16(status).unwrap()
        };
        let router = Router::new().route("/hook", post(receive));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url, received }
    }

    async fn next(&mut self) -> Received {
        tokio::time::timeout(PATIENCE, self.received.recv()).await.expect("a delivery in time").unwrap()
    }
}

/// A simulator that is served, on a clock that is moved by hand; one session begins right away.
struct Running {
    simulator: Arc<Simulator>,
    address: SocketAddr,
    clock: Arc<ManualClock>,
    _stop: DropGuard,
}

impl Running {
    async fn start(deliveries: Option<DeliveryConfig>) -> Self {
        let mut config = SimulatorConfig { deliveries, ..SimulatorConfig::default() };
        let first = outlines(&Generator::new(config.clone()))[0];
        (config.now, config.until) = (Some(first.created.minus(SECOND)), Some(first.created));
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
        let simulator = Simulator::with_clock(config, Arc::clone(&clock) as Arc<dyn Clock>);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(Arc::clone(&simulator).serve(listener, stop.clone()));
        Self { simulator, address, clock, _stop: stop.drop_guard() }
    }

    fn advance(&self, by: Duration) {
        self.clock.set(self.clock.now().plus(by));
    }

    async fn until(&self, what: &str, condition: impl Fn(&Simulator) -> bool) {
        let waited = async {
            while !condition(&self.simulator) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
    }

    async fn done(&self) {
        self.until("all is delivered", |s| s.delivery_progress().is_some_and(|progress| progress.done)).await;
    }

    async fn post(&self, path: &str, body: &str) -> (u16, String) {
        let client = super::super::client::client(&config()).unwrap();
        let answer = client.post(format!("http://{}{path}", self.address)).body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

fn to(receiver: &Receiver) -> DeliveryConfig {
    DeliveryConfig { url: receiver.url.clone(), ..config() }
}

#[tokio::test]
async fn deliveries_are_signed_by_every_secret_and_logged() {
    let mut receiver = Receiver::start([]).await;
    let secrets = vec![SECRET.parse().unwrap(), "whsec_dHdv".parse().unwrap()];
    let running = Running::start(Some(DeliveryConfig { secrets, ..to(&receiver) })).await;
    running.advance(SECOND);
    let created = receiver.next().await;
    assert_eq!(created.json()["eventType"], "session.created");
    assert_eq!(created.signers(&["one", "two", "three"]), ["one", "two"]);
    assert_eq!(created.header("svix-timestamp"), "1800000001");
    assert_eq!(created.header("content-type"), "application/json");
    running.advance(SECOND * 3600);
    let ended = receiver.next().await;
    assert_eq!((&ended.json()["eventType"], &ended.json()["id"]), (&"session.ended".into(), &created.json()["id"]));
    assert_eq!(ended.signers(&["one", "two"]).len(), 2);
    assert_ne!(ended.header("svix-id"), created.header("svix-id"));
    running.done().await;
    let log = running.simulator.deliveries();
    let seen: Vec<(&str, &str, u32, u16, i64)> = log
        .iter()
        .map(|r| (r.svix_id.as_str(), r.event_type.as_str(), r.attempt, r.status, r.sent_at_ms - 1_800_000_000_000))
        .collect();
    let expected = [
        (created.header("svix-id"), "session.created", 1, 204, 1_000),
        (ended.header("svix-id"), "session.ended", 1, 204, 3_601_000),
    ];
    assert_eq!(seen, expected);
    assert!(log.iter().all(|record| record.session_id == created.json()["id"] && record.failure.is_none()));
}

#[tokio::test]
async fn retries_have_the_same_id_and_body_and_a_new_time_and_signature() {
    let mut receiver = Receiver::start([500, 302, 429]).await;
    let running = Running::start(Some(DeliveryConfig { ended: false, ..to(&receiver) })).await;
    running.advance(SECOND);
    let first = receiver.next().await;
    let mut before = (first.header("svix-timestamp").to_owned(), first.header("svix-signature").to_owned());
    for (failed, wait) in [(1, 5), (2, 300), (3, 1800)] {
        running.until("the answer is noted", |s| s.deliveries().len() == failed).await;
        running.until("the retry waits", |s| s.delivery_progress().unwrap().waiting == 1).await;
        running.advance(SECOND * wait);
        let retry = receiver.next().await;
        assert_eq!((retry.header("svix-id"), &retry.body), (first.header("svix-id"), &first.body));
        assert_eq!(retry.signers(&["one"]), ["one"]);
        let fresh = (retry.header("svix-timestamp").to_owned(), retry.header("svix-signature").to_owned());
        assert!(fresh.0 > before.0 && fresh.1 != before.1);
        before = fresh;
    }
    running.done().await;
    let seen: Vec<(u32, u16)> = running.simulator.deliveries().iter().map(|r| (r.attempt, r.status)).collect();
    assert_eq!(seen, [(1, 500), (2, 302), (3, 429), (4, 204)]);
}

#[tokio::test]
async fn timeouts_and_refused_connections_are_failures() {
    let mut receiver = Receiver::start([0]).await;
    let timeout = Duration::from_millis(50);
    let running = Running::start(Some(DeliveryConfig { timeout, ended: false, ..to(&receiver) })).await;
    running.advance(SECOND);
    receiver.next().await;
    running.until("the time-out is noted", |s| s.deliveries().len() == 1).await;
    // A port that was free a moment ago may be another test's by now: nobody listens to this one.
    let closed = SocketAddr::from(([127, 9, 9, 9], 9));
    let nowhere = DeliveryConfig { url: format!("http://{closed}/hook"), ..to(&receiver) };
    running.simulator.set_deliveries(Some(nowhere)).unwrap();
    running.until("the retry waits", |s| s.delivery_progress().unwrap().waiting == 1).await;
    running.advance(SECOND * 5);
    running.until("the refusal is noted", |s| s.deliveries().len() == 2).await;
    let seen: Vec<_> = running.simulator.deliveries().iter().map(|r| (r.status, r.failure)).collect();
    assert_eq!(seen, [(0, Some("timeout")), (0, Some("connection"))]);
}

#[tokio::test]
async fn deliveries_are_switched_over_http_while_it_runs() {
    let mut receiver = Receiver::start([]).await;
    let running = Running::start(None).await;
    assert_eq!(running.simulator.delivery_progress(), None);
    for nonsense in [r#"{"url":"nowhere"}"#, r#"{"url":"http://x/","secrets":["b25l"]}"#, r#"{"uri":"x"}"#, "{"] {
        let (status, answer) = running.post("/simulator/webhooks", nonsense).await;
        assert_eq!(status, 400, "{answer}");
        assert!(!answer.contains("b25l"), "{answer}");
    }
    let on = format!(r#"{{"url":"{}","secrets":["{SECRET}"]}}"#, receiver.url);
    let (status, answer) = running.post("/simulator/webhooks", &on).await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["url"], &answer["secrets"]), (&Value::from(receiver.url.clone()), &1.into()));
    running.advance(SECOND * 3600);
    let ids: BTreeSet<String> =
        [receiver.next().await, receiver.next().await].iter().map(|r| r.header("svix-id").to_owned()).collect();
    running.done().await;
    let log = text_of(&running, "/simulator/deliveries").await;
    let logged: BTreeSet<String> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["svix_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(logged, ids);
    let (status, answer) = running.post("/simulator/webhooks", "null").await;
    assert_eq!((status, answer.as_str()), (200, r#"{"url":null}"#));
    assert_eq!(running.simulator.delivery_progress(), None);
}

async fn text_of(running: &Running, path: &str) -> String {
    let client = super::super::client::client(&config()).unwrap();
    client.get(format!("http://{}{path}", running.address)).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn many_deliveries_reach_a_receiver_that_fails_every_third_at_first() {
    let mut known = BTreeSet::new();
    let mut receiver = Receiver::answering(move |received| {
        let is_new = known.insert(received.header("svix-id").to_owned());
        if is_new && known.len() % 3 == 0 { 503 } else { 204 }
    })
    .await;
    let start = Timestamp::from_millis(1_775_000_000_000);
    let deliveries = DeliveryConfig {
        since: Some(start),
        repeated_share: 0.2,
        out_of_order_share: 0.3,
        unknown_share: 0.1,
        backoff_scale: 0.0,
        ..to(&receiver)
    };
    let config = SimulatorConfig { deliveries: Some(deliveries), ..SimulatorConfig::load(start, 100.0, 300) };
    let simulator = Simulator::new(config);
    let stop = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    tokio::spawn(Arc::clone(&simulator).serve(listener, stop.clone()));
    let _stop = stop.drop_guard();
    let waited = async {
        while !simulator.delivery_progress().unwrap().done {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap();
    let ended: BTreeSet<String> = simulator
        .deliveries()
        .iter()
        .filter(|record| record.event_type == "session.ended" && record.status == 204)
        .map(|record| record.session_id.clone())
        .collect();
    let all = simulator.sessions(start, simulator.now()).into_iter().map(|session| session.id).collect();
    assert_eq!(ended, all);
    let progress = simulator.delivery_progress().unwrap();
    assert!(progress.acknowledged > 600 && progress.given_up == 0, "{progress:?}");
    receiver.received.close();
    while let Some(received) = receiver.received.recv().await {
        assert_eq!(received.signers(&["one"]), ["one"]);
    }
}
