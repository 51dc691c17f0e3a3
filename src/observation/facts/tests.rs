//! What a session means, answer by answer.

use super::*;

fn config(extracted: Vec<ExtractedField>) -> ObservationConfig {
    ObservationConfig {
        extracted: extracted.into(),
        variables: Arc::default(),
        contacts: None,
        analysis_deadline: Duration::from_secs(900),
        agents: AgentParts::default(),
    }
}

fn read(text: &str, now: &str) -> Result<Facts, Unusable> {
    let session: wire::Session = serde_json::from_str(text).unwrap();
    let fields = vec![
        ExtractedField { field: "ok".into(), kind: ExtractedKind::Boolean, buckets: vec![] },
        ExtractedField { field: "n".into(), kind: ExtractedKind::Number, buckets: vec![1.0] },
    ];
    observe(&session, &config(fields), Timestamp::parse_rfc3339(now).unwrap())
}

const NOW: &str = "2026-04-08T05:01:00Z";

fn closed(analysis: &str) -> String {
    format!(
        r#"{{"id":"s","type":"VOICE","platform":"PHONE","direction":"OUTBOUND","state":"CLOSED","agentId":"A",
        "createdAt":"2026-04-08T05:00:01.130Z","endedAt":"2026-04-08T05:00:10.546Z","analysis":{analysis}}}"#
    )
}

#[test]
fn a_complete_session_is_read_whole() {
    let facts = read(
        &closed(
            r#"{"intent":{"conversation":{"intent":"Slot-Confirmed","confidence":0.92}},
            "resolution":{"classification":"RESOLVED","confidenceScore":"0.88"},
            "sentiment":{"conversation":{"sentiment":"POSITIVE","score":0.4,"detectedLanguage":"en"}},
            "extractedData":{"ok":true,"n":2.5,"secret":"x"}}"#,
        ),
        NOW,
    )
    .unwrap();
    assert_eq!(facts.channel.values(), ["A", "voice", "phone", "outbound"]);
    assert_eq!(facts.ended.unwrap().duration_ms, Some(9416));
    let outcome = facts.outcome.unwrap();
    assert_eq!(outcome.resolution.as_deref(), Some("resolved"));
    assert_eq!(outcome.resolution_confidence, Some(880_000));
    assert_eq!((outcome.sentiment.as_deref(), outcome.sentiment_score), (Some("positive"), Some(400_000)));
    assert_eq!((outcome.intent.as_deref(), outcome.intent_confidence), (Some("Slot-Confirmed"), Some(920_000)));
    assert_eq!(outcome.extracted, [(0, Extracted::Value("true".into())), (1, Extracted::Number(2500))]);
    assert!(facts.malformed.is_empty() && !outcome.timed_out);
}

