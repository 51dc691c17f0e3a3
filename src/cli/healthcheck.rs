//! `healthcheck`: whether the exporter on this machine answers, as an exit code. An image made from scratch has no other
//! program that could ask.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::net::TcpStream;

use super::{Failure, Global, environment, runtime};
use crate::web::{Guards, Security};
use crate::{agntix, config};

/// The health check of a container gives up after 30 s by default; this leaves room to say why.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(global: &Global) -> Result<(), Failure> {
    let loaded = config::load_without_credential(global.config_file.as_deref(), &environment(), &global.overrides())
        .map_err(Failure::mistake)?;
    let config = &loaded.config;
    // A daemon goes on with the last good state of a file that is broken now.
    let guards = Guards::open(config).ok();
    let security = guards.as_ref().map(|(guards, _)| &*guards.web);
    let address = config.web.listen_addresses().next().unwrap_or_default();
    let path = format!("{}/-/healthy", config.web.prefix());
    runtime()?.block_on(is_alive(address, &path, security)).map_err(Failure::Running)
}

/// Whether an exporter that listens on `address`, guarded by `security` if that is known, says at `path` that it is alive;
/// or why not.
pub(super) async fn is_alive(address: &str, path: &str, security: Option<&Security>) -> Result<(), String> {
    let address = reachable(address);
    // Where there is no certificate to show, or nobody can tell how it speaks, that it takes connections is all that can be
    // found out.
    let Some(security) = security.filter(|security| !security.requires_certificates()) else {
        return takes_connections(&address).await;
    };
    let scheme = if security.has_tls() { "https" } else { "http" };
    let url = format!("{scheme}://{address}{path}");
    // Even a client that never speaks TLS cannot be made without it.
    agntix::install_crypto_provider();
    let client = reqwest::Client::builder()
        .user_agent(concat!("agntix-exporter/", env!("CARGO_PKG_VERSION"), " healthcheck"))
        .timeout(PATIENCE)
        .no_proxy()
        // It asks this machine, by another name than the one in the certificate, and tells nothing.
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(|e| format!("the HTTP client cannot be set up: {e}"))?;
    let answer = client.get(&url).send().await.map_err(|e| format!("{url} {}", said(&e)))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        // With web.probes_without_credentials = false; it is alive all the same.
        StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS if security.has_users() => Ok(()),
        status => Err(format!("{url} answers {status}")),
    }
}

async fn takes_connections(address: &str) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{address} takes no connection ({error})")),
        Err(_) => Err(format!("{address} takes no connection within {PATIENCE:?}")),
    }
}

fn said(error: &reqwest::Error) -> String {
    if error.is_timeout() { format!("does not answer within {PATIENCE:?}") } else { "does not answer".to_owned() }
}

/// Where what listens on `address` is reached from this machine: the loopback interface for every address.
fn reachable(address: &str) -> String {
    let Some((host, port)) = address.rsplit_once(':') else { return address.to_owned() };
    if host.is_empty() {
        return format!("127.0.0.1:{port}");
    }
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => format!("127.0.0.1:{port}"),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => format!("[::1]:{port}"),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_reached_through_loopback() {
        for (listens, reached) in [
            ("0.0.0.0:9899", "127.0.0.1:9899"),
            (":9899", "127.0.0.1:9899"),
            ("[::]:9899", "[::1]:9899"),
            ("10.0.0.7:9899", "10.0.0.7:9899"),
            ("[fd00::7]:9899", "[fd00::7]:9899"),
            ("exporter:9899", "exporter:9899"),
        ] {
            assert_eq!(reachable(listens), reached);
        }
    }
}
