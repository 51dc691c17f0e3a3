//! What is on this machine: state, listeners, secrets, certificates.

use std::path::Path;
use std::time::Duration;

use simulator::{Clock as _, SimulatorConfig, SystemClock};

use super::{SECRET, doctor, installation, organization, set_mode};
use crate::support::certificates::{Authority, TLS};
use crate::support::{Api, Setup, durable, free_address};

fn files(directory: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let mut files: Vec<_> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())).collect();
    files.sort();
    files
}

#[test]
fn a_state_that_cannot_be_written_fails() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path());
    std::fs::write(place.path().join("file"), "").unwrap();
    let below = place.path().join("file/state");
    let found = doctor(&setup.clone().set("STATE__PATH", &below.display().to_string()));
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("state", "failure")]), "{}", found.all);
    assert!(found.only("state").1.contains("is no directory"), "{}", found.all);

    let closed = place.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    set_mode(&closed, 0o555);
    set_mode(place.path(), 0o755);
    let closed = setup.clone().set("STATE__PATH", &closed.display().to_string());
    // Root may write everywhere, so that somebody else has to try.
    let is_root = rustix::process::geteuid().is_root();
    let other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let found = doctor(&if is_root { closed.through(&other) } else { closed });
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("state", "failure")]), "{}", found.all);
    assert!(found.only("state").1.contains("cannot be written by this user (Permission denied"), "{}", found.all);

    let foreign = place.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("ledger.sqlite"), "no database at all, but a text that somebody put here".repeat(9))
        .unwrap();
    let before = files(&foreign);
    let found = doctor(&setup.set("STATE__PATH", &foreign.display().to_string()));
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("state", "failure")]), "{}", found.all);
    assert!(found.only("state").1.contains("is damaged or not an agntix-exporter state"), "{}", found.all);
    assert_eq!(files(&foreign), before);
}

#[test]
fn a_running_exporter_is_known_by_its_state_and_its_listeners_and_not_disturbed() {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let config = SimulatorConfig { rate_limit: Some(100_000), ..SimulatorConfig::load(start, 10.0, 300) };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    let hook = free_address();
    let setup = Setup::new(api.address, &place.path().join("state"))
        .set("WEBHOOK__ENABLED", "true")
        .set("WEBHOOK__LISTEN_ADDRESS", &hook.to_string())
        .env("AGNTIX_WEBHOOK_SECRET", SECRET);
    let mut daemon = setup.start();
    daemon.shows(&api.truth());
    let here =
        setup.clone().set("WEB__LISTEN_ADDRESS", &daemon.address.to_string()).set("POLL__LISTING_INTERVAL", "30s");
    let found = doctor(&here);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    let process = format!(" is held by process {}, as by a running exporter", daemon.id());
    assert!(found.only("state").1.contains(&process), "{}", found.all);
    assert_eq!(found.only("listener").1, format!("a running exporter answers on {}", daemon.address));
    assert_eq!(found.only("webhook-listener").1, format!("a running exporter answers on {hook}"));
    assert!(found.only("series").1.contains(" of 8 agents are known to the running exporter now"), "{}", found.all);
    assert_eq!(durable(&daemon.samples()), api.truth(), "something was counted");
    assert_eq!(daemon.sample("agntix_exporter_state_writable"), Some(1.0));

    // Its state, and the port of nobody.
    let elsewhere = here.clone().set("WEB__LISTEN_ADDRESS", &free_address().to_string());
    let found = doctor(&elsewhere);
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("state", "failure")]), "{}", found.all);
    assert!(found.only("state").1.ends_with("but no exporter answers on web.listen_address"), "{}", found.all);

    daemon.stops_on("TERM");
    let before = files(&setup.state);
    let found = doctor(&elsewhere);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    assert!(found.only("state").1.contains(" of 8 agents, 0 sessions in progress"), "{}", found.all);
    assert!(found.only("series").1.contains(" of 8 agents are known to the state now"), "{}", found.all);
    assert_eq!(files(&setup.state), before, "it wrote into the state");
}

