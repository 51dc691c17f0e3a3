//! The rows of the sessions of one batch, as the batch has left them so far: a batch that touches a session twice sees what
//! it did before, and writes the session once.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;

use super::contacts::ContactKey;
use super::rows::{CountedRow, CountedWrite, PendingWrite, Rows, Writes, session_key};
use crate::ledger::Pending;

/// The rows, loaded and changed.
#[derive(Debug)]
pub(in crate::ledger) struct Overlay {
    /// What was loaded of sessions that no change has come to yet.
    loaded: Rows,
    places: HashMap<Arc<str>, usize>,
    /// In the order in which the changes came to them.
    sessions: Vec<SessionRows>,
}

/// The rows of one session.
#[derive(Debug)]
pub(in crate::ledger) struct SessionRows {
    id: Arc<str>,
    had_pending: bool,
    pending: Option<Pending>,
    pending_changed: bool,
    counted_before: Option<CountedRow>,
    counted: Option<CountedRow>,
}

impl Overlay {
    /// Nothing changed yet.
    pub(in crate::ledger) fn new(loaded: Rows) -> Self {
        let touched = loaded.pending.len().max(loaded.counted.len());
        Self { loaded, places: HashMap::with_capacity(touched), sessions: Vec::with_capacity(touched) }
    }

    /// What was loaded of a customer, once.
    pub(in crate::ledger) fn take_contact(&mut self, key: &ContactKey) -> Option<Box<[u8]>> {
        self.loaded.contacts.remove(key)
    }

    /// What all series were charged before the batch.
    pub(in crate::ledger) fn charged(&self) -> u64 {
        self.loaded.charged
    }

    /// The rows of a session.
    pub(in crate::ledger) fn session(&mut self, id: &Arc<str>) -> &mut SessionRows {
        let Self { loaded, places, sessions } = self;
        let place = places.get(id).copied().unwrap_or_else(|| {
            let pending = loaded.pending.remove(id);
            let counted = loaded.counted.remove(id);
            places.insert(Arc::clone(id), sessions.len());
            sessions.push(SessionRows {
                id: Arc::clone(id),
                had_pending: pending.is_some(),
                pending,
                pending_changed: false,
                counted_before: counted,
                counted,
            });
            sessions.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the place of a session that was pushed, and none is ever removed")]
        &mut sessions[place]
    }

    /// These days are remembered for good from now on, and not by day.
    pub(in crate::ledger) fn keep_for_good(&mut self, days: &BTreeSet<i64>) {
        let touched = self.sessions.iter_mut().flat_map(|rows| [&mut rows.counted_before, &mut rows.counted]).flatten();
        for row in touched.chain(self.loaded.counted.values_mut()) {
            row.day = row.day.filter(|day| !days.contains(day));
        }
    }

    /// What is to be written.
    pub(in crate::ledger) fn write_to(self, writes: &mut Writes) {
        for rows in self.sessions {
            if rows.counted_before != rows.counted {
                let (key, before, after) = (session_key(&rows.id), rows.counted_before, rows.counted);
                writes.counted.push(CountedWrite { key, before, after });
            }
            if rows.pending_changed {
                writes.pending.extend(match (rows.had_pending, rows.pending) {
                    (false, Some(pending)) => Some(PendingWrite::Insert(pending)),
                    (true, Some(pending)) => Some(PendingWrite::Replace(pending)),
                    (true, None) => Some(PendingWrite::Delete(rows.id)),
                    (false, None) => None,
                });
            }
        }
    }
}

impl SessionRows {
    /// The row of the session while it is not yet wholly counted.
    pub(in crate::ledger) fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// Takes the session for not yet wholly counted, or for that no more.
    pub(in crate::ledger) fn set_pending(&mut self, pending: Option<Pending>) {
        self.pending_changed |= self.had_pending || pending.is_some();
        self.pending = pending;
    }

    /// Where the session is remembered as counted.
    pub(in crate::ledger) fn counted(&self) -> Option<CountedRow> {
        self.counted
    }

    /// Remembers the session as counted, or no more.
    pub(in crate::ledger) fn set_counted(&mut self, counted: Option<CountedRow>) {
        self.counted = counted;
    }
}
