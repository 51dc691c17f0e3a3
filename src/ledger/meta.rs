//! The ledger's single numbers: when it began, how far discovery has come, how far back it remembers.

use agntix_api::paths::ApiPath;
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
    /// Requests a minute that the API has said to be the organization's limit; 0 if it says none any more.
    ApiLimit,
    /// The place of the path that was found among the spellings of a route.
    Path(ApiPath),
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
            Self::ApiLimit => "api_limit",
            Self::Path(ApiPath::Session) => "session_path",
            Self::Path(ApiPath::List) => "list_path",
            Self::Path(ApiPath::Agents) => "agents_path",
            Self::Path(ApiPath::Stream) => "stream_path",
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
        set(connection, self.key(), value)
    }
}

fn set(connection: &Connection, key: &str, value: i64) -> Result<()> {
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

/// Begins the key under which is stored what the sessions of an agent carry.
const AGENT_PARTS: &str = "agent_parts/";

/// What the sessions of each agent carry, as it was stored.
pub(super) fn agent_parts(connection: &Connection) -> Result<Vec<(Box<str>, i64)>> {
    let mut statement = connection.prepare("SELECT substr(key, 13), value FROM meta WHERE substr(key, 1, 12) = ?1")?;
    statement.query_map([AGENT_PARTS], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Stores what the sessions of an agent carry.
pub(super) fn set_agent_parts(connection: &Connection, agent: &str, code: i64) -> Result<()> {
    set(connection, &format!("{AGENT_PARTS}{agent}"), code)
}
