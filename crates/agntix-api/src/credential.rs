//! The credential: a fixed key, or a file that is read again when it changes. No `Debug`, error or log line shows it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::error::{ApiError, ClientError, CredentialFault};
use crate::options::{CredentialPlace, CredentialSource};
use crate::secret::Secret;
use crate::secret_file::SecretFile;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What authenticates requests, and how it is sent.
#[derive(Debug)]
pub(super) struct Credential {
    scheme: Scheme,
    source: Source,
    name: String,
}

#[derive(Clone, Copy, Debug)]
enum Scheme {
    /// `x-api-key: …`
    ApiKey,
    /// `Authorization: Bearer …` (RFC 6750, section 2.1).
    Bearer,
}

/// `HeaderValue` does not show a sensitive value in its `Debug`.
#[derive(Debug)]
enum Source {
    Fixed(HeaderValue),
    File(SecretFile<HeaderValue, CredentialFault>),
}

impl Credential {
    /// The one that `source` names. Reads no file yet.
    pub(super) fn new(source: CredentialSource) -> Result<Self, ClientError> {
        let CredentialSource { name, place } = source;
        match place {
            CredentialPlace::Key(key) => match Scheme::ApiKey.value(&key) {
                Ok(value) => Ok(Self { scheme: Scheme::ApiKey, source: Source::Fixed(value), name }),
                Err(fault) => Err(ClientError::Credential { name, fault }),
            },
            CredentialPlace::KeyFile(path) => Ok(Self::from_file(Scheme::ApiKey, &name, &path)),
            CredentialPlace::BearerTokenFile(path) => Ok(Self::from_file(Scheme::Bearer, &name, &path)),
        }
    }

    fn from_file(scheme: Scheme, name: &str, path: &Path) -> Self {
        let name = format!("{name} {}", path.display());
        Self { scheme, source: Source::File(SecretFile::new("credential", path)), name }
    }

    /// How it is named to a person.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The header to send now. A file is read on a thread that may block.
    pub(super) async fn current(self: &Arc<Self>) -> Result<(HeaderName, HeaderValue), ApiError> {
        if let Source::Fixed(value) = &self.source {
            return Ok((self.scheme.name(), value.clone()));
        }
        let credential = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || credential.header(Instant::now())).await;
        looked.unwrap_or_else(|_| Err(ApiError::Credential(format!("{} could not be looked at", self.name))))
    }

    /// The header to send, at `now`.
    pub(super) fn header(&self, now: Instant) -> Result<(HeaderName, HeaderValue), ApiError> {
        let value = match &self.source {
            Source::Fixed(value) => value.clone(),
            Source::File(file) => file
                .value(now, |secret| self.scheme.value(secret))
                .map_err(|fault| ApiError::Credential(format!("{} {fault}", self.name)))?,
        };
        Ok((self.scheme.name(), value))
    }

    /// Whether the file has changed since it was last read.
    pub(super) fn has_changed(&self) -> bool {
        match &self.source {
            Source::Fixed(_) => false,
            Source::File(file) => file.has_changed(),
        }
    }

    /// The API has answered 401: the file is read again before the next request, even if it looks unchanged.
    pub(super) fn refused(&self) {
        if let Source::File(file) = &self.source {
            file.suspect();
        }
    }
}

impl Scheme {
    const fn name(self) -> HeaderName {
        match self {
            Self::ApiKey => API_KEY,
            Self::Bearer => AUTHORIZATION,
        }
    }

    fn value(self, secret: &Secret) -> Result<HeaderValue, CredentialFault> {
        // The type would let other bytes pass, but RFC 9110, section 5.5, leaves it open what they mean.
        if !secret.expose().bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(CredentialFault::Character);
        }
        let value = match self {
            Self::ApiKey => HeaderValue::from_str(secret.expose()),
            Self::Bearer => HeaderValue::from_str(&format!("Bearer {}", secret.expose())),
        };
        // The error is dropped, because it might show part of the text.
        let mut value = value.map_err(|_| CredentialFault::Character)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    fn of_file(path: &Path) -> Credential {
        of("api.key_file", CredentialPlace::KeyFile(path.into())).unwrap()
    }

    fn of(name: &str, place: CredentialPlace) -> Result<Credential, ClientError> {
        Credential::new(CredentialSource { name: name.into(), place })
    }

    fn of_text(key: &str) -> Result<Credential, ClientError> {
        of("AGNTIX_API_KEY", CredentialPlace::Key(Secret::new(key).unwrap()))
    }

