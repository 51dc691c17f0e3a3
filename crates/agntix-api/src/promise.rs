//! Judges whether an answer is what its route promises and, if not, what it is: the API's statement that there is no such
//! session, a malformed answer of the API, or the answer of something else, such as a login page. Pure; never quotes a body.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::{Answer, Route};
use crate::error::ApiError;
use crate::json::JsonText;
use crate::value::{Object, Presence, Scalar};
use crate::wire;

/// Who answers 407.
pub const PROXY: &str = "a proxy that asks who is there";

/// An answer that is not what its route promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unexpected {
    /// The API itself says that there is no such session, so the route is right.
    NoSuchSession,
    /// Does not show whether the route is right: no answer, a refused credential, a server error, a request to wait.
    Inconclusive,
    /// Looks like the API's, but cannot be read: cut off, not well-formed, too long.
    Malformed(String),
    /// The API does not answer like this on this route.
    Foreign {
        /// The answer in words: `404 (text/html)`, `200 with an empty body`.
        came: String,
        /// It is 404 or 405: there is nothing at this path.
        is_absent: bool,
    },
}

/// Judges an answer without a body.
pub fn of_error(route: Route, error: &ApiError, content_type: Option<&str>) -> Unexpected {
    match error {
        ApiError::Status { status: 400 | 404 | 409 | 410 | 422, code: Some(code), .. }
            if matches!(route, Route::Session | Route::Messages) && names_session(code) =>
        {
            Unexpected::NoSuchSession
        }
        ApiError::Status { status: 401 | 403 | 408 | 425 | 429 | 500.., .. }
        | ApiError::Connect(_)
        | ApiError::Timeout
        | ApiError::ProxyTimeout(_)
        | ApiError::Unprocessed(_)
        | ApiError::Credential(_)
        | ApiError::Id => Unexpected::Inconclusive,
        ApiError::Status { status, code, .. } => {
            let detail = code.as_deref().or(content_type).map_or_else(String::new, |detail| format!(" ({detail})"));
            let meaning = match status {
                300..=399 => ", a redirect",
                407 => return Unexpected::Foreign { came: format!("{status}, {PROXY}{detail}"), is_absent: false },
                _ => "",
            };
            Unexpected::Foreign { came: format!("{status}{meaning}{detail}"), is_absent: matches!(status, 404 | 405) }
        }
        ApiError::Body(why) => Unexpected::Malformed(format!("with what is {why}")),
    }
}

/// `SESSION_NOT_FOUND`, `SESSION_EXPIRED`, `INVALID_SESSION`, and what comes.
fn names_session(code: &str) -> bool {
    code.to_ascii_uppercase().contains("SESSION")
}

/// Judges the body of a 2xx answer that could not be read as what `route` promises.
pub fn of_body(route: Route, status: u16, content_type: Option<&str>, body: &[u8]) -> Unexpected {
    let foreign = |what: &str| Unexpected::Foreign { came: format!("{status} with {what}"), is_absent: false };
    let Some(first) = body.iter().copied().find(|byte| !byte.is_ascii_whitespace()) else {
        return foreign("an empty body");
    };
    let promised = match route {
        Route::Session => "session",
        Route::List => "page of sessions",
        Route::Agents => "page of agents",
        Route::Messages => "page of messages",
    };
    match JsonText::new(body).read::<Object<Shape<'_>>>() {
        Ok(Object::Value(Shape { error: Presence(true), .. })) => foreign("an error in place of what was asked for"),
        Ok(Object::Value(shape)) if shape.is(route) => {
            Unexpected::Malformed(format!("{status} with a {promised} that cannot be used"))
        }
        Ok(_) => foreign(&format!("JSON that is no {promised}")),
        // Another content type, or markup whatever its content type.
        Err(_) if first == b'<' || content_type.is_some_and(|kind| !is_json(kind)) => {
            let what = content_type.map_or_else(|| "a document".to_owned(), document);
            foreign(&format!("{what} in place of JSON"))
        }
        Err(_) => Unexpected::Malformed(format!("{status} with JSON that is not well-formed")),
    }
}

fn is_json(content_type: &str) -> bool {
    content_type.ends_with("json")
}

/// A document of a type, which has a name or is said not to have one.
fn document(content_type: &str) -> String {
    if content_type.contains('/') { content_type.to_owned() } else { format!("a document {content_type}") }
}

