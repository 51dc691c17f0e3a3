//! The follower against servers on loopback.

use std::net::SocketAddr;

use agntix_api::install_crypto_provider;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::reconnect::{BACKOFF_CAP, GOOD, MISSING_WAIT};
use super::*;
use crate::api;
use crate::config::ApiConfig;

fn follower() -> (Follower, mpsc::Receiver<News>) {
    let (news, inbox) = mpsc::channel(8);
    // Any: what it is asked for under is not looked at.
    (Follower::new(news, PathChoice::among(ApiPath::Stream, vec!["/stream".into()], None)), inbox)
}

fn status(status: u16) -> ApiError {
    ApiError::Status { status, code: None, request_id: None, retry_after: None }
}

#[test]
fn a_missing_stream_is_asked_for_hourly_and_a_broken_one_with_backoff() {
    let (mut follower, _inbox) = follower();
    assert_eq!(follower.refused(&status(404)), MISSING_WAIT);
    for _ in 0..100 {
        assert!(follower.refused(&status(500)) <= BACKOFF_CAP);
    }
    let good = Connection { lived: GOOD, alive: true, events: 1 };
    assert!(follower.ended(&StreamEnd::Ended, good) <= Duration::from_secs(2), "it had been good");
    let id = Arc::<str>::from("s");
    assert!(follower.news.try_send(News::Hint { id, hint: Hint::Ended }).is_ok());
}

#[test]
fn each_trouble_is_reported_once_until_there_is_another() {
    let mut state = Reconnect::default();
    let html = ApiError::Body("text/html, and no event stream".into());
    let mut said = Vec::new();
    for error in [&html, &html, &status(502), &ApiError::Timeout, &html, &status(404), &status(405)] {
        let next = state.refused(error, 1.0);
        assert!(next.wait <= MISSING_WAIT);
        said.push(next.report.is_some());
    }
    assert_eq!(said, [true, false, true, false, true, true, false]);
    state.reloaded();
    assert!(state.refused(&html, 1.0).report.is_some());
}

#[tokio::test]
async fn stream_reports_that_it_lives_at_most_once_a_second() {
    tokio::time::pause();
    let (mut follower, mut inbox) = follower();
    for _ in 0..3 {
        (0..100).for_each(|_| follower.alive());
        assert!(matches!(inbox.try_recv(), Ok(News::Alive(Source::Stream))));
        assert!(inbox.try_recv().is_err());
        tokio::time::advance(REPORT_LIFE_EVERY).await;
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// A server that gives each connection one event, numbered 7, and then nothing; what it is asked.
async fn silent_server() -> (SocketAddr, mpsc::Receiver<String>) {
    server(|_| format!("{OK}id: 7\nevent: heartbeat\ndata: {{}}\n\n"), false).await
}

/// A server that answers each request as `answer` says, and then ends the connection or says nothing more; what it is asked.
async fn server(
    mut answer: impl FnMut(&str) -> String + Send + 'static,
    ends: bool,
) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, (asked, requests)) = (listener.local_addr().unwrap(), mpsc::channel(8));
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(connection.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap().to_lowercase();
            connection.write_all(answer(&request).as_bytes()).await.unwrap();
            asked.send(request).await.unwrap();
            if !ends {
                held.push(connection);
            }
        }
    });
    (address, requests)
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_dropped_after_75_s_and_resumed() {
    install_crypto_provider();
    let (address, mut requests) = silent_server().await;
    let config = ApiConfig { base_url: format!("http://{address}"), ..ApiConfig::default() };
    let client = api::client(&config, Some(&"pk_test".into())).unwrap();
    let (mut follower, mut inbox) = follower();
    {
        let connection = follower.connect(&client);
        tokio::pin!(connection);
        tokio::select! {
            _ = &mut connection => panic!("it ended before its first event"),
            news = inbox.recv() => assert!(matches!(news, Some(News::StreamOpened { place: None, .. })), "{news:?}"),
        }
        tokio::select! {
            _ = &mut connection => panic!("it ended before its first event"),
            news = inbox.recv() => assert!(matches!(news, Some(News::Alive(Source::Stream))), "{news:?}"),
        }
        // All that is waited for from here on is time.
        tokio::time::pause();
        let began = tokio::time::Instant::now();
        connection.await;
        let silent = began.elapsed();
        tokio::time::resume();
        assert!(silent.abs_diff(Duration::from_secs(75)) < Duration::from_secs(1), "{silent:?}");
    }
    assert!(!requests.recv().await.unwrap().contains("last-event-id"));
    tokio::select! {
        _ = follower.connect(&client) => panic!("it ended before its first event"),
        request = requests.recv() => assert!(request.unwrap().contains("\r\nlast-event-id: 7\r\n")),
    }
}

