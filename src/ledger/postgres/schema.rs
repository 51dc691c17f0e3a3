//! Makes the tables, and brings them to the newest format, however many replicas start at once.
//!
//! Both happen in one transaction, which fails as a whole if another replica was first; then it is looked again. A user who may
//! not make tables gets the statements that somebody else can run.
//!
//! Replicas of an older version go on beside upgraded tables if those are compatible. If not, the upgrade takes the right to
//! write from whoever counts, and the others see it whenever they read: they serve errors, and never an older page.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::connect::{Connection, Database};
use super::error::PostgresError;
use super::survey;
use super::tables::{Format, TABLES};

/// How long making the tables may take: another replica may be at it.
const LIMIT: Duration = Duration::from_secs(30);
/// How often another replica may be first.
const MOST_TRIES: u32 = 5;
/// The oldest PostgreSQL that is supported, as `server_version_num` says it.
const OLDEST: i32 = 130_000;

/// What is there before anything is made.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the answers to independent questions")]
pub(super) struct Found {
    user: String,
    has_schema: bool,
    has_tables: bool,
    /// Whether this user may make the tables.
    may_make: bool,
    /// Whether this user may read and write all tables that are there.
    may_use: bool,
    /// The format of the tables, and the oldest program that can use them; `None` if there are none, or if they may not be read.
    pub(super) format: Option<(i32, i32)>,
}

