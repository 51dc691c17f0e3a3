//! What a page of the listing, or a session by itself, says of the past. Pure.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use agntix_api::{JsonText, wire};

use crate::clock::Timestamp;
use crate::discovery::paging::PageClaims;
use crate::observation::{self, ObservationConfig, Unusable};
use crate::session::Facts;

/// Which sessions belong to the history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// Created from here on.
    pub begin: Timestamp,
    /// Created before then.
    pub end: Timestamp,
}

/// The sessions of a page.
#[derive(Debug, Default)]
pub(super) struct PastPage {
    pub claims: PageClaims,
    /// Those that belong to the history.
    pub sessions: Vec<Arc<Facts>>,
    /// Those that are to be asked for alone, since the listing leaves out what is counted, or cannot be read.
    pub wanted: Vec<Arc<str>>,
    /// Entries that nobody can name: a hash of each, and why.
    pub unnamed: Vec<(u64, &'static str)>,
    /// Each session was created no later than the one before it.
    pub is_descending: bool,
    /// All sessions were created before the history begins.
    pub is_too_old: bool,
}

impl PastPage {
    /// Reads a page that came at `now`, by the API's clock.
    pub(super) fn read(list: &wire::Page<'_>, config: &ObservationConfig, scope: Scope, now: Timestamp) -> Self {
        let mut page = Self { is_descending: true, ..Self::default() };
        let mut whole = DefaultHasher::new();
        let (mut oldest, mut newest) = (None::<Timestamp>, None::<Timestamp>);
        for raw in list.items() {
            let item = JsonText::new(raw.get().as_bytes());
            let entry = item.read::<wire::Session<'_>>();
            let observed = observation::observe_listed(&item, entry.as_ref().ok(), config, now);
            let Unusable { reason, id } = match observed {
                Ok(facts) => {
                    facts.id.hash(&mut whole);
                    page.is_descending &= oldest.is_none_or(|oldest| facts.created <= oldest);
                    oldest = Some(oldest.map_or(facts.created, |oldest| oldest.min(facts.created)));
                    newest = newest.max(Some(facts.created));
                    page.take(facts, scope);
                    continue;
                }
                Err(unusable) => unusable,
            };
            if let Some(id) = id {
                id.hash(&mut whole);
                page.wanted.push(id);
                continue;
            }
            let mut hasher = DefaultHasher::new();
            raw.get().hash(&mut hasher);
            let hash = hasher.finish();
            hash.hash(&mut whole);
            page.unnamed.push((hash, reason.as_str()));
        }
        page.is_too_old = newest.is_some_and(|newest| newest < scope.begin) && page.wanted.is_empty();
        page.claims = PageClaims::of(list, whole.finish());
        page
    }

    fn take(&mut self, facts: Facts, scope: Scope) {
        if facts.created < scope.begin || facts.created >= scope.end {
            return;
        }
        // What an entry leaves out the session itself may have. One that is open has no end yet.
        if facts.outcome.is_none() && (facts.ended.is_some() || facts.state != "open") {
            self.wanted.push(Arc::clone(&facts.id));
        }
        self.sessions.push(Arc::new(facts));
    }
}
