//! From an address to listen on to one to connect to, on this machine.

use std::net::IpAddr;

/// Where what listens on `address` is reached from this machine: the loopback interface for every address.
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
