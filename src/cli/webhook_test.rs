//! `webhook-test`: signed sample deliveries to an endpoint, to check a deployment before Agntix does.
//!
//! Like Svix, it works from outside: through the same proxies, with the same secret, and seeing only the answers of the
//! receiver.

use std::fmt;
use std::iter::repeat_with;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agntix_api::{Roots, WebhookSecretSource, WebhookSecrets};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{StatusCode, Url, redirect, retry};
use secrecy::SecretString;
use serde_json::json;

use super::terminal::{Failure, environment, print, runtime};
use crate::api;
use crate::clock::{Clock as _, SystemClock, Timestamp};

/// Svix counts a delivery as failed when there is no answer by then.
const PATIENCE: Duration = Duration::from_secs(15);
/// How far back a stale delivery was signed; five minutes are allowed.
const STALE: Duration = Duration::from_secs(600);
/// Duration of the sample session.
const DURATION: Duration = Duration::from_secs(90);
/// How much of an answer's text is shown, in characters.
const MAX_SHOWN: usize = 200;

/// Flags of `webhook-test`.
#[derive(Args, Clone, Debug)]
#[expect(clippy::doc_markdown, reason = "the text of --help, which shows no backticks")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct WebhookTestArgs {
    /// URL of the endpoint, as configured in Agntix.
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// File that holds the signing secret [default: AGNTIX_WEBHOOK_SECRET from the environment].
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Also send a delivery that is signed with another secret; it must be refused.
    #[arg(long)]
    pub forged: bool,
    /// Also send a delivery that was signed ten minutes ago; it must be refused.
    #[arg(long)]
    pub stale: bool,
    /// Also send the sample a second time, as Agntix may; it must be accepted again.
    #[arg(long)]
    pub repeated: bool,
    /// Send the end of a session instead of a test: a production exporter COUNTS it.
    #[arg(long)]
    pub count: bool,
    /// Id of the session in the sample [default: webhook-test- and random characters].
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
}

pub(super) fn run(args: &WebhookTestArgs) -> Result<(), Failure> {
    let to = endpoint(&args.to).map_err(Failure::Mistake)?;
    let secrets = secrets(args, environment().webhook_secret().as_ref()).map_err(Failure::Mistake)?;
    agntix_api::install_crypto_provider();
    let client = client(&to, Roots::find().map_err(Failure::mistake)?)?;
    let mut wrong = 0;
    runtime()?.block_on(async {
        for delivery in deliveries(args, &secrets, SystemClock.now()) {
            let report = Report::of(&delivery, send(&client, &to, &delivery).await);
            wrong += usize::from(!report.is_right());
            print(format!("{report}\n"))?;
        }
        Ok(())
    })?;
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::running("one answer was not as it must be")),
        _ => Err(Failure::running(format!("{wrong} answers were not as they must be"))),
    }
}

fn endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| format!("--to is {text:?}, but must be a URL such as https://hooks.example/webhooks/agntix"))
}

fn secrets(args: &WebhookTestArgs, variable: Option<&SecretString>) -> Result<Arc<WebhookSecrets>, String> {
    let source = match (&args.secret_file, variable.and_then(api::secret)) {
        (Some(path), _) => WebhookSecretSource::file("--secret-file", path),
        (None, Some(secret)) => {
            WebhookSecretSource::fixed("AGNTIX_WEBHOOK_SECRET", &secret).map_err(|e| e.to_string())?
        }
        (None, None) => {
            return Err(
                "there is no secret to sign with; set AGNTIX_WEBHOOK_SECRET, or name a file with --secret-file"
                    .to_owned(),
            );
        }
    };
    source.current(Instant::now()).map_err(|e| e.to_string())
}

fn client(to: &Url, roots: Roots) -> Result<reqwest::Client, Failure> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("agntix-exporter/", env!("CARGO_PKG_VERSION"), " webhook-test"))
        .timeout(PATIENCE)
        // Svix counts a redirect as a failure.
        .redirect(redirect::Policy::none())
        .retry(retry::never());
    let host = to.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse();
    if host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback()) {
        builder = builder.no_proxy();
    }
    let client = roots.trusted_by(builder).build();
    client.map_err(|e| Failure::running(format!("the HTTP client cannot be set up: {}", innermost(&e))))
}

/// One request, and the answer that is right.
struct Delivery {
    what: &'static str,
    must: Must,
    id: String,
    timestamp: i64,
    signature: String,
    body: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// Any 2xx.
    BeAccepted,
    /// 401.
    BeRefused,
}

