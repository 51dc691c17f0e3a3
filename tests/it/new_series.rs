//! P3: what ended before the first start is in the starting values, and every later series is seen at 0 before it
//! rises.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use simulator::{
    AgentProfile, Channel, FaultKind, FaultRule, Faults, Route, Session, SimulatorConfig, Timestamp, TruthFilter,
};

use crate::support::{Api, NOON, Scrape, Setup, durable, is_durable, until};

const HOLD: Duration = Duration::from_secs(1);
const LATE: &str = "agnt_late";

/// A busy agent since 40 minutes before noon, and one that has a session every now and then; the clock stands at `now`.
fn simulation(now: Timestamp) -> SimulatorConfig {
    let busy = AgentProfile { sessions_per_day: 10_000.0, ..AgentProfile::default() };
    let late = AgentProfile {
        id: LATE.into(),
        channels: vec![(Channel::new("VOICE", "PHONE", Some("INBOUND")), 1.0)],
        sessions_per_day: 24.0,
        no_intent_share: 0.0,
        ..AgentProfile::default()
    };
    SimulatorConfig {
        start: NOON.minus(Duration::from_secs(2_400)),
        now: Some(now),
        speed: 0.0,
        agents: vec![busy, late],
        analysis_delay: (Duration::ZERO, Duration::ZERO),
        no_analysis_share: 0.0,
        missing_part_share: 0.0,
        rate_limit: None,
        ..SimulatorConfig::default()
    }
}

fn has_sessions(scrape: &Scrape) -> bool {
    scrape.samples.keys().any(|name| is_durable(name))
}

#[test]
fn the_past_is_in_the_starting_values_and_nothing_is_shown_before() {
    let api = Api::start(SimulatorConfig { until: Some(NOON), ..simulation(NOON) });
    // Each session takes a while to read, and some take several attempts, long after the listing is read.
    let rule = |share, kind| FaultRule { route: Some(Route::Session), share, kind };
    let rules = vec![rule(1.0, FaultKind::Delay(50)), rule(0.2, FaultKind::Status(503))];
    api.simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state"))
        .set("API__MAX_CONCURRENCY", "4")
        .set("METRICS__NEW_SERIES_HOLD", "1s");
    let daemon = setup.start();
    let scrapes = daemon.scrape_until("session metrics", has_sessions);
    let (first, before) = scrapes.split_last().unwrap();
    assert!(before.len() > 10, "the look-back was too quick to be seen");
    for scrape in before {
        let own = ["agntix_exporter_", "process_", "agntix_up"];
        let other = scrape.samples.keys().find(|name| !own.iter().any(|start| name.starts_with(start)));
        assert_eq!(other, None, "before the look-back was done");
    }
    let truth = api.truth();
    assert!(truth.len() > 100 && crate::support::total(&truth, "agntix_sessions_ended_total") > 200.0);
    assert_eq!(durable(&first.samples), truth, "the first page with session metrics");
    // What was open then is counted later, above the starting values.
    api.jump(NOON.plus(Duration::from_secs(1_200)));
    assert!(durable(&first.samples) != api.truth());
    daemon.shows(&api.truth());
}

/// A series that is not on the first page with session metrics must be seen at 0, for at least the hold, before it
/// rises. `absent_since` is kept over restarts.
fn check_new_series(scrapes: &[Scrape]) -> usize {
    let first = scrapes.iter().position(has_sessions).unwrap();
    let mut new: BTreeMap<&str, (Instant, bool)> = BTreeMap::new();
    let known: BTreeSet<&str> = scrapes[first].samples.keys().map(String::as_str).collect();
    let mut before: &BTreeMap<String, f64> = &scrapes[first].samples;
    for (earlier, scrape) in scrapes[first..].iter().zip(&scrapes[first + 1..]) {
        for (name, value) in scrape.samples.iter().filter(|(name, _)| is_durable(name)) {
            if let Some(earlier) = before.get(name) {
                assert!(value >= earlier, "{name} fell from {earlier} to {value}");
            }
            if known.contains(name.as_str()) {
                continue;
            }
            // It was not on the page that was asked for then, so that its hold began no earlier.
            let (absent, risen) = new.entry(name).or_insert((earlier.asked, false));
            if *value > 0.0 && !*risen {
                assert!(before.contains_key(name), "{name} was never seen at 0");
                let held = scrape.answered.duration_since(*absent);
                assert!(held >= HOLD, "{name} rose after {held:?}");
                *risen = true;
            }
        }
        before = &scrape.samples;
    }
    new.values().filter(|(_, risen)| *risen).count()
}

