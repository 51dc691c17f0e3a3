//! Where a session was first heard of.

/// Where a session was first heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// `sessions.ids`
    Configured,
    /// `sessions.files`
    File,
    /// The listing.
    Listing,
    /// A delivery.
    Webhook,
    /// The event stream.
    Stream,
}

impl Source {
    /// All of them. A source's place is the number under which the ledger stores it: never move one.
    pub const ALL: [Self; 5] = [Self::Configured, Self::File, Self::Listing, Self::Webhook, Self::Stream];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::File => "file",
            Self::Listing => "listing",
            Self::Webhook => "webhook",
            Self::Stream => "stream",
        }
    }

    /// The number under which the ledger stores it.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The source that the ledger stores as `code`; a code of a later version reads as the listing.
    pub fn from_code(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or(Self::Listing)
    }
}
