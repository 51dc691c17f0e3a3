//! Sessions: repeatable, found by their ids, shaped like the API's, and as the profile asks for.

use super::*;

#[test]
fn the_same_seed_gives_the_same_sessions_and_another_gives_none_of_them() {
    let make = |seed| {
        let (simulator, _) = frozen(|config| config.seed = seed);
        let now = simulator.now();
        let sessions = simulator.sessions(simulator.config().start, now);
        sessions.iter().map(|session| json::session(session, now, true)).collect::<Vec<_>>()
    };
    let first = make(1);
    assert!(first.len() > 150, "{}", first.len());
    assert_eq!(first, make(1));
    let other: std::collections::HashSet<_> = make(2).into_iter().collect();
    assert!(first.iter().all(|session| !other.contains(session)));
}

#[test]
fn every_id_leads_back_to_its_session_but_not_before_it_is_created() {
    for style in [IdStyle::Uuid, IdStyle::Prefixed] {
        let (simulator, _) = frozen(|config| config.id_style = style);
        let sessions = simulator.sessions(simulator.config().start, simulator.now());
        for session in &sessions {
            assert_eq!(simulator.session(&session.id, session.created).as_ref(), Some(session));
            assert_eq!(simulator.session(&session.id, session.created.minus(Duration::from_millis(1))), None);
        }
        let of_other_style = sessions[0].id.replace('-', "");
        assert_eq!(simulator.session(&of_other_style.replace("ses_", ""), simulator.now()), None);
    }
}

#[test]
fn a_session_goes_from_open_to_ended_to_analysed() {
    let (simulator, _) = frozen(|config| {
        config.no_analysis_share = 0.0;
        config.missing_part_share = 0.0;
    });
    let sessions = simulator.sessions(simulator.config().start, simulator.now());
    for session in &sessions {
        let at = |time| serde_json::from_slice::<Value>(&json::session(session, time, true)).unwrap();
        let open = at(session.created);
        assert_eq!(open["state"], "OPEN");
        assert!(open["endedAt"].is_null() && open["analysis"].is_null());
        let ended = at(session.ended);
        assert_eq!(ended["state"], if session.expired { "EXPIRED" } else { "CLOSED" });
        assert_eq!(Timestamp::parse_rfc3339(ended["endedAt"].as_str().unwrap()), Some(session.ended));
        assert!(ended["analysis"].is_null());
        let analysed = at(session.analysis_at.unwrap());
        for part in ["summary", "intent", "resolution", "sentiment", "extractedData"] {
            assert!(!analysed["analysis"][part].is_null(), "{part}");
        }
        assert!(session.ended >= session.created && session.analysis_at.unwrap() >= session.ended);
    }
}

#[test]
fn an_analysed_session_has_exactly_the_fields_of_the_vendors_sample() {
    let (simulator, _) = frozen(|config| config.missing_part_share = 0.0);
    let sessions = simulator.sessions(simulator.config().start, simulator.now());
    let whole = |session: &&Session<'_>| session.analysis_at.is_some() && session.channel.direction.is_some();
    let session = sessions.iter().find(whole).unwrap();
    let json: Value = serde_json::from_slice(&json::session(session, session.analysis_at.unwrap(), true)).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let analysis = &json["analysis"];
    let expected = [
        (
            &json,
            "agentId analysis createdAt direction endedAt id lastActivityAt metadata orgId platform recordingUrl state type updatedAt",
        ),
        (&json["metadata"], "customerPhoneNumber roomName sessionVariables"),
        // The organization's own stand beside those of the sample.
        (&json["metadata"]["sessionVariables"], "campaign crmContactId customerName"),
        (analysis, "extractedData intent resolution sentiment summary"),
        (&analysis["intent"]["conversation"], "confidence explanation intent"),
        (&analysis["intent"]["message"], "confidence explanation intent"),
        (&analysis["resolution"], "classification confidenceScore evidence explanation satisfiedChecklistItems status"),
        (&analysis["sentiment"]["conversation"], "detectedLanguage explanation score sentiment"),
        (&analysis["sentiment"]["message"], "detectedLanguage explanation score sentiment"),
    ];
    for (value, fields) in expected {
        assert_eq!(keys(value), fields);
    }
}