fn client_of(address: SocketAddr) -> Client {
    install_crypto_provider();
    let config = ApiConfig { base_url: format!("http://{address}"), ..ApiConfig::default() };
    api::client(&config, Some(&"pk_test".into())).unwrap()
}

#[tokio::test]
async fn refused_id_is_dropped_and_the_stream_goes_on_without_it() {
    for refusal in ["400 Bad Request", "404 Not Found", "410 Gone"] {
        let answer = move |request: &str| {
            if request.contains("last-event-id") {
                format!("HTTP/1.1 {refusal}\r\ncontent-length: 0\r\n\r\n")
            } else {
                format!("{OK}id: 7\nevent: heartbeat\ndata: {{}}\n\n")
            }
        };
        let (address, mut requests) = server(answer, true).await;
        let (client, (mut follower, mut inbox)) = (client_of(address), follower());
        let mut sent = Vec::new();
        for _ in 0..5 {
            let wait = follower.connect(&client).await;
            let had_id = requests.recv().await.unwrap().contains("last-event-id: 7");
            assert_eq!(wait == Duration::ZERO, had_id, "{refusal}: only a refused id is left out at once");
            sent.push(had_id);
        }
        assert_eq!(sent, [false, true, false, true, false], "{refusal}");
        assert!(matches!(inbox.try_recv(), Ok(News::StreamOpened { .. })));
        assert!(matches!(inbox.try_recv(), Ok(News::Alive(Source::Stream))));
    }
}

#[tokio::test]
async fn a_stream_is_looked_for_under_every_spelling_and_resumed_where_it_is_found() {
    let answer = |request: &str| {
        if request.starts_with("get /api/v1/chat/events/stream ") {
            format!("{OK}id: 7\nevent: heartbeat\ndata: {{}}\n\n")
        } else {
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()
        }
    };
    let (address, mut requests) = server(answer, true).await;
    let (client, (news, mut inbox)) = (client_of(address), mpsc::channel(8));
    let choice = PathChoice::among(ApiPath::Stream, client.candidates(ApiPath::Stream), None);
    let mut follower = Follower::new(news, choice);
    assert_eq!(follower.connect(&client).await, Duration::ZERO, "the other spelling is tried at once");
    assert!(matches!(inbox.try_recv(), Ok(News::StreamMissing { .. })));
    follower.connect(&client).await;
    let Ok(News::StreamOpened { path, place }) = inbox.try_recv() else { panic!("it was not found") };
    assert_eq!((&*path, place), ("/api/v1/chat/events/stream", Some(1)));
    follower.connect(&client).await;
    let asked: Vec<_> = (0..3).map(|_| requests.try_recv().unwrap()).collect();
    assert!(asked[0].starts_with("get /v1/chat/events/stream "), "{asked:?}");
    assert!(asked[2].starts_with("get /api/v1/chat/events/stream ") && asked[2].contains("last-event-id: 7"));
    // What was remembered is asked first; where there is none at all it is said once, and asked for hourly.
    let (news, _inbox) = mpsc::channel(8);
    let choice = PathChoice::among(ApiPath::Stream, client.candidates(ApiPath::Stream), Some(1));
    let mut follower = Follower::new(news, choice);
    assert_eq!(follower.refused(&status(404)), Duration::ZERO);
    assert_eq!(follower.refused(&status(404)), MISSING_WAIT);
    assert_eq!(&*follower.path.current(), "/api/v1/chat/events/stream");
    for code in [401, 403, 429, 500] {
        follower.refused(&status(code));
        assert_eq!(&*follower.path.current(), "/api/v1/chat/events/stream", "{code}");
    }
}

#[tokio::test]
async fn event_that_is_cut_short_moves_nothing() {
    let cut =
        |_: &str| format!("{OK}id: 7\ndata: {{}}\n\nid: 8\nevent: session.ended\ndata: {{\"sessionId\":\"s\"}}\n");
    let (address, _requests) = server(cut, true).await;
    let (mut follower, mut inbox) = follower();
    follower.connect(&client_of(address)).await;
    assert_eq!(follower.state.id(), Some("7"));
    assert!(matches!(inbox.try_recv(), Ok(News::StreamOpened { .. })));
    assert!(matches!(inbox.try_recv(), Ok(News::Alive(Source::Stream))));
    assert!(inbox.try_recv().is_err(), "no hint of an event that did not end");
}

#[tokio::test]
async fn answer_without_content_is_no_stream() {
    let (address, _requests) = server(|_| "HTTP/1.1 204 No Content\r\n\r\n".into(), true).await;
    let (mut follower, _inbox) = follower();
    let client = client_of(address);
    let error = client.stream(None).await.err().unwrap();
    assert_eq!(follower.state.refused(&error, 0.0).report, Some(Trouble::NoStream), "{error}");
}
