//! Runs each case in a process of its own below valgrind, and reads what was counted.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::CASE;
use crate::limits::Count;

/// A part of the name of [`edge_of_what_is_counted`], which no other function has: whatever a compiler makes of names, it keeps this part.
const EDGE: &str = "*edge_of_what_is_counted*";

/// Has counted all that `work` does, on whichever thread, until it returns. Called several times, the middle count is taken.
pub fn counted(work: impl FnOnce()) {
    edge_of_what_is_counted();
    work();
    edge_of_what_is_counted();
}

/// Valgrind writes down what was counted up to each call, and begins anew.
#[inline(never)]
fn edge_of_what_is_counted() {
    std::hint::black_box(());
}

/// Counts these cases, as many at once as there are processors.
///
/// # Errors
/// If valgrind is missing, or a case has ended before its end.
pub fn count(cases: &[&str]) -> Result<Vec<Count>, String> {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err("valgrind is not installed; on Debian: apt-get install valgrind".into());
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("instructions");
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let (next, counts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(name) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let count = count_one(name, &directory);
                    counts.lock().unwrap().push((*name, count));
                }
            });
        }
    });
    let mut counts = counts.into_inner().unwrap();
    counts.sort_by_key(|(name, _)| cases.iter().position(|case| case == name));
    counts.into_iter().map(|(name, count)| Ok(Count { name: name.into(), instructions: count? })).collect()
}

fn count_one(name: &str, directory: &Path) -> Result<u64, String> {
    let out = directory.join(format!("{name}.out"));
    let dumps = |n: usize| PathBuf::from(format!("{}.{n}", out.display()));
    // Those of an earlier run.
    let _ = (1..=1_000).map(dumps).take_while(|dump| std::fs::remove_file(dump).is_ok()).count();
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--dump-before={EDGE}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().map_err(|error| error.to_string())?)
        .env(CASE, name)
        .output()
        .map_err(|error| error.to_string())?;
    if !ran.status.success() {
        return Err(format!("{name} was not counted ({}): {}", ran.status, String::from_utf8_lossy(&ran.stderr)));
    }
    let mut counts = Vec::new();
    // Every other one is of what came before.
    for dump in (1..).map(|n| dumps(2 * n)) {
        let Ok(dump) = std::fs::read_to_string(dump) else { break };
        let total = dump.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
        counts.push(total.ok_or_else(|| format!("valgrind says nothing of {name}"))?);
    }
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied().ok_or_else(|| format!("{name} counts nothing"))
}