#[test]
fn all_personal_data_carries_a_marker() {
    let (simulator, _) = frozen(|config| config.missing_part_share = 0.0);
    let now = simulator.now();
    let marked = |value: &Value| value.as_str().unwrap().contains(PERSONAL_MARKER);
    let sessions = simulator.sessions(simulator.config().start, now);
    let mut analysed = 0;
    for session in &sessions {
        let json: Value = serde_json::from_slice(&json::session(session, now, true)).unwrap();
        let metadata = &json["metadata"];
        assert!(metadata["customerPhoneNumber"].as_str().unwrap().starts_with(PERSONAL_PHONE_PREFIX));
        assert!(marked(&metadata["sessionVariables"]["customerName"]) && marked(&metadata["roomName"]));
        let analysis = &json["analysis"];
        if !analysis.is_null() {
            analysed += 1;
            assert!(marked(&analysis["summary"]) && marked(&analysis["extractedData"]["customerNote"]));
            assert!(marked(&analysis["resolution"]["evidence"][0]) && marked(&analysis["resolution"]["explanation"]));
            assert!(marked(&analysis["intent"]["conversation"]["explanation"]));
            assert!(marked(&analysis["sentiment"]["conversation"]["explanation"]));
        }
        assert!(json::messages(session, now).iter().all(|message| marked(&message["content"])));
    }
    assert!(analysed > 100);
}

#[test]
fn shares_come_out_as_configured() {
    let (simulator, _) = frozen(|config| {
        config.agents[0].sessions_per_day = 100_000.0;
        config.expired_share = 0.25;
        config.no_analysis_share = 0.1;
        config.missing_part_share = 0.2;
        config.reclassified_share = 0.3;
    });
    let sessions = simulator.sessions(simulator.config().start, simulator.now());
    let expected_count = 100_000.0 / 24.0;
    let total = f64::from(u32::try_from(sessions.len()).unwrap());
    assert!((total / expected_count - 1.0).abs() < 0.03, "{total}");
    let share = |hit: &dyn Fn(&Session<'_>) -> bool| {
        f64::from(u32::try_from(sessions.iter().filter(|session| hit(session)).count()).unwrap()) / total
    };
    let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 0.03, "{found} is far from {wanted}");
    near(share(&|s| s.expired), 0.25);
    near(share(&|s| s.analysis_at.is_none()), 0.1);
    near(share(&|s| s.analysis.missing.is_some()), 0.2);
    near(share(&|s| s.change.is_some()), 0.27);
    near(share(&|s| s.analysis.resolution == "RESOLVED"), 0.7);
    near(share(&|s| s.channel.direction.is_none()), 0.1);
    let mean = sessions.iter().map(|s| s.ended.since(s.created).as_secs_f64()).sum::<f64>() / total;
    assert!((mean - 60.0).abs() < 3.0, "{mean}");
}

