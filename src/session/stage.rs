//! How far a session is.

/// How far a session that is not yet wholly counted is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Only the id is known.
    Known,
    /// Its start is counted.
    Open,
    /// Its end is counted; its outcome is waited for.
    Ended,
    /// All of it is counted but its messages, which are still to be read.
    Messages,
}

impl Stage {
    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Open => "open",
            Self::Ended => "ended",
            Self::Messages => "messages",
        }
    }

    /// The number under which the ledger stores it.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The stage that the ledger stores as `code`.
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Known,
            1 => Self::Open,
            2 => Self::Ended,
            _ => Self::Messages,
        }
    }
}