/// The series that start at 0 together with a channel.
fn zero_initialized(agent: &str) -> BTreeSet<String> {
    let channel = format!(r#"agent_id="{agent}",session_type="voice",platform="phone",direction="inbound""#);
    let mut names = BTreeSet::new();
    for name in [
        "agntix_sessions_started_total",
        "agntix_session_sentiment_score_positive_total",
        "agntix_session_sentiment_score_negative_total",
        "agntix_session_duration_seconds_count",
        "agntix_session_duration_seconds_sum",
        "agntix_session_sentiment_score_count",
    ] {
        names.insert(format!("{name}{{{channel}}}"));
    }
    names.insert(format!(r#"agntix_session_duration_seconds_bucket{{{channel},le="+Inf"}}"#));
    names.insert(format!(r#"agntix_session_sentiment_score_bucket{{{channel},le="+Inf"}}"#));
    for state in ["closed", "expired"] {
        names.insert(format!(r#"agntix_sessions_ended_total{{{channel},state="{state}"}}"#));
    }
    for resolution in ["resolved", "partially_resolved", "unresolved", "not_applicable", "none"] {
        for sentiment in ["positive", "neutral", "negative", "none"] {
            names.insert(format!(
                r#"agntix_session_outcomes_total{{{channel},resolution="{resolution}",sentiment="{sentiment}"}}"#
            ));
        }
    }
    names.insert(format!(r#"agntix_session_analysis_timeouts_total{{agent_id="{agent}"}}"#));
    for part in ["resolution", "sentiment", "intent"] {
        names.insert(format!(r#"agntix_session_reclassifications_total{{agent_id="{agent}",part="{part}"}}"#));
    }
    names
}

/// The `_created` lines of an OpenMetrics page.
fn created(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    lines
        .filter(|(name, _)| name.split('{').next().unwrap().ends_with("_created"))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn late_channel_starts_at_0_and_stays_in_its_window_over_a_kill() {
    // The clock stands right before the first session of the late agent.
    let all = Api::start(SimulatorConfig { now: Some(NOON.plus(Duration::from_secs(86_400))), ..simulation(NOON) });
    let late: Session<'_> = all.sessions().into_iter().find(|session| session.agent.id == LATE).unwrap();
    let second = |at: Timestamp| Timestamp::from_millis(at.as_millis().div_euclid(1_000) * 1_000);
    let start = second(late.created.minus(Duration::from_secs(1)));
    let over = second(late.ended).plus(Duration::from_secs(2));
    let api = Api::start(SimulatorConfig { now: Some(start), until: Some(late.created), ..simulation(NOON) });

    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state"))
        .set("METRICS__NEW_SERIES_HOLD", "1s")
        .set("METRICS__CREATED_LINES", "true");
    let daemon = setup.start();
    let truth = api.truth();
    let mut scrapes = daemon.scrape_until("the past", |scrape| durable(&scrape.samples) == truth);
    assert!(truth.keys().all(|name| !name.contains(LATE)) && truth.len() > 50);

    // The session is created.
    api.jump(second(late.created).plus(Duration::from_secs(1)));
    let is_late = |name: &&String| is_durable(name) && name.contains(LATE);
    scrapes.extend(daemon.scrape_until("the late agent", |scrape| scrape.samples.keys().any(|name| is_late(&name))));
    let newest = &scrapes.last().unwrap().samples;
    let started: BTreeSet<String> = newest.keys().filter(is_late).cloned().collect();
    let missing: Vec<_> = zero_initialized(LATE).into_iter().filter(|name| !started.contains(name)).collect();
    assert!(missing.is_empty(), "not zero-initialized with the channel: {missing:?}");
    assert!(newest.iter().filter(|(name, _)| is_late(name)).all(|(_, value)| *value == 0.0));

    // It ends, and the daemon is killed, all during the hold.
    daemon.kill();
    api.jump(over);
    let restarted = Instant::now();
    let daemon = setup.start();
    let truth = api.truth();
    scrapes.extend(daemon.scrape_until("all of it", |scrape| durable(&scrape.samples) == truth));
    let started = format!("agntix_sessions_started_total{{agent_id=\"{LATE}\"");
    let rise = |scrape: &&Scrape| scrape.samples.iter().any(|(name, v)| name.starts_with(&started) && *v > 0.0);
    let risen = scrapes.iter().find(rise).unwrap().answered;
    assert!(risen.duration_since(restarted) >= HOLD, "the hold did not survive the restart");
    // Started, ended, its duration, outcome, intent, language and confidences at least.
    assert!(check_new_series(&scrapes) > 10);

    // When counting began is told truly, and the same after another restart.
    let before = created(&daemon.open_metrics());
    let mut firsts: BTreeMap<String, f64> = BTreeMap::new();
    let sessions = api.sessions();
    for session in sessions.iter().filter(|session| session.agent.id != LATE) {
        let word = |word: &Option<String>| word.as_ref().map_or("unknown".to_owned(), |word| word.to_lowercase());
        let Channel { session_type, platform, direction } = session.channel;
        let channel = format!(
            r#"agent_id="{}",session_type="{}",platform="{}",direction="{}""#,
            session.agent.id,
            session_type.to_lowercase(),
            platform.to_lowercase(),
            word(direction)
        );
        let mut first = |name: String, at: Timestamp| {
            let first = firsts.entry(name).or_insert(f64::MAX);
            *first = first.min(at.as_seconds_f64());
        };
        first(format!("agntix_sessions_started_created{{{channel}}}"), session.created);
        let state = if session.expired { "expired" } else { "closed" };
        // What was open at the start belongs to no starting value, but to the zero-initialized series of its channel.
        if session.ended <= start {
            first(format!(r#"agntix_sessions_ended_created{{{channel},state="{state}"}}"#), session.ended);
        }
    }
    assert!(firsts.len() > 5);
    for (name, at) in &firsts {
        assert!((before[name] - at).abs() < 0.001, "{name}: {} is not {at}", before[name]);
    }
    let find = |name: &str, agent: &str, more: &str| -> f64 {
        let start = format!("{name}{{agent_id=\"{agent}\"");
        let (_, at) = before.iter().find(|(name, _)| name.starts_with(&start) && name.contains(more)).unwrap();
        *at
    };
    let began = find("agntix_sessions_started_created", LATE, "");
    let earliest = late.created.minus(Duration::from_secs(1)).as_seconds_f64();
    assert!((earliest..earliest + 10.0).contains(&began), "{began} {earliest}");
    daemon.kill();
    let daemon = setup.start();
    daemon.shows(&truth);
    assert_eq!(created(&daemon.open_metrics()), before);
}

#[test]
fn one_garbled_answer_does_not_hide_a_session_of_the_look_back() {
    let api = Api::start(SimulatorConfig { until: Some(NOON), ..simulation(NOON) });
    let ids: Vec<String> = api.sessions().into_iter().take(40).map(|session| session.id).collect();
    let rule = FaultRule { route: Some(Route::Session), share: 1.0, kind: FaultKind::Garbage };
    api.simulator.set_faults(Faults { rules: vec![rule], ..Faults::default() }).unwrap();
    let state = tempfile::tempdir().unwrap();
    let setup = Setup::new(api.address, &state.path().join("state"))
        .set("SESSIONS__IDS", &ids.join(","))
        .set("SESSIONS__LISTING", "false");
    let daemon = setup.start();
    // Each is asked for once, in vain.
    let is_asked = |id: &String| api.simulator.requests().iter().any(|request| request.path.contains(id));
    until("all to be asked for", || ids.iter().all(is_asked).then_some(()));
    api.simulator.set_faults(Faults::default()).unwrap();
    let scrapes = daemon.scrape_until("session metrics", has_sessions);
    let filter = TruthFilter { ids: Some(ids.into_iter().collect()), ..TruthFilter::default() };
    let truth = api.simulator.truth(&filter, &api.simulator.config().metrics, NOON);
    assert_eq!(durable(&scrapes.last().unwrap().samples), truth);
}

#[test]
fn one_404_of_the_listing_does_not_end_the_look_back() {
    let api = Api::start(SimulatorConfig { until: Some(NOON), ..simulation(NOON) });
    let rule = FaultRule { route: Some(Route::List), share: 1.0, kind: FaultKind::Status(404) };
    api.simulator.set_faults(Faults { rules: vec![rule], ..Faults::default() }).unwrap();
    let state = tempfile::tempdir().unwrap();
    let daemon = Setup::new(api.address, &state.path().join("state")).start();
    let is_listed = || api.simulator.requests().iter().any(|request| request.route == Route::List);
    until("the listing to be asked for", || is_listed().then_some(()));
    api.simulator.set_faults(Faults::default()).unwrap();
    let scrapes = daemon.scrape_until("session metrics", has_sessions);
    assert_eq!(durable(&scrapes.last().unwrap().samples), api.truth());
}
