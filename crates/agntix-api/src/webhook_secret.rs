//! Where the secrets of the webhook come from: `AGNTIX_WEBHOOK_SECRET`, or a file that is read again when it changes, so
//! that a secret can be replaced while the daemon runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::error::CredentialFault;
use crate::secret::Secret;
use crate::secret_file::SecretFile;
use crate::signature::{SecretError, WebhookSecrets};

/// Where the secrets of the webhook come from.
#[derive(Debug)]
pub struct WebhookSecretSource {
    source: Source,
    name: String,
}

#[derive(Debug)]
enum Source {
    Fixed(Arc<WebhookSecrets>),
    File(SecretFile<Arc<WebhookSecrets>, Fault>),
}

/// Why there is no secret to check a signature with. A sentence that names the source and never shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WebhookSecretError(pub String);

/// Why the latest state of a file holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    File(#[from] CredentialFault),
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl WebhookSecretSource {
    /// The secrets in `secret`, which `name` names to a person.
    ///
    /// # Errors
    /// If it holds none.
    pub fn fixed(name: &str, secret: &Secret) -> Result<Self, WebhookSecretError> {
        let secrets = WebhookSecrets::parse(secret.expose());
        let secrets = secrets.map_err(|fault| WebhookSecretError(format!("{name} {fault}")))?;
        Ok(Self { source: Source::Fixed(Arc::new(secrets)), name: name.to_owned() })
    }

    /// Those in a file, which `key` names to a person together with its path. Reads no file yet.
    pub fn file(key: &str, path: &Path) -> Self {
        let name = format!("{key} {}", path.display());
        Self { source: Source::File(SecretFile::new("webhook secret", path)), name }
    }

    /// How it is named to a person: `AGNTIX_WEBHOOK_SECRET`, or `webhook.secret_file` and the path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether they come from no file.
    pub fn is_fixed(&self) -> bool {
        matches!(self.source, Source::Fixed(_))
    }

    /// The secrets in force at `now`. A file is looked at once a second at most. While its content is unusable, the last good
    /// secrets stay in force.
    ///
    /// # Errors
    /// If the file has never held a secret. A delivery can then be neither accepted nor rejected; answer 503, so that Svix
    /// retries.
    pub fn current(&self, now: Instant) -> Result<Arc<WebhookSecrets>, WebhookSecretError> {
        match &self.source {
            Source::Fixed(secrets) => Ok(Arc::clone(secrets)),
            Source::File(file) => file
                .value(now, |secret| Ok(Arc::new(WebhookSecrets::parse(secret.expose())?)))
                .map_err(|fault| WebhookSecretError(format!("{} {fault}", self.name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn is(secrets: &WebhookSecrets, text: &str) -> bool {
        *secrets == WebhookSecrets::parse(text).unwrap()
    }

    #[test]
    fn secrets_are_named_for_their_place_and_never_shown() {
        let fixed = |secret: &str| WebhookSecretSource::fixed("AGNTIX_WEBHOOK_SECRET", &Secret::new(secret).unwrap());
        let source = fixed(OLD).unwrap();
        assert_eq!(source.name(), "AGNTIX_WEBHOOK_SECRET");
        assert!(is(&source.current(Instant::now()).unwrap(), OLD));
        let source = WebhookSecretSource::file("webhook.secret_file", Path::new("/run/secret"));
        assert_eq!(source.name(), "webhook.secret_file /run/secret");
        let error = source.current(Instant::now()).unwrap_err().to_string();
        assert!(error.starts_with("webhook.secret_file /run/secret cannot be read: "), "{error}");
        let error = fixed("whsec_hunter2").unwrap_err();
        assert!(error.to_string().starts_with("AGNTIX_WEBHOOK_SECRET is not a signing secret"), "{error}");
        assert!(!format!("{error} {error:?} {source:?}").contains("hunter2"));
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_bad_one_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, OLD).unwrap();
        let (source, start) = (WebhookSecretSource::file("webhook.secret_file", &path), Instant::now());
        let at = |milliseconds| source.current(start + Duration::from_millis(milliseconds)).unwrap();
        assert!(is(&at(0), OLD));
        let both = format!("\u{feff}{NEW}\n{OLD}\n");
        std::fs::write(&path, &both).unwrap();
        assert!(is(&at(999), OLD));
        assert!(is(&at(1000), &format!("{NEW},{OLD}")));
        for (bad, seconds) in [("", 2), ("whsec_", 3), ("whsec_MfKQ9r8GKYqrTwjUPD8I", 4)] {
            std::fs::write(&path, bad).unwrap();
            assert!(is(&at(seconds * 1000), &format!("{NEW},{OLD}")), "{bad:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(is(&at(5000), &format!("{NEW},{OLD}")));
        std::fs::write(&path, NEW).unwrap();
        assert!(is(&at(6000), NEW));
        assert!(!format!("{source:?}").contains("C2FVsBQ"));
    }
}
