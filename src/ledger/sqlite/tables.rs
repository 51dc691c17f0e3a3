//! The tables of the state and the number of their format.

/// "Agtx", so that `file(1)` and this program tell the ledger from other SQLite files.
pub(super) const APPLICATION_ID: i64 = 0x4167_7478;
/// The newest format that this version reads and writes. Raise it with a migration from every earlier one.
pub(super) const FORMAT: i64 = 5;
/// From this format on the tables have checksums.
pub(super) const HASHED: i64 = 3;

/// Every table of the newest format but the partitions of the counted ids. A new one is declared here, with a hash as its
/// last column ([`checksums`](super::checksums) says how it is written); a state of an earlier format gets it empty.
pub(super) const TABLES: &str = "
CREATE TABLE checksums (
    name TEXT PRIMARY KEY, rows INTEGER NOT NULL, sum INTEGER NOT NULL, hash INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL, hash INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE pending (
    id TEXT PRIMARY KEY, created INTEGER, stage INTEGER NOT NULL, ended INTEGER, channel TEXT,
    heard INTEGER NOT NULL, source INTEGER NOT NULL, hash INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE series (
    family INTEGER NOT NULL, labels TEXT NOT NULL, layout TEXT NOT NULL, created INTEGER NOT NULL,
    cells BLOB NOT NULL, held BLOB, hash INTEGER NOT NULL, PRIMARY KEY (family, labels)
) WITHOUT ROWID, STRICT;
CREATE TABLE layouts (name TEXT PRIMARY KEY, bounds TEXT NOT NULL, hash INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE admitted (
    label TEXT NOT NULL, agent TEXT NOT NULL, value TEXT NOT NULL, hash INTEGER NOT NULL,
    PRIMARY KEY (label, agent, value)
) WITHOUT ROWID, STRICT;
CREATE TABLE leases (
    granted INTEGER NOT NULL, count INTEGER NOT NULL, per_window INTEGER NOT NULL, hash INTEGER NOT NULL
) STRICT;
CREATE TABLE counted_old (id BLOB PRIMARY KEY, parts INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE contact_places (
    number INTEGER PRIMARY KEY, agent TEXT NOT NULL, type TEXT NOT NULL, hash INTEGER NOT NULL
) STRICT;
CREATE TABLE contacts (key BLOB PRIMARY KEY, record BLOB NOT NULL, hash INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE additions (number INTEGER PRIMARY KEY, cells BLOB NOT NULL, hash INTEGER NOT NULL) STRICT;
CREATE TABLE new_ids (number INTEGER PRIMARY KEY, ids BLOB NOT NULL, hash INTEGER NOT NULL) STRICT;
";

/// The tables that are in no format before the one beside them.
const SINCE: [(&str, i64); 3] = [("contact_places", 4), ("contacts", 4), ("new_ids", 5)];

/// The names of [`TABLES`], but of the one with the checksums of the others.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    tables_in(FORMAT)
}

/// The same, as far as they are in a format that has checksums.
pub(super) fn tables_in(format: i64) -> impl Iterator<Item = &'static str> {
    declared_in(format).map(|(name, _)| name).filter(|name| *name != "checksums")
}

/// The names and declarations of [`TABLES`], as far as they are in a format that has checksums.
pub(super) fn declared_in(format: i64) -> impl Iterator<Item = (&'static str, &'static str)> {
    declared().filter(move |(name, _)| SINCE.iter().all(|(since, of)| since != name || format >= *of))
}

/// The names and declarations of [`TABLES`], as SQLite keeps them.
pub(super) fn declared() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLES.split(';').map(str::trim).filter_map(|table| Some((table.split(' ').nth(2)?, table)))
}