#[test]
fn an_incident_changes_its_own_agent_and_measure_only() {
    let agent = AgentProfile { sessions_per_day: 100_000.0, ..AgentProfile::default() };
    let during = |kind: Option<IncidentKind>| {
        let (simulator, _) = frozen(|config| {
            config.agents = vec![agent.clone()];
            let (agent, from, to) = (agent.id.clone(), after(config, 600), after(config, 1800));
            config.incidents = kind.into_iter().map(|kind| Incident { agent: agent.clone(), from, to, kind }).collect();
        });
        let (config, created) = (simulator.config(), |s: &Session<'_>| s.created);
        let sessions = simulator.sessions(after(config, 600), after(config, 1800).minus(Duration::from_millis(1)));
        let before = simulator.sessions(after(config, 0), after(config, 600).minus(Duration::from_millis(1)));
        assert!(before.iter().map(created).eq(frozen_before(&agent)), "{kind:?} began too early");
        let seconds = sessions.iter().map(|s| s.ended.since(s.created).as_secs_f64()).sum::<f64>();
        let of = |intent: &str| {
            let with: Vec<_> = sessions.iter().filter(|s| s.analysis.intent == Some(intent)).collect();
            let unresolved = with.iter().filter(|s| s.analysis.resolution == "UNRESOLVED").count();
            f64::from(u32::try_from(unresolved).unwrap()) / f64::from(u32::try_from(with.len().max(1)).unwrap())
        };
        let count = f64::from(u32::try_from(sessions.len()).unwrap());
        (count, seconds / count.max(1.0), of("Slot-Confirmed"), of("Slot-Changed"))
    };
    let usual = during(None);
    assert!(usual.0 > 1_000.0 && usual.2 < 0.15 && usual.3 < 0.15, "{usual:?}");
    assert!(during(Some(IncidentKind::Traffic(0.0))).0 < 0.5);
    let flood = during(Some(IncidentKind::Traffic(3.0)));
    assert!((flood.0 / usual.0 - 3.0).abs() < 0.1 && (flood.1 / usual.1 - 1.0).abs() < 0.1, "{flood:?} {usual:?}");
    let slow = during(Some(IncidentKind::Length(2.0)));
    assert!((slow.0 - usual.0).abs() < 0.5 && (slow.1 / usual.1 - 2.0).abs() < 0.05, "{slow:?} {usual:?}");
    let broken = during(Some(IncidentKind::IntentUnresolved { intent: 1, share: 1.0 }));
    assert!(broken.3 > 0.99 && (broken.2 - usual.2).abs() < 1e-9, "{broken:?} {usual:?}");
}

/// When the sessions of the first ten minutes are created, where nothing goes wrong.
fn frozen_before(agent: &AgentProfile) -> Vec<Timestamp> {
    let (simulator, _) = frozen(|config| config.agents = vec![agent.clone()]);
    let config = simulator.config();
    let sessions = simulator.sessions(after(config, 0), after(config, 600).minus(Duration::from_millis(1)));
    sessions.iter().map(|session| session.created).collect()
}

#[test]
fn weekends_have_their_share_of_the_traffic() {
    const DAY: u64 = 86_400;
    let (simulator, _) = frozen(|config| {
        // A Monday.
        config.start = Timestamp::parse_rfc3339("2026-01-05T00:00:00Z").unwrap();
        config.now = Some(config.start.plus(Duration::from_secs(7 * DAY)));
        config.rhythm = Rhythm::Daily;
        config.weekend_share = 0.5;
    });
    let config = simulator.config();
    let day = |day: u64| {
        let (from, to) = (after(config, day * DAY), after(config, (day + 1) * DAY));
        f64::from(u32::try_from(simulator.count(from, to.minus(Duration::from_millis(1)))).unwrap())
    };
    for (weekday, weekend) in [(4, 5), (0, 6)] {
        assert!(
            (day(weekend) / day(weekday) - 0.5).abs() < 0.05,
            "{weekday}: {}, {weekend}: {}",
            day(weekday),
            day(weekend)
        );
    }
}

#[test]
fn incidents_hit_their_agent_while_they_last() {
    let (simulator, _) = frozen(|config| {
        config.agents[0].sessions_per_day = 100_000.0;
        let (from, to) = (after(config, 600), after(config, 1200));
        let agent = config.agents[0].id.clone();
        config.incidents = vec![
            Incident { agent: agent.clone(), from, to, kind: IncidentKind::UnresolvedShare(1.0) },
            Incident { agent: "another".into(), from, to, kind: IncidentKind::NegativeWave(1.0) },
        ];
    });
    let config = simulator.config();
    let unresolved = |from, to| {
        let sessions = simulator.sessions(after(config, from), after(config, to).minus(Duration::from_millis(1)));
        let hit = sessions.iter().filter(|session| session.analysis.resolution == "UNRESOLVED").count();
        assert!(sessions.iter().any(|session| session.analysis.sentiment != Some("NEGATIVE")));
        (hit, sessions.len())
    };
    let (hit, all) = unresolved(600, 1200);
    assert_eq!(hit, all);
    for (from, to) in [(0, 600), (1200, 1800)] {
        let (hit, all) = unresolved(from, to);
        assert!(hit * 5 < all, "{hit} of {all}");
    }
}

#[test]
fn the_rhythm_makes_nights_quiet_and_keeps_the_daily_number() {
    let (simulator, _) = frozen(|config| {
        config.agents[0].sessions_per_day = 20_000.0;
        config.rhythm = Rhythm::Daily;
        config.start = Timestamp::parse_rfc3339("2026-04-08T00:00:00Z").unwrap();
    });
    let hours = |from: u64, to: u64| {
        let config = simulator.config();
        simulator.count(after(config, from * 3600), after(config, to * 3600).minus(Duration::from_millis(1)))
    };
    assert!((19_000..21_000).contains(&hours(0, 24)), "{}", hours(0, 24));
    assert!(hours(13, 15) > 3 * hours(1, 3), "{} {}", hours(13, 15), hours(1, 3));
}

#[test]
fn the_clock_runs_at_its_speed_stands_still_and_jumps() {
    let (simulator, clock) = frozen(|config| config.speed = 60.0);
    let began = simulator.now();
    let real = clock.now();
    clock.set(real.plus(Duration::from_secs(2)));
    assert_eq!(simulator.now(), began.plus(Duration::from_secs(120)));
    simulator.set_clock(None, Some(0.0)).unwrap();
    clock.set(real.plus(Duration::from_secs(20)));
    assert_eq!(simulator.now(), began.plus(Duration::from_secs(120)));
    simulator.set_clock(Some(began), Some(1.0)).unwrap();
    clock.set(real.plus(Duration::from_secs(21)));
    assert_eq!(simulator.now(), began.plus(Duration::from_secs(1)));
    assert!(simulator.set_clock(None, Some(f64::NAN)).is_err());
}

#[test]
fn the_demo_moves_within_a_minute_and_has_its_incidents_ahead() {
    let now = Timestamp::parse_rfc3339("2026-11-24T03:00:00Z").unwrap();
    let config = SimulatorConfig::demo(now);
    assert!((4..=6).contains(&config.agents.len()));
    assert!(
        config
            .incidents
            .iter()
            .all(|incident| incident.from > now && incident.from < now.plus(Duration::from_secs(600)))
    );
    assert_eq!(config.incidents.len(), 2);
    let simulator = Simulator::new(config);
    let sessions = simulator.sessions(now.minus(Duration::from_secs(300)), now);
    assert!(sessions.len() > 40, "{} sessions in five minutes, at night", sessions.len());
    for session in &sessions {
        let length = session.ended.since(session.created).as_secs();
        assert!((10..=240).contains(&length), "{length} s");
    }
}

#[test]
fn a_load_makes_its_sessions_at_its_rate() {
    let start = Timestamp::from_millis(1_800_000_000_000);
    let simulator = Simulator::new(SimulatorConfig::load(start, 2_000.0, 10_000));
    let forever = start.plus(Duration::from_secs(86_400));
    assert_eq!(simulator.count(start, forever), 10_000);
    let sessions = simulator.sessions(start, forever);
    assert_eq!(sessions.len(), 10_000);
    let latest = sessions.iter().filter_map(|session| session.analysis_at).max().unwrap();
    assert!(latest <= start.plus(Duration::from_millis(5_000 + 2_500)));
}
