//! Numbers that are opt-in or split further: each equals the simulator's truth over many seeds, through kills.
//!
//! `NUMBERS_SEEDS=100 cargo test --release --test it numbers::` runs the campaign; the gate runs a few seeds.

pub mod customers;
mod faults;
pub mod messages;
mod named;
mod sources;

use std::ops::Range;

/// The seeds of a campaign: `NUMBERS_SEEDS` of them from `NUMBERS_FIRST_SEED` on, or as many as the gate has time for.
fn seeds(in_the_gate: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let first = number("NUMBERS_FIRST_SEED").unwrap_or(1);
    first..first + number("NUMBERS_SEEDS").unwrap_or(in_the_gate)
}
