//! One simulated session and its analysis, as facts: what is true of it at which time. How it is written is `json`'s.

use serde::{Deserialize, Serialize};

use crate::messages::{self, MessageShares, Said};
use crate::profile::{AgentProfile, Channel};
use crate::time::Timestamp;

/// A session, complete from its creation to the last change of its analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct Session<'c> {
    /// Its id.
    pub id: String,
    /// Whose session it is.
    pub agent: &'c AgentProfile,
    /// Where it takes place.
    pub channel: &'c Channel,
    /// `createdAt`
    pub created: Timestamp,
    /// `endedAt`; before it the session is open.
    pub ended: Timestamp,
    /// Whether it ends as EXPIRED; otherwise as CLOSED.
    pub expired: bool,
    /// When its analysis arrives; `None` if it never does.
    pub analysis_at: Option<Timestamp>,
    /// The analysis, whether it arrives or not.
    pub analysis: Analysis<'c>,
    /// The analysis while it is being written, and when it is whole; only if it arrives.
    pub half: Option<(Timestamp, Analysis<'c>)>,
    /// The changed analysis, and when it replaces the first; only if that one arrives.
    pub change: Option<(Timestamp, Analysis<'c>)>,
    /// How odd its conversation is.
    pub messages: MessageShares,
    /// The last digits of the customer's number.
    pub number: u32,
    /// Its session variables that are not about the customer.
    pub variables: Vec<(&'c str, &'c str)>,
    /// Picks names and numbers of the invented customer.
    pub(crate) customer: u64,
}

/// Open, closed or expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// OPEN
    Open,
    /// CLOSED
    Closed,
    /// EXPIRED
    Expired,
}

impl State {
    /// The API's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Closed => "CLOSED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// A part of the analysis that an agent can have switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// `summary`
    Summary,
    /// `intent`
    Intent,
    /// `resolution`
    Resolution,
    /// `sentiment`
    Sentiment,
    /// `extractedData`
    Extracted,
}

impl Part {
    pub(crate) const ALL: [Self; 5] = [Self::Summary, Self::Intent, Self::Resolution, Self::Sentiment, Self::Extracted];
}

/// How a part is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The key is not there.
    Absent,
    /// The key is there with null.
    Null,
}

/// What the analysis pass found. The values of a missing part are invented too; ask through the accessors.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis<'c> {
    /// The part that is missing, and how.
    pub missing: Option<(Part, Missing)>,
    /// Parts that the agent has switched off, or that are not written yet: their keys are not there.
    pub off: Vec<Part>,
    pub(crate) intent: Option<&'c str>,
    pub(crate) intent_percent: u32,
    pub(crate) resolution: &'static str,
    pub(crate) resolution_percent: u32,
    pub(crate) sentiment: Option<&'static str>,
    pub(crate) score_percent: i32,
    pub(crate) language: Option<&'c str>,
    pub(crate) extracted: Vec<(&'c str, Extracted<'c>)>,
}

/// The value of an extracted field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extracted<'c> {
    /// One of a short list.
    Text(&'c str),
    /// True or false.
    Boolean(bool),
    /// A quantity, in tenths.
    Tenths(u32),
    /// Text about the customer; made up when it is written.
    Personal,
}

impl<'c> Analysis<'c> {
    /// Whether `part` is there.
    pub fn has(&self, part: Part) -> bool {
        !self.off.contains(&part) && self.missing.is_none_or(|(missing, _)| missing != part)
    }

    /// The intent of the conversation and its confidence in percent.
    pub fn intent(&self) -> Option<(&'c str, u32)> {
        self.intent.filter(|_| self.has(Part::Intent)).map(|intent| (intent, self.intent_percent))
    }

    /// The resolution in the API's spelling and its confidence in percent.
    pub fn resolution(&self) -> Option<(&'static str, u32)> {
        self.has(Part::Resolution).then_some((self.resolution, self.resolution_percent))
    }

    /// The sentiment of the conversation in the API's spelling and its score in percent.
    pub fn sentiment(&self) -> Option<(&'static str, i32)> {
        self.sentiment.filter(|_| self.has(Part::Sentiment)).map(|sentiment| (sentiment, self.score_percent))
    }

    /// The detected language, `N/A` included.
    pub fn language(&self) -> Option<&'c str> {
        self.language.filter(|_| self.has(Part::Sentiment))
    }

    /// The extracted fields.
    pub fn extracted(&self) -> &[(&'c str, Extracted<'c>)] {
        if self.has(Part::Extracted) { &self.extracted } else { &[] }
    }
}

impl<'c> Session<'c> {
    /// The state at `at`.
    pub fn state(&self, at: Timestamp) -> State {
        if at < self.ended {
            State::Open
        } else if self.expired {
            State::Expired
        } else {
            State::Closed
        }
    }

    /// All of its messages, in the order of the conversation.
    pub fn said(&self) -> Vec<Said> {
        messages::of(self)
    }

    /// When the analysis is whole; `None` if it never arrives.
    pub fn whole_at(&self) -> Option<Timestamp> {
        let arrival = self.analysis_at?;
        Some(self.half.as_ref().map_or(arrival, |(whole_at, _)| *whole_at))
    }

    /// The analysis as it stands at `at`; `None` before it arrives.
    pub fn analysis(&self, at: Timestamp) -> Option<&Analysis<'c>> {
        if self.analysis_at.is_none_or(|arrival| arrival > at) {
            return None;
        }
        if let Some((_, half)) = self.half.as_ref().filter(|(whole_at, _)| *whole_at > at) {
            return Some(half);
        }
        match &self.change {
            Some((changed_at, changed)) if *changed_at <= at => Some(changed),
            _ => Some(&self.analysis),
        }
    }
}
