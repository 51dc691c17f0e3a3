//! Those who send much, or slowly, hold up nobody else.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::delivery::{Sent, session};
use super::{quiet, shows};
use crate::support::request;

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
        // Whoever is held up by them waits for their time-outs.
        assert!(took < Duration::from_secs(5), "a scrape took {took:?}");
        let reply = Sent::new(session("session.ended", &format!("s-{round}"), true)).send(webhook);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(request(webhook, "GET", "/-/healthy").unwrap().0, 200);
    }
    assert!(daemon.memory_mib("VmHWM") < 250.0, "{} MiB", daemon.memory_mib("VmHWM"));
    shows(&daemon, "agntix_session_outcomes_total", 5.0);
}
