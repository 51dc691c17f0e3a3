//! Where the programs are that `.ci/tools` fetches.

use std::path::{Path, PathBuf};

/// The program named by the environment variable, or else the one under `target/tools`.
///
/// A missing program fails the test: one that skips itself proves nothing and looks as if it did.
pub fn locate(variable: &str, under_tools: &str) -> PathBuf {
    let program = std::env::var_os(variable)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(under_tools), PathBuf::from);
    assert!(
        program.is_file(),
        "{} is not there; run `.ci/tools` once, or set {variable} to the program",
        program.display()
    );
    program
}
