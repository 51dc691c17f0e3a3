//! What an operator does to a state that no daemon has open: look at it, make it smaller, write it out and read it in,
//! forget a session. Each takes the state's lock, so that a running daemon is never disturbed, but for [`glance()`], which
//! takes none and writes nothing, and [`back_up()`], which asks a running daemon for a copy.
//!
//! Nothing in here counts anything.

mod backup;
mod glance;
mod inspect;
mod query;
mod state;
#[cfg(test)]
mod tests;
mod transfer;
mod verify;

use std::path::Path;
use std::time::Duration;

use rusqlite::OptionalExtension as _;

use super::checksums;
use super::counted::CountedTables;
use super::meta;
use crate::clock::Timestamp;
use crate::ledger::policy::classification::UNKNOWN_PARTS;
use crate::ledger::policy::retention::Retention;
use crate::ledger::policy::rows::{CountedRow, Number, session_key};
use crate::ledger::transfer::Moved;
pub use crate::ledger::transfer::UpkeepError;
pub use backup::{BackedUp, back_up};
pub use glance::{Contents, Glance, Holder, glance};
pub use inspect::{Inspection, inspect};
pub(in crate::ledger) use state::State;
pub(in crate::ledger) use transfer::Made;
pub use transfer::{export, import};
pub use verify::{Salvage, Verification, salvage, verify};

/// Gives the disk back what forgotten sessions have left free: the size before and after, in bytes. It takes twice as much
/// free space as the state is large while it runs, all of it in the directory of the state; a crash leaves the state as it
/// was.
///
/// # Errors
/// If there is no state, a daemon has it open, or the disk is full.
pub fn compact(directory: &Path) -> Result<(u64, u64), UpkeepError> {
    let state = State::open(directory)?;
    let before = state.size()?;
    // The copy that VACUUM makes would otherwise be in a directory for temporary files, which may be small, or missing in
    // a container. (https://www.sqlite.org/pragma.html#pragma_temp_store_directory)
    let here = std::path::absolute(directory).ok().and_then(|path| path.to_str().map(|path| path.replace('\'', "''")));
    if let Some(here) = here {
        state.with(|connection| connection.execute_batch(&format!("PRAGMA temp_store_directory = '{here}'")))?;
    }
    state.with(|connection| connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);"))?;
    Ok((before, state.size()?))
}

/// Takes a state that was moved elsewhere into use again. Gives where it had gone, if it had.
///
/// # Errors
/// If there is no state, a daemon has it open, or it cannot be written.
pub fn reactivate(directory: &Path) -> Result<Option<Moved>, UpkeepError> {
    let state = State::open(directory)?;
    let moved = state.moved()?;
    if moved.is_some() {
        state.set_moved(None)?;
    }
    Ok(moved)
}

/// What was remembered of a session that is to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// It was not yet wholly counted: its id, times and channel were there.
    pub pending: bool,
    /// It was counted: a hash of its id and of its classifications was there.
    pub counted: bool,
    /// A hash of its id is there now, so that it is not counted anew.
    pub keeps_hash: bool,
}

/// Forgets what is remembered of a session: its row while it is not yet wholly counted, and, if `hash` says so, the hash
/// that tells that it was counted. Totals stay as they are.
///
/// A pending session leaves its hash behind (unless that goes as well), so that it is not counted anew when it is heard of
/// again; but for one of which only the id was known, and nothing was counted. Without its hash, a session that Agntix still
/// gives is counted, and stored while it is. What is forgotten is overwritten in the file.
///
/// # Errors
/// If there is no state, a daemon has it open, or it cannot be written.
pub fn forget(directory: &Path, id: &str, hash: bool) -> Result<Forgotten, UpkeepError> {
    let state = State::open(directory)?;
    state.with(|connection| {
        // Otherwise it would stay readable in the file until its place is used again.
        connection.pragma_update(None, "secure_delete", "ON")?;
        let transaction = connection.unchecked_transaction()?;
        let created: Option<Option<i64>> =
            transaction.query_row("SELECT created FROM pending WHERE id = ?1", [id], |row| row.get(0)).optional()?;
        let row = "DELETE FROM pending WHERE id = ?1 RETURNING row_removed('pending', hash)";
        checksums::delete(&transaction, row, [id])?;
        let mut ids = CountedTables::load(&transaction, &state.checksums)?;
        let counted = if hash { ids.remove(&transaction, id)? } else { ids.contains(&transaction, id)? };
        let mut keeps_hash = counted && !hash;
        // Without a time of creation nothing of it was counted yet, so that nothing can be counted twice.
        if let (false, false, Some(Some(created))) = (hash, counted, created) {
            let floors = [Number::InitialFloor, Number::Floor].map(|floor| meta::get(&transaction, floor));
            let [initial_floor, floor] = floors;
            // Its length does not matter: nothing is forgotten here.
            let mut retention = Retention::new(ids.days().clone(), Duration::MAX, (initial_floor?, floor?));
            let (day, _) = retention.remember(Timestamp::from_millis(created));
            if let Some(day) = day {
                ids.make(&transaction, day)?;
            }
            ids.insert(&transaction, &session_key(id), CountedRow { parts: UNKNOWN_PARTS, day })?;
            ids.finish(&transaction)?;
            keeps_hash = true;
        }
        state.checksums.write(&transaction)?;
        transaction.commit()?;
        // The log has it, too.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(Forgotten { pending: created.is_some(), counted, keeps_hash })
    })
}
