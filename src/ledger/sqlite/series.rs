//! The table of the series, and histograms carried over when their buckets change.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Result};

use crate::catalogue::Family;
use crate::catalogue::{SeriesKey, SeriesState};
use crate::ledger::encoding;
use crate::ledger::policy::room::Charges;
use crate::ledger::policy::sums::add_all;
use exposition::BucketSchemas;

/// A series that is not in the table yet.
pub(super) const INSERT: &str =
    "INSERT INTO series VALUES (?1, ?2, ?3, ?4, ?5, ?6, row_added('series', ?1, ?2, ?3, ?4, ?5, ?6))";

/// Writes a series that is not in the table yet.
pub(super) fn insert(connection: &Connection, state: &SeriesState, bucket_schemas: &BucketSchemas) -> Result<()> {
    connection.prepare_cached(INSERT)?.execute((
        state.key.family.code(),
        state.key.labels.as_str(),
        bucket_schemas.get(state.schema).map_or("", |schema| &schema.name),
        state.created_ms,
        encoding::counts(&state.counts),
        state.held_counts.as_deref().map(encoding::counts),
    ))?;
    Ok(())
}

/// Writes what can change of a series that is in the table.
pub(super) fn update(connection: &Connection, state: &SeriesState) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE series SET created = ?3, cells = ?4, held = ?5,
                hash = row_changed('series', hash, family, labels, layout, ?3, ?4, ?5)
             WHERE family = ?1 AND labels = ?2",
        )?
        .execute((
            state.key.family.code(),
            state.key.labels.as_str(),
            state.created_ms,
            encoding::counts(&state.counts),
            state.held_counts.as_deref().map(encoding::counts),
        ))?;
    Ok(())
}

/// Adds to each series what `raised` gives for its family's code and labels.
pub(super) fn raise_all(connection: &Connection, mut raised: impl FnMut(u8, &str) -> Option<Vec<u64>>) -> Result<()> {
    let mut new = Vec::new();
    let mut statement = connection.prepare("SELECT family, labels, cells FROM series")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (family, labels) = (row.get(0)?, row.get_ref(1)?.as_str()?);
        let Some(by) = raised(family, labels) else { continue };
        let blob = row.get_ref(2)?.as_blob()?;
        let counts = encoding::read_counts(blob, blob.len() / 8).filter(|counts| counts.len() >= by.len());
        let mut counts = counts.ok_or_else(|| damaged(2, "cells of the wrong length"))?;
        add_all(&mut counts, &by);
        new.push((family, labels.to_owned(), encoding::counts(&counts)));
    }
    let mut update = connection.prepare(
        "UPDATE series SET cells = ?3, hash = row_changed('series', hash, family, labels, layout, created, ?3, held)
         WHERE family = ?1 AND labels = ?2",
    )?;
    new.into_iter().try_for_each(|row| update.execute(row).map(drop))
}

/// Gives the series of earlier versions the labels that their families have now: to be called in a transaction, after all
/// additions are in the table, which name a series by its labels.
pub(super) fn relabel(connection: &Connection) -> Result<()> {
    let mut former = Vec::new();
    let mut statement = connection.prepare("SELECT family, labels FROM series")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let labels = row.get_ref(1)?.as_str()?;
        let family: u8 = row.get(0)?;
        let upgraded = Family::from_code(family).and_then(|family| encoding::upgraded(family, labels));
        former.extend(upgraded.map(|upgraded| (family, labels.to_owned(), upgraded)));
    }
    let mut update = connection.prepare(
        "UPDATE series SET labels = ?3, hash = row_changed('series', hash, family, ?3, layout, created, cells, held)
         WHERE family = ?1 AND labels = ?2",
    )?;
    former.into_iter().try_for_each(|row| update.execute(row).map(drop))
}

fn damaged(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, format!("series: {what}").into())
}

/// Ends the hold of the series called `key`.
pub(super) fn release(connection: &Connection, key: &SeriesKey) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE series SET held = NULL,
                hash = row_changed('series', hash, family, labels, layout, created, cells, NULL)
             WHERE family = ?1 AND labels = ?2",
        )?
        .execute((key.family.code(), key.labels.as_str()))?;
    Ok(())
}

/// The series called `key`, as far as the table has it.
pub(super) fn find(
    connection: &Connection,
    key: &SeriesKey,
    bucket_schemas: &BucketSchemas,
) -> Result<Option<SeriesState>> {
    let row = connection
        .prepare_cached(
            "SELECT family, labels, layout, created, cells, held FROM series WHERE family = ?1 AND labels = ?2",
        )?
        .query_row((key.family.code(), key.labels.as_str()), |row| read(row, bucket_schemas))
        .optional()?;
    Ok(row.flatten())
}

/// Whether the table has the series called `key`.
pub(super) fn exists(connection: &Connection, key: &SeriesKey) -> Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM series WHERE family = ?1 AND labels = ?2")?
        .exists((key.family.code(), key.labels.as_str()))
}

