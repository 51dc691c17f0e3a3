//! Sessions that the listing leaves out, and those that cannot be read at all.

use std::collections::BTreeSet;

use super::*;

fn listed(simulator: &Simulator) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for page in 1.. {
        let page = body(&get(simulator, Route::List, "", &[("page", &page.to_string()), ("limit", "100")]));
        let entries = page["data"].as_array().unwrap();
        ids.extend(entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()));
        if entries.is_empty() {
            assert_eq!(page["pagination"]["total"], ids.len(), "the total is of what is listed");
            return ids;
        }
    }
    unreachable!()
}

#[test]
fn unlisted_sessions_can_still_be_asked_for_by_id() {
    let (simulator, _) = frozen(|config| config.unlisted_share = 0.4);
    let all = simulator.sessions(simulator.config().start, simulator.now());
    let listed = listed(&simulator);
    assert!((all.len() / 2..all.len() * 7 / 10).contains(&listed.len()), "{} of {}", listed.len(), all.len());
    for session in &all {
        assert_eq!(simulator.is_listed(&session.id), listed.contains(&session.id));
        assert_eq!(get(&simulator, Route::Session, &session.id, &[]).status, 200);
    }
}

#[test]
fn a_hidden_session_is_neither_listed_nor_readable() {
    for status in [404, 403] {
        let (simulator, _) = frozen(|config| (config.hidden_share, config.hidden_status) = (0.3, status));
        let all = simulator.sessions(simulator.config().start, simulator.now());
        let (hidden, readable): (Vec<_>, Vec<_>) = all.iter().partition(|session| simulator.is_hidden(&session.id));
        assert!(hidden.len() > all.len() / 5);
        assert_eq!(listed(&simulator), readable.iter().map(|session| session.id.clone()).collect());
        for route in [Route::Session, Route::Messages] {
            assert_eq!(get(&simulator, route, &hidden[0].id, &[]).status, status);
            assert_eq!(get(&simulator, route, &readable[0].id, &[]).status, 200);
        }
    }
}

#[test]
fn the_truth_does_not_depend_on_what_is_listed_or_readable() {
    let truth = |change: fn(&mut SimulatorConfig)| {
        let (simulator, _) = frozen(change);
        simulator.truth(&TruthFilter::default(), &simulator.config().metrics, simulator.now())
    };
    assert_eq!(truth(|config| (config.unlisted_share, config.hidden_share) = (0.5, 0.5)), truth(|_| {}));
}
