//! What an operator does to the state in a database: look at it, write it out and read it in, move it, forget a session.
//!
//! What writes takes the lease first, so that no replica counts meanwhile. What only reads runs beside replicas, and sees one
//! moment of the state. Nothing in here counts anything. The commands are no tasks of a runtime: they wait on the one that is
//! given to them, and must not be called on one of its threads.

mod forget;
mod inspect;
mod moved;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod turn;

use std::io::{BufRead, Write};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_postgres::Client;

pub use forget::Forgotten;
pub use inspect::{Inspection, TableSize};
pub(super) use moved::not_moved;
use sink::Sink;
use source::Source;
use turn::Turn;

use super::census::this_process;
use super::connect::Database;
use super::error::PostgresError;
use super::schema;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::ledger::policy::PolicyConfig;
use crate::ledger::transfer::{Each, Moved, Output, Progress, Tally, UpkeepError, read_all};

/// How long one statement of a command may take: the largest reads or writes some thousand rows, or looks at every row once.
const LIMIT: Duration = Duration::from_secs(600);

/// The state in a database, for the commands of an operator.
#[derive(Debug)]
pub struct SharedState {
    database: Database,
    runtime: Handle,
    /// `ha.lease`
    lease: Duration,
    policy: PolicyConfig,
    /// Whom replicas see when this process holds the lease.
    name: Box<str>,
}

impl SharedState {
    /// The state in `database`. `command` is what is done to it, as others see it.
    pub fn new(database: Database, runtime: Handle, config: &Config, command: &str) -> Self {
        let name = format!("{} (state {command})", this_process()).into();
        Self { database, runtime, lease: config.ha.lease, policy: PolicyConfig::from(config), name }
    }

    /// The database and the schema, as messages name them.
    pub fn place(&self) -> String {
        place(&self.database)
    }

    /// What is there, who counts, and how much room it takes. Replicas may be running.
    ///
    /// # Errors
    /// If there is no state, it cannot be read, or is of a newer version.
    pub fn inspect(&self) -> Result<Inspection, UpkeepError> {
        self.runtime.block_on(async {
            let client = self.existing().await?;
            source::begin(&client, &self.database).await?;
            inspect::inspect(&client, &self.database, &self.policy).await
        })
    }

    /// Writes the state to `to`. Replicas may be running: what is written is of one moment. Gives the number of lines.
    ///
    /// # Errors
    /// If there is no state, it cannot be read, or `to` takes no more.
    pub fn export(&self, to: &mut dyn Write, progress: &mut Progress<'_>) -> Result<u64, UpkeepError> {
        let mut out = Output::begin(to, progress, false)?;
        self.read()?.0.lines(&mut |line| out.line(&line))?;
        out.end()
    }

    /// Whether there is a state. Replicas may be running.
    ///
    /// # Errors
    /// If the database does not answer, or its tables are of another version.
    pub(in crate::ledger) fn is_there(&self) -> Result<bool, UpkeepError> {
        Ok(self.runtime.block_on(schema::is_there(&self.database))?)
    }

    /// Gives every line of the state but the first and the last, as of one moment. Replicas may be running.
    ///
    /// # Errors
    /// If it cannot be read, or `each` fails.
    pub(in crate::ledger) fn lines(&self, each: &mut Each<'_>) -> Result<(), UpkeepError> {
        self.read()?.0.lines(each)
    }

    /// Reads everything, and gives how many rows and how many ids there were. Replicas may be running.
    ///
    /// # Errors
    /// If there is no state, or something in it makes no sense.
    pub fn verify(&self) -> Result<(u64, u64), UpkeepError> {
        let mut tally = Tally::default();
        self.read()?.0.lines(&mut |line| {
            line.check().map_err(|detail| self.damaged(&detail))?;
            tally.add(&line)
        })?;
        Ok((tally.lines() - tally.counted, tally.counted))
    }

    /// Makes the state of exported lines: all of it, or nothing. Gives the number of lines.
    ///
    /// # Errors
    /// If a replica counts, there is a state already, or the lines are not a whole export.
    pub fn import(&self, from: &mut dyn BufRead, progress: &mut Progress<'_>) -> Result<u64, UpkeepError> {
        let mut arriving = self.arrive()?;
        let lines = read_all(from, progress, &mut |line| arriving.take(line))?;
        arriving.finish()?;
        Ok(lines)
    }

