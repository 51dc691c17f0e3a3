//! The result of one request.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::ApiError;
use crate::time::Timestamp;

/// Which route; the value of the label `route`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Route {
    /// One session.
    Session,
    /// A page of the listing.
    List,
    /// A page of the agents.
    Agents,
    /// A page of the messages of one session.
    Messages,
}

impl Route {
    /// Those whose answers say whether the API works. The messages, for which nothing waits, are not among them; they are asked
    /// for beside the session.
    pub const ALL: [Self; 3] = [Self::Session, Self::List, Self::Agents];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::List => "list",
            Self::Agents => "agents",
            Self::Messages => "messages",
        }
    }
}

/// What the API said about the rate limit. What is missing or cannot be understood is `None`, never 0 (promise P6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApiRateLimit {
    /// `X-RateLimit-Limit`: requests a window, of the whole organization.
    pub limit: Option<u32>,
    /// `X-RateLimit-Remaining`: requests left in the window.
    pub remaining: Option<u32>,
    /// Every limit that the answer states, with its window; all of them hold.
    pub quotas: [Option<Quota>; 4],
    /// `X-RateLimit-Reset`: when the next window begins, by the API's clock.
    pub reset: Option<Timestamp>,
}

/// A number of requests in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quota {
    /// Requests.
    pub requests: u32,
    /// Length of the window.
    pub seconds: u32,
}

impl Quota {
    /// The same in requests a minute.
    pub fn per_minute(self) -> u32 {
        let scaled = u64::from(self.requests) * 60 / u64::from(self.seconds.max(1));
        u32::try_from(scaled).unwrap_or(u32::MAX)
    }
}

impl ApiRateLimit {
    /// What is stated of the limit, in requests a minute; of several windows the strictest.
    pub fn per_minute(&self) -> Option<u32> {
        self.quotas.iter().flatten().map(|quota| quota.per_minute()).min().or(self.limit)
    }
}

/// The result of one request. `Debug` shows the length of the body, not the body, which holds personal data (promise P7).
pub struct Answer {
    /// What was asked for.
    pub route: Route,
    /// Under which path, without its base and query; of a session with `{id}` in it.
    pub path: Arc<str>,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// Its content type, in this program's own words.
    pub content_type: Option<&'static str>,
    /// From before the request to the last byte of the answer, or to the failure.
    pub elapsed: Duration,
    /// From any answer, whatever its status.
    pub rate_limit: ApiRateLimit,
    /// `Date` of the answer, only from 2xx answers: the API's clock. A gateway that answers with an error may have
    /// another one.
    pub date: Option<Timestamp>,
    /// When the head of a 2xx answer had come, which is the moment that its `Date` is about: a body may take longer.
    pub head_received: Option<Instant>,
    /// What the vendor's support asks for: `x-request-id` of a 2xx answer; errors carry their own.
    pub request_id: Option<String>,
    /// No connection was made, so nothing was sent.
    pub is_unsent: bool,
    /// The body of a 2xx answer, unread.
    pub result: Result<Bytes, ApiError>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("route", &self.route)
            .field("path", &self.path)
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("elapsed", &self.elapsed)
            .field("rate_limit", &self.rate_limit)
            .field("date", &self.date)
            .field("head_received", &self.head_received)
            .field("request_id", &self.request_id)
            .field("is_unsent", &self.is_unsent)
            .field("bytes", &self.result.as_ref().map(Bytes::len))
            .finish()
    }
}
