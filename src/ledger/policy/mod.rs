//! What the ledger does with a change, given the rows that it needs: `Policy::decide`. Pure: no disk, no clock, no lock that
//! is held.
//!
//! A backend loads the `Rows` that a batch of changes wants, all at once; lets the policy decide on all of the changes; and
//! makes the `Writes` durable in one transaction. If that fails, it drops the policy and makes another one from what is
//! stored, since a policy that has decided has already learned from the batch. Every backend that shares the policy counts
//! the same (promise P1).

mod admission;
mod batch;
pub(in crate::ledger) mod classification;
pub(in crate::ledger) mod contacts;
mod overlay;
mod repeats;
pub(in crate::ledger) mod retention;
pub(in crate::ledger) mod room;
pub(in crate::ledger) mod rows;
mod state;
pub(in crate::ledger) mod sums;

use batch::Batch;
use rows::Rows;
pub use state::PolicyConfig;
pub(in crate::ledger) use state::{Decision, Policy};

use super::Change;
use crate::catalogue::SeriesKey;

impl Policy {
    /// Decides on a batch of changes, in order. `exists` says whether a series is stored; it is asked only where there may
    /// not be room for all that the batch can bring.
    pub(in crate::ledger) fn decide(
        &mut self,
        rows: Rows,
        changes: &[Change],
        exists: &mut dyn FnMut(&SeriesKey) -> bool,
    ) -> Decision {
        let mut batch = Batch::new(self, rows, changes.len(), exists);
        let outcomes = changes.iter().map(|change| batch.apply(change)).collect();
        batch.finish(outcomes)
    }
}
