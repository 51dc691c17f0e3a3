//! The binary: reads the command line and gives the exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // clap reports a mistake in the flags and exits with 2, as we do for a mistake in the configuration.
    agntix_exporter::cli::run(agntix_exporter::cli::Cli::parse())
}
