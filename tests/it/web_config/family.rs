//! The other flags that Prometheus' exporters have in common: several addresses, systemd's sockets, prefixes, fewer metrics.

use std::net::SocketAddr;

use super::Site;
use crate::support::{Daemon, Setup, WEBHOOK_SECRET, ask, request, until};

fn plain(site: &Site) -> Setup {
    Setup::new(site.api.address, &site.path().join("state"))
}

/// Every address that the log says is listened on.
fn addresses(daemon: &Daemon) -> Vec<SocketAddr> {
    let log = daemon.log();
    let lines = log.lines().filter(|line| line.contains("listening"));
    let address = |line: &str| line.split_once("address=")?.1.split_whitespace().next()?.trim_matches('"').parse().ok();
    lines.filter_map(address).collect()
}

#[test]
fn it_listens_on_every_address_that_is_named() {
    let site = Site::new();
    let setup = plain(&site).unset("WEB__LISTEN_ADDRESS");
    let daemon = setup
        .argument("--web.listen-address=127.0.0.1:0")
        .argument("--web.listen-address=[::1]:0")
        .argument("--web.listen-address=127.0.0.2:0")
        .start();
    // The last line is there when the page is, since the first request is answered after it.
    let found = until("three addresses", || Some(addresses(&daemon)).filter(|found| found.len() == 3));
    for address in found {
        assert_eq!(request(address, "GET", "/-/healthy").unwrap().0, 200, "{address}");
    }
    drop(daemon);
    let daemon = plain(&site).set("WEB__LISTEN_ADDRESS", ":0").start();
    let port = daemon.address.port();
    assert!(daemon.address.ip().is_unspecified());
    for address in [SocketAddr::from(([127, 0, 0, 1], port)), format!("[::1]:{port}").parse().unwrap()] {
        assert_eq!(request(address, "GET", "/-/healthy").unwrap().0, 200, "{address}");
    }
}

#[test]
fn routes_begin_with_the_prefix_and_links_with_the_path_of_the_external_url() {
    let site = Site::new();
    let get = |daemon: &Daemon, path: &str| ask(daemon.address, "GET", path, &[]).unwrap();
    let daemon = plain(&site).argument("--web.external-url=https://monitoring.example/agntix/").start();
    for (path, status) in [
        ("/agntix/metrics", 200),
        ("/agntix/-/healthy", 200),
        ("/agntix/", 200),
        ("/metrics", 404),
        ("/-/healthy", 404),
        ("/", 302),
        ("/agntix", 302),
    ] {
        assert_eq!(get(&daemon, path).status, status, "{path}");
    }
    assert_eq!(get(&daemon, "/").header("location"), Some("/agntix/"));
    let page = get(&daemon, "/agntix/").text();
    assert!(page.contains("href=\"/agntix/metrics\"") && page.contains("href=\"/agntix/-/ready\""), "{page}");
    drop(daemon);

    // A proxy that takes its part of the path away.
    let daemon = plain(&site)
        .argument("--web.external-url=https://monitoring.example/agntix/")
        .argument("--web.route-prefix=/")
        .argument("--web.telemetry-path=/m")
        .start();
    assert_eq!((get(&daemon, "/m").status, get(&daemon, "/agntix/m").status), (200, 404));
    assert!(get(&daemon, "/").text().contains("href=\"/agntix/m\""));
    drop(daemon);

    let daemon = plain(&site)
        .set("WEBHOOK__ENABLED", "true")
        .env("AGNTIX_WEBHOOK_SECRET", WEBHOOK_SECRET)
        .argument("--web.route-prefix=/x/y")
        .start();
    let hook = |path: &str| ask(daemon.address, "POST", path, &[]).unwrap().status;
    assert_eq!((hook("/webhooks/agntix"), hook("/x/y/webhooks/agntix")), (401, 404), "its path is the whole one");
    assert_eq!(get(&daemon, "/x/y/metrics").status, 200);
}

#[test]
fn the_metrics_of_the_process_can_be_left_out_and_only_they() {
    let site = Site::new();
    let names = |daemon: &Daemon| {
        let page = daemon.get("/metrics").1;
        let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let daemon = plain(&site).start();
    let of_process = |name: &String| name.starts_with("process_");
    // What is asked of the API shows once it has been asked.
    let all = until("the first requests", || {
        Some(names(&daemon)).filter(|names| names.iter().any(|name| name == "agntix_exporter_api_requests_total"))
    });
    assert!(all.iter().any(of_process));
    drop(daemon);
    let daemon = plain(&site).argument("--web.disable-exporter-metrics").start();
    until("all the others", || {
        let fewer = names(&daemon);
        assert!(!fewer.iter().any(of_process), "{fewer:?}");
        all.iter().filter(|name| !of_process(name)).all(|name| fewer.contains(name)).then_some(())
    });
}

#[test]
fn flags_are_shown_with_where_they_came_from() {
    let site = Site::new();
    let (code, said) = plain(&site)
        .argument("--config.check")
        .argument("--web.max-requests=7")
        .argument("--web.listen-address=127.0.0.1:1")
        .argument("--web.listen-address=127.0.0.1:2")
        .argument("--web.disable-exporter-metrics")
        .run();
    assert_eq!(code, Some(0), "{said}");
    for (key, value, flag) in [
        ("web.max_requests", "7", "--web.max-requests"),
        ("web.listen_address", "\"127.0.0.1:1,127.0.0.1:2\"", "--web.listen-address"),
        ("web.disable_exporter_metrics", "true", "--web.disable-exporter-metrics"),
        ("web.systemd_socket", "false", "default"),
    ] {
        let line = said.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        assert!(line.starts_with(&format!("{key} = {value} ")) && line.ends_with(&format!("# {flag}")), "{line}");
    }
    assert!(said.contains("\n# web: plain HTTP, open to everybody who can reach it\n"), "{said}");
}

/// Hands two listening sockets over as systemd does it, and becomes the daemon.
const SYSTEMD: &str = "import os, socket, sys\n\
    sockets = []\n\
    for _ in range(2):\n    \
        s = socket.socket()\n    \
        s.bind(('127.0.0.1', 0))\n    \
        s.listen()\n    \
        sockets.append(s)\n\
    copies = [os.dup2(s.fileno(), 20 + n) for n, s in enumerate(sockets)]\n\
    [os.dup2(copy, 3 + n) for n, copy in enumerate(copies)]\n\
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2')\n\
    os.execv(sys.argv[1], sys.argv[1:])\n";

#[test]
#[ignore = "needs python3"]
fn sockets_of_systemd_are_listened_on_and_nothing_else() {
    let site = Site::new();
    let setup = plain(&site).set("WEB__LISTEN_ADDRESS", "192.0.2.1:9").argument("--web.systemd-socket");
    let (code, said) = setup.run();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("systemd has handed over no socket; start the exporter by its .socket unit"), "{said}");
    let daemon = setup.through(&["python3", "-c", SYSTEMD]).start();
    let found = until("two sockets", || Some(addresses(&daemon)).filter(|found| found.len() == 2));
    for address in &found {
        assert_eq!(request(*address, "GET", "/metrics").unwrap().0, 200);
    }
    assert_ne!(found[0], found[1]);
}