/// As much of a body as tells what it is.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Shape<'a> {
    error: Presence,
    id: Scalar<'a>,
    /// Whether the field is present; null counts, because some servers write an empty list so.
    #[serde(deserialize_with = "is_there")]
    data: bool,
}

fn is_there<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(from).map(|_| true)
}

impl Shape<'_> {
    fn is(&self, route: Route) -> bool {
        match route {
            Route::Session => self.id.text().is_some(),
            Route::List | Route::Agents | Route::Messages => self.data,
        }
    }
}

/// Whether `page` is written as `route` promises it, and does not stand for nothing at all. `unexpected` is what its body is if
/// it is not.
pub fn is_written(body: &[u8], page: &wire::Page<'_>, unexpected: impl FnOnce() -> Unexpected) -> bool {
    if body.trim_ascii().starts_with(b"[") {
        let has_id = |raw: &RawValue| {
            serde_json::from_str::<wire::IdOnly<'_>>(raw.get()).is_ok_and(|item| item.id.text().is_some())
        };
        return page.items().iter().any(|raw| has_id(raw));
    }
    let is_page = page.data.is_some() || page.pagination.value().is_some();
    // An empty list beside an error does not count as a list.
    is_page && (!page.items().is_empty() || !matches!(unexpected(), Unexpected::Foreign { .. }))
}

/// Whether an answer is what its route promises. `path_is_known`: that a listing does not write its list at all may then be
/// how this server writes an empty one.
///
/// # Errors
/// What it is instead.
pub fn judge(answer: &Answer, path_is_known: bool) -> Result<(), Unexpected> {
    let unexpected = || of_answer(answer);
    let Ok(body) = &answer.result else { return Err(unexpected()) };
    let text = JsonText::new(body);
    let is_as_promised = match answer.route {
        Route::Session => text.read::<wire::Session<'_>>().is_ok_and(|session| session.id.text().is_some()),
        Route::List | Route::Agents | Route::Messages => wire::Page::read(body, &text).is_ok_and(|page| {
            let may_be_empty = answer.route != Route::Agents && path_is_known;
            may_be_empty || is_written(body, &page, unexpected)
        }),
    };
    if is_as_promised { Ok(()) } else { Err(unexpected()) }
}

/// Judges why no event stream was opened.
pub fn of_stream(error: &ApiError) -> Unexpected {
    match error {
        ApiError::Body(why) => Unexpected::Foreign { came: format!("with {why}"), is_absent: false },
        // 410 says of a stream that it is gone.
        error => match of_error(Route::List, error, None) {
            Unexpected::Foreign { came, is_absent } => {
                let is_gone = matches!(error, ApiError::Status { status: 410, .. });
                Unexpected::Foreign { came, is_absent: is_absent || is_gone }
            }
            other => other,
        },
    }
}

