//! The JSON of the Agntix API, as far as it is needed, read with tolerance: a value of the wrong type is lost, its session is
//! not.
//!
//! Personal data (summaries, explanations, evidence, messages) has no field in these types, so that it is never
//! deserialized. Of `metadata` and `extractedData` the raw text is borrowed and only fields that the operator named are read.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::json::object::{Key, object};
use crate::json::{JsonText, NotJson};
use crate::value::{Object, Presence, Scalar};

object! {
    /// One session with its analysis: `GET /api/v1/chat/sessions/{id}`, and an item of the listing.
    pub struct Session<'a> {
        /// Of a delivery alone: see [`Envelope`].
        "eventType" => pub event_type: Scalar<'a>,
        /// Opaque id.
        "id" => pub id: Scalar<'a>,
        /// `VOICE`, `CHAT`, or a later value.
        "type" => pub session_type: Scalar<'a>,
        /// `PHONE`, `WEB`, `WHATSAPP`, or a later value.
        "platform" => pub platform: Scalar<'a>,
        /// `INBOUND`, `OUTBOUND`; absent for some chats.
        "direction" => pub direction: Scalar<'a>,
        /// `OPEN`, `CLOSED`, `EXPIRED`, or a later value.
        "state" => pub state: Scalar<'a>,
        /// The agent that held the conversation.
        "agentId" => pub agent_id: Scalar<'a>,
        /// RFC 3339.
        "createdAt" => pub created_at: Scalar<'a>,
        /// RFC 3339.
        "lastActivityAt" => pub last_activity_at: Scalar<'a>,
        /// RFC 3339; absent until the session has ended.
        "endedAt" => pub ended_at: Scalar<'a>,
        /// RFC 3339.
        "updatedAt" => pub updated_at: Scalar<'a>,
        /// Personal data, unread: only what the operator names is looked for in it.
        "metadata" => pub metadata: Option<&'a RawValue> as Told<'a>,
        /// Absent until the analysis pass has written something.
        "analysis" => pub analysis: Object<Analysis<'a>>,
    }
}

object! {
    /// The analysis block; a part that is switched off is absent or null.
    pub struct Analysis<'a> {
        /// Only whether there is one.
        "summary" => pub summary: Presence,
        /// What the customer wanted.
        "intent" => pub intent: Object<Intent<'a>>,
        /// Whether the customer got it.
        "resolution" => pub resolution: Object<Resolution<'a>>,
        /// How the customer felt.
        "sentiment" => pub sentiment: Object<Sentiment<'a>>,
        /// The agent's own schema, unread.
        "extractedData" => pub extracted_data: Option<&'a RawValue>,
    }
}

object! {
    /// `analysis.intent`
    pub struct Intent<'a> {
        /// Of the whole conversation.
        "conversation" => pub conversation: Object<ConversationIntent<'a>>,
    }
}

object! {
    /// `analysis.intent.conversation`
    pub struct ConversationIntent<'a> {
        /// One of the agent's own list, or null.
        "intent" => pub intent: Scalar<'a>,
        /// 0 to 1.
        "confidence" => pub confidence: Scalar<'a>,
    }
}

object! {
    /// `analysis.resolution`
    pub struct Resolution<'a> {
        /// `RESOLVED`, `PARTIALLY_RESOLVED`, `UNRESOLVED`, `NOT_APPLICABLE`, or a later value.
        "classification" => pub classification: Scalar<'a>,
        /// 0 to 1.
        "confidenceScore" => pub confidence_score: Scalar<'a>,
    }
}

object! {
    /// `analysis.sentiment`
    pub struct Sentiment<'a> {
        /// Of the whole conversation.
        "conversation" => pub conversation: Object<ConversationSentiment<'a>>,
    }
}

object! {
    /// `analysis.sentiment.conversation`
    pub struct ConversationSentiment<'a> {
        /// `POSITIVE`, `NEUTRAL`, `NEGATIVE`, or null.
        "sentiment" => pub sentiment: Scalar<'a>,
        /// -1 to 1.
        "score" => pub score: Scalar<'a>,
        /// ISO 639-1, or `N/A`.
        "detectedLanguage" => pub detected_language: Scalar<'a>,
    }
}

object! {
    /// A page of a list. Its items are read one by one, so that a bad one does not cost the others.
    pub struct Page<'a> {
        /// The items; `None` if the answer has no such list, and so is no page. An empty list may be written as null.
        "data" => pub data: Option<Vec<&'a RawValue>> as Items<'a>,
        /// Where in the list this page is.
        "pagination" => pub pagination: Object<Pagination<'a>>,
    }
}

/// A value that is present, null included: null says that there is nothing, and an absent one says nothing.
#[derive(Deserialize)]
struct Told<'a>(#[serde(borrow)] &'a RawValue);

impl<'a> From<Told<'a>> for Option<&'a RawValue> {
    fn from(Told(value): Told<'a>) -> Self {
        Some(value)
    }
}

/// The items of a list that is present; null counts as an empty one.
#[derive(Deserialize)]
struct Items<'a>(#[serde(borrow)] Option<Vec<&'a RawValue>>);

impl<'a> From<Items<'a>> for Option<Vec<&'a RawValue>> {
    fn from(Items(items): Items<'a>) -> Self {
        Some(items.unwrap_or_default())
    }
}

object! {
    /// The body of a delivery: the session's own fields, and beside them what happened.
    pub struct Envelope<'a> {
        /// `session.created`, `session.ended`, or a later value.
        "eventType" => pub event_type: Scalar<'a>,
    }
}

