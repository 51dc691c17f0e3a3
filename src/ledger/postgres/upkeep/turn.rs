//! The lease in the hands of a command: no replica counts while it works.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};

use super::{SharedState, moved};
use crate::ledger::postgres::census::is_there;
use crate::ledger::postgres::connect::Database;
use crate::ledger::postgres::error::PostgresError;
use crate::ledger::postgres::lease_row::{self, Asked};
use crate::ledger::postgres::settlement::IS_SETTLED;
use crate::ledger::transfer::UpkeepError;

/// The lease, renewed until this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) database: Database,
    pub(super) epoch: i64,
    /// The number of the last commit, which stays it.
    pub(super) sequence: i64,
    length: Duration,
    /// Ends when the lease is somebody else's.
    renewing: JoinHandle<()>,
    runtime: Handle,
}

impl Drop for Turn {
    /// Gives the lease up, so that a replica can count at once. It waits for that, so that it must not be dropped on a thread of
    /// the runtime.
    fn drop(&mut self) {
        self.renewing.abort();
        if Handle::try_current().is_ok() {
            return;
        }
        // Else it runs out.
        if let Err(error) = self.runtime.block_on(self.release()) {
            tracing::debug!(%error, "the lease could not be given up");
        }
    }
}

impl Turn {
    /// Takes the lease.
    ///
    /// # Errors
    /// [`UpkeepError::Counting`] if a replica has it.
    pub(super) async fn take(state: &SharedState) -> Result<Self, UpkeepError> {
        let SharedState { database, lease: length, name, runtime, .. } = state;
        // An old primary that answers still would give it as well.
        database.find_primary().await;
        let epoch = match lease_row::ask(database, name, *length).await? {
            Asked::Granted { epoch, .. } => epoch,
            Asked::HeldBy { holder } => {
                let client = state.connect().await?;
                moved::refuse(&client, database).await?;
                return Err(UpkeepError::Counting { place: state.place(), holder });
            }
        };
        let schema = database.schema();
        let look = format!("SELECT sequence FROM {schema}.lease");
        let connection = database.connection().await?;
        let row = connection.ask(*length, |client| client.query_typed_one(&look, &[])).await?;
        let renewing = runtime.spawn(renew(database.clone(), epoch, *length));
        Ok(Self {
            database: database.clone(),
            epoch,
            sequence: row.get(0),
            length: *length,
            renewing,
            runtime: runtime.clone(),
        })
    }

    /// Whether no replica can have begun to count.
    ///
    /// # Errors
    /// If one may have: nothing of what was done is durable yet, and it must not become so.
    pub(super) fn is_kept(&self) -> Result<(), PostgresError> {
        if self.renewing.is_finished() { Err(PostgresError::Superseded) } else { Ok(()) }
    }

    async fn release(&self) -> Result<(), PostgresError> {
        let release = format!(
            "UPDATE {}.lease SET epoch = epoch + 1, expires = to_timestamp(0) WHERE epoch = $1",
            self.database.schema()
        );
        let connection = self.database.connection().await?;
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&self.epoch, Type::INT8)];
        connection.ask(self.length, |client| client.execute_typed(&release, &parameters)).await.map(drop)
    }
}

/// Extends the lease until it is somebody else's.
async fn renew(database: Database, epoch: i64, length: Duration) {
    loop {
        tokio::time::sleep(length / 3).await;
        match lease_row::extend(&database, epoch, length).await {
            Ok(true) => {}
            Ok(false) => return,
            // What is written is checked against the epoch as well, so that a renewal that failed need not end it.
            Err(error) => tracing::debug!(%error, "the lease could not be extended"),
        }
    }
}

/// Makes sure that no replica is there, because of what one would do.
///
/// # Errors
/// [`UpkeepError::Replicas`] if one is.
pub(super) async fn nobody_is_there(state: &SharedState, because: &'static str) -> Result<(), UpkeepError> {
    let query = format!("SELECT name FROM {}.replicas WHERE {} ORDER BY name", state.database.schema(), is_there());
    let connection = state.database.connection().await?;
    let rows = connection.ask(state.lease, |client| client.query_typed(&query, &[])).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Err(UpkeepError::Replicas { place: state.place(), names: names.join(", "), because })
}

/// Makes sure that nothing which was ever shown may be missing: another server has become the primary, and no replica has looked
/// since what it lacks.
///
/// # Errors
/// [`UpkeepError::Unsettled`] if something may.
pub(super) async fn refuse_unsettled(state: &SharedState) -> Result<(), UpkeepError> {
    let query = format!("SELECT {IS_SETTLED} FROM {}.lease l", state.database.schema());
    let connection = state.database.connection().await?;
    let row = connection.ask(state.lease, |client| client.query_typed_one(&query, &[])).await?;
    if row.get(0) { Ok(()) } else { Err(UpkeepError::Unsettled { place: state.place() }) }
}
