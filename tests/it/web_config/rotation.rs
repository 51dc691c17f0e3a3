//! Certificates, authorities and users are replaced while the daemon runs; a half-written or broken file changes nothing.

use agntix_exporter::clock::{Clock as _, SystemClock};
use rcgen::date_time_ymd;
use rustls::version::TLS13;

use super::{Site, TLS, user};
use crate::support::certificates::{Authority, Certified};
use crate::support::https::{Https, basic};
use crate::support::{Daemon, ask, until};

fn shown(site: &Site, daemon: &Daemon) -> Vec<u8> {
    Https::trusting(&site.authority).ask(daemon.address, "/-/healthy", &[]).unwrap().1.certificate
}

#[test]
fn a_new_certificate_is_shown_without_a_restart_and_a_broken_one_never() {
    let site = Site::new();
    let daemon = site.start(TLS);
    let first = shown(&site, &daemon);
    let second = site.authority.server("server", |_| ());
    until("the new certificate", || (shown(&site, &daemon) != first).then_some(()));
    assert_eq!(shown(&site, &daemon), second.chain()[0].to_vec());
    assert_eq!(daemon.lines_with("the web configuration was read again"), 1, "{}", daemon.log());

    let whole = std::fs::read_to_string(&second.certificate).unwrap();
    std::fs::write(&second.certificate, &whole[..whole.len() / 2]).unwrap();
    until("the complaint", || (daemon.lines_with("is broken PEM, perhaps cut short") > 0).then_some(()));
    assert_eq!(shown(&site, &daemon), Certified::first_in(&whole));
    std::fs::remove_file(&second.certificate).unwrap();
    until("another complaint", || (daemon.lines_with("server.crt cannot be read") > 0).then_some(()));
    assert_eq!(shown(&site, &daemon), Certified::first_in(&whole));
    // One line a state, however often it is looked at.
    assert_eq!(daemon.lines_with("the last good web configuration stays in force"), 2, "{}", daemon.log());

    let state = || {
        let page = Https::trusting(&site.authority).ask(daemon.address, "/metrics", &[]).unwrap().0.text();
        let value = |name: &str| {
            let value = page.lines().find_map(|line| line.strip_prefix(&format!("{name}{{listener=\"metrics\"}} ")));
            value.unwrap_or_else(|| panic!("no {name} in {page}")).parse::<f64>().unwrap()
        };
        let ends = value("agntix_exporter_web_certificate_not_after_timestamp_seconds");
        (value("agntix_exporter_web_config_last_reload_successful"), ends)
    };
    let (is_good, ends) = state();
    assert_eq!(is_good, 0.0);
    let third = site.authority.server("server", |params| params.not_after = date_time_ymd(2040, 1, 1));
    until("the third certificate", || (shown(&site, &daemon) == third.chain()[0].to_vec()).then_some(()));
    let (is_good, new_end) = until("the metrics of it", || Some(state()).filter(|(is_good, _)| *is_good == 1.0));
    assert_eq!((is_good, new_end), (1.0, 2_208_988_800.0));
    assert!(ends != new_end && ends > SystemClock.now().as_seconds_f64());
}

#[test]
fn a_broken_file_does_not_make_the_health_check_call_the_exporter_dead() {
    let site = Site::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = site.setup(TLS).set("WEB__LISTEN_ADDRESS", &port.to_string());
    let health = setup.clone().argument("healthcheck");
    let daemon = setup.start();
    assert_eq!(health.run().0, Some(0));
    // The daemon goes on with what it has.
    site.write("web.yml", "tls_server_config: {");
    assert_eq!(health.run().0, Some(0));
    drop(daemon);
    let (code, said) = health.run();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("takes no connection"), "{said}");
}

#[test]
fn a_reload_reads_it_at_once_and_fails_with_it() {
    let site = Site::new();
    let users = |text: &str| format!("basic_auth_users:\n{text}");
    let daemon = site.start(&users(&user("alice", "alice's")));
    let post = |name: &str| {
        let header = basic(name, &format!("{name}'s"));
        let answer = ask(daemon.address, "POST", "/-/reload", &[("authorization", &header)]).unwrap();
        (answer.status, answer.text())
    };
    assert_eq!(post("bob").0, 401);
    site.write("web.yml", &users(&(user("alice", "alice's") + &user("bob", "bob's"))));
    assert_eq!(post("alice").0, 200);
    assert_eq!(post("bob").0, 200);
    site.write("web.yml", "basic_auth_users:\n  alice: ali");
    let (status, why) = post("bob");
    assert_eq!(status, 500);
    assert!(why.contains("web.yml, line 2: basic_auth_users: what stands for user 1 is not a bcrypt hash"), "{why}");
    site.write("web.yml", "");
    let (status, why) = post("bob");
    assert_eq!(status, 500);
    assert!(why.contains("it would let everybody in without a password; restart the exporter if it is meant"), "{why}");
    let header = basic("bob", "bob's");
    let samples = ask(daemon.address, "GET", "/metrics", &[("authorization", &header)]).unwrap().text();
    assert!(samples.contains("\nagntix_exporter_config_last_reload_successful 0\n"));
}

#[test]
fn a_file_that_is_being_written_opens_no_door() {
    let site = Site::new();
    Authority::new(site.path(), "clients");
    let whole = format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.pem\nbasic_auth_users:\n{}{}",
        user("alice", "alice's"),
        user("bob", "bob's")
    );
    let daemon = site.start(&whole);
    let stranger = Https::trusting(&site.authority).speaking(&TLS13);
    // What a file may look like while it is written, each state left to rest until it was looked at.
    let lines = |count: usize| whole.split_inclusive('\n').take(count).collect::<String>();
    for (text, complaint) in [
        (lines(0), "it would switch TLS off"),
        (lines(2), "names no private key"),
        (lines(3), "it would let everybody in without a password"),
        (lines(6), "it would let everybody in without a password"),
        (lines(7)[..lines(7).len() - 9].to_owned(), "what stands for user 1 is not a bcrypt hash"),
    ] {
        std::fs::write(site.web_config(), &text).unwrap();
        until(complaint, || (daemon.lines_with(complaint) > 0).then_some(()));
        assert!(stranger.get(daemon.address, "/metrics", &[]).is_err(), "{text}");
    }
    // Then it is whole, and the authority is another one.
    let prometheus = Authority::new(site.path(), "clients").client("prometheus", |_| ());
    std::fs::write(site.web_config(), &whole).unwrap();
    let (client, header) = (stranger.showing(&prometheus), basic("bob", "bob's"));
    until("the new authority", || {
        let answer = client.get(daemon.address, "/metrics", &[("authorization", &header)]).ok()?;
        (answer.status == 200).then_some(())
    });
}
