//! How many instructions a page, a commit, a delivery and a session take: counted by valgrind and held against `limits.toml`. No clock is
//! read, so that a busy machine changes nothing.
//!
//! `cargo bench --workspace --profile dev --bench instructions` counts and compares, as the gate does, and `-- --write` at its end writes the
//! present counts into the file. Names limit it to some cases. Without `--profile dev` the same is counted as the optimizer leaves it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot be set up should stop")]

mod cases;
mod limits;
#[path = "../support/mod.rs"]
mod support;
mod valgrind;

use std::process::ExitCode;

use limits::{Count, Limits};

/// The table of the limits for programs that are built as this one is.
const PROFILE: &str = if cfg!(debug_assertions) { "dev" } else { "optimized" };
/// Says to a child of this program which case it runs.
const CASE: &str = "AGNTIX_INSTRUCTIONS_CASE";

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(CASE) {
        let case = cases::ALL.iter().find(|case| case.name == name).unwrap();
        (case.run)();
        return ExitCode::SUCCESS;
    }
    // Cargo adds `--bench`.
    let (flags, names): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let writes = flags.iter().any(|flag| flag == "--write");
    if let Some(unknown) = names.iter().find(|name| cases::ALL.iter().all(|case| case.name != **name)) {
        eprintln!("error: there is no case {unknown}; the cases are the names in {}", limits::path().display());
        return ExitCode::FAILURE;
    }
    if cfg!(not(target_arch = "x86_64")) {
        println!("NOT CHECKED: the limits of instructions are those of x86_64, which this machine is not");
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<&str> = cases::ALL
        .iter()
        .map(|case| case.name)
        .filter(|name| names.is_empty() || names.iter().any(|n| n == name))
        .collect();
    let counts = match valgrind::count(&chosen) {
        Ok(counts) => counts,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    conclude(&counts, names.is_empty(), writes)
}

/// Prints the counts, and compares them with the limits or writes them there.
fn conclude(counts: &[Count], is_whole: bool, writes: bool) -> ExitCode {
    let text = std::fs::read_to_string(limits::path()).unwrap_or_default();
    let mut limits = match Limits::parse(&text, PROFILE, env!("AGNTIX_BUILD_RUSTC")) {
        Ok(limits) => limits,
        Err(error) => {
            eprintln!("error: {}: {error}", limits::path().display());
            return ExitCode::FAILURE;
        }
    };
    let what = |name: &str| cases::ALL.iter().find(|case| case.name == name).map_or("", |case| case.what);
    for count in counts {
        println!("{}  {}", limits.line(count), what(&count.name));
    }
    if writes {
        limits.take(counts, is_whole);
        std::fs::write(limits::path(), limits.write_into(&text).unwrap()).unwrap();
        println!("the limits of the profile {PROFILE} are written to {}", limits::path().display());
        return ExitCode::SUCCESS;
    }
    let wrong = limits.exceeded(counts, is_whole);
    for sentence in &wrong {
        eprintln!("error: {sentence}");
    }
    if wrong.is_empty() {
        println!(
            "{} passed, 0 failed: no count is above its limit by more than {} %",
            counts.len(),
            limits::MARGIN_PERCENT
        );
        return ExitCode::SUCCESS;
    }
    eprintln!("\n{}", limits.advice());
    ExitCode::FAILURE
}
