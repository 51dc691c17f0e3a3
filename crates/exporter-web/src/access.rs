//! Who is let in: what the web configuration file says, applied to requests before they reach a route.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::web_config::WebConfigFile;
use crate::web_config::users::Verdict;

/// What guards the routes of a listener.
#[derive(Clone)]
pub struct Access {
    file: Arc<WebConfigFile>,
    /// Paths that need no user, and that no limit refuses: the probes.
    probes: Vec<String>,
    /// Paths that need no user: they know their clients in another way.
    without_users: Vec<String>,
}

impl Access {
    /// Everybody is let in, over plain HTTP.
    pub fn open() -> Self {
        Self::guarded(Arc::new(WebConfigFile::none()))
    }

    /// What `file` says holds for every path.
    pub fn guarded(file: Arc<WebConfigFile>) -> Self {
        Self { file, probes: Vec::new(), without_users: Vec::new() }
    }

    /// These paths need no user, and no limit refuses them.
    #[must_use]
    pub fn with_open_probes(mut self, paths: impl IntoIterator<Item = String>) -> Self {
        self.probes.extend(paths);
        self
    }

    /// This path needs no user, as one whose requests are signed; rate limits and client certificates hold for it.
    #[must_use]
    pub fn with_path_without_users(mut self, path: &str) -> Self {
        self.without_users.push(path.to_owned());
        self
    }

    /// What guards the connections.
    pub(crate) fn file(&self) -> &WebConfigFile {
        &self.file
    }

    /// The answer to a request that is not let in; none if it is.
    pub(crate) async fn refuse<B>(&self, request: &Request<B>, peer: IpAddr) -> Option<Response> {
        let (snapshot, authenticator) = self.file.in_force()?;
        // Compared as it came: a path that is written in another way is not one of these, and no route has it either.
        let path = request.uri().path();
        if self.probes.iter().any(|probe| probe == path) {
            return None;
        }
        if let Some(limit) = &snapshot.rate_limit
            && let Err(wait) = limit.take(Instant::now())
        {
            return Some(later(wait.as_secs().saturating_add(1), "Too many requests.\n"));
        }
        if snapshot.users.is_empty() || self.without_users.iter().any(|open| open == path) {
            return None;
        }
        let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        match authenticator.check(&snapshot.users, authorization, peer).await {
            Verdict::Accepted => None,
            Verdict::Refused => {
                let challenge = [(WWW_AUTHENTICATE, "Basic")];
                Some((StatusCode::UNAUTHORIZED, challenge, "A user and a password are needed here.\n").into_response())
            }
            Verdict::Busy => Some(later(1, "Too many passwords wait to be checked.\n")),
        }
    }

    /// Adds the configured headers to an answer.
    pub(crate) fn complete(&self, response: &mut Response) {
        let Some((snapshot, _)) = self.file.in_force() else { return };
        for (name, value) in &snapshot.headers {
            // What the page itself asks of browsers is stricter, where it says anything.
            if !response.headers().contains_key(name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
}

fn later(seconds: u64, text: &'static str) -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, HeaderValue::from(seconds))], text).into_response()
}
