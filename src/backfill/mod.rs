//! `backfill`: writes the past as files that Prometheus or VictoriaMetrics imports, so that the live counters go on from it.
//!
//! `plan` decides what is written and refuses what would be lost or do harm. `collect` lists the past from the API and
//! observes each session as the daemon does; `spill` keeps what was observed on disk. `chronicle` counts it in the order of
//! time with the ledger's own policy, and gives day after day; it is pure. `openmetrics` and `victoriametrics` spell a day.
//!
//! The invariant: whatever order the listing has, and wherever a run is broken off, the files are the same. No number is held
//! for all sessions at once: memory grows with the series, and with what happened on one day.

mod api;
mod arguments;
mod chronicle;
mod collect;
mod files;
mod history;
mod import;
mod openmetrics;
mod page;
mod plan;
mod progress;
mod prometheus;
mod rules;
mod run;
mod samples;
mod sessions;
mod spill;
mod step;
mod summary;
mod tally;
#[cfg(test)]
mod tests;
mod times;
mod victoriametrics;

pub use arguments::{BackfillOptions, FileFormat};
pub use progress::{Progress, Stage};
pub use run::{BackfillError, run};
pub use step::Step;
pub use summary::Summary;
pub use times::parse_time;
