//! The hash of a row.

use rusqlite::Result;
use rusqlite::types::ValueRef;

/// The hash in the last column of a row, if its other values are those that were written with it.
pub(in crate::ledger::sqlite) fn sound_hash(table: &str, row: &rusqlite::Row<'_>) -> Result<Option<i64>> {
    let last = row.as_ref().column_count().saturating_sub(1);
    let values = (0..last).map(|column| row.get_ref(column)).collect::<Result<Vec<_>>>()?;
    let written = row.get_ref(last)?.as_i64().ok();
    Ok(written.filter(|hash| *hash == row_hash(table, values)))
}

/// A row's hash: the first 8 bytes of the SHA-256 of the name of its table and of its values, each behind its type.
pub(in crate::ledger::sqlite) fn row_hash<'v>(table: &str, values: impl IntoIterator<Item = ValueRef<'v>>) -> i64 {
    let mut row = Vec::with_capacity(256);
    row.extend_from_slice(table.as_bytes());
    for value in values {
        let (kind, bytes): (u8, &[u8]) = match &value {
            ValueRef::Null => (0, &[]),
            ValueRef::Integer(number) => (1, &number.to_le_bytes()),
            ValueRef::Real(number) => (2, &number.to_le_bytes()),
            ValueRef::Text(text) => (3, text),
            ValueRef::Blob(blob) => (4, blob),
        };
        row.push(kind);
        row.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        row.extend_from_slice(bytes);
    }
    first_eight(ring::digest::digest(&ring::digest::SHA256, &row).as_ref())
}

/// The hash of an id in a table of ids.
pub(super) fn id_hash(table: &str, key: &[u8; 16], parts: i64) -> i64 {
    row_hash(table, [ValueRef::Blob(key), ValueRef::Integer(parts)])
}

/// The first 8 bytes of a digest.
fn first_eight(digest: &[u8]) -> i64 {
    digest.first_chunk().map_or(0, |eight| i64::from_le_bytes(*eight))
}
