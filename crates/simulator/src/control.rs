//! `/simulator/…`: faults, clock, webhooks, logs and truth, for tests and the curious. No credential is asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::answer::Answer;
use crate::deliveries::config::DeliveryConfig;
use crate::deliveries::secret::WebhookSecret;
use crate::response::send;
use crate::ring::Ring;
use crate::simulator::Simulator;
use crate::time::Timestamp;
use crate::truth::TruthFilter;

type Sim = State<Arc<Simulator>>;

/// Body of `POST /simulator/clock`; what is absent stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    /// RFC 3339.
    now: Option<String>,
    speed: Option<f64>,
}

/// Body of `POST /simulator/webhooks`; null, or a null address, switches deliveries off.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhooksChange {
    url: Option<String>,
    /// Those that were there before when absent, as is all else that can be set about deliveries.
    secrets: Option<Vec<WebhookSecret>>,
}

/// Query of `GET /simulator/truth`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TruthQuery {
    created_after: Option<String>,
    created_before: Option<String>,
    messages_after: Option<String>,
    /// Separated by commas.
    ids: Option<String>,
    /// The moment asked about; the present when absent.
    at: Option<String>,
    analysis_deadline_seconds: Option<u64>,
}

pub(crate) async fn faults(State(simulator): Sim) -> Response<Body> {
    send(Answer::json(&json!(*simulator.faults())))
}

pub(crate) async fn set_faults(State(simulator): Sim, body: Bytes) -> Response<Body> {
    let read = serde_json::from_slice(&body).map_err(|error| error.to_string());
    match read.and_then(|faults| simulator.set_faults(faults)) {
        Ok(()) => send(Answer::json(&json!(*simulator.faults()))),
        Err(message) => refuse(&message),
    }
}

pub(crate) async fn clock(State(simulator): Sim) -> Response<Body> {
    send(clock_answer(&simulator))
}

pub(crate) async fn set_clock(State(simulator): Sim, body: Bytes) -> Response<Body> {
    let change: ClockChange = match serde_json::from_slice(&body) {
        Ok(change) => change,
        Err(error) => return refuse(&error.to_string()),
    };
    let now = match time("now", change.now.as_deref()) {
        Ok(now) => now,
        Err(message) => return refuse(&message),
    };
    match simulator.set_clock(now, change.speed) {
        Ok(()) => send(clock_answer(&simulator)),
        Err(message) => refuse(&message),
    }
}

fn clock_answer(simulator: &Simulator) -> Answer {
    Answer::json(&json!({"now": simulator.now().to_string(), "speed": simulator.speed()}))
}

/// One JSON object a line.
pub(crate) async fn requests(State(simulator): Sim) -> Response<Body> {
    send(simulator.with_request_log(lines))
}

pub(crate) async fn webhooks(State(simulator): Sim) -> Response<Body> {
    send(webhooks_answer(&simulator))
}

pub(crate) async fn set_webhooks(State(simulator): Sim, body: Bytes) -> Response<Body> {
    let change: Option<WebhooksChange> = match serde_json::from_slice(&body) {
        Ok(change) => change,
        Err(error) => return refuse(&error.to_string()),
    };
    let wanted = change.and_then(|change| change.url.map(|url| (url, change.secrets))).map(|(url, secrets)| {
        let before = simulator.delivery_config().or_else(|| simulator.config().deliveries.clone()).unwrap_or_default();
        DeliveryConfig { url, secrets: secrets.unwrap_or(before.secrets), ..before }
    });
    match simulator.set_deliveries(wanted) {
        Ok(()) => send(webhooks_answer(&simulator)),
        Err(message) => refuse(&message),
    }
}

fn webhooks_answer(simulator: &Simulator) -> Answer {
    let config = simulator.delivery_config();
    Answer::json(&match config.zip(simulator.delivery_progress()) {
        Some((config, progress)) => json!({"url": config.url, "secrets": config.secrets.len(), "progress": progress}),
        None => json!({"url": null}),
    })
}

/// One JSON object a line.
pub(crate) async fn deliveries(State(simulator): Sim) -> Response<Body> {
    send(simulator.deliveries.with_log(lines))
}

pub(crate) async fn truth(
    State(simulator): Sim,
    query: Result<Query<TruthQuery>, axum::extract::rejection::QueryRejection>,
) -> Response<Body> {
    let asked = query.map_err(|error| error.body_text()).and_then(|Query(query)| {
        let filter = TruthFilter {
            created_after: time("created_after", query.created_after.as_deref())?,
            created_before: time("created_before", query.created_before.as_deref())?,
            ids: query.ids.map(|ids| ids.split(',').map(|id| id.trim().to_owned()).collect()),
            analysis_deadline: query
                .analysis_deadline_seconds
                .map_or(TruthFilter::default().analysis_deadline, Duration::from_secs),
            messages_after: time("messages_after", query.messages_after.as_deref())?,
        };
        Ok((filter, time("at", query.at.as_deref())?))
    });
    match asked {
        Ok((filter, at)) => {
            let at = at.unwrap_or_else(|| simulator.now());
            send(Answer::json(&json!(simulator.truth(&filter, &simulator.config().metrics, at))))
        }
        Err(message) => refuse(&message),
    }
}

fn lines<T: Serialize>(records: &Ring<T>) -> Answer {
    let mut body = Vec::new();
    for record in records.iter() {
        // Writing a plain struct to memory cannot fail.
        let _ = serde_json::to_writer(&mut body, record);
        body.push(b'\n');
    }
    Answer { content_type: "application/jsonl", ..Answer::ok(body) }
}

fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, String> {
    match text {
        None => Ok(None),
        Some(text) => match Timestamp::parse_rfc3339(text) {
            Some(at) => Ok(Some(at)),
            None => Err(format!("{name} is not an RFC 3339 time: {text:?}")),
        },
    }
}

fn refuse(message: &str) -> Response<Body> {
    send(Answer::error(400, "INVALID_REQUEST", message, "req_simulator"))
}