/// The sample, and what else is asked for.
fn deliveries(args: &WebhookTestArgs, secrets: &WebhookSecrets, now: Timestamp) -> Vec<Delivery> {
    let random = || repeat_with(fastrand::alphanumeric).take(27).collect::<String>();
    let session = args.session.clone().unwrap_or_else(|| format!("webhook-test-{}", random()));
    let body = sample(args.count, &session, now);
    let sample_id = format!("msg_{}", random());
    let deliver = |what, must, id: &str, at: Timestamp, secrets: &WebhookSecrets| {
        let timestamp = at.as_millis().div_euclid(1000);
        let signature = secrets.sign(id, timestamp, body.as_bytes());
        Delivery { what, must, id: id.to_owned(), timestamp, signature, body: body.clone() }
    };
    let mut deliveries = vec![deliver("signed", Must::BeAccepted, &sample_id, now, secrets)];
    if args.repeated {
        deliveries.push(deliver("repeated", Must::BeAccepted, &sample_id, now, secrets));
    }
    if args.forged {
        let key: Vec<u8> = repeat_with(|| fastrand::u8(..)).take(24).collect();
        // A text of 24 bytes in base64 is always one secret.
        if let Ok(other) = WebhookSecrets::parse(&BASE64.encode(key)) {
            deliveries.push(deliver("forged", Must::BeRefused, &format!("msg_{}", random()), now, &other));
        }
    }
    if args.stale {
        let id = format!("msg_{}", random());
        deliveries.push(deliver("stale", Must::BeRefused, &id, now.minus(STALE), secrets));
    }
    deliveries
}

/// A delivery in the vendor's flat envelope: the session's own fields, and the type of the event among them. Its analysis
/// is complete, so that a receiver that counts it needs no request of its own.
fn sample(count: bool, session: &str, now: Timestamp) -> String {
    let ended = now.to_string();
    let created = now.minus(DURATION).to_string();
    let body = json!({
        "eventType": if count { "session.ended" } else { "webhook.test" },
        "id": session,
        "type": "CHAT",
        "platform": "WEB",
        "direction": "INBOUND",
        "state": "CLOSED",
        "agentId": "webhook-test",
        "createdAt": created,
        "lastActivityAt": ended,
        "endedAt": ended,
        "updatedAt": ended,
        "metadata": {},
        "analysis": {
            "summary": "A sample delivery of agntix-exporter webhook-test.",
            "intent": {"conversation": {"intent": "Webhook-Test", "confidence": 1.0}, "message": null},
            "resolution": {"classification": "RESOLVED", "confidenceScore": 1.0, "status": "Completed"},
            "sentiment": {
                "conversation": {"sentiment": "NEUTRAL", "score": 0.0, "detectedLanguage": "en"},
                "message": null,
            },
            "extractedData": {},
        },
    });
    body.to_string()
}

/// An answer.
struct Came {
    status: StatusCode,
    retry_after: Option<String>,
    /// The beginning of the body.
    text: String,
}

async fn send(client: &reqwest::Client, to: &Url, delivery: &Delivery) -> (Result<Came, String>, Duration) {
    let begun = Instant::now();
    let request = client
        .post(to.clone())
        .header(CONTENT_TYPE, "application/json")
        .header("svix-id", &delivery.id)
        .header("svix-timestamp", delivery.timestamp)
        .header("svix-signature", &delivery.signature)
        .body(delivery.body.clone());
    let came = match request.send().await {
        Ok(response) => Ok(Came::read(response).await),
        Err(error) if error.is_timeout() => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        Err(error) => Err(format!("no answer: {}", innermost(&error))),
    };
    (came, begun.elapsed())
}

impl Came {
    async fn read(mut response: reqwest::Response) -> Self {
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(printable);
        let status = response.status();
        let mut bytes = Vec::new();
        // Only the status matters; a body that is cut off or never ends changes nothing.
        while bytes.len() < 4 * MAX_SHOWN {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        Self { status, retry_after, text: printable(String::from_utf8_lossy(&bytes).trim()) }
    }
}

/// On one line, and no longer than one.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SHOWN).collect()
}

/// A line for each delivery, and another one with advice where something is wrong.
struct Report {
    what: &'static str,
    must: Must,
    came: Result<Came, String>,
    took: Duration,
}

impl Report {
    fn of(delivery: &Delivery, (came, took): (Result<Came, String>, Duration)) -> Self {
        Self { what: delivery.what, must: delivery.must, came, took }
    }

