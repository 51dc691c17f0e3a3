//! The signatures of webhooks: Svix's scheme, on the raw body, in constant time.
//!
//! The scheme is that of <https://docs.svix.com/receiving/verifying-payloads/how-manual>: HMAC-SHA256 over
//! `{id}.{timestamp}.{body}`, as base64 behind `v1,` in a list that spaces separate. Where that page leaves something
//! open, this accepts what the `svix` crate accepts; a test compares the two.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::HeaderMap;
use ring::hmac;
use secrecy::zeroize::Zeroizing;
use subtle::{Choice, ConstantTimeEq as _};

use crate::time::Timestamp;

/// How far a timestamp may lie in the past or the future, inclusive, in seconds.
const TOLERANCE: u64 = 5 * 60;
/// Of a header. Svix signs with at most eleven secrets at once, in about 100 bytes each.
const MAX_HEADER: usize = 4096;
/// Signatures of our version that are looked at.
const MAX_SIGNATURES: usize = 32;
/// Secrets at once. Each costs a pass over the body.
const MAX_SECRETS: usize = 16;
/// Svix's server makes secrets of 24 bytes and takes none that is shorter.
const MIN_SECRET_BYTES: usize = 24;
/// In front of a secret, and no part of it.
const PREFIX: &str = "whsec_";
/// In front of Ed25519 keys, public and private.
const ASYMMETRIC_PREFIXES: [&str; 2] = ["whpk_", "whsk_"];
/// The version of a signature with HMAC-SHA256; `v1a` is one with Ed25519.
const VERSION: &str = "v1";
/// Of 32 bytes in base64.
const SIGNATURE_LEN: usize = 44;

/// The secrets of a webhook: one, or several while one is replaced by another.
#[derive(Clone)]
pub struct WebhookSecrets(Vec<hmac::Key>);

/// Why a text holds no usable secrets. Does not hold the text. Reads on after the name of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is nothing but separators.
    #[error("holds no secret")]
    Empty,
    /// More than anybody needs to replace one by another.
    #[error("holds more than {MAX_SECRETS} secrets; remove those that are no longer in use")]
    TooMany,
    /// Neither with nor without its prefix.
    #[error("is not a signing secret (number {0}, not shown): it must be whsec_ and base64, as the dashboard shows it")]
    NotBase64(usize),
    /// Most likely cut off when it was copied.
    #[error(
        "holds a secret (number {0}, not shown) of fewer than 24 bytes; Svix makes none so short, so copy all of it"
    )]
    Short(usize),
    /// Of Svix's other kind of signatures.
    #[error("holds a key of asymmetric signatures (number {0}, not shown), but the signing secret, whsec_…, is needed")]
    Asymmetric(usize),
}

/// The headers that a signature is made of, as they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignatureHeaders<'a> {
    /// `svix-id`
    pub id: Option<&'a [u8]>,
    /// `svix-timestamp`
    pub timestamp: Option<&'a [u8]>,
    /// `svix-signature`
    pub signature: Option<&'a [u8]>,
}

/// Why a delivery is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is not there.
    #[error("svix-id, svix-timestamp or svix-signature is missing")]
    Missing,
    /// Svix would not have sent it.
    #[error("svix-id, svix-timestamp, svix-signature or the body is not what Svix would send")]
    Malformed,
    /// Signed too long ago, or too far in the future.
    #[error("svix-timestamp is more than 5 minutes from the time of this machine")]
    Stale,
    /// No signature is that of one of the secrets.
    #[error("no signature fits the body and a secret of this webhook")]
    Mismatch,
}

impl SignatureError {
    /// The value of the label `outcome`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Stale => "stale",
            Self::Mismatch => "forged",
        }
    }
}

impl<'a> SignatureHeaders<'a> {
    /// Of a request: each `svix-` header, or the `webhook-` one where that is absent, as Svix's own libraries do.
    pub fn of(headers: &'a HeaderMap) -> Self {
        let of = |branded: &str, unbranded: &str| {
            headers.get(branded).or_else(|| headers.get(unbranded)).map(reqwest::header::HeaderValue::as_bytes)
        };
        Self {
            id: of("svix-id", "webhook-id"),
            timestamp: of("svix-timestamp", "webhook-timestamp"),
            signature: of("svix-signature", "webhook-signature"),
        }
    }
}

