//! `state migrate`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::{progress, shared};
use crate::cli::terminal::{Failure, say};
use crate::config::{Config, DatabaseUrl};
use crate::ledger::moving::{self, Place};

/// Where a state goes.
#[derive(Clone, Debug, Args)]
pub struct MigrateArgs {
    /// Where to: the URL of a database (postgres://...), or a directory.
    #[arg(long, value_name = "URL|PATH")]
    to: String,
    /// Schema of the tables there [default: state.schema].
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
    /// File that holds the password of the database's user there.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// How often a line of progress is written where there is no terminal, as in the log of a Job.
const SAID_EVERY: Duration = Duration::from_secs(10);

pub(super) fn run(config: &Config, args: &MigrateArgs) -> Result<(), Failure> {
    let from = config.state.url.as_ref().map(|url| shared::open(config, &config.state, url, "migrate")).transpose()?;
    let from_place = from.as_ref().map_or(Place::Directory(&config.state.path), |(state, _)| Place::Database(state));
    let to_database = args.to.starts_with("postgres://") || args.to.starts_with("postgresql://");
    if !to_database && (args.schema.is_some() || args.password_file.is_some()) {
        return Err(Failure::mistake("--schema and --password-file belong to the URL of a database, and --to is none"));
    }
    let mut progress = progress(Some(SAID_EVERY));
    let report = if to_database {
        let url = DatabaseUrl::from(&*args.to);
        let mut state = config.state.clone();
        state.schema = args.schema.clone().unwrap_or(state.schema);
        (state.url, state.password_file) = (Some(url.clone()), args.password_file.clone());
        state.validate().map_err(|violation| {
            Failure::mistake(format_args!("--to, --schema or --password-file: {} {}", violation.value, violation.rule))
        })?;
        let (to, _runtime) = shared::open(config, &state, &url, "migrate")?;
        moving::migrate(config, from_place, Place::Database(&to), &mut progress)
    } else {
        moving::migrate(config, from_place, Place::Directory(Path::new(&args.to)), &mut progress)
    };
    let report = report.map_err(Failure::running)?;
    let next = if to_database {
        "set state.url, and state.schema and state.password_file if they are not the defaults, for every replica, and start them"
    } else {
        "remove state.url, set state.path to this directory, and start one exporter"
    };
    say(format_args!(
        "{} lines ({}) are in {}, and are what was read.\nNext: {next}.\nThe old state in {} is kept, records where it went, and no exporter starts in it; remove it when you are content.",
        report.lines,
        report.contents,
        report.to,
        from_place.name()
    ));
    Ok(())
}
