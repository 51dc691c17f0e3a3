//! Where the secrets of the webhook come from: `AGNTIX_WEBHOOK_SECRET`, or a file that is read again when it changes, so
//! that a secret can be replaced while the daemon runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::error::CredentialFault;
use super::secret_file::SecretFile;
use super::signature::{SecretError, WebhookSecrets};
use crate::config::WebhookConfig;
use crate::secret::Secret;

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

/// Why there is no secret to check a signature with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookSecretError {
    /// Nobody has set one.
    #[error("the webhook has no secret: set AGNTIX_WEBHOOK_SECRET or webhook.secret_file")]
    Unset,
    /// What is there holds none, or the file has never been readable. A sentence that names the place and shows no secret.
    #[error("{0}")]
    Unusable(String),
}

/// Why the latest state of a file holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    File(#[from] CredentialFault),
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl WebhookSecretSource {
    /// The one that is configured; `secret` is the one from the environment, which beats the file. Reads no file yet.
    ///
    /// # Errors
    /// If there is neither, or if what is in the environment holds no secret.
    pub fn new(config: &WebhookConfig, secret: Option<&Secret>) -> Result<Self, WebhookSecretError> {
        match (secret, &config.secret_file) {
            (Some(secret), _) => Self::fixed("AGNTIX_WEBHOOK_SECRET", secret),
            (None, Some(path)) => Ok(Self::file("webhook.secret_file", path)),
            (None, None) => Err(WebhookSecretError::Unset),
        }
    }

    /// The secrets in `secret`, which `name` names to a person.
    pub(crate) fn fixed(name: &str, secret: &Secret) -> Result<Self, WebhookSecretError> {
        let secrets = WebhookSecrets::parse(secret.expose());
        let secrets = secrets.map_err(|fault| WebhookSecretError::Unusable(format!("{name} {fault}")))?;
        Ok(Self { source: Source::Fixed(Arc::new(secrets)), name: name.to_owned() })
    }

    /// Those in a file, which `key` names to a person together with its path.
    pub(crate) fn file(key: &str, path: &Path) -> Self {
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

    /// The secrets in force at `now`. A file is looked at once a second at most; while its latest state is no good, what
    /// was last good stays in force.
    ///
    /// # Errors
    /// If the file has never held a secret. A delivery can then be neither believed nor refused, so that Svix must be
    /// asked to come again (503).
    pub fn current(&self, now: Instant) -> Result<Arc<WebhookSecrets>, WebhookSecretError> {
        match &self.source {
            Source::Fixed(secrets) => Ok(Arc::clone(secrets)),
            Source::File(file) => file
                .value(now, |secret| Ok(Arc::new(WebhookSecrets::parse(secret.expose())?)))
                .map_err(|fault| WebhookSecretError::Unusable(format!("{} {fault}", self.name))),
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
    fn the_environment_beats_the_file_and_one_of_them_must_be_there() {
        let (none, file) = (WebhookConfig::default(), Some("/run/secret".into()));
        let with_file = WebhookConfig { secret_file: file, ..WebhookConfig::default() };
        let error = WebhookSecretSource::new(&none, None).unwrap_err().to_string();
        assert_eq!(error, "the webhook has no secret: set AGNTIX_WEBHOOK_SECRET or webhook.secret_file");
        let source = WebhookSecretSource::new(&with_file, Secret::new(OLD).as_ref()).unwrap();
        assert_eq!(source.name(), "AGNTIX_WEBHOOK_SECRET");
        assert!(is(&source.current(Instant::now()).unwrap(), OLD));
        let source = WebhookSecretSource::new(&with_file, None).unwrap();
        assert_eq!(source.name(), "webhook.secret_file /run/secret");
        let error = source.current(Instant::now()).unwrap_err().to_string();
        assert!(error.starts_with("webhook.secret_file /run/secret cannot be read: "), "{error}");
        let error = WebhookSecretSource::new(&none, Secret::new("whsec_hunter2").as_ref()).unwrap_err();
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
