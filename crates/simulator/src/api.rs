//! The API's side of a request, without any HTTP: credential, rate limit, fault, answer, log.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::answer::{Answer, Delivery};
use crate::faults::{self, FaultKind, Route, Target};
use crate::heads;
use crate::json as written;
use crate::limits::Admission;
use crate::list_faults::{ListFaults, Page};
use crate::listing::{self, Filter};
use crate::random::mix;
use crate::request_log::RequestRecord;
use crate::session::{Session, State};
use crate::simulator::Simulator;
use crate::time::Timestamp;

/// A request as the router understood it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) route: Route,
    /// The id in the path; empty where the route has none.
    pub(crate) id: String,
    /// Path and query, for the log.
    pub(crate) path: String,
    /// The query; `None` when it cannot be read.
    pub(crate) query: Option<HashMap<String, String>>,
    /// From `x-api-key` or `Authorization: Bearer`.
    pub(crate) credential: Option<String>,
    /// Whether it resumes a stream (`Last-Event-ID`).
    pub(crate) resumes: bool,
}

/// What is wrong with a request.
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn invalid(message: String) -> Self {
        Self { status: 400, code: "INVALID_REQUEST", message }
    }

    fn no_session() -> Self {
        Self { status: 404, code: "SESSION_NOT_FOUND", message: "There is no such session".into() }
    }
}

const DEFAULT_LIMIT: u64 = 10;
const DEFAULT_AGENTS_LIMIT: u64 = 20;
const MAX_LIMIT: u64 = 100;

/// Answers one request, and logs it.
pub(crate) fn answer(simulator: &Simulator, call: &Call) -> Answer {
    let received_at_ms = simulator.real_now().as_millis();
    let now = simulator.now();
    let request = simulator.next_request();
    let target = Target { route: call.route, seed: simulator.config().seed, request };
    let request_id = format!("req_{:016x}", mix(&[target.seed, request]));
    let config = simulator.config();
    let known = |keys: &[String]| call.credential.as_ref().is_some_and(|given| keys.contains(given));
    let scoped = known(&config.keys);
    let authenticated = scoped || known(&config.no_scope_keys);

    let heads = simulator.faults().heads.clone();
    let mut answer = if authenticated {
        let admission = simulator.admit(received_at_ms, call.route == Route::Stream);
        let mut answer = match admission.retry_after {
            Some(_) => Answer::error(429, "RATE_LIMIT_EXCEEDED", "Too many requests", &request_id),
            None if !scoped => Answer::error(403, "FORBIDDEN", "The credential lacks a scope", &request_id),
            None => admitted(simulator, call, &target, now, &request_id),
        };
        add_limit_headers(&mut answer, admission, config.rate_limit_headers, &heads.rate_limit);
        answer
    } else {
        Answer::error(401, "UNAUTHORIZED", "The credential is missing or not valid", &request_id)
    };
    let date = heads.date.map_or(now, |fault| fault.shifted(now, target.seed, request));
    answer.headers.push(("date", http_date(date)));
    if let Some(retry_after) = heads.retry_after.filter(|_| !(200..300).contains(&answer.status)) {
        answer.headers.retain(|(name, _)| *name != "retry-after");
        let wait = i64::from(retry_after.seconds);
        let value = if retry_after.as_date {
            http_date(Timestamp::from_millis(date.as_millis() + wait * 1000))
        } else {
            wait.to_string()
        };
        answer.headers.push(("retry-after", value));
    }
    answer.headers.push(("x-request-id", request_id));
    simulator.log(RequestRecord {
        received_at_ms,
        route: call.route,
        path: call.path.clone(),
        status: if answer.delivery == Delivery::Drop { 0 } else { answer.status },
        authenticated,
    });
    answer
}

fn admitted(simulator: &Simulator, call: &Call, target: &Target, now: Timestamp, request_id: &str) -> Answer {
    let faults = simulator.faults();
    let (delay, fault) = faults.decide(target);
    let mut answer = match respond(simulator, call, now) {
        Ok(body) if matches!(call.route, Route::List | Route::Agents | Route::Messages) => ListFaults::answer(body),
        Ok(body) => Answer::ok(body),
        Err(refusal) => {
            let answer = Answer::error(refusal.status, refusal.code, &refusal.message, request_id);
            if refusal.status == 429 { answer.with_header("retry-after", "1".into()) } else { answer }
        }
    };
    let bad = call.route == Route::Session && faults.bad_sessions.contains(&call.id);
    let fault = if bad { Some(FaultKind::Garbage) } else { fault };
    if let Some(kind) = fault {
        faults::apply(kind, &mut answer, target, request_id);
        if answer.status == 204 && !answer.body.is_empty() {
            answer.status = 200;
        }
    }
    answer.delay = delay;
    answer
}

