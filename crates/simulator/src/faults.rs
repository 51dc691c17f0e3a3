//! What the simulator does wrong on purpose, and to which requests.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::{Answer, Delivery};
use crate::heads::HeadFaults;
use crate::json::PERSONAL_MARKER;
use crate::lenient::{self, Writing};
use crate::list_faults::{EveryNth, ListFaults};
use crate::messages::MessageFaults;
use crate::random::{mix, unit};
use crate::stream::faults::StreamFaults;
use crate::time::Timestamp;

/// A route of the API, as faults and the request log name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// One session.
    Session,
    /// The messages of one session.
    Messages,
    /// The listing of sessions.
    List,
    /// The agents.
    Agents,
    /// A campaign's counts.
    Campaign,
    /// The event stream. Faults that spoil a body do to its head what they can; the rest is in [`StreamFaults`].
    Stream,
    /// A path that the API does not know.
    Other,
}

/// Everything that is to go wrong from now on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Tried in this order; the first one that hits a request has its way, except that delays add up.
    pub rules: Vec<FaultRule>,
    /// Sessions that are never answered or delivered with anything but garbage, and whose entries in a listing are
    /// malformed.
    pub bad_sessions: BTreeSet<String>,
    /// How the bodies of webhooks are written; as JSON when absent.
    pub deliveries_written: Option<Writing>,
    /// Sessions that are gone: neither listed nor found. Deliveries still carry them.
    pub vanished_sessions: BTreeSet<String>,
    /// What goes wrong within event streams.
    pub stream: StreamFaults,
    /// What goes wrong with the lists of sessions and of agents.
    pub lists: ListFaults,
    /// What goes wrong with the messages of a session.
    pub messages: MessageFaults,
    /// Whether every so many requests one fails, before the rules are tried.
    pub every_nth: Option<EveryNth>,
    /// What is wrong in the heads of answers.
    pub heads: HeadFaults,
    /// Under which paths the routes are served, where it is not the usual ones.
    pub paths: Paths,
    /// The organization has no sessions: none is listed, and none is there when asked for. The truth knows them still.
    pub no_sessions: bool,
}

/// The only path under which a route is served, without the id at its end; the usual one where there is none. At any other
/// path the API knows no route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// Of one session: `/v1/chat/sessions`.
    pub session: Option<String>,
    /// Of the listing.
    pub list: Option<String>,
    /// Of the agents.
    pub agents: Option<String>,
    /// Of the event stream.
    pub stream: Option<String>,
}

impl Paths {
    /// Whether `route` is served at `path`.
    pub(crate) fn serve(&self, route: Route, path: &str) -> bool {
        let (served, usual, path) = match route {
            Route::Session => {
                (&self.session, "/api/v1/chat/sessions", path.rsplit_once('/').map_or(path, |(root, _)| root))
            }
            Route::List => (&self.list, "/api/v1/chat/sessions", path),
            Route::Agents => (&self.agents, "/v1/chat/agents", path),
            Route::Stream => (&self.stream, "/v1/chat/events/stream", path),
            Route::Messages | Route::Campaign | Route::Other => return true,
        };
        path == served.as_deref().unwrap_or(usual)
    }
}

/// Something that answers in the API's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stranger {
    /// 404 with a page of HTML, as a web server that knows nothing of the API.
    NotFoundPage,
    /// 404 with a line of text.
    NotFoundText,
    /// 404 with the JSON of a gateway.
    NotFoundJson,
    /// 302 to a login page.
    Redirect,
    /// 200 with a login page.
    LoginPage,
    /// 200 with an error in JSON.
    ErrorBody,
    /// 200 with JSON of something else.
    OtherJson,
    /// 200 with nothing.
    EmptyBody,
    /// 407 of a proxy that asks who is there.
    ProxyLogin,
}