    /// Gives room back that deleted rows have left, and gives the bytes before and after. Each table is locked while it is
    /// rewritten.
    ///
    /// # Errors
    /// If a replica counts, or the user does not own the tables.
    pub fn compact(&self) -> Result<(u64, u64), UpkeepError> {
        let (client, turn) = self.take_turn()?;
        self.runtime.block_on(async {
            let before = inspect::bytes(&client, &self.database).await?;
            for table in inspect::tables(&client, &self.database).await? {
                let vacuum = format!("VACUUM (FULL, ANALYZE) {}.{table}", self.database.schema());
                ask(&self.database, client.batch_execute(&vacuum)).await?;
                turn.is_kept()?;
            }
            Ok((before, inspect::bytes(&client, &self.database).await?))
        })
    }

    /// Forgets what is remembered of a session; see [`Forgotten`]. No replica may be there: its page may name the session.
    ///
    /// # Errors
    /// If a replica is there, there is no state, or it cannot be written.
    pub fn forget(&self, id: &str, hash: bool) -> Result<Forgotten, UpkeepError> {
        let (client, turn) = self.take_turn()?;
        self.runtime
            .block_on(turn::nobody_is_there(self, "their pages may name the session for as long as they run"))?;
        self.runtime.block_on(forget::forget(&client, &turn, &self.policy, id, hash))
    }

    /// Takes a state that was moved elsewhere into use again. Gives where it had gone, if it had.
    ///
    /// # Errors
    /// If there is no state, or it cannot be written.
    pub fn reactivate(&self) -> Result<Option<Moved>, UpkeepError> {
        self.runtime.block_on(async {
            let client = self.existing().await?;
            moved::reactivate(&client, &self.database).await
        })
    }

    /// Begins to take a whole state away. No replica may be there.
    ///
    /// # Errors
    /// If a replica is there, or there is no state. One that was moved already may only be moved to the same place again.
    pub(in crate::ledger) fn depart(&self, to: &str) -> Result<Departing<'_>, UpkeepError> {
        let moved = self.runtime.block_on(async {
            let client = self.existing().await?;
            Ok::<_, UpkeepError>(moved::read(&client, &self.database).await?)
        })?;
        let turn = match &moved {
            Some(moved) if moved.to == to => None,
            Some(moved) => {
                return Err(PostgresError::Moved { database: self.place().into(), moved: moved.clone() }.into());
            }
            None => Some(self.runtime.block_on(async {
                turn::nobody_is_there(self, moved::LEFT_BEHIND).await?;
                turn::refuse_unsettled(self).await?;
                Turn::take(self).await
            })?),
        };
        let (source, last_delivery) = self.read()?;
        Ok(Departing { source, last_delivery, turn, moved, state: self })
    }

    /// Begins to take in a whole state.
    ///
    /// # Errors
    /// If a replica counts, or there is a state already.
    pub(in crate::ledger) fn arrive(&self) -> Result<Arriving<'_>, UpkeepError> {
        let (client, turn) = self.runtime.block_on(async {
            schema::prepare(&self.database).await?;
            let client = self.connect().await?;
            Ok::<_, UpkeepError>((client, Turn::take(self).await?))
        })?;
        let sink = self.runtime.block_on(Sink::begin(client, &self.database))?;
        Ok(Arriving { sink, turn, tally: Tally::default(), state: self })
    }

    /// A connection to a state that is there, and the lease.
    fn take_turn(&self) -> Result<(Client, Turn), UpkeepError> {
        self.runtime.block_on(async { Ok((self.existing().await?, Turn::take(self).await?)) })
    }

    /// The state as of now, and the last delivery that is in it.
    fn read(&self) -> Result<(Source<'_>, i64), UpkeepError> {
        let (client, last_delivery) = self.runtime.block_on(async {
            let client = self.existing().await?;
            let last_delivery = source::begin(&client, &self.database).await?;
            Ok::<_, UpkeepError>((client, last_delivery))
        })?;
        Ok((Source { client, state: self }, last_delivery))
    }

    /// A connection of one's own, which nobody gets afterwards.
    async fn connect(&self) -> Result<Client, UpkeepError> {
        let connection = self.database.connection().await?;
        connection.into_client().ok_or_else(|| self.damaged("there is no connection"))
    }

    /// A connection to a state that is there.
    async fn existing(&self) -> Result<Client, UpkeepError> {
        if !schema::is_there(&self.database).await? {
            return Err(UpkeepError::NoTables { place: self.place() });
        }
        self.connect().await
    }

    fn damaged(&self, detail: &str) -> UpkeepError {
        PostgresError::Damaged { database: self.database.name().into(), detail: detail.into() }.into()
    }
}

