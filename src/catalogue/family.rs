//! The metrics of sessions and agents, one entry each: [`Family`] for what is counted, [`GaugeFamily`] for the present.

use exposition::Descriptor;

/// The labels of a channel.
pub const CHANNEL: &[&str] = &["agent_id", "session_type", "platform", "direction"];
const WATCHED: &[&str] = &["session_id"];

/// An enum of metric families from a table of them. An entry is `Variant = kind(name, labels, help)`, where a kind is a
/// constructor of [`Descriptor`].
macro_rules! families {
    ($(#[$attribute:meta])* $enum:ident { $($variant:ident = $kind:ident($name:literal, $labels:expr, $help:literal);)* }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $enum {
            $(#[doc = concat!("`", $name, "`: ", $help)] $variant,)*
        }

        impl $enum {
            /// All of them, in the order of the page.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Name, type, labels and help.
            pub const fn descriptor(self) -> Descriptor {
                match self {
                    $(Self::$variant => Descriptor::$kind($name, $labels, $help),)*
                }
            }
        }
    };
}

families! {
    /// A family of the durable session metrics. Its position is its place on the page, and its [`code`](Self::code) in
    /// the ledger: new ones come last.
    Family {
        SessionsStarted = counter("agntix_sessions_started_total", CHANNEL, "Sessions that started, by channel.");
        SessionsEnded = counter(
            "agntix_sessions_ended_total",
            &["agent_id", "session_type", "platform", "direction", "state"],
            "Sessions that ended, by channel and by how: closed or expired."
        );
        Outcomes = counter(
            "agntix_session_outcomes_total",
            &["agent_id", "session_type", "platform", "direction", "resolution", "sentiment"],
            "Ended sessions by the outcome of their analysis, counted once when it has arrived or is given up (then none)."
        );
        Intents = counter(
            "agntix_session_intents_total",
            &["agent_id", "intent", "resolution", "sentiment"],
            "Ended sessions by the intent of the conversation, verbatim; sessions without an intent are not in it."
        );
        Languages = counter(
            "agntix_session_languages_total",
            &["agent_id", "language", "resolution", "sentiment"],
            "Ended sessions by detected language (ISO 639-1) and outcome; unknown where an earlier version counted them without it."
        );
        Duration = histogram(
            "agntix_session_duration_seconds",
            CHANNEL,
            "Time from the creation of a session to its end."
        );
        SentimentScore = histogram_without_sum(
            "agntix_session_sentiment_score",
            CHANNEL,
            "Sentiment score of ended sessions, -1 to 1. It has no sum, which could fall; see the positive and negative totals."
        );
        SentimentPositive = counter(
            "agntix_session_sentiment_score_positive_total",
            CHANNEL,
            "Sum of the positive sentiment scores."
        );
        SentimentNegative = counter(
            "agntix_session_sentiment_score_negative_total",
            CHANNEL,
            "Sum of the magnitudes of the negative sentiment scores."
        );
        ResolutionConfidence = histogram(
            "agntix_session_resolution_confidence",
            &["agent_id", "resolution"],
            "Confidence of the analysis in the resolution, 0 to 1."
        );
        IntentConfidence = histogram(
            "agntix_session_intent_confidence",
            &["agent_id"],
            "Confidence of the analysis in the intent, 0 to 1."
        );
        ExtractedValues = counter(
            "agntix_session_extracted_values_total",
            &["agent_id", "field", "value"],
            "Ended sessions by the value of an extracted field named in metrics.extracted."
        );
        ExtractedValue = histogram(
            "agntix_session_extracted_value",
            &["agent_id", "field"],
            "Values of a numeric extracted field named in metrics.extracted."
        );
        AnalysisTimeouts = counter(
            "agntix_session_analysis_timeouts_total",
            &["agent_id"],
            "Ended sessions counted without an analysis because poll.analysis_deadline passed."
        );
        Reclassifications = counter(
            "agntix_session_reclassifications_total",
            &["agent_id", "part"],
            "Counted sessions whose analysis was seen to change afterwards, by part: resolution, sentiment or intent."
        );
        OutcomeDuration = counter(
            "agntix_session_outcome_duration_seconds_total",
            &["agent_id", "session_type", "platform", "direction", "resolution"],
            "Handle time: from creation to end of ended sessions, summed by resolution when their outcome is counted."
        );
        Variables = counter(
            "agntix_session_variables_total",
            &["agent_id", "variable", "value", "resolution"],
            "Ended sessions by the value of a session variable named in metrics.variables, and by resolution."
        );
        Messages = counter(
            "agntix_session_messages_total",
            &["agent_id", "session_type", "platform", "direction", "role"],
            "Messages of ended sessions by role: user, assistant, system or tool; only with messages.enabled."
        );
        Turns = histogram(
            "agntix_session_turns",
            CHANNEL,
            "Messages of the user in an ended session; only with messages.enabled."
        );
        FirstResponse = histogram(
            "agntix_session_first_response_seconds",
            CHANNEL,
            "Time from the first message of the user until the assistant's first answer to it; only with messages.enabled."
        );
        Response = histogram(
            "agntix_session_response_seconds",
            CHANNEL,
            "Time from the last message of the user until the assistant's answer, of every answer; only with messages.enabled."
        );
        Unanswered = counter(
            "agntix_sessions_unanswered_total",
            CHANNEL,
            "Ended sessions whose last word was the user's; only with messages.enabled."
        );
        Silent = counter(
            "agntix_sessions_silent_total",
            CHANNEL,
            "Ended sessions in which the user never said a word; only with messages.enabled."
        );
        RepeatContacts = counter(
            "agntix_session_repeat_contacts_total",
            &["agent_id", "session_type", "previous_resolution", "within"],
            "Ended sessions of a customer who had one that ended so long before, by the resolution of that; longer windows hold shorter ones. Only with metrics.repeat_contacts."
        );
    }
}

impl Family {
    /// The number under which the ledger stores the family. Never reuse or change one.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The family with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// How many units of a count make 1 on the page (of the sum, for a histogram): 1,000 where milliseconds make seconds,
    /// 1,000,000 for scores.
    pub const fn scale(self) -> u64 {
        match self {
            Self::Duration | Self::ExtractedValue | Self::OutcomeDuration | Self::FirstResponse | Self::Response => {
                1_000
            }
            Self::SentimentScore
            | Self::SentimentPositive
            | Self::SentimentNegative
            | Self::ResolutionConfidence
            | Self::IntentConfidence => 1_000_000,
            _ => 1,
        }
    }
}

impl exposition::Family for Family {
    const ALL: &'static [Self] = &Self::ALL;

    fn place(self) -> usize {
        usize::from(self.code())
    }

    fn descriptor(self) -> Descriptor {
        self.descriptor()
    }

    fn scale(self) -> u64 {
        self.scale()
    }

    fn exemplar_label(self) -> Option<&'static str> {
        matches!(self, Self::Outcomes | Self::Duration | Self::SentimentScore).then_some("session_id")
    }
}