    fn is_right(&self) -> bool {
        match (&self.came, self.must) {
            (Ok(came), Must::BeAccepted) => came.status.is_success(),
            (Ok(came), Must::BeRefused) => came.status == StatusCode::UNAUTHORIZED,
            (Err(_), _) => false,
        }
    }

    /// What is probably wrong.
    fn advice(&self) -> &'static str {
        let Ok(came) = &self.came else {
            return "check the address, the name, the certificate, the firewall, and whether the receiver runs";
        };
        match (came.status.as_u16(), self.must) {
            (200..=299, _) => "the receiver does not check signatures: nobody may be able to reach it until it does",
            (300..=399, _) => "Agntix follows no redirect: give it the address that this one leads to",
            (400, _) => "the receiver cannot read it: check whether a proxy on the way changes the body",
            (401, Must::BeAccepted) => {
                "check that both sides have the same secret and the right time, and that no proxy changes headers or body"
            }
            (403, _) => "something on the way does not let it through: check the rules of the proxy or the firewall",
            (404 | 405, _) => "nothing takes deliveries there: check webhook.enabled, webhook.path and the proxy",
            (413, _) => "a proxy takes only short bodies: let it pass 1 MiB",
            (415, _) => "check whether a proxy on the way changes the content type",
            (429 | 503, _) => {
                "the receiver is busy or cannot save it; Agntix would come again: see its log if this lasts"
            }
            (500..=599, _) => "check whether the proxy reaches the receiver, and the logs of both",
            _ => "check what answers there; an exporter does not answer so",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_right() { "right" } else { "WRONG" };
        write!(f, "{verdict}  {:<8}  ", self.what)?;
        match &self.came {
            Ok(came) => {
                write!(f, "{} in {} ms", came.status, self.took.as_millis())?;
                if let Some(retry_after) = &came.retry_after {
                    write!(f, ", Retry-After: {retry_after}")?;
                }
                if !came.text.is_empty() {
                    write!(f, ": {}", came.text)?;
                }
            }
            Err(why) => write!(f, "{why}")?,
        }
        if !self.is_right() {
            let must = match self.must {
                Must::BeAccepted => "accepted (2xx)",
                Must::BeRefused => "refused (401)",
            };
            write!(f, "\n       {:<8}  it must be {must}; {}", "", self.advice())?;
        }
        Ok(())
    }
}

/// The text of reqwest's own error has the URL in it and says little else.
fn innermost(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.last().map_or_else(|| "unknown reason".to_owned(), |cause| printable(&cause.to_string()))
}

#[cfg(test)]
mod tests {
    use agntix_api::SignatureHeaders;
    use axum::Router;
    use axum::http::HeaderMap;
    use axum::routing::post;
    use bytes::Bytes;
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Config;
    use crate::observation::{self, ObservationConfig};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn args() -> WebhookTestArgs {
        WebhookTestArgs {
            to: String::new(),
            secret_file: None,
            forged: true,
            stale: true,
            repeated: true,
            count: false,
            session: None,
        }
    }

