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
    // A daemon goes on with the last good state of a file that is broken now. How it speaks nobody can tell then, or there
    // is no certificate to show: that it takes connections is all that can be found out.
    let guards = Guards::open(config).ok().map(|(guards, _)| guards);
    let Some(guards) = guards.filter(|guards| !guards.web.requires_certificates()) else {
        return runtime()?.block_on(takes_connections(&reachable(address)));
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
            // With web.probes_without_credentials = false; it is alive all the same.
            StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS if guards.web.has_users() => Ok(()),
            status => Err(unhealthy(format!("answers {status}"))),
        }
    })
}

async fn takes_connections(address: &str) -> Result<(), Failure> {
    match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::running(format!("{address} takes no connection ({error})"))),
        Err(_) => Err(Failure::running(format!("{address} takes no connection within {PATIENCE:?}"))),
    }
}

fn said(error: &reqwest::Error) -> String {
    if error.is_timeout() { format!("does not answer within {PATIENCE:?}") } else { "does not answer".to_owned() }
}
