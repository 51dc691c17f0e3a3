//! Whether what an installation needs is what `src/capacity` says, from small organizations to large ones: requests of the API's
//! budget, the state, memory and series, and what a page costs Prometheus.
//!
//! `cargo bench --bench scaling`; behind ` -- ` may follow the parts to run: `requests`, `month`, `ids`, `series`, `prometheus`. `ids`
//! takes the numbers of sessions to remember (`-- ids 1000000 100000000`). `prometheus` needs `PROMETHEUS_3`, which
//! `eval "$(.ci/tools)"` sets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot be set up should stop, and its counts are small"
)]

#[allow(dead_code, reason = "one constant of it is used")]
#[path = "../webhook/deliveries.rs"]
mod deliveries;
#[allow(dead_code, reason = "not all of it is used here")]
#[path = "../postgres/exporter.rs"]
mod exporter;
mod forward;
mod ids;
mod prometheus;
mod requests;
mod series;
#[path = "../support/mod.rs"]
mod support;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let numbers: Vec<u64> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let parts = ["requests", "month", "ids", "series", "prometheus"];
    let is_named = |part: &str| arguments.iter().any(|argument| argument == part);
    let all = !parts.iter().any(|part| is_named(part));
    for part in parts.into_iter().filter(|part| all || is_named(part)) {
        println!("\n## {part}\n");
        match part {
            "requests" => requests::measure(&numbers),
            "month" => requests::month(),
            "ids" => ids::measure(&numbers),
            "series" => series::measure(),
            _ => prometheus::measure(),
        }
    }
}

/// Resident bytes of a process; this one's if it is `None`.
fn resident(process: Option<u32>) -> u64 {
    let process = process.map_or_else(|| "self".to_owned(), |id| id.to_string());
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}
