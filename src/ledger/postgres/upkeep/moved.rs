//! The record in the row of the lease that a state was moved elsewhere: the lease is given to the new place, for ever.
//!
//! So no replica of any version gets it, and those that follow see it with every look.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::turn::Turn;
use super::{ask, now, place};
use crate::clock::Timestamp;
use crate::ledger::postgres::connect::Database;
use crate::ledger::postgres::error::PostgresError;
use crate::ledger::transfer::{Moved, UpkeepError};

/// When the lease of a state ends that was moved.
const NEVER: &str = "timestamptz '9999-12-31 00:00:00+00'";

/// Why no replica may be there while a state is moved.
pub(super) const LEFT_BEHIND: &str = "what they take now would be left behind";

/// Whether the state in `schema` was not moved: for statements that must not change one that was.
pub(in crate::ledger::postgres) fn not_moved(schema: &str) -> String {
    format!("(SELECT expires < {NEVER} FROM {schema}.lease)")
}

/// Where the state has gone, if it has.
pub(super) async fn read(client: &Client, database: &Database) -> Result<Option<Moved>, PostgresError> {
    let query = format!(
        "SELECT holder, (extract(epoch FROM since) * 1000)::bigint FROM {}.lease WHERE expires >= {NEVER}",
        database.schema()
    );
    let row = ask(database, client.query_typed_opt(&query, &[])).await?;
    Ok(row.map(|row| Moved { to: row.get(0), at: Timestamp::from_millis(row.get(1)) }))
}

/// Makes sure that the state was not moved.
///
/// # Errors
/// [`PostgresError::Moved`] if it was.
pub(super) async fn refuse(client: &Client, database: &Database) -> Result<(), PostgresError> {
    match read(client, database).await? {
        Some(moved) => Err(PostgresError::Moved { database: place(database).into(), moved }),
        None => Ok(()),
    }
}

/// Records where the state has gone, unless something was committed or delivered since `inbox` was the last delivery.
pub(super) async fn record(turn: &Turn, to: &str, inbox: i64) -> Result<(), UpkeepError> {
    let (database, schema) = (&turn.database, turn.database.schema());
    let connection = database.connection().await?;
    let client = connection.into_client().ok_or(PostgresError::Superseded)?;
    // Whoever delivers at this moment is waited for, and whoever delivers later finds the record.
    let begin = format!("BEGIN; LOCK TABLE {schema}.inbox IN SHARE ROW EXCLUSIVE MODE");
    ask(database, client.batch_execute(&begin)).await?;
    let update = format!(
        "UPDATE {schema}.lease SET holder = $1, epoch = epoch + 1, since = to_timestamp($2 / 1000.0), expires = {NEVER}, \
         sequence = CASE WHEN epoch = $3 AND sequence = $4 \
         AND (SELECT coalesce(max(number), 0) FROM {schema}.inbox) = $5 THEN sequence END"
    );
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of today fit")]
    let at = now().as_millis() as f64;
    let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
        (&to, Type::TEXT),
        (&at, Type::FLOAT8),
        (&turn.epoch, Type::INT8),
        (&turn.sequence, Type::INT8),
        (&inbox, Type::INT8),
    ];
    match ask(database, client.execute_typed(&update, &parameters)).await.map_err(PostgresError::of_fenced) {
        Err(PostgresError::Superseded) => {
            let names = "one that came meanwhile".into();
            return Err(UpkeepError::Replicas { place: place(database), names, because: LEFT_BEHIND });
        }
        other => other?,
    };
    Ok(ask(database, client.batch_execute("COMMIT")).await?)
}

/// Lets replicas count in the state again; where it had gone.
pub(super) async fn reactivate(client: &Client, database: &Database) -> Result<Option<Moved>, UpkeepError> {
    let moved = read(client, database).await?;
    let update = format!(
        "UPDATE {}.lease SET holder = '', epoch = epoch + 1, expires = to_timestamp(0) WHERE expires >= {NEVER}",
        database.schema()
    );
    ask(database, client.execute_typed(&update, &[])).await?;
    Ok(moved)
}
