//! How far a backfill is, for whoever shows it. Values only.

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The past is listed.
    Listing,
    /// Sessions are asked for by themselves.
    Sessions,
    /// Messages are read.
    Messages,
    /// Days are written.
    Writing,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// With what.
    pub stage: Stage,
    /// Pages, sessions or days.
    pub done: u64,
    /// Of how many, if that is known.
    pub of: Option<u64>,
    /// Requests to the API so far.
    pub requests: u64,
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, unit) = match self.stage {
            Stage::Listing => ("listing", "pages"),
            Stage::Sessions => ("asking for sessions by themselves", "sessions"),
            Stage::Messages => ("reading messages", "sessions"),
            Stage::Writing => ("writing", "days"),
        };
        match self.of {
            Some(of) => write!(f, "{what}: {} of {of} {unit}, {} requests", self.done, self.requests),
            None => write!(f, "{what}: {} {unit}, {} requests", self.done, self.requests),
        }
    }
}
