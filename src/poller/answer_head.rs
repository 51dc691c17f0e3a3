//! How an answer came: its head, and what its body is if it is not what the route promises. Values only.

use std::sync::Arc;

use agntix_api::promise::{self, Unexpected};
use agntix_api::{Answer, Route, wire};

use super::core::Now;
use super::time::HeadTime;

/// How an answer came.
#[derive(Clone, Debug)]
pub(super) struct AnswerHead {
    pub(super) path: Arc<str>,
    pub(super) status: Option<u16>,
    pub(super) content_type: Option<&'static str>,
    pub(super) request_id: Option<String>,
    pub(super) time: HeadTime,
}

impl AnswerHead {
    pub(super) fn of(answer: &Answer, now: Now) -> Self {
        Self {
            path: Arc::clone(&answer.path),
            status: answer.status,
            content_type: answer.content_type,
            request_id: answer.request_id.clone(),
            time: HeadTime::of(answer, now),
        }
    }

    /// Whether `page` is written as `route` promises it, and does not stand for nothing at all.
    pub(super) fn is_written(&self, route: Route, body: &[u8], page: &wire::Page<'_>) -> bool {
        promise::is_written(body, page, || self.unexpected(route, body))
    }

    /// Whether a body without any items may stand for an empty list: not where it is left out of an answer that announces one.
    pub(super) fn may_be_an_empty_list(&self, body: &[u8]) -> bool {
        self.status == Some(204) || !body.trim_ascii().is_empty()
    }

    /// What the body of a 2xx answer is that is not what `route` promises.
    pub(super) fn unexpected(&self, route: Route, body: &[u8]) -> Unexpected {
        promise::of_body(route, self.status.unwrap_or(200), self.content_type, body)
    }
}
