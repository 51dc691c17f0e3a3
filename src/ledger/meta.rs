//! The ledger's single numbers: when it began, how far discovery has come, how far back it remembers.

use rusqlite::{Connection, OptionalExtension as _, Result};

use crate::clock::Timestamp;

/// A single number, and its key in the table `meta`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meta {
    /// Milliseconds: when the daemon first started, in the API's time.
    FirstStart,
    /// 1 once the look-back is done.
    LookBackDone,
    /// Milliseconds: every session created up to here has been heard of.
    Watermark,
    /// 1 once the sessions that were open have all been listed.
    OpenListed,
    /// Days: sessions created before it were never remembered by day.
    InitialFloor,
    /// Days: sessions created before it are forgotten.
    Floor,
}

impl Meta {
    const fn key(self) -> &'static str {
        match self {
            Self::FirstStart => "first_start",
            Self::LookBackDone => "look_back_done",
            Self::Watermark => "watermark",
            Self::OpenListed => "open_listed",
            Self::InitialFloor => "initial_floor",
            Self::Floor => "floor",
        }
    }

    /// The number, if it was ever set.
    pub(super) fn get(self, connection: &Connection) -> Result<Option<i64>> {
        connection
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
            .query_row([self.key()], |row| row.get(0))
            .optional()
    }

    /// The number as a point in time.
    pub(super) fn time(self, connection: &Connection) -> Result<Option<Timestamp>> {
        Ok(self.get(connection)?.map(Timestamp::from_millis))
    }

    /// Sets the number.
    pub(super) fn set(self, connection: &Connection, value: i64) -> Result<()> {
        let known = connection
            .prepare_cached("UPDATE meta SET value = ?2, hash = row_changed('meta', hash, ?1, ?2) WHERE key = ?1")?
            .execute((self.key(), value))?;
        if known == 0 {
            connection
                .prepare_cached("INSERT INTO meta VALUES (?1, ?2, row_added('meta', ?1, ?2))")?
                .execute((self.key(), value))?;
        }
        Ok(())
    }
}
