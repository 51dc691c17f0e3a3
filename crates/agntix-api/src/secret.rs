//! Values that must never be printed: credentials.

use secrecy::{ExposeSecret, SecretString};

/// A credential. Its `Debug` and `Display` never show it, it is wiped from memory when dropped, and it cannot be
/// serialized.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a credential, without the white space around it that files and environment variables tend to carry.
    /// `None` if nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| Self(SecretString::from(trimmed)))
    }

    /// The credential itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new(" pk_live_42 \n").unwrap();
        assert_eq!(secret.expose(), "pk_live_42");
        assert!(!format!("{secret} {secret:?}").contains("pk_live"));
        assert!(Secret::new(" \n").is_none());
    }
}
