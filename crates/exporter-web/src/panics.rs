//! A panic in a handler costs one request: it is answered 500, and the log says why; the client does not learn it.

use std::any::Any;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tower::{Layer as _, Service as _};
use tower_http::catch_panic::CatchPanicLayer;

/// The middleware of all routes.
pub(crate) async fn survive_panics(request: Request, next: Next) -> Response {
    let route = request.uri().path().to_owned();
    let answer = move |panic: Box<dyn Any + Send>| {
        tracing::error!(route, panic = panic_text(&*panic), "a request failed in a way that it should not");
        let headers = [(header::CONNECTION, "close")];
        (StatusCode::INTERNAL_SERVER_ERROR, headers, "This should not have happened; the log says more.\n")
            .into_response()
    };
    match CatchPanicLayer::custom(answer).layer(next).call(request).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    /// What is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_panic_is_one_500_and_one_line_in_the_log() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let router = Router::new().route("/boom", get(boom)).layer(middleware::from_fn(survive_panics));
        let answer = router.oneshot(Request::get("/boom").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert!(!String::from_utf8(body.to_vec()).unwrap().contains("secret detail"));
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains("ERROR") && log.contains("route=\"/boom\"") && log.contains("secret detail"), "{log}");
    }

    async fn boom() -> &'static str {
        tokio::task::yield_now().await;
        panic!("secret detail")
    }
}
