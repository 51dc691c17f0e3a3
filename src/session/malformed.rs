//! What made no sense in a session.

/// What made no sense in a session; the `reason` of `agntix_exporter_malformed_sessions_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MalformedReason {
    /// Not JSON, or not an object.
    Json,
    /// No id, or another one than was asked for.
    Id,
    /// `createdAt` is missing or not a time.
    CreatedAt,
    /// Created more than a day ahead of the API's time: a broken clock, and a day of its own for the ledger to remember.
    CreatedInFuture,
    /// `state` is neither text nor absent.
    State,
    /// `endedAt` is not a time, or a closed session never got one.
    EndedAt,
    /// The session ends before it starts.
    EndBeforeStart,
    /// A part of the analysis has the wrong type.
    Analysis,
    /// The sentiment score is no number from -1 to 1.
    SentimentScore,
    /// A confidence is no number from 0 to 1.
    Confidence,
    /// A named extracted field does not hold what the configuration says, or a negative number.
    ExtractedValue,
    /// `metadata` or its `sessionVariables` is no object, or a named variable holds neither text nor a number nor a boolean.
    Variable,
    /// Messages of a session have no times, or times that run backwards or are the same, so that a response time is left out.
    MessageTimes,
    /// An entry of a listing or a delivery leaves out what the session itself will tell; it is asked for, and not counted
    /// as malformed.
    InPart,
    /// Created longer ago than sessions are remembered, so that it cannot be known whether it was counted.
    OlderThanRetention,
    /// The API has answered without the session for a day; it is given up.
    GivenUp,
}

impl MalformedReason {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Json,
        Self::Id,
        Self::CreatedAt,
        Self::CreatedInFuture,
        Self::State,
        Self::EndedAt,
        Self::EndBeforeStart,
        Self::Analysis,
        Self::SentimentScore,
        Self::Confidence,
        Self::ExtractedValue,
        Self::Variable,
        Self::MessageTimes,
        Self::InPart,
        Self::OlderThanRetention,
        Self::GivenUp,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Id => "id",
            Self::CreatedAt => "created_at",
            Self::CreatedInFuture => "created_in_future",
            Self::State => "state",
            Self::EndedAt => "ended_at",
            Self::EndBeforeStart => "end_before_start",
            Self::Analysis => "analysis",
            Self::SentimentScore => "sentiment_score",
            Self::Confidence => "confidence",
            Self::ExtractedValue => "extracted_value",
            Self::Variable => "variable",
            Self::MessageTimes => "message_times",
            Self::InPart => "in_part",
            Self::OlderThanRetention => "older_than_retention",
            Self::GivenUp => "given_up",
        }
    }
}
