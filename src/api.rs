//! Makes the parts of [`agntix_api`] of what the operator has configured. `config` and that crate know nothing of each
//! other; what one needs of the other is translated here, and nothing else is decided here.

use std::path::Path;

use agntix_api::{
    Client, ClientError, ClientOptions, CredentialPlace, CredentialSource, PathOptions, Proxy, ProxyVariables, Secret,
    WebhookSecretError, WebhookSecretSource, WebhookSecrets,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{
    self, AUTO_PATH, ApiConfig, ConfigError, CredentialFaults, Environment, Loaded, Overrides, WebhookConfig,
};

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

/// [`config::load`], and the secret of an enabled webhook read: how one is written is not `config`'s to know.
///
/// # Errors
/// The first mistake, as a sentence for the operator.
pub fn load(file: Option<&Path>, environment: &Environment, overrides: &Overrides) -> Result<Loaded, ConfigError> {
    let loaded = config::load(file, environment, overrides)?;
    check_webhook_secret(&loaded)?;
    proxy(&loaded.config.api)?;
    Ok(loaded)
}

/// [`config::load_with_faults`], and the secret of an enabled webhook read.
///
/// # Errors
/// The first mistake that is not one of the credentials, as a sentence for the operator.
pub fn load_with_faults(
    file: Option<&Path>,
    environment: &Environment,
    overrides: &Overrides,
) -> Result<(Loaded, CredentialFaults), ConfigError> {
    let (loaded, mut faults) = config::load_with_faults(file, environment, overrides)?;
    proxy(&loaded.config.api)?;
    faults.webhook = faults.webhook.or_else(|| check_webhook_secret(&loaded).err());
    Ok((loaded, faults))
}

/// A client for the API that `config` names; `api_key` is the one from the environment. Connects to nothing, and reads no
/// credential from a file yet.
///
/// # Errors
/// If a URL or path is wrong, if there is not exactly one credential, or if TLS cannot be set up.
pub fn client(config: &ApiConfig, api_key: Option<&SecretString>) -> Result<Client, ApiSetupError> {
    let options = ClientOptions {
        user_agent: concat!("agntix-exporter/", env!("CARGO_PKG_VERSION")).into(),
        base_url: config.base_url.clone(),
        credential: credential(config, api_key)?,
        timeout: config.timeout,
        connect_timeout: config.connect_timeout,
        max_idle_connections: config.max_concurrency,
        ca_file: config.ca_file.clone(),
        paths: paths(config),
    };
    Ok(Client::new(options)?)
}

/// The proxy that requests to the API go through, if they do: of this process, as the client finds it.
///
/// # Errors
/// If a variable names one that cannot be used.
pub fn proxy(config: &ApiConfig) -> Result<Option<Proxy>, ConfigError> {
    ProxyVariables::from_process().proxy_for(&config.base_url).map_err(|error| ConfigError::Proxy(error.to_string()))
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
pub fn webhook_secrets(
    config: &WebhookConfig,
    secret: Option<&SecretString>,
) -> Result<WebhookSecretSource, ApiSetupError> {
    match (secret.and_then(self::secret), &config.secret_file) {
        (Some(secret), _) => Ok(WebhookSecretSource::fixed("AGNTIX_WEBHOOK_SECRET", &secret)?),
        (None, Some(path)) => Ok(WebhookSecretSource::file("webhook.secret_file", path)),
        (None, None) => Err(ApiSetupError::NoWebhookSecret),
    }
}

/// What `config` has read as a secret; `None` if it is blank.
pub fn secret(text: &SecretString) -> Option<Secret> {
    Secret::new(text.expose_secret())
}

fn check_webhook_secret(loaded: &Loaded) -> Result<(), ConfigError> {
    let Some(secret) = &loaded.webhook_secret else { return Ok(()) };
    match WebhookSecrets::parse(secret.expose_secret()) {
        Ok(_) => Ok(()),
        Err(fault) => Err(ConfigError::WebhookSecret(fault.to_string())),
    }
}

fn credential(config: &ApiConfig, api_key: Option<&SecretString>) -> Result<CredentialSource, ApiSetupError> {
    let source = |name: &str, place| Ok(CredentialSource { name: name.into(), place });
    match (api_key.and_then(secret), &config.key_file, &config.bearer_token_file) {
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
        let key = SecretString::from("pk_live_42");
        let (file, token) = (Some(PathBuf::from("/run/key")), Some(PathBuf::from("/run/token")));
        let make = |key: Option<&SecretString>, key_file: &Option<PathBuf>, bearer_token_file: &Option<PathBuf>| {
            let (key_file, bearer_token_file) = (key_file.clone(), bearer_token_file.clone());
            client(&ApiConfig { key_file, bearer_token_file, ..ApiConfig::default() }, key)
        };
        let named = |client: Result<Client, ApiSetupError>| client.unwrap().credential_name();
        assert_eq!(make(None, &None, &None).unwrap_err(), ApiSetupError::NoCredential);
        for (key, file, token) in [(Some(&key), &file, &None), (Some(&key), &None, &token), (None, &file, &token)] {
            assert!(matches!(make(key, file, token), Err(ApiSetupError::TwoCredentials(..))));
        }
        assert_eq!(named(make(Some(&key), &None, &None)), "AGNTIX_API_KEY");
        assert_eq!(named(make(None, &file, &None)), "api.key_file /run/key");
        assert_eq!(named(make(None, &None, &token)), "api.bearer_token_file /run/token");
        let broken = SecretString::from("pk_live_42\r\nx: y");
        assert_eq!(
            make(Some(&broken), &None, &None).unwrap_err().to_string(),
            "AGNTIX_API_KEY holds a line break or another character that an HTTP header cannot carry"
        );
    }

    #[test]
    fn mistakes_are_named_by_their_key() {
        agntix_api::install_crypto_provider();
        let said = |config: ApiConfig| client(&config, Some(&"pk".into())).unwrap_err().to_string();
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
        let source = webhook_secrets(&with_file, Some(&SECRET.into())).unwrap();
        assert_eq!(source.name(), "AGNTIX_WEBHOOK_SECRET");
        assert!(source.current(Instant::now()).is_ok());
        assert_eq!(webhook_secrets(&with_file, None).unwrap().name(), "webhook.secret_file /run/secret");
        let error = webhook_secrets(&none, Some(&"whsec_hunter2".into())).unwrap_err();
        assert!(error.to_string().starts_with("AGNTIX_WEBHOOK_SECRET is not a signing secret"), "{error}");
    }

    #[test]
    fn an_enabled_webhook_has_a_secret_that_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, "[webhook]\nenabled = true\n").unwrap();
        let environment = |secret: &str| {
            Environment::from_pairs([("AGNTIX_API_KEY", "pk_live_42"), ("AGNTIX_WEBHOOK_SECRET", secret)])
        };
        let load = |secret: &str| load(Some(&path), &environment(secret), &Overrides::default());
        assert!(load("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
        let message = "environment variable AGNTIX_WEBHOOK_SECRET is not a signing secret (number 1, not shown): it must be whsec_ and base64, as the dashboard shows it";
        assert_eq!(load("whsec_hunter2").unwrap_err().to_string(), message);
        let (loaded, faults) =
            load_with_faults(Some(&path), &environment("whsec_hunter2"), &Overrides::default()).unwrap();
        assert_eq!(faults.webhook.unwrap().to_string(), message);
        assert!(faults.api.is_none() && loaded.webhook_secret.is_some());
    }
}
