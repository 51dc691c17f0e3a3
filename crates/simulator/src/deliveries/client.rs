//! The HTTP client that deliveries are made with.

use std::sync::Arc;

use reqwest::{Client, redirect, retry};

use super::config::DeliveryConfig;

const USER_AGENT: &str = "Svix-Webhooks/1.0 (simulated)";

/// A client of its own: no proxy, no redirects, no retries but those of the schedule.
pub(crate) fn client(config: &DeliveryConfig) -> Result<Client, String> {
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .timeout(config.timeout)
        .tls_backend_preconfigured(tls(config.url.starts_with("https"))?);
    builder.build().map_err(|error| format!("deliveries cannot be made ({error})"))
}

/// TLS that trusts what the system trusts; reading that takes time, so only if it is used.
fn tls(is_used: bool) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    if is_used {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth())
}
