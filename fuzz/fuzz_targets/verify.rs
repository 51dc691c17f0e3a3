//! Headers and body of a delivery, whatever they are: the check of the signature neither fails nor believes what was not
//! signed, and it believes all that was.

#![no_main]

use std::sync::LazyLock;

use agntix_api::{SignatureHeaders, WebhookSecrets};
use agntix_exporter::clock::Timestamp;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

static SECRETS: LazyLock<WebhookSecrets> = LazyLock::new(|| {
    let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    WebhookSecrets::parse(text).expect("these are secrets")
});

#[derive(Arbitrary, Debug)]
struct Delivery<'a> {
    id: Option<&'a [u8]>,
    timestamp: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
    body: &'a [u8],
    /// The machine's clock, in milliseconds.
    now: i64,
    /// From now to the time of the signature, in seconds.
    distance: i16,
}

fuzz_target!(|delivery: Delivery<'_>| {
    let Delivery { id, timestamp, signature, body, now, distance } = delivery;
    let seconds = now.div_euclid(1000);
    let now = Timestamp::from_millis(now);
    let accepted = SECRETS.verify(&SignatureHeaders { id, timestamp, signature }, body, now).is_ok();
    assert!(!accepted || is_signed(id, timestamp, signature, body), "what was not signed is believed");

    let signed_at = seconds + i64::from(distance);
    let Some(id) = id.and_then(|id| std::str::from_utf8(id).ok()) else { return };
    let spelt = signed_at.to_string();
    let signature = SECRETS.sign(id, signed_at, body);
    let headers = SignatureHeaders {
        id: Some(id.as_bytes()),
        timestamp: Some(spelt.as_bytes()),
        signature: Some(signature.as_bytes()),
    };
    let plain = id.len() <= 4096 && id.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~'));
    let recent = seconds >= 0 && signed_at >= 0 && distance.unsigned_abs() <= 300;
    assert_eq!(SECRETS.verify(&headers, body, now).is_ok(), plain && recent, "{headers:?}");
    let longer = [body, b" "].concat();
    assert!(SECRETS.verify(&headers, &longer, now).is_err(), "one byte more is another body");
});

/// Whether a signature of ours for exactly this is in the list.
fn is_signed(id: Option<&[u8]>, timestamp: Option<&[u8]>, signature: Option<&[u8]>, body: &[u8]) -> bool {
    let text = |value: Option<&[u8]>| Some(std::str::from_utf8(value?).ok()?.to_owned());
    let (Some(id), Some(timestamp), Some(signature)) = (text(id), text(timestamp), text(signature)) else {
        return false;
    };
    let Ok(timestamp) = timestamp.parse() else { return false };
    let ours = SECRETS.sign(&id, timestamp, body);
    signature.split(' ').any(|entry| ours.split(' ').any(|our| our == entry))
}
