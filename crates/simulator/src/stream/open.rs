//! Opening a stream for one client.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Response, header};
use tokio_util::sync::CancellationToken;

use super::body::EventBody;
use crate::answer::Answer;
use crate::response::send;
use crate::simulator::Simulator;

/// Turns the answer to an admitted request into a stream that ends with `stop`.
pub(crate) fn open(
    simulator: &Arc<Simulator>,
    answer: Answer,
    headers: &HeaderMap,
    stop: CancellationToken,
) -> Response<Body> {
    let Some(slot) = simulator.stream.take_slot() else {
        // Taken since the request was admitted.
        return send(
            Answer::error(429, "TOO_MANY_STREAMS", "No stream is free", "").with_header("retry-after", "1".into()),
        );
    };
    let remembers = !simulator.faults().stream.ids_forgotten;
    let last = headers
        .get("last-event-id")
        .filter(|_| remembers)
        .and_then(|value| value.to_str().ok())
        .and_then(|id| id.parse().ok());
    let connection = simulator.connect(last);
    let mut response = send(Answer { content_type: "text/event-stream", ..answer });
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    *response.body_mut() = Body::new(EventBody::new(Arc::clone(simulator), connection, stop, slot));
    response
}
