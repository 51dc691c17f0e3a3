//! Reading bodies: never more than a limit, and of an error no more than its code and its request id.

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use crate::error::ApiError;
use crate::headers;
use crate::json::JsonText;
use crate::json::object::object;
use crate::value::{Object, Scalar};

/// Most that a body may have after decompression: a page of 100 sessions with all their texts is well below it.
const LIMIT: usize = 4 * 1024 * 1024;
/// How a longer one is named.
pub(super) const TOO_LONG: &str = "longer than 4 MiB";
/// Most that is read of an error's body.
const ERROR_LIMIT: usize = 64 * 1024;
const MAX_CODE: usize = 64;
const MAX_REQUEST_ID: usize = 128;

/// The whole body of a 2xx answer.
pub(super) async fn whole(mut response: Response) -> Result<Bytes, ApiError> {
    // The HTTP library takes the header off when it decodes the body.
    if let Some(encoding) = headers::text(response.headers(), CONTENT_ENCODING.as_str())
        && !encoding.eq_ignore_ascii_case("identity")
    {
        return Err(ApiError::Body("in an encoding that was not asked for".into()));
    }
    let announced = response.content_length().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced.is_some_and(|length| length > LIMIT) {
        return Err(too_long());
    }
    let mut body = Vec::with_capacity(announced.unwrap_or_default());
    while let Some(chunk) = response.chunk().await.map_err(|error| ApiError::from_reading(&error))? {
        if body.len() + chunk.len() > LIMIT {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

fn too_long() -> ApiError {
    ApiError::Body(TOO_LONG.into())
}

/// What an answer with any status but 2xx says. A body that ends early or never costs the code, not the status.
pub(super) async fn refusal(mut response: Response) -> ApiError {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ERROR_LIMIT - body.len();
        body.extend(chunk.iter().take(room));
        if chunk.len() >= room {
            break;
        }
    }
    let (code, request_id) = envelope(&body);
    ApiError::Status {
        status: response.status().as_u16(),
        code,
        request_id: request_id.or_else(|| self::request_id(response.headers())),
        retry_after: headers::retry_after(response.headers()),
    }
}

object! {
    /// `{"error": {"code", "message", "requestId"}}`, or the same without the outer object. The message may hold personal
    /// data and has no field here, so that it is never deserialized.
    struct Envelope<'a> {
        "error" => error: Object<Fields<'a>>,
        "code" => code: Scalar<'a>,
        "requestId" => request_id: Scalar<'a>,
    }
}

object! {
    struct Fields<'a> {
        "code" => code: Scalar<'a>,
        "requestId" => request_id: Scalar<'a>,
    }
}

/// The code and the request id, where there are any: a gateway answers with HTML.
fn envelope(body: &[u8]) -> (Option<String>, Option<String>) {
    let body = JsonText::new(body);
    let Ok(envelope) = body.read::<Envelope<'_>>() else { return (None, None) };
    let fields = envelope.error.value();
    let code = fields.and_then(|fields| fields.code.text()).or_else(|| envelope.code.text());
    let request_id = fields.and_then(|fields| fields.request_id.text()).or_else(|| envelope.request_id.text());
    (code.and_then(stable_code), request_id.and_then(printable))
}

/// A stable code, and not a sentence in its place.
fn stable_code(text: &str) -> Option<String> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let begins_as_one = text.starts_with(|first: char| first.is_ascii_alphabetic());
    (begins_as_one && text.len() <= MAX_CODE && text.bytes().all(is_word)).then(|| text.to_owned())
}

/// `x-request-id`, which the vendor's support asks for.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    headers::text(headers, "x-request-id").and_then(printable)
}

/// A request id, as gateways make them, and not a sentence, an address or a telephone number.
fn printable(text: &str) -> Option<String> {
    let is_of_id = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'=' | b';');
    let fits = (1..=MAX_REQUEST_ID).contains(&text.len()) && text.bytes().all(is_of_id);
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_read_with_tolerance() {
        let read = |body: &str| envelope(body.as_bytes());
        let both = (Some("SESSION_NOT_FOUND".to_owned()), Some("req_1".to_owned()));
        for body in [
            r#"{"error":{"code":"SESSION_NOT_FOUND","message":"+971501234567","requestId":"req_1"}}"#,
            r#"{"error":{"message":{"a":[]},"requestId":" req_1 ","code":"SESSION_NOT_FOUND","x":1}}"#,
            r#"{"error":"Not Found","code":"SESSION_NOT_FOUND","requestId":"req_1","statusCode":404}"#,
        ] {
            assert_eq!(read(body), both, "{body}");
        }
        let with_status = r#"{"error":{"code":"SESSION_NOT_FOUND","message":"x","status":404}}"#;
        assert_eq!(read(with_status), (both.0, None));
        for body in ["", "<html>", "[]", "7", r#"{"error":null}"#, r#"{"error":{"code":404,"requestId":[]}}"#, "\u{1}"]
        {
            assert_eq!(read(body), (None, None), "{body}");
        }
    }

    #[test]
    fn code_has_no_spaces_and_request_id_is_printable_and_bounded() {
        for bad in ["no such session of Ms Smith", "é", &"X".repeat(65), "a\nb", "", "971501234567", "a+b"] {
            assert_eq!(stable_code(bad), None, "{bad}");
        }
        assert!(stable_code(&"X".repeat(64)).is_some());
        for bad in ["", "a b", "é", "a\nb", &"x".repeat(129), "+971501234567", "a@b.example", "\"x\"", "(x)"] {
            assert_eq!(printable(bad), None, "{bad}");
        }
        assert!(printable(&"x".repeat(128)).is_some());
        for id in ["req_1", "8f5c2a10-a1b2", "Root=1-67891233-abcdef012345678912345678;Sampled=1", "a.b:c/d"] {
            assert_eq!(printable(id).as_deref(), Some(id));
        }
    }
}
