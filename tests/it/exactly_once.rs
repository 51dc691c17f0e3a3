//! P1: an ended session adds exactly once to every series that it belongs to. P2: nothing ever falls.

use std::collections::BTreeMap;
use std::time::Duration;

use simulator::{Clock as _, SimulatorConfig, SystemClock};

use crate::support::{Api, Setup, durable, until};

/// Sessions that are all over and analysed by now.
fn finished(total: u64) -> SimulatorConfig {
    let start = SystemClock.now().minus(Duration::from_secs(1_800));
    SimulatorConfig::load(start, 10.0, total)
}

#[test]
fn every_session_is_counted_once_whether_listed_or_fetched() {
    for list_analysis in [false, true] {
        let api = Api::start(SimulatorConfig { list_analysis, ..finished(2_000) });
        let state = tempfile::tempdir().unwrap();
        let daemon = Setup::new(api.address, &state.path().join("state")).start();
        daemon.shows(&api.truth());
    }
}

#[test]
fn configured_listed_and_filed_sessions_are_the_same_sessions() {
    let api = Api::start(finished(300));
    let state = tempfile::tempdir().unwrap();
    let config = api.simulator.config();
    let ids: Vec<String> =
        api.simulator.sessions(config.start, config.until.unwrap()).into_iter().map(|session| session.id).collect();
    let file = state.path().join("ids");
    std::fs::write(&file, ids[..100].join("\n")).unwrap();
    let setup = Setup::new(api.address, &state.path().join("state"))
        .set("METRICS__WATCH_RECENT", "0")
        .set("SESSIONS__IDS", &ids[50..150].join(","))
        .set("SESSIONS__FILES", &file.display().to_string());
    let truth = api.truth();
    for _ in 0..3 {
        let daemon = setup.start();
        daemon.shows(&truth);
        let watched =
            || daemon.samples().keys().filter(|name| name.starts_with("agntix_watched_session_info{")).count();
        until("all watched sessions to be shown", || (watched() == 150).then_some(()));
        daemon.shows(&truth);
        daemon.kill();
    }
}

/// So many kills at random instants under load, and every page ever seen compared with the one before.
fn kills_at_any_instant(kills: u32) {
    // As many sessions as keep a daemon busy that is killed so often.
    let api = Api::start(SimulatorConfig { expired_share: 0.1, ..finished(60 * u64::from(kills)) });
    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state"))
        // Slow enough that the kills fall into the work, not behind it.
        .set("API__MAX_CONCURRENCY", "2")
        .set("SESSIONS__LOOK_BACK_DEADLINE", "0s")
        .set("LOG__LEVEL", "warn,agntix_exporter::cli=info");
    let mut random = fastrand::Rng::with_seed(42);
    let mut before: BTreeMap<String, f64> = BTreeMap::new();
    let mut killed_at_work = 0;
    let truth = api.truth();
    for _ in 0..kills {
        let daemon = setup.start();
        // The instant of the kill is what is random here; nothing depends on its length.
        std::thread::sleep(Duration::from_millis(random.u64(0..250)));
        if let Some((200, page)) = daemon.try_get("/metrics") {
            let now = durable(&crate::support::samples(&page));
            // Until the look-back is done or cut short, the page has no session metrics at all.
            if !now.is_empty() {
                for (name, value) in &before {
                    assert!(now.get(name) >= Some(value), "{name} fell from {value} to {:?}", now.get(name));
                }
                killed_at_work += u32::from(now != truth);
                before = now;
            }
        }
        daemon.kill();
    }
    assert!(killed_at_work > kills / 4, "only {killed_at_work} kills fell into the work");
    setup.start().shows(&truth);
}

#[test]
fn kills_at_any_instant_lose_nothing_repeat_nothing_and_let_nothing_fall() {
    kills_at_any_instant(40);
}

#[test]
#[ignore = "takes a minute of processor time: 12,000 sessions and 200 kills"]
fn two_hundred_kills_at_any_instant_lose_nothing_repeat_nothing_and_let_nothing_fall() {
    kills_at_any_instant(200);
}