object! {
    /// Of an object that cannot be read as a whole: its id, if at least that can.
    pub struct IdOnly<'a> {
        /// Opaque id.
        "id" => pub id: Scalar<'a>,
    }
}

object! {
    /// `pagination` of a list answer.
    pub struct Pagination<'a> {
        /// How many items there are.
        "total" => pub total: Scalar<'a>,
        /// How many pages there are.
        "totalPages" => pub total_pages: Scalar<'a>,
        /// How many items a page has at most.
        "limit" => pub limit: Scalar<'a>,
    }
}

impl<'a> Page<'a> {
    /// Reads a page, however its list is written: in `data`, as a bare array, or left out where it is empty (204, `{}`, null,
    /// no `data` beside `pagination`), which [`is_implied`](Self::is_implied) tells apart.
    ///
    /// # Errors
    /// If it is no page of a list.
    pub fn read(body: &[u8], text: &'a JsonText<'_>) -> Result<Self, NotJson> {
        let trimmed = body.trim_ascii();
        let is_empty_object = || {
            let inner = trimmed.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
            inner.is_some_and(|inner| inner.trim_ascii().is_empty())
        };
        if trimmed.is_empty() || trimmed == b"null" || is_empty_object() {
            return Ok(Self::default());
        }
        if trimmed.starts_with(b"[") {
            return text.read_list::<Vec<&RawValue>>().map(|items| Self { data: Some(items), ..Self::default() });
        }
        let page = text.read_list::<Self>()?;
        if page.data.is_some() || page.pagination.value().is_some() { Ok(page) } else { Err(NotJson) }
    }

    /// The items.
    pub fn items(&self) -> &[&'a RawValue] {
        self.data.as_deref().unwrap_or_default()
    }

    /// Whether the list is not written at all.
    pub fn is_implied(&self) -> bool {
        self.data.is_none()
    }

    /// How many items the list has, where the answer says so.
    pub fn total(&self) -> Option<u64> {
        let total = self.pagination.value()?.total.number()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
        (0.0..=9e15).contains(&total).then_some(total as u64)
    }

    /// How many pages the list has, where the answer says so.
    pub fn total_pages(&self) -> Option<u32> {
        self.pagination.value().and_then(|pagination| count(&pagination.total_pages))
    }

    /// How many items a page has at most, where the answer says so.
    pub fn limit(&self) -> Option<u32> {
        self.pagination.value().and_then(|pagination| count(&pagination.limit))
    }
}

fn count(scalar: &Scalar<'_>) -> Option<u32> {
    let number = scalar.number()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
    (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number as u32)
}

object! {
    /// An item of `GET /v1/chat/agents`.
    pub struct Agent<'a> {
        /// Opaque id.
        "id" => pub id: Scalar<'a>,
        /// The name that people gave it.
        "fullName" => pub full_name: Scalar<'a>,
        /// Its language.
        "language" => pub language: Scalar<'a>,
        /// Whether it takes calls.
        "voiceEnabled" => pub voice_enabled: Scalar<'a>,
        /// Whether it is switched on.
        "isActive" => pub is_active: Scalar<'a>,
    }
}

object! {
    /// An item of `GET …/sessions/{id}/messages`. Its `content` has no field, and is skipped unread (promise P7).
    pub struct Message<'a> {
        /// Opaque id.
        "id" => pub id: Scalar<'a>,
        /// `USER`, `ASSISTANT`, `SYSTEM`, `TOOL`, or a later value.
        "role" => pub role: Scalar<'a>,
        /// RFC 3339.
        "createdAt" => pub created_at: Scalar<'a>,
    }
}

/// Reads the fields called `names` out of a JSON object, in the order of `names`, and skips the others unread.
///
/// # Errors
/// If `object` is not an object.
pub fn named_fields<'a>(object: &'a RawValue, names: &[&str]) -> Result<Vec<Scalar<'a>>, NotJson> {
    if let Ok(found) = NamedFields(names).deserialize(&mut serde_json::Deserializer::from_str(object.get())) {
        return Ok(found);
    }
    // What is skipped may hold more than what is read.
    let text = JsonText::new(object.get().as_bytes());
    let repaired = text.repaired()?;
    let found = NamedFields(names).deserialize(&mut serde_json::Deserializer::from_slice(repaired));
    Ok(found.map_err(|_| NotJson)?.into_iter().map(Scalar::into_owned).collect())
}

/// The value of the field called `name` of a JSON object, unread; `None` if it is missing or null.
///
/// # Errors
/// If `object` is not an object.
pub fn nested<'a>(object: &'a RawValue, name: &str) -> Result<Option<&'a RawValue>, NotJson> {
    if object.get() == "null" {
        return Ok(None);
    }
    let found = NestedField(name).deserialize(&mut serde_json::Deserializer::from_str(object.get()));
    found.map(|found| found.filter(|value| value.get() != "null")).map_err(|_| NotJson)
}

struct NestedField<'n>(&'n str);

impl<'de> Visitor<'de> for NestedField<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Key<'de>>()? {
            if name.as_ref() == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

impl<'de> DeserializeSeed<'de> for NestedField<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

struct NamedFields<'n>(&'n [&'n str]);

impl<'de> Visitor<'de> for NamedFields<'_> {
    type Value = Vec<Scalar<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = vec![Scalar::Absent; self.0.len()];
        while let Some(name) = map.next_key::<Key<'de>>()? {
            match self.0.iter().position(|wanted| *wanted == name.as_ref()).and_then(|i| found.get_mut(i)) {
                Some(slot) => *slot = map.next_value()?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

impl<'de> DeserializeSeed<'de> for NamedFields<'_> {
    type Value = Vec<Scalar<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

#[cfg(test)]
mod tests;
