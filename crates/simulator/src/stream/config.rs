//! What can be set about the event stream.

use std::time::Duration;

/// The organization's event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// Real time between heartbeats.
    pub heartbeat: Duration,
    /// Streams that the organization may have open at once.
    pub slots: usize,
    /// Events remembered for who resumes with `Last-Event-ID`; the oldest are forgotten.
    pub capacity: usize,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self { heartbeat: Duration::from_secs(30), slots: 5, capacity: 10_000 }
    }
}
