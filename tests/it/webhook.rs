//! The webhook: what it is told is counted without a request, a 2xx is a promise (P4), and whoever sends what is not right
//! is told so and costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use agntix_exporter::agntix::WebhookSecrets;
use agntix_exporter::clock::{Clock as _, SystemClock};
use agntix_exporter::simulator::{DeliveryConfig, DeliveryRecord, Route, SimulatorConfig};

use crate::support::{Api, Daemon, Reply, Setup, number, request, total, until};

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEXT_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub const PATH: &str = "/webhooks/agntix";

/// Sessions that are all over and analysed by now, each analysis whole.
pub fn finished(total: u64) -> SimulatorConfig {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    // However many they are, the last one ended a quarter of an hour ago.
    let per_second = (f64::from(u32::try_from(total).unwrap()) / 900.0).max(10.0);
    SimulatorConfig { missing_part_share: 0.0, ..SimulatorConfig::load(start, per_second, total) }
}

/// An address that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub fn url(address: SocketAddr) -> String {
    format!("http://{address}{PATH}")
}

/// A daemon that takes deliveries on `webhook`, or beside everything else.
pub fn receiving(setup: Setup, webhook: Option<SocketAddr>) -> Setup {
    let setup = setup.set("WEBHOOK__ENABLED", "true").env("AGNTIX_WEBHOOK_SECRET", SECRET);
    match webhook {
        Some(address) => setup.set("WEBHOOK__LISTEN_ADDRESS", &address.to_string()),
        None => setup,
    }
}

/// Everything from the first session on, badly: repeated, late, in no order, with types that nobody knows.
pub fn disorderly(api: &Api, webhook: SocketAddr) -> DeliveryConfig {
    DeliveryConfig {
        since: Some(api.simulator.config().start),
        repeated_share: 0.3,
        out_of_order_share: 0.2,
        delayed_share: 0.2,
        unknown_share: 0.1,
        backoff_scale: 0.001,
        ..DeliveryConfig::new(&url(webhook), vec![SECRET.parse().unwrap()]).unwrap()
    }
}

/// Waits until every delivery was acknowledged; all attempts.
fn delivered(api: &Api) -> Vec<DeliveryRecord> {
    let mut progress = api.simulator.delivery_progress().unwrap();
    while !progress.done {
        let before = progress.acknowledged;
        progress = until("a delivery to be acknowledged", || {
            api.simulator.delivery_progress().filter(|progress| progress.done || progress.acknowledged > before)
        });
    }
    assert_eq!(progress.given_up, 0, "{progress:?}");
    api.simulator.deliveries()
}

fn session_requests(api: &Api) -> Vec<String> {
    let requests = api.simulator.requests().into_iter().filter(|request| request.route == Route::Session);
    requests.map(|request| request.path).collect()
}

/// The counter of deliveries, by event and outcome; those that have not happened are left out.
fn outcomes(daemon: &Daemon) -> BTreeMap<String, f64> {
    const NAME: &str = "agntix_exporter_webhook_deliveries_total{";
    let samples = daemon.samples().into_iter().filter(|(_, value)| *value > 0.0);
    samples
        .filter_map(|(name, value)| Some((name.strip_prefix(NAME)?.trim_end_matches('}').to_owned(), value)))
        .collect()
}