/// What all series of the table are charged; those of extracted fields that the configuration does not name any more are
/// not shown.
pub(super) fn charged(connection: &Connection, bucket_schemas: &BucketSchemas, charges: &Charges) -> Result<u64> {
    let mut sum = 0;
    let mut statement = connection.prepare("SELECT family, labels, layout FROM series")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let Some(family) = Family::from_code(row.get(0)?) else { return Err(damaged(0, "unknown family")) };
        let Some(schema) = bucket_schemas.by_name(row.get_ref(2)?.as_str()?) else { continue };
        sum += charges.of(family, row.get_ref(1)?.as_str()?, schema);
    }
    Ok(sum)
}

/// Reads every series, but those of extracted fields that the configuration does not name any more.
pub(super) fn load(connection: &Connection, bucket_schemas: &BucketSchemas) -> Result<Vec<SeriesState>> {
    let mut statement = connection
        .prepare("SELECT family, labels, layout, created, cells, held FROM series ORDER BY family, labels")?;
    let rows = statement.query_map([], |row| read(row, bucket_schemas))?;
    rows.filter_map(Result::transpose).collect()
}

fn read(row: &rusqlite::Row<'_>, bucket_schemas: &BucketSchemas) -> Result<Option<SeriesState>> {
    let Some(family) = Family::from_code(row.get(0)?) else { return Err(damaged(0, "unknown family")) };
    let Some(schema) = bucket_schemas.by_name(row.get_ref(2)?.as_str()?) else { return Ok(None) };
    let width = bucket_schemas.width(schema);
    let counts = encoding::read_counts(row.get_ref(4)?.as_blob()?, width)
        .ok_or_else(|| damaged(4, "cells of the wrong length"))?;
    let held_counts = match row.get_ref(5)?.as_blob_or_null()? {
        None => None,
        Some(blob) => Some(encoding::read_counts(blob, width).ok_or_else(|| damaged(5, "cells of the wrong length"))?),
    };
    let labels = encoding::labels(family, row.get_ref(1)?.as_str()?);
    Ok(Some(SeriesState {
        key: SeriesKey { family, labels: labels.ok_or_else(|| damaged(1, "labels that no page can show"))? },
        schema,
        created_ms: row.get(3)?,
        counts,
        held_counts,
    }))
}

/// Carries the histograms over to the bounds of the configuration, where they differ from those they were counted with.
pub(super) fn carry_over(connection: &Connection, bucket_schemas: &BucketSchemas) -> Result<()> {
    for (_, schema) in bucket_schemas.iter().skip(1) {
        let bounds = encoding::bounds(&schema.bounds);
        let before: Option<String> = connection
            .query_row("SELECT bounds FROM layouts WHERE name = ?1", [&schema.name], |row| row.get(0))
            .optional()?;
        if before.as_ref() == Some(&bounds) {
            continue;
        }
        if let Some(before) = before {
            let old = encoding::read_bounds(&before);
            let mut rows = Vec::new();
            let mut statement =
                connection.prepare("SELECT family, labels, cells, held FROM series WHERE layout = ?1")?;
            let mut query = statement.query([&schema.name])?;
            while let Some(row) = query.next()? {
                let counts = encoding::read_counts(row.get_ref(2)?.as_blob()?, old.len() + 2);
                let held =
                    row.get_ref(3)?.as_blob_or_null()?.and_then(|blob| encoding::read_counts(blob, old.len() + 2));
                rows.push((row.get::<_, u8>(0)?, row.get::<_, String>(1)?, counts, held));
            }
            let mut update = connection.prepare(
                "UPDATE series SET cells = ?3, held = ?4,
                    hash = row_changed('series', hash, family, labels, layout, created, ?3, ?4)
                 WHERE family = ?1 AND labels = ?2",
            )?;
            for (family, labels, counts, held) in rows {
                // Its bucket schema is about to change, and under the new one nobody could tell what the counts were.
                let Some(counts) = counts else {
                    let text = format!("the buckets of {labels} have the wrong length").into();
                    return Err(rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Blob, text));
                };
                let counts = encoding::counts(&encoding::carried_over(&counts, &old, schema));
                update.execute((
                    family,
                    labels,
                    counts,
                    held.map(|held| encoding::counts(&encoding::carried_over(&held, &old, schema))),
                ))?;
            }
        }
        let known = connection.execute(
            "UPDATE layouts SET bounds = ?2, hash = row_changed('layouts', hash, ?1, ?2) WHERE name = ?1",
            (&schema.name, &bounds),
        )?;
        if known == 0 {
            connection.execute(
                "INSERT INTO layouts VALUES (?1, ?2, row_added('layouts', ?1, ?2))",
                (&schema.name, &bounds),
            )?;
        }
    }
    Ok(())
}
