//! The signature check beside Svix's own: what one accepts the other accepts, and what one refuses the other refuses for
//! the same reason.
//!
//! 100,000 deliveries, sound and damaged, and in an optimised build a million; `SIGNATURE_CASES` in the environment asks
//! for another number.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fastrand::Rng;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use svix::webhooks::{Webhook, WebhookError};

use crate::signature::{SignatureError, SignatureHeaders, WebhookSecrets};
use crate::time::Timestamp;

const THREADS: usize = 2;
const NAMES: [[&str; 3]; 2] =
    [["svix-id", "svix-timestamp", "svix-signature"], ["webhook-id", "webhook-timestamp", "webhook-signature"]];

/// One delivery, as it arrives.
struct Case {
    /// What the receiver has.
    secrets: Vec<String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

#[test]
fn svix_agrees_about_every_delivery() {
    let default = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    let cases = std::env::var("SIGNATURE_CASES").map_or(default, |text| text.parse::<usize>().unwrap());
    let outcomes = std::thread::scope(|scope| {
        let run = |thread| scope.spawn(move || compare(cases / THREADS, 2026 + thread));
        let threads: Vec<_> = (0..THREADS as u64).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(BTreeMap::new(), |mut sum, part| {
            for (outcome, count) in part {
                *sum.entry(outcome).or_insert(0) += count;
            }
            sum
        })
    });
    for outcome in ["accepted", "missing", "malformed", "stale", "forged"] {
        let count = outcomes.get(outcome).copied().unwrap_or_default();
        assert!(count > cases / 50, "too few to mean something: {outcomes:?}");
    }
}

/// How many deliveries had which outcome.
fn compare(cases: usize, seed: u64) -> BTreeMap<&'static str, usize> {
    let (mut random, mut outcomes) = (Rng::with_seed(seed), BTreeMap::new());
    for number in 0..cases {
        let case_seed = random.u64(..);
        let outcome = loop {
            let now = second();
            let case = Case::new(&mut Rng::with_seed(case_seed), now);
            let theirs = case.theirs();
            // Svix's library reads the clock by itself.
            if second() != now {
                continue;
            }
            let ours = case.ours(Timestamp::from_millis(now * 1000 + 999));
            assert_eq!(ours, theirs, "case {number} of seed {seed}: {case:?}");
            break ours;
        };
        *outcomes.entry(outcome).or_insert(0) += 1;
    }
    outcomes
}

/// Which secrets are read, and which are refused. This version of their library still takes base64 without its padding,
/// later ones do not; theirs are never too short for us here.
#[test]
fn svix_agrees_about_every_secret() {
    let mut random = Rng::with_seed(2026);
    let mut taken = 0;
    for _ in 0..20_000 {
        let mut text = secret(&mut random);
        if random.bool() {
            let at = random.usize(..text.len());
            text.replace_range(at..=at, ["", "=", "A", "_", "-", "+", "/", ".", "é"][random.usize(..9)]);
        }
        let (ours, theirs) = (WebhookSecrets::parse(&text), Webhook::new(&text));
        let padded = text.strip_prefix("whsec_").unwrap_or(&text).len().is_multiple_of(4);
        assert_eq!(ours.is_ok(), theirs.is_ok() && padded, "{text}");
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            assert_eq!(ours.sign("msg_1", -5, b"{}"), theirs.sign("msg_1", -5, b"{}").unwrap());
            taken += 1;
        }
    }
    assert!((10_000..20_000).contains(&taken), "{taken}");
}

fn second() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

fn secret(random: &mut Rng) -> String {
    let bytes: Vec<u8> = (0..random.usize(26..=64)).map(|_| random.u8(..)).collect();
    format!("{}{}", if random.bool() { "whsec_" } else { "" }, BASE64.encode(bytes))
}

impl Case {
    fn new(random: &mut Rng, now: i64) -> Self {
        let secrets: Vec<_> = (0..random.usize(1..=3)).map(|_| secret(random)).collect();
        let id = format!("msg_{}", random.u64(..));
        let mut timestamp = now + near(random);
        if random.usize(..20) == 0 {
            // Further back, this version of their library overflows; the tests of the module itself go there.
            timestamp = [0, 1, 1 << 40, i64::MAX / 2, i64::MAX - 301, -(1 << 62)][random.usize(..6)];
        }
        let mut body = body(random).into_bytes();
        let mut entries = signatures(random, &secrets, &id, timestamp, &body);
        let mut id = id.into_bytes();
        let mut timestamp = timestamp.to_string();
        let mut missing = None;
        for _ in 0..[0, 0, 1, 1, 2][random.usize(..5)] {
            match random.usize(..12) {
                0 => damage(random, &mut id),
                1 => timestamp = respelt(random, &timestamp),
                2..=4 => respell(random, &mut entries),
                5 | 6 => damage(random, &mut body),
                7 => missing = Some(random.usize(..3)),
                8 => id = [&b""[..], b"msg\t1", b"msg_\xc3\xa9", b"."][random.usize(..4)].to_vec(),
                9 => entries.insert(random.usize(..=entries.len()), "v1,".to_owned() + &BASE64.encode([7; 32])),
                10 => body.push(0xff),
                _ => random.shuffle(&mut entries),
            }
        }
        let signature = entries.join([" ", " ", " ", " ", "  ", ",", "\t"][random.usize(..7)]);
        let headers = carried(random, [&id, timestamp.as_bytes(), signature.as_bytes()], missing);
        Self { secrets, headers, body }
    }

