//! The binary: reads the command line and gives the exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // A mistake in the flags is clap's to tell; it exits with 2, as a mistake in the configuration does.
    agntix_exporter::cli::run(agntix_exporter::cli::Cli::parse())
}
