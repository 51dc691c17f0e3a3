//! The row of the lease: taking it if it is free.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};

use super::connect::Database;
use super::error::PostgresError;
use super::lease::{Uptime, uptime};

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
    let length_ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    let take = format!(
        "UPDATE {schema}.lease SET holder = $1, {EPOCH}, since = clock_timestamp(), \
         expires = clock_timestamp() + $2 * interval '1 millisecond' WHERE expires <= clock_timestamp() RETURNING epoch"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&name, Type::TEXT), (&length_ms, Type::INT8)];
    let sent = uptime();
    if let Some(row) = connection.ask(length, |client| client.query_typed_opt(&take, &parameters)).await? {
        return Ok(Asked::Granted { epoch: row.get(0), sent });
    }
    let look = format!("SELECT holder FROM {schema}.lease");
    let row = connection.ask(length, |client| client.query_typed_one(&look, &[])).await?;
    Ok(Asked::HeldBy { holder: row.get(0) })
}