fn respond(simulator: &Simulator, call: &Call, now: Timestamp) -> Result<Vec<u8>, Refusal> {
    let query = call.query.as_ref().ok_or_else(|| Refusal::invalid("the query is not percent-encoded UTF-8".into()))?;
    let body = match call.route {
        Route::Session => {
            let session = readable(simulator, &call.id, now)?;
            return Ok(written::session(&session, now, true));
        }
        Route::List => return list(simulator, query, now),
        Route::Messages => {
            let session = readable(simulator, &call.id, now)?;
            let mut messages = written::messages(&session, now);
            let faults = simulator.faults().messages;
            faults.apply(&mut messages);
            return page_of_values(&messages, query, DEFAULT_LIMIT, &faults.lists);
        }
        Route::Agents => {
            let config = simulator.config();
            let agents: Vec<Value> = config.agents.iter().map(|agent| written::agent(agent, config.start)).collect();
            return page_of_values(&agents, query, DEFAULT_AGENTS_LIMIT, &simulator.faults().lists);
        }
        Route::Campaign => campaign(simulator, &call.id, now)?,
        Route::Stream if let Some(status) = refused_id(simulator, call) => {
            let message = "The event id in Last-Event-ID is not known".into();
            return Err(Refusal { status, code: "EVENT_ID_UNKNOWN", message });
        }
        // The router puts the stream in place of an empty body.
        Route::Stream if simulator.stream.has_free_slot() => return Ok(Vec::new()),
        Route::Stream => {
            let message = "All streams of the organization are taken".into();
            return Err(Refusal { status: 429, code: "TOO_MANY_STREAMS", message });
        }
        Route::Other => {
            return Err(Refusal { status: 404, code: "NOT_FOUND", message: "There is no such route".into() });
        }
    };
    Ok(body.to_string().into_bytes())
}

/// The session called `id`, if the credential may read it.
fn readable<'s>(simulator: &'s Simulator, id: &str, now: Timestamp) -> Result<Session<'s>, Refusal> {
    let faults = simulator.faults();
    let session = simulator.session(id, now).ok_or_else(Refusal::no_session)?;
    if faults.no_sessions || faults.vanished_sessions.contains(id) {
        return Err(Refusal::no_session());
    }
    match simulator.config().hidden_status {
        _ if !simulator.is_hidden(id) => Ok(session),
        403 => Err(Refusal { status: 403, code: "FORBIDDEN", message: "The credential lacks a scope".into() }),
        _ => Err(Refusal::no_session()),
    }
}

fn list(simulator: &Simulator, query: &HashMap<String, String>, now: Timestamp) -> Result<Vec<u8>, Refusal> {
    let config = simulator.config();
    if let Some(status) = config.listing_refused {
        let code = if status == 405 { "METHOD_NOT_ALLOWED" } else { "NOT_FOUND" };
        return Err(Refusal { status, code, message: "Sessions cannot be listed here".into() });
    }
    let (page, asked) = page_of(query, DEFAULT_LIMIT)?;
    let faults = simulator.faults();
    if let Some(status) = faults.lists.refused_state.filter(|_| query.contains_key("state")) {
        return Err(Refusal { status, ..Refusal::invalid("state is no filter here".into()) });
    }
    let mut filter = Filter::created(config.start, now);
    (filter.ascending, filter.listed) = (false, true);
    let mut nothing = simulator.faults().no_sessions;
    for (name, value) in query {
        match name.as_str() {
            "createdAfter" => {
                let after = Timestamp::parse_rfc3339(value)
                    .ok_or_else(|| Refusal::invalid(format!("createdAfter is not an RFC 3339 time: {value:?}")))?;
                filter.from = filter.from.max(after);
            }
            "state" => {
                let state = [State::Open, State::Closed, State::Expired];
                let state = state.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(value));
                filter.state = Some((
                    state.ok_or_else(|| {
                        Refusal::invalid(format!("state is not one of OPEN, CLOSED, EXPIRED: {value:?}"))
                    })?,
                    now,
                ));
            }
            "agentId" => {
                filter.agent = config
                    .agents
                    .iter()
                    .position(|agent| agent.id == *value)
                    .and_then(|index| u16::try_from(index).ok());
                nothing |= filter.agent.is_none();
            }
            "platform" => filter.platform = Some(value.clone()),
            "sort" => {
                filter.ascending = match value.as_str() {
                    "createdAt:desc" => false,
                    "createdAt:asc" | "createdAt" => true,
                    _ => return Err(Refusal::invalid(format!("cannot sort by {value:?}"))),
                }
            }
            // As the API does: what it does not know, it ignores.
            _ => {}
        }
    }
    let generator = simulator.generator();
    let read = |number: u64, limit: u64| {
        let skip = (number - 1).saturating_mul(limit);
        if nothing { (Vec::new(), 0) } else { listing::page(generator, &filter, skip, limit) }
    };
    let (number, limit) = faults.lists.page(page, asked, u64::MAX);
    let (mut outlines, total) = read(number, limit);
    // Only now it is known which page is the last one.
    let (number, limit) = faults.lists.page(number, limit, total);
    if outlines.is_empty() && total > 0 {
        (outlines, _) = read(number, limit);
    }
    let written = |session: Session<'_>| {
        if faults.bad_sessions.contains(&session.id) {
            faults::malformed_entry(&session.id)
        } else {
            written::session(&session, now, config.list_analysis)
        }
    };
    let sessions = outlines.into_iter().filter_map(|outline| generator.session(outline));
    let entries = sessions.filter(|session| !faults.vanished_sessions.contains(&session.id)).map(written).collect();
    Ok(faults.lists.write(Page { entries, number, limit, total }, asked))
}

