//! The tables, and the number of their format.
//!
//! What comes from outside is kept as bytes: text in PostgreSQL cannot hold every character that JSON can, and not every
//! database holds Unicode.

/// What a version of this program knows of the tables.
#[derive(Debug)]
pub(super) struct Format {
    /// The newest format that it reads and writes.
    pub(super) number: i32,
    /// The oldest format whose programs can go on beside this one: they read what it writes, and it reads what they write.
    pub(super) compatible: i32,
    /// What brings the tables from a format to the next one, the first from 1 to 2; `{s}` is the schema.
    ///
    /// Counting and pages wait for a step, so that it must not rewrite a table. It leaves `format`, `inbox` and
    /// `lease.expires` as they are: any version reads the first to know whether it may go on, and one that may not goes on to put
    /// deliveries into the second, unless the third says that the state has gone.
    pub(super) upgrades: &'static [&'static str],
}

/// What this version knows. Raise the number with an entry in its upgrades, and keep it compatible with the format before: else
/// a rolling upgrade has a gap.
pub(super) const FORMAT: Format = Format { number: 1, compatible: 1, upgrades: &[] };

/// All tables of [`FORMAT`]; `{s}` is the schema.
///
/// - `lease`: who counts, and how far: one row, which every transaction that counts, stores series or forgets ids changes first;
///   and as of which timeline of the database, and whether synchronously, as [`settlement`](super::settlement) needs it.
/// - `commits`: what each commit has made of the series, by its number; those up to `lease.folded` are in `series` as well.
/// - `series`, `buckets`: the series as of `lease.folded`, and the bounds that the histograms among them were counted with.
/// - `pending`, `counted`, `days`, `numbers`, `agents`, `admitted`, `requests`: what the policy asks for and gives.
/// - `contacts`, `contact_places`: of each customer a keyed hash, when their newest session ended, and their sessions; and the
///   numbers of the agents and types in these.
/// - `inbox`: deliveries that were acknowledged and are still to be counted.
/// - `gauges`: what is not counted but shown, as whoever counts saw it last.
/// - `replicas`: who is there, and what each had seen when another server became the primary.
///
/// A fifth of a table, after which it is vacuumed usually, is too much of one that is large or changes all the time.
pub(super) const TABLES: &str = "\
CREATE TABLE {s}.format (version integer PRIMARY KEY, compatible integer NOT NULL);
CREATE TABLE {s}.lease (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    holder text NOT NULL, epoch bigint NOT NULL, since timestamptz NOT NULL, expires timestamptz NOT NULL,
    sequence bigint NOT NULL, folded bigint NOT NULL,
    timeline text NOT NULL DEFAULT '', synchronous boolean NOT NULL DEFAULT false
);
CREATE TABLE {s}.commits (
    sequence bigint PRIMARY KEY, epoch bigint NOT NULL, at timestamptz NOT NULL DEFAULT now(), news bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE TABLE {s}.series (
    id integer PRIMARY KEY, family smallint NOT NULL, labels bytea NOT NULL, buckets text NOT NULL,
    created bigint NOT NULL, counts bytea NOT NULL, held bytea
);
CREATE TABLE {s}.buckets (name text PRIMARY KEY, bounds text NOT NULL);
CREATE TABLE {s}.pending (
    id bytea PRIMARY KEY, created bigint, stage smallint NOT NULL, ended bigint, channel bytea, heard bigint NOT NULL,
    source smallint NOT NULL
);
CREATE TABLE {s}.counted (key bytea PRIMARY KEY, parts bigint NOT NULL, day bigint) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX counted_by_day ON {s}.counted (day);
CREATE TABLE {s}.days (day bigint PRIMARY KEY);
CREATE TABLE {s}.numbers (name text PRIMARY KEY, value bigint NOT NULL);
CREATE TABLE {s}.agents (agent bytea PRIMARY KEY, parts bigint NOT NULL);
CREATE TABLE {s}.admitted (label text, agent bytea, value bytea, PRIMARY KEY (label, agent, value));
CREATE TABLE {s}.requests (
    place integer PRIMARY KEY, granted bigint NOT NULL, count bigint NOT NULL, per_window bigint NOT NULL
);
CREATE TABLE {s}.contacts (key bytea PRIMARY KEY, newest bigint NOT NULL, record bytea NOT NULL);
CREATE INDEX contacts_by_age ON {s}.contacts (newest);
CREATE TABLE {s}.contact_places (number integer PRIMARY KEY, agent bytea NOT NULL, session_type bytea NOT NULL);
CREATE TABLE {s}.inbox (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), delivery bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE TABLE {s}.gauges (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL, at timestamptz NOT NULL DEFAULT now(), page bytea NOT NULL
);
CREATE TABLE {s}.replicas (
    name text PRIMARY KEY, seen timestamptz NOT NULL, timeline text NOT NULL DEFAULT '', newest bigint NOT NULL DEFAULT 0
);
INSERT INTO {s}.lease VALUES (true, '', 0, to_timestamp(0), to_timestamp(0), 0, 0);
INSERT INTO {s}.gauges VALUES (true, 0, to_timestamp(0), '');
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_compatible_with_the_one_before() {
        let Format { number, compatible, upgrades } = FORMAT;
        assert_eq!(upgrades.len() + 1, usize::try_from(number).unwrap());
        assert!(compatible < number || number == 1, "replicas of the version before would serve errors");
    }
}
