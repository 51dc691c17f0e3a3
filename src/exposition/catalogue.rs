//! Every metric there is: name, type, labels, unit and help. `docs/metrics.md` is generated from here, and the
//! pages are written from here; a metric that is not in this file cannot be served.

/// A metric as a reader of the page sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Full name, with `_total` for a counter.
    pub name: &'static str,
    /// What kind of metric.
    pub kind: Kind,
    /// Label names, in the order in which they are written.
    pub labels: &'static [&'static str],
    /// One sentence: what it counts, its unit, its rule.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Buckets; `sum` says whether observations can be summed without ever falling.
    Histogram {
        /// Whether `_sum` is exposed.
        sum: bool,
    },
    /// Rises and falls.
    Gauge,
}

/// A family of the durable session metrics. Its position is its place on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    /// `agntix_sessions_started_total`
    SessionsStarted,
    /// `agntix_sessions_ended_total`
    SessionsEnded,
    /// `agntix_session_outcomes_total`
    Outcomes,
    /// `agntix_session_intents_total`
    Intents,
    /// `agntix_session_languages_total`
    Languages,
    /// `agntix_session_duration_seconds`
    Duration,
    /// `agntix_session_sentiment_score`
    SentimentScore,
    /// `agntix_session_sentiment_score_positive_total`
    SentimentPositive,
    /// `agntix_session_sentiment_score_negative_total`
    SentimentNegative,
    /// `agntix_session_resolution_confidence`
    ResolutionConfidence,
    /// `agntix_session_intent_confidence`
    IntentConfidence,
    /// `agntix_session_extracted_values_total`
    ExtractedValues,
    /// `agntix_session_extracted_value`
    ExtractedValue,
    /// `agntix_session_analysis_timeouts_total`
    AnalysisTimeouts,
    /// `agntix_session_reclassifications_total`
    Reclassifications,
}

/// The labels of a channel.
pub const CHANNEL: &[&str] = &["agent_id", "session_type", "platform", "direction"];

impl Family {
    /// All families, in the order of the page.
    pub const ALL: [Self; 15] = [
        Self::SessionsStarted,
        Self::SessionsEnded,
        Self::Outcomes,
        Self::Intents,
        Self::Languages,
        Self::Duration,
        Self::SentimentScore,
        Self::SentimentPositive,
        Self::SentimentNegative,
        Self::ResolutionConfidence,
        Self::IntentConfidence,
        Self::ExtractedValues,
        Self::ExtractedValue,
        Self::AnalysisTimeouts,
        Self::Reclassifications,
    ];

    /// The number under which the ledger stores the family. Never reuse or change one.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The family with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// How many units of a cell make 1 in the exposition (of the sum, for a histogram): 1,000 where milliseconds
    /// make seconds, 1,000,000 for scores.
    pub const fn scale(self) -> u64 {
        match self {
            Self::Duration | Self::ExtractedValue => 1_000,
            Self::SentimentScore
            | Self::SentimentPositive
            | Self::SentimentNegative
            | Self::ResolutionConfidence
            | Self::IntentConfidence => 1_000_000,
            _ => 1,
        }
    }

