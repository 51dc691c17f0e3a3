//! What the webhook answers when too much is under way: at once, and never after taking half of a delivery.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use agntix_api::{Secret, WebhookSecretSource, WebhookSecrets};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::catalogue::ExporterMetrics;
use crate::catalogue::Family;
use crate::clock::{ManualClock, Timestamp};
use crate::config::Config;
use crate::discovery::News;
use crate::discovery::webhook::Deliveries;
use crate::ledger::sqlite::{LedgerConfig, SqliteLedger};
use crate::ledger::{Change, Commit, Ledger, Opened};
use crate::observation::ObservationConfig;
use crate::web::webhook;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATH: &str = "/webhooks/agntix";
/// 2026-04-08T06:00:00Z, in seconds.
const NOW: i64 = 1_775_628_000;

/// The routes of a webhook that makes deliveries durable in `ledger`, and what counts them.
fn routes(ledger: Arc<dyn Ledger>, news: mpsc::Sender<News>) -> (Router, ExporterMetrics) {
    let source = WebhookSecretSource::fixed("AGNTIX_WEBHOOK_SECRET", &Secret::new(SECRET).unwrap()).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW * 1000)));
    let observation = ObservationConfig::from(&Config::default());
    let deliveries = Arc::new(Deliveries::new(source, ledger, news, observation, clock, Arc::default()));
    let own = ExporterMetrics::new().unwrap();
    (webhook::route(PATH, deliveries, own.clone(), CancellationToken::new()), own)
}

fn delivery(id: &str) -> Request<Body> {
    let body = format!(
        r#"{{"eventType":"session.ended","id":"{id}","agentId":"A","type":"CHAT","platform":"WEB","direction":"INBOUND",
        "state":"CLOSED","createdAt":"2026-04-08T05:58:00Z","endedAt":"2026-04-08T05:59:00Z","analysis":{{
        "resolution":{{"classification":"RESOLVED","confidenceScore":1}},"intent":{{"conversation":{{"intent":"Refund"}}}},
        "sentiment":{{"conversation":{{"sentiment":"POSITIVE","score":1}}}}}}}}"#
    );
    let signature = WebhookSecrets::parse(SECRET).unwrap().sign(id, NOW, body.as_bytes());
    let request = Request::post(PATH).header("svix-id", id).header("svix-timestamp", NOW);
    request.header("svix-signature", signature).body(Body::from(body)).unwrap()
}

#[tokio::test]
async fn delivery_is_taken_by_the_machines_clock_or_by_that_of_the_api() {
    let minutes = |minutes: i64| Timestamp::from_millis((NOW + minutes * 60) * 1000);
    // This machine's clock, the API's clock if it is known, and the answer to a delivery of now.
    let cases = [
        (0, None, StatusCode::OK),
        (20, None, StatusCode::UNAUTHORIZED),
        (20, Some(0), StatusCode::OK),
        (-20, Some(0), StatusCode::OK),
        (0, Some(20), StatusCode::OK),
        (20, Some(20), StatusCode::UNAUTHORIZED),
    ];
    for (machine, api, status) in cases {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.state.path = state.path().into();
        let (ledger, _) = open(&config);
        let source = WebhookSecretSource::fixed("AGNTIX_WEBHOOK_SECRET", &Secret::new(SECRET).unwrap()).unwrap();
        let clock = Arc::new(ManualClock::new(minutes(machine)));
        let api_clock = Arc::<crate::clock::ApiClock>::default();
        api_clock.set(std::time::Instant::now(), api.map(minutes));
        let (news, _inbox) = mpsc::channel(8);
        let observation = ObservationConfig::from(&Config::default());
        let deliveries = Deliveries::new(source, Arc::new(ledger), news, observation, clock, api_clock);
        let own = ExporterMetrics::new().unwrap();
        let routes = webhook::route(PATH, Arc::new(deliveries), own, CancellationToken::new());
        assert_eq!(deliver(&routes, "s").await.status(), status, "{machine} {api:?}");
    }
}

async fn deliver(routes: &Router, id: &str) -> Response<Body> {
    routes.clone().oneshot(delivery(id)).await.unwrap()
}

fn is_deferred(response: &Response<Body>) -> bool {
    let retry_after = response.headers().get("retry-after").map(axum::http::HeaderValue::as_bytes);
    response.status() == StatusCode::SERVICE_UNAVAILABLE && retry_after == Some(b"5")
}

fn open(config: &Config) -> (SqliteLedger, Opened) {
    SqliteLedger::open(LedgerConfig::from(config), Box::new(|_| {})).unwrap()
}

