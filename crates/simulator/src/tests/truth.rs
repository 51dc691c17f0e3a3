//! The truth of three sessions, worked out by hand, and what must hold of any.

use super::super::truth::truth_of;
use super::*;
use crate::config::{TruthField, TruthFieldKind, TruthMetrics};

const DEADLINE: Duration = Duration::from_secs(900);

fn metrics() -> TruthMetrics {
    let field = |field: &str, kind, buckets| TruthField { field: field.into(), kind, buckets };
    TruthMetrics {
        duration_buckets: vec![5.0, 60.0],
        sentiment_score_buckets: vec![-0.5, 0.0, 0.5],
        confidence_buckets: vec![0.5, 1.0],
        extracted: vec![
            field("outcome", TruthFieldKind::Enum, vec![]),
            field("callback", TruthFieldKind::Boolean, vec![]),
            field("parcels", TruthFieldKind::Number, vec![1.0, 2.5]),
            // Text about the customer, and a number that is taken for a word: neither is counted.
            field("note", TruthFieldKind::Number, vec![1.0]),
            field("parcels", TruthFieldKind::Enum, vec![]),
        ],
        variables: vec!["campaign".into()],
        ..TruthMetrics::default()
    }
}

fn filter() -> TruthFilter {
    TruthFilter { analysis_deadline: DEADLINE, ..TruthFilter::default() }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + ms)
}

fn session<'c>(agent: &'c AgentProfile, channel: &'c Channel, created: i64, ended: i64) -> Session<'c> {
    Session {
        id: format!("s{created}"),
        agent,
        channel,
        created: at(created),
        ended: at(ended),
        expired: false,
        analysis_at: Some(at(ended + 1000)),
        analysis: Analysis {
            missing: None,
            off: Vec::new(),
            intent: Some("Slot \"A\""),
            intent_percent: 92,
            resolution: "PARTIALLY_RESOLVED",
            resolution_percent: 50,
            sentiment: Some("NEGATIVE"),
            score_percent: -40,
            language: Some("EN"),
            extracted: vec![
                ("outcome", Extracted::Text("Later")),
                ("callback", Extracted::Boolean(true)),
                ("parcels", Extracted::Tenths(25)),
                ("note", Extracted::Personal),
            ],
        },
        half: None,
        change: None,
        messages: MessageShares::default(),
        number: 7,
        variables: vec![("campaign", "Spring"), ("tenant", "acme")],
        customer: 7,
    }
}