fn page_of_values(
    values: &[Value],
    query: &HashMap<String, String>,
    default_limit: u64,
    faults: &ListFaults,
) -> Result<Vec<u8>, Refusal> {
    let (page, asked) = page_of(query, default_limit)?;
    let total = values.len() as u64;
    let page = if faults.twice { page.div_ceil(2) } else { page };
    let (number, limit) = faults.page(page, asked, total);
    let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let entries = values.iter().skip(place((number - 1).saturating_mul(limit))).take(place(limit));
    let entries = entries.map(|value| value.to_string().into_bytes()).collect();
    Ok(faults.write(Page { entries, number, limit, total }, asked))
}

/// Page and limit, numbers out of range moved into it without a word.
fn page_of(query: &HashMap<String, String>, default_limit: u64) -> Result<(u64, u64), Refusal> {
    let number = |name: &str, default: u64| match query.get(name) {
        None => Ok(default),
        Some(text) => text
            .parse::<i64>()
            .map(|number| u64::try_from(number).unwrap_or(0))
            .map_err(|_| Refusal::invalid(format!("{name} is not a whole number: {text:?}"))),
    };
    Ok((number("page", 1)?.max(1), number("limit", default_limit)?.clamp(1, MAX_LIMIT)))
}

/// The outbound sessions of one agent in the present hour: those to come are queued.
fn campaign(simulator: &Simulator, id: &str, now: Timestamp) -> Result<Value, Refusal> {
    const HOUR_MS: i64 = 3_600_000;
    let config = simulator.config();
    let index =
        config.agents.iter().position(|agent| written::campaign_id(config.seed, &agent.id) == id).ok_or_else(|| {
            Refusal { status: 404, code: "CAMPAIGN_NOT_FOUND", message: "There is no such campaign".into() }
        })?;
    let hour = now.as_millis().div_euclid(HOUR_MS);
    let mut filter =
        Filter::created(Timestamp::from_millis(hour * HOUR_MS), Timestamp::from_millis((hour + 1) * HOUR_MS - 1));
    filter.agent = u16::try_from(index).ok();
    let generator = simulator.generator();
    let (mut queued, mut in_flight, mut completed, mut failed) = (0_u64, 0_u64, 0_u64, 0_u64);
    for session in listing::all(generator, &filter).filter_map(|outline| generator.session(outline)) {
        if session.channel.direction.as_deref() != Some("OUTBOUND") {
            continue;
        }
        match session.state(now) {
            _ if session.created > now => queued += 1,
            State::Open => in_flight += 1,
            State::Closed => completed += 1,
            State::Expired => failed += 1,
        }
    }
    Ok(json!({"id": id, "queued": queued, "inFlight": in_flight, "completed": completed, "failed": failed}))
}

fn add_limit_headers(answer: &mut Answer, admission: Admission, stated: bool, other: &[(String, String)]) {
    for (name, value) in other {
        let value = value
            .replace("{limit}", &admission.limit.to_string())
            .replace("{remaining}", &admission.remaining.to_string())
            .replace("{reset}", &admission.reset.to_string());
        answer.headers.extend(heads::LIMIT_HEADERS.into_iter().find(|known| known == name).map(|name| (name, value)));
    }
    if stated && other.is_empty() {
        answer.headers.push(("x-ratelimit-limit", admission.limit.to_string()));
        answer.headers.push(("x-ratelimit-remaining", admission.remaining.to_string()));
        answer.headers.push(("x-ratelimit-reset", admission.reset.to_string()));
    }
    if let Some(seconds) = admission.retry_after {
        answer.headers.push(("retry-after", seconds.to_string()));
    }
}

/// `Tue, 24 Nov 2026 16:00:00 GMT`
fn http_date(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis())
        .map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}

/// How a request that resumes the stream is refused, if it is.
fn refused_id(simulator: &Simulator, call: &Call) -> Option<u16> {
    simulator.faults().stream.refused_ids.filter(|_| call.resumes)
}
