//! What an installation needs: requests of the API's budget, series, disk, memory and processor, from how much traffic there is and how
//! the exporter is configured. Pure functions.
//!
//! `doctor` judges by them, the tables of `docs/scaling.md` are made of them, and `cargo bench --bench scaling` compares them with what
//! it measures. Numbers that were measured are constants here, each with what gives it. Nothing in here judges, asks or opens anything.

mod machine;
mod plan;
mod requests;
mod series;

pub use machine::{
    Backend, DATABASE_SESSION_BYTES, FOLLOWER_SERIES_BYTES, HOLDER_SERIES_BYTES, IDLE_BYTES, PENDING_BYTES,
    SERIES_BYTES, SESSION_BYTES, memory, state_bytes,
};
pub use plan::{Organization, Plan, Prometheus, most_sessions_a_day, plan};
pub use requests::{Load, allowed, needed};
pub use series::{OWN, SERIES_OF_A_SESSION, Shape, USUAL, of_agent, of_rows};
