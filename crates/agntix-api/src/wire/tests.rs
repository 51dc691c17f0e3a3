//! Wire types: what is read of well-formed and of odd JSON.

use super::*;

const SAMPLE: &str = r#"{
    "id": "4981804c", "type": "VOICE", "state": "CLOSED", "agentId": "a",
    "createdAt": "2026-04-08T05:00:01.130Z", "endedAt": "2026-04-08T05:00:10.546Z",
    "metadata": {"customerPhoneNumber": "+971501234567"},
    "analysis": {
        "summary": "Customer confirmed.",
        "intent": {"conversation": {"intent": "Slot-Confirmed", "confidence": "0.92"}},
        "resolution": {"classification": "RESOLVED", "confidenceScore": 0.88, "evidence": ["said yes"]},
        "sentiment": "lost",
        "extractedData": {"slotConfirmed": true, "preferredDay": "Wednesday", "price": 12}
    }
}"#;

#[test]
fn value_of_the_wrong_type_costs_only_itself() {
    let session: Session = serde_json::from_str(SAMPLE).unwrap();
    let analysis = session.analysis.value().unwrap();
    assert!(analysis.summary.0 && analysis.sentiment.is_wrong());
    let intent = analysis.intent.value().unwrap().conversation.value().unwrap();
    assert_eq!((intent.intent.text(), intent.confidence.number()), (Some("Slot-Confirmed"), Some(0.92)));
    assert!(session.direction.is_absent());

    for text in
        [r#"{"id":[1,{"a":2}],"analysis":7}"#, r#"{"id":{"x":[]},"analysis":[1]}"#, r#"{"id":1,"analysis":true}"#]
    {
        let session: Session = serde_json::from_str(text).unwrap();
        assert!(session.id.text().is_none() && session.analysis.is_wrong(), "{text}");
    }
}

#[test]
fn only_named_extracted_fields_are_read() {
    let session: Session = serde_json::from_str(SAMPLE).unwrap();
    let raw = session.analysis.value().unwrap().extracted_data.unwrap();
    let fields = named_fields(raw, &["price", "missing", "slotConfirmed"]).unwrap();
    assert_eq!(fields, [Scalar::Number(12.0), Scalar::Absent, Scalar::Bool(true)]);
    assert!(named_fields(serde_json::from_str("[1]").unwrap(), &["a"]).is_err());
}

#[test]
fn nan_and_infinity_are_not_numbers() {
    assert_eq!(Scalar::Text("NaN".into()).number(), None);
    assert_eq!(Scalar::Text("inf".into()).number(), None);
    assert_eq!(Scalar::Text(" -0.5 ".into()).number(), Some(-0.5));
}

#[test]
fn a_page_keeps_its_items_apart() {
    let page: Page = serde_json::from_str(r#"{"data":[{"id":"a"}, 7],"pagination":{"totalPages":"3"}}"#).unwrap();
    assert_eq!((page.data.as_ref().map(Vec::len), page.total_pages()), (Some(2), Some(3)));
    let page: Page = serde_json::from_str(r#"{"data":null}"#).unwrap();
    assert_eq!((page.data.as_ref().map(Vec::len), page.total_pages()), (Some(0), None));
    assert!(serde_json::from_str::<Page>(r#"{"items":[]}"#).unwrap().data.is_none());
}