impl Stranger {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NotFoundPage,
        Self::NotFoundText,
        Self::NotFoundJson,
        Self::Redirect,
        Self::LoginPage,
        Self::ErrorBody,
        Self::OtherJson,
        Self::EmptyBody,
        Self::ProxyLogin,
    ];

    fn answer(self) -> Answer {
        const PAGE: &str = "<!doctype html><html><body><form><input type=password></form></body></html>";
        let (status, content_type, body) = match self {
            Self::NotFoundPage => (404, "text/html; charset=utf-8", "<html><body><h1>404 Not Found</h1></body></html>"),
            Self::NotFoundText => (404, "text/plain; charset=utf-8", "404 page not found\n"),
            Self::NotFoundJson => (404, "application/json", r#"{"message":"no Route matched with those values"}"#),
            Self::Redirect => (302, "text/html", "<a href=\"https://login.invalid/\">Found</a>"),
            Self::LoginPage => (200, "text/html; charset=utf-8", PAGE),
            Self::ErrorBody => (200, "application/json", r#"{"error":"login required"}"#),
            Self::OtherJson => (200, "application/json", r#"{"status":"ok"}"#),
            Self::EmptyBody => (200, "application/json", ""),
            Self::ProxyLogin => (407, "text/html", PAGE),
        };
        let answer = Answer { status, content_type, ..Answer::ok(body.as_bytes().to_vec()) };
        match self {
            Self::Redirect => answer.with_header("location", "https://login.invalid/".into()),
            Self::ProxyLogin => answer.with_header("proxy-authenticate", "Basic realm=\"proxy\"".into()),
            _ => answer,
        }
    }
}

/// One thing that goes wrong with a share of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Only this route; all of them when absent.
    #[serde(default)]
    pub route: Option<Route>,
    /// Share of the requests that are hit, 0 to 1.
    pub share: f64,
    /// What happens to them.
    pub kind: FaultKind,
}

/// What happens to a request that is hit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// This status, with an error envelope (plain HTML for 502 and 504, as a gateway does).
    Status(u16),
    /// The answer comes this many milliseconds later.
    Delay(u64),
    /// The connection ends in the middle of a body whose full length was announced.
    Truncate,
    /// Half of the body, announced as if it were all.
    HalfBody,
    /// Random bytes in place of the body.
    Garbage,
    /// A well-formed body of more than 4 MiB.
    Huge,
    /// Numbers as text, or an object, a list or null for `createdAt`, `state` or `id`.
    WrongTypes,
    /// Words in `type`, `platform` and `direction` that nobody has seen before. They are data, so what is counted
    /// from such an answer differs from the truth.
    UnknownEnums,
    /// JSON as some writers write it; everything in it can be read.
    Lenient(Writing),
    /// A list has one item more, which is no JSON.
    BrokenItem,
    /// Headers that carry [`PERSONAL_MARKER`], `Content-Type` among them.
    PersonalHeaders,
    /// The connection is closed without an answer.
    Drop,
    /// `createdAt` so many hours ahead of the true one.
    DatedAhead(u32),
    /// `createdAt` up to so many days before the true one, another one in each answer.
    DatedAnew(u32),
    /// The answer is whole, and the connection ends after it.
    Close,
    /// Something else answers in the API's place.
    Stranger(Stranger),
}

/// A request about to be answered: what decides on its faults.
pub(crate) struct Target {
    pub(crate) route: Route,
    pub(crate) seed: u64,
    /// The number of the request, from 0.
    pub(crate) request: u64,
}

impl Faults {
    /// Says what is wrong with rules that came from outside.
    pub(crate) fn check(&self) -> Result<(), String> {
        for rule in &self.rules {
            if !(0.0..=1.0).contains(&rule.share) {
                return Err(format!("share is {}, but must be from 0 to 1", rule.share));
            }
            if let FaultKind::Status(status) = rule.kind
                && !(300..=599).contains(&status)
            {
                return Err(format!("status is {status}, but must be from 300 to 599"));
            }
        }
        if let Some(EveryNth { n, status }) = self.every_nth
            && (n == 0 || !(400..=599).contains(&status))
        {
            return Err(format!(
                "every_nth is {n} with {status}, but must be at least 1 with a status from 400 to 599"
            ));
        }
        self.heads.check()?;
        self.stream.check()?;
        self.lists.check()?;
        self.messages.lists.check()
    }

    /// The delay and the fault that hit this request; the same for the same seed, number and rules.
    pub(crate) fn decide(&self, target: &Target) -> (Duration, Option<FaultKind>) {
        let mut delay = Duration::ZERO;
        if let Some(EveryNth { n, status }) = self.every_nth
            && (target.request + 1).is_multiple_of(n.max(1))
        {
            return (delay, Some(FaultKind::Status(status)));
        }
        for (number, rule) in (0_u64..).zip(&self.rules) {
            let hit = rule.route.is_none_or(|route| route == target.route)
                && unit(mix(&[target.seed, FAULTS, target.request, number])) < rule.share;
            match rule.kind {
                FaultKind::Delay(ms) if hit => delay += Duration::from_millis(ms),
                kind if hit => return (delay, Some(kind)),
                _ => {}
            }
        }
        (delay, None)
    }
}

const FAULTS: u64 = 0xfa;
/// A type with [`PERSONAL_MARKER`] in it.
const PERSONAL_TYPE: &str = "application/x-Zyxqua; name=\"Zyxqua Morgan\"";
/// One more than the largest body that a careful client reads.
const HUGE: usize = 4 * 1024 * 1024 + 1;