#[test]
fn the_truth_of_three_sessions_is_as_calculated_by_hand() {
    let agent = AgentProfile { id: "a1".into(), ..AgentProfile::default() };
    let (phone, web) = (Channel::new("VOICE", "PHONE", Some("OUTBOUND")), Channel::new("CHAT", "WEB", None));
    // One of 9.416 s, complete; one of 60 s that expired, with a null intent and no resolution; one still open.
    let complete = session(&agent, &phone, 1130, 10_546);
    let mut expired = session(&agent, &phone, 0, 60_000);
    expired.expired = true;
    expired.analysis.missing = Some((Part::Resolution, Missing::Absent));
    expired.analysis.intent = None;
    expired.analysis.sentiment = Some("POSITIVE");
    expired.analysis.score_percent = 60;
    expired.analysis.language = Some("N/A");
    expired.analysis.extracted.clear();
    let open = session(&agent, &web, 50_000, 100_000);

    let phone = r#"agent_id="a1",session_type="voice",platform="phone",direction="outbound""#;
    let web = r#"agent_id="a1",session_type="chat",platform="web",direction="unknown""#;
    let expected: Vec<(String, f64)> = vec![
        (format!("agntix_session_duration_seconds_bucket{{{phone},le=\"+Inf\"}}"), 2.0),
        (format!("agntix_session_duration_seconds_bucket{{{phone},le=\"60.0\"}}"), 2.0),
        (format!("agntix_session_duration_seconds_count{{{phone}}}"), 2.0),
        (format!("agntix_session_duration_seconds_sum{{{phone}}}"), 69.416),
        (r#"agntix_session_extracted_value_bucket{agent_id="a1",field="parcels",le="+Inf"}"#.into(), 1.0),
        (r#"agntix_session_extracted_value_bucket{agent_id="a1",field="parcels",le="2.5"}"#.into(), 1.0),
        (r#"agntix_session_extracted_value_count{agent_id="a1",field="parcels"}"#.into(), 1.0),
        (r#"agntix_session_extracted_value_sum{agent_id="a1",field="parcels"}"#.into(), 2.5),
        (r#"agntix_session_extracted_values_total{agent_id="a1",field="callback",value="true"}"#.into(), 1.0),
        (r#"agntix_session_extracted_values_total{agent_id="a1",field="outcome",value="Later"}"#.into(), 1.0),
        (r#"agntix_session_intent_confidence_bucket{agent_id="a1",le="+Inf"}"#.into(), 1.0),
        (r#"agntix_session_intent_confidence_bucket{agent_id="a1",le="1.0"}"#.into(), 1.0),
        (r#"agntix_session_intent_confidence_count{agent_id="a1"}"#.into(), 1.0),
        (r#"agntix_session_intent_confidence_sum{agent_id="a1"}"#.into(), 0.92),
        (
            r#"agntix_session_intents_total{agent_id="a1",intent="Slot \"A\"",resolution="partially_resolved",sentiment="negative"}"#.into(),
            1.0,
        ),
        (
            r#"agntix_session_languages_total{agent_id="a1",language="en",resolution="partially_resolved",sentiment="negative"}"#.into(),
            1.0,
        ),
        (
            format!("agntix_session_outcomes_total{{{phone},resolution=\"none\",sentiment=\"positive\"}}"),
            1.0,
        ),
        (
            format!("agntix_session_outcomes_total{{{phone},resolution=\"partially_resolved\",sentiment=\"negative\"}}"),
            1.0,
        ),
        (format!("agntix_session_outcome_duration_seconds_total{{{phone},resolution=\"none\"}}"), 60.0),
        (format!("agntix_session_outcome_duration_seconds_total{{{phone},resolution=\"partially_resolved\"}}"), 9.416),
        (
            r#"agntix_session_variables_total{agent_id="a1",variable="campaign",value="Spring",resolution="none"}"#.into(),
            1.0,
        ),
        (
            r#"agntix_session_variables_total{agent_id="a1",variable="campaign",value="Spring",resolution="partially_resolved"}"#.into(),
            1.0,
        ),
        (
            r#"agntix_session_resolution_confidence_bucket{agent_id="a1",resolution="partially_resolved",le="+Inf"}"#.into(),
            1.0,
        ),
        (
            r#"agntix_session_resolution_confidence_bucket{agent_id="a1",resolution="partially_resolved",le="0.5"}"#.into(),
            1.0,
        ),
        (
            r#"agntix_session_resolution_confidence_bucket{agent_id="a1",resolution="partially_resolved",le="1.0"}"#.into(),
            1.0,
        ),
        (
            r#"agntix_session_resolution_confidence_count{agent_id="a1",resolution="partially_resolved"}"#.into(),
            1.0,
        ),
        (r#"agntix_session_resolution_confidence_sum{agent_id="a1",resolution="partially_resolved"}"#.into(), 0.5),
        (format!("agntix_session_sentiment_score_bucket{{{phone},le=\"+Inf\"}}"), 2.0),
        (format!("agntix_session_sentiment_score_bucket{{{phone},le=\"0.0\"}}"), 1.0),
        (format!("agntix_session_sentiment_score_bucket{{{phone},le=\"0.5\"}}"), 1.0),
        (format!("agntix_session_sentiment_score_count{{{phone}}}"), 2.0),
        (format!("agntix_session_sentiment_score_negative_total{{{phone}}}"), 0.4),
        (format!("agntix_session_sentiment_score_positive_total{{{phone}}}"), 0.6),
        (format!("agntix_sessions_ended_total{{{phone},state=\"closed\"}}"), 1.0),
        (format!("agntix_sessions_ended_total{{{phone},state=\"expired\"}}"), 1.0),
        (format!("agntix_sessions_started_total{{{phone}}}"), 2.0),
        (format!("agntix_sessions_started_total{{{web}}}"), 1.0),
    ];
    let expected: std::collections::BTreeMap<String, f64> = expected.into_iter().collect();
    let sessions = [complete.clone(), expired.clone(), open.clone()];
    assert_eq!(truth_of(sessions.into_iter(), &metrics(), &filter(), at(70_000)), expected);
    let other_order = [open, expired, complete];
    assert_eq!(truth_of(other_order.into_iter(), &metrics(), &filter(), at(70_000)), expected);
}

#[test]
fn a_session_without_its_analysis_waits_for_the_deadline() {
    let agent = AgentProfile { id: "a1".into(), ..AgentProfile::default() };
    let channel = Channel::new("VOICE", "PHONE", Some("INBOUND"));
    let outcome = r#"agntix_session_outcomes_total{agent_id="a1",session_type="voice",platform="phone",direction="inbound",resolution="none",sentiment="none"}"#;
    let timeouts = r#"agntix_session_analysis_timeouts_total{agent_id="a1"}"#;
    for arrival in [None, Some(at(10_000).plus(DEADLINE).plus(Duration::from_millis(1)))] {
        let mut late = session(&agent, &channel, 0, 10_000);
        late.analysis_at = arrival;
        let truth = |when| truth_of([late.clone()].into_iter(), &metrics(), &filter(), when);
        let before = truth(at(10_000).plus(DEADLINE).minus(Duration::from_millis(1)));
        assert!(
            before
                .keys()
                .all(|name| name.starts_with("agntix_sessions_") || name.starts_with("agntix_session_duration"))
        );
        for when in [at(10_000).plus(DEADLINE), at(10_000).plus(DEADLINE * 3)] {
            let after = truth(when);
            assert_eq!((after.get(outcome), after.get(timeouts)), (Some(&1.0), Some(&1.0)));
            // Those, the handle time, and the session variable.
            assert_eq!(after.len(), before.len() + 4);
        }
    }
}

#[test]
fn a_change_counts_the_parts_that_differ_and_nothing_else() {
    let agent = AgentProfile { id: "a1".into(), ..AgentProfile::default() };
    let channel = Channel::new("VOICE", "PHONE", Some("INBOUND"));
    let mut changed = session(&agent, &channel, 0, 10_000);
    let second = Analysis { resolution: "RESOLVED", score_percent: -90, ..changed.analysis.clone() };
    changed.change = Some((at(20_000), second));
    let truth = |when| truth_of([changed.clone()].into_iter(), &metrics(), &filter(), when);
    let mut expected = truth(at(19_999));
    assert_eq!(
        expected.insert(r#"agntix_session_reclassifications_total{agent_id="a1",part="resolution"}"#.into(), 1.0),
        None
    );
    assert_eq!(truth(at(20_000)), expected);
}

#[test]
fn the_truth_does_not_depend_on_the_order_of_questions_and_never_decreases() {
    let (simulator, _) = frozen(|_| {});
    let metrics = &simulator.config().metrics;
    let moment =
        |minute: u64| simulator.truth(&TruthFilter::default(), metrics, after(simulator.config(), minute * 60));
    let forwards: Vec<_> = [10, 30, 50, 70].map(moment).into();
    let backwards: Vec<_> = [70_u64, 50, 30, 10].map(moment).into();
    assert!(forwards.iter().eq(backwards.iter().rev()));
    for pair in forwards.windows(2) {
        assert!(pair[1].len() >= pair[0].len());
        assert!(pair[0].iter().all(|(name, value)| pair[1].get(name).is_some_and(|later| later >= value)));
    }
}

#[test]
fn truths_of_two_halves_add_up_and_ids_select_sessions() {
    let (simulator, _) = frozen(|_| {});
    let config = simulator.config();
    let now = simulator.now().plus(Duration::from_secs(3600));
    let truth = |filter: &TruthFilter| simulator.truth(filter, &config.metrics, now);
    let middle = after(config, 1800);
    let early = truth(&TruthFilter { created_before: Some(middle), ..TruthFilter::default() });
    let late =
        truth(&TruthFilter { created_after: Some(middle.plus(Duration::from_millis(1))), ..TruthFilter::default() });
    for (name, value) in truth(&TruthFilter::default()) {
        let sum = early.get(&name).unwrap_or(&0.0) + late.get(&name).unwrap_or(&0.0);
        assert!((sum - value).abs() < 1e-6, "{name}: {sum} is not {value}");
    }
    let sessions = simulator.sessions(config.start, middle);
    let ids = sessions.iter().map(|session| session.id.clone()).chain(["unknown".into()]).collect();
    assert_eq!(truth(&TruthFilter { ids: Some(ids), ..TruthFilter::default() }), early);
}