#[test]
fn only_named_session_variables_are_read_also_where_the_analysis_is_given_up() {
    let read = |metadata: &str, now: &str| {
        let text = closed(r#"{"resolution":{"classification":"RESOLVED"}}"#);
        let text = text.replace(r#""state""#, &format!(r#""metadata":{metadata},"state""#));
        let text =
            if now == NOW { text } else { text.replace(r#"{"resolution":{"classification":"RESOLVED"}}"#, "null") };
        let session: wire::Session = serde_json::from_str(&text).unwrap();
        let names = ["campaign", "tries", "vip"].map(str::to_owned);
        let config = ObservationConfig { variables: names.into(), ..config(vec![]) };
        let facts = observe(&session, &config, Timestamp::parse_rfc3339(now).unwrap()).unwrap();
        (facts.outcome.unwrap().variables, facts.malformed)
    };
    let variables = r#"{"sessionVariables":{"customerName":"Ann","campaign":" Spring ","tries":7,"vip":true}}"#;
    let expected = vec![(0, "Spring".to_owned()), (1, "7".into()), (2, "true".into())];
    assert_eq!(read(variables, NOW), (expected.clone(), vec![]));
    assert_eq!(read(variables, "2026-04-09T05:00:00Z"), (expected, vec![]));
    for nothing in ["null", "{}", r#"{"sessionVariables":null}"#, r#"{"sessionVariables":{"campaign":null,"vip":""}}"#]
    {
        assert_eq!(read(nothing, NOW), (vec![], vec![]), "{nothing}");
    }
    for wrong in ["7", r#"{"sessionVariables":[]}"#, r#"{"sessionVariables":{"campaign":{"name":"Spring"}}}"#] {
        assert_eq!(read(wrong, NOW), (vec![], vec![MalformedReason::Variable]), "{wrong}");
    }
}

#[test]
fn an_entry_without_its_analysis_is_not_given_up() {
    let late = Timestamp::parse_rfc3339("2026-04-09T05:00:00Z").unwrap();
    let read = |text: &str| {
        let session: wire::Session = serde_json::from_str(text).unwrap();
        observe_entry(&session, &config(vec![]), late).unwrap()
    };
    let facts = read(&closed("null"));
    assert!(facts.ended.is_some() && facts.outcome.is_none());
    let facts = read(&closed("null").replace(r#""endedAt":"2026-04-08T05:00:10.546Z","#, ""));
    assert!(facts.ended.is_none() && facts.malformed.is_empty());
    let session: wire::Session =
        serde_json::from_str(r#"{"id":"s","state":"OPEN","createdAt":"2026-04-08T05:00:00Z"}"#).unwrap();
    assert_eq!(observe_entry(&session, &config(vec![]), late).unwrap_err().reason, MalformedReason::InPart);
    let partly = read(&closed(r#"{"resolution":{"classification":"RESOLVED"}}"#));
    assert!(partly.ended.is_some() && partly.outcome.is_none());
}

#[test]
fn a_session_is_complete_when_no_part_that_is_counted_is_missing() {
    let parts = |sentiment: &str| {
        closed(&format!(
            r#"{{"intent":{{"conversation":{{"intent":null}}}},"resolution":{{"classification":"RESOLVED"}},
            "sentiment":{sentiment},"extractedData":{{}}}}"#
        ))
    };
    let complete = |text: &str| {
        let session: wire::Session = serde_json::from_str(text).unwrap();
        let field = ExtractedField { field: "ok".into(), kind: ExtractedKind::Boolean, buckets: vec![] };
        is_complete(&session, &config(vec![field]))
    };
    let whole = parts(r#"{"conversation":{"sentiment":"POSITIVE"}}"#);
    assert!(complete(&whole));
    assert!(!complete(&parts("null")) && !complete(&closed("null")));
    assert!(!complete(&whole.replace("CLOSED", "OPEN")) && !complete(&whole.replace("endedAt", "ended")));
    assert!(!complete(&whole.replace("extractedData", "extracted")));
}

#[test]
fn session_without_its_metadata_is_complete_only_where_none_of_it_is_named_and_null_says_that_there_is_none() {
    let whole = closed(
        r#"{"resolution":{"classification":"RESOLVED"},"intent":{"conversation":{"intent":null}},
        "sentiment":{"conversation":{"sentiment":null}}}"#,
    );
    let told = |metadata: &str| whole.replace(r#""state""#, &format!(r#""metadata":{metadata},"state""#));
    let complete = |text: &str, named: bool| {
        let session: wire::Session = serde_json::from_str(text).unwrap();
        let variables: Vec<String> = named.then(|| "campaign".to_owned()).into_iter().collect();
        is_complete(&session, &ObservationConfig { variables: variables.into(), ..config(vec![]) })
    };
    assert!(complete(&whole, false) && !complete(&whole, true));
    for metadata in ["null", "{}", r#"{"sessionVariables":null}"#, "7"] {
        assert!(complete(&told(metadata), true), "{metadata}");
    }
}

#[test]
fn a_half_written_analysis_waits_for_what_the_agent_carries_and_for_nothing_else() {
    let config = config(vec![]);
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let (soon, late) = (at(NOW), at("2026-04-08T05:15:10.546Z"));
    let half = closed(r#"{"summary":"x","resolution":{"classification":"RESOLVED","confidenceScore":7}}"#);
    let whole = half.replace(r#""summary""#, r#""sentiment":{"conversation":{"sentiment":null}},"summary""#);
    let read = |text: &str, now| {
        let session: wire::Session = serde_json::from_str(text).unwrap();
        (observe(&session, &config, now).unwrap(), is_complete(&session, &config))
    };
    // Of an agent that nothing is known of, any part will do, and a delivery needs all of them.
    let (facts, complete) = read(&half, soon);
    assert!(facts.outcome.is_some() && !complete && !read(&whole, soon).1);

    let both = Parts::RESOLUTION.or(Parts::SENTIMENT);
    config.agents.learn("A", both, config.counted_parts());
    let (facts, complete) = read(&half, soon);
    assert!(facts.ended.is_some() && facts.outcome.is_none() && !complete);
    assert!(facts.malformed.is_empty(), "what is looked at again is not counted twice");
    let (facts, complete) = read(&whole, soon);
    assert!(facts.outcome.is_some_and(|outcome| outcome.resolution.is_some()) && complete && facts.parts == both);
    let (facts, _) = read(&half, late);
    assert!(
        facts.outcome.is_some_and(|outcome| !outcome.timed_out) && facts.malformed == [MalformedReason::Confidence]
    );
    // A part of the wrong type is there; only nothing is waited for.
    let wrong = half.replace(r#""summary""#, r#""sentiment":7,"summary""#);
    let (facts, complete) = read(&wrong, soon);
    assert!(facts.outcome.is_some() && !complete);

    // One that only writes summaries: nothing else will come.
    let only_summary = closed(r#"{"summary":"x"}"#).replace(r#""agentId":"A""#, r#""agentId":"B""#);
    config.agents.learn("B", Parts::NONE, config.counted_parts());
    assert!(read(&only_summary, soon).1 && !read(&only_summary.replace(r#""x""#, "null"), soon).1);
}

#[test]
fn an_analysis_is_waited_for_until_the_deadline() {
    for absent in ["null", "{}", r#"{"summary":null,"intent":null,"resolution":null}"#] {
        let waiting = read(&closed(absent), "2026-04-08T05:15:10.545Z").unwrap();
        assert!(waiting.ended.is_some() && waiting.outcome.is_none(), "{absent}");
        let given_up = read(&closed(absent), "2026-04-08T05:15:10.546Z").unwrap();
        assert!(given_up.outcome.unwrap().timed_out, "{absent}");
    }
    assert!(read(&closed(r#"{"summary":"text"}"#), NOW).unwrap().outcome.is_some_and(|o| !o.timed_out));
}

#[test]
fn nonsense_is_left_out_and_named() {
    use MalformedReason::*;
    let cases = [
        (closed(r#"{"sentiment":{"conversation":{"sentiment":"NEGATIVE","score":-1.5}}}"#), SentimentScore),
        (closed(r#"{"resolution":{"classification":"RESOLVED","confidenceScore":"NaN"}}"#), Confidence),
        (closed(r#"{"resolution":"RESOLVED"}"#), Analysis),
        (closed(r#"{"resolution":{"classification":["RESOLVED"]}}"#), Analysis),
        (closed(r#"{"extractedData":{"n":-1}}"#), ExtractedValue),
        (closed("null").replace("05:00:10.546", "04:59:59"), EndBeforeStart),
        (closed("null").replace("2026-04-08T05:00:10.546Z", "soon"), EndedAt),
    ];
    for (text, reason) in cases {
        let facts = read(&text, NOW).unwrap();
        assert_eq!(facts.malformed, [reason], "{text}");
    }
    let unusable = read(&closed("null").replace("2026-04-08T05:00:01.130Z", "now"), NOW).unwrap_err();
    assert_eq!((unusable.reason, unusable.id.as_deref()), (CreatedAt, Some("s")));
    assert_eq!(read(r#"{"id":7}"#, NOW).unwrap_err().reason, Id);
    assert_eq!(read(&closed("null").replace("\"CLOSED\"", "[\"CLOSED\"]"), NOW).unwrap_err().reason, State);
}

#[test]
fn each_malformed_reason_is_named_once_however_often_it_applies() {
    use MalformedReason::*;
    let text = closed(
        r#"{"resolution":{"classification":["RESOLVED"],"confidenceScore":1},"sentiment":{"conversation":
        {"sentiment":"NEGATIVE","score":-1.5}},"intent":{"conversation":{"intent":7,"confidence":2}},"extractedData":{"n":-1,"ok":[]}}"#,
    );
    let facts = read(&text.replace("2026-04-08T05:00:10.546Z", "2026-04-08T04:59:59Z"), NOW).unwrap();
    assert_eq!(facts.malformed, [EndBeforeStart, Analysis, SentimentScore, ExtractedValue]);
}

#[test]
fn session_created_more_than_a_day_ahead_is_refused_until_its_day_is_near() {
    use MalformedReason::CreatedInFuture;
    let read = |now: &str| read(&closed("null"), now).map(|_| ()).map_err(|unusable| unusable.reason);
    assert_eq!(read("2026-04-07T05:00:01.130Z"), Ok(()));
    assert_eq!(read("2026-04-07T05:00:01.129Z"), Err(CreatedInFuture));
    assert_eq!(read("1970-01-01T00:00:00Z"), Err(CreatedInFuture));
}

#[test]
fn an_open_session_has_no_end_and_unknown_values_are_kept() {
    let open =
        r#"{"id":"s","state":"OPEN","type":"HOLOGRAM","createdAt":"2026-04-08T05:00:00Z","analysis":{"summary":"x"}}"#;
    let facts = read(open, NOW).unwrap();
    assert!(facts.ended.is_none() && facts.outcome.is_none());
    assert_eq!(facts.channel.values(), ["unknown", "hologram", "unknown", "unknown"]);
}

#[test]
fn a_closed_session_without_an_end_time_is_counted_late_and_without_duration() {
    let text = closed("null").replace(r#""endedAt":"2026-04-08T05:00:10.546Z","#, "");
    assert!(read(&text, NOW).unwrap().ended.is_none());
    let facts = read(&text, "2026-04-08T06:00:00Z").unwrap();
    assert_eq!(facts.ended.unwrap().duration_ms, None);
    assert_eq!(facts.malformed, [MalformedReason::EndedAt]);
    let updated = text.replace(r#""analysis":"#, r#""updatedAt":"2026-04-08T05:58:00Z","analysis":"#);
    assert!(read(&updated, "2026-04-08T06:00:00Z").unwrap().ended.is_none(), "it was alive two minutes ago");
}

#[test]
fn a_score_beside_a_null_sentiment_is_a_placeholder() {
    let facts =
        read(&closed(r#"{"sentiment":{"conversation":{"sentiment":null,"score":0,"detectedLanguage":"N/A"}}}"#), NOW)
            .unwrap();
    let outcome = facts.outcome.unwrap();
    assert_eq!((outcome.sentiment_score, outcome.language, outcome.sentiment), (None, None, None));
}
