//! The habits of one simulated agent: plain data, no behaviour but defaults.

use std::time::Duration;

/// Values with their weights; the weights need not sum to 1.
pub type Weighted<T> = Vec<(T, f64)>;

/// Where a session takes place, in the API's own upper-case spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// `VOICE`, `CHAT`.
    pub session_type: String,
    /// `PHONE`, `WEB`, `WHATSAPP`, `SDK`.
    pub platform: String,
    /// `INBOUND`, `OUTBOUND`; `None` leaves the key out of the JSON.
    pub direction: Option<String>,
}

impl Channel {
    /// A channel from the API's words for it.
    pub fn new(session_type: &str, platform: &str, direction: Option<&str>) -> Self {
        Self { session_type: session_type.into(), platform: platform.into(), direction: direction.map(Into::into) }
    }
}

/// Shares of the resolutions; what is missing to 1 goes to `not_applicable`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResolutionShares {
    /// Share of RESOLVED.
    pub resolved: f64,
    /// Share of `PARTIALLY_RESOLVED`.
    pub partially_resolved: f64,
    /// Share of UNRESOLVED.
    pub unresolved: f64,
}

/// Shares of the sentiments; what is missing to 1 has a null sentiment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SentimentShares {
    /// Share of POSITIVE.
    pub positive: f64,
    /// Share of NEUTRAL.
    pub neutral: f64,
    /// Share of NEGATIVE.
    pub negative: f64,
}

/// A field of an agent's `extractedData`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtractedSpec {
    /// The key in `extractedData`.
    pub name: String,
    /// What it holds.
    pub values: ExtractedValues,
}

/// What an extracted field holds.
#[derive(Clone, Debug, PartialEq)]
pub enum ExtractedValues {
    /// One text of a short list.
    Enum(Weighted<String>),
    /// True with this probability.
    Boolean(f64),
    /// A quantity between the two, in tenths: 15 is 1.5.
    Tenths(u32, u32),
    /// Free text about the customer; it always carries the personal marker.
    Text,
}

/// One agent: who it is, and what its sessions are like.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentProfile {
    /// The id, as in `agentId`.
    pub id: String,
    /// `fullName`.
    pub name: String,
    /// `description`.
    pub description: String,
    /// The language it is set up for.
    pub language: String,
    /// `isActive`.
    pub active: bool,
    /// Channels with their weights.
    pub channels: Weighted<Channel>,
    /// Detected languages with their weights; `N/A` for none, an empty text for null.
    pub languages: Weighted<String>,
    /// Sessions a day, on average.
    pub sessions_per_day: f64,
    /// Mean length of a session.
    pub mean_duration: Duration,
    /// Standard deviation of the length, as a share of the mean.
    pub duration_spread: f64,
    /// No session is shorter.
    pub shortest: Duration,
    /// No session is longer.
    pub longest: Duration,
    /// Intents with their weights.
    pub intents: Weighted<String>,
    /// Share of sessions with a null intent.
    pub no_intent_share: f64,
    /// How its sessions turn out.
    pub resolutions: ResolutionShares,
    /// How its customers feel.
    pub sentiments: SentimentShares,
    /// The schema of its `extractedData`.
    pub extracted: Vec<ExtractedSpec>,
    /// What is in its `sessionVariables` besides what is about the customer: names, and their values with their weights. An
    /// empty text stands for a variable that is not there.
    pub variables: Vec<(String, Weighted<String>)>,
}

impl Default for AgentProfile {
    fn default() -> Self {
        Self {
            id: "40235145-aa3d-443e-9d0c-841dd0716a2f".into(),
            name: "Delivery Desk".into(),
            description: "Confirms delivery slots".into(),
            language: "en".into(),
            active: true,
            channels: vec![
                (Channel::new("VOICE", "PHONE", Some("OUTBOUND")), 0.7),
                (Channel::new("VOICE", "PHONE", Some("INBOUND")), 0.2),
                (Channel::new("CHAT", "WEB", None), 0.1),
            ],
            languages: weighted(&[("en", 0.8), ("ar", 0.15), ("N/A", 0.05)]),
            sessions_per_day: 5_000.0,
            mean_duration: Duration::from_secs(60),
            duration_spread: 0.5,
            shortest: Duration::from_secs(5),
            longest: Duration::from_secs(600),
            intents: weighted(&[("Slot-Confirmed", 0.6), ("Slot-Changed", 0.3), ("Wrong-Number", 0.1)]),
            no_intent_share: 0.05,
            resolutions: ResolutionShares { resolved: 0.7, partially_resolved: 0.15, unresolved: 0.1 },
            sentiments: SentimentShares { positive: 0.35, neutral: 0.45, negative: 0.2 },
            extracted: vec![
                ExtractedSpec {
                    name: "callOutcome".into(),
                    values: ExtractedValues::Enum(weighted(&[
                        ("Confirmed", 0.6),
                        ("Rescheduled", 0.3),
                        ("Refused", 0.1),
                    ])),
                },
                ExtractedSpec { name: "callbackRequested".into(), values: ExtractedValues::Boolean(0.2) },
                ExtractedSpec { name: "parcels".into(), values: ExtractedValues::Tenths(10, 90) },
                ExtractedSpec { name: "customerNote".into(), values: ExtractedValues::Text },
            ],
            variables: vec![("campaign".into(), weighted(&[("Spring", 0.6), ("Winter", 0.3), ("", 0.1)]))],
        }
    }
}

/// Texts with their weights.
pub fn weighted(pairs: &[(&str, f64)]) -> Weighted<String> {
    pairs.iter().map(|(text, weight)| ((*text).to_owned(), *weight)).collect()
}
