//! P10: how fresh and how complete the numbers are is itself on the page, and true.

use std::collections::BTreeMap;
use std::time::Duration;

use simulator::{DEFAULT_KEY, FaultKind, FaultRule, Faults, Route, Session, SimulatorConfig};

use crate::support::{Api, Daemon, NOON, Setup, durable, standing_at_noon, total, until};

const MINUTE: Duration = Duration::from_secs(60);
const CATCHING_UP: &str = "agntix_exporter_catching_up";
const OLDEST_PENDING: &str = "agntix_exporter_oldest_pending_timestamp_seconds";
const DELAYS: &str = r#"agntix_exporter_count_delay_seconds_count{source="listing"}"#;

/// Sessions of the ten minutes before noon, where the clock stands: some open, some waiting for their analysis.
fn simulation() -> SimulatorConfig {
    SimulatorConfig {
        analysis_delay: (Duration::ZERO, MINUTE * 3),
        ..standing_at_noon(NOON.minus(MINUTE * 10), NOON, 30_000.0)
    }
}

fn tracked(daemon: &Daemon) -> BTreeMap<String, f64> {
    let samples = daemon.samples();
    let name = "agntix_exporter_sessions_tracked";
    samples.into_iter().filter(|(sample, _)| sample.starts_with(name)).collect()
}

