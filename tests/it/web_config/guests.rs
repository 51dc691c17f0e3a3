//! Users and passwords, the paths that need none, headers, and limits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Site, TLS, user};
use crate::support::https::{Https, basic};
use crate::support::{Daemon, WEBHOOK_SECRET, ask, until};

fn statuses(address: std::net::SocketAddr, authorization: Option<&str>, paths: &[&str]) -> Vec<u16> {
    let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
    paths.iter().map(|path| ask(address, "GET", path, &headers).unwrap().status).collect()
}

fn webhook_address(daemon: &Daemon) -> std::net::SocketAddr {
    until("the address of the webhook's listener", || {
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains("deliveries have a listener of their own"))?;
        line.split_once("address=")?.1.split_whitespace().next()?.trim_matches('"').parse().ok()
    })
}

#[test]
fn every_path_but_the_probes_asks_for_a_user() {
    let site = Site::new();
    let users = format!("basic_auth_users:\n{}{}", user("alice", "alice's"), user("bob", "bob's"));
    let paths = [
        "/metrics",
        "/",
        "/-/reference",
        "/-/runbooks",
        "/-/runbooks/AgntixApiDown",
        "/-/reload",
        "/nothing",
        "/-/healthy",
        "/-/healthy/",
        "//-/healthy",
        "/-/Healthy",
    ];
    let daemon = site.start(&users);
    let refused = ask(daemon.address, "GET", "/metrics", &[]).unwrap();
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Basic")));
    assert!(daemon.log().contains("tls=false basic_auth=true"), "{}", daemon.log());
    for wrong in [None, Some(basic("alice", "bob's")), Some(basic("eve", "alice's")), Some("Bearer x".to_owned())] {
        let statuses = statuses(daemon.address, wrong.as_deref(), &paths);
        assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 401, 200, 401, 401, 401], "{wrong:?}");
    }
    for (name, password) in [("alice", "alice's"), ("bob", "bob's")] {
        let statuses = statuses(daemon.address, Some(&basic(name, password)), &paths);
        assert_eq!(statuses, [200, 200, 200, 200, 200, 405, 404, 200, 404, 404, 404]);
    }
    until("readiness without a password", || {
        (ask(daemon.address, "GET", "/-/ready", &[]).unwrap().status == 200).then_some(())
    });
    // The log of a daemon at its most talkative names nobody and no password.
    drop(daemon);
    let closed = site.setup(&users).set("WEB__PROBES_WITHOUT_CREDENTIALS", "false").set("LOG__LEVEL", "trace").start();
    assert_eq!(statuses(closed.address, None, &["/-/healthy", "/-/ready"]), [401, 401]);
    assert_eq!(statuses(closed.address, Some(&basic("bob", "bob's")), &["/-/healthy"]), [200]);
    assert!(!closed.log().contains("bob"), "{}", closed.log());
}

#[test]
fn deliveries_need_no_password_on_either_listener() {
    let site = Site::new();
    let web = format!("basic_auth_users:\n{}", user("alice", "alice's"));
    let shared = site.setup(&web).set("WEBHOOK__ENABLED", "true").env("AGNTIX_WEBHOOK_SECRET", WEBHOOK_SECRET);
    let post = |address, path: &str| ask(address, "POST", path, &[]).unwrap();
    let daemon = shared.start();
    // Without a signature it is refused for that, and not for the lack of a user.
    let answer = post(daemon.address, "/webhooks/agntix");
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, None));
    assert!(answer.text().starts_with("The signature is missing"), "{}", answer.text());
    assert_eq!(post(daemon.address, "/webhooks/agntix/").header("www-authenticate"), Some("Basic"));
    drop(daemon);

    let own = shared.set("WEBHOOK__LISTEN_ADDRESS", "127.0.0.1:0");
    let daemon = own.start();
    let address = webhook_address(&daemon);
    assert_eq!(post(address, "/webhooks/agntix").header("www-authenticate"), None);
    assert_eq!(statuses(address, None, &["/-/healthy", "/metrics"]), [200, 401]);
    drop(daemon);

    // Strangers at the public listener use up nothing of what the scrapes are given.
    site.write("web.yml", &format!("{web}rate_limit:\n  interval: 1h\n  burst: 2\n"));
    let daemon = own.start();
    let address = webhook_address(&daemon);
    assert_eq!(statuses(address, None, &["/a", "/b", "/c", "/d"]), [401, 401, 429, 429]);
    assert_eq!(statuses(daemon.address, Some(&basic("alice", "alice's")), &["/metrics"]), [200]);
    drop(daemon);

    // A file of its own: TLS with client certificates for the metrics, TLS alone for the deliveries.
    crate::support::certificates::Authority::new(site.path(), "clients");
    site.write("webhook.yml", TLS);
    let strict = format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.pem\n");
    let file = site.path().join("webhook.yml").display().to_string();
    let setup = site.setup(&strict).set("WEBHOOK__ENABLED", "true").set("WEBHOOK__LISTEN_ADDRESS", "127.0.0.1:0");
    let setup = setup.env("AGNTIX_WEBHOOK_SECRET", WEBHOOK_SECRET);
    let daemon = setup.start();
    assert_eq!(daemon.lines_with("deliveries cannot come in: Agntix has no client certificate"), 1, "{}", daemon.log());
    drop(daemon);
    let daemon = setup.set("WEBHOOK__WEB_CONFIG_FILE", &file).start();
    let address = webhook_address(&daemon);
    let client = Https::trusting(&site.authority);
    assert_eq!(client.get(address, "/-/healthy", &[]).unwrap().status, 200);
    assert!(client.get(daemon.address, "/-/healthy", &[]).is_err());
    assert_eq!(daemon.lines_with("deliveries cannot come in"), 0);
}

