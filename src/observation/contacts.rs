//! Who the customer of a session is, as a keyed hash: [`ContactHash`]. What it is made of goes no further. Pure.

use std::fmt;
use std::sync::Arc;

use agntix_api::value::Scalar;
use agntix_api::wire;
use ring::hmac;
use serde_json::value::RawValue;

use crate::config::RepeatContacts;

/// Hashes the field of a session that tells its customer.
#[derive(Clone)]
pub struct ContactHash {
    field: Arc<str>,
    key: Arc<hmac::Key>,
}

impl fmt::Debug for ContactHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContactHash").field("field", &self.field).finish_non_exhaustive()
    }
}

impl ContactHash {
    /// As the configuration says; `None` while its key was not read.
    pub fn new(config: &RepeatContacts) -> Option<Self> {
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, config.key.as_ref()?.bytes()));
        Some(Self { field: config.field.as_str().into(), key })
    }

    /// The customer that `metadata` names, if it does: as one of its fields, or as a session variable.
    pub fn of(&self, metadata: &RawValue) -> Option<[u8; 16]> {
        let find = |object: &RawValue| {
            let found = wire::named_fields(object, &[&self.field]).ok()?;
            found.first().and_then(|value| match value {
                Scalar::Text(_) => value.text().map(str::to_owned),
                // Some write numbers as such.
                Scalar::Number(number) => Some(number.to_string()),
                Scalar::Absent | Scalar::Bool(_) | Scalar::Wrong => None,
            })
        };
        let nested = || find(wire::nested(metadata, "sessionVariables").ok()??);
        let tag = hmac::sign(&self.key, find(metadata).or_else(nested)?.as_bytes());
        tag.as_ref().first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ContactSecret;

    fn hash(key: &str) -> ContactHash {
        let directory = tempfile::tempdir().unwrap();
        let key_file = directory.path().join("key");
        std::fs::write(&key_file, key).unwrap();
        let key = ContactSecret::read(&key_file).ok();
        ContactHash::new(&RepeatContacts { field: "phone".into(), windows: Vec::new(), key_file, key }).unwrap()
    }

    #[test]
    fn customer_is_the_same_wherever_the_field_stands_and_another_under_another_key() {
        let (one, other) = (hash("0123456789abcdef"), hash("0123456789abcdeF"));
        let of = |hash: &ContactHash, text: &str| hash.of(&RawValue::from_string(text.into()).unwrap());
        let customer = of(&one, r#"{"phone":" +971501234567 ","roomName":"x"}"#);
        // HMAC-SHA-256 of "+971501234567", its first 16 bytes.
        assert!(customer.is_some());
        assert_eq!(of(&one, r#"{"sessionVariables":{"phone":"+971501234567"}}"#), customer);
        assert_ne!(of(&other, r#"{"phone":"+971501234567"}"#), customer);
        for nobody in
            ["null", "7", "{}", r#"{"phone":null}"#, r#"{"phone":""}"#, r#"{"phone":{}}"#, r#"{"sessionVariables":7}"#]
        {
            assert_eq!(of(&one, nobody), None, "{nobody}");
        }
        assert!(!format!("{one:?}").contains("0123"));
    }
}
