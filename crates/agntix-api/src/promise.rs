//! What an answer is that does not bring what its route promises: the API's word that there is no such session, something
//! that the API has written badly, or the answer of something else in its place, such as a login page. Pure; nothing of a
//! body is quoted.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::{self, Object, Presence, Scalar};
use super::{Answer, ApiError, JsonText, Route};

/// Who answers 407.
pub const PROXY: &str = "a proxy that asks who is there";

/// What came in place of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unkept {
    /// The API's own word that there is no such session: the route is right.
    NoSuchSession,
    /// It says nothing of the route: no answer, a refused credential, a server's failure, a request to wait.
    Nothing,
    /// The API's, by its looks, but not readable: cut off, not well-formed, too long.
    Malformed(String),
    /// Something that this route of the API does not answer.
    Foreign {
        /// What came, as a person says it: `404 (text/html)`, `200 with an empty body`.
        came: String,
        /// It is 404 or 405: there is nothing at this path.
        is_absent: bool,
    },
}

/// Judges an answer that has brought no body.
pub fn of_error(route: Route, error: &ApiError, content_type: Option<&str>) -> Unkept {
    match error {
        ApiError::Status { status: 400 | 404 | 409 | 410 | 422, code: Some(code), .. }
            if route == Route::Session && names_session(code) =>
        {
            Unkept::NoSuchSession
        }
        ApiError::Status { status: 401 | 403 | 408 | 425 | 429 | 500.., .. }
        | ApiError::Connect(_)
        | ApiError::Timeout
        | ApiError::Unprocessed(_)
        | ApiError::Credential(_)
        | ApiError::Id => Unkept::Nothing,
        ApiError::Status { status, code, .. } => {
            let detail = code.as_deref().or(content_type).map_or_else(String::new, |detail| format!(" ({detail})"));
            let meaning = match status {
                300..=399 => ", a redirect",
                407 => return Unkept::Foreign { came: format!("{status}, {PROXY}{detail}"), is_absent: false },
                _ => "",
            };
            Unkept::Foreign { came: format!("{status}{meaning}{detail}"), is_absent: matches!(status, 404 | 405) }
        }
        ApiError::Body(why) => Unkept::Malformed(format!("with what is {why}")),
    }
}

/// `SESSION_NOT_FOUND`, `SESSION_EXPIRED`, `INVALID_SESSION`, and what comes.
fn names_session(code: &str) -> bool {
    code.to_ascii_uppercase().contains("SESSION")
}

/// Judges the body of a 2xx answer that could not be read as what `route` promises.
pub fn of_body(route: Route, status: u16, content_type: Option<&str>, body: &[u8]) -> Unkept {
    let foreign = |what: &str| Unkept::Foreign { came: format!("{status} with {what}"), is_absent: false };
    let Some(first) = body.iter().copied().find(|byte| !byte.is_ascii_whitespace()) else {
        return foreign("an empty body");
    };
    let promised = match route {
        Route::Session => "session",
        Route::List => "page of sessions",
        Route::Agents => "page of agents",
    };
    match JsonText::new(body).read::<Object<Shape<'_>>>() {
        Ok(Object::Value(Shape { error: Presence(true), .. })) => foreign("an error in place of what was asked for"),
        Ok(Object::Value(shape)) if shape.is(route) => {
            Unkept::Malformed(format!("{status} with a {promised} that cannot be used"))
        }
        Ok(_) => foreign(&format!("JSON that is no {promised}")),
        // What says that it is something else, or is a document in angle brackets whatever it says.
        Err(_) if first == b'<' || content_type.is_some_and(|kind| !is_json(kind)) => {
            let what = content_type.map_or_else(|| "a document".to_owned(), document);
            foreign(&format!("{what} in place of JSON"))
        }
        Err(_) => Unkept::Malformed(format!("{status} with JSON that is not well-formed")),
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
    /// Whether there is any, null included: an empty list may be written so.
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
            Route::List | Route::Agents => self.data,
        }
    }
}

/// Whether `page` is written as `route` promises it, and does not stand for nothing at all. `unkept` is what its body is if
/// it is not.
pub fn is_written(body: &[u8], page: &wire::Page<'_>, unkept: impl FnOnce() -> Unkept) -> bool {
    if body.trim_ascii().starts_with(b"[") {
        let has_id = |raw: &RawValue| {
            serde_json::from_str::<wire::IdOnly<'_>>(raw.get()).is_ok_and(|item| item.id.text().is_some())
        };
        return page.items().iter().any(|raw| has_id(raw));
    }
    let is_page = page.data.is_some() || page.pagination.value().is_some();
    // Beside an error, a list without entries is none.
    is_page && (!page.items().is_empty() || !matches!(unkept(), Unkept::Foreign { .. }))
}

/// Whether an answer is what its route promises. `path_is_known`: that a listing does not write its list at all may then be
/// how this server writes an empty one.
///
/// # Errors
/// What came in its place.
pub fn kept(answer: &Answer, path_is_known: bool) -> Result<(), Unkept> {
    let unkept = || of_answer(answer);
    let Ok(body) = &answer.result else { return Err(unkept()) };
    let text = JsonText::new(body);
    let is_kept = match answer.route {
        Route::Session => text.read::<wire::Session<'_>>().is_ok_and(|session| session.id.text().is_some()),
        Route::List | Route::Agents => wire::Page::read(body, &text).is_ok_and(|page| {
            let may_be_empty = answer.route == Route::List && path_is_known;
            may_be_empty || is_written(body, &page, unkept)
        }),
    };
    if is_kept { Ok(()) } else { Err(unkept()) }
}

