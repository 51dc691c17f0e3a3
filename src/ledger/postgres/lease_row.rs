//! The row of the lease: taking it if it is free, and keeping it before anything is counted.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::types::{ToSql, Type};

use super::connect::{Connection, Database};
use super::error::PostgresError;
use super::lease::{Uptime, uptime};
use super::statements::milliseconds;

/// How long a question beside it may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Of a lease: how much of it passes between two extensions while a replica reads what it needs to count.
const EXTENDED_AFTER: u32 = 3;

/// When a lease that was given up has ended.
pub(super) const GIVEN_UP: &str = "to_timestamp(0)";

/// What came of asking for the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// This replica has it.
    Granted {
        /// What every transaction has to show from now on.
        epoch: i64,
        /// When it was asked for.
        sent: Uptime,
    },
    /// Another replica has it.
    HeldBy {
        /// Its name.
        holder: String,
    },
}

/// The next epoch. A standby that is promoted may lack the last one, which must not be given away again: so it follows the clock.
const EPOCH: &str = "epoch = greatest(epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)";

/// Asks for the lease.
///
/// # Errors
/// If the database does not answer; the lease may be taken all the same, and runs out then.
pub(super) async fn ask(database: &Database, name: &str, length: Duration) -> Result<Asked, PostgresError> {
    let connection = database.connection().await?;
    let schema = database.schema();
    let length_ms = milliseconds(length);
    let take = format!(
        "UPDATE {schema}.lease SET holder = $1, {EPOCH}, since = clock_timestamp(), \
         expires = clock_timestamp() + $2 * interval '1 millisecond' WHERE only_row IN \
         (SELECT only_row FROM {schema}.lease WHERE expires <= clock_timestamp() FOR UPDATE SKIP LOCKED) RETURNING epoch"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&name, Type::TEXT), (&length_ms, Type::INT8)];
    let sent = uptime();
    if let Some(row) = connection.ask(length, |client| client.query_typed_opt(&take, &parameters)).await? {
        return Ok(Asked::Granted { epoch: row.get(0), sent });
    }
    let look = format!("SELECT holder, expires <= clock_timestamp() FROM {schema}.lease");
    let row = connection.ask(length, |client| client.query_typed_one(&look, &[])).await?;
    let (holder, is_free): (String, bool) = (row.get(0), row.get(1));
    if is_free {
        free_row(&connection, length_ms, &holder).await?;
    }
    Ok(Asked::HeldBy { holder })
}

/// Ends what has kept the row locked for longer than a lease lasts: the transaction of a holder that was stopped while it sent it.
/// No timeout of the server's ends one whose message has come by half. One that waits for a standby is left alone: it is
/// durable, and would be shown before a standby has it.
async fn free_row(connection: &Connection, length_ms: i64, holder: &str) -> Result<(), PostgresError> {
    let schema = connection.database().schema();
    let end = format!(
        "SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'relation' AND l.relation = '{schema}.lease'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted \
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND a.xact_start < clock_timestamp() - $1 * interval '1 millisecond' AND a.wait_event IS DISTINCT FROM 'SyncRep'"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&length_ms, Type::INT8)];
    let row = connection.ask(LIMIT, |client| client.query_typed_one(&end, &parameters)).await?;
    let ended: i64 = row.get(0);
    if ended > 0 {
        tracing::warn!(holder, ended, "a transaction that was never finished kept the lease locked, and was ended");
    }
    Ok(())
}

/// Waits for `opening`, and extends the lease of `epoch` meanwhile, which was asked for at `sent`: reading all that is needed to
/// count may take longer than a lease lasts. Gives when the last extension was sent as well.
pub(super) async fn extended_during<T>(
    database: &Database,
    (epoch, sent): (i64, Uptime),
    length: Duration,
    opening: impl Future<Output = T>,
) -> (T, Uptime) {
    let (extended, last) = watch::channel(sent);
    let database = database.clone();
    // In a task of its own, since taking in what was read keeps this one busy. It ends with the set.
    let mut extending = JoinSet::new();
    extending.spawn(async move {
        loop {
            tokio::time::sleep(length / EXTENDED_AFTER).await;
            let asked = uptime();
            match Box::pin(extend(&database, epoch, length)).await {
                Ok(true) => drop(extended.send_replace(asked)),
                // Another replica has it. What was read says so, or the first transaction does.
                Ok(false) => return,
                Err(error) => tracing::debug!(%error, "the lease could not be extended"),
            }
        }
    });
    let opened = opening.await;
    let sent = *last.borrow();
    (opened, sent)
}

/// Whether the lease is still of that epoch, and so was extended. One that was given up stays so, whenever this arrives.
pub(super) async fn extend(database: &Database, epoch: i64, length: Duration) -> Result<bool, PostgresError> {
    let connection = database.connection().await?;
    let schema = database.schema();
    let length_ms = milliseconds(length);
    let extend = format!(
        "UPDATE {schema}.lease SET expires = clock_timestamp() + $2 * interval '1 millisecond' \
         WHERE epoch = $1 AND expires > {GIVEN_UP}"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&epoch, Type::INT8), (&length_ms, Type::INT8)];
    Ok(connection.ask(length, |client| client.execute_typed(&extend, &parameters)).await? == 1)
}
