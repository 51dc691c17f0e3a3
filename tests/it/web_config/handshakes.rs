//! Handshakes: who gets through, and with what.

use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::{CipherSuite, NamedGroup};

use super::{Site, TLS};
use crate::support::certificates::{Authority, Certified};
use crate::support::https::Https;
use crate::support::{ask, request, until};

fn status(client: &Https, daemon: &crate::support::Daemon) -> Result<u16, String> {
    client.get(daemon.address, "/metrics", &[]).map(|reply| reply.status)
}

#[test]
fn http_1_1_is_spoken_over_tls_1_2_and_1_3() {
    let site = Site::new();
    let daemon = site.start(TLS);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Https::trusting(&site.authority).speaking(version);
        let (reply, agreed) = client.ask(daemon.address, "/metrics", &[]).unwrap();
        assert_eq!((reply.status, agreed.protocol.as_deref()), (200, Some(&b"http/1.1"[..])));
        assert!(reply.text().contains("\nagntix_up "));
    }
    let stranger = Authority::new(site.path(), "stranger");
    assert!(status(&Https::trusting(&stranger), &daemon).unwrap_err().contains("UnknownIssuer"));
    assert!(daemon.log().contains("tls=true basic_auth=false"), "{}", daemon.log());
    let landing = Https::trusting(&site.authority).get(daemon.address, "/", &[]).unwrap().text();
    assert!(landing.contains("TLS, open to everybody who can reach it"), "{landing}");
}

#[test]
fn a_request_without_tls_is_told_what_to_write() {
    let site = Site::new();
    let daemon = site.start(TLS);
    let reply = ask(daemon.address, "GET", "/metrics", &[]).unwrap();
    assert_eq!(reply.status, 400);
    assert!(reply.text().starts_with("This port speaks HTTPS; write https:// in the address"), "{}", reply.text());
}

#[test]
fn versions_suites_and_curves_are_those_of_the_file() {
    let site = Site::new();
    let client = || Https::trusting(&site.authority);
    let (tls12, tls13) = (&rustls::version::TLS12, &rustls::version::TLS13);
    let aes128 = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    let aes256 = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;
    let chacha = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;

    let daemon = site.start(&format!("{TLS}  min_version: TLS13\n"));
    assert!(status(&client().speaking(tls12), &daemon).is_err());
    assert_eq!(status(&client().speaking(tls13), &daemon), Ok(200));
    drop(daemon);

    let suites = "  cipher_suites:\n  - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n  - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\n  max_version: TLS12\n";
    let daemon = site.start(&format!("{TLS}{suites}"));
    assert!(status(&client().speaking(tls13), &daemon).is_err());
    assert!(status(&client().with_suites(&[chacha]), &daemon).is_err());
    // The server's order counts, whatever the client would rather have.
    for order in [[aes128, aes256], [aes256, aes128]] {
        let (_, agreed) = client().with_suites(&order).ask(daemon.address, "/metrics", &[]).unwrap();
        assert_eq!(agreed.suite, aes128);
    }
    drop(daemon);
    let daemon = site.start(&format!("{TLS}{suites}  prefer_server_cipher_suites: false\n"));
    let (_, agreed) = client().with_suites(&[aes256, aes128]).ask(daemon.address, "/metrics", &[]).unwrap();
    assert_eq!(agreed.suite, aes256);
    drop(daemon);

    let daemon = site.start(&format!("{TLS}  curve_preferences: [CurveP384]\n"));
    let (_, agreed) = client().ask(daemon.address, "/metrics", &[]).unwrap();
    assert_eq!(agreed.group, Some(NamedGroup::secp384r1));
    assert!(status(&client().with_group(NamedGroup::X25519), &daemon).is_err());
}

