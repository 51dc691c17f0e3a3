//! The route of the metrics: chooses the part of the page by the query, format and encoding by the request's headers, and sends
//! the page without copying it.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use exporter_web::{Origin, ScrapeSlot, ScrapeSlots, Scraped};
use http_body::{Frame, SizeHint};

use crate::catalogue::Exposition;
use crate::ledger::postgres::{NotCurrent, PageReader};
use exposition::negotiation::{self, Encoding, Format};
use exposition::{Page, Part};

/// What the route needs.
#[derive(Clone)]
pub struct MetricsState {
    pub exposition: Arc<Exposition>,
    /// Whether the page is current, where several replicas serve it.
    pub replica: Option<PageReader>,
    /// Limits the scrapes that are rendered at once; `None` is without limit.
    pub slots: Option<ScrapeSlots>,
}

/// `GET` and `HEAD` of the telemetry path.
pub async fn metrics(
    State(state): State<MetricsState>,
    Query(query): Query<Vec<(String, String)>>,
    origin: Option<Extension<Origin>>,
    headers: HeaderMap,
) -> Response {
    let part = match part(&query) {
        Ok(part) => part,
        Err(why) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    // Held while the page is rendered, not while it is sent: slow readers share the page and cost no slot.
    let slot = match &state.slots {
        None => None,
        Some(slots) => match slots.take(origin.map(|Extension(origin)| origin).unwrap_or_default()) {
            Some(slot) => Some(slot),
            None => return busy(),
        },
    };
    // An older page than one that was shown before would be a fall; an error is a gap. What this process says of itself is
    // always current.
    if let Some(replica) = &state.replica
        && part != Part::Process
        && let Err(error) = replica.current().await
    {
        return not_current(&error);
    }
    let format = negotiation::format(joined(&headers, &ACCEPT).as_deref());
    let encoding = negotiation::encoding(joined(&headers, &ACCEPT_ENCODING).as_deref());
    let page = match state.exposition.ready_part(part, format, encoding, Instant::now()) {
        Some(page) => page,
        None => match make(state.exposition, part, (format, encoding), slot).await {
            Ok(page) => page,
            Err(error) => return failed(&error),
        },
    };
    let length = page.len();
    let mut response = Response::new(Body::new(PageBody::new(page)));
    response.extensions_mut().insert(Scraped);
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    answer.insert(CONTENT_LENGTH, HeaderValue::from(length));
    answer.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Some(token) = encoding.token() {
        answer.insert(CONTENT_ENCODING, HeaderValue::from_static(token));
    }
    response
}

/// Renders the page on another thread: a large one takes milliseconds, which the connections of this thread must not wait for.
async fn make(
    exposition: Arc<Exposition>,
    part: Part,
    (format, encoding): (Format, Encoding),
    slot: Option<ScrapeSlot>,
) -> io::Result<Page> {
    let made = tokio::task::spawn_blocking(move || {
        let page = exposition.part(part, format, encoding, Instant::now());
        // Dropped by this thread: a client that goes away does not end the rendering.
        drop(slot);
        page
    });
    made.await.map_err(io::Error::other)?
}

/// The part that the query asks for: all of the page without `collect[]`, or with both of its values.
fn part(query: &[(String, String)]) -> Result<Part, String> {
    let (mut sessions, mut exporter) = (false, false);
    for (name, value) in query {
        match (name.as_str(), value.as_str()) {
            ("collect[]", "sessions") => sessions = true,
            ("collect[]", "exporter") => exporter = true,
            ("collect[]", other) => {
                return Err(format!(
                    "collect[] is {other:?}, which is not known. It may be sessions, for the series of the organization, or exporter, \
                     for those of this process; without it the page has both.\n"
                ));
            }
            // Without the brackets it would be left out of account, and the page would have more than was asked for.
            ("collect", _) => return Err("The parameter is called collect[], with its brackets.\n".into()),
            _ => {}
        }
    }
    Ok(match (sessions, exporter) {
        (true, false) => Part::Series,
        (false, true) => Part::Process,
        _ => Part::All,
    })
}

fn busy() -> Response {
    let text = "Too many scrapes at once; see web.max_requests.\n";
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], text).into_response()
}

fn not_current(error: &NotCurrent) -> Response {
    tracing::debug!(%error, "a scrape was not answered");
    let text = format!("No page is served: {error}.\n");
    // A scraper that comes by way of an address of all replicas keeps its connection; over the next one another may answer.
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1"), (CONNECTION, "close")], text).into_response()
}

fn failed(error: &io::Error) -> Response {
    tracing::error!(error = %error, "a page of metrics could not be made");
    (StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made; the log says why.\n").into_response()
}

/// All lines of a header, joined as RFC 9110, 5.2 says; `None` if there is none.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// A page as a body of known length; its chunks are handed on, not copied.
struct PageBody {
    page: Page,
    /// How many of its chunks have been handed on.
    sent: usize,
    left: u64,
}

impl PageBody {
    fn new(page: Page) -> Self {
        Self { left: page.len() as u64, page, sent: 0 }
    }
}

impl http_body::Body for PageBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.page.chunk(self.sent).cloned();
        if let Some(chunk) = &next {
            self.sent += 1;
            self.left = self.left.saturating_sub(chunk.len() as u64);
        }
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
