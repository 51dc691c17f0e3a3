//! Our own listeners: whether each can be had, or an exporter answers there; and the files that guard them.

use exporter_web::{ListenError, WebConfigFile};

use super::bounds::{LISTENER_PATIENCE, bounded};
use super::files;
use super::page::{self, Page};
use crate::config::Config;
use crate::doctor::listeners::{GuardSeen, GuardsSeen, ListenerSeen};
use crate::doctor::secrets::SecretFileSeen;
use crate::web::guards::certificate_ends;
use crate::web::{Guards, WebError, local_client, local_url};

/// A listen address.
pub(super) struct Listener {
    pub check: &'static str,
    pub key: &'static str,
    pub address: String,
    pub seen: ListenerSeen,
}

/// What was seen of all of them.
pub(super) struct Seen {
    pub all: Vec<Listener>,
    /// The web configuration files, or why one cannot be used.
    pub guards: Result<GuardsSeen, String>,
    /// The files with secrets that the web configuration files are or name.
    pub secrets: Vec<SecretFileSeen>,
    /// What a running exporter shows, if it can be asked.
    pub page: Option<Page>,
}

impl Seen {
    /// Whether an exporter answers on a listener for metrics; `None` if that cannot be known.
    pub(super) fn exporter_answers(&self) -> Option<bool> {
        let mut metrics = self.all.iter().filter(|listener| listener.key == WEB_KEY).map(|listener| &listener.seen);
        match metrics.next()? {
            ListenerSeen::Exporter => Some(true),
            ListenerSeen::Free | ListenerSeen::Other(_) => Some(false),
            ListenerSeen::Unasked | ListenerSeen::Unusable(_) | ListenerSeen::Chosen => None,
        }
    }
}

const WEB_KEY: &str = "web.listen_address";

/// Looks at the listeners.
pub(super) async fn look(config: &Config) -> Seen {
    // A client cannot be made without it, and neither can a server's certificate be read.
    agntix_api::install_crypto_provider();
    let owned = config.clone();
    let looked = bounded(move || {
        let opened = Guards::open(&owned);
        let secrets = opened.as_ref().map_or_else(|_| Vec::new(), |(guards, _)| secret_files(guards));
        (opened, secrets)
    });
    let (opened, secrets) = match looked.await {
        Some((opened, secrets)) => (opened.map_err(|error| error.to_string()), secrets),
        None => (Err("the web configuration file cannot be read: the disk does not answer".to_owned()), Vec::new()),
    };
    let client = local_client("doctor", LISTENER_PATIENCE).redirect(reqwest::redirect::Policy::none()).build().ok();
    let mut all = Vec::new();
    if config.web.systemd_socket {
        let address = "web.systemd_socket".to_owned();
        all.push(Listener { check: "listener", key: WEB_KEY, address, seen: ListenerSeen::Chosen });
    } else {
        for address in config.web.listen_addresses() {
            let guard = opened.as_ref().ok().map(|(guards, _)| &*guards.web);
            let seen = listener(address, config.web.prefix(), guard, client.as_ref()).await;
            all.push(Listener { check: "listener", key: WEB_KEY, address: address.to_owned(), seen });
        }
    }
    if let Some(address) = webhook_listener(config) {
        let guard = opened.as_ref().ok().and_then(|(guards, _)| guards.webhook.as_deref());
        let seen = listener(address, "", guard, client.as_ref()).await;
        let (check, key) = ("webhook-listener", "webhook.listen_address");
        all.push(Listener { check, key, address: address.to_owned(), seen });
    }
    let running = all.iter().find(|listener| listener.key == WEB_KEY && listener.seen == ListenerSeen::Exporter);
    let page = match (running, &client, &opened) {
        (Some(running), Some(client), Ok((guards, _))) if !guards.web.has_users() => {
            let path = format!("{}{}", config.web.prefix(), config.web.telemetry_path);
            let url = local_url(&running.address, &guards.web, &path);
            page::read(client, &url).await
        }
        _ => None,
    };
    let guards = opened.map(|(guards, warnings)| GuardsSeen {
        guards: guards.each().map(|(listener, security)| (listener, guard(security))).collect(),
        warnings,
    });
    Seen { all, guards, secrets, page }
}

/// Who may read the private keys and the hashes of passwords that the files name.
fn secret_files(guards: &Guards) -> Vec<SecretFileSeen> {
    let mut seen: Vec<SecretFileSeen> = Vec::new();
    for (listener, security) in guards.each() {
        let key = if listener == "webhook" { "webhook.web_config_file" } else { "web.config_file" };
        for path in security.secret_files() {
            // One file may guard both listeners.
            if !seen.iter().any(|known| known.path == path) {
                seen.extend(files::seen(key, &path));
            }
        }
    }
    seen
}

fn guard(security: &WebConfigFile) -> GuardSeen {
    GuardSeen { summary: security.summary(), certificate_ends: certificate_ends(security) }
}

async fn listener(
    address: &str,
    prefix: &str,
    guard: Option<&WebConfigFile>,
    client: Option<&reqwest::Client>,
) -> ListenerSeen {
    if address.ends_with(":0") {
        return ListenerSeen::Chosen;
    }
    let bound = tokio::time::timeout(LISTENER_PATIENCE, exporter_web::bind(address)).await;
    match bound {
        Ok(Ok(_)) => ListenerSeen::Free,
        Ok(Err(ListenError::Taken { .. })) => holder(address, prefix, guard, client).await,
        Ok(Err(ListenError::Refused { source, .. } | ListenError::Address { source, .. })) => {
            ListenerSeen::Unusable(format!("{address} cannot be listened on ({source})"))
        }
        Ok(Err(error)) => ListenerSeen::Unusable(WebError::from(error).to_string()),
        Err(_) => ListenerSeen::Unusable(format!("{address}: the name service does not answer")),
    }
}

/// Who listens there.
async fn holder(
    address: &str,
    prefix: &str,
    guard: Option<&WebConfigFile>,
    client: Option<&reqwest::Client>,
) -> ListenerSeen {
    let other = |what: &str| ListenerSeen::Other(what.to_owned());
    let (Some(guard), Some(client)) = (guard, client) else {
        return other("who it is could not be asked");
    };
    if guard.requires_certificates() {
        return ListenerSeen::Unasked;
    }
    match client.get(local_url(address, guard, &format!("{prefix}/-/healthy"))).send().await {
        // With web.probes_without_credentials = false.
        Ok(answer) if answer.status() == 401 && guard.has_users() => ListenerSeen::Exporter,
        Ok(answer) if answer.status().is_success() && answer.content_length() == Some(HEALTHY.len() as u64) => {
            match answer.bytes().await {
                Ok(body) if body.as_ref() == HEALTHY => ListenerSeen::Exporter,
                _ => other("it says nothing that an exporter says"),
            }
        }
        Ok(answer) => ListenerSeen::Other(format!("/-/healthy is answered {}", answer.status().as_u16())),
        Err(error) if error.is_timeout() => other("it does not answer"),
        Err(_) => other("it does not speak HTTP, or not over TLS as the web configuration file says"),
    }
}

const HEALTHY: &[u8] = b"Healthy.\n";

/// Whether the configuration has a listener of its own for deliveries.
fn webhook_listener(config: &Config) -> Option<&str> {
    config.webhook.listen_address.as_deref().filter(|_| config.webhook.enabled)
}
