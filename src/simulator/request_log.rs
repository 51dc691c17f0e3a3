//! The API's own log of what it was asked: a bounded ring, the witness in tests of the request budget.

use std::collections::VecDeque;

use serde::Serialize;

use super::faults::Route;

/// One request that the API received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// When, in milliseconds since the epoch by the real clock.
    pub received_at_ms: i64,
    /// The route.
    pub route: Route,
    /// Path and query, as received.
    pub path: String,
    /// The status that was answered; 0 where a fault closed the connection without one.
    pub status: u16,
    /// Whether the credential was known.
    pub authenticated: bool,
}

/// The latest requests, the oldest first.
#[derive(Debug)]
pub(super) struct RequestLog {
    records: VecDeque<RequestRecord>,
    capacity: usize,
}

impl RequestLog {
    pub(super) fn new(capacity: usize) -> Self {
        Self { records: VecDeque::new(), capacity }
    }

    pub(super) fn push(&mut self, record: RequestRecord) {
        if self.capacity == 0 {
            return;
        }
        if self.records.len() >= self.capacity {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &RequestRecord> {
        self.records.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut log = RequestLog::new(2);
        for received_at_ms in 0..5 {
            let path = String::new();
            log.push(RequestRecord { received_at_ms, route: Route::Other, path, status: 404, authenticated: false });
        }
        assert_eq!(log.records().map(|r| r.received_at_ms).collect::<Vec<_>>(), [3, 4]);
    }
}