/// Judges why no event stream was opened.
pub fn of_stream(error: &ApiError) -> Unkept {
    match error {
        ApiError::Body(why) => Unkept::Foreign { came: format!("with {why}"), is_absent: false },
        // 410 says of a stream that it is gone.
        error => match of_error(Route::List, error, None) {
            Unkept::Foreign { came, is_absent } => {
                let is_gone = matches!(error, ApiError::Status { status: 410, .. });
                Unkept::Foreign { came, is_absent: is_absent || is_gone }
            }
            other => other,
        },
    }
}

/// Judges an answer that has not brought what it was to bring.
pub fn of_answer(answer: &Answer) -> Unkept {
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

    fn came(unkept: Unkept) -> String {
        match unkept {
            Unkept::Foreign { came, .. } => came,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_apis_own_word_says_that_a_session_is_missing() {
        let of = |route, error: ApiError| of_error(route, &error, Some("text/html"));
        assert_eq!(of(Route::Session, status(404, Some("SESSION_NOT_FOUND"))), Unkept::NoSuchSession);
        assert_eq!(of(Route::Session, status(400, Some("invalid_session"))), Unkept::NoSuchSession);
        for foreign in [
            (Route::Session, status(404, None)),
            (Route::Session, status(404, Some("NOT_FOUND"))),
            (Route::List, status(404, Some("SESSION_NOT_FOUND"))),
        ] {
            assert!(matches!(of(foreign.0, foreign.1), Unkept::Foreign { is_absent: true, .. }));
        }
    }

    #[test]
    fn what_says_nothing_of_the_route_is_no_reason_to_doubt_it() {
        for code in [401, 403, 408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(of_error(Route::List, &status(code, None), None), Unkept::Nothing, "{code}");
        }
        assert_eq!(of_error(Route::List, &ApiError::Timeout, None), Unkept::Nothing);
        assert!(matches!(of_error(Route::List, &ApiError::Body("cut off".into()), None), Unkept::Malformed(_)));
    }

    #[test]
    fn what_came_is_said_by_status_and_type() {
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
    fn a_session_written_badly_is_still_the_apis() {
        for malformed in [&b"{\"id\":\"s\""[..], b"\xff\xfe\x00", b"{\"id\":\"s\"}"] {
            let of = of_body(Route::Session, 200, Some("application/json"), malformed);
            assert!(matches!(of, Unkept::Malformed(_)), "{of:?}");
        }
    }

    fn answer(route: Route, body: &str) -> Answer {
        Answer {
            route,
            path: "/x".into(),
            status: Some(200),
            content_type: Some("application/json"),
            elapsed: std::time::Duration::ZERO,
            rate_limit: crate::RateLimit::default(),
            date: None,
            head_received: None,
            request_id: None,
            is_unsent: false,
            result: Ok(body.to_owned().into()),
        }
    }

    #[test]
    fn only_what_is_promised_is_kept_and_an_empty_list_may_be_left_out_where_the_path_is_known() {
        for (route, body) in [
            (Route::Session, r#"{"id":"s","createdAt":"2026-04-08T05:00:00Z"}"#),
            (Route::List, r#"{"data":[]}"#),
            (Route::List, r#"[{"id":"s"}]"#),
            (Route::Agents, r#"{"data":[],"pagination":{"total":0}}"#),
        ] {
            assert_eq!(kept(&answer(route, body), false), Ok(()), "{route:?} {body}");
        }
        for body in ["", "{}", "[]", "null", r#"{"pagination":{"total":0}}"#] {
            assert_eq!(kept(&answer(Route::List, body), true), Ok(()), "{body}");
            for (route, path_is_known) in [(Route::List, false), (Route::Agents, true), (Route::Session, true)] {
                let of = kept(&answer(route, body), path_is_known);
                assert!(matches!(of, Err(Unkept::Foreign { .. })), "{route:?} {body}: {of:?}");
            }
        }
        for body in ["<html>", r#"{"error":"login required"}"#, r#"{"status":"ok"}"#] {
            for route in Route::ALL {
                let of = kept(&answer(route, body), true);
                assert!(matches!(of, Err(Unkept::Foreign { .. })), "{route:?} {body}: {of:?}");
            }
        }
        let of = kept(&answer(Route::Session, r#"{"id":"#), true);
        assert!(matches!(of, Err(Unkept::Malformed(_))), "{of:?}");
    }

    #[test]
    fn what_opens_no_stream_is_somebody_elses_unless_it_says_nothing() {
        let of = |code| of_stream(&status(code, None));
        for code in [404, 405, 410] {
            assert!(matches!(of(code), Unkept::Foreign { is_absent: true, .. }), "{code}");
        }
        assert!(matches!(of(302), Unkept::Foreign { is_absent: false, .. }));
        assert!([401, 403, 429, 500, 503].iter().all(|code| of(*code) == Unkept::Nothing));
        let html = of_stream(&ApiError::Body("text/html, and no event stream".into()));
        assert_eq!(came(html), "with text/html, and no event stream");
    }
}