#[test]
fn every_policy_lets_in_whom_it_names() {
    let site = Site::new();
    let clients = Authority::new(site.path(), "clients");
    let good = clients.client("prometheus", |_| ());
    let stranger = Authority::new(site.path(), "strangers").client("stranger", |_| ());
    let plain = || Https::trusting(&site.authority);
    for (policy, without, with_stranger, with_good) in [
        ("NoClientCert", true, true, true),
        ("RequestClientCert", true, true, true),
        ("RequireAnyClientCert", false, true, true),
        ("RequireClientCert", false, true, true),
        ("VerifyClientCertIfGiven", true, false, true),
        ("RequireAndVerifyClientCert", false, false, true),
    ] {
        let verifies = policy.contains("Verify");
        let authority = if verifies { "  client_ca_file: clients.pem\n" } else { "" };
        let daemon = site.start(&format!("{TLS}  client_auth_type: {policy}\n{authority}"));
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let is_let_in = |client: Https| status(&client.speaking(version), &daemon) == Ok(200);
            assert_eq!(is_let_in(plain()), without, "{policy} {version:?}");
            assert_eq!(is_let_in(plain().showing(&stranger)), with_stranger, "{policy} {version:?}");
            assert_eq!(is_let_in(plain().showing(&good)), with_good, "{policy} {version:?}");
        }
    }
}

#[test]
fn a_client_must_be_of_the_authority_valid_for_clients_and_named() {
    let site = Site::new();
    let clients = Authority::new(site.path(), "clients");
    let itself = Certified::self_signed(site.path(), "itself");
    let bundle = ["clients.pem", "itself.crt"].map(|file| std::fs::read_to_string(site.path().join(file)).unwrap());
    site.write("bundle.pem", &bundle.concat());
    let daemon = site.start(&format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: bundle.pem\n  \
         client_allowed_sans: [prometheus.example, itself, expired.example, server.example]\n"
    ));
    let with = |client: &Certified| {
        // TLS 1.2 tells the refusal within the handshake, 1.3 right behind it; no request is answered in either.
        let versions = [&rustls::version::TLS12, &rustls::version::TLS13];
        versions.map(|version| {
            let client = Https::trusting(&site.authority).showing(client).speaking(version);
            status(&client, &daemon).map_err(|why| why.to_lowercase().replace([' ', '_'], ""))
        })
    };
    let expired = |params: &mut rcgen::CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    };
    let server = |params: &mut rcgen::CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    assert_eq!(with(&clients.client("prometheus.example", |_| ())), [Ok(200), Ok(200)]);
    // In the bundle itself, and so trusted, although it could sign others.
    assert_eq!(with(&itself), [Ok(200), Ok(200)]);
    for refused in [
        clients.client("other.example", |_| ()),
        clients.client("prometheus.example.com", |_| ()),
        clients.client("expired.example", expired),
        clients.client("server.example", server),
        Authority::new(site.path(), "strangers").client("prometheus.example", |_| ()),
    ] {
        for answer in with(&refused) {
            let why = answer.unwrap_err();
            assert!(why.contains("alert") || why.contains("reset") || why.contains("brokenpipe"), "{why}");
        }
    }
}

#[test]
fn an_expired_certificate_of_the_server_is_served_and_told() {
    let site = Site::new();
    let authority = &site.authority;
    authority.server("server", |params| {
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    });
    let daemon = site.start(TLS);
    assert!(daemon.log().contains("has expired (Jan  1"), "{}", daemon.log());
    let refused = status(&Https::trusting(authority), &daemon).unwrap_err();
    assert!(refused.contains("Expired") || refused.contains("expired"), "{refused}");
}

#[test]
fn handshakes_that_do_not_end_are_ended_and_stop_no_scrape() {
    let site = Site::new();
    let daemon = site.setup(TLS).set("WEB__HEADER_TIMEOUT", "500ms").start();
    let mut half_open: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(daemon.address).unwrap()).collect();
    // The first bytes of a handshake that never goes on.
    for stream in &mut half_open[50..] {
        std::io::Write::write_all(stream, &[22, 3, 1, 2, 0]).unwrap();
    }
    assert_eq!(status(&Https::trusting(&site.authority), &daemon), Ok(200));
    for mut stream in half_open {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut rest = Vec::new();
        // A reset is an end as good as any; a time-out is none.
        if let Err(error) = std::io::Read::read_to_end(&mut stream, &mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    until("the files to be closed", || (daemon.open_files() < 60).then_some(()));
}

#[test]
fn without_a_file_it_is_plain_http() {
    let site = Site::new();
    let daemon = crate::support::Setup::new(site.api.address, &site.path().join("state")).start();
    assert_eq!(request(daemon.address, "GET", "/metrics").unwrap().0, 200);
    assert!(daemon.log().contains("tls=false basic_auth=false"));
    assert!(daemon.get("/").1.contains("plain HTTP, open to everybody who can reach it"));
}