/// Judges an answer that could not be used.
pub fn of_answer(answer: &Answer) -> Unexpected {
    let content_type = answer.content_type;
    match &answer.result {
        Ok(body) => of_body(answer.route, answer.status.unwrap_or(200), content_type, body),
        Err(error) => of_error(answer.route, error, content_type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, code: Option<&str>) -> ApiError {
        ApiError::Status { status, code: code.map(Into::into), request_id: None, retry_after: None }
    }

    fn came(unexpected: Unexpected) -> String {
        match unexpected {
            Unexpected::Foreign { came, .. } => came,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_apis_own_code_means_no_such_session() {
        let of = |route, error: ApiError| of_error(route, &error, Some("text/html"));
        assert_eq!(of(Route::Session, status(404, Some("SESSION_NOT_FOUND"))), Unexpected::NoSuchSession);
        assert_eq!(of(Route::Session, status(400, Some("invalid_session"))), Unexpected::NoSuchSession);
        for foreign in [
            (Route::Session, status(404, None)),
            (Route::Session, status(404, Some("NOT_FOUND"))),
            (Route::List, status(404, Some("SESSION_NOT_FOUND"))),
        ] {
            assert!(matches!(of(foreign.0, foreign.1), Unexpected::Foreign { is_absent: true, .. }));
        }
    }

    #[test]
    fn answers_that_do_not_concern_the_route_are_inconclusive() {
        for code in [401, 403, 408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(of_error(Route::List, &status(code, None), None), Unexpected::Inconclusive, "{code}");
        }
        assert_eq!(of_error(Route::List, &ApiError::Timeout, None), Unexpected::Inconclusive);
        assert!(matches!(of_error(Route::List, &ApiError::Body("cut off".into()), None), Unexpected::Malformed(_)));
    }

    #[test]
    fn foreign_answer_is_described_by_status_and_type() {
        let of = |code, kind| came(of_error(Route::Agents, &status(code, None), kind));
        assert_eq!(of(404, Some("text/html")), "404 (text/html)");
        assert_eq!(of(302, Some("text/html")), "302, a redirect (text/html)");
        assert_eq!(of(407, None), "407, a proxy that asks who is there");
        let body = |route, kind, body: &str| came(of_body(route, 200, kind, body.as_bytes()));
        let (json, html) = (Some("application/json"), Some("text/html"));
        assert_eq!(body(Route::List, html, "<html>Sign in</html>"), "200 with text/html in place of JSON");
        assert_eq!(body(Route::List, json, " <html>"), "200 with application/json in place of JSON");
        assert_eq!(body(Route::List, html, "Sign in"), "200 with text/html in place of JSON");
        assert_eq!(body(Route::Session, json, " \n"), "200 with an empty body");
        assert_eq!(body(Route::Session, json, "{}"), "200 with JSON that is no session");
        assert_eq!(body(Route::Agents, json, "[1]"), "200 with JSON that is no page of agents");
        assert_eq!(body(Route::List, json, r#"{"items":[]}"#), "200 with JSON that is no page of sessions");
        for error in [r#"{"error":"login required"}"#, r#"{"error":{"code":"X"},"data":[]}"#] {
            assert_eq!(body(Route::List, json, error), "200 with an error in place of what was asked for", "{error}");
        }
    }

    #[test]
    fn malformed_session_is_not_foreign() {
        for malformed in [&b"{\"id\":\"s\""[..], b"\xff\xfe\x00", b"{\"id\":\"s\"}"] {
            let of = of_body(Route::Session, 200, Some("application/json"), malformed);
            assert!(matches!(of, Unexpected::Malformed(_)), "{of:?}");
        }
    }

    fn answer(route: Route, body: &str) -> Answer {
        Answer {
            route,
            path: "/x".into(),
            status: Some(200),
            content_type: Some("application/json"),
            elapsed: std::time::Duration::ZERO,
            rate_limit: crate::answer::ApiRateLimit::default(),
            date: None,
            head_received: None,
            request_id: None,
            is_unsent: false,
            result: Ok(body.to_owned().into()),
        }
    }

    #[test]
    fn empty_list_may_be_left_out_only_where_the_path_is_known() {
        for (route, body) in [
            (Route::Session, r#"{"id":"s","createdAt":"2026-04-08T05:00:00Z"}"#),
            (Route::List, r#"{"data":[]}"#),
            (Route::List, r#"[{"id":"s"}]"#),
            (Route::Agents, r#"{"data":[],"pagination":{"total":0}}"#),
        ] {
            assert_eq!(judge(&answer(route, body), false), Ok(()), "{route:?} {body}");
        }
        for body in ["", "{}", "[]", "null", r#"{"pagination":{"total":0}}"#] {
            assert_eq!(judge(&answer(Route::List, body), true), Ok(()), "{body}");
            for (route, path_is_known) in [(Route::List, false), (Route::Agents, true), (Route::Session, true)] {
                let of = judge(&answer(route, body), path_is_known);
                assert!(matches!(of, Err(Unexpected::Foreign { .. })), "{route:?} {body}: {of:?}");
            }
        }
        for body in ["<html>", r#"{"error":"login required"}"#, r#"{"status":"ok"}"#] {
            for route in Route::ALL {
                let of = judge(&answer(route, body), true);
                assert!(matches!(of, Err(Unexpected::Foreign { .. })), "{route:?} {body}: {of:?}");
            }
        }
        let of = judge(&answer(Route::Session, r#"{"id":"#), true);
        assert!(matches!(of, Err(Unexpected::Malformed(_))), "{of:?}");
    }

    #[test]
    fn answer_without_a_stream_is_foreign_unless_inconclusive() {
        let of = |code| of_stream(&status(code, None));
        for code in [404, 405, 410] {
            assert!(matches!(of(code), Unexpected::Foreign { is_absent: true, .. }), "{code}");
        }
        assert!(matches!(of(302), Unexpected::Foreign { is_absent: false, .. }));
        assert!([401, 403, 429, 500, 503].iter().all(|code| of(*code) == Unexpected::Inconclusive));
        let html = of_stream(&ApiError::Body("text/html, and no event stream".into()));
        assert_eq!(came(html), "with text/html, and no event stream");
    }
}
