//! What it costs to share the ledger in PostgreSQL: with a synchronous standby, both of which sync every commit to the disk, beside
//! a bare client that sends the same statements, and beside the exporter with its state in SQLite.
//!
//! `cargo bench --bench postgres`, after `eval "$(.ci/tools)"`; behind ` -- ` may follow `quick`, and the parts to run: `counting`,
//! `deliveries`, `pages`, `starts`, `failover`. Databases, exporters and clients share the processors. What is compared takes
//! turns, so that what disturbs the machine disturbs all of it. The databases are below `TMPDIR`, which must be on a real disk.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be set up should stop"
)]

mod bare;
mod cluster;
mod counting;
#[path = "../webhook/deliveries.rs"]
mod deliveries;
mod exporter;
mod failover;
mod inboxes;
mod pages;
mod replica;
mod sessions;
mod starts;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

/// How long and how often.
pub struct Plan {
    /// How often everything takes its turn.
    pub rounds: usize,
    /// How long deliveries are sent in a round.
    pub measured: Duration,
    /// Commits in a round.
    pub batches: usize,
    /// Scrapes of each page.
    pub scrapes: usize,
    /// Series of the pages, and of the starts.
    pub series: [u64; 2],
    parts: Vec<String>,
}

impl Plan {
    fn new(arguments: &[String]) -> Self {
        let named = |name: &str| arguments.iter().any(|argument| argument == name);
        let parts = ["counting", "deliveries", "pages", "starts", "failover"];
        let chosen: Vec<String> = parts.iter().filter(|part| named(part)).map(ToString::to_string).collect();
        let is_quick = named("quick");
        Self {
            rounds: if is_quick { 1 } else { 5 },
            measured: Duration::from_secs(if is_quick { 2 } else { 4 }),
            batches: if is_quick { 20 } else { 150 },
            scrapes: if is_quick { 20 } else { 200 },
            series: if is_quick { [5_000, 10_000] } else { [100_000, 250_000] },
            parts: if chosen.is_empty() { parts.map(str::to_owned).into() } else { chosen },
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    agntix_api::install_crypto_provider();
    let plan = Plan::new(&arguments);
    for part in &plan.parts {
        println!("\n## {part}");
        match part.as_str() {
            "counting" => counting::measure(&plan),
            "deliveries" => inboxes::measure(&plan),
            "pages" => pages::measure(&plan),
            "starts" => starts::measure(&plan),
            _ => failover::measure(&plan),
        }
    }
}

/// The value in milliseconds below which a share of the samples is.
pub fn percentile(samples: &mut [f64], of_a_thousand: usize) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    let index = (samples.len() * of_a_thousand / 1000).min(samples.len().saturating_sub(1));
    samples.get(index).copied().unwrap_or(f64::NAN)
}

/// A number of things, to calculate with.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
pub fn number(things: u64) -> f64 {
    things as f64
}
