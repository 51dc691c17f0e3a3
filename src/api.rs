//! Makes the parts of [`agntix_api`] of what the operator has configured. `config` and that crate know nothing of each
//! other; what either needs of the other is translated here, and nothing is decided here.

use agntix_api::{
    Client, ClientError, ClientOptions, CredentialPlace, CredentialSource, PathOptions, Secret, WebhookSecretError,
    WebhookSecretSource,
};

use crate::config::{AUTO_PATH, ApiConfig, WebhookConfig};

const KEY: &str = "AGNTIX_API_KEY";
const KEY_FILE: &str = "api.key_file";
const BEARER_TOKEN_FILE: &str = "api.bearer_token_file";

/// Why the API or its webhook cannot be used as it is configured. A sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiSetupError {
    /// There is nothing to authenticate with.
    #[error("there is no credential for the API: set AGNTIX_API_KEY, api.key_file or api.bearer_token_file")]
    NoCredential,
    /// It is not clear which credential is meant.
    #[error("both {0} and {1} are set, but only one credential can be sent: remove one of them")]
    TwoCredentials(&'static str, &'static str),
    /// No client can be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nobody has set a secret for the webhook.
    #[error("the webhook has no secret: set AGNTIX_WEBHOOK_SECRET or webhook.secret_file")]
    NoWebhookSecret,
    /// What is set as the secret of the webhook is none.
    #[error(transparent)]
    WebhookSecret(#[from] WebhookSecretError),
}

/// A client for the API that `config` names; `api_key` is the one from the environment. Connects to nothing, and reads no
/// credential from a file yet.
///
/// # Errors
/// If a URL or path is wrong, if there is not exactly one credential, or if TLS cannot be set up.
pub fn client(config: &ApiConfig, api_key: Option<Secret>) -> Result<Client, ApiSetupError> {
    let options = ClientOptions {
        user_agent: concat!("agntix-exporter/", env!("CARGO_PKG_VERSION")).into(),
        base_url: config.base_url.clone(),
        credential: credential(config, api_key)?,
        timeout: config.timeout,
        connect_timeout: config.connect_timeout,
        max_idle_connections: config.max_concurrency,
        paths: paths(config),
    };
    Ok(Client::new(options)?)
}

/// Where the routes are, as far as that is configured.
pub fn paths(config: &ApiConfig) -> PathOptions {
    let path = |path: &String| (path != AUTO_PATH).then(|| path.clone());
    PathOptions {
        session: path(&config.session_path),
        list: path(&config.list_path),
        agents: path(&config.agents_path),
        stream: path(&config.stream_path),
    }
}

/// Where the secrets of the webhook come from; `secret` is the one from the environment, which beats the file. Reads no
/// file yet.
///
/// # Errors
/// If there is neither, or if what is in the environment holds no secret.
pub fn webhook_secrets(config: &WebhookConfig, secret: Option<&Secret>) -> Result<WebhookSecretSource, ApiSetupError> {
    match (secret, &config.secret_file) {
        (Some(secret), _) => Ok(WebhookSecretSource::fixed("AGNTIX_WEBHOOK_SECRET", secret)?),
        (None, Some(path)) => Ok(WebhookSecretSource::file("webhook.secret_file", path)),
        (None, None) => Err(ApiSetupError::NoWebhookSecret),
    }
}