fn stages(known: usize, open: usize, ended: usize) -> BTreeMap<String, f64> {
    [("known", known), ("open", open), ("ended", ended), ("messages", 0)]
        .map(|(stage, count)| {
            (format!("agntix_exporter_sessions_tracked{{stage=\"{stage}\"}}"), u32::try_from(count).unwrap().into())
        })
        .into()
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred sessions")]
fn count(sessions: &[&Session<'_>]) -> f64 {
    sessions.len() as f64
}

#[test]
fn what_is_pending_is_told_and_delays_are_of_the_present_only() {
    let api = Api::start(simulation());
    let sessions = api.sessions();
    let open: Vec<_> = sessions.iter().filter(|session| session.ended > NOON).collect();
    let waiting: Vec<_> =
        sessions.iter().filter(|session| session.ended <= NOON && session.analysis_at.unwrap() > NOON).collect();
    assert!(open.len() > 10 && waiting.len() > 10 && open.len() + waiting.len() < sessions.len());
    let oldest = waiting.iter().map(|session| session.ended).min().unwrap();

    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("ids");
    std::fs::write(&file, &sessions[1].id).unwrap();
    let setup = Setup::new(api.address, &state.path().join("state"))
        .set("SESSIONS__LOOK_BACK_DEADLINE", "1s")
        .set("SESSIONS__IDS", &sessions[0].id)
        .set("SESSIONS__FILES", &file.display().to_string());
    let daemon = setup.start();
    daemon.shows(&api.truth());
    until("the stages", || (tracked(&daemon) == stages(0, open.len(), waiting.len())).then_some(()));
    let close = |samples: &BTreeMap<String, f64>| {
        let at = samples.get(OLDEST_PENDING)?;
        ((at - oldest.as_seconds_f64()).abs() < 0.001).then_some(())
    };
    until("the oldest pending session", || close(&daemon.samples()));
    until("no backlog", || (daemon.sample(CATCHING_UP) == Some(0.0)).then_some(()));
    let samples = daemon.samples();
    assert_eq!(total(&samples, "agntix_sessions_open"), count(&open));
    assert_eq!(total(&samples, "agntix_sessions_awaiting_analysis"), count(&waiting));
    assert_eq!(samples.get("agntix_up"), Some(&1.0));
    for source in ["configured", "file", "listing"] {
        let name = format!("agntix_exporter_source_last_success_timestamp_seconds{{source=\"{source}\"}}");
        let at = until(&name, || daemon.sample(&name));
        assert!((at - NOON.as_seconds_f64()).abs() < 60.0, "{name} {at}");
    }
    assert_eq!(samples.get(DELAYS), Some(&0.0), "nothing has ended since the start");

    api.jump(NOON.plus(MINUTE * 20));
    daemon.shows(&api.truth());
    until("nothing pending", || (tracked(&daemon) == stages(0, 0, 0)).then_some(()));
    let samples = daemon.samples();
    assert_eq!(samples.get(OLDEST_PENDING), None);
    assert_eq!(samples.get(DELAYS), Some(&count(&open)), "what ended before the start has no delay");
    assert_eq!(total(&samples, "agntix_sessions_open"), 0.0);
    assert_eq!(total(&samples, "agntix_sessions_awaiting_analysis"), 0.0);
}

/// Scrapes until the backlog is worked off: up to then the flag must be up, and fall after.
fn catches_up(api: &Api, daemon: &Daemon) {
    let truth = api.truth();
    let mut behind = 0;
    daemon.scrape_until("the backlog to be worked off", |scrape| {
        let done = durable(&scrape.samples) == truth;
        let flag = scrape.samples.get(CATCHING_UP);
        assert!(done || flag == Some(&1.0), "the backlog is hidden: {flag:?}\n{}", daemon.log());
        behind += u32::from(!done);
        done
    });
    assert!(behind > 5, "there was no backlog to be seen");
    until("the flag to fall", || (daemon.sample(CATCHING_UP) == Some(0.0)).then_some(()));
}

#[test]
fn catching_up_is_told_for_as_long_as_there_is_a_backlog() {
    // The last of three pages is full of sessions that each take a while to read, and some of them two attempts.
    let api = Api::start(SimulatorConfig {
        start: NOON.minus(MINUTE),
        until: Some(NOON.plus(Duration::from_secs(775))),
        analysis_delay: (Duration::ZERO, Duration::ZERO),
        ..simulation()
    });
    let slow = FaultRule { route: Some(Route::Session), share: 1.0, kind: FaultKind::Delay(60) };
    let broken = FaultRule { route: Some(Route::Session), share: 0.05, kind: FaultKind::Status(503) };
    let state = tempfile::tempdir().unwrap();
    let setup = |name: &str| {
        Setup::new(api.address, &state.path().join(name))
            .set("API__MAX_CONCURRENCY", "4")
            .set("SESSIONS__LOOK_BACK_DEADLINE", "1s")
    };
    let daemon = setup("known").start();
    daemon.shows(&api.truth());
    daemon.kill();
    api.jump(NOON.plus(MINUTE * 30));
    api.simulator.set_faults(Faults { rules: vec![slow, broken], ..Faults::default() }).unwrap();
    let pages = api.sessions().len().div_ceil(100);
    assert!(pages == 3 && api.sessions().len() % 100 > 50, "{}", api.sessions().len());
    // A start after a while, and a first one whose look-back is cut short.
    catches_up(&api, &setup("known").start());
    catches_up(&api, &setup("fresh").start());
}

#[test]
fn up_says_whether_the_api_takes_our_credential() {
    let api = Api::start(simulation());
    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state"));
    let daemon = setup.start();
    let up = |value| until("agntix_up", || (daemon.sample("agntix_up") == Some(value)).then_some(()));
    up(1.0);
    let broken = FaultRule { route: None, share: 1.0, kind: FaultKind::Drop };
    api.simulator.set_faults(Faults { rules: vec![broken], ..Faults::default() }).unwrap();
    up(0.0);
    api.simulator.set_faults(Faults::default()).unwrap();
    up(1.0);
    drop(daemon);

    let daemon = setup.env("AGNTIX_API_KEY", &format!("{DEFAULT_KEY}x")).start();
    until("the refusal", || daemon.log().contains("401").then_some(()));
    assert_eq!(daemon.sample("agntix_up"), Some(0.0));
    until("the landing page to say why", || daemon.get("/").1.contains("401").then_some(()));
}