#[test]
fn complete_deliveries_are_counted_without_a_request() {
    for hidden_status in [403, 404] {
        let api = Api::start(SimulatorConfig { hidden_share: 0.2, hidden_status, ..finished(800) });
        let (state, webhook) = (tempfile::tempdir().unwrap(), free_address());
        let setup = Setup::new(api.address, &state.path().join("state"))
            .set("SESSIONS__LISTING", "false")
            // An open session is asked for before its end is delivered, if that takes longer than this.
            .set("POLL__OPEN_INTERVAL", "1h");
        let daemon = receiving(setup, Some(webhook)).start();
        api.simulator.set_deliveries(Some(disorderly(&api, webhook))).unwrap();
        let attempts = delivered(&api);
        daemon.shows(&api.truth());
        assert_eq!(session_requests(&api), [""; 0]);
        assert!(attempts.iter().all(|attempt| attempt.status == 200), "{:?}", daemon.log());

        let (samples, outcomes) = (daemon.samples(), outcomes(&daemon));
        let sessions = number(api.sessions().len());
        // Word of commits made at the same moment may come in another order than theirs; then one may be left out.
        let heard = samples[r#"agntix_exporter_sessions_discovered_total{source="webhook"}"#];
        assert!(heard <= sessions && heard > sessions * 0.98, "{heard} of {sessions}");
        assert_eq!(samples[r#"agntix_exporter_sessions_tracked{stage="ended"}"#], 0.0);
        assert_eq!(samples["agntix_exporter_webhook_missed_sessions_total"], 0.0);
        assert_eq!(outcomes[r#"event="session.ended",outcome="counted""#], sessions);
        assert!(outcomes[r#"event="other",outcome="ignored""#] > 50.0, "{outcomes:?}");
        assert!(outcomes[r#"event="session.created",outcome="known""#] > 50.0, "{outcomes:?}");
        assert_eq!(outcomes.values().sum::<f64>(), number(attempts.len()));
        assert_eq!(daemon.lines_with("level=warn") + daemon.lines_with("level=error"), 0, "{}", daemon.log());
    }
}

/// A session that the credential cannot read, and of which only the start was delivered, says nothing of the credential.
#[test]
fn hidden_sessions_do_not_look_like_a_credential_without_a_scope() {
    let start = SystemClock.now().minus(Duration::from_secs(4));
    let config = SimulatorConfig { hidden_share: 1.0, hidden_status: 403, ..SimulatorConfig::load(start, 10.0, 20) };
    let api = Api::start(config);
    let (state, webhook) = (tempfile::tempdir().unwrap(), free_address());
    let setup = Setup::new(api.address, &state.path().join("state")).set("SESSIONS__LISTING", "false");
    let daemon = receiving(setup, Some(webhook)).start();
    let starts = DeliveryConfig { ended: false, ..disorderly(&api, webhook) };
    api.simulator.set_deliveries(Some(starts)).unwrap();
    delivered(&api);
    until("all to be asked for", || {
        let asked: BTreeSet<_> = session_requests(&api).into_iter().collect();
        (asked.len() == api.sessions().len()).then_some(())
    });
    until("all to be over", || (api.simulator.now() > start.plus(Duration::from_secs(10))).then_some(()));
    assert_eq!(daemon.sample("agntix_up"), Some(1.0), "{}", daemon.log());
    api.simulator.set_deliveries(None).unwrap();
    api.simulator.set_deliveries(Some(disorderly(&api, webhook))).unwrap();
    delivered(&api);
    daemon.shows(&api.truth());
    assert_eq!(daemon.sample("agntix_up"), Some(1.0), "{}", daemon.log());
}

/// Listing, webhook and stream tell of the same sessions, while the daemon is killed again and again.
fn everything_at_once(sessions: u64, kills: u32) {
    let hidden = SimulatorConfig { hidden_share: 0.05, expired_share: 0.1, ..finished(sessions) };
    let api = Api::start(SimulatorConfig { unlisted_share: 0.2, ..hidden });
    let (state, webhook) = (tempfile::tempdir().unwrap(), free_address());
    let setup = Setup::new(api.address, &state.path().join("state"))
        .set("API__MAX_CONCURRENCY", "2")
        .set("STREAM__ENABLED", "true")
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s")
        .set("LOG__LEVEL", "warn,agntix_exporter::cli=info,agntix_exporter::lifecycle=info");
    let setup = receiving(setup, Some(webhook)).env("AGNTIX_WEBHOOK_SECRET", &format!("{SECRET},{NEXT_SECRET}"));
    let mut deliveries = DeliveryConfig {
        truncated_share: 0.3,
        repeated_share: 0.5,
        out_of_order_share: 0.4,
        parallelism: 4,
        backoff_scale: 0.0004,
        ..disorderly(&api, webhook)
    };
    api.simulator.set_deliveries(Some(deliveries.clone())).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut before = BTreeMap::new();
    let mut killed_at_work = 0;
    for kill in 0..kills {
        let secrets: &[&str] = match 3 * kill / kills {
            0 => &[SECRET],
            1 => &[SECRET, NEXT_SECRET],
            _ => &[NEXT_SECRET],
        };
        let secrets: Vec<_> = secrets.iter().map(|secret| secret.parse().unwrap()).collect();
        if deliveries.secrets != secrets {
            deliveries.secrets = secrets;
            api.simulator.set_deliveries(Some(deliveries.clone())).unwrap();
        }
        let daemon = setup.start();
        // The instant of the kill is what is random here; nothing depends on its length.
        std::thread::sleep(Duration::from_millis(random.u64(0..250)));
        if let Some((200, page)) = daemon.try_get("/metrics") {
            let now = crate::support::durable(&crate::support::samples(&page));
            for (name, value) in before.iter().filter(|_| !now.is_empty()) {
                assert!(now.get(name) >= Some(value), "{name} fell from {value} to {:?}", now.get(name));
            }
            before = if now.is_empty() { before } else { now };
        }
        killed_at_work += u32::from(api.simulator.delivery_progress().is_some_and(|progress| !progress.done));
        daemon.kill();
    }
    assert!(killed_at_work > kills / 4, "only {killed_at_work} kills fell into the work");
    let daemon = setup.start();
    let attempts = delivered(&api);
    daemon.shows(&api.truth());
    // Hidden and unlisted sessions can only have come from a delivery.
    let told: BTreeSet<&str> =
        attempts.iter().filter(|attempt| attempt.status == 200).map(|attempt| attempt.session_id.as_str()).collect();
    assert_eq!(told.len(), api.sessions().len());
    assert!(attempts.iter().any(|attempt| attempt.status == 0), "no delivery met a kill");
    assert!(attempts.iter().all(|attempt| matches!(attempt.status, 0 | 200 | 503)));
}

#[test]
fn all_sources_and_kills_at_any_instant_count_each_session_once() {
    everything_at_once(4_000, 60);
}

#[test]
#[ignore = "takes minutes: 100,000 sessions and 300 kills"]
fn all_sources_and_kills_count_each_of_100_000_sessions_once() {
    everything_at_once(100_000, 300);
}

/// A delivery in the making.
struct Sent {
    id: &'static str,
    secret: &'static str,
    age: i64,
    content_type: Option<&'static str>,
    without: &'static str,
    /// A first header, so that it is seen which delivery arrives.
    first: String,
    body: Vec<u8>,
}

impl Sent {
    fn new(body: impl Into<Vec<u8>>) -> Self {
        let content_type = Some("application/json");
        Self { id: "msg_1", secret: SECRET, age: 0, content_type, without: "", first: String::new(), body: body.into() }
    }

    fn headers(&self) -> String {
        let timestamp = SystemClock.now().as_millis() / 1000 - self.age;
        let signature = WebhookSecrets::parse(self.secret).unwrap().sign(self.id, timestamp, &self.body);
        let (id, timestamp) = (self.id.to_owned(), timestamp.to_string());
        let named = [("svix-id", id), ("svix-timestamp", timestamp), ("svix-signature", signature)];
        let named = named.into_iter().filter(|(name, _)| *name != self.without);
        let kind = self.content_type.map(|kind| ("content-type", kind.to_owned()));
        let first = (!self.first.is_empty()).then(|| ("x-first", self.first.clone()));
        first.into_iter().chain(named).chain(kind).map(|(name, value)| [name, ": ", &value, "\r\n"].concat()).collect()
    }

    fn send(&self, to: SocketAddr) -> Reply {
        post(to, &format!("content-length: {}\r\n{}", self.body.len(), self.headers()), &self.body)
    }

    fn send_in_chunks(&self, to: SocketAddr) -> Reply {
        let chunks = self
            .body
            .chunks(60_000)
            .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        let body = [chunks.collect::<Vec<_>>().concat(), b"0\r\n\r\n".to_vec()].concat();
        post(to, &format!("transfer-encoding: chunked\r\n{}", self.headers()), &body)
    }
}

/// `POST` to the webhook. A server that has answered may close before all was sent.
fn post(to: SocketAddr, headers: &str, body: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{headers}\r\n");
    let mut writing = stream.try_clone().unwrap();
    let all = [head.as_bytes(), body].concat();
    let writer = std::thread::spawn(move || drop(writing.write_all(&all)));
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..length]);
    }
    // A body that nobody reads is not written to its end.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    writer.join().unwrap();
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Reply { status, headers, body: body.into() }
}

const PERSON: &str = "Zyxwvut Personally";

fn session(event: &str, id: &str, whole: bool) -> String {
    let now = SystemClock.now();
    let [created, ended] = [120, 60].map(|ago| now.minus(Duration::from_secs(ago)).to_string());
    let analysis = serde_json::json!({
        "summary": PERSON,
        "resolution": {"classification": "RESOLVED", "confidence": 90, "explanation": PERSON},
        "sentiment": {"conversation": {"classification": "POSITIVE", "score": 0.5}},
        "intent": {"conversation": {"classification": "Order-Status", "confidence": 80}},
        "extractedData": {},
    });
    serde_json::json!({
        "eventType": event, "id": id, "agentId": "agent-1", "type": "CHAT", "platform": "WEB", "direction": "INBOUND",
        "state": "CLOSED", "createdAt": created, "updatedAt": ended, "endedAt": ended, "customer": {"name": PERSON},
        "analysis": if whole { analysis } else { serde_json::Value::Null },
    })
    .to_string()
}

/// An API without sessions, and a daemon that is past its look-back.
fn quiet(more: impl FnOnce(Setup) -> Setup) -> (Api, tempfile::TempDir, Daemon, SocketAddr) {
    let api = Api::start(SimulatorConfig {
        until: Some(SystemClock.now().minus(Duration::from_secs(86_400))),
        ..finished(1)
    });
    let (state, webhook) = (tempfile::tempdir().unwrap(), free_address());
    let setup = Setup::new(api.address, &state.path().join("state"))
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s")
        .set("LOG__LEVEL", "trace");
    let daemon = more(receiving(setup, Some(webhook))).start();
    (api, state, daemon, webhook)
}

/// Waits until the look-back is over and the metric comes to this.
fn shows(daemon: &Daemon, name: &str, value: f64) {
    until(name, || (total(&daemon.samples(), name) == value).then_some(()));
}

const MIB: usize = 1024 * 1024;

#[test]
fn each_delivery_is_answered_by_what_became_of_it() {
    let (_api, state, daemon, webhook) = quiet(|setup| setup);
    let whole = || Sent::new(session("session.ended", "s-1", true));
    let spaced = |size: usize| {
        let mut body = session("session.ended", "s-1", true).into_bytes();
        body.resize(size, b' ');
        Sent::new(body)
    };
    let cases = [
        (whole(), 200, "session.ended", "counted"),
        (whole(), 200, "session.ended", "known"),
        (Sent { age: 280, id: "msg_2", ..whole() }, 200, "session.ended", "known"),
        (Sent { content_type: Some("Application/JSON; charset=utf-8"), ..whole() }, 200, "session.ended", "known"),
        (Sent { content_type: None, ..whole() }, 200, "session.ended", "known"),
        (spaced(MIB), 200, "session.ended", "known"),
        (Sent::new(session("session.created", "s-1", true)), 200, "session.created", "known"),
        (Sent::new(session("session.closed", "s-1", true)), 200, "session.ended", "known"),
        (Sent::new(session("session.ended", "s-2", false)), 200, "session.ended", "pending"),
        (Sent::new(session("session.transferred", "s-1", true)), 200, "other", "ignored"),
        (Sent::new(r#"{"eventType":"session.transferred"}"#), 200, "other", "ignored"),
        (Sent::new(""), 400, "unread", "malformed"),
        (Sent::new("[1,2"), 400, "unread", "malformed"),
        (Sent::new("{}"), 400, "unread", "malformed"),
        (Sent::new(r#"{"eventType":7,"id":"s-3"}"#), 400, "unread", "malformed"),
        (Sent::new(r#"{"eventType":"session.ended"}"#), 400, "session.ended", "malformed"),
        (Sent { secret: NEXT_SECRET, ..whole() }, 401, "unread", "forged"),
        (Sent { age: 330, ..whole() }, 401, "unread", "stale"),
        (Sent { age: -330, ..whole() }, 401, "unread", "stale"),
        (Sent { without: "svix-id", ..whole() }, 401, "unread", "missing"),
        (Sent { without: "svix-timestamp", ..whole() }, 401, "unread", "missing"),
        (Sent { without: "svix-signature", ..whole() }, 401, "unread", "missing"),
        (Sent { content_type: Some("text/plain"), ..whole() }, 415, "unread", "not_json"),
        (spaced(MIB + 1), 413, "unread", "too_large"),
    ];
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    for (number, (sent, status, event, outcome)) in cases.iter().enumerate() {
        let reply = sent.send(webhook);
        assert_eq!(reply.status, *status, "case {number}, {event} {outcome}: {reply:?}");
        *expected.entry(format!(r#"event="{event}",outcome="{outcome}""#)).or_default() += 1.0;
        assert!(!reply.text().contains(PERSON));
    }
    let large = spaced(MIB + 1).send_in_chunks(webhook);
    assert_eq!(large.status, 413, "{large:?}");
    *expected.get_mut(r#"event="unread",outcome="too_large""#).unwrap() += 1.0;
    assert_eq!(spaced(MIB).send_in_chunks(webhook).status, 200);
    *expected.get_mut(r#"event="session.ended",outcome="known""#).unwrap() += 1.0;
    assert_eq!(request(webhook, "GET", PATH).unwrap().0, 405);
    assert_eq!(outcomes(&daemon), expected);

    shows(&daemon, "agntix_session_outcomes_total", 1.0);
    shows(&daemon, "agntix_sessions_ended_total", 2.0);
    until("the truncated one to be asked for", || daemon.log().contains("session=s-2").then_some(()));
    for place in [daemon.log(), daemon.get("/metrics").1, daemon.get("/").1, daemon.open_metrics()] {
        for private in ["Zyxwvut", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,"] {
            assert!(!place.contains(private), "{private} in {place}");
        }
    }
    for file in std::fs::read_dir(state.path().join("state")).unwrap() {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"Zyxwvut"), "{}", file.display());
    }
}

#[test]
fn a_secret_file_is_read_again_when_it_changes() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let (_api, _state, _daemon, webhook) =
        quiet(|setup| setup.unset("AGNTIX_WEBHOOK_SECRET").set("WEBHOOK__SECRET_FILE", &file.display().to_string()));
    let old = Sent::new(session("session.ended", "s-1", true));
    let new = Sent { secret: NEXT_SECRET, ..Sent::new(session("session.ended", "s-2", true)) };
    assert_eq!((old.send(webhook).status, new.send(webhook).status), (200, 401));
    std::fs::write(&file, format!("{SECRET}\n{NEXT_SECRET}\n")).unwrap();
    until("both secrets to be taken", || (new.send(webhook).status == 200).then_some(()));
    assert_eq!(old.send(webhook).status, 200);
    std::fs::write(&file, NEXT_SECRET).unwrap();
    until("the old secret to be refused", || (old.send(webhook).status == 401).then_some(()));
    assert_eq!(new.send(webhook).status, 200);
}

#[test]
fn a_listener_of_its_own_has_nothing_but_the_webhook() {
    let (_api, _state, mut daemon, webhook) = quiet(|setup| setup);
    for path in ["/metrics", "/", "/-/ready", "/-/reload", "/-/reference", "/webhooks", "/webhooks/agntix/"] {
        assert_eq!(request(webhook, "GET", path).unwrap().0, 404, "{path}");
        assert_eq!(request(webhook, "POST", path).unwrap().0, 404, "{path}");
    }
    assert_eq!(request(webhook, "GET", "/-/healthy").unwrap(), (200, "Healthy.\n".into()));
    let sent = Sent::new(session("session.ended", "s-1", true));
    assert_eq!(sent.send(daemon.address).status, 404);
    assert_eq!(daemon.get("/-/healthy").0, 200);
    assert_eq!(sent.send(webhook).status, 200);
    shows(&daemon, "agntix_session_outcomes_total", 1.0);

    // Connections there, idle or in the middle of a delivery, do not keep the daemon from stopping.
    let _idle = TcpStream::connect(webhook).unwrap();
    let mut unfinished = TcpStream::connect(webhook).unwrap();
    write!(unfinished, "POST {PATH} HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n{{").unwrap();
    daemon.stops_on("TERM");
}

#[test]
fn one_listener_can_serve_both_and_a_disabled_webhook_is_not_there() {
    let (_api, _state, daemon, _) = quiet(|setup| setup.unset("WEBHOOK__LISTEN_ADDRESS"));
    let sent = Sent::new(session("session.ended", "s-1", true));
    assert_eq!(sent.send(daemon.address).status, 200);
    assert_eq!(request(daemon.address, "GET", PATH).unwrap().0, 405);
    assert_eq!((daemon.get("/").0, daemon.get("/nothing").0), (200, 404));
    shows(&daemon, "agntix_session_outcomes_total", 1.0);
    drop(daemon);

    let (_api, _state, daemon, webhook) = quiet(|setup| setup.set("WEBHOOK__ENABLED", "false"));
    assert_eq!(sent.send(daemon.address).status, 404);
    assert!(TcpStream::connect(webhook).is_err());
}

#[test]
fn without_a_secret_it_does_not_start_and_the_message_names_both_places() {
    let state = tempfile::tempdir().unwrap();
    let setup = receiving(Setup::new(free_address(), &state.path().join("state")), None).unset("AGNTIX_WEBHOOK_SECRET");
    let (code, said) = setup.run();
    assert!(code == Some(2) || code == Some(1), "{code:?} {said}");
    assert!(said.contains("AGNTIX_WEBHOOK_SECRET") && said.contains("webhook.secret_file"), "{said}");
}

#[test]
#[ignore = "needs root, to mount a small disk"]
fn while_nothing_can_be_saved_it_says_so_and_a_later_retry_counts() {
    let place = tempfile::tempdir().unwrap();
    let disk = place.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = format!("mount -t tmpfs -o size=24m none {} && exec \"$0\" \"$@\"", disk.display());
    let (_api, _state, daemon, webhook) = quiet(|setup| {
        setup
            .set("STATE__PATH", &disk.join("state").display().to_string())
            .through(&["unshare", "--mount", "sh", "-c", &script])
    });
    assert_eq!(Sent::new(session("session.ended", "s-0", true)).send(webhook).status, 200);
    let ballast = format!("/proc/{}/root{}/ballast", daemon.id(), disk.display());
    let fill = || {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&ballast).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0x55; size]).is_ok() {}
        }
    };
    let sent = Sent::new(session("session.ended", "s-full", true));
    let refusal = until("a refusal", || {
        fill();
        let id = format!("s-{}", fastrand::u64(..));
        let reply = Sent::new(session("session.ended", &id, true)).send(webhook);
        (reply.status == 503).then_some(reply)
    });
    assert_eq!(refusal.header("retry-after"), Some("5"), "{refusal:?}");
    let counted = outcomes(&daemon)[r#"event="session.ended",outcome="counted""#];
    assert!(outcomes(&daemon)[r#"event="session.ended",outcome="failed""#] >= 1.0);
    std::fs::remove_file(&ballast).unwrap();
    until("the retry to be taken", || (sent.send(webhook).status == 200).then_some(()));
    // What was answered 2xx is counted, and nothing else.
    shows(&daemon, "agntix_session_outcomes_total", counted + 1.0);
}

/// Those who send a byte a second take neither the scrape's place nor that of good deliveries.
#[test]
fn thousands_of_slow_senders_hold_up_neither_scrapes_nor_deliveries() {
    const SENDERS: usize = 5_000;
    crate::support::allow_files(SENDERS as u64 + 1_000);
    let (_api, _state, daemon, webhook) = quiet(|setup| setup.set("LOG__LEVEL", "info"));
    let head =
        "POST /webhooks/agntix HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        let Ok(mut sender) = TcpStream::connect(webhook) else { break };
        // Half of them are slow with the body already, the others with the head.
        let sent = if number % 2 == 0 { head } else { &head[..20] };
        if sender.write_all(sent.as_bytes()).is_ok() {
            senders.push(sender);
        }
    }
    assert!(senders.len() > SENDERS * 9 / 10, "{} files are too few", senders.len());
    for round in 0..5 {
        for sender in &mut senders {
            // Those who had to give way cannot write.
            let _ = sender.write_all(b" ");
        }
        let began = Instant::now();
        assert_eq!(daemon.get("/metrics").0, 200);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "a scrape took {took:?}");
        let reply = Sent::new(session("session.ended", &format!("s-{round}"), true)).send(webhook);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(request(webhook, "GET", "/-/healthy").unwrap().0, 200);
    }
    assert!(daemon.memory_mib("VmHWM") < 250.0, "{} MiB", daemon.memory_mib("VmHWM"));
    shows(&daemon, "agntix_session_outcomes_total", 5.0);
}

/// P4, as the kernel saw it: between the arrival of a delivery and its acknowledgement a sync begins and ends.
#[test]
#[ignore = "needs strace"]
fn no_delivery_is_acknowledged_before_a_sync_that_began_after_it_arrived() {
    const DELIVERIES: usize = 500;
    assert!(
        Command::new("strace").arg("-V").output().is_ok(),
        "this test needs strace: install the Debian package strace"
    );
    let place = tempfile::tempdir().unwrap();
    let trace = place.path().join("trace");
    let trace = trace.to_str().unwrap();
    let calls = "trace=fdatasync,fsync,recvfrom,read,sendto,write,writev,sendmsg";
    let (_api, _state, daemon, webhook) = quiet(|setup| {
        setup.set("LOG__LEVEL", "info").through(&["strace", "-D", "-f", "-s", "200", "-o", trace, "-e", calls])
    });
    let ids: Vec<String> = (0..DELIVERIES).map(|number| format!("traced-{number:05}-")).collect();
    std::thread::scope(|scope| {
        for part in ids.chunks(DELIVERIES / 10) {
            scope.spawn(move || {
                for id in part {
                    let sent = Sent { first: id.clone(), ..Sent::new(session("session.ended", id, true)) };
                    assert_eq!(sent.send(webhook).status, 200);
                }
            });
        }
    });
    shows(&daemon, "agntix_session_outcomes_total", number(DELIVERIES));
    drop(daemon);
    let trace = until("the trace to be whole", || {
        let trace = std::fs::read_to_string(trace).unwrap();
        trace.contains("+++ killed by SIGKILL").then_some(trace)
    });
    check_trace(&trace, &ids);
}

/// Each line is `PID CALL(...) = RESULT`, or the two halves of one that others came between.
fn check_trace(trace: &str, ids: &[String]) {
    let (mut syncing, mut syncs) = (BTreeMap::<&str, usize>::new(), Vec::new());
    let mut connections = BTreeMap::<String, usize>::new();
    let (mut arrivals, mut acknowledged) = (BTreeSet::new(), 0);
    let mut halves = BTreeMap::<&str, &str>::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let resumed = call.starts_with("<...");
        if call.contains("<unfinished ...>") {
            halves.insert(process, call);
        }
        let first = if resumed { halves.remove(process).unwrap_or(call) } else { call };
        let ends = !call.contains("<unfinished ...>");
        let file = || first.split(['(', ',', ')']).nth(1).unwrap_or_default().trim().to_owned();
        if first.starts_with("fdatasync(") || first.starts_with("fsync(") {
            if !resumed {
                syncing.insert(process, number);
            }
            if ends && call.ends_with("= 0") {
                syncs.extend(syncing.remove(process).map(|began| (began, number)));
            }
        } else if (first.starts_with("recvfrom(") || first.starts_with("read(")) && ends {
            if let Some(id) = ids.iter().find(|id| call.contains(id.as_str())) {
                arrivals.insert(id);
                connections.insert(file(), number);
            }
        } else if !resumed && call.contains("HTTP/1.1 200 OK") && call.contains("Counted.") {
            let arrived = connections.remove(&file());
            let arrived = arrived.unwrap_or_else(|| panic!("nothing arrived before {line}"));
            assert!(syncs.iter().rev().any(|(began, _)| *began > arrived), "no sync before {line}");
            acknowledged += 1;
        }
    }
    assert_eq!((arrivals.len(), acknowledged), (ids.len(), ids.len()), "the trace does not show everything");
}

/// Twenty deliveries, of all kinds of text, signed and posted by a program.
fn signed_by(name: &str, program: impl Fn() -> Command) {
    let (_api, state, daemon, webhook) = quiet(|setup| setup.set("LOG__LEVEL", "info"));
    let files: Vec<_> = (0..20)
        .map(|number| {
            let odd = ["plain", "äöü", "\u{1f600}", "\\\" \n", "日本語"][number % 5];
            let mut body: serde_json::Value =
                serde_json::from_str(&session("session.ended", &format!("{name}-{number}"), true)).unwrap();
            body["analysis"]["summary"] = odd.into();
            let file = state.path().join(format!("body-{number}"));
            // Both ways of writing it: the signature is of bytes, not of what they mean.
            let text = if number % 2 == 0 { body.to_string() } else { serde_json::to_string_pretty(&body).unwrap() };
            std::fs::write(&file, text).unwrap();
            file
        })
        .collect();
    for (secret, status) in [(SECRET, "200"), (NEXT_SECRET, "401")] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let output = program().arg(script).args([&url(webhook), secret]).args(&files).output();
        let output = output.unwrap_or_else(|error| panic!("{name} does not run: {error}"));
        let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.lines().collect::<Vec<_>>(), [status; 20], "{name}: {complaint}");
    }
    shows(&daemon, "agntix_session_outcomes_total", 20.0);
}

#[test]
#[ignore = "needs Svix's libraries from .ci/tools"]
fn what_svix_signs_in_python_is_accepted() {
    let python = crate::support::tool::locate("SVIX_PYTHON", "svix-python/bin/python");
    signed_by("svix_deliver.py", || Command::new(&python));
}

#[test]
#[ignore = "needs Svix's libraries from .ci/tools"]
fn what_svix_signs_in_node_is_accepted() {
    let library = crate::support::tool::locate("SVIX_NODE", "svix-node/node_modules/svix/package.json");
    signed_by("svix_deliver.cjs", || {
        let mut node = Command::new("node");
        node.env("NODE_PATH", library.ancestors().nth(2).unwrap());
        node
    });
}
