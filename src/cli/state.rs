//! `state …`: what an operator does with the state while the exporter is stopped (a backup also while it runs). Messages go
//! to standard error, so that an export can go to standard output.

use std::fs::File;
use std::io::{BufReader, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::flags::Global;
use super::terminal::{Failure, environment, print, say};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config;
use crate::ledger::sqlite::upkeep::{self, Inspection, Verification};

/// What to do with the state.
#[derive(Clone, Debug, Subcommand)]
pub enum StateCommand {
    /// Show what is remembered, how much, and since when.
    Inspect {
        /// Read everything and list what is damaged; exit code 1 if anything is.
        #[arg(long)]
        verify: bool,
    },
    /// Return the space of forgotten sessions to the file system; needs free space of twice the size of the state.
    Compact,
    /// Write a copy of the state to a file and check it. A running exporter makes the copy itself.
    ///
    /// The copy is a complete state: to restore it, stop the exporter, move its state away, and put the copy there as
    /// ledger.sqlite.
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
    /// Create a state from an export, where there is none yet: all of it, or nothing.
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
}

pub(super) fn run(global: &Global, command: &StateCommand) -> Result<(), Failure> {
    let loaded = config::load_without_credential(global.config_file.as_deref(), &environment(), &global.overrides())
        .map_err(Failure::mistake)?;
    if let Some(url) = &loaded.config.state.url {
        let why = format!(
            "state.url is {url}; these commands are for a state in a directory, and it would not be the one in use"
        );
        return Err(Failure::mistake(why));
    }
    let directory = &loaded.config.state.path;
    match command {
        StateCommand::Inspect { verify: true } => verify(directory)?,
        StateCommand::Inspect { verify: false } => {
            let inspection = upkeep::inspect(directory).map_err(Failure::running)?;
            print(report(&inspection, SystemClock.now()))?;
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
            let export = if *salvage { salvage_all } else { export };
            let lines = match to {
                Some(path) => export_to(directory, path, export)?,
                None => export(directory, &mut std::io::stdout().lock())?,
            };
            say(format_args!("{lines} lines"));
        }
        StateCommand::Import { from } => {
            let mut progress = progress();
            let lines = match from {
                Some(path) => {
                    let file = File::open(path).map_err(|e| file_failure("read", path, &e))?;
                    upkeep::import(&loaded.config, &mut BufReader::new(file), &mut progress)
                }
                None => upkeep::import(&loaded.config, &mut std::io::stdin().lock(), &mut progress),
            };
            let lines = lines.map_err(Failure::running)?;
            say(format_args!("{lines} lines; the state is in {}", directory.display()));
        }
        StateCommand::Forget { id, hash } => {
            let forgotten = upkeep::forget(directory, id, *hash).map_err(Failure::running)?;
            say(match (forgotten.pending, forgotten.counted, *hash) {
                (false, false, _) => "nothing was remembered of it",
                (true, false, false) if !forgotten.keeps_hash => {
                    "its row is gone; only its id was known, and it is stored and counted when it is heard of again"
                }
                (true, _, false) => "its row is gone; a hash of its id stays, so that it is not counted anew",
                (false, true, false) => {
                    "only a hash of its id is remembered, which stays, so that it is not counted anew"
                }
                (_, _, true) => "nothing is remembered of it any more; if Agntix still gives it, it is counted again",
            });
        }
    }
    Ok(())
}

/// The file appears when it is complete, and only this user can read it, because it contains session ids.
fn export_to(directory: &Path, path: &Path, export: Export) -> Result<u64, Failure> {
    let unwritten = |error: &std::io::Error| file_failure("write", path, error);
    if path.symlink_metadata().is_ok() {
        return Err(Failure::Running(format!("{} exists; name another file, or remove it", path.display())));
    }
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(beside).map_err(|e| unwritten(&e))?;
    let lines = export(directory, &mut file)?;
    file.as_file().sync_all().map_err(|e| unwritten(&e))?;
    file.persist_noclobber(path).map_err(|e| unwritten(&e.error))?;
    File::open(beside).and_then(|directory| directory.sync_all()).map_err(|e| unwritten(&e))?;
    Ok(lines)
}

/// How a state is written out.
type Export = fn(&Path, &mut dyn Write) -> Result<u64, Failure>;

fn export(directory: &Path, to: &mut dyn Write) -> Result<u64, Failure> {
    upkeep::export(directory, &mut BufWriter::new(to), &mut progress()).map_err(Failure::running)
}

fn salvage_all(directory: &Path, to: &mut dyn Write) -> Result<u64, Failure> {
    let salvage = upkeep::salvage(directory, &mut BufWriter::new(to), &mut progress()).map_err(Failure::running)?;
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

/// Shows the progress of a long transfer on a terminal.
fn progress() -> impl FnMut(u64) {
    let shown = std::io::stderr().is_terminal();
    move |lines| {
        if shown {
            let _ = write!(std::io::stderr(), "\r{lines} lines …\r");
        }
    }
}

fn report(inspection: &Inspection, now: Timestamp) -> String {
    let time = |at: Option<Timestamp>, none: &str| {
        at.map_or_else(|| none.to_owned(), |at| format!("{at} ({} ago)", ago(now, at)))
    };
    let Inspection { path, format, bytes, free_bytes, pending, series, .. } = inspection;
    let mut rows = vec![
        ("file", format!("{}, format {format}", path.display())),
        ("size", format!("{}, of which {} would be given back by `state compact`", size(*bytes), size(*free_bytes))),
        ("counting since", time(inspection.first_start, "the API has not been heard yet")),
        ("look-back", if inspection.look_back_done { "done" } else { "not done" }.to_owned()),
        ("heard of all until", time(inspection.watermark, "the listing has not been read yet")),
        (
            "sessions counted",
            format!("{} remembered, the oldest of {}", inspection.counted, time(inspection.counted_since, "no day")),
        ),
    ];
    rows.extend(pending.iter().map(|(stage, count)| ("sessions pending", format!("{count} {}", stage.as_str()))));
    if inspection.oldest_ended.is_some() {
        rows.push(("longest waiting", format!("ended {}", time(inspection.oldest_ended, ""))));
    }
    rows.push(("agents", inspection.agents.to_string()));
    let total: u64 = series.iter().map(|(_, count)| count).sum();
    rows.push(("series", format!("{total}, {} of them in the initial-zero window", inspection.held)));
    let rows = rows.into_iter().map(|(name, value)| format!("{name:<20}{value}"));
    let metrics = series.iter().map(|(metric, count)| format!("{count:>18}  {metric}"));
    let mut lines: Vec<String> = rows.chain(metrics).collect();
    lines.push(String::new());
    lines.join("\n")
}

fn ago(now: Timestamp, at: Timestamp) -> String {
    humantime::format_duration(std::time::Duration::from_secs(now.since(at).as_secs())).to_string()
}

/// Bytes for a person.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1024.0 {
        let Some(larger) = units.next() else { break };
        (value, unit) = (value / 1024.0, larger);
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Stage;

    #[test]
    fn sizes_have_units() {
        for (bytes, text) in [(0, "0.0 KiB"), (4096, "4.0 KiB"), (34_603_008, "33.0 MiB"), (1 << 60, "1048576.0 TiB")] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn inspection_fits_on_a_page() {
        let inspection = Inspection {
            path: "data/ledger.sqlite".into(),
            format: 1,
            bytes: 2_097_152,
            free_bytes: 4096,
            first_start: Some(Timestamp::from_millis(1_000)),
            look_back_done: true,
            watermark: None,
            counted: 7,
            counted_since: Some(Timestamp::from_millis(0)),
            pending: vec![(Stage::Open, 2), (Stage::Ended, 1)],
            oldest_ended: Some(Timestamp::from_millis(61_000)),
            series: vec![("agntix_sessions_started_total", 3)],
            agents: 1,
            held: 1,
        };
        let text = report(&inspection, Timestamp::from_millis(121_000));
        for expected in [
            "file                data/ledger.sqlite, format 1\n",
            "size                2.0 MiB, of which 4.0 KiB would be given back by `state compact`\n",
            "counting since      1970-01-01T00:00:01.000Z (2m ago)\n",
            "heard of all until  the listing has not been read yet\n",
            "sessions pending    1 ended\n",
            "longest waiting     ended 1970-01-01T00:01:01.000Z (1m ago)\n",
            "series              3, 1 of them in the initial-zero window\n",
            "                 3  agntix_sessions_started_total\n",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
    }
}
