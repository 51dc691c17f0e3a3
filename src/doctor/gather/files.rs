//! The files with secrets: who may read them, and how many secrets the webhook's holds. What is in them stays there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use super::bounds::bounded;
use crate::api;
use crate::config::{ContactSecret, Loaded};
use crate::doctor::secrets::SecretFileSeen;

/// What was seen of them.
pub(super) struct Files {
    pub secrets: Vec<SecretFileSeen>,
    /// Where the webhook's secret is and how many there are, or why none; `None` if the webhook is off.
    pub webhook: Option<Result<(String, usize), String>>,
    /// Why the key of customers cannot be used, if it cannot; `None` if none is needed.
    pub contacts: Option<Result<(), String>>,
}

/// Looks at the files; `None` if the disk does not answer.
pub(super) async fn look(loaded: Loaded) -> Option<Files> {
    bounded(move || {
        let (api, webhook) = (&loaded.config.api, &loaded.config.webhook);
        let (state, contacts) = (&loaded.config.state, loaded.config.metrics.repeat_contacts.as_ref());
        let address = state.url.as_ref().and_then(|url| url.address().ok());
        let key = address.and_then(|address| address.tls.certificate).map(|(_, key)| key);
        let files = [
            ("state.password_file", state.password_file.as_deref()),
            ("sslkey in state.url", key.as_deref()),
            ("api.key_file", api.key_file.as_deref().filter(|_| loaded.api_key.is_none())),
            ("api.bearer_token_file", api.bearer_token_file.as_deref()),
            ("key_file of metrics.repeat_contacts", contacts.map(|contacts| contacts.key_file.as_path())),
            (
                "webhook.secret_file",
                webhook.secret_file.as_deref().filter(|_| webhook.enabled && loaded.webhook_secret.is_none()),
            ),
        ];
        let secrets = files.into_iter().filter_map(|(key, path)| seen(key, path?)).collect();
        let webhook = webhook.enabled.then(|| {
            let source = api::webhook_secrets(webhook, loaded.webhook_secret.as_ref());
            let source = source.map_err(|error| error.to_string())?;
            let current = source.current(Instant::now()).map_err(|error| error.to_string())?;
            Ok((source.name().to_owned(), current.len()))
        });
        let contacts = contacts.map(|contacts| ContactSecret::read(&contacts.key_file).map(drop));
        Files { secrets, webhook, contacts }
    })
    .await
}

/// Who may read it; `None` if it cannot be looked at.
pub(super) fn seen(key: &'static str, path: &Path) -> Option<SecretFileSeen> {
    const OTHERS_READ: u32 = 0o004;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    Some(SecretFileSeen { key, path: path.to_owned(), open_to_all: mode & OTHERS_READ != 0 })
}