    /// Name, type, labels and help.
    pub const fn descriptor(self) -> Descriptor {
        const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Descriptor {
            Descriptor { name, kind: Kind::Counter, labels, help }
        }
        const fn histogram(
            name: &'static str,
            sum: bool,
            labels: &'static [&'static str],
            help: &'static str,
        ) -> Descriptor {
            Descriptor { name, kind: Kind::Histogram { sum }, labels, help }
        }
        match self {
            Self::SessionsStarted => {
                counter("agntix_sessions_started_total", CHANNEL, "Sessions that started, by channel.")
            }
            Self::SessionsEnded => counter(
                "agntix_sessions_ended_total",
                &["agent_id", "session_type", "platform", "direction", "state"],
                "Sessions that ended, by channel and by how: closed or expired.",
            ),
            Self::Outcomes => counter(
                "agntix_session_outcomes_total",
                &["agent_id", "session_type", "platform", "direction", "resolution", "sentiment"],
                "Ended sessions by the outcome of their analysis, counted once when it has arrived or is given up (then none).",
            ),
            Self::Intents => counter(
                "agntix_session_intents_total",
                &["agent_id", "intent", "resolution", "sentiment"],
                "Ended sessions by the intent of the conversation, verbatim; sessions without an intent are not in it.",
            ),
            Self::Languages => counter(
                "agntix_session_languages_total",
                &["agent_id", "language"],
                "Ended sessions by detected language (ISO 639-1).",
            ),
            Self::Duration => histogram(
                "agntix_session_duration_seconds",
                true,
                CHANNEL,
                "Time from the creation of a session to its end.",
            ),
            Self::SentimentScore => histogram(
                "agntix_session_sentiment_score",
                false,
                CHANNEL,
                "Sentiment score of ended sessions, -1 to 1. It has no sum, which could fall; see the positive and negative totals.",
            ),
            Self::SentimentPositive => counter(
                "agntix_session_sentiment_score_positive_total",
                CHANNEL,
                "Sum of the positive sentiment scores.",
            ),
            Self::SentimentNegative => counter(
                "agntix_session_sentiment_score_negative_total",
                CHANNEL,
                "Sum of the magnitudes of the negative sentiment scores.",
            ),
            Self::ResolutionConfidence => histogram(
                "agntix_session_resolution_confidence",
                true,
                &["agent_id", "resolution"],
                "Confidence of the analysis in the resolution, 0 to 1.",
            ),
            Self::IntentConfidence => histogram(
                "agntix_session_intent_confidence",
                true,
                &["agent_id"],
                "Confidence of the analysis in the intent, 0 to 1.",
            ),
            Self::ExtractedValues => counter(
                "agntix_session_extracted_values_total",
                &["agent_id", "field", "value"],
                "Ended sessions by the value of an extracted field named in metrics.extracted.",
            ),
            Self::ExtractedValue => histogram(
                "agntix_session_extracted_value",
                true,
                &["agent_id", "field"],
                "Values of a numeric extracted field named in metrics.extracted.",
            ),
            Self::AnalysisTimeouts => counter(
                "agntix_session_analysis_timeouts_total",
                &["agent_id"],
                "Ended sessions counted without an analysis because poll.analysis_deadline passed.",
            ),
            Self::Reclassifications => counter(
                "agntix_session_reclassifications_total",
                &["agent_id", "part"],
                "Counted sessions whose analysis was seen to change afterwards, by part: resolution, sentiment or intent.",
            ),
        }
    }
}

/// A family of gauges about sessions and agents, replaced as a whole when they change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum GaugeFamily {
    /// `agntix_sessions_open`
    Open,
    /// `agntix_sessions_awaiting_analysis`
    AwaitingAnalysis,
    /// `agntix_watched_session_info`
    WatchedInfo,
    /// `agntix_watched_session_duration_seconds`
    WatchedDuration,
    /// `agntix_watched_session_sentiment_score`
    WatchedSentimentScore,
    /// `agntix_watched_session_resolution_confidence`
    WatchedResolutionConfidence,
    /// `agntix_watched_session_last_activity_timestamp_seconds`
    WatchedLastActivity,
    /// `agntix_agent_info`
    AgentInfo,
}

impl GaugeFamily {
    /// All gauge families, in the order of the page.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::AwaitingAnalysis,
        Self::WatchedInfo,
        Self::WatchedDuration,
        Self::WatchedSentimentScore,
        Self::WatchedResolutionConfidence,
        Self::WatchedLastActivity,
        Self::AgentInfo,
    ];

    /// Name, labels and help.
    pub const fn descriptor(self) -> Descriptor {
        const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Descriptor {
            Descriptor { name, kind: Kind::Gauge, labels, help }
        }
        const WATCHED: &[&str] = &["session_id"];
        match self {
            Self::Open => gauge("agntix_sessions_open", CHANNEL, "Sessions known to be open."),
            Self::AwaitingAnalysis => gauge(
                "agntix_sessions_awaiting_analysis",
                &["agent_id"],
                "Ended sessions whose analysis has not arrived and is still waited for.",
            ),
            Self::WatchedInfo => gauge(
                "agntix_watched_session_info",
                &[
                    "session_id",
                    "agent_id",
                    "session_type",
                    "platform",
                    "direction",
                    "state",
                    "intent",
                    "resolution",
                    "sentiment",
                    "language",
                ],
                "A watched session, as last seen; always 1.",
            ),
            Self::WatchedDuration => gauge(
                "agntix_watched_session_duration_seconds",
                WATCHED,
                "Time from the creation of a watched session to its end.",
            ),
            Self::WatchedSentimentScore => gauge(
                "agntix_watched_session_sentiment_score",
                WATCHED,
                "Sentiment score of a watched session, -1 to 1.",
            ),
            Self::WatchedResolutionConfidence => gauge(
                "agntix_watched_session_resolution_confidence",
                WATCHED,
                "Confidence of the analysis in the resolution of a watched session, 0 to 1.",
            ),
            Self::WatchedLastActivity => gauge(
                "agntix_watched_session_last_activity_timestamp_seconds",
                WATCHED,
                "When a watched session was last active, Unix time.",
            ),
            Self::AgentInfo => gauge(
                "agntix_agent_info",
                &["agent_id", "agent_name", "language", "active", "voice_enabled"],
                "An agent of the organization; always 1.",
            ),
        }
    }
}
