//! Signing as Svix does, written from its description and from nothing of the exporter's.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::Deserialize;

/// The secret of a webhook endpoint, as the dashboard shows it: `whsec_` and base64.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    /// The signature of a delivery, with its version: `v1,…`.
    pub(super) fn sign(&self, svix_id: &str, svix_timestamp: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        context.update(format!("{svix_id}.{svix_timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl FromStr for WebhookSecret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let encoded = text.strip_prefix("whsec_").ok_or("a webhook secret begins with whsec_")?;
        match STANDARD.decode(encoded) {
            Ok(key) if !key.is_empty() => Ok(Self(key)),
            _ => Err("a webhook secret is base64 after whsec_".to_owned()),
        }
    }
}

impl TryFrom<String> for WebhookSecret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

/// The signature header: one signature for each secret, separated by spaces.
pub(super) fn signature_header(secrets: &[WebhookSecret], svix_id: &str, svix_timestamp: i64, body: &[u8]) -> String {
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(svix_id, svix_timestamp, body)).collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_published_example_comes_out() {
        let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_of_a_rotation_signs() {
        let secrets: Vec<WebhookSecret> =
            ["whsec_b25l", "whsec_dHdv"].map(|secret| secret.parse().unwrap()).into_iter().collect();
        let header = signature_header(&secrets, "msg_1", 7, b"body");
        let keys: [&[u8]; 2] = [b"one", b"two"];
        let signatures: Vec<&str> = header.split(' ').collect();
        assert_eq!(signatures.len(), keys.len());
        for (signature, key) in signatures.into_iter().zip(keys) {
            let tag = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
            hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), b"msg_1.7.body", &tag).unwrap();
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_and_none_is_printed() {
        for wrong in ["", "whsec_", "b25l", "whsec_b25", "whsec_!!!!"] {
            let error = wrong.parse::<WebhookSecret>().unwrap_err();
            assert!(wrong.is_empty() || wrong == "whsec_" || !error.contains(wrong), "{error}");
        }
        assert_eq!(format!("{:?}", "whsec_b25l".parse::<WebhookSecret>()), "Ok(<secret>)");
    }
}