/// Makes sure that the state was not moved elsewhere.
///
/// # Errors
/// [`PostgresError::Moved`] if it was.
pub(super) async fn refuse_moved(database: &Database) -> Result<(), PostgresError> {
    let Some(client) = database.connection().await?.into_client() else { return Ok(()) };
    moved::refuse(&client, database).await
}

/// Database and schema, for people.
fn place(database: &Database) -> String {
    format!("{}, schema {}", database.name(), database.schema())
}

/// Waits for an answer of the server, but not for ever.
async fn ask<T>(
    database: &Database,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, PostgresError> {
    database.within(LIMIT, answer).await
}

/// A state that is being taken away.
#[derive(Debug)]
pub(in crate::ledger) struct Departing<'s> {
    source: Source<'s>,
    /// The number of the last one that is taken away, or 0.
    last_delivery: i64,
    /// `None`: it has been recorded before that it goes there.
    turn: Option<Turn>,
    moved: Option<Moved>,
    state: &'s SharedState,
}

impl Departing<'_> {
    /// Where it had gone before this began.
    pub(in crate::ledger) fn moved(&self) -> Option<Moved> {
        self.moved.clone()
    }

    /// Gives every line of it but the first and the last, as of the moment when this began.
    pub(in crate::ledger) fn lines(&mut self, each: &mut Each<'_>) -> Result<(), UpkeepError> {
        self.source.lines(each)
    }

    /// Records where it has gone. From then on no replica counts in it, or takes deliveries.
    ///
    /// # Errors
    /// If a delivery has come in since this began; or if it is not known to be recorded.
    pub(in crate::ledger) fn record(self, to: &str) -> Result<(), UpkeepError> {
        let Self { last_delivery, turn, state, .. } = self;
        let Some(turn) = turn else { return Ok(()) };
        state.runtime.block_on(moved::record(&turn, to, last_delivery))
    }
}

/// A state that is being taken in. If it is dropped, nothing of it is there.
#[derive(Debug)]
pub(in crate::ledger) struct Arriving<'s> {
    sink: Sink,
    turn: Turn,
    tally: Tally,
    state: &'s SharedState,
}

impl<'s> Arriving<'s> {
    /// Takes a line in.
    pub(in crate::ledger) fn take(
        &mut self,
        line: crate::ledger::transfer::Line,
    ) -> Result<(), crate::ledger::transfer::Refusal> {
        self.tally.add(&line)?;
        self.turn.is_kept().map_err(UpkeepError::from)?;
        self.state.runtime.block_on(self.sink.take(line))
    }

    /// Checks that all of it is there as it was given; what was given is not told from what is there then.
    ///
    /// # Errors
    /// If it is not, or cannot be used.
    pub(in crate::ledger) fn check(self) -> Result<Arrived<'s>, UpkeepError> {
        let Self { sink, turn, tally, state } = self;
        let client = state.runtime.block_on(sink.written())?;
        // It reads all of it, as a replica does that begins.
        let mut source = Source { client, state };
        let mut found = Tally::default();
        source.lines(&mut |line| found.add(&line))?;
        if found != tally {
            let (given, found) = (tally.to_string(), found.to_string());
            return Err(UpkeepError::Differs { place: state.place(), given, found });
        }
        Ok(Arrived { client: source.client, turn, state })
    }

    fn finish(self) -> Result<(), UpkeepError> {
        self.check()?.commit()
    }
}

/// A state that is all there, and not yet seen by anybody.
#[derive(Debug)]
pub(in crate::ledger) struct Arrived<'s> {
    client: Client,
    turn: Turn,
    state: &'s SharedState,
}

impl Arrived<'_> {
    /// Makes it durable, and lets replicas count in it.
    ///
    /// # Errors
    /// If it is not known to be durable.
    pub(in crate::ledger) fn commit(self) -> Result<(), UpkeepError> {
        let Self { client, turn, state } = self;
        state.runtime.block_on(sink::commit(&client, &turn))
    }
}

/// The time, as records of a move have it.
fn now() -> crate::clock::Timestamp {
    SystemClock.now()
}
