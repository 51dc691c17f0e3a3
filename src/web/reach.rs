//! How `healthcheck` and `doctor` reach a listener of this machine: its URL, and an HTTP client for it.

use std::net::IpAddr;
use std::time::Duration;

use exporter_web::WebConfigFile;

/// The URL of `path` on the listener at `address`, whose web configuration file is `security`.
pub fn local_url(address: &str, security: &WebConfigFile, path: &str) -> String {
    let scheme = if security.has_tls() { "https" } else { "http" };
    format!("{scheme}://{}{path}", reachable(address))
}

/// A client by which `command` asks this machine. It uses no proxy, and does not verify certificates, because they name the
/// host and not the loopback address; it sends nothing secret. A TLS provider must be installed, even if it never uses TLS.
pub fn local_client(command: &str, patience: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(format!("agntix-exporter/{} {command}", env!("CARGO_PKG_VERSION")))
        .timeout(patience)
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
}

/// The address at which a listener on `address` is reached from this machine: `0.0.0.0` and `[::]` by loopback.
pub fn reachable(address: &str) -> String {
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
