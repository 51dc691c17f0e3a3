//! The table of the sessions that are not yet wholly counted.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Result};

use super::checksums;
use crate::clock::Timestamp;
use crate::ledger::Pending;
use crate::ledger::encoding;
use crate::session::{Channel, Source, Stage};

/// Writes a row.
pub(super) const INSERT: &str =
    "INSERT INTO pending VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, row_added('pending', ?1, ?2, ?3, ?4, ?5, ?6, ?7))";
const PENDING: &str = "id, created, stage, ended, channel, heard, source";

/// The row of a session.
pub(super) fn find(connection: &Connection, id: &str) -> Result<Option<Pending>> {
    connection.prepare_cached(&format!("SELECT {PENDING} FROM pending WHERE id = ?1"))?.query_row([id], read).optional()
}

/// Every row.
pub(super) fn load(connection: &Connection) -> Result<Vec<Pending>> {
    let mut channels = HashSet::new();
    let mut statement = connection.prepare(&format!("SELECT {PENDING} FROM pending"))?;
    let rows = statement.query_map([], read)?;
    rows.map(|row| row.map(|pending| Pending { channel: pending.channel.map(|c| shared(c, &mut channels)), ..pending }))
        .collect()
}

/// The channel as the first session of it holds it.
fn shared(channel: Arc<Channel>, channels: &mut HashSet<Arc<Channel>>) -> Arc<Channel> {
    if let Some(known) = channels.get(&channel) {
        return Arc::clone(known);
    }
    channels.insert(Arc::clone(&channel));
    channel
}

fn read(row: &rusqlite::Row<'_>) -> Result<Pending> {
    let time = |ms: Option<i64>| ms.map(Timestamp::from_millis);
    let id: String = row.get(0)?;
    let channel: Option<String> = row.get(4)?;
    let channel = channel.map(|text| channel_from(&text)).transpose()?.map(Arc::new);
    Ok(Pending {
        id: id.into(),
        created: time(row.get(1)?),
        stage: Stage::from_code(row.get(2)?),
        ended: time(row.get(3)?),
        channel,
        heard: Timestamp::from_millis(row.get(5)?),
        source: Source::from_code(row.get(6)?),
    })
}

fn channel_from(text: &str) -> Result<Channel> {
    encoding::read_channel(text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, e.into()))
}

/// Writes a session that has no row.
pub(super) fn insert(connection: &Connection, pending: &Pending) -> Result<()> {
    let channel = pending.channel.as_ref().map(|channel| encoding::channel(channel));
    connection.prepare_cached(INSERT)?.execute((
        &*pending.id,
        pending.created.map(Timestamp::as_millis),
        pending.stage.code(),
        pending.ended.map(Timestamp::as_millis),
        channel,
        pending.heard.as_millis(),
        pending.source.code(),
    ))?;
    Ok(())
}

/// Deletes the row of a session, if it has one.
pub(super) fn delete(connection: &Connection, id: &str) -> Result<()> {
    let statement = "DELETE FROM pending WHERE id = ?1 RETURNING row_removed('pending', hash)";
    checksums::delete(connection, statement, [id]).map(drop)
}
