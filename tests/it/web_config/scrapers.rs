//! Clients that are not ours: curl, and real Prometheus servers, over TLS with a client certificate and a password.

use std::process::Command;

use serde_json::json;

use super::{Site, TLS, user};
use crate::support::certificates::{Authority, Certified};
use crate::support::https::{Https, basic};
use crate::support::prometheus::{Prometheus, Setup, Version};
use crate::support::{Daemon, samples};

/// What each version of Prometheus sends, byte by byte: 2.42 and 3.5.3 as they were recorded, 2.53 after its source.
const ACCEPT: [(&str, &str); 3] = [
    (
        "2.42",
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    ),
    (
        "2.53",
        "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    ),
    (
        "3.5",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    ),
];

/// A daemon that asks for a certificate and a password, and a client that has both.
fn guarded() -> (Site, Daemon, Certified) {
    let site = Site::new();
    let client = Authority::new(site.path(), "clients").client("prometheus.example", |_| ());
    let daemon = site.start(&format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.pem\n  \
         client_allowed_sans: [prometheus.example]\nbasic_auth_users:\n{}",
        user("prometheus", "a password")
    ));
    (site, daemon, client)
}

#[test]
fn the_headers_of_prometheus_are_understood_over_tls() {
    let (site, daemon, client) = guarded();
    let client = Https::trusting(&site.authority).showing(&client);
    let authorization = basic("prometheus", "a password");
    for (version, accept) in ACCEPT {
        let headers = [
            ("user-agent", &*format!("Prometheus/{version}")),
            ("accept", accept),
            ("accept-encoding", "gzip"),
            ("x-prometheus-scrape-timeout-seconds", "10"),
            ("authorization", &authorization),
        ];
        let reply = client.get(daemon.address, "/metrics", &headers).unwrap();
        assert_eq!(reply.status, 200, "{version}");
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(reply.header("content-type"), Some(content_type), "{version}");
        assert_eq!(reply.header("content-encoding"), Some("gzip"), "{version}");
        let mut page = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&reply.body[..]), &mut page).unwrap();
        assert!(page.ends_with("# EOF\n"), "{version}");
    }
    assert_eq!(client.get(daemon.address, "/metrics", &[]).unwrap().status, 401);
}

#[test]
#[ignore = "needs curl"]
fn curl_gets_the_page_with_a_certificate_and_a_password() {
    let (site, daemon, client) = guarded();
    let url = format!("https://localhost:{}/metrics", daemon.address.port());
    let curl = |more: &[&str]| {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code} %{http_version}"])
            .args(["--resolve", &format!("localhost:{}:127.0.0.1", daemon.address.port())])
            .arg("--cacert")
            .arg(site.path().join("authority.pem"))
            .args(more)
            .arg(&url)
            .output()
            .expect("curl runs");
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let [certificate, key] = [&client.certificate, &client.key].map(|path| path.display().to_string());
    let identity = ["--cert", &certificate, "--key", &key];
    for version in ["--tls-max=1.2", "--tlsv1.3"] {
        let version: Vec<&str> = version.split('=').collect();
        let with = |more: &[&str]| curl(&[&identity[..], &version, more].concat());
        let (code, page, why) = with(&["--user", "prometheus:a password"]);
        assert_eq!(code, Some(0), "{why}");
        assert!(page.ends_with("\n200 1.1"), "{page}");
        assert!(samples(page.rsplit_once('\n').unwrap().0).contains_key("agntix_up"));
        assert!(with(&["--user", "prometheus:another"]).1.ends_with("\n401 1.1"));
        assert!(with(&[]).1.ends_with("\n401 1.1"));
        // Without a certificate there is no answer at all: curl's words for a failed handshake, and for what is missing.
        let (code, page, _) = curl(&[&version[..], &["--user", "prometheus:a password"]].concat());
        assert!(matches!(code, Some(35 | 56 | 98)) && page.ends_with("\n000 0"), "{code:?} {page}");
    }
}

fn scrapes(version: Version) {
    let (site, daemon, client) = guarded();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(scrapes_of(version, &site, &daemon, &client));
}

async fn scrapes_of(version: Version, site: &Site, daemon: &Daemon, client: &Certified) {
    let tls = json!({
        "ca_file": site.path().join("authority.pem"),
        "cert_file": client.certificate,
        "key_file": client.key,
        "server_name": "localhost",
    });
    let setup = |password: &str, tls: serde_json::Value| {
        let mut setup = Setup::scraping(daemon.address);
        setup.job.insert("scheme".into(), json!("https"));
        setup.job.insert("tls_config".into(), tls);
        setup.job.insert("basic_auth".into(), json!({ "username": "prometheus", "password": password }));
        setup
    };
    let prometheus = Prometheus::start(version, setup("a password", tls.clone())).await;
    prometheus
        .query_until("count_over_time(agntix_up[1h])", |found| found.first().is_some_and(|s| s.value >= 2.0))
        .await;
    let targets = prometheus.targets().await;
    assert_eq!((targets[0].health.as_str(), targets[0].last_error.as_str()), ("up", ""));

    // The certificate changes under it, and it goes on.
    site.authority.server("server", |_| ());
    let again = "count_over_time(agntix_up[1h])";
    let before = prometheus.query(again).await[0].value;
    prometheus.query_until(again, |found| found.first().is_some_and(|s| s.value >= before + 3.0)).await;
    assert_eq!(prometheus.query("min_over_time(up[1h])").await[0].value, 1.0);

    let wrong = Prometheus::start(version, setup("another", tls.clone())).await;
    wrong.query_until("up", |found| found.first().is_some_and(|s| s.value == 0.0)).await;
    assert_eq!(wrong.targets().await[0].last_error, "server returned HTTP status 401 Unauthorized");
    let mut anonymous = tls;
    anonymous.as_object_mut().unwrap().retain(|key, _| key != "cert_file" && key != "key_file");
    let anonymous = Prometheus::start(version, setup("a password", anonymous)).await;
    anonymous.query_until("up", |found| found.first().is_some_and(|s| s.value == 0.0)).await;
    let why = &anonymous.targets().await[0].last_error;
    assert!(why.contains("tls: certificate required") || why.contains("tls: bad certificate"), "{why}");
}

#[test]
#[ignore = "needs Prometheus from .ci/tools"]
fn prometheus_2_scrapes_over_tls() {
    scrapes(Version::V2);
}

#[test]
#[ignore = "needs Prometheus from .ci/tools"]
fn prometheus_3_scrapes_over_tls() {
    scrapes(Version::V3);
}
