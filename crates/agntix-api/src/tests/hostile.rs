//! Answers that no good server gives, and what must not leak to whom.

use std::io::Write as _;

use super::*;

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn body_error(text: &str) -> Result<bytes::Bytes, ApiError> {
    Err(ApiError::Body(text.into()))
}

#[tokio::test]
async fn request_has_user_agent_accept_and_key_headers() {
    let stub = Stub::new(whole("200 OK", b"{}"), After::Close).await;
    let client = client(stub.address, |options| options.user_agent = "exporter/1.2".into());
    assert!(client.session("a b").await.result.is_ok());
    let requests = stub.requests();
    let lines: Vec<&str> = requests[0].lines().collect();
    assert_eq!(lines[0], "GET /api/v1/chat/sessions/a%20b HTTP/1.1");
    let agent = "user-agent: exporter/1.2";
    for header in [agent, "accept: application/json", "accept-encoding: gzip", &format!("x-api-key: {KEY}")] {
        assert!(lines.contains(&header), "{header} is not in {lines:?}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Stub::new(whole("200 OK", b"{}"), After::Close).await;
    for status in [301, 302, 303, 307, 308] {
        let head = format!("{status} Moved\nlocation: http://{}/api", target.address);
        let answer = ask(whole(&head, b""), After::Close).await;
        assert_eq!(status_of(&answer), Some(status));
    }
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn body_limit_applies_after_decompression() {
    let gzipped = |body: &[u8]| whole("200 OK\ncontent-encoding: gzip", &gzip(body));
    let limit = vec![b' '; 4 * 1024 * 1024];
    let answer = ask(gzipped(&limit), After::Close).await;
    assert_eq!(answer.result.unwrap().len(), limit.len());
    let bomb = gzipped(&vec![0; 64 * 1024 * 1024]);
    assert!(bomb.len() < 1024 * 1024, "{}", bomb.len());
    assert_eq!(ask(bomb, After::Hold).await.result, body_error("longer than 4 MiB"));
}

#[tokio::test]
async fn body_over_the_limit_is_rejected_with_or_without_content_length() {
    // Nothing of it ever comes; only the announcement can be the reason.
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 4194305\r\n\r\n";
    assert_eq!(ask(announced, After::Hold).await.result, body_error("longer than 4 MiB"));
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(endless.len() + 4 * 1024 * 1024 + 1, b' ');
    assert_eq!(ask(endless, After::Hold).await.result, body_error("longer than 4 MiB"));
}

#[tokio::test]
async fn error_says_what_is_wrong_with_a_broken_body() {
    let mut broken = gzip(&[b'x'; 1000]);
    let whole_gzip = broken.clone();
    broken[12..20].fill(0xff);
    let encoded = |encoding: &str, body: &[u8]| whole(&format!("200 OK\ncontent-encoding: {encoding}"), body);
    for (answer, expected) in [
        (encoded("gzip", &broken), "not well-formed gzip"),
        (encoded("gzip", b"{\"id\":1}"), "not well-formed gzip"),
        (encoded("gzip", &whole_gzip[..whole_gzip.len() / 2]), "not well-formed gzip"),
        (
            [b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 99\r\n\r\n", &whole_gzip[..20]].concat(),
            "cut off",
        ),
        (encoded("br", b"{}"), "in an encoding that was not asked for"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}".to_vec(), "cut off"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab".to_vec(), "cut off"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab".to_vec(), "cut off"),
        (b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), "not valid HTTP"),
        (b"\xff\xfe\x00\x01\r\n\r\n".to_vec(), "not valid HTTP"),
    ] {
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(ask(answer, After::Close).await.result, body_error(expected), "{text:?}");
    }
    let mut plain = encoded("identity", b"{}");
    assert_eq!(ask(plain, After::Close).await.result.unwrap(), "{}");
    plain = whole("204 No Content", b"");
    assert_eq!(ask(plain, After::Close).await.result.unwrap(), "");
}

#[tokio::test]
async fn slow_answer_times_out_and_its_head_is_kept() {
    for slow in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"] {
        assert_eq!(ask_in_haste(slow).await.result, Err(ApiError::Timeout), "{slow:?}");
    }
    let headers = "x-ratelimit-remaining: 3\r\ndate: Wed, 08 Apr 2026 06:00:00 GMT\r\ncontent-length: 10";
    let answer = ask_in_haste(format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{{")).await;
    assert_eq!(answer.result, Err(ApiError::Timeout));
    assert!(answer.date.is_some() && answer.rate_limit.remaining == Some(3), "what had arrived is known");
}

#[tokio::test]
async fn unreadable_error_body_loses_the_code_but_not_the_status() {
    let head = "503 Service Unavailable\nretry-after: 7\nx-request-id: req_7";
    let long = format!("{{\"error\":{{\"code\":\"A\",\"message\":\"{}\"}}}}", "x".repeat(1024 * 1024));
    let expected = ApiError::Status {
        status: 503,
        code: None,
        request_id: Some("req_7".into()),
        retry_after: Some(Duration::from_secs(7)),
    };
    for body in [long.as_bytes(), b"<html>", b"", b"\xff\x00", b"{\"error\":{\"code\":"] {
        assert_eq!(ask(whole(head, body), After::Close).await.result, Err(expected.clone()));
    }
    let cut = "HTTP/1.1 503 No\r\nretry-after: 7\r\nx-request-id: req_7\r\ncontent-length: 99\r\n\r\n{\"error\"";
    assert_eq!(ask(cut, After::Close).await.result, Err(expected.clone()));
    assert_eq!(ask_in_haste(cut).await.result, Err(expected));
}

#[tokio::test]
async fn personal_data_in_an_error_body_is_dropped() {
    let body = br#"{"error":{"code":"No session of +971501234567","message":"Ms Smith","requestId":"req 1 Ms Smith"}}"#;
    let head = "404 Ms-Smith\nx-request-id: req_1";
    let error = ask(whole(head, body), After::Close).await.result.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("Smith") && !shown.contains("9715") && shown.contains("req_1"), "{shown}");
    let session = ask(whole("200 OK", b"{\"summary\":\"Ms Smith\"}"), After::Close).await;
    let shown = format!("{session:?}");
    assert!(!shown.contains("Smith") && shown.contains("Ok(22)"), "{shown}");
}

#[tokio::test]
async fn unreachable_server_is_described_without_the_url() {
    // A port of the discard protocol, at an address where nobody listens: a port that was free a moment ago may be another test's by now.
    let address = SocketAddr::from(([127, 9, 9, 9], 9));
    let answer = client(address, |_| {}).session("ses_private").await;
    let error = answer.result.unwrap_err();
    assert_eq!(error.to_string(), "the API cannot be reached: connection refused");
    assert!(!format!("{error:?}").contains("ses_private"));
    let closed = ask("", After::Close).await.result;
    assert_eq!(closed, Err(ApiError::Connect("the connection was closed before an answer".into())));
}