/// How many sessions have ended by the state on disk, and how many of them are pending.
fn ended_and_pending(config: &Config) -> (u64, usize) {
    let (_, opened) = open(config);
    let ended = opened.series.iter().filter(|series| series.key.family == Family::SessionsEnded);
    (ended.flat_map(|series| &series.counts).sum(), opened.pending.len())
}

#[tokio::test]
async fn delivery_is_deferred_while_the_queue_is_full_and_counts_when_it_comes_again() {
    let state = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.state.path = state.path().into();
    let (news, mut inbox) = mpsc::channel(2);
    let (ledger, _) = open(&config);
    let (routes, own) = routes(Arc::new(ledger), news);
    for id in ["a", "b"] {
        assert_eq!(deliver(&routes, id).await.status(), StatusCode::OK);
    }
    for _ in 0..3 {
        assert!(is_deferred(&deliver(&routes, "c").await));
    }
    let outcome = |outcome| own.webhook_deliveries.with_label_values(&["session.ended", outcome]).get();
    assert_eq!((outcome("counted"), outcome("busy")), (2, 3));
    // A kill here.
    drop(routes);
    assert_eq!(ended_and_pending(&config), (2, 0));

    let (news, _) = (inbox.recv().await.unwrap(), inbox.recv().await.unwrap());
    assert!(matches!(news, News::Session { ref facts, .. } if &*facts.id == "a"));
    assert!(inbox.recv().await.is_none(), "the poller hears nothing of a deferred delivery");
    let (news, _inbox) = mpsc::channel(2);
    let (ledger, _) = open(&config);
    let (routes, _) = self::routes(Arc::new(ledger), news);
    assert_eq!(deliver(&routes, "c").await.status(), StatusCode::OK);
    drop(routes);
    assert_eq!(ended_and_pending(&config), (3, 0));
}

/// A body of which 1 MiB comes and then nothing more. Reports when all of that was read.
struct Stalled(mpsc::UnboundedSender<()>, usize);

impl http_body::Body for Stalled {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        const PIECE: &[u8] = &[b' '; 16 * 1024];
        if self.1 < 64 {
            self.1 += 1;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))));
        }
        let _ = self.0.send(());
        Poll::Pending
    }
}

#[tokio::test]
async fn large_bodies_that_stall_do_not_keep_out_usual_deliveries() {
    let state = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.state.path = state.path().into();
    let (news, _inbox) = mpsc::channel(2);
    let (ledger, _) = open(&config);
    let (routes, own) = routes(Arc::new(ledger), news);
    let (stalled, mut stalls) = mpsc::unbounded_channel();
    let mut refused = JoinSet::new();
    for _ in 0..100 {
        let body = Body::new(Stalled(stalled.clone(), 0));
        let (routes, request) = (routes.clone(), Request::post(PATH).body(body).unwrap());
        refused.spawn(async move { routes.oneshot(request).await.unwrap() });
    }
    let (mut stalling, mut deferred) = (0, 0);
    while stalling + deferred < 100 {
        tokio::select! {
            Some(()) = stalls.recv() => stalling += 1,
            Some(response) = refused.join_next() => {
                assert!(is_deferred(&response.unwrap()));
                deferred += 1;
            }
        }
    }
    assert!(stalling > 30 && deferred > 30, "{stalling} stall, {deferred} are deferred");
    assert_eq!(deliver(&routes, "a").await.status(), StatusCode::OK);
    refused.shutdown().await;
    assert_eq!(own.webhook_deliveries.with_label_values(&["session.ended", "counted"]).get(), 1);
}

/// A disk that never answers.
#[derive(Default)]
struct Stuck(AtomicUsize);

impl Ledger for Stuck {
    fn commit(&self, _: Vec<Change>) -> Commit {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn deliveries_are_deferred_while_the_disk_hangs_and_answered_before_svix_gives_up() {
    let (ledger, (news, _inbox)) = (Arc::new(Stuck::default()), mpsc::channel(1_000));
    let (routes, _) = routes(Arc::clone(&ledger) as Arc<dyn Ledger>, news);
    let began = Instant::now();
    let waiting: Vec<_> = (0..512).map(|n| tokio::spawn(routes.clone().oneshot(delivery(&n.to_string())))).collect();
    while ledger.0.load(Ordering::SeqCst) < 512 {
        tokio::task::yield_now().await;
    }
    assert!(is_deferred(&deliver(&routes, "one too many").await));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(ledger.0.load(Ordering::SeqCst), 512, "it was not taken");
    for waiting in waiting {
        assert!(is_deferred(&waiting.await.unwrap().unwrap()));
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
