//! States that remember ever more sessions.

use std::time::Instant;

use super::requests::state;
use super::support::{self, Stage};
use agntix_exporter::ledger::Change;
use agntix_exporter::ledger::Ledger as _;

/// Sessions a commit.
const BATCH: u64 = 4_096;
/// Sessions a day.
const DAY: u64 = 3_500_000;

/// Prints how a state with so many remembered sessions is, beside the plan.
pub fn measure(numbers: &[u64]) {
    let numbers = if numbers.is_empty() { &[1_000_000, 10_000_000] } else { numbers };
    println!("| remembered | bytes each | planned | counted a second, the last million | look up | open | resident |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let directory = support::directory("scaling-ids");
    let runtime = support::runtime();
    let (mut ledger, _) = support::open(&directory);
    let mut done = 0;
    for &number in numbers {
        let mut began = Instant::now();
        let mut since = done;
        while done < number {
            let end = (done + BATCH).min(number);
            let batch = (done..end).map(counted).collect();
            support::commit(&runtime, &ledger, batch);
            if number - done > 1_000_000 && number - end <= 1_000_000 {
                (began, since) = (Instant::now(), end);
            }
            done = end;
        }
        let pace = (done - since) as f64 / began.elapsed().as_secs_f64();
        drop(ledger);
        let began = Instant::now();
        (ledger, _) = support::open(&directory);
        let open = began.elapsed();
        let known: Vec<Change> = (0..20_000).map(|n| counted(n * 7_919 % number)).collect();
        let began = Instant::now();
        for batch in known.chunks(1_000) {
            runtime.block_on(ledger.commit(batch.to_vec())).unwrap();
        }
        let look_up = began.elapsed().as_secs_f64() * 1e6 / known.len() as f64;
        println!(
            "| {number} | {:.1} | {} | {pace:.0} | {look_up:.1} us | {:.1} ms | {:.1} MB |",
            state(&directory) as f64 / number as f64,
            agntix_exporter::capacity::SESSION_BYTES,
            open.as_secs_f64() * 1e3,
            super::resident(None) as f64 / 1e6,
        );
    }
    drop(ledger);
    std::fs::remove_dir_all(directory).unwrap();
}

/// The session numbered `n`, counted whole. They come in the order of a month's days, as in life.
fn counted(n: u64) -> Change {
    let day = u32::try_from(n / DAY).unwrap();
    support::session(n, Stage::Analysed, 29 - day % 30)
}
