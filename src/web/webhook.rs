//! The route of the webhook: what HTTP has to do with a delivery. What a delivery means is `discovery::webhook`'s.

use std::sync::Arc;
use std::time::Duration;

use agntix_api::SignatureHeaders;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::catalogue::ExporterMetrics;
use crate::discovery::webhook::{Deliveries, DeliveryStatus, Event};

/// A delivery is a few kilobytes; Agntix cuts very long calls short.
const MAX_BODY: usize = 1024 * 1024;
/// A body that takes longer than this will not come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Complete deliveries that are handled at once. It bounds what has to be written to the disk in one go.
const MAX_AT_ONCE: usize = 512;
/// Memory for all bodies at once, in KiB. Half of it is for the first `SMALL` of each, so that large bodies, which anybody may
/// begin and never finish, do not keep out usual deliveries. A body takes it as it arrives, so that a slow sender holds little
/// more than what it has sent.
const MAX_BODIES: usize = 64 * 1024;
/// The size of a usual delivery, in KiB.
const SMALL: usize = 32;
const KIB: usize = 1024;

/// What the route needs.
struct WebhookState {
    deliveries: Arc<Deliveries>,
    own: ExporterMetrics,
    slots: Semaphore,
    bodies: Memory,
    shutdown: CancellationToken,
}

/// The webhook at `path`. From `shutdown` on, bodies that have not arrived are not waited for.
pub fn route(path: &str, deliveries: Arc<Deliveries>, own: ExporterMetrics, shutdown: CancellationToken) -> Router {
    let slots = Semaphore::new(MAX_AT_ONCE);
    let bodies = Memory { first: Semaphore::new(MAX_BODIES / 2), rest: Semaphore::new(MAX_BODIES / 2) };
    let state = Arc::new(WebhookState { deliveries, own, slots, bodies, shutdown });
    Router::new().route(path, post(receive)).with_state(state)
}

/// The routes of the webhook's own listener: the webhook and a health check.
pub fn listener_routes(
    path: &str,
    deliveries: Arc<Deliveries>,
    own: ExporterMetrics,
    shutdown: CancellationToken,
) -> Router {
    route(path, deliveries, own, shutdown)
        .route("/-/healthy", get(|| async { "Healthy.\n" }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "Nothing is here.\n") })
}

async fn receive(State(state): State<Arc<WebhookState>>, request: Request<Body>) -> Response {
    let (event, answer) = take(&state, request).await.unwrap_or_else(|answer| (Event::Unread, answer));
    state.own.webhook_deliveries.with_label_values(&[event.as_str(), answer.as_str()]).inc();
    answer.into_response()
}

async fn take(state: &WebhookState, request: Request<Body>) -> Result<(Event, Answer), Answer> {
    let (head, body) = request.into_parts();
    if !is_json(&head.headers) {
        return Err(Answer::NotJson);
    }
    let reading = whole(&head.headers, body, &state.bodies);
    let body = tokio::select! {
        // Most bodies are there with their head, and then there is nothing to wait for.
        biased;
        body = reading => body?,
        () = tokio::time::sleep(BODY_TIMEOUT) => return Err(Answer::CutShort),
        () = state.shutdown.cancelled() => return Err(Answer::Of(DeliveryStatus::Busy)),
    };
    // Only a complete delivery takes a slot: those that never finish must not keep out those that do.
    let _slot = state.slots.try_acquire().map_err(|_| Answer::Of(DeliveryStatus::Busy))?;
    let (event, outcome) = state.deliveries.take(&SignatureHeaders::of(&head.headers), &body.bytes).await;
    Ok((event, Answer::Of(outcome)))
}

/// Svix sends `application/json`; a missing type is accepted.
fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| {
        let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case("application/json")
    })
}

/// The memory for bodies, in KiB.
struct Memory {
    /// For the first `SMALL` of each.
    first: Semaphore,
    /// For the rest of each.
    rest: Semaphore,
}

/// The memory that one body holds.
#[derive(Default)]
struct Share<'m>([Option<SemaphorePermit<'m>>; 2]);

impl<'m> Share<'m> {
    /// Makes it a share of `size` KiB; returns whether there was room.
    fn grow_to(&mut self, size: usize, memory: &'m Memory) -> bool {
        let parts = [(&memory.first, size.min(SMALL)), (&memory.rest, size.saturating_sub(SMALL))];
        parts.into_iter().zip(&mut self.0).all(|((of, size), held)| {
            let more = size.saturating_sub(held.as_ref().map_or(0, SemaphorePermit::num_permits));
            let Ok(more) = of.try_acquire_many(u32::try_from(more).unwrap_or(u32::MAX)) else { return false };
            match held {
                Some(held) => held.merge(more),
                None => *held = Some(more),
            }
            true
        })
    }
}

/// A body, and its share of the memory for bodies.
struct Whole<'m> {
    bytes: Vec<u8>,
    _memory: Share<'m>,
}

async fn whole<'m>(headers: &HeaderMap, mut body: Body, memory: &'m Memory) -> Result<Whole<'m>, Answer> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(Answer::TooLarge);
    }
    let (mut bytes, mut share) = (Vec::new(), Share::default());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Answer::CutShort)?.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > MAX_BODY {
            return Err(Answer::TooLarge);
        }
        if !share.grow_to(length.div_ceil(KIB), memory) {
            return Err(Answer::Of(DeliveryStatus::Busy));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Whole { bytes, _memory: share })
}

/// What a delivery is answered with.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Of(DeliveryStatus),
    NotJson,
    TooLarge,
    CutShort,
}

impl Answer {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Of(outcome) => outcome.as_str(),
            Self::NotJson => "not_json",
            Self::TooLarge => "too_large",
            Self::CutShort => "cut_short",
        }
    }

    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Of(DeliveryStatus::Counted) => (StatusCode::OK, "Counted."),
            Self::Of(DeliveryStatus::Pending) => (StatusCode::OK, "Taken."),
            Self::Of(DeliveryStatus::Known) => (StatusCode::OK, "Known already."),
            Self::Of(DeliveryStatus::Ignored) => (StatusCode::OK, "Not used."),
            Self::Of(DeliveryStatus::Malformed) => (StatusCode::BAD_REQUEST, "This is no event of a session."),
            Self::Of(DeliveryStatus::Unauthorized(_)) => {
                (StatusCode::UNAUTHORIZED, "The signature is missing, old or wrong.")
            }
            Self::Of(DeliveryStatus::Busy) => {
                (StatusCode::SERVICE_UNAVAILABLE, "Too much is under way; deliver it again.")
            }
            Self::Of(DeliveryStatus::Failed) => {
                (StatusCode::SERVICE_UNAVAILABLE, "It cannot be stored at present; deliver it again.")
            }
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "A delivery is application/json."),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "A delivery has at most 1 MiB."),
            Self::CutShort => (StatusCode::BAD_REQUEST, "The body did not come in time, or not whole."),
        };
        let body = format!("{text}\n");
        if status == StatusCode::SERVICE_UNAVAILABLE {
            (status, [(RETRY_AFTER, "5")], body).into_response()
        } else {
            (status, body).into_response()
        }
    }
}
