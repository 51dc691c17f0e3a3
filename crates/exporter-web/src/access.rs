//! Who is let in: applies the web configuration file to requests, before they reach a route.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::web_config::WebConfigFile;
use crate::web_config::users::CredentialCheck;

/// Decides which requests reach the routes of a server.
#[derive(Clone)]
pub struct Access {
    file: Arc<WebConfigFile>,
    /// Paths that need no user, and that no limit refuses: the probes.
    probes: Vec<String>,
    /// Paths that need no user.
    without_users: Vec<String>,
}

impl Access {
    /// Lets everybody in, over plain HTTP.
    pub fn open() -> Self {
        Self::guarded(Arc::new(WebConfigFile::none()))
    }

    /// Does for every path what `file` says at the moment of the request.
    pub fn guarded(file: Arc<WebConfigFile>) -> Self {
        Self { file, probes: Vec::new(), without_users: Vec::new() }
    }

    /// These paths need no user, and the rate limit does not count them: the probes of an orchestrator. Where clients must
    /// show a certificate, that holds for these paths too.
    #[must_use]
    pub fn with_open_probes(mut self, paths: impl IntoIterator<Item = String>) -> Self {
        self.probes.extend(paths);
        self
    }

    /// This path needs no user, for example because its requests are signed. The rate limit and client certificates hold for
    /// it.
    #[must_use]
    pub fn with_path_without_users(mut self, path: &str) -> Self {
        self.without_users.push(path.to_owned());
        self
    }

    /// The file, for the connections.
    pub(crate) fn file(&self) -> &WebConfigFile {
        &self.file
    }

    /// The answer to a request that is not let in; `None` if it is.
    pub(crate) async fn refuse<B>(&self, request: &Request<B>, peer: IpAddr) -> Option<Response> {
        let (snapshot, authenticator) = self.file.in_force()?;
        // Compared byte by byte: a path that is spelled in another way is none of these, and no route matches it either.
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
            CredentialCheck::Accepted => None,
            CredentialCheck::Refused => {
                let challenge = [(WWW_AUTHENTICATE, "Basic")];
                Some((StatusCode::UNAUTHORIZED, challenge, "A user and a password are needed here.\n").into_response())
            }
            CredentialCheck::Busy => Some(later(1, "Too many passwords wait to be checked.\n")),
        }
    }

    /// Adds the headers of the file to an answer.
    pub(crate) fn add_headers(&self, response: &mut Response) {
        let Some((snapshot, _)) = self.file.in_force() else { return };
        for (name, value) in &snapshot.headers {
            // A header of the page itself is stricter.
            if !response.headers().contains_key(name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
}

fn later(seconds: u64, text: &'static str) -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, HeaderValue::from(seconds))], text).into_response()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::body::Body;
    use tempfile::TempDir;

    use super::*;

    /// Of user `alice`, whose password is `alice's`.
    const ALICE: &str = "Basic YWxpY2U6YWxpY2Uncw==";

    /// What is let in by a file with this text.
    fn access(text: &str) -> (Access, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.yml");
        std::fs::write(&path, text).unwrap();
        (Access::guarded(Arc::new(WebConfigFile::load(&path).unwrap())), directory)
    }

    fn users() -> String {
        format!("basic_auth_users:\n  alice: {}\n", bcrypt::hash("alice's", 4).unwrap())
    }

    /// The status, if the request is not let in.
    async fn refused(access: &Access, path: &str, authorization: Option<&str>) -> Option<StatusCode> {
        let mut request = Request::get(path);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Body::empty()).unwrap();
        access.refuse(&request, Ipv4Addr::LOCALHOST.into()).await.map(|response| response.status())
    }

    #[tokio::test]
    async fn users_are_needed_but_for_the_paths_that_are_exempt() {
        let (access, _directory) = access(&users());
        let access = access.with_open_probes(["/-/healthy".to_owned()]).with_path_without_users("/signed");
        assert_eq!(refused(&access, "/metrics", None).await, Some(StatusCode::UNAUTHORIZED));
        assert_eq!(refused(&access, "/metrics", Some("Basic eDp5")).await, Some(StatusCode::UNAUTHORIZED));
        assert_eq!(refused(&access, "/metrics", Some(ALICE)).await, None);
        for exempt in ["/-/healthy", "/signed"] {
            assert_eq!(refused(&access, exempt, None).await, None, "{exempt}");
        }
        for spelled in ["/-/healthy/", "//-/healthy", "/-/healthz", "/signed/more"] {
            assert_eq!(refused(&access, spelled, None).await, Some(StatusCode::UNAUTHORIZED), "{spelled}");
        }
    }

    #[tokio::test]
    async fn rate_limit_holds_for_all_paths_but_probes() {
        let (access, _directory) = access("rate_limit: {interval: 1h, burst: 1}\n");
        let access = access.with_open_probes(["/-/healthy".to_owned()]).with_path_without_users("/signed");
        assert_eq!(refused(&access, "/metrics", None).await, None);
        for path in ["/metrics", "/signed"] {
            assert_eq!(refused(&access, path, None).await, Some(StatusCode::TOO_MANY_REQUESTS), "{path}");
        }
        assert_eq!(refused(&access, "/-/healthy", None).await, None);
    }

    #[tokio::test]
    async fn headers_of_the_file_do_not_replace_those_of_the_page() {
        let text = "http_server_config: {headers: {X-Frame-Options: sameorigin, X-Content-Type-Options: nosniff}}\n";
        let (access, _directory) = access(text);
        let mut response = ([("x-frame-options", "deny")], "page").into_response();
        access.add_headers(&mut response);
        let header = |name: &str| response.headers().get(name).map(HeaderValue::as_bytes);
        assert_eq!(header("x-frame-options"), Some(&b"deny"[..]));
        assert_eq!(header("x-content-type-options"), Some(&b"nosniff"[..]));
        assert_eq!(refused(&Access::open(), "/metrics", None).await, None);
    }
}