impl WebhookSecrets {
    /// Reads one secret or several, which commas, spaces or line breaks separate. The prefix `whsec_` may be left out.
    ///
    /// # Errors
    /// If there is none, or if one is not what Svix could have made.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let mut keys = Vec::new();
        let separates = |c: char| c == ',' || c.is_whitespace();
        for (index, secret) in text.split(separates).filter(|secret| !secret.is_empty()).enumerate() {
            if index == MAX_SECRETS {
                return Err(SecretError::TooMany);
            }
            keys.push(key(secret, index + 1)?);
        }
        if keys.is_empty() { Err(SecretError::Empty) } else { Ok(Self(keys)) }
    }

    /// How many there are; never none.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `body`, as it came, was signed with one of the secrets, at most five minutes from `now` on this machine's
    /// clock.
    ///
    /// How long it takes depends on the lengths of headers and body and on how many secrets there are, and not on how
    /// much of a signature is right.
    ///
    /// # Errors
    /// If it was not, or is not known to be.
    pub fn verify(&self, headers: &SignatureHeaders<'_>, body: &[u8], now: Timestamp) -> Result<(), SignatureError> {
        let id = text(headers.id)?;
        let signatures = text(headers.signature)?;
        // The number is signed, not its spelling: Svix's libraries take a plus sign and leading zeros, too.
        let timestamp: i64 = text(headers.timestamp)?.parse().map_err(|_| SignatureError::Malformed)?;
        is_recent(timestamp, now)?;
        let candidates = || {
            let listed = signatures.split(' ').filter_map(|entry| entry.split_once(','));
            listed.filter(|(version, _)| *version == VERSION).take(MAX_SIGNATURES).map(|(_, signature)| signature)
        };
        // What cannot be a signature costs no pass over the body.
        if !candidates().any(|signature| signature.len() == SIGNATURE_LEN) {
            return Err(mismatch(body));
        }
        let mut fits = Choice::from(0);
        for key in &self.0 {
            let expected = signature(key, id, timestamp, body);
            for candidate in candidates() {
                fits |= expected.as_bytes().ct_eq(candidate.as_bytes());
            }
        }
        if fits.into() { Ok(()) } else { Err(mismatch(body)) }
    }

    /// The value of `svix-signature` for this delivery: a signature with each of the secrets. `timestamp` is in seconds
    /// since the Unix epoch.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let entries = self.0.iter().map(|key| format!("{VERSION},{}", signature(key, id, timestamp, body)));
        entries.collect::<Vec<_>>().join(" ")
    }
}

/// Why a body is not signed. Svix's libraries sign nothing but UTF-8; what is signed all the same is as good as any.
fn mismatch(body: &[u8]) -> SignatureError {
    if std::str::from_utf8(body).is_ok() { SignatureError::Mismatch } else { SignatureError::Malformed }
}

/// Two that sign alike; which keys they hold cannot be asked.
impl PartialEq for WebhookSecrets {
    fn eq(&self, other: &Self) -> bool {
        self.sign("", 0, b"") == other.sign("", 0, b"")
    }
}

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookSecrets(<{} secrets>)", self.0.len())
    }
}

fn key(secret: &str, number: usize) -> Result<hmac::Key, SecretError> {
    if ASYMMETRIC_PREFIXES.iter().any(|prefix| secret.starts_with(prefix)) {
        return Err(SecretError::Asymmetric(number));
    }
    // The error is dropped: it would show a character of the secret.
    let bytes = BASE64.decode(secret.strip_prefix(PREFIX).unwrap_or(secret)).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| SecretError::NotBase64(number))?;
    if bytes.len() < MIN_SECRET_BYTES {
        return Err(SecretError::Short(number));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn signature(key: &hmac::Key, id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    for part in [id, ".", itoa::Buffer::new().format(timestamp), "."] {
        context.update(part.as_bytes());
    }
    context.update(body);
    BASE64.encode(context.sign())
}

/// A header's value, if it is there, of a decent length, and visible ASCII, spaces and tabs only.
fn text(value: Option<&[u8]>) -> Result<&str, SignatureError> {
    let value = value.ok_or(SignatureError::Missing)?;
    if value.len() > MAX_HEADER || !value.iter().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
        return Err(SignatureError::Malformed);
    }
    std::str::from_utf8(value).map_err(|_| SignatureError::Malformed)
}

/// Times before 1970 are none that Svix could have signed at; a clock that shows one cannot tell what is recent.
fn is_recent(timestamp: i64, now: Timestamp) -> Result<(), SignatureError> {
    let timestamp = u64::try_from(timestamp).map_err(|_| SignatureError::Malformed)?;
    let now = u64::try_from(now.as_millis().div_euclid(1000)).map_err(|_| SignatureError::Stale)?;
    if timestamp.abs_diff(now) <= TOLERANCE { Ok(()) } else { Err(SignatureError::Stale) }
}

#[cfg(test)]
mod tests;
