//! The mistakes that an operator can make, each as one sentence that says where it is and what to write instead.
//!
//! Nothing that may be a credential is shown: neither values of unknown keys nor text that looks like a key or a token.

use std::path::PathBuf;

use super::origin::ConfigOrigin;

/// Longer values are cut; the beginning is enough to recognise one.
const MAX_SHOWN: usize = 80;

/// A key with one of these in its name may hold a credential that does not belong there.
const CREDENTIAL_NAMES: [&str; 5] = ["key", "token", "secret", "password", "credential"];

/// What to do with a credential that was written into the configuration under this name.
pub(super) fn credential_advice(name: &str) -> &'static str {
    if name.starts_with("webhook") {
        "put the secret (not shown) into a file and name it in webhook.secret_file, or into AGNTIX_WEBHOOK_SECRET"
    } else {
        "put the credential (not shown) into a file and name it in api.key_file, or into AGNTIX_API_KEY"
    }
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there, or may not be read.
    #[error("the configuration file {} cannot be read: {reason}; check the path and the permissions", .file.display())]
    Unreadable {
        /// As it was named.
        file: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{}, line {line}, column {column}: this is not valid TOML: {reason}", .file.display())]
    Syntax {
        /// As it was named.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What the parser said; never the text of the line, which may hold a credential.
        reason: String,
    },
    /// There is no such key.
    #[error("{origin}: {key} is not a {what}; {advice}")]
    Unknown {
        /// Where it stands.
        origin: ConfigOrigin,
        /// As it was written.
        key: String,
        /// Key or section.
        what: &'static str,
        /// Which key was probably meant.
        advice: String,
    },
    /// A value is of the wrong type, or breaks a rule.
    #[error("{origin}: {key} is {value}; it {rule}")]
    Value {
        /// Where it was set.
        origin: ConfigOrigin,
        /// The key.
        key: String,
        /// The value, as far as it may be shown.
        value: String,
        /// The rule; begins with "must".
        rule: String,
    },
    /// There is no credential for the API.
    #[error(
        "no credential is set; put the API key into AGNTIX_API_KEY, or name a file that holds it in api.key_file (agntix-exporter demo needs none)"
    )]
    NoCredential,
    /// There are two credentials, and it is not clear which one is meant.
    #[error("{first} and {second} are both set, and only one can be used; remove one of them")]
    TwoCredentials {
        /// With its origin.
        first: String,
        /// With its origin.
        second: String,
    },
    /// The value cannot be sent.
    #[error(
        "environment variable AGNTIX_API_KEY: the value (not shown) has a character that no API key has; check for line breaks and spaces in it"
    )]
    MalformedKey,
    /// There is no secret to check deliveries with.
    #[error(
        "{origin}: webhook.enabled is true, but there is no secret to check deliveries with; put the signing secret of the endpoint into AGNTIX_WEBHOOK_SECRET, or name a file that holds it in webhook.secret_file"
    )]
    NoWebhookSecret {
        /// Where the webhook was enabled.
        origin: ConfigOrigin,
    },
    /// The webhook secret is not valid: the end of a sentence that does not show it.
    #[error("environment variable AGNTIX_WEBHOOK_SECRET {0}")]
    WebhookSecret(String),
    /// A variable names a proxy that cannot be used; begins with the variable.
    #[error("environment variable {0}")]
    Proxy(String),
    /// A defect of this program.
    #[error("the configuration could not be put together: {0}; this is a defect, please report it")]
    Internal(String),
}

/// A value that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The key.
    pub key: &'static str,
    /// The value, as far as it may be shown.
    pub value: String,
    /// The rule; begins with "must".
    pub rule: String,
}

impl Violation {
    /// The error, with the origin of the value.
    pub(super) fn at(self, origin: ConfigOrigin) -> ConfigError {
        ConfigError::Value { origin, key: self.key.into(), value: self.value, rule: self.rule }
    }
}

/// Text in quotes as an error shows it: cut, without control characters, and not at all if it may be a credential.
pub(super) fn shown(text: &str) -> String {
    if looks_like_a_credential(text) {
        return "something that looks like a credential (not shown)".into();
    }
    let mut start: String = text.chars().take(MAX_SHOWN).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}

/// Whether the text may be a key, a token or a secret, or a URL with one in it.
pub(super) fn looks_like_a_credential(text: &str) -> bool {
    let text = text.trim_start();
    ["pk_", "sk_", "eyJ", "whsec_", "Bearer ", "-----BEGIN", "$2"].iter().any(|start| text.starts_with(start))
        || (text.contains("://") && text.contains(['@', '?']))
}

/// Whether a key of this name may have been meant for a credential.
pub(super) fn may_name_a_credential(name: &str) -> bool {
    let leaf = name.rsplit('.').next().unwrap_or(name).to_lowercase();
    CREDENTIAL_NAMES.iter().any(|word| leaf.contains(word))
}

/// A name as an error shows it: names come from files and may be anything.
pub(super) fn shown_name(name: &str) -> String {
    if let Some(secret) = name.split('.').find(|part| looks_like_a_credential(part)) {
        return shown(secret);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() <= MAX_SHOWN && !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { shown(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn possible_credentials_are_not_shown() {
        for secret in ["pk_live_42", " eyJhbGciOi", "whsec_x", "https://me:pass@host", "https://host/?key=1"] {
            assert!(!shown(secret).contains("42") && shown(secret).contains("not shown"), "{secret}");
        }
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert_eq!(shown(&"ä".repeat(100)), format!("\"{}…\"", "ä".repeat(80)));
        assert_eq!(shown_name("a.b_c-1"), "a.b_c-1");
        assert_eq!(shown_name("a b\u{7}"), "\"a b\\u{7}\"");
        assert!(["pk_live_42", "api.pk_live_42"].iter().all(|name| !shown_name(name).contains("42")));
    }
}