families! {
    /// A family of gauges about sessions and agents, replaced as a whole when they change.
    GaugeFamily {
        Open = gauge("agntix_sessions_open", CHANNEL, "Sessions known to be open.");
        AwaitingAnalysis = gauge(
            "agntix_sessions_awaiting_analysis",
            &["agent_id"],
            "Ended sessions whose analysis has not arrived and is still waited for."
        );
        WatchedInfo = gauge(
            "agntix_watched_session_info",
            &[
                "session_id", "agent_id", "session_type", "platform", "direction",
                "state", "intent", "resolution", "sentiment", "language",
            ],
            "A watched session, as last seen; always 1."
        );
        WatchedDuration = gauge(
            "agntix_watched_session_duration_seconds",
            WATCHED,
            "Time from the creation of a watched session to its end."
        );
        WatchedSentimentScore = gauge(
            "agntix_watched_session_sentiment_score",
            WATCHED,
            "Sentiment score of a watched session, -1 to 1."
        );
        WatchedResolutionConfidence = gauge(
            "agntix_watched_session_resolution_confidence",
            WATCHED,
            "Confidence of the analysis in the resolution of a watched session, 0 to 1."
        );
        WatchedLastActivity = gauge(
            "agntix_watched_session_last_activity_timestamp_seconds",
            WATCHED,
            "When a watched session was last active, Unix time."
        );
        AgentInfo = gauge(
            "agntix_agent_info",
            &["agent_id", "agent_name", "language", "active", "voice_enabled"],
            "An agent of the organization; always 1."
        );
    }
}

impl exposition::Family for GaugeFamily {
    const ALL: &'static [Self] = &Self::ALL;

    fn place(self) -> usize {
        self as usize
    }

    fn descriptor(self) -> Descriptor {
        self.descriptor()
    }
}
