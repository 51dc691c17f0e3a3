//! The simulator's HTTP: the API's routes, and the simulator's own under `/simulator/`.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http_body::Frame;
use tokio_util::sync::CancellationToken;

use super::Simulator;
use super::answer::{Answer, Delivery};
use super::api::{self, Call};
use super::control;
use super::faults::Route;
use super::stream;

/// All routes.
pub(super) fn router(simulator: Arc<Simulator>) -> Router {
    Router::new()
        // Each under every path that it may be served at; at which one it is, the faults say.
        .route("/api/v1/chat/sessions", get(list))
        .route("/v1/chat/sessions", get(list))
        .route("/v1/chat/chat/sessions", get(list))
        .route("/api/v1/chat/chat/sessions", get(list))
        .route("/api/v1/chat/sessions/{id}", get(session))
        .route("/v1/chat/sessions/{id}", get(session))
        .route("/v1/chat/chat/sessions/{id}", get(session))
        .route("/api/v1/chat/sessions/{id}/messages", get(messages))
        .route("/v1/chat/agents", get(agents))
        .route("/api/v1/chat/agents", get(agents))
        .route("/v1/chat/call-campaigns/{id}", get(campaign))
        .route("/v1/chat/events/stream", get(stream))
        .route("/api/v1/chat/events/stream", get(stream))
        .route("/simulator/faults", get(control::faults).post(control::set_faults))
        .route("/simulator/clock", post(control::set_clock).get(control::clock))
        .route("/simulator/requests", get(control::requests))
        .route("/simulator/webhooks", get(control::webhooks).post(control::set_webhooks))
        .route("/simulator/deliveries", get(control::deliveries))
        .route("/simulator/truth", get(control::truth))
        .fallback(other)
        .with_state(simulator)
}

type Sim = State<Arc<Simulator>>;

async fn list(State(simulator): Sim, uri: Uri, headers: HeaderMap) -> Response<Body> {
    serve(&simulator, Route::List, String::new(), &uri, &headers).await
}

async fn session(State(simulator): Sim, Path(id): Path<String>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    serve(&simulator, Route::Session, id, &uri, &headers).await
}

async fn messages(State(simulator): Sim, Path(id): Path<String>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    serve(&simulator, Route::Messages, id, &uri, &headers).await
}

async fn agents(State(simulator): Sim, uri: Uri, headers: HeaderMap) -> Response<Body> {
    serve(&simulator, Route::Agents, String::new(), &uri, &headers).await
}

async fn campaign(State(simulator): Sim, Path(id): Path<String>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    serve(&simulator, Route::Campaign, id, &uri, &headers).await
}

async fn other(State(simulator): Sim, uri: Uri, headers: HeaderMap) -> Response<Body> {
    serve(&simulator, Route::Other, String::new(), &uri, &headers).await
}

async fn stream(
    State(simulator): Sim,
    stop: Option<Extension<CancellationToken>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let answer = answer(&simulator, Route::Stream, String::new(), &uri, &headers).await;
    if answer.status != 200 || answer.delivery != Delivery::Whole || !answer.body.is_empty() {
        return send(answer);
    }
    stream::open(&simulator, answer, &headers, stop.map(|Extension(stop)| stop).unwrap_or_default())
}

async fn serve(simulator: &Simulator, route: Route, id: String, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
    send(answer(simulator, route, id, uri, headers).await)
}

/// The answer, when it is time to send it.
async fn answer(simulator: &Simulator, route: Route, id: String, uri: &Uri, headers: &HeaderMap) -> Answer {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let is_served = simulator.faults().paths.serve(route, uri.path());
    let call = Call {
        route: if is_served { route } else { Route::Other },
        id,
        path: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        query: Query::<HashMap<String, String>>::try_from_uri(uri).ok().map(|Query(query)| query),
        credential: text("x-api-key").or(bearer).map(str::to_owned),
        resumes: headers.contains_key("last-event-id"),
    };
    let answer = api::answer(simulator, &call);
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    answer
}

/// The answer as a response.
pub(super) fn send(answer: Answer) -> Response<Body> {
    let length = answer.body.len();
    let body = match answer.delivery {
        Delivery::Whole => Body::from(answer.body),
        Delivery::Drop => Body::new(BrokenBody::Broken),
        Delivery::CutAt(at) => {
            let mut body = Bytes::from(answer.body);
            body.truncate(at);
            Body::new(BrokenBody::Holding(body))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(answer.content_type));
    if answer.delivery != Delivery::Whole {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    for (name, value) in answer.headers {
        if let Ok(value) = value.parse() {
            // A header may have several lines.
            headers.append(name, value);
        }
    }
    response
}

/// A body that fails after what it holds (at once when it holds nothing), which makes the server end the connection.
enum BrokenBody {
    Holding(Bytes),
    Sent,
    Broken,
}

impl http_body::Body for BrokenBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match std::mem::replace(&mut *self, Self::Broken) {
            Self::Holding(bytes) => {
                *self = Self::Sent;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            // The server sends what it has only while it waits for more; an error at once would swallow it.
            Self::Sent => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Broken => Poll::Ready(Some(Err(std::io::Error::other("cut off on purpose")))),
        }
    }
}
