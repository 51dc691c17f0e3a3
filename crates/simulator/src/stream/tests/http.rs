//! Over real connections: credentials, slots, resuming, and how a stream ends.

use std::net::SocketAddr;

use reqwest::{Client, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{DEFAULT_KEY, DeliveryConfig, FaultKind, FaultRule, Faults, NO_SCOPE_KEY, Route};

const PATIENCE: Duration = Duration::from_secs(60);

struct Running {
    simulator: Arc<Simulator>,
    clock: Arc<ManualClock>,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    client: Client,
}

async fn running(change: impl FnOnce(&mut SimulatorConfig)) -> Running {
    let (simulator, clock) = frozen(change);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let serving = tokio::spawn(Arc::clone(&simulator).serve(listener, stop.clone()));
    // Any client would do; this one needs no TLS provider of the process.
    let client = crate::deliveries::client::client(&DeliveryConfig::default()).unwrap();
    Running { simulator, clock, address, stop, serving, client }
}

impl Running {
    async fn open(&self, key: Option<&str>, last: Option<u64>) -> Response {
        let mut request = self.client.get(format!("http://{}/v1/chat/events/stream", self.address)).timeout(PATIENCE);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        request.send().await.unwrap()
    }

    async fn until_open(&self, streams: usize) {
        let waited = async {
            while self.simulator.open_streams() != streams {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.unwrap();
    }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// Reads until at least one whole event is there.
async fn some_events(response: &mut Response) -> Vec<u64> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\n\n") {
        bytes.extend(response.chunk().await.unwrap().expect("more"));
    }
    ids(&bytes)
}

#[tokio::test]
async fn a_stream_goes_on_is_resumed_and_ends_with_the_server() {
    let running = running(|_| {}).await;
    let mut stream = running.open(Some(DEFAULT_KEY), None).await;
    assert_eq!((stream.status().as_u16(), header(&stream, "content-type")), (200, Some("text/event-stream")));
    running.clock.set(running.clock.now().plus(SECOND * 60));
    let first = some_events(&mut stream).await;
    assert_eq!(first[0], 1);
    drop(stream);
    running.until_open(0).await;
    running.clock.set(running.clock.now().plus(SECOND * 60));
    let mut stream = running.open(Some(DEFAULT_KEY), Some(7)).await;
    assert_eq!(some_events(&mut stream).await[0], 8);
    running.stop.cancel();
    while stream.chunk().await.unwrap().is_some() {}
    drop((stream, running.client));
    tokio::time::timeout(PATIENCE, running.serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_needs_a_credential_and_a_slot_and_does_not_count_against_the_rate_limit() {
    let running = running(|config| (config.stream.slots, config.rate_limit) = (2, Some(2))).await;
    assert_eq!(running.open(None, None).await.status(), 401);
    assert_eq!(running.open(Some(NO_SCOPE_KEY), None).await.status(), 403);
    let first = running.open(Some(DEFAULT_KEY), None).await;
    let second = running.open(Some(DEFAULT_KEY), None).await;
    assert_eq!(header(&second, "x-ratelimit-remaining"), Some("2"));
    assert_eq!(running.simulator.open_streams(), 2);
    let refused = running.open(Some(DEFAULT_KEY), None).await;
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (429, Some("1")));
    assert!(refused.text().await.unwrap().contains("TOO_MANY_STREAMS"));
    drop(first);
    running.until_open(1).await;
    assert_eq!(running.open(Some(DEFAULT_KEY), None).await.status(), 200);
    let log = running.simulator.requests();
    assert!(log.iter().all(|record| record.route == Route::Stream));
    assert_eq!(log.iter().map(|record| record.status).collect::<Vec<_>>(), [401, 403, 200, 200, 429, 200]);
}

#[tokio::test]
async fn it_can_be_refused_and_cut() {
    let running = running(|_| {}).await;
    let rules = vec![FaultRule { route: Some(Route::Stream), share: 1.0, kind: FaultKind::Status(503) }];
    running.simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
    assert_eq!(running.open(Some(DEFAULT_KEY), None).await.status(), 503);
    set_faults(&running.simulator, StreamFaults { drop_after: Some(2), ..StreamFaults::default() });
    let mut stream = running.open(Some(DEFAULT_KEY), None).await;
    running.clock.set(running.clock.now().plus(SECOND * 60));
    assert_eq!(some_events(&mut stream).await, [1, 2]);
    assert!(stream.chunk().await.is_err(), "cut, not ended");
}

#[tokio::test]
async fn last_event_id_can_be_refused_and_forgotten() {
    let running = running(|_| {}).await;
    running.simulator.connect(None);
    running.clock.set(running.clock.now().plus(SECOND * 60));
    for status in [400, 404, 410] {
        set_faults(&running.simulator, StreamFaults { refused_ids: Some(status), ..StreamFaults::default() });
        assert_eq!(running.open(Some(DEFAULT_KEY), Some(3)).await.status(), status);
        assert_eq!(running.open(Some(DEFAULT_KEY), None).await.status(), 200);
        assert_eq!(running.simulator.requests().iter().rev().nth(1).unwrap().status, status);
    }
    set_faults(&running.simulator, StreamFaults { ids_forgotten: true, ..StreamFaults::default() });
    let mut stream = running.open(Some(DEFAULT_KEY), Some(3)).await;
    running.clock.set(running.clock.now().plus(SECOND * 60));
    assert!(some_events(&mut stream).await[0] > 4, "what lies between is not sent");
}
