//! The commands on a state in a database.

use std::path::Path;

use tokio::runtime::Runtime;

use super::{NOT_REMEMBERED, StateCommand, progress, reactivated, read_from, report, write_to};
use crate::cli::terminal::{Failure, print, runtime, say};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, DatabaseUrl, StateConfig};
use crate::ledger::postgres::Database;
use crate::ledger::postgres::upkeep::{Forgotten, SharedState};
use crate::tasks::Tasks;

/// The state that `state` names, and what its connections run on.
pub(in crate::cli) fn open(
    config: &Config,
    state: &StateConfig,
    url: &DatabaseUrl,
    command: &str,
) -> Result<(SharedState, Runtime), Failure> {
    agntix_api::install_crypto_provider();
    let runtime = runtime()?;
    let password = state.password_file.clone();
    let database = Database::new(url.expose(), password, &state.schema, Tasks::new().0).map_err(Failure::mistake)?;
    Ok((SharedState::new(database, runtime.handle().clone(), config, command), runtime))
}

pub(super) fn run(config: &Config, url: &DatabaseUrl, command: &StateCommand) -> Result<(), Failure> {
    let name = match command {
        StateCommand::Inspect { .. } => "inspect",
        StateCommand::Compact => "compact",
        StateCommand::Backup { .. } => "backup",
        StateCommand::Export { .. } => "export",
        StateCommand::Import { .. } => "import",
        StateCommand::Forget { .. } => "forget",
        StateCommand::Migrate(_) => "migrate",
        StateCommand::Reactivate => "reactivate",
    };
    let (state, _runtime) = open(config, &config.state, url, name)?;
    match command {
        StateCommand::Inspect { verify: false } => {
            let inspection = state.inspect().map_err(Failure::running)?;
            print(report::of_database(&inspection, SystemClock.now()))?;
        }
        StateCommand::Inspect { verify: true } => {
            let (rows, ids) = state.verify().map_err(Failure::running)?;
            say(format_args!(
                "{}: {rows} rows and {ids} ids can be read and make sense. Whether a byte on the disk has changed is for the server to say (data_checksums, pg_amcheck)",
                state.place()
            ));
        }
        StateCommand::Compact => {
            let (before, after) = state.compact().map_err(Failure::running)?;
            say(format_args!("{}: {} before, {} now", state.place(), report::size(before), report::size(after)));
        }
        StateCommand::Export { salvage: true, .. } => return Err(of_files("--salvage")),
        StateCommand::Backup { .. } => return Err(of_files("state backup")),
        StateCommand::Export { to, salvage: false } => {
            let mut progress = progress(None);
            let lines = write_to(to.as_deref(), &mut |out| state.export(out, &mut progress).map_err(Failure::running))?;
            say(format_args!("{lines} lines"));
        }
        StateCommand::Import { from } => {
            let mut progress = progress(None);
            let lines = read_from(from.as_deref().map(Path::new), &mut |lines| {
                state.import(lines, &mut progress).map_err(Failure::running)
            })?;
            say(format_args!("{lines} lines; the state is in {}", state.place()));
        }
        StateCommand::Forget { id, hash } => {
            say(forgotten(&state.forget(id, *hash).map_err(Failure::running)?, *hash));
        }
        StateCommand::Reactivate => {
            let moved = state.reactivate().map_err(Failure::running)?;
            say(reactivated(&state.place(), moved.as_ref()));
        }
        // It is about two states.
        StateCommand::Migrate(_) => {}
    }
    Ok(())
}

fn of_files(what: &str) -> Failure {
    Failure::Mistake(format!(
        "{what} is for a state in a directory, and state.url is set: copy the database with pg_dump or your provider's backups, or write `agntix-exporter state export --to FILE`"
    ))
}

fn forgotten(forgotten: &Forgotten, hash: bool) -> String {
    let Forgotten { pending, counted, keeps_hash, deliveries, shown, is_rewritten } = *forgotten;
    let had_row = pending || deliveries > 0;
    let known = report::forgotten((had_row, counted, keeps_hash), hash);
    let Some(mut said) = known.or((shown > 0).then_some("what was shown of it is gone")).map(str::to_owned) else {
        return NOT_REMEMBERED.to_owned();
    };
    if shown > 0 && known.is_some() {
        said.push_str("\nWhat was shown of it is gone.");
    }
    if deliveries > 0 {
        said = format!("{said}\n{deliveries} deliveries of it that were still to be counted are gone");
    }
    if had_row || shown > 0 {
        said.push_str(if is_rewritten {
            "\nThe tables that held it were rewritten."
        } else {
            "\nThe tables that held it could not be rewritten, since this user does not own them: deleted rows are in them until their owner runs VACUUM FULL on pending, inbox, gauges and commits."
        });
    }
    if hash && counted {
        said.push_str("\nThe hash is in deleted rows of the table counted until `agntix-exporter state compact`.");
    }
    said.push_str(
        "\nThe server's write-ahead log, its archive, standbys that lag and backups keep it for as long as you keep them.",
    );
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_session_of_a_database_is_told_of_as_one_of_a_file() {
        let place = Forgotten { is_rewritten: true, ..Forgotten::default() };
        for (pending, counted, keeps_hash) in
            [(true, true, true), (true, false, true), (false, true, true), (true, false, false)]
        {
            let said = forgotten(&Forgotten { pending, counted, keeps_hash, ..place }, false);
            let of_a_file = report::forgotten((pending, counted, keeps_hash), false).unwrap();
            assert_eq!(said.lines().next(), Some(of_a_file));
            assert_eq!(said.contains("were rewritten"), pending);
            assert!(said.contains("write-ahead log"), "{said}");
        }
        assert_eq!(forgotten(&place, true), NOT_REMEMBERED);
        let shown = forgotten(&Forgotten { shown: 1, ..place }, false);
        assert!(shown.starts_with("what was shown of it is gone\nThe tables"), "{shown}");
        let counted = forgotten(&Forgotten { shown: 1, counted: true, keeps_hash: true, ..place }, false);
        assert!(counted.contains("which stays") && counted.contains("\nWhat was shown of it is gone.\n"), "{counted}");
    }
}