#[test]
fn a_flood_of_guesses_does_not_stop_the_scrapes_of_a_user() {
    let site = Site::new();
    // So dear that the flood keeps one thread busy from the first guess to the last.
    let dear = bcrypt::hash("alice's", 9).unwrap();
    let daemon = site.start(&format!("basic_auth_users:\n  alice: {dear}\n"));
    let header = basic("alice", "alice's");
    let scrape = || ask(daemon.address, "GET", "/metrics", &[("authorization", &header)]).unwrap();
    assert_eq!(scrape().status, 200);
    let (address, stop) = (daemon.address, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let guessers: Vec<_> = (0..8)
            .map(|thread| {
                let stop = &stop;
                scope.spawn(move || {
                    let (mut refused, mut put_off) = (0, 0);
                    for n in 0..200 {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let name = if n % 2 == 0 { "alice" } else { "nobody" };
                        let header = basic(name, &format!("{thread} {n}"));
                        let answer = ask(address, "GET", "/metrics", &[("authorization", &header)]).unwrap();
                        match answer.status {
                            401 => refused += 1,
                            429 => {
                                assert_eq!(answer.header("retry-after"), Some("1"));
                                put_off += 1;
                            }
                            other => panic!("{other}"),
                        }
                    }
                    (refused, put_off)
                })
            })
            .collect();
        for _ in 0..50 {
            assert_eq!(scrape().status, 200);
        }
        stop.store(true, Ordering::Relaxed);
        let counts = guessers.into_iter().map(|guesser| guesser.join().unwrap());
        let (refused, put_off) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert!(refused > 0 && put_off > 0, "{refused} refused, {put_off} put off");
    });
}

#[test]
fn a_password_that_is_being_checked_does_not_hold_up_the_stop() {
    let site = Site::new();
    // Minutes of work.
    let endless = bcrypt::hash("x", 4).unwrap().replace("$04$", "$22$");
    let mut daemon = site.start(&format!("basic_auth_users:\n  alice: {endless}\n"));
    // Another password each time: the same one would only join those that wait.
    let mut guesses = Vec::new();
    until("the queue to be full", || {
        let mut guess = std::net::TcpStream::connect(daemon.address).unwrap();
        guess.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let header = basic("alice", &format!("guess {}", guesses.len()));
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\nauthorization: {header}\r\n\r\n");
        std::io::Write::write_all(&mut guess, request.as_bytes()).unwrap();
        let mut answer = [0; 12];
        let is_put_off = std::io::Read::read_exact(&mut guess, &mut answer).is_ok() && &answer == b"HTTP/1.1 429";
        guesses.push(guess);
        is_put_off.then_some(())
    });
    daemon.stops_on("TERM");
    drop(guesses);
}

#[test]
fn headers_are_on_every_answer_and_a_limit_refuses_the_rest() {
    let site = Site::new();
    let daemon = site.start(&format!(
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=31536000\n\
         basic_auth_users:\n{}rate_limit:\n  interval: 1h\n  burst: 3\n",
        user("alice", "alice's")
    ));
    let header = basic("alice", "alice's");
    let ask = |path: &str, headers: &[(&str, &str)]| ask(daemon.address, "GET", path, headers).unwrap();
    let answers = [
        ask("/metrics", &[("authorization", &header)]),
        ask("/metrics", &[]),
        ask("/nothing", &[("authorization", &header)]),
        ask("/metrics", &[("authorization", &header)]),
        ask("/-/healthy", &[]),
    ];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 401, 404, 429, 200]);
    for answer in &answers {
        assert_eq!(answer.header("x-frame-options"), Some("deny"), "{answer:?}");
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    }
    let wait: u64 = answers[3].header("retry-after").unwrap().parse().unwrap();
    assert!((3_500..=3_601).contains(&wait), "{wait}");
}
