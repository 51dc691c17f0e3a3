//! The simulator's HTTP: the API's routes, and the simulator's own under `/simulator/`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Response, Uri, header};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Delivery};
use crate::api::{self, Call};
use crate::control;
use crate::faults::Route;
use crate::response::send;
use crate::simulator::Simulator;
use crate::stream::open;

/// All routes.
pub(crate) fn router(simulator: Arc<Simulator>) -> Router {
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
    open::open(&simulator, answer, &headers, stop.map(|Extension(stop)| stop).unwrap_or_default())
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