#[test]
fn what_a_killed_exporter_left_is_not_touched() {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    let config = SimulatorConfig { rate_limit: Some(100_000), ..SimulatorConfig::load(start, 10.0, 50) };
    let (api, place) = (Api::start(config), tempfile::tempdir().unwrap());
    let setup = Setup::new(api.address, &place.path().join("state"));
    let daemon = setup.start();
    daemon.shows(&api.truth());
    daemon.kill();
    let before = files(&setup.state);
    let found = doctor(&setup.clone().set("POLL__LISTING_INTERVAL", "30s"));
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    assert!(found.only("state").1.contains("it was not closed"), "{}", found.all);
    assert_eq!(files(&setup.state), before);
    setup.start().shows(&api.truth());
}

#[test]
fn a_port_that_somebody_else_holds_fails() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    // An HTTP server, but no exporter.
    let setup = installation(api.address, place.path()).set("WEB__LISTEN_ADDRESS", &api.address.to_string());
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("listener", "failure")]), "{}", found.all);
    assert!(found.only("listener").1.contains("is taken by something that is no running exporter"), "{}", found.all);
}

#[test]
fn a_webhook_without_a_good_secret_fails() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let setup = installation(api.address, place.path()).set("WEBHOOK__ENABLED", "true");
    let file = place.path().join("secret");
    let of_file = setup.clone().set("WEBHOOK__SECRET_FILE", &file.display().to_string());
    let wrong = [setup.clone(), setup.clone().env("AGNTIX_WEBHOOK_SECRET", "whsec_c2hvcnQ="), of_file.clone()];
    for setup in &wrong {
        let found = doctor(setup);
        assert_eq!((found.code, found.wrong()), (Some(1), vec![("webhook-secret", "failure")]), "{}", found.all);
        assert!(!found.all.contains("c2hvcnQ"), "{}", found.all);
    }
    std::fs::write(&file, SECRET).unwrap();
    set_mode(&file, 0o400);
    let found = doctor(&of_file);
    assert_eq!((found.code, found.wrong()), (Some(0), vec![]), "{}", found.all);
    assert!(found.only("webhook-secret").1.ends_with("secret holds a signing secret"), "{}", found.all);
}

#[test]
fn a_web_configuration_is_read_and_the_end_of_its_certificate_told() {
    let (api, place) = (Api::start(organization()), tempfile::tempdir().unwrap());
    let file = place.path().join("web.yml");
    let setup = installation(api.address, place.path()).set("WEB__CONFIG_FILE", &file.display().to_string());
    std::fs::write(&file, TLS).unwrap();
    let found = doctor(&setup);
    assert_eq!((found.code, found.wrong()), (Some(1), vec![("web-config", "failure")]), "{}", found.all);
    assert!(found.only("web-config").1.contains("server.crt cannot be read"), "{}", found.all);
    let authority = Authority::new(place.path(), "authority");
    let day = Duration::from_secs(86_400);
    for (days, status, code) in [(100_i32, "ok", 0), (5, "warning", 0), (-5, "failure", 1)] {
        authority.server("server", |params| {
            let now = std::time::SystemTime::now();
            let end = if days > 0 { now + day * days.unsigned_abs() } else { now - day * days.unsigned_abs() };
            params.not_after = end.into();
        });
        let found = doctor(&setup);
        assert_eq!((found.code, found.only("web-config").0), (Some(code), status), "{}", found.all);
        assert!(found.only("web-config").1.starts_with("metrics: TLS, open to everybody"), "{}", found.all);
    }
    authority.server("server", |_| ());
    for (mode, wrong) in [(0o644, vec![("secret-file", "warning")]), (0o640, vec![])] {
        set_mode(&place.path().join("server.key"), mode);
        let found = doctor(&setup);
        assert_eq!(found.wrong(), wrong, "{}", found.all);
    }
}
