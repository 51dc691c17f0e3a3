//! What is remembered of an attempt.

use serde::Serialize;

/// One attempt at a delivery, when it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryRecord {
    /// The `svix-id` header.
    pub svix_id: String,
    /// The session it is about.
    pub session_id: String,
    /// `eventType`
    pub event_type: String,
    /// From 1; a delivery that is repeated although it was acknowledged begins at 1 again, under whichever id.
    pub attempt: u32,
    /// The status of the answer; 0 where there was none.
    pub status: u16,
    /// Why there was none: `timeout` or `connection`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<&'static str>,
    /// When it was sent, in milliseconds since the epoch by the real clock.
    pub sent_at_ms: i64,
    /// How long the answer took.
    pub took_ms: u64,
}
