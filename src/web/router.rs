//! The routes: landing page, metrics, health, readiness, reload, runbooks and reference.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use exporter_web::ScrapeSlots;
use tokio::sync::oneshot;

use super::error::WebError;
use super::landing::{self, Links};
use super::metrics::{MetricsState, metrics};
use super::pages;
use super::state::WebState;
use crate::config::{FIXED_PATHS, WebConfig};
use crate::lifecycle::ReloadRequest;
use crate::status::StatusSnapshot;

/// How long a reload may take before the client is answered that it has not finished.
const RELOAD_PATIENCE: Duration = Duration::from_secs(30);

/// All routes of the exporter.
///
/// # Errors
/// If `web.telemetry_path` cannot be a route.
pub fn router(state: WebState, config: &WebConfig) -> Result<Router, WebError> {
    let path = config.telemetry_path.as_str();
    let refuse = |reason| Err(WebError::TelemetryPath { path: path.to_owned(), reason });
    if !path.starts_with('/') {
        return refuse("it must begin with a slash");
    }
    if path.contains(['{', '}', '?', '#', '*']) || path.split('/').any(|part| part.starts_with(':')) {
        return refuse("it must be a plain path, without braces, colons, stars, queries or fragments");
    }
    if FIXED_PATHS.contains(&path) {
        return refuse("the exporter serves something else there");
    }
    let scrape = MetricsState {
        exposition: Arc::clone(&state.exposition),
        replica: state.replica.clone(),
        slots: (config.max_requests > 0).then(|| ScrapeSlots::new(config.max_requests)),
    };
    let prefix = config.prefix();
    let at = |path: &str| format!("{prefix}{path}");
    let mut router = Router::new()
        .route(&at("/-/healthy"), get(|| async { "Healthy.\n" }))
        .route(&at("/-/ready"), get(ready))
        .route(&at("/-/active"), get(active))
        .route(&at("/-/reload"), post(reload));
    if path != "/" {
        let links = Arc::new(Links { prefix: config.link_prefix().to_owned(), telemetry_path: path.to_owned() });
        let page = get(move |State(s): State<WebState>| async move { landing::page(&s, &links) });
        router = router.route(&at("/"), page);
    }
    if !prefix.is_empty() {
        let home = format!("{}/", config.link_prefix());
        let go = get(move || async move { (StatusCode::FOUND, [(header::LOCATION, home)]) });
        router = router.route("/", go.clone()).route(prefix, go);
    }
    let elsewhere = format!("Nothing is here; the landing page is at {}.\n", at("/"));
    Ok(router
        .with_state(state)
        .merge(pages::routes(prefix, config.link_prefix()))
        .route(&at(path), get(metrics).with_state(scrape))
        .fallback(|| async { (StatusCode::NOT_FOUND, elsewhere) }))
}

/// The paths of health and readiness, which an orchestrator asks without a password.
pub fn probes(config: &WebConfig) -> [String; 2] {
    ["/-/healthy", "/-/ready"].map(|path| format!("{}{path}", config.prefix()))
}

/// Whether the numbers are complete; with `?page` whether a page can be served that is current, which is what a load balancer
/// before several replicas has to know.
async fn ready(State(state): State<WebState>, RawQuery(query): RawQuery) -> Response {
    if query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("page"))) {
        return match &state.replica {
            Some(replica) => match replica.current().await {
                Ok(()) => "The page is current.\n".into_response(),
                Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("No page is served: {why}.\n")).into_response(),
            },
            None => "The page is current.\n".into_response(),
        };
    }
    let status = state.status.snapshot();
    let sentences = status.progress.iter().chain(&status.missing).chain(&status.nothing_found);
    let more = sentences.fold(String::new(), |text, sentence| text + sentence + "\n");
    match status.ready {
        Ok(()) if !status.state_writable => {
            let why = "Not ready: counts cannot be saved; the log says why.\n";
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
        Ok(()) => format!("{}\n{more}", is_ready(&status)).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n{more}")).into_response(),
    }
}

/// What a process says that is ready: of Agntix a replica that does not count only repeats what the one said that does.
fn is_ready(status: &StatusSnapshot) -> String {
    match &status.replica {
        None => "Ready.".into(),
        Some(replica) if replica.is_active => "Ready. This replica counts.".into(),
        Some(replica) if replica.said.is_some() => {
            format!("Ready. This replica serves the page and takes deliveries; {} counts.", replica.holder())
        }
        Some(_) => "Ready. This replica serves the page and takes deliveries, but no replica is known to count.".into(),
    }
}

/// Whether this replica counts; a single daemon does.
async fn active(State(state): State<WebState>) -> Response {
    let Some(reader) = &state.replica else {
        return "Active. This process counts, and shares its counts with no other.\n".into_response();
    };
    let replica = state.status.snapshot().replica.unwrap_or_default();
    let since = replica.since.map_or_else(String::new, |since| format!(" since {since}"));
    // The status is up to a second old.
    if reader.is_active() {
        let since = if replica.is_active { since } else { String::new() };
        return format!("Active. This replica ({}) counts{since}.\n", replica.name).into_response();
    }
    let standing = reader.standing();
    let holder = if standing.holder.is_empty() { "no replica yet" } else { &standing.holder };
    let text = format!(
        "Another replica counts, or did last: {holder}{since}. This one ({}) shows everything up to commit {}.\n",
        replica.name, standing.sequence
    );
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn reload(State(state): State<WebState>) -> Response {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        state.reload.send(ReloadRequest { reply: Some(reply) }).await.ok()?;
        answer.await.ok()
    };
    let failure = match tokio::time::timeout(RELOAD_PATIENCE, asked).await {
        Ok(Some(Ok(()))) => return "The configuration was reloaded.\n".into_response(),
        Ok(Some(Err(why))) => why,
        Ok(None) => "The daemon is stopping; nothing was reloaded.".to_owned(),
        Err(_) => "The reload has not finished; the log will say how it went.".to_owned(),
    };
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{failure}\n")).into_response()
}