    /// What is reported of every delivery to a receiver with this route.
    async fn reports(router: Router) -> Vec<Report> {
        agntix_api::install_crypto_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = endpoint(&format!("http://{}/hook", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = client(&to, Roots::Only(Vec::new())).unwrap_or_else(|_| panic!("no client"));
        let secrets = WebhookSecrets::parse(SECRET).unwrap();
        let mut reports = Vec::new();
        for delivery in deliveries(&args(), &secrets, SystemClock.now()) {
            reports.push(Report::of(&delivery, send(&client, &to, &delivery).await));
        }
        reports
    }

    /// A receiver that behaves as the exporter must, with this secret.
    fn receiver(secret: &'static str) -> Router {
        let answer = move |headers: HeaderMap, body: Bytes| async move {
            let secrets = WebhookSecrets::parse(secret).unwrap();
            match secrets.verify(&SignatureHeaders::of(&headers), &body, SystemClock.now()) {
                Ok(()) => (StatusCode::OK, String::new()),
                Err(error) => (StatusCode::UNAUTHORIZED, format!("{error}\n")),
            }
        };
        Router::new().route("/hook", post(answer))
    }

    fn always(status: StatusCode) -> Router {
        Router::new().route("/hook", post(move || async move { (status, [(RETRY_AFTER, "7")], "said\u{7} so") }))
    }

    fn verdicts(reports: &[Report]) -> Vec<(&'static str, bool)> {
        reports.iter().map(|report| (report.what, report.is_right())).collect()
    }

    #[tokio::test]
    async fn correct_receiver_passes() {
        let reports = reports(receiver(SECRET)).await;
        assert_eq!(verdicts(&reports), [("signed", true), ("repeated", true), ("forged", true), ("stale", true)]);
        let line = reports[3].to_string();
        assert!(line.starts_with("right  stale     401 Unauthorized in "), "{line}");
        assert!(line.ends_with(" ms: svix-timestamp is more than 5 minutes from the time of this machine"), "{line}");
    }

    #[tokio::test]
    async fn wrong_receiver_gets_advice() {
        let other = reports(receiver("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")).await;
        assert_eq!(verdicts(&other), [("signed", false), ("repeated", false), ("forged", true), ("stale", true)]);
        let line = other[0].to_string();
        assert!(
            line.contains("\n                 it must be accepted (2xx); check that both sides have the same secret"),
            "{line}"
        );
        let trusting = reports(always(StatusCode::NO_CONTENT)).await;
        assert_eq!(verdicts(&trusting), [("signed", true), ("repeated", true), ("forged", false), ("stale", false)]);
        assert!(trusting[2].to_string().contains("it must be refused (401); the receiver does not check signatures"));
        for (status, advice) in [
            (StatusCode::FOUND, "follows no redirect"),
            (StatusCode::NOT_FOUND, "nothing takes deliveries there"),
            (StatusCode::PAYLOAD_TOO_LARGE, "let it pass 1 MiB"),
            (StatusCode::SERVICE_UNAVAILABLE, "would come again"),
            (StatusCode::BAD_GATEWAY, "whether the proxy reaches the receiver"),
        ] {
            let reports = reports(always(status)).await;
            assert!(reports.iter().all(|report| !report.is_right()));
            let line = reports[0].to_string();
            assert!(line.contains(advice) && line.contains(" ms, Retry-After: 7: said  so\n"), "{line}");
        }
    }

    #[tokio::test]
    async fn unreachable_receiver_fails_every_delivery() {
        agntix_api::install_crypto_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = endpoint(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        drop(listener);
        let client = client(&to, Roots::Only(Vec::new())).unwrap_or_else(|_| panic!("no client"));
        let secrets = WebhookSecrets::parse(SECRET).unwrap();
        for delivery in deliveries(&args(), &secrets, SystemClock.now()) {
            let report = Report::of(&delivery, send(&client, &to, &delivery).await);
            assert!(!report.is_right() && report.to_string().starts_with("WRONG"), "{report}");
        }
    }

    #[test]
    fn sample_is_a_test_unless_count_is_given() {
        let now = Timestamp::parse_rfc3339("2026-04-08T05:01:30Z").unwrap();
        assert!(sample(false, "s", now).contains(r#""eventType":"webhook.test""#));
        let counted = sample(true, "s", now);
        assert!(counted.contains(r#""eventType":"session.ended""#));
        let session = serde_json::from_str(&counted).unwrap();
        let facts = observation::observe(&session, &ObservationConfig::from(&Config::default()), now).unwrap();
        assert!(facts.outcome.is_some() && facts.malformed.is_empty(), "it needs no request to be counted");
    }

    #[test]
    fn a_repeated_delivery_keeps_its_id_and_others_have_their_own() {
        let secrets = WebhookSecrets::parse(SECRET).unwrap();
        let ids: Vec<_> = deliveries(&args(), &secrets, SystemClock.now()).into_iter().map(|d| d.id).collect();
        assert!(ids[0] == ids[1] && ids[1] != ids[2] && ids[2] != ids[3], "{ids:?}");
        let plain =
            WebhookTestArgs { forged: false, stale: false, repeated: false, session: Some("mine".into()), ..args() };
        let deliveries = deliveries(&plain, &secrets, SystemClock.now());
        assert!(deliveries.len() == 1 && deliveries[0].body.contains(r#""id":"mine""#));
    }

    #[test]
    fn errors_do_not_show_the_secret() {
        assert!(endpoint("hooks.example").unwrap_err().starts_with("--to is \"hooks.example\", but must be a URL"));
        assert!(endpoint("ftp://hooks.example").is_err());
        assert!(
            secrets(&args(), None).unwrap_err().starts_with("there is no secret to sign with; set AGNTIX_WEBHOOK_S")
        );
        let error = secrets(&args(), Some(&"whsec_hunter2".into())).unwrap_err();
        assert!(error.starts_with("AGNTIX_WEBHOOK_SECRET is not a signing secret") && !error.contains("hunter2"));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, SECRET).unwrap();
        let with_file = WebhookTestArgs { secret_file: Some(path), ..args() };
        assert!(secrets(&with_file, Some(&"whsec_hunter2".into())).is_ok(), "the flag beats the environment");
    }
}