    fn ours(&self, now: Timestamp) -> &'static str {
        let secrets = WebhookSecrets::parse(&self.secrets.join("\n")).unwrap();
        let verified = secrets.verify(&SignatureHeaders::of(&self.headers), &self.body, now);
        verified.map_or_else(SignatureError::as_str, |()| "accepted")
    }

    fn theirs(&self) -> &'static str {
        let mut outcome = "forged";
        for secret in &self.secrets {
            outcome = match Webhook::new(secret).unwrap().verify(&self.body, &self.headers) {
                Ok(()) => return "accepted",
                Err(WebhookError::InvalidSignature) => continue,
                Err(WebhookError::MissingHeader(_)) => "missing",
                // Newer versions of their library say so of times before 1970.
                Err(WebhookError::TimestampTooOldError) if self.is_before_1970() => "malformed",
                Err(WebhookError::TimestampTooOldError | WebhookError::FutureTimestampError) => "stale",
                Err(_) => "malformed",
            };
        }
        outcome
    }

    fn is_before_1970(&self) -> bool {
        let timestamp = SignatureHeaders::of(&self.headers).timestamp.unwrap();
        timestamp.starts_with(b"-") && timestamp.iter().any(|b| matches!(b, b'1'..=b'9'))
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{:?} {:?} {body:?}", self.secrets, self.headers)
    }
}

/// Seconds from now, at the edges of the window more often than not.
fn near(random: &mut Rng) -> i64 {
    match random.usize(..3) {
        0 => [-301, -300, -299, 299, 300, 301][random.usize(..6)],
        1 => random.i64(-320..320),
        _ => 0,
    }
}

fn body(random: &mut Rng) -> String {
    let noise: String = (0..random.usize(..40)).map(|_| random.char(..)).collect();
    format!(r#"{{"eventType":"session.ended","id":"{noise}"}}"#)
}

/// The list in the header: by one of the receiver's secrets, by several, or by another.
fn signatures(random: &mut Rng, secrets: &[String], id: &str, timestamp: i64, body: &[u8]) -> Vec<String> {
    let by = |secret: &str| Webhook::new(secret).unwrap().sign(id, timestamp, body).unwrap();
    let mut entries: Vec<_> = secrets.iter().map(|secret| by(secret)).collect();
    random.shuffle(&mut entries);
    match random.usize(..8) {
        0 => entries = vec![by(&secret(random))],
        1 => entries.push(by(&secret(random))),
        2 => {}
        _ => entries.truncate(1),
    }
    entries
}

/// A bit of it flipped, or a byte more or less.
fn damage(random: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = random.usize(..bytes.len());
    match random.usize(..5) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, b'x'),
        _ => bytes[at] ^= 1 << random.u8(..8),
    }
}

/// The same time in other words, or no time.
fn respelt(random: &mut Rng, text: &str) -> String {
    match random.usize(..14) {
        0 => format!("+{text}"),
        1 => format!("000{text}"),
        2 => format!("{text} "),
        3 => format!("{text}.0"),
        4 if text.len() < 12 => format!("-{text}"),
        5 => format!("0x{text}"),
        6 => format!("{text}000"),
        7 => format!("{text}99999999999999"),
        8 => String::new(),
        9 => "-0".into(),
        10 => "1e9".into(),
        11 if text.len() < 12 => format!("-00{text}"),
        12 => i64::MAX.to_string(),
        _ => text.replace('1', "２"),
    }
}

/// Other versions, other base64, other separators.
fn respell(random: &mut Rng, entries: &mut Vec<String>) {
    let Some(entry) = entries.first_mut() else { return };
    match random.usize(..12) {
        0 => *entry = entry.trim_end_matches('=').to_owned(),
        1 => entry.push('='),
        // The last character of 32 bytes in base64 has two bits that say nothing.
        2 if entry.is_ascii() && entry.len() > 2 => {
            let last = entry.len() - 2;
            entry.replace_range(last..=last, ["A", "B", "Q", "R", "_"][random.usize(..5)]);
        }
        3 => *entry = entry.replacen("v1,", ["v2,", "V1,", "v1a,", ",", " v1,", "v1", "v1,,"][random.usize(..7)], 1),
        4 => *entry = entry.to_uppercase(),
        5 => *entry = entry.replace('+', "-").replace('/', "_"),
        6 if entry.is_ascii() => entry.truncate(entry.len() / 2),
        7 => *entry = format!("v1,{entry}"),
        8 => entries.clear(),
        9 => entry.push('\t'),
        10 => entry.push('é'),
        _ => {
            let mut bytes = std::mem::take(entry).into_bytes();
            damage(random, &mut bytes);
            *entry = String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}

/// In branded headers, unbranded ones, some of each, or both with the wrong values in one of them.
fn carried(random: &mut Rng, values: [&[u8]; 3], missing: Option<usize>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: &[u8]| {
        // What no header can carry comes as an empty one.
        let value = HeaderValue::from_bytes(value).unwrap_or(HeaderValue::from_static(""));
        headers.append(HeaderName::from_static(name), value);
    };
    let manner = random.usize(..6);
    for (index, value) in values.into_iter().enumerate().filter(|(index, _)| missing != Some(*index)) {
        match manner {
            0 => put(NAMES[1][index], value),
            1 => put(NAMES[random.usize(..2)][index], value),
            2 => {
                put(NAMES[0][index], value);
                put(NAMES[1][index], b"0");
            }
            3 => {
                put(NAMES[0][index], value);
                put(NAMES[0][index], b"second");
            }
            _ => put(NAMES[0][index], value),
        }
    }
    headers
}
