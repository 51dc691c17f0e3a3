//! Where sessions are heard of: configured ids, watched files of ids, and the listing. Webhooks and the event stream
//! will be further sources of the same kind.
//!
//! Nothing in here counts; what is discovered goes to the tracker and the ledger.

pub mod files;
pub mod listing;

use std::sync::Arc;

use crate::ledger::Source;

/// The sessions that one source wants watched, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The source.
    pub source: Source,
    /// Its sessions.
    pub ids: Vec<Arc<str>>,
}
