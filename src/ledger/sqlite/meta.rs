//! The ledger's single numbers, as the table `meta` has them.

use rusqlite::{Connection, OptionalExtension as _, Result};

use super::checksums;
use crate::clock::Timestamp;
use crate::ledger::encoding;
use crate::ledger::policy::rows::Number;
use crate::ledger::transfer::{AGENT_PARTS, Moved};
use agntix_api::paths::ApiPath;

/// A number, if it was ever set.
pub(super) fn get(connection: &Connection, number: Number) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([encoding::number(number)], |row| row.get(0))
        .optional()
}

/// A number as a point in time.
pub(super) fn time(connection: &Connection, number: Number) -> Result<Option<Timestamp>> {
    Ok(get(connection, number)?.map(Timestamp::from_millis))
}

/// Whether a number that says yes or no says yes.
pub(super) fn is_set(connection: &Connection, number: Number) -> Result<bool> {
    Ok(get(connection, number)? == Some(1))
}

/// The places of the paths that were found among their spellings.
pub(super) fn paths(connection: &Connection) -> Result<[Option<u32>; ApiPath::ALL.len()]> {
    let mut places = [None; ApiPath::ALL.len()];
    for (path, place) in ApiPath::ALL.into_iter().zip(&mut places) {
        *place = get(connection, Number::Path(path))?.and_then(|place| u32::try_from(place).ok());
    }
    Ok(places)
}

/// Sets a number.
pub(super) fn set(connection: &Connection, number: Number, value: i64) -> Result<()> {
    write(connection, encoding::number(number), value)
}

/// Sets a number by its name.
pub(super) fn write(connection: &Connection, key: &str, value: i64) -> Result<()> {
    let known = connection
        .prepare_cached("UPDATE meta SET value = ?2, hash = row_changed('meta', hash, ?1, ?2) WHERE key = ?1")?
        .execute((key, value))?;
    if known == 0 {
        connection
            .prepare_cached("INSERT INTO meta VALUES (?1, ?2, row_added('meta', ?1, ?2))")?
            .execute((key, value))?;
    }
    Ok(())
}

/// What the sessions of each agent carry, as it was stored.
pub(super) fn agent_parts(connection: &Connection) -> Result<Vec<(Box<str>, i64)>> {
    let mut statement = connection.prepare("SELECT substr(key, 13), value FROM meta WHERE substr(key, 1, 12) = ?1")?;
    statement.query_map([AGENT_PARTS], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Stores what the sessions of an agent carry.
pub(super) fn set_agent_parts(connection: &Connection, agent: &str, code: i64) -> Result<()> {
    write(connection, &format!("{AGENT_PARTS}{agent}"), code)
}

/// Begins the key under which is stored when the state has gone elsewhere; the rest is where.
pub(super) const MOVED_TO: &str = "moved_to/";

/// Where the state has gone, if it has.
pub(super) fn moved(connection: &Connection) -> Result<Option<Moved>> {
    connection
        .prepare("SELECT substr(key, 10), value FROM meta WHERE substr(key, 1, 9) = ?1")?
        .query_row([MOVED_TO], |row| Ok(Moved { to: row.get(0)?, at: Timestamp::from_millis(row.get(1)?) }))
        .optional()
}

/// Records that the state has gone elsewhere, or that it has not.
pub(super) fn set_moved(connection: &Connection, moved: Option<&Moved>) -> Result<()> {
    let delete = "DELETE FROM meta WHERE substr(key, 1, 9) = ?1 RETURNING row_removed('meta', hash)";
    checksums::delete(connection, delete, [MOVED_TO])?;
    moved.map_or(Ok(()), |Moved { to, at }| write(connection, &format!("{MOVED_TO}{to}"), at.as_millis()))
}
