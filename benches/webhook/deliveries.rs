//! Signed deliveries of complete sessions, each of another one, and a light client that sends them over kept connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agntix_api::WebhookSecrets;
use agntix_exporter::clock::{Clock as _, SystemClock, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub const PATH: &str = "/webhooks/agntix";
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SESSION: &str = include_str!("../../tests/fixtures/session-closed.json");
const SESSION_ID: &str = "4981804c-2658-4893-84ff-9c2fa90fb3c2";
/// What a delivery of a short conversation has.
const BODY_BYTES: usize = 2_200;
/// Bodies that differ in more than the session: agents, channels, outcomes, intents, durations.
const VARIANTS: usize = 960;

/// Makes deliveries.
pub struct Deliveries {
    secrets: WebhookSecrets,
    bodies: Vec<Body>,
    next: AtomicU64,
    /// Another one each time, so that sessions of an earlier run are not met again.
    run: u32,
}

/// A body, and where the session's id stands in it.
struct Body {
    text: Vec<u8>,
    ids: Vec<usize>,
}

impl Deliveries {
    pub fn new() -> Self {
        Self {
            secrets: WebhookSecrets::parse(SECRET).unwrap(),
            bodies: (0..VARIANTS).map(Body::new).collect(),
            next: AtomicU64::new(0),
            run: fastrand::u32(..),
        }
    }

    /// Replaces `request` by the delivery of the next session.
    fn write(&self, host: SocketAddr, scratch: &mut Vec<u8>, request: &mut Vec<u8>) {
        use std::io::Write as _;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let body = &self.bodies[usize::try_from(number).unwrap() % VARIANTS];
        scratch.clone_from(&body.text);
        let id = format!("{:08x}-2658-4893-84ff-{number:012x}", self.run);
        for at in &body.ids {
            scratch[*at..at + id.len()].copy_from_slice(id.as_bytes());
        }
        let (message, seconds) = (format!("msg_{:08x}{number:015x}", self.run), SystemClock.now().as_millis() / 1000);
        let signature = self.secrets.sign(&message, seconds, scratch);
        request.clear();
        write!(
            request,
            "POST {PATH} HTTP/1.1\r\nhost: {host}\r\nuser-agent: Svix-Webhooks/1.0\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nsvix-id: {message}\r\nsvix-timestamp: {seconds}\r\nsvix-signature: {signature}\r\n\r\n",
            scratch.len()
        )
        .unwrap();
        request.extend_from_slice(scratch);
    }
}

impl Body {
    fn new(variant: usize) -> Self {
        let of = |choices: &[&str], by: usize| json!(choices[variant / by % choices.len()]);
        let mut body: Value = serde_json::from_str(SESSION).unwrap();
        let created = SystemClock.now().minus(Duration::from_secs(300 + variant as u64 % 240));
        let ended = created.plus(Duration::from_millis(2_000 + 977 * (variant as u64 * 7 % 240)));
        body["eventType"] = json!("session.ended");
        body["agentId"] = json!(format!("40235145-aa3d-443e-9d0c-{:012x}", variant % 8));
        body["type"] = of(&["VOICE", "CHAT"], 8);
        body["platform"] = of(&["PHONE", "WEB", "WHATSAPP"], 16);
        for (key, at) in [("createdAt", created), ("endedAt", ended), ("lastActivityAt", ended), ("updatedAt", ended)] {
            body[key] = json!(rfc3339(at));
        }
        let analysis = &mut body["analysis"];
        analysis["resolution"]["classification"] =
            of(&["RESOLVED", "PARTIALLY_RESOLVED", "UNRESOLVED", "NOT_APPLICABLE"], 5);
        analysis["sentiment"]["conversation"]["sentiment"] = of(&["POSITIVE", "NEUTRAL", "NEGATIVE"], 7);
        analysis["sentiment"]["conversation"]["detectedLanguage"] = of(&["en", "de", "es"], 11);
        analysis["intent"]["conversation"]["intent"] =
            of(&["Slot-Confirmed", "Refund", "Complaint", "Address-Change", "Order-Status"], 13);
        let missing = BODY_BYTES.saturating_sub(body.to_string().len());
        analysis_summary(&mut body, missing);
        let text = body.to_string().into_bytes();
        let ids = text.windows(SESSION_ID.len()).enumerate().filter(|(_, bytes)| *bytes == SESSION_ID.as_bytes());
        let ids: Vec<usize> = ids.map(|(at, _)| at).collect();
        assert!(!ids.is_empty() && text.len() >= BODY_BYTES, "the sample session has changed");
        Self { text, ids }
    }
}

/// Makes the summary longer by so many bytes.
fn analysis_summary(body: &mut Value, bytes: usize) {
    let summary = body["analysis"]["summary"].as_str().unwrap();
    let more: String = summary.chars().cycle().take(bytes).collect();
    body["analysis"]["summary"] = json!(format!("{summary}{more}"));
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap().to_string()
}

/// What the client saw.
#[derive(Default)]
pub struct Load {
    pub took: Duration,
    pub accepted: u64,
    /// Any other answer than 200.
    pub refused: u64,
    /// Microseconds of every answer.
    pub latencies: Vec<u32>,
}

impl Load {
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
    pub fn per_second(&self) -> f64 {
        self.accepted as f64 / self.took.as_secs_f64()
    }

    /// The latency in milliseconds that a share of the answers kept to.
    pub fn percentile(&mut self, of_a_thousand: usize) -> f64 {
        self.latencies.sort_unstable();
        let index = (self.latencies.len() * of_a_thousand / 1000).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(index).map_or(f64::NAN, |micros| f64::from(*micros) / 1e3)
    }
}

/// Delivers over so many connections for so long, each connection one delivery after the other.
pub fn deliver(deliveries: &Arc<Deliveries>, to: SocketAddr, connections: usize, time: Duration) -> Load {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let began = Instant::now();
        let senders: Vec<_> = (0..connections)
            .map(|_| {
                let deliveries = Arc::clone(deliveries);
                tokio::task::spawn(async move { send(&deliveries, to, began + time).await })
            })
            .collect();
        let mut all = Load::default();
        for sender in senders {
            let load = sender.await.unwrap();
            all.accepted += load.accepted;
            all.refused += load.refused;
            all.latencies.extend(load.latencies);
        }
        all.took = began.elapsed();
        all
    })
}

async fn send(deliveries: &Deliveries, to: SocketAddr, until: Instant) -> Load {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut scratch, mut request, mut answer) = (Vec::new(), Vec::new(), vec![0; 4096]);
    let mut load = Load::default();
    while Instant::now() < until {
        deliveries.write(to, &mut scratch, &mut request);
        let began = Instant::now();
        stream.write_all(&request).await.unwrap();
        let mut read = 0;
        let accepted = loop {
            let more = stream.read(&mut answer[read..]).await.unwrap();
            assert!(more > 0, "the connection was closed: {:?}", String::from_utf8_lossy(&answer[..read]));
            read += more;
            if let Some(status) = whole(&answer[..read]) {
                break status == b"200";
            }
        };
        load.latencies.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        if accepted {
            load.accepted += 1;
        } else {
            load.refused += 1;
        }
    }
    load
}

/// The status, once the answer is there to its end.
fn whole(answer: &[u8]) -> Option<&[u8]> {
    const LENGTH: &[u8] = b"content-length: ";
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let length = answer[..head].windows(LENGTH.len()).position(|bytes| bytes.eq_ignore_ascii_case(LENGTH))?;
    let digits = answer[length + LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    (answer.len() >= head + 4 + length).then(|| &answer[9..12])
}
