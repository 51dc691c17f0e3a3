//! What the API's own log says of a request: the witness in tests of the request budget.

use serde::Serialize;

use crate::faults::Route;

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
