//! Where sessions are heard of: configured ids, watched files of ids, the listing, the webhook and the event stream.
//!
//! Nothing in here counts; what is discovered goes to the tracker and the ledger, which recognise what they know.

pub mod files;
pub mod listing;
pub mod paging;
mod reconnect;
pub mod stream;
pub mod unnamed;
pub mod webhook;

use std::sync::Arc;

use crate::ledger::CommitOutcome;
use crate::session::Facts;
use crate::session::Source;

/// The sessions that one source wants watched, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The source.
    pub source: Source,
    /// Its sessions.
    pub ids: Vec<Arc<str>>,
}

/// What a source reports by itself.
#[derive(Clone, Debug)]
pub enum News {
    /// A session, already durable.
    Session {
        /// What it says, in whole or in part.
        facts: Arc<Facts>,
        /// What the ledger made of it.
        outcome: CommitOutcome,
        /// The source.
        source: Source,
    },
    /// A session's id, already durable; the rest has to be asked for.
    Id {
        /// The id.
        id: Arc<str>,
        /// The source.
        source: Source,
    },
    /// Something has happened to a session. Nothing of it is durable.
    Hint {
        /// The session.
        id: Arc<str>,
        /// What has happened.
        hint: Hint,
    },
    /// The source works, even if it has nothing to report.
    Alive(Source),
    /// The event stream was opened.
    StreamOpened {
        /// Under which path.
        path: Arc<str>,
        /// Its place among the spellings, if that is news.
        place: Option<u32>,
    },
    /// There is no event stream, or not under this path any more.
    StreamMissing {
        /// Under which path it is asked for next.
        path: Arc<str>,
        /// What was asked, and what came back.
        why: String,
    },
}

/// What has happened to a session, as the stream reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It exists.
    Started,
    /// Something about it is new, its analysis perhaps.
    Updated,
    /// It is over.
    Ended,
}
