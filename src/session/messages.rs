//! What the messages of a session come to.

/// What can be counted of the messages of an ended session. Nothing of what they say is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageTally {
    /// Messages by role, lower case; `unknown` where it is missing.
    pub roles: Vec<(String, u64)>,
    /// Messages of the user.
    pub turns: u64,
    /// From the first message of the user until the first answer, in milliseconds; `None` if there was none, or the times do
    /// not tell.
    pub first_response_ms: Option<u64>,
    /// From the last message of the user until the answer, of every answer, in milliseconds. Gaps that the times do not tell are
    /// left out.
    pub responses_ms: Vec<u64>,
    /// The last word was the user's.
    pub unanswered: bool,
}

/// Why the messages of a session are not counted; the `reason` of `agntix_exporter_messages_skipped_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// They were never asked for within an hour: the budget was short.
    Budget,
    /// They were asked for and could not be read within an hour.
    Failed,
    /// The API says that there is no such session.
    Missing,
    /// There are more of them than are read.
    TooLong,
    /// Too many sessions wait for their messages.
    Backlog,
    /// The session ended before the daemon's first start.
    LookBack,
    /// They are not read any more.
    Off,
}

impl SkipReason {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Budget, Self::Failed, Self::Missing, Self::TooLong, Self::Backlog, Self::LookBack, Self::Off];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Failed => "failed",
            Self::Missing => "missing",
            Self::TooLong => "too_long",
            Self::Backlog => "backlog",
            Self::LookBack => "look_back",
            Self::Off => "off",
        }
    }
}