/// Spoils `answer`.
pub(crate) fn apply(kind: FaultKind, answer: &mut Answer, target: &Target, request_id: &str) {
    let chance = mix(&[target.seed, FAULTS, target.request]);
    match kind {
        FaultKind::Status(status) => *answer = status_answer(status, request_id),
        FaultKind::Delay(_) => {}
        FaultKind::Truncate => answer.delivery = Delivery::CutAt(answer.body.len() / 2),
        FaultKind::HalfBody => answer.body.truncate(answer.body.len() / 2),
        FaultKind::Garbage => answer.body = garbage(chance),
        FaultKind::Huge => {
            // Only the closing brace is taken off, so that nothing but its size is wrong with the body.
            answer.body.pop();
            answer.body.extend_from_slice(b",\"padding\":\"");
            answer.body.resize(answer.body.len() + HUGE, b'x');
            answer.body.extend_from_slice(b"\"}");
        }
        FaultKind::WrongTypes => edit(answer, |session| wrong_types(session, chance)),
        FaultKind::UnknownEnums => edit(answer, unknown_enums),
        FaultKind::Lenient(writing) => answer.body = lenient::rewrite(&answer.body, writing, chance),
        FaultKind::BrokenItem => {
            if let Some(body) = lenient::with_broken_item(&answer.body, chance) {
                answer.body = body;
            }
        }
        FaultKind::PersonalHeaders => {
            answer.content_type = PERSONAL_TYPE;
            answer.headers.extend(["server", "via", "x-error"].map(|name| (name, format!("1.1 {PERSONAL_MARKER}"))));
        }
        FaultKind::Drop => answer.delivery = Delivery::Drop,
        FaultKind::Close => answer.headers.push(("connection", "close".to_owned())),
        FaultKind::Stranger(stranger) => *answer = stranger.answer(),
        FaultKind::DatedAhead(hours) => edit(answer, |session| move_creation(session, i64::from(hours) * HOUR_MS)),
        FaultKind::DatedAnew(days) => edit(answer, |session| {
            let days = i64::try_from(chance % (u64::from(days) + 1)).unwrap_or(0);
            move_creation(session, -days * 24 * HOUR_MS);
        }),
    }
}

const HOUR_MS: i64 = 3_600_000;

fn move_creation(entry: &mut Value, by_ms: i64) {
    let Some(Value::String(created)) = entry.get_mut("createdAt") else { return };
    let moved = Timestamp::parse_rfc3339(created).map(|at| Timestamp::from_millis(at.as_millis() + by_ms));
    if let Some(moved) = moved {
        *created = moved.to_string();
    }
}

/// Random bytes that are neither JSON nor UTF-8.
pub(crate) fn garbage(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0xff; 256];
    fastrand::Rng::with_seed(seed).fill(bytes.get_mut(1..).unwrap_or_default());
    bytes
}

/// A listing entry of a bad session: it names the session, and nothing else in it can be used.
pub(crate) fn malformed_entry(id: &str) -> Vec<u8> {
    json!({"id": id, "type": 7, "state": {"no": "state"}, "agentId": [], "createdAt": {"no": "time"}})
        .to_string()
        .into_bytes()
}

fn status_answer(status: u16, request_id: &str) -> Answer {
    match status {
        502 | 504 => Answer {
            content_type: "text/html",
            body: format!("<html><body><h1>{status} Bad Gateway</h1></body></html>").into_bytes(),
            ..Answer::error(status, "", "", request_id)
        },
        429 => Answer::error(429, "RATE_LIMIT_EXCEEDED", "Too many requests", request_id)
            .with_header("retry-after", "1".to_owned()),
        401 => Answer::error(401, "UNAUTHORIZED", "The credential is not valid", request_id),
        403 => Answer::error(403, "FORBIDDEN", "The credential lacks a scope", request_id),
        404 => Answer::error(404, "SESSION_NOT_FOUND", "There is no such session", request_id),
        300..=399 => {
            Answer { content_type: "text/html", body: Vec::new(), ..Answer::error(status, "", "", request_id) }
                .with_header("location", "/login".to_owned())
        }
        400..=499 => Answer::error(status, "INVALID_REQUEST", "The request cannot be served", request_id),
        _ => Answer::error(status, "INTERNAL_ERROR", "Something went wrong", request_id),
    }
}

/// Edits the object in the body, or each one in a page of them.
fn edit(answer: &mut Answer, mut change: impl FnMut(&mut Value)) {
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return };
    match body.get_mut("data").and_then(Value::as_array_mut) {
        Some(entries) => entries.iter_mut().for_each(&mut change),
        None => change(&mut body),
    }
    answer.body = body.to_string().into_bytes();
}

fn wrong_types(entry: &mut Value, chance: u64) {
    let Some(fields) = entry.as_object_mut() else { return };
    let (field, wrong) = match chance % 5 {
        0 => return numbers_as_text(entry),
        1 => ("createdAt", json!({"at": "noon"})),
        2 => ("createdAt", Value::Null),
        3 => ("state", json!(["CLOSED"])),
        _ => ("id", Value::Null),
    };
    fields.insert(field.to_owned(), wrong);
}

fn numbers_as_text(value: &mut Value) {
    match value {
        Value::Number(number) => *value = Value::String(number.to_string()),
        Value::Array(values) => values.iter_mut().for_each(numbers_as_text),
        Value::Object(fields) => fields.values_mut().for_each(numbers_as_text),
        _ => {}
    }
}

fn unknown_enums(entry: &mut Value) {
    let Some(fields) = entry.as_object_mut() else { return };
    for field in ["type", "platform", "direction"] {
        if fields.contains_key(field) {
            fields.insert(field.to_owned(), json!(format!("NEW_{}", field.to_uppercase())));
        }
    }
}
