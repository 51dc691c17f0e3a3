//! A delivery as HTTP brings it, its headers and its body, whatever they are: the webhook answers with a status that it
//! documents, takes nothing that is not signed, and says that it took what it made durable, and nothing else.
//!
//! The input is text, so that a seed can be read: lines of headers, an empty line, the body. A timestamp `now` and a
//! signature `sign` stand for the right ones.

#![no_main]

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use agntix_api::{Secret, WebhookSecretSource, WebhookSecrets};
use agntix_exporter::catalogue::ExporterMetrics;
use agntix_exporter::clock::{ManualClock, Timestamp};
use agntix_exporter::config::Config;
use agntix_exporter::discovery::News;
use agntix_exporter::discovery::webhook::Deliveries;
use agntix_exporter::ledger::{Change, Commit, CommitOutcome, Ledger};
use agntix_exporter::observation::ObservationConfig;
use agntix_exporter::session::{Channel, Stage};
use agntix_exporter::web::webhook;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATH: &str = "/webhooks/agntix";
/// 2026-04-08T06:00:00Z, in seconds.
const NOW: i64 = 1_775_628_000;

/// A ledger that makes everything durable at once and counts what it is given.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Ledger for Counting {
    fn commit(&self, changes: Vec<Change>) -> Commit {
        self.0.fetch_add(changes.len(), Ordering::Relaxed);
        let verdicts = changes.iter().map(|change| match change {
            Change::Session { facts, .. } if facts.outcome.is_some() => CommitOutcome::Counted { historic: false, new: true },
            Change::Session { facts, .. } if facts.ended.is_some() => CommitOutcome::AlreadyCounted,
            Change::Session { .. } => {
                let [agent_id, session_type, platform, direction] = [(); 4].map(|()| "a".into());
                let channel = Arc::new(Channel { agent_id, session_type, platform, direction });
                CommitOutcome::Pending { stage: Stage::Open, channel }
            }
            _ => CommitOutcome::Done,
        });
        Box::pin(std::future::ready(Ok(verdicts.collect())))
    }
}

/// What is made once.
struct Webhook {
    runtime: Runtime,
    routes: Router,
    ledger: Arc<Counting>,
    news: mpsc::Receiver<News>,
    secrets: WebhookSecrets,
}

impl Webhook {
    fn new() -> Self {
        let secret = Secret::new(SECRET).expect("this is a secret");
        let source = WebhookSecretSource::fixed("AGNTIX_WEBHOOK_SECRET", &secret).expect("this is a secret");
        let (sender, news) = mpsc::channel(1);
        let (ledger, clock) = (Arc::new(Counting::default()), Arc::new(ManualClock::new(Timestamp::from_millis(NOW * 1000))));
        let observation = ObservationConfig::from(&Config::default());
        let deliveries = Deliveries::new(source, Arc::clone(&ledger) as Arc<dyn Ledger>, sender, observation, clock, Arc::default());
        let own = ExporterMetrics::new().expect("the catalogue is sound");
        Self {
            runtime: Builder::new_current_thread().enable_time().build().expect("the system gives a timer"),
            routes: webhook::listener_routes(PATH, Arc::new(deliveries), own, CancellationToken::new()),
            ledger,
            news,
            secrets: WebhookSecrets::parse(SECRET).expect("this is a secret"),
        }
    }
}

thread_local! {
    static WEBHOOK: RefCell<Webhook> = RefCell::new(Webhook::new());
}

fuzz_target!(|input: &[u8]| {
    WEBHOOK.with_borrow_mut(|webhook| deliver(webhook, input));
});

fn deliver(webhook: &mut Webhook, input: &[u8]) {
    let end = input.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((input, &b""[..]), |end| (&input[..end], &input[end + 2..]));
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let is_signed = sign(&webhook.secrets, &mut headers, body);
    let mut request = Request::post(PATH).body(Body::from(body.to_vec())).expect("a request can be made");
    *request.headers_mut() = headers;

    let before = webhook.ledger.0.load(Ordering::Relaxed);
    let (status, text) = webhook.runtime.block_on(async {
        let response = webhook.routes.clone().oneshot(request).await.expect("a route does not fail");
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body(), 4096).await.expect("an answer is short"))
    });
    let committed = webhook.ledger.0.load(Ordering::Relaxed) - before;
    let told = webhook.news.try_recv().is_ok();
    assert!(matches!(status, 200 | 400 | 401 | 413 | 415), "{status}");
    assert!(status != 200 || is_signed, "what was not signed is taken");
    assert_eq!(committed == 1, told, "the ledger and the poller know the same");
    assert_eq!(committed == 1, status == 200 && text.as_ref() != b"Not used.\n", "the answer says what became of it");
}

/// Replaces what stands for the right timestamp and signature. Whether the delivery has both.
fn sign(secrets: &WebhookSecrets, headers: &mut HeaderMap, body: &[u8]) -> bool {
    let name = |branded: &'static str, unbranded: &'static str| {
        HeaderName::from_static(if headers.contains_key(branded) { branded } else { unbranded })
    };
    let id = name("svix-id", "webhook-id");
    let timestamp = name("svix-timestamp", "webhook-timestamp");
    let signature = name("svix-signature", "webhook-signature");
    let is = |name: &HeaderName, what: &str| headers.get(name).is_some_and(|value| value.as_bytes() == what.as_bytes());
    let is_signed = is(&timestamp, "now") && is(&signature, "sign");
    if is_signed {
        let id = headers.get(&id).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let signed = secrets.sign(id, NOW, body);
        headers.insert(timestamp, HeaderValue::from(NOW));
        headers.insert(signature, signed.parse().expect("a signature is a value"));
    }
    is_signed
}
