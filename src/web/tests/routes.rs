//! What each route answers.

use std::io::Read as _;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, Response, StatusCode};
use exporter_web::{Origin, ScrapeSlots};
use tower::ServiceExt as _;

use super::web_state;
use crate::clock::Timestamp;
use crate::config::WebConfig;
use crate::status::{ApiStatus, ReplicaStatus, Said};
use crate::web::{WebError, WebState, router};

pub(super) async fn ask(
    router: &Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (Response<()>, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    (Response::from_parts(parts, ()), to_bytes(body, usize::MAX).await.unwrap().to_vec())
}

pub(super) fn header<'a>(answer: &'a Response<()>, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |v| v.to_str().unwrap())
}

fn routes(state: WebState) -> Router {
    router(state, &WebConfig::default()).unwrap()
}

#[tokio::test]
async fn metrics_follow_the_headers() {
    let router = routes(web_state(3).0);
    let (text, body) = ask(&router, Method::GET, "/metrics", &[]).await;
    assert_eq!(text.status(), StatusCode::OK);
    assert_eq!(header(&text, "content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(header(&text, "vary"), "Accept, Accept-Encoding");
    assert_eq!(header(&text, "content-length"), body.len().to_string());
    assert_eq!(header(&text, "content-encoding"), "");
    assert!(String::from_utf8(body).unwrap().contains("agntix_session_languages_total{agent_id=\"agent2\""));

    // Two lines of one header stand for one.
    let accept = [
        ("accept", "text/plain;q=0.3"),
        ("accept", "application/openmetrics-text;version=1.0.0;q=0.6"),
        ("accept-encoding", "gzip"),
    ];
    let (open, body) = ask(&router, Method::GET, "/metrics", &accept).await;
    assert_eq!(header(&open, "content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(header(&open, "content-encoding"), "gzip");
    let mut plain = String::new();
    flate2::bufread::GzDecoder::new(&body[..]).read_to_string(&mut plain).unwrap();
    assert!(plain.ends_with("# EOF\n"));

    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let accept = [("accept", &*format!("{protobuf};escaping=allow-utf-8;q=0.7,text/plain;q=0.3"))];
    let (answer, body) = ask(&router, Method::GET, "/metrics", &accept).await;
    assert_eq!(header(&answer, "content-type"), protobuf.replace(';', "; "));
    assert_eq!(header(&answer, "vary"), "Accept, Accept-Encoding");
    assert_eq!(header(&answer, "content-length"), body.len().to_string());
    let has = |wanted: &[u8]| body.windows(wanted.len()).any(|window| window == wanted);
    assert!(has(b"\x0a\x08agent_id\x12\x06agent2") && has(b"agntix_session_languages_total"));
}

#[tokio::test]
async fn head_says_what_get_would_and_sends_nothing() {
    let router = routes(web_state(3).0);
    for path in ["/", "/metrics", "/-/healthy"] {
        let (get, page) = ask(&router, Method::GET, path, &[]).await;
        let (head, body) = ask(&router, Method::HEAD, path, &[]).await;
        assert_eq!((head.status(), body.len()), (StatusCode::OK, 0), "{path}");
        for name in ["content-type", "vary", "content-security-policy"] {
            assert_eq!(header(&get, name), header(&head, name), "{path}");
        }
        let length: usize = header(&head, "content-length").parse().unwrap();
        // The process metrics may change their width between two scrapes.
        assert!(length.abs_diff(page.len()) < 64, "{path}: {length} and {}", page.len());
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let router = routes(web_state(0).0);
    for (method, path, status, allow) in [
        (Method::POST, "/metrics", StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD"),
        (Method::DELETE, "/", StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD"),
        (Method::GET, "/-/reload", StatusCode::METHOD_NOT_ALLOWED, "POST"),
        (Method::GET, "/nothing", StatusCode::NOT_FOUND, ""),
        (Method::GET, "/metrics/", StatusCode::NOT_FOUND, ""),
    ] {
        let (answer, body) = ask(&router, method, path, &[]).await;
        assert_eq!((answer.status(), header(&answer, "allow")), (status, allow), "{path}");
        if status == StatusCode::NOT_FOUND {
            assert_eq!(String::from_utf8(body).unwrap().lines().count(), 1);
        }
    }
}

#[tokio::test]
async fn readiness_says_why_not() {
    let (state, _requests) = web_state(0);
    let status = std::sync::Arc::clone(&state.status);
    let router = routes(state);
    status.update(|s| s.ready = Err("The first listing is not done.".into()));
    let (answer, body) = ask(&router, Method::GET, "/-/ready", &[]).await;
    assert_eq!(
        (answer.status(), &body[..]),
        (StatusCode::SERVICE_UNAVAILABLE, &b"The first listing is not done.\n"[..])
    );
    assert_eq!(ask(&router, Method::GET, "/-/healthy", &[]).await.0.status(), StatusCode::OK);
    // A single daemon can always serve its page.
    assert_eq!(ask(&router, Method::GET, "/-/ready?page", &[]).await.0.status(), StatusCode::OK);
    status.update(|s| s.ready = Ok(()));
    assert_eq!(ask(&router, Method::GET, "/-/ready", &[]).await.0.status(), StatusCode::OK);
}

#[tokio::test]
async fn reload_answers_whether_it_succeeded() {
    let (state, mut requests) = web_state(0);
    let router = routes(state);
    let answers = tokio::spawn(async move {
        for answer in [Ok(()), Err("config.toml: poll.open_interval: \"3x\" is not a duration".to_owned())] {
            requests.recv().await.unwrap().reply.unwrap().send(answer).unwrap();
        }
    });
    assert_eq!(ask(&router, Method::POST, "/-/reload", &[]).await.0.status(), StatusCode::OK);
    let (refused, why) = ask(&router, Method::POST, "/-/reload", &[]).await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(String::from_utf8(why).unwrap().contains("poll.open_interval"));
    answers.await.unwrap();
    // The receiver is gone: the daemon is stopping.
    assert_eq!(ask(&router, Method::POST, "/-/reload", &[]).await.0.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn the_landing_page_says_how_it_is_and_forbids_the_rest() {
    let (state, _requests) = web_state(3);
    state.status.update(|s| s.api = ApiStatus::Down("401: look at api.key_file & its scopes".into()));
    let (answer, body) = ask(&routes(state), Method::GET, "/", &[]).await;
    let html = String::from_utf8(body).unwrap();
    assert!(header(&answer, "content-security-policy").starts_with("default-src 'none'"));
    assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
    assert!(html.contains("401: look at api.key_file &#38; its scopes"), "{html}");
    assert!(html.contains(env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn too_many_scrapes_are_turned_away_at_once() {
    let (state, _requests) = web_state(0);
    let slots = ScrapeSlots::new(1);
    let scrape =
        crate::web::metrics::MetricsState { exposition: state.exposition, replica: None, slots: Some(slots.clone()) };
    let router = Router::new().route("/metrics", axum::routing::get(crate::web::metrics::metrics).with_state(scrape));
    let taken = slots.take(Origin::Anybody).unwrap();
    let (answer, why) = ask(&router, Method::GET, "/metrics", &[]).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(String::from_utf8(why).unwrap().contains("web.max_requests"));
    drop(taken);
    assert_eq!(ask(&router, Method::GET, "/metrics", &[]).await.0.status(), StatusCode::OK);
    assert!(slots.take(Origin::Anybody).is_some(), "the slot is free before the page is sent");
}

#[test]
fn a_path_that_cannot_be_a_route_is_refused() {
    for path in ["metrics", "", "/-/ready", "/-/runbooks", "/{x}", "/a?b", "/:id"] {
        let config = WebConfig { telemetry_path: path.into(), ..WebConfig::default() };
        let refused = router(web_state(0).0, &config);
        assert!(matches!(refused, Err(WebError::TelemetryPath { .. })), "{path}");
    }
}

#[tokio::test]
async fn metrics_may_take_the_place_of_the_landing_page() {
    let config = WebConfig { telemetry_path: "/".into(), ..WebConfig::default() };
    let (answer, _) = ask(&router(web_state(0).0, &config).unwrap(), Method::GET, "/", &[]).await;
    assert_eq!(header(&answer, "content-type"), "text/plain; version=0.0.4; charset=utf-8");
}

#[tokio::test]
async fn part_of_the_metrics_is_chosen_by_collect() {
    let router = routes(web_state(3).0);
    let page = async |query: &str, headers: &[(&str, &str)]| {
        let (answer, body) = ask(&router, Method::GET, &format!("/metrics{query}"), headers).await;
        (answer.status().as_u16(), body)
    };
    let has = |body: &[u8]| {
        let text = String::from_utf8(body.to_vec()).unwrap();
        ["agntix_session_languages_total{", "\nagntix_up ", "\nagntix_exporter_build_info{"]
            .map(|name| text.contains(name))
    };
    for (query, parts) in [
        ("", [true; 3]),
        ("?collect[]=sessions&collect[]=exporter", [true; 3]),
        ("?other=1", [true; 3]),
        ("?collect[]=sessions", [true, true, false]),
        // As Prometheus writes it.
        ("?collect%5B%5D=sessions", [true, true, false]),
        ("?collect%5B%5D=exporter", [false, false, true]),
        ("?collect[]=exporter&collect[]=exporter", [false, false, true]),
    ] {
        let (status, body) = page(query, &[]).await;
        assert_eq!((status, has(&body)), (200, parts), "{query}");
        let (status, zipped) = page(query, &[("accept-encoding", "gzip")]).await;
        let mut plain = Vec::new();
        flate2::bufread::GzDecoder::new(&zipped[..]).read_to_end(&mut plain).unwrap();
        assert_eq!((status, has(&plain)), (200, parts), "{query}");
    }
    for (query, why) in [
        ("?collect[]=process", "\"process\""),
        ("?collect[]=sessions&collect[]=", "\"\""),
        ("?collect=sessions", "brackets"),
    ] {
        let (status, body) = page(query, &[]).await;
        let text = String::from_utf8(body).unwrap();
        assert!(status == 400 && text.contains(why) && text.ends_with(".\n"), "{query}: {status} {text}");
    }
}

#[tokio::test]
async fn single_daemon_is_active_and_a_replica_is_ready_for_what_it_does() {
    let (state, _requests) = web_state(0);
    let status = std::sync::Arc::clone(&state.status);
    let router = routes(state);
    let get = async |path: &str| {
        let (answer, body) = ask(&router, Method::GET, path, &[]).await;
        (answer.status().as_u16(), String::from_utf8(body).unwrap())
    };
    let (code, text) = get("/-/active").await;
    assert!(code == 200 && text.starts_with("Active. This process counts"), "{code} {text}");
    status.update(|status| {
        status.ready = Ok(());
        status.replica = Some(ReplicaStatus { holder: "one/7".into(), ..ReplicaStatus::default() });
    });
    let (code, text) = get("/-/ready").await;
    assert!(code == 200 && text.contains("no replica is known to count"), "{code} {text}");
    let said = Said { at: Timestamp::default(), ready: Ok(()) };
    status.update(|status| status.replica.as_mut().unwrap().said = Some(said.clone()));
    let (code, text) = get("/-/ready").await;
    assert!(code == 200 && text.contains("takes deliveries; one/7 counts."), "{code} {text}");
}
