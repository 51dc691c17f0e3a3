//! What can be counted of a session.

use std::sync::Arc;

use super::{Channel, MalformedReason, Parts};
use crate::clock::Timestamp;

/// What can be counted of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The session.
    pub id: Arc<str>,
    /// When it was created.
    pub created: Timestamp,
    /// Who held it, and over what.
    pub channel: Channel,
    /// `state`, lower case; `unknown` if absent.
    pub state: String,
    /// When it was last active.
    pub last_activity: Option<Timestamp>,
    /// When what the API says of it last changed.
    pub updated: Option<Timestamp>,
    /// Present once the session has ended.
    pub ended: Option<Ended>,
    /// Present once the outcome can be counted: the analysis has arrived, or is given up.
    pub outcome: Option<Outcome>,
    /// A keyed hash of who the customer is, if the operator has named the field that tells.
    pub contact: Option<[u8; 16]>,
    /// The parts of the analysis that are there.
    pub parts: Parts,
    /// What made no sense and was left out.
    pub malformed: Vec<MalformedReason>,
}

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// From creation to end, in milliseconds; `None` where the times contradict each other.
    pub duration_ms: Option<u64>,
}

/// The outcome of a session's analysis; `none` where a part is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The analysis never came and is given up.
    pub timed_out: bool,
    /// Classification, lower case.
    pub resolution: Option<String>,
    /// Millionths, 0 to 1,000,000.
    pub resolution_confidence: Option<u32>,
    /// Sentiment, lower case.
    pub sentiment: Option<String>,
    /// Millionths, -1,000,000 to 1,000,000.
    pub sentiment_score: Option<i32>,
    /// ISO 639-1, lower case.
    pub language: Option<String>,
    /// Intent, verbatim.
    pub intent: Option<String>,
    /// Millionths, 0 to 1,000,000.
    pub intent_confidence: Option<u32>,
    /// The named extracted fields, by their place in the configuration.
    pub extracted: Vec<(usize, Extracted)>,
    /// The named session variables, by their place in the configuration; also where the analysis is given up.
    pub variables: Vec<(usize, String)>,
}

/// The value of an extracted field.
#[derive(Clone, Debug, PartialEq)]
pub enum Extracted {
    /// To be counted.
    Value(String),
    /// To be measured, in thousandths.
    Number(u64),
}
