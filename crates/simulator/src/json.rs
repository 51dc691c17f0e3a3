//! Sessions, messages, agents and campaigns as the API writes them. Whatever is about the invented customer carries
//! [`PERSONAL_MARKER`] or [`PERSONAL_PHONE_PREFIX`], so that a leak can be searched for as bytes.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::id::hyphenated;
use crate::messages::{self, Said};
use crate::profile::AgentProfile;
use crate::random::mix;
use crate::session::{Analysis, Extracted, Missing, Part, Session};
use crate::time::Timestamp;

/// Stands in every personal text that the simulator makes, and nowhere else.
pub const PERSONAL_MARKER: &str = "Zyxqua";

/// How every phone number that the simulator makes begins.
pub const PERSONAL_PHONE_PREFIX: &str = "+9990042";

/// The organization of all simulated agents.
pub(crate) const ORG_ID: &str = "org_simulated";

/// Null, as opposed to a key that is not there.
#[derive(Serialize)]
#[serde(untagged)]
enum Nullable<T> {
    Null,
    Value(T),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionJson<'s> {
    id: &'s str,
    r#type: &'s str,
    platform: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'s str>,
    state: &'static str,
    agent_id: &'s str,
    org_id: &'static str,
    created_at: String,
    last_activity_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Nullable<String>>,
    updated_at: String,
    metadata: Metadata<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    analysis: Option<Nullable<AnalysisJson<'s>>>,
    recording_url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'s> {
    customer_phone_number: String,
    room_name: String,
    session_variables: SessionVariables<'s>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionVariables<'s> {
    crm_contact_id: String,
    customer_name: &'s str,
    #[serde(flatten)]
    others: BTreeMap<&'s str, &'s str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnalysisJson<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Nullable<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intent: Option<Nullable<ByScope<IntentJson<'s>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<Nullable<ResolutionJson>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentiment: Option<Nullable<ByScope<SentimentJson<'s>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extracted_data: Option<Nullable<Map<String, Value>>>,
}

#[derive(Serialize)]
struct ByScope<T> {
    conversation: T,
    message: T,
}

#[derive(Serialize)]
struct IntentJson<'s> {
    intent: Option<&'s str>,
    confidence: f64,
    explanation: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResolutionJson {
    classification: &'static str,
    confidence_score: f64,
    status: &'static str,
    satisfied_checklist_items: [&'static str; 1],
    evidence: [String; 1],
    explanation: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SentimentJson<'s> {
    sentiment: Option<&'static str>,
    score: f64,
    detected_language: Option<&'s str>,
    explanation: String,
}

/// A session as it looks at `at`; without its analysis where `with_analysis` is false.
pub(crate) fn session(session: &Session<'_>, at: Timestamp, with_analysis: bool) -> Vec<u8> {
    let name = customer_name(session.customer);
    let ended = session.ended <= at;
    // Some gateways write null, some leave the key out; a customer is always treated the same way.
    let nothing = |picky: u64| (mix(&[session.customer, picky]) & 1 == 0).then_some(());
    let last_activity = if ended { session.ended } else { last_whole_turn(session.created, at) };
    let analysis = session.analysis(at).filter(|_| with_analysis);
    let updated = match (analysis, session.analysis_at, &session.change) {
        (Some(_), _, Some((changed, _))) if *changed <= at => *changed,
        (Some(_), Some(arrival), _) => session.whole_at().filter(|whole| *whole <= at).unwrap_or(arrival),
        _ => last_activity,
    };
    let json = SessionJson {
        id: &session.id,
        r#type: &session.channel.session_type,
        platform: &session.channel.platform,
        direction: session.channel.direction.as_deref(),
        state: session.state(at).as_str(),
        agent_id: &session.agent.id,
        org_id: ORG_ID,
        created_at: rfc3339(session.created),
        last_activity_at: rfc3339(last_activity),
        ended_at: if ended {
            Some(Nullable::Value(rfc3339(session.ended)))
        } else {
            nothing(1).map(|()| Nullable::Null)
        },
        updated_at: rfc3339(updated),
        metadata: Metadata {
            customer_phone_number: format!("{PERSONAL_PHONE_PREFIX}{:05}", session.number),
            room_name: format!("room_{}^__^{PERSONAL_MARKER}{:x}", session.agent.id, session.customer & 0xff_ffff),
            session_variables: SessionVariables {
                crm_contact_id: format!("CRM-{PERSONAL_MARKER}-{}", session.customer % 10_000),
                customer_name: &name,
                others: session.variables.iter().copied().collect(),
            },
        },
        analysis: match analysis {
            Some(analysis) => Some(Nullable::Value(analysis_json(analysis, session, &name))),
            None if with_analysis => nothing(2).map(|()| Nullable::Null),
            None => None,
        },
        recording_url: format!("https://app.agntix.ai/en/logs-history?opened={}", session.id),
    };
    // Only maps with keys that are not text, and failing writers, make this fail; there are none.
    serde_json::to_vec(&json).unwrap_or_default()
}

fn analysis_json<'s>(analysis: &'s Analysis<'s>, session: &'s Session<'s>, name: &str) -> AnalysisJson<'s> {
    AnalysisJson {
        summary: part(analysis, Part::Summary, || format!("{name} talked to {} and was heard.", session.agent.name)),
        intent: part(analysis, Part::Intent, || ByScope {
            conversation: IntentJson {
                intent: analysis.intent,
                confidence: f64::from(analysis.intent_percent) / 100.0,
                explanation: format!("{name} said so."),
            },
            message: IntentJson { intent: None, confidence: 0.0, explanation: "…".into() },
        }),
        resolution: part(analysis, Part::Resolution, || ResolutionJson {
            classification: analysis.resolution,
            confidence_score: f64::from(analysis.resolution_percent) / 100.0,
            status: "Completed",
            satisfied_checklist_items: ["greeted"],
            evidence: [format!("Customer: this is {name}, thank you.")],
            explanation: format!("{name} was asked and answered."),
        }),
        sentiment: part(analysis, Part::Sentiment, || ByScope {
            conversation: SentimentJson {
                sentiment: analysis.sentiment,
                score: f64::from(analysis.score_percent) / 100.0,
                detected_language: analysis.language,
                explanation: format!("{name} sounded like it."),
            },
            message: SentimentJson {
                sentiment: None,
                score: 0.0,
                detected_language: Some("N/A"),
                explanation: "…".into(),
            },
        }),
        extracted_data: part(analysis, Part::Extracted, || {
            let value = |extracted: &Extracted<'_>| match extracted {
                Extracted::Text(text) => json!(text),
                Extracted::Boolean(value) => json!(value),
                Extracted::Tenths(tenths) if tenths % 10 == 0 => json!(tenths / 10),
                Extracted::Tenths(tenths) => json!(f64::from(*tenths) / 10.0),
                Extracted::Personal => json!(format!("Call {name} back.")),
            };
            analysis.extracted.iter().map(|(key, extracted)| ((*key).to_owned(), value(extracted))).collect()
        }),
    }
}

fn part<T>(analysis: &Analysis<'_>, part: Part, make: impl FnOnce() -> T) -> Option<Nullable<T>> {
    if analysis.off.contains(&part) {
        return None;
    }
    match analysis.missing {
        Some((missing, Missing::Absent)) if missing == part => None,
        Some((missing, Missing::Null)) if missing == part => Some(Nullable::Null),
        _ => Some(Nullable::Value(make())),
    }
}

/// The messages of a session up to `at`, in the order of the conversation; all of them once it is over.
pub(crate) fn messages(session: &Session<'_>, at: Timestamp) -> Vec<Value> {
    let name = customer_name(session.customer);
    let is_written = |said: &Said| session.ended <= at || said.at.is_none_or(|created| created < at);
    let written = session.said().into_iter().filter(is_written).zip(0_u64..).map(|(said, turn)| {
        let content = match said.role {
            Some("ASSISTANT") => format!("How can I help you, {name}?"),
            Some("TOOL") => format!("{{\"customer\": \"{name}\"}}"),
            _ => format!("It is {name} again, turn {turn}."),
        };
        let mut message = json!({ "id": format!("msg_{:016x}", mix(&[session.customer, turn])), "content": content });
        if let Some(fields) = message.as_object_mut() {
            fields.extend(said.role.map(|role| ("role".to_owned(), json!(role))));
            fields.extend(said.at.map(|created| ("createdAt".to_owned(), json!(rfc3339(created)))));
        }
        message
    });
    written.collect()
}

/// When each message of a session is written, as the event stream tells it.
pub(crate) fn message_times(session: &Session<'_>) -> impl Iterator<Item = Timestamp> + use<> {
    messages::plain_times(session)
}

const TURN_MS: usize = 5_000;

fn last_whole_turn(created: Timestamp, at: Timestamp) -> Timestamp {
    let turns = at.since(created).as_millis() / TURN_MS as u128;
    let elapsed = u64::try_from(turns * TURN_MS as u128).unwrap_or(0);
    created.plus(std::time::Duration::from_millis(elapsed))
}

/// An agent; `since` is when the organization began.
pub(crate) fn agent(profile: &AgentProfile, since: Timestamp) -> Value {
    json!({
        "id": profile.id,
        "fullName": profile.name,
        "description": profile.description,
        "language": profile.language,
        "voiceEnabled": profile.channels.iter().any(|(channel, _)| channel.session_type == "VOICE"),
        "isActive": profile.active,
        "isPublic": false,
        "orgId": ORG_ID,
        "createdAt": rfc3339(since),
        "updatedAt": rfc3339(since),
    })
}

/// The id of the one campaign that the simulator runs for each agent that calls out.
pub(crate) fn campaign_id(seed: u64, agent_id: &str) -> String {
    let hash = agent_id.bytes().fold(mix(&[seed]), |hash, byte| mix(&[hash, u64::from(byte)]));
    hyphenated((u128::from(hash) << 64) | u128::from(mix(&[hash])))
}

/// RFC 3339, with milliseconds only where there are some, as the API has it both ways.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let text = at.to_string();
    if at.as_millis() % 1000 == 0 { text.replace(".000", "") } else { text }
}

fn customer_name(customer: u64) -> String {
    const FAMILY: [&str; 6] = ["Morgan", "Nakamura", "Özdemir", "O'Neill", "Al-Farsi", "Müller"];
    let family = usize::try_from(customer % 6).ok().and_then(|index| FAMILY.get(index)).unwrap_or(&"Morgan");
    format!("{PERSONAL_MARKER} {family}-{}", customer % 1000)
}
