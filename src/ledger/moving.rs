//! A state moved from one store to another, so that it is in use in one of them at every moment.
//!
//! The new state is written whole and compared with the old one before anybody can see it. Then the old state records where it
//! has gone, and only then the new one becomes visible. A crash before the record leaves the old state as it was; a crash after it
//! leaves one in which no exporter counts, and the same command finishes the move.

use std::path::Path;

use super::LedgerError;
use super::postgres::PostgresError;
use super::postgres::upkeep::{Departing, SharedState};
use super::sqlite::upkeep::{Made, State};
use super::transfer::{Each, Moved, Progress, Refusal, Tally, UpkeepError};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;

/// Where a state is, or goes.
#[derive(Clone, Copy, Debug)]
pub enum Place<'p> {
    /// A directory on this machine.
    Directory(&'p Path),
    /// A schema of a database.
    Database(&'p SharedState),
}

/// What was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where it is now.
    pub to: String,
    /// Lines that it has.
    pub lines: u64,
    /// What it has, in words.
    pub contents: String,
}

impl Place<'_> {
    /// Its name, for people and for the record of a move.
    pub fn name(&self) -> String {
        match self {
            Self::Directory(path) => std::path::absolute(path).unwrap_or_else(|_| path.into()).display().to_string(),
            Self::Database(state) => state.place(),
        }
    }
}

/// Moves a state. `progress` gets the number of lines that were read, now and then.
///
/// # Errors
/// If either side is in use, the old state cannot be read, or the new place is not empty or cannot be written.
pub fn migrate(
    config: &Config,
    from: Place<'_>,
    to: Place<'_>,
    progress: &mut Progress<'_>,
) -> Result<Report, UpkeepError> {
    let (old, new) = (from.name(), to.name());
    if old == new {
        return Err(UpkeepError::SamePlace { place: old });
    }
    let mut source = Old::open(from, &new)?;
    let moved = source.moved()?;
    let done = match to {
        Place::Directory(path) => to_directory(config, &mut source, path, &new, progress),
        Place::Database(state) => to_database(&mut source, state, &new, progress),
    };
    let tally = done.map_err(|error| match (error, moved) {
        (UpkeepError::Occupied { .. } | UpkeepError::NotEmpty { .. }, Some(moved)) => {
            UpkeepError::AlreadyMoved { from: old, moved }
        }
        (error, _) => error,
    })?;
    Ok(Report { to: new, lines: tally.lines(), contents: tally.to_string() })
}

fn to_directory(
    config: &Config,
    source: &mut Old<'_>,
    path: &Path,
    name: &str,
    progress: &mut Progress<'_>,
) -> Result<Tally, UpkeepError> {
    let mut given = Tally::default();
    let (made, _) = Made::of(config, path, |take| {
        source.lines(&mut |line| {
            given.add(&line)?;
            tell(&given, progress);
            line.check().map_err(Refusal::Line).and_then(|()| take(line)).map_err(|refusal| not_taken(name, refusal))
        })?;
        Ok(given.lines())
    })?;
    let mut found = Tally::default();
    made.lines(&mut |line| found.add(&line))?;
    if found != given {
        let (given, found) = (given.to_string(), found.to_string());
        return Err(UpkeepError::Differs { place: name.into(), given, found });
    }
    source.record(name)?;
    match made.put_in_place() {
        Ok(()) => Ok(given),
        Err(error) => source.take_back(error),
    }
}

fn to_database(
    source: &mut Old<'_>,
    state: &SharedState,
    name: &str,
    progress: &mut Progress<'_>,
) -> Result<Tally, UpkeepError> {
    let mut arriving = state.arrive()?;
    let mut given = Tally::default();
    source.lines(&mut |line| {
        given.add(&line)?;
        tell(&given, progress);
        arriving.take(line).map_err(|refusal| not_taken(name, refusal))
    })?;
    let arrived = arriving.check()?;
    source.record(name)?;
    match arrived.commit() {
        Ok(()) => Ok(given),
        Err(error) => source.take_back(error),
    }
}

fn tell(given: &Tally, progress: &mut Progress<'_>) {
    const EVERY: u64 = 10_000;
    if given.lines().is_multiple_of(EVERY) {
        progress(given.lines());
    }
}

/// What one store has and another does not take is a defect of either.
fn not_taken(name: &str, refusal: Refusal) -> UpkeepError {
    match refusal {
        Refusal::Store(error) => error,
        Refusal::Line(detail) => UpkeepError::NotTaken { place: name.into(), detail },
    }
}

/// The state that goes, in use by nobody else.
enum Old<'o> {
    File(State),
    Shared { state: &'o SharedState, departing: Option<Departing<'o>> },
}

impl<'o> Old<'o> {
    /// One that was moved already may only be moved to the same place again.
    fn open(from: Place<'o>, to: &str) -> Result<Self, UpkeepError> {
        match from {
            Place::Database(state) => Ok(Self::Shared { state, departing: Some(state.depart(to)?) }),
            Place::Directory(path) => {
                let state = State::open(path)?;
                match state.moved()? {
                    Some(moved) if moved.to != to => Err(LedgerError::Moved { path: state.path.clone(), moved }.into()),
                    _ => Ok(Self::File(state)),
                }
            }
        }
    }

    fn moved(&self) -> Result<Option<Moved>, UpkeepError> {
        match self {
            Self::File(state) => state.moved(),
            Self::Shared { departing, .. } => Ok(departing.as_ref().and_then(Departing::moved)),
        }
    }

    fn lines(&mut self, each: &mut Each<'_>) -> Result<(), UpkeepError> {
        match self {
            Self::File(state) => state.lines(each),
            Self::Shared { departing: Some(departing), .. } => departing.lines(each),
            Self::Shared { departing: None, .. } => Ok(()),
        }
    }

    fn record(&mut self, to: &str) -> Result<(), UpkeepError> {
        match self {
            Self::File(state) => state.set_moved(Some(&Moved { to: to.into(), at: SystemClock.now() })),
            Self::Shared { departing, .. } => departing.take().map_or(Ok(()), |departing| departing.record(to)),
        }
    }

    /// What became of the new state is known in most cases: then the old one is in use again.
    fn take_back<T>(&self, error: UpkeepError) -> Result<T, UpkeepError> {
        let is_unknown =
            matches!(&error, UpkeepError::Ledger(LedgerError::Postgres(PostgresError::Unreachable { .. })));
        if is_unknown {
            return Err(UpkeepError::Unfinished { detail: error.to_string() });
        }
        match self {
            Self::File(state) => state.set_moved(None)?,
            Self::Shared { state, .. } => drop(state.reactivate()?),
        }
        Err(error)
    }
}
