//! Which credential is in effect: exactly one of `AGNTIX_API_KEY`, `api.key_file` and `api.bearer_token_file`.
//!
//! The files are read by the client, which reads them again when they change; here only their names count.

use super::environment::Environment;
use super::error::ConfigError;
use super::load::Loaded;
use crate::secret::Secret;

/// Finds the credential, and takes it into `loaded` if it is in the environment.
pub(super) fn choose(loaded: &mut Loaded, environment: &Environment) -> Result<(), ConfigError> {
    let api = &loaded.config.api;
    let key_file = api.key_file.as_ref().map(|_| named(loaded, "api.key_file"));
    let bearer_token_file = api.bearer_token_file.as_ref().map(|_| named(loaded, "api.bearer_token_file"));
    let api_key = environment.api_key().and_then(Secret::new);
    if api_key.as_ref().is_some_and(|key| !key.expose().chars().all(|c| c.is_ascii_graphic())) {
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

fn named(loaded: &Loaded, key: &str) -> String {
    format!("{key} ({})", loaded.origins.get(key))
}
