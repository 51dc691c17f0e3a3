//! Disk and memory of a state and of a process. Each number of bytes was measured; the constant says how.

use std::time::Duration;

/// Where the state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// SQLite, in a directory of this machine.
    Sqlite,
    /// PostgreSQL, shared by replicas.
    Postgres,
}

/// Bytes that a remembered session takes in the directory (`cargo bench --bench scaling -- ids 1000000 3000000`).
pub const SESSION_BYTES: u64 = 42;
/// Bytes that it takes in PostgreSQL, with its indexes (`cargo bench --bench postgres -- counting`).
pub const DATABASE_SESSION_BYTES: u64 = 126;
/// Bytes that one of Prometheus' series takes in the state, on average over counters and buckets (`cargo bench --bench scaling -- series`).
const STORED_SERIES_BYTES: u64 = 230;
/// Bytes that a session which is not counted yet takes in the state.
const STORED_PENDING_BYTES: u64 = 300;
/// An empty state, and the log of what was written last.
const STATE_BYTES: u64 = 8 << 20;

/// Resident bytes of a process that has no series (`cargo bench --bench scaling -- series`).
pub const IDLE_BYTES: u64 = 24 << 20;
/// Resident bytes a series, with the page in gzip; of a replica that counts with PostgreSQL, and of one that follows
/// (`cargo bench --bench postgres -- starts`).
pub const SERIES_BYTES: u64 = 650;
/// See [`SERIES_BYTES`].
pub const HOLDER_SERIES_BYTES: u64 = 1_500;
/// See [`SERIES_BYTES`].
pub const FOLLOWER_SERIES_BYTES: u64 = 1_000;
/// Bytes of memory that a session takes which is open or waits for its analysis (`cargo bench --bench tracker_memory`).
pub const PENDING_BYTES: u64 = 260;

/// Bytes of a state that remembers the sessions of `retention`.
pub fn state_bytes(backend: Backend, sessions_a_day: f64, retention: Duration, series: u64, pending: u64) -> u64 {
    let of_a_session = match backend {
        Backend::Sqlite => SESSION_BYTES,
        Backend::Postgres => DATABASE_SESSION_BYTES,
    };
    let days = retention.as_secs_f64() / 86_400.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    let sessions = (sessions_a_day * days).ceil() as u64;
    STATE_BYTES
        .saturating_add(sessions.saturating_mul(of_a_session))
        .saturating_add(series.saturating_mul(STORED_SERIES_BYTES))
        .saturating_add(pending.saturating_mul(STORED_PENDING_BYTES))
}

/// Resident bytes of the process that counts.
pub fn memory(backend: Backend, series: u64, pending: u64) -> u64 {
    let of_a_series = match backend {
        Backend::Sqlite => SERIES_BYTES,
        Backend::Postgres => HOLDER_SERIES_BYTES,
    };
    IDLE_BYTES.saturating_add(series.saturating_mul(of_a_series)).saturating_add(pending.saturating_mul(PENDING_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTH: Duration = Duration::from_secs(30 * 86_400);

    #[test]
    fn state_grows_with_what_is_remembered() {
        let of = |backend, sessions| state_bytes(backend, sessions, MONTH, 0, 0) - STATE_BYTES;
        assert_eq!(of(Backend::Sqlite, 1_000.0), 30_000 * SESSION_BYTES);
        assert_eq!(of(Backend::Postgres, 0.5), 15 * DATABASE_SESSION_BYTES);
        assert_eq!(of(Backend::Sqlite, 1e30), u64::MAX - STATE_BYTES);
    }

    #[test]
    fn memory_grows_with_series_and_with_sessions_that_are_not_counted_yet() {
        assert_eq!(memory(Backend::Sqlite, 0, 0), IDLE_BYTES);
        assert_eq!(memory(Backend::Sqlite, 1, 1), IDLE_BYTES + SERIES_BYTES + PENDING_BYTES);
        assert!(memory(Backend::Postgres, 1, 0) > memory(Backend::Sqlite, 1, 0));
    }
}
