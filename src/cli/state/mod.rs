//! `state …`: what an operator does with the state while the exporter is stopped; some of it also while it runs. Messages go
//! to standard error, so that an export can go to standard output.

mod migrate;
mod report;
mod shared;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Subcommand;

use self::report::size;
pub(super) use self::shared::open as open_database;
use super::flags::Global;
use super::terminal::{Failure, environment, print, say};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Config};
use crate::ledger::sqlite::upkeep::{self, Verification};
use crate::ledger::transfer::Moved;

/// What to do with the state.
#[derive(Clone, Debug, Subcommand)]
pub enum StateCommand {
    /// Show what is remembered, how much, and since when. With state.url also who counts; replicas may be running.
    Inspect {
        /// Read everything and list what is damaged; exit code 1 if anything is.
        #[arg(long)]
        verify: bool,
    },
    /// Return the space of forgotten sessions to the file system; needs free space of twice the size of the state.
    ///
    /// With state.url it rewrites the tables (VACUUM FULL).
    Compact,
    /// Write a copy of the state to a file and check it. A running exporter makes the copy itself.
    ///
    /// The copy is a complete state: to restore it, stop the exporter, move its state away, and put the copy there as
    /// ledger.sqlite. With state.url use `pg_dump` or `state export`.
    Backup {
        /// File to write; it must not exist.
        file: PathBuf,
    },
    /// Write the whole state as one JSON object per line: ids of sessions in progress, hashes of counted ones, and series.
    Export {
        /// File to write; it must not exist [default: standard output].
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// Write what is intact in a damaged state, and report what is left out.
        #[arg(long)]
        salvage: bool,
    },
    /// Create a state from an export, where there is none yet: all of it, or nothing. An export of either kind of state will do.
    Import {
        /// File to read [default: standard input].
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Remove what identifies a session; totals do not change.
    ///
    /// The row (id, times, channel) of a session that is not yet completely counted is removed, and it is not counted any
    /// further. A hash of its id stays, so that it is not counted again, unless only the id was known. Forgotten data is
    /// overwritten in place. Copies in free pages are removed by `state compact`.
    Forget {
        /// Id of the session.
        id: String,
        /// Remove the hash as well: the session is then COUNTED AGAIN if Agntix still returns it.
        #[arg(long)]
        hash: bool,
    },
    /// Move the whole state to PostgreSQL, to another schema or server, or back into a directory.
    ///
    /// It moves what the configuration names now (state.url, else state.path). Both sides must be out of use, and the new place
    /// empty. What arrives is compared with what was sent. No count changes and no counter resets. The old state then records where
    /// it went, and no exporter starts in it.
    #[command(after_help = "\
Examples:
  agntix-exporter state migrate --to 'postgres://exporter@db1,db2/agntix?sslmode=verify-full' --password-file /etc/agntix/db
  agntix-exporter state migrate --to /var/lib/agntix-exporter")]
    Migrate(migrate::MigrateArgs),
    /// Use a state again that was moved elsewhere: only if nothing was counted at the new place since.
    Reactivate,
}

/// What is said if there was nothing to forget of a session.
const NOT_REMEMBERED: &str = "nothing was remembered of it";

pub(super) fn run(global: &Global, command: &StateCommand) -> Result<(), Failure> {
    let loaded = config::load_without_credential(global.config_file.as_deref(), &environment(), &global.overrides())
        .map_err(Failure::mistake)?;
    let config = &loaded.config;
    match (command, &config.state.url) {
        (StateCommand::Migrate(args), _) => migrate::run(config, args),
        (command, Some(url)) => shared::run(config, url, command),
        (command, None) => run_in_directory(config, command),
    }
}

fn run_in_directory(config: &Config, command: &StateCommand) -> Result<(), Failure> {
    let directory = &config.state.path;
    match command {
        StateCommand::Inspect { verify: true } => verify(directory)?,
        StateCommand::Inspect { verify: false } => {
            let inspection = upkeep::inspect(directory).map_err(Failure::running)?;
            print(report::of_file(&inspection, SystemClock.now()))?;
        }
        StateCommand::Compact => {
            if std::io::stderr().is_terminal() {
                say(format_args!("{} is compacted; of a large state that takes minutes …", directory.display()));
            }
            let (before, after) = upkeep::compact(directory).map_err(Failure::running)?;
            say(format_args!("{}: {} before, {} now", directory.display(), size(before), size(after)));
        }
        StateCommand::Backup { file } => {
            let done = upkeep::back_up(directory, file).map_err(Failure::running)?;
            let how = if done.beside_exporter { "by the running exporter" } else { "of a state that nobody has open" };
            say(format_args!("{}: {}, copied {how} and checked", file.display(), size(done.bytes)));
        }
        StateCommand::Export { to, salvage } => {
            let mut progress = progress(None);
            let lines = write_to(to.as_deref(), &mut |out| {
                if *salvage {
                    salvage_all(directory, out, &mut progress)
                } else {
                    upkeep::export(directory, out, &mut progress).map_err(Failure::running)
                }
            })?;
            say(format_args!("{lines} lines"));
        }
        StateCommand::Import { from } => {
            let mut progress = progress(None);
            let lines = read_from(from.as_deref(), &mut |lines| {
                upkeep::import(config, lines, &mut progress).map_err(Failure::running)
            })?;
            say(format_args!("{lines} lines; the state is in {}", directory.display()));
        }
        StateCommand::Forget { id, hash } => {
            let forgotten = upkeep::forget(directory, id, *hash).map_err(Failure::running)?;
            let known = (forgotten.pending, forgotten.counted, forgotten.keeps_hash);
            say(report::forgotten(known, *hash).unwrap_or(NOT_REMEMBERED));
        }
        StateCommand::Reactivate => {
            let moved = upkeep::reactivate(directory).map_err(Failure::running)?;
            say(reactivated(&directory.display().to_string(), moved.as_ref()));
        }
        // It is about two states.
        StateCommand::Migrate(_) => {}
    }
    Ok(())
}

/// Writes an export, to standard output if no file is named. The file appears when it is complete, and only this user can read
/// it, because it contains session ids.
fn write_to(path: Option<&Path>, write: &mut Export<'_>) -> Result<u64, Failure> {
    let Some(path) = path else { return write(&mut BufWriter::new(std::io::stdout().lock())) };
    let unwritten = |error: &std::io::Error| file_failure("write", path, error);
    if path.symlink_metadata().is_ok() {
        return Err(Failure::Running(format!("{} exists; name another file, or remove it", path.display())));
    }
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(beside).map_err(|e| unwritten(&e))?;
    let lines = write(&mut BufWriter::new(&mut file))?;
    file.as_file().sync_all().map_err(|e| unwritten(&e))?;
    file.persist_noclobber(path).map_err(|e| unwritten(&e.error))?;
    File::open(beside).and_then(|directory| directory.sync_all()).map_err(|e| unwritten(&e))?;
    Ok(lines)
}

/// How a state is written out.
type Export<'e> = dyn FnMut(&mut dyn Write) -> Result<u64, Failure> + 'e;

/// Reads an export, from standard input if no file is named.
fn read_from(
    path: Option<&Path>,
    read: &mut dyn FnMut(&mut dyn BufRead) -> Result<u64, Failure>,
) -> Result<u64, Failure> {
    match path {
        Some(path) => read(&mut BufReader::new(File::open(path).map_err(|e| file_failure("read", path, &e))?)),
        None => read(&mut std::io::stdin().lock()),
    }
}

fn salvage_all(directory: &Path, to: &mut dyn Write, progress: &mut dyn FnMut(u64)) -> Result<u64, Failure> {
    let salvage = upkeep::salvage(directory, to, progress).map_err(Failure::running)?;
    for what in &salvage.left_out {
        say(format_args!("damaged: {what}"));
    }
    Ok(salvage.lines)
}

/// Reads all of the state; a failure lists what is damaged.
fn verify(directory: &Path) -> Result<(), Failure> {
    let Verification { rows, ids, damage } = upkeep::verify(directory).map_err(Failure::running)?;
    if damage.is_empty() {
        say(format_args!("{}: {rows} rows and {ids} ids are as they were written", directory.display()));
        return Ok(());
    }
    let path = directory.display();
    let damage = damage.join("; ");
    Err(Failure::Running(format!(
        "the state in {path} is damaged: {damage}. Restore it from a backup, or keep what is sound: `agntix-exporter state export --salvage --to FILE`, and `state import` of it into another directory"
    )))
}

fn file_failure(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::running(format!("cannot {what} {} ({error})", path.display()))
}

/// Shows the progress of a long transfer: on a terminal all the time; elsewhere as often as `elsewhere` says, if it says so.
fn progress(elsewhere: Option<Duration>) -> impl FnMut(u64) {
    let (shown, mut said) = (std::io::stderr().is_terminal(), Instant::now());
    move |lines| {
        if shown {
            let _ = write!(std::io::stderr(), "\r{lines} lines …\r");
        } else if elsewhere.is_some_and(|every| said.elapsed() >= every) {
            said = Instant::now();
            say(format_args!("{lines} lines so far"));
        }
    }
}

fn reactivated(place: &str, moved: Option<&Moved>) -> String {
    match moved {
        None => format!("the state in {place} was not moved; nothing has changed"),
        Some(Moved { to, at }) => format!(
            "the state in {place} is in use again. It was moved to {to} on {at}: what was counted there since is not in it, and no exporter may count there any more"
        ),
    }
}