/// Makes the tables if they are missing, and brings them to the newest format.
///
/// # Errors
/// If the server is too old or a standby, the tables are newer, or the user may not make them.
pub(super) async fn prepare(database: &Database) -> Result<(), PostgresError> {
    let mut tries = 0;
    loop {
        // After a failed statement the next look needs another one.
        let connection = database.connection().await?;
        let found = look(&connection).await?;
        if tries == 0 {
            transactions(&connection).await?;
        }
        if let Some(statements) = missing_rights(database, &found) {
            let detail = if found.has_tables { "it lacks rights on them" } else { "it lacks the right to create them" };
            return Err(PostgresError::Rights { database: database.name().into(), detail: detail.into(), statements });
        }
        let statements = match found.format {
            Some((version, compatible)) => {
                known(database, version, compatible)?;
                if version >= database.format().number {
                    return Ok(());
                }
                upgrade(database, version)
            }
            None => make(database, found.has_schema),
        };
        let made = connection.ask(LIMIT, |client| client.batch_execute(&statements)).await;
        tries += 1;
        match made {
            Ok(()) => {
                tracing::info!(
                    database = database.name(),
                    schema = database.schema(),
                    format = database.format().number,
                    "the tables were made or upgraded"
                );
                return Ok(());
            }
            Err(error) if is_of_another_replica(&error) && tries < MOST_TRIES => {}
            Err(PostgresError::Refused { detail, code, .. }) if *code == *SqlState::INSUFFICIENT_PRIVILEGE.code() => {
                let statements = in_one(&format!("{statements}{}", grants(database, &found.user)));
                return Err(PostgresError::Rights { database: database.name().into(), detail, statements });
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether there are tables that this version can read.
///
/// # Errors
/// If the server is too old or a standby, or the tables are newer or older than this version can use.
pub(super) async fn is_there(database: &Database) -> Result<bool, PostgresError> {
    let found = look(&database.connection().await?).await?;
    let Some((version, compatible)) = found.format else { return Ok(false) };
    known(database, version, compatible)?;
    let known = database.format().number;
    if version < known {
        let (name, schema) = (database.name().into(), database.schema().into());
        return Err(PostgresError::Older { database: name, schema, found: version, known });
    }
    Ok(true)
}

/// Whether this version can use tables of format `version`, which those that know `compatible` can.
///
/// # Errors
/// [`PostgresError::Newer`] if it cannot.
pub(super) fn known(database: &Database, version: i32, compatible: i32) -> Result<(), PostgresError> {
    let known = database.format().number;
    if compatible <= known {
        return Ok(());
    }
    let (name, schema) = (database.name().into(), database.schema().into());
    Err(PostgresError::Newer { database: name, schema, found: version, known })
}

/// What a failure means, of a statement that a later version may have taken the tables from.
pub(super) async fn explained(database: &Database, error: PostgresError) -> PostgresError {
    if !matches!(error, PostgresError::Refused { .. } | PostgresError::Damaged { .. }) {
        return error;
    }
    let format = async {
        let connection = database.connection().await?;
        format(&connection).await
    };
    match format.await {
        Ok((version, compatible)) => known(database, version, compatible).err().unwrap_or(error),
        Err(_) => error,
    }
}

async fn format(connection: &Connection) -> Result<(i32, i32), PostgresError> {
    let query = format!("SELECT version, compatible FROM {}.format", connection.database().schema());
    let row = connection.ask(LIMIT, |client| client.query_typed_one(&query, &[])).await?;
    Ok((row.get(0), row.get(1)))
}

/// Looks what is there.
///
/// # Errors
/// If the server is too old or a standby, or does not answer.
pub(super) async fn look(connection: &Connection) -> Result<Found, PostgresError> {
    let schema = connection.database().schema();
    // The catalogue may be read by everybody, whatever rights there are on what it lists.
    let query = "SELECT current_setting('server_version_num')::integer, current_setting('server_version'), \
         pg_is_in_recovery(), current_user::text, n.oid IS NOT NULL, t.oid IS NOT NULL, \
         CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE') \
         ELSE has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE') END, \
         n.oid IS NULL OR has_schema_privilege(n.oid, 'USAGE') AND NOT EXISTS (SELECT 1 FROM pg_class c \
         WHERE c.relnamespace = n.oid AND c.relkind = 'r' AND NOT (has_table_privilege(c.oid, 'SELECT') \
         AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))) \
         FROM (SELECT to_regnamespace($1)::oid AS oid) n LEFT JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = 'format'";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&schema, Type::TEXT)];
    let row = connection.ask(LIMIT, |client| client.query_typed_one(query, &parameters)).await?;
    let database = || connection.database().name().into();
    let version: i32 = row.get(0);
    if version < OLDEST {
        return Err(PostgresError::TooOld { database: database(), found: row.get(1) });
    }
    if row.get(2) {
        return Err(PostgresError::Standby { database: database() });
    }
    let (has_tables, may_use): (bool, bool) = (row.get(5), row.get(7));
    let format = if has_tables && may_use { Some(format(connection).await?) } else { None };
    Ok(Found { user: row.get(3), has_schema: row.get(4), has_tables, may_make: row.get(6), may_use, format })
}

/// What somebody else has to run so that this user can go on; `None` if this user can.
pub(super) fn missing_rights(database: &Database, found: &Found) -> Option<String> {
    let grants = grants(database, &found.user);
    match found {
        Found { has_tables: true, may_use: true, .. } | Found { has_tables: false, may_make: true, .. } => None,
        Found { has_tables: true, .. } => Some(in_one(&grants)),
        Found { has_schema, .. } => Some(in_one(&format!("{}{grants}", make(database, *has_schema)))),
    }
}

/// Whoever runs statements runs them one by one, unless they say that they belong together.
fn in_one(statements: &str) -> String {
    format!("BEGIN;\n{statements}COMMIT;\n")
}

/// Whether several statements can be one transaction.
///
/// # Errors
/// [`PostgresError::Pooler`] if something in between does not let them.
async fn transactions(connection: &Connection) -> Result<(), PostgresError> {
    survey::transaction(connection).await.map_err(|error| match error {
        PostgresError::Refused { database, detail, .. } | PostgresError::Unreachable { database, detail } => {
            PostgresError::Pooler { database, detail }
        }
        other => other,
    })
}

fn make(database: &Database, has_schema: bool) -> String {
    let schema = database.schema();
    // Who may use a schema need not be allowed to make one, and is refused even if it is there.
    let begin = if has_schema { String::new() } else { format!("CREATE SCHEMA {schema};\n") };
    let tables = TABLES.replace("{s}", schema);
    let Format { number, compatible, .. } = database.format();
    format!("{begin}{tables}INSERT INTO {schema}.format VALUES ({number}, {compatible});\n")
}

fn upgrade(database: &Database, from: i32) -> String {
    let schema = database.schema();
    let Format { number, compatible, upgrades } = database.format();
    let first = usize::try_from(from - 1).unwrap_or(0);
    let steps = upgrades.iter().skip(first).map(|step| step.replace("{s}", schema));
    // Takes the row, so that replicas upgrade one after the other, and fails if another one has done it.
    let turn = format!(
        "UPDATE {schema}.format SET version = CASE WHEN version = {from} THEN {number} END, compatible = {compatible};\n"
    );
    // Whoever counts may not write any more if it does not know these tables. The lease stays taken: until it ends, the page that
    // its holder may still serve from memory is current, since nobody else counts.
    let fence =
        if *compatible > from { format!("UPDATE {schema}.lease SET epoch = epoch + 1;\n") } else { String::new() };
    [turn].into_iter().chain(steps).chain([fence]).collect()
}

/// What lets `user` use tables that somebody else has made.
fn grants(database: &Database, user: &str) -> String {
    let (schema, user) = (database.schema(), user.replace('"', "\"\""));
    format!(
        "GRANT USAGE ON SCHEMA {schema} TO \"{user}\";\n\
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO \"{user}\";\n"
    )
}

/// Whether a statement failed since another replica made or upgraded the tables at the same time.
fn is_of_another_replica(error: &PostgresError) -> bool {
    let codes = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_SCHEMA,
        SqlState::DUPLICATE_TABLE,
        SqlState::NOT_NULL_VIOLATION,
    ];
    error.is_transient() || codes.iter().any(|code| error.has_code(code))
}

#[cfg(test)]
mod tests {
    use test_postgres::Server;

    use super::*;
    use crate::ledger::postgres::tests::{database, runtime};

    #[test]
    #[ignore = "needs PostgreSQL (.ci/tools)"]
    fn replicas_that_start_at_once_make_the_tables_once() {
        let server = Server::start();
        runtime().block_on(async {
            let start = |_| {
                let database = database(&server.url());
                tokio::spawn(async move { prepare(&database).await })
            };
            for started in (0..8).map(start).collect::<Vec<_>>() {
                started.await.unwrap().unwrap();
            }
        });
        assert_eq!(server.sql("SELECT count(*) FROM agntix_exporter.lease").trim(), "1");
    }

    #[test]
    #[ignore = "needs PostgreSQL (.ci/tools)"]
    fn user_without_rights_gets_the_statements_that_help() {
        let server = Server::start();
        server.sql("CREATE ROLE exporter LOGIN; REVOKE CREATE ON DATABASE postgres FROM PUBLIC");
        let database = database(&server.url().replace("postgres@", "exporter@"));
        let error = runtime().block_on(prepare(&database)).unwrap_err();
        let PostgresError::Rights { statements, .. } = error else { panic!("{error}") };
        server.sql(&statements);
        runtime().block_on(prepare(&database)).unwrap();
        let update = "UPDATE agntix_exporter.lease SET holder = 'me'";
        let changed =
            async { database.connection().await?.ask(LIMIT, |client| client.execute_typed(update, &[])).await };
        assert_eq!(runtime().block_on(changed), Ok(1));
    }
}
