//! What each delivery is answered, by which listener and with which secret.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;

use super::delivery::{PERSON, Sent, session};
use super::{NEXT_SECRET, PATH, SECRET, outcomes, quiet, receiving, shows};
use crate::support::{Setup, free_address, request, until};

const MIB: usize = 1024 * 1024;
const OUTCOMES: &str = "agntix_session_outcomes_total";

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

/// P5: the analysis may change, and an event that Svix delivers late may say what was so before.
#[test]
fn an_end_delivered_twice_with_another_analysis_is_a_reclassification() {
    let (_api, _state, daemon, webhook) = quiet(|setup| setup);
    let first = session("session.ended", "s-1", true);
    let second = first.replace("\"RESOLVED\"", "\"UNRESOLVED\"");
    assert_ne!(first, second);
    for (body, told) in [(&first, "Counted.\n"), (&second, "Known already.\n"), (&second, "Known already.\n")] {
        let reply = Sent::new(body.as_str()).send(webhook);
        assert_eq!((reply.status, reply.text().as_str()), (200, told));
    }
    shows(&daemon, "agntix_session_reclassifications_total", 1.0);
    let samples = daemon.samples();
    let changed = r#"agntix_session_reclassifications_total{agent_id="agent-1",part="resolution"}"#;
    assert_eq!(samples.get(changed), Some(&1.0));
    let outcomes: Vec<_> = samples.iter().filter(|(name, value)| name.starts_with(OUTCOMES) && **value > 0.0).collect();
    assert!(
        outcomes.len() == 1 && outcomes[0].0.contains("resolution=\"resolved\"") && *outcomes[0].1 == 1.0,
        "{outcomes:?}"
    );
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