fn credential(config: &ApiConfig, api_key: Option<Secret>) -> Result<CredentialSource, ApiSetupError> {
    let source = |name: &str, place| Ok(CredentialSource { name: name.into(), place });
    match (api_key, &config.key_file, &config.bearer_token_file) {
        (None, None, None) => Err(ApiSetupError::NoCredential),
        (Some(_), Some(_), _) => Err(ApiSetupError::TwoCredentials(KEY, KEY_FILE)),
        (Some(_), _, Some(_)) => Err(ApiSetupError::TwoCredentials(KEY, BEARER_TOKEN_FILE)),
        (_, Some(_), Some(_)) => Err(ApiSetupError::TwoCredentials(KEY_FILE, BEARER_TOKEN_FILE)),
        (Some(key), None, None) => source(KEY, CredentialPlace::Key(key)),
        (None, Some(path), None) => source(KEY_FILE, CredentialPlace::KeyFile(path.clone())),
        (None, None, Some(path)) => source(BEARER_TOKEN_FILE, CredentialPlace::BearerTokenFile(path.clone())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Instant;

    use super::*;

    #[test]
    fn exactly_one_credential_is_sent() {
        agntix_api::install_crypto_provider();
        let key = Secret::new("pk_live_42").unwrap();
        let (file, token) = (Some(PathBuf::from("/run/key")), Some(PathBuf::from("/run/token")));
        let make = |key: Option<&Secret>, key_file: &Option<PathBuf>, bearer_token_file: &Option<PathBuf>| {
            let (key_file, bearer_token_file) = (key_file.clone(), bearer_token_file.clone());
            client(&ApiConfig { key_file, bearer_token_file, ..ApiConfig::default() }, key.cloned())
        };
        let named = |client: Result<Client, ApiSetupError>| client.unwrap().credential_name();
        assert_eq!(make(None, &None, &None).unwrap_err(), ApiSetupError::NoCredential);
        for (key, file, token) in [(Some(&key), &file, &None), (Some(&key), &None, &token), (None, &file, &token)] {
            assert!(matches!(make(key, file, token), Err(ApiSetupError::TwoCredentials(..))));
        }
        assert_eq!(named(make(Some(&key), &None, &None)), "AGNTIX_API_KEY");
        assert_eq!(named(make(None, &file, &None)), "api.key_file /run/key");
        assert_eq!(named(make(None, &None, &token)), "api.bearer_token_file /run/token");
        let broken = Secret::new("pk_live_42\r\nx: y").unwrap();
        assert_eq!(
            make(Some(&broken), &None, &None).unwrap_err().to_string(),
            "AGNTIX_API_KEY holds a line break or another character that an HTTP header cannot carry"
        );
    }

    #[test]
    fn mistakes_are_named_by_their_key() {
        agntix_api::install_crypto_provider();
        let said = |config: ApiConfig| client(&config, Secret::new("pk")).unwrap_err().to_string();
        let config = ApiConfig { base_url: "ftp://x".into(), ..ApiConfig::default() };
        assert_eq!(said(config), "api.base_url is \"ftp://x\", but must begin with https:// or http://");
        let config = ApiConfig { list_path: "/a?org=1".into(), ..ApiConfig::default() };
        assert!(said(config).starts_with("api.list_path is \"/a?org=1\", but must be a plain path"));
    }

    #[test]
    fn a_path_is_the_configured_one_or_found_out() {
        let config = ApiConfig { session_path: "/here/{id}".into(), ..ApiConfig::default() };
        assert_eq!(paths(&config), PathOptions { session: Some("/here/{id}".into()), ..PathOptions::default() });
    }

    #[test]
    fn the_environment_beats_the_file_and_one_of_them_must_be_there() {
        const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let (none, file) = (WebhookConfig::default(), Some("/run/secret".into()));
        let with_file = WebhookConfig { secret_file: file, ..WebhookConfig::default() };
        let error = webhook_secrets(&none, None).unwrap_err().to_string();
        assert_eq!(error, "the webhook has no secret: set AGNTIX_WEBHOOK_SECRET or webhook.secret_file");
        let source = webhook_secrets(&with_file, Secret::new(SECRET).as_ref()).unwrap();
        assert_eq!(source.name(), "AGNTIX_WEBHOOK_SECRET");
        assert!(source.current(Instant::now()).is_ok());
        assert_eq!(webhook_secrets(&with_file, None).unwrap().name(), "webhook.secret_file /run/secret");
        let error = webhook_secrets(&none, Secret::new("whsec_hunter2").as_ref()).unwrap_err();
        assert!(error.to_string().starts_with("AGNTIX_WEBHOOK_SECRET is not a signing secret"), "{error}");
    }
}
