//! Which credential is in effect: exactly one of `AGNTIX_API_KEY`, `api.key_file` and `api.bearer_token_file`; and for an
//! enabled webhook one of `AGNTIX_WEBHOOK_SECRET` and `webhook.secret_file`.
//!
//! The files are read where they are used, and again when they change. Only their names are known here.

use secrecy::ExposeSecret as _;

use super::environment::Environment;
use super::error::ConfigError;
use super::loaded::Loaded;

/// Finds the credential, and takes it into `loaded` if it is in the environment.
pub(super) fn choose(loaded: &mut Loaded, environment: &Environment) -> Result<(), ConfigError> {
    let api = &loaded.config.api;
    let key_file = api.key_file.as_ref().map(|_| named(loaded, "api.key_file"));
    let bearer_token_file = api.bearer_token_file.as_ref().map(|_| named(loaded, "api.bearer_token_file"));
    let api_key = environment.api_key();
    if api_key.as_ref().is_some_and(|key| !key.expose_secret().chars().all(|c| c.is_ascii_graphic())) {
        return Err(ConfigError::MalformedKey);
    }
    let variable = || "environment variable AGNTIX_API_KEY".to_owned();
    match (&api_key, key_file, bearer_token_file) {
        (None, None, None) => return Err(ConfigError::NoCredential),
        (_, Some(first), Some(second)) => return Err(ConfigError::TwoCredentials { first, second }),
        (Some(_), None, Some(second)) => return Err(ConfigError::TwoCredentials { first: variable(), second }),
        (Some(_), Some(file), None) => {
            loaded.warnings.push(format!("{} is set and beats {file}, which is not read", variable()));
        }
        _ => {}
    }
    loaded.api_key = api_key;
    Ok(())
}

/// Finds the secret of an enabled webhook, and takes it into `loaded` if it is in the environment. Whether it is written as
/// a secret is written is not known here.
pub(super) fn choose_webhook_secret(loaded: &mut Loaded, environment: &Environment) -> Result<(), ConfigError> {
    if !loaded.config.webhook.enabled {
        return Ok(());
    }
    let file = loaded.config.webhook.secret_file.as_ref().map(|_| named(loaded, "webhook.secret_file"));
    loaded.webhook_secret = environment.webhook_secret();
    match (&loaded.webhook_secret, file) {
        (None, None) => return Err(ConfigError::NoWebhookSecret { origin: loaded.origins.get("webhook.enabled") }),
        (None, Some(_)) | (Some(_), None) => {}
        (Some(_), Some(file)) => loaded
            .warnings
            .push(format!("environment variable AGNTIX_WEBHOOK_SECRET is set and beats {file}, which is not read")),
    }
    Ok(())
}

fn named(loaded: &Loaded, key: &str) -> String {
    format!("{key} ({})", loaded.origins.get(key))
}
