//! `healthcheck`: whether the exporter on this machine answers, as an exit code. An image made from scratch has no other
//! program that could ask.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::net::TcpStream;

use super::flags::Global;
use super::terminal::{Failure, environment, runtime};
use crate::config;
use crate::web::{Guards, local_client, local_url, reachable};

/// The health check of a container gives up after 30 s by default; this leaves room to say why.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(global: &Global) -> Result<(), Failure> {
    let loaded = config::load_without_credential(global.config_file.as_deref(), &environment(), &global.overrides())
        .map_err(Failure::mistake)?;
    let config = &loaded.config;
    if config.web.systemd_socket && global.listen_addresses.is_empty() {
        let why = "web.systemd_socket is true, so that systemd knows the address and the configuration does not; say it with --web.listen-address=host:port";
        return Err(Failure::Mistake(why.into()));
    }
    let address = config.web.listen_addresses().next().unwrap_or_default();
    // With a broken web configuration file the daemon keeps the last good one, so we do not know whether it uses TLS; or it
    // asks for a client certificate, which we do not have. Then we can only check that the port accepts connections.
    let guards = Guards::open(config).ok().map(|(guards, _)| guards);
    let Some(guards) = guards.filter(|guards| !guards.web.requires_certificates()) else {
        return runtime()?.block_on(accepts_connections(&reachable(address)));
    };
    let url = local_url(address, &guards.web, &format!("{}/-/healthy", config.web.prefix()));
    agntix_api::install_crypto_provider();
    let client = local_client("healthcheck", PATIENCE)
        .build()
        .map_err(|e| Failure::running(format!("the HTTP client cannot be set up: {e}")))?;
    let unhealthy = |why: String| Failure::running(format!("{url} {why}"));
    runtime()?.block_on(async {
        let answer = client.get(&url).send().await.map_err(|e| unhealthy(said(&e)))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            // web.probes_without_credentials is false. An exporter that asks for a password is alive.
            StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS if guards.web.has_users() => Ok(()),
            status => Err(unhealthy(format!("answers {status}"))),
        }
    })
}

async fn accepts_connections(address: &str) -> Result<(), Failure> {
    match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::running(format!("{address} takes no connection ({error})"))),
        Err(_) => Err(Failure::running(format!("{address} takes no connection within {PATIENCE:?}"))),
    }
}

fn said(error: &reqwest::Error) -> String {
    if error.is_timeout() { format!("does not answer within {PATIENCE:?}") } else { "does not answer".to_owned() }
}
