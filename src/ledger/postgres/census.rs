//! Who is there, how much waits in the inbox, and whether what is committed is on two machines: what a replica says of the whole.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};

use super::connect::Database;
use super::durability::{Durability, SETTINGS};
use super::error::PostgresError;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a replica that says nothing counts as one: it says something every few seconds.
pub(in crate::ledger) const THERE: &str = "30 seconds";
/// How long one that has gone is remembered.
const REMEMBERED: &str = "1 hour";

/// Of a row of `replicas`: whether that replica is there.
pub(super) fn is_there() -> String {
    format!("seen > clock_timestamp() - interval '{THERE}'")
}

/// Host and process: tells this replica from the others.
pub fn this_process() -> String {
    let host = rustix::system::uname();
    format!("{}/{}", host.nodename().to_string_lossy(), std::process::id())
}

/// Takes the census, and counts this replica in.
#[derive(Clone, Debug)]
pub struct Census {
    database: Database,
    name: Box<str>,
}

/// How the whole is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Replicas that are there.
    pub replicas: i64,
    /// Deliveries that are still to be counted.
    pub inbox: i64,
    /// What becomes of an acknowledged commit.
    pub durability: Durability,
}

impl Census {
    /// Of the replica with that name.
    pub fn new(database: Database, name: &str) -> Self {
        Self { database, name: name.into() }
    }

    /// Counts this replica in, and the others.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn take(&self) -> Result<Whole, PostgresError> {
        let schema = self.database.schema();
        let here = format!(
            "INSERT INTO {schema}.replicas (name, seen) VALUES ($1, clock_timestamp()) ON CONFLICT (name) DO UPDATE SET seen = excluded.seen"
        );
        let gone = format!("DELETE FROM {schema}.replicas WHERE seen < clock_timestamp() - interval '{REMEMBERED}'");
        let count = format!(
            "SELECT (SELECT count(*) FROM {schema}.replicas WHERE {}), (SELECT count(*) FROM {schema}.inbox), {SETTINGS}",
            is_there()
        );
        let connection = self.database.connection().await?;
        let name: &str = &self.name;
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&name, Type::TEXT)];
        connection.ask(LIMIT, |client| client.execute_typed(&here, &parameters)).await?;
        connection.ask(LIMIT, |client| client.execute_typed(&gone, &[])).await?;
        let row = connection.ask(LIMIT, |client| client.query_typed_one(&count, &[])).await?;
        Ok(Whole { replicas: row.get(0), inbox: row.get(1), durability: Durability::of(|column| row.get(column + 2)) })
    }

    /// This replica goes.
    ///
    /// # Errors
    /// If the database does not answer; it is forgotten by itself then.
    pub async fn leave(&self) -> Result<(), PostgresError> {
        let leave = format!("DELETE FROM {}.replicas WHERE name = $1", self.database.schema());
        let connection = self.database.connection().await?;
        let name: &str = &self.name;
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&name, Type::TEXT)];
        connection.ask(LIMIT, |client| client.execute_typed(&leave, &parameters)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use test_postgres::Server;

    use super::*;
    use crate::ledger::postgres::schema::prepare;
    use crate::ledger::postgres::tests::{database, runtime};

    #[test]
    #[ignore = "needs PostgreSQL (.ci/tools)"]
    fn replicas_are_counted_while_they_are_there() {
        let server = Server::start();
        let database = database(&server.url());
        let (one, two) = (Census::new(database.clone(), "one"), Census::new(database.clone(), "two"));
        runtime().block_on(async {
            prepare(&database).await.unwrap();
            let seen = |whole: Whole| (whole.replicas, whole.inbox, whole.durability.is_synchronous());
            assert_eq!(seen(one.take().await.unwrap()), (1, 0, false));
            server.sql("INSERT INTO agntix_exporter.inbox (delivery) VALUES ('')");
            assert_eq!(seen(two.take().await.unwrap()), (2, 1, false));
            two.leave().await.unwrap();
            server.sql("UPDATE agntix_exporter.replicas SET seen = now() - interval '2 hours'");
            let standby = server.synchronous_standby();
            assert_eq!(seen(two.take().await.unwrap()), (1, 1, true));
            drop(standby);
        });
    }
}
