//! `doctor`: checks an installation and prints the findings.

use std::io::{IsTerminal as _, Write as _};

use clap::{Args, ValueEnum};

use super::flags::Global;
use super::terminal::{Failure, environment, print, runtime};
use crate::api;
use crate::doctor::{self, Status};

/// Flags of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Output format: text, or json with findings (check, status, says and advice) and a summary.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub format: Format,
}

/// A form of the findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

pub(super) fn run(global: &Global, args: &DoctorArgs) -> Result<(), Failure> {
    let (loaded, faults) = api::load_with_faults(global.config_file.as_deref(), &environment(), &global.overrides())
        .map_err(Failure::mistake)?;
    agntix_api::install_crypto_provider();
    let runtime = runtime()?;
    let progress = Progress::new();
    let report = runtime.block_on(doctor::examine(&loaded, &faults, &|what| progress.show(what)));
    progress.clear();
    // A disk or a name service that never answers must not delay the exit.
    runtime.shutdown_background();
    let text = match args.format {
        Format::Text => report.text(is_coloured()),
        Format::Json => report.json(),
    };
    print(text)?;
    match report.count(Status::Failure) {
        0 => Ok(()),
        1 => Err(Failure::running("one check has failed")),
        failures => Err(Failure::running(format!("{failures} checks have failed"))),
    }
}

/// <https://no-color.org>
fn is_coloured() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// Shows what is being done, on a terminal only.
struct Progress {
    shown: bool,
}

/// As wide as a terminal may be expected to be.
const WIDTH: usize = 79;

impl Progress {
    fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal() }
    }

    fn show(&self, what: &str) {
        if self.shown {
            let line: String = format!("{what} …").chars().take(WIDTH).collect();
            let _ = write!(std::io::stderr(), "\r{line:<WIDTH$}");
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r{:<WIDTH$}\r", "");
        }
    }
}
