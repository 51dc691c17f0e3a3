//! A whole state as lines, the same whatever stores it: to look into it, to keep a copy that any program can read, to move it
//! from one store to another.
//!
//! A store gives its lines and takes lines. What a line may hold is decided here, and how it looks in a file.

mod error;
mod input;
mod lines;
mod output;
mod tally;

pub use error::UpkeepError;
pub(in crate::ledger) use input::{Refusal, read_all};
pub(in crate::ledger) use lines::{FORMAT, Line, Pending, Series, contact_of, counted, hex, session_key_of};
pub(in crate::ledger) use output::Output;
#[cfg(test)]
pub(in crate::ledger) use output::hexadecimal;
pub(in crate::ledger) use tally::Tally;

use crate::clock::Timestamp;
use crate::session::Stage;

/// Is given one line after the other, without the first and the last.
pub(in crate::ledger) type Each<'e> = dyn FnMut(Line) -> Result<(), UpkeepError> + 'e;

/// Is given how many lines there were so far, now and then.
pub type Progress<'p> = dyn FnMut(u64) + 'p;

/// How many lines pass between two words of progress.
const PROGRESS_EVERY: u64 = 100_000;

/// Begins the key of a number that says what the sessions of an agent carry; the rest is the agent.
pub(in crate::ledger) const AGENT_PARTS: &str = "agent_parts/";

/// What a state remembers, wherever it is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// When counting began, in the API's time; absent if the API was never heard.
    pub first_start: Option<Timestamp>,
    /// Whether what ended before is all in the starting values.
    pub look_back_done: bool,
    /// Every session created up to here has been heard of.
    pub watermark: Option<Timestamp>,
    /// Counted sessions that are remembered.
    pub counted: u64,
    /// Midnight of the first day of which sessions are remembered.
    pub counted_since: Option<Timestamp>,
    /// Sessions not yet wholly counted, by stage.
    pub pending: Vec<(Stage, u64)>,
    /// When the longest-waiting of those that ended did so.
    pub oldest_ended: Option<Timestamp>,
    /// Series by metric, without metrics that have none.
    pub series: Vec<(&'static str, u64)>,
    /// Agents that have series of their own.
    pub agents: u64,
    /// Series in the initial-zero window.
    pub held: u64,
}

/// Where a state has gone, by its own record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The directory or the database.
    pub to: String,
    /// When.
    pub at: Timestamp,
}
