//! A delivery in which one bit is other than it was signed is refused, whichever bit it is.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use agntix_api::WebhookSecrets;
use agntix_exporter::clock::{Clock as _, SystemClock};

use super::delivery::{Sender, session};
use super::{SECRET, outcomes, quiet, shows};
use crate::support::{number, total};

/// At a time; each on a connection of its own.
const SENDERS: usize = 4;

/// A delivery as bytes: what is signed, and the signature.
#[derive(Clone)]
struct Parts {
    id: Vec<u8>,
    timestamp: Vec<u8>,
    signature: Vec<u8>,
    body: Vec<u8>,
}

impl Parts {
    fn signed() -> Self {
        let (id, timestamp) = ("msg_2KWPBgLlAfxdpt2AI54pPJ85f4W", SystemClock.now().as_millis() / 1000);
        let mut body = session("session.ended", "mutated", true).into_bytes();
        // Long enough for 10,000 bits in all.
        body.resize(1_200, b' ');
        let signature = WebhookSecrets::parse(SECRET).unwrap().sign(id, timestamp, &body);
        Self { id: id.into(), timestamp: timestamp.to_string().into(), signature: signature.into(), body }
    }

    fn fields(&mut self) -> [&mut Vec<u8>; 4] {
        [&mut self.id, &mut self.timestamp, &mut self.signature, &mut self.body]
    }

    /// The same with one bit flipped, for each bit.
    fn mutated(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for field in 0..4 {
            for bit in 0..8 * self.clone().fields()[field].len() {
                let mut mutated = self.clone();
                mutated.fields()[field][bit / 8] ^= 1 << (bit % 8);
                all.push(mutated);
            }
        }
        all
    }

    fn headers(&self) -> Vec<u8> {
        let named: [(&str, &[u8]); 4] = [
            ("content-type", b"application/json"),
            ("svix-id", &self.id),
            ("svix-timestamp", &self.timestamp),
            ("svix-signature", &self.signature),
        ];
        named.map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"].concat()).concat()
    }

    /// Whether HTTP itself forbids what is in a header (RFC 9110, section 5.5).
    fn is_no_http(&self) -> bool {
        let values = self.id.iter().chain(&self.timestamp).chain(&self.signature);
        values.into_iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
    }
}

/// What became of the deliveries: refusals by the webhook, by status, and refusals by HTTP.
#[derive(Default)]
struct Refused {
    by_webhook: BTreeMap<u16, usize>,
    by_http: usize,
}

fn send_all(to: SocketAddr, mutated: &[Parts]) -> Refused {
    let (mut sender, mut refused) = (Sender::new(to), Refused::default());
    for parts in mutated {
        // A connection that was refused before is closed, possibly while this is sent.
        let post = |sender: &mut Sender| sender.post(&parts.headers(), &parts.body);
        let reply = post(&mut sender).or_else(|| post(&mut sender)).expect("an answer");
        assert!(matches!(reply.status, 400 | 401), "{reply:?}");
        if reply.body.is_empty() {
            assert!(parts.is_no_http() && reply.status == 400, "{reply:?}");
            refused.by_http += 1;
        } else {
            *refused.by_webhook.entry(reply.status).or_default() += 1;
        }
    }
    refused
}

#[test]
fn each_of_10_000_mutated_deliveries_is_refused_and_counts_nothing() {
    let (_api, _state, daemon, webhook) = quiet(|setup| setup.set("LOG__LEVEL", "info"));
    let signed = Parts::signed();
    let mutated = signed.mutated();
    assert!(mutated.len() > 10_000, "{}", mutated.len());
    let parts = mutated.chunks(mutated.len().div_ceil(SENDERS));
    let refused: Vec<Refused> = std::thread::scope(|scope| {
        let senders: Vec<_> = parts.map(|part| scope.spawn(move || send_all(webhook, part))).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });

    let by_http: usize = refused.iter().map(|refused| refused.by_http).sum();
    let by_webhook: usize = refused.iter().flat_map(|refused| refused.by_webhook.values()).sum();
    assert_eq!(by_http + by_webhook, mutated.len());
    let counted = outcomes(&daemon);
    assert_eq!(counted.values().sum::<f64>(), number(by_webhook), "{counted:?}");
    let refusals = ["forged", "malformed", "stale"].map(|outcome| format!(r#"event="unread",outcome="{outcome}""#));
    assert!(counted.keys().all(|outcome| refusals.contains(outcome)), "{counted:?}");
    let samples = daemon.samples();
    assert_eq!(total(&samples, "agntix_sessions_started_total") + total(&samples, "agntix_sessions_ended_total"), 0.0);
    assert_eq!(total(&samples, "agntix_exporter_sessions_tracked"), 0.0);

    // Nothing was wrong with it but the bits.
    assert_eq!(Sender::new(webhook).post(&signed.headers(), &signed.body).unwrap().status, 200);
    shows(&daemon, "agntix_session_outcomes_total", 1.0);
}