    fn sent(credential: &Credential, now: Instant) -> String {
        credential.header(now).unwrap().1.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_file_is_looked_at_once_a_second_and_read_when_it_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "\u{feff}one\n").unwrap();
        let (credential, start) = (of_file(&path), Instant::now());
        assert_eq!(sent(&credential, start), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(sent(&credential, start + Duration::from_millis(999)), "one");
        assert_eq!(sent(&credential, start + Duration::from_secs(1)), "two");
        // Replaced by rename, with the same length, as orchestrators do.
        std::fs::write(directory.path().join("new"), "six").unwrap();
        std::fs::rename(directory.path().join("new"), &path).unwrap();
        assert_eq!(sent(&credential, start + Duration::from_secs(2)), "six");
    }

    #[tokio::test]
    async fn current_credential_is_read_off_the_thread_of_requests() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "one").unwrap();
        let credential = Arc::new(of_file(&path));
        let (name, value) = credential.current().await.unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-api-key", "one"));
        assert_eq!(Arc::new(of_text("pk").unwrap()).current().await.unwrap().1, "pk");
    }

    #[test]
    fn refused_key_is_read_again_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "one").unwrap();
        let (credential, now) = (of_file(&path), Instant::now());
        assert_eq!(sent(&credential, now), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(sent(&credential, now), "one");
        assert!(credential.has_changed());
        credential.refused();
        assert_eq!(sent(&credential, now), "two");
        assert!(!credential.has_changed());
    }

    #[test]
    fn last_good_value_is_kept_when_its_file_breaks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let (credential, start) = (of_file(&path), Instant::now());
        let mut seconds = 0;
        let mut later = || {
            seconds += 1;
            start + Duration::from_secs(seconds)
        };
        let error = credential.header(later()).unwrap_err().to_string();
        let expected = format!("there is no credential for the API: api.key_file {} cannot be read: ", path.display());
        assert!(error.starts_with(&expected), "{error}");
        std::fs::write(&path, " \n").unwrap();
        let error = credential.header(later()).unwrap_err().to_string();
        assert!(error.ends_with(" is empty"), "{error}");
        std::fs::write(&path, "one").unwrap();
        assert_eq!(sent(&credential, later()), "one");
        for bad in ["", "a\nb", "caf\u{e9}", &"x".repeat(16 * 1024 + 1)] {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(sent(&credential, later()), "one", "{bad:?}");
        }
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(sent(&credential, later()), "one");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(sent(&credential, later()), "one");
        std::fs::create_dir(&path).unwrap();
        assert_eq!(sent(&credential, later()), "one");
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, "two").unwrap();
        assert_eq!(sent(&credential, later()), "two");
    }

    #[test]
    fn a_credential_is_sent_in_its_own_header() {
        let fixed = of_text("pk_live_42").unwrap();
        let (name, value) = fixed.header(Instant::now()).unwrap();
        assert_eq!(
            (fixed.name(), name.as_str(), value.to_str().unwrap()),
            ("AGNTIX_API_KEY", "x-api-key", "pk_live_42")
        );
        let token = |path: PathBuf| of("api.bearer_token_file", CredentialPlace::BearerTokenFile(path)).unwrap();
        assert_eq!(of_file(Path::new("/run/key")).name(), "api.key_file /run/key");
        assert_eq!(token("/run/token".into()).name(), "api.bearer_token_file /run/token");

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "ey.J.x\n").unwrap();
        let bearer = token(path);
        let (name, value) = bearer.header(Instant::now()).unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer ey.J.x"));
        assert!(value.is_sensitive());
    }

    #[test]
    fn nothing_shows_the_credential() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "pk_live_42").unwrap();
        let credential = of_file(&path);
        let (_, value) = credential.header(Instant::now()).unwrap();
        let source = CredentialSource {
            name: "AGNTIX_API_KEY".into(),
            place: CredentialPlace::Key(Secret::new("pk_live_42").unwrap()),
        };
        let shown_source = format!("{source:?}");
        let fixed = Credential::new(source).unwrap();
        let error = of_text("pk_live_42\r\nx: y").unwrap_err();
        for shown in [
            format!("{credential:?} {value:?} {fixed:?}"),
            format!("{:?}", credential.header(Instant::now())),
            format!("{error} {error:?}"),
            shown_source,
        ] {
            assert!(!shown.contains("pk_live"), "{shown}");
        }
        let sentence = "AGNTIX_API_KEY holds a line break or another character that an HTTP header cannot carry";
        assert_eq!(error.to_string(), sentence);
    }
}
