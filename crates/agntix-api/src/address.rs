//! The URLs of the API's routes: base URL, path, session id and query.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use crate::error::{ApiError, ClientError};
use crate::options::PathOptions;
use crate::paths::ApiPath;
use crate::time::Timestamp;

/// All but the unreserved characters of RFC 3986, section 2.3, so that an id is one segment whatever is in it.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Longest id that is asked for; real ones have about 40.
const MAX_ID: usize = 1024;
const ID: &str = "{id}";
/// Messages a page: as many as the API gives.
const MESSAGES_LIMIT: u32 = 100;
/// The largest page that the API gives.
const AGENTS_LIMIT: u32 = 100;

/// Which sessions to list, always newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Only sessions created since then.
    pub created_after: Option<Timestamp>,
    /// Only open sessions.
    pub open_only: bool,
    /// From 1.
    pub page: u32,
    /// Sessions a page; 100 at most.
    pub limit: u32,
}

/// The API's routes.
#[derive(Debug)]
pub(super) struct Address {
    host: String,
    is_loopback: bool,
    is_encrypted: bool,
    /// The base URL without a slash at its end.
    root: String,
    /// By route: the configured path, or its spellings.
    candidates: [Vec<Arc<str>>; ApiPath::ALL.len()],
}

impl Address {
    pub(super) fn new(base_url: &str, paths: &PathOptions) -> Result<Self, ClientError> {
        let base = base(base_url)?;
        let name = base.host_str().unwrap_or_default();
        let is_loopback = is_loopback(&base);
        let host = base.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        let root = base.as_str().trim_end_matches('/');
        for path in ApiPath::ALL {
            for candidate in path.candidates(paths) {
                check(path, root, &candidate)?;
            }
        }
        Ok(Self {
            root: root.to_owned(),
            candidates: ApiPath::ALL.map(|path| path.candidates(paths)),
            is_encrypted: base.scheme() == "https",
            host,
            is_loopback,
        })
    }

    /// The path that is asked where no other one is named.
    pub(super) fn first(&self, path: ApiPath) -> Arc<str> {
        self.candidates(path).first().cloned().unwrap_or_default()
    }

    /// The paths under which a route may be asked.
    pub(super) fn candidates(&self, path: ApiPath) -> &[Arc<str>] {
        self.candidates.get(path as usize).map(Vec::as_slice).unwrap_or_default()
    }

    /// Host and, where it is not the usual one, port.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether the API is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Whether requests travel in TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// The session called `id`, under `path`.
    pub(super) fn session(&self, path: &str, id: &str) -> Result<Url, ApiError> {
        if id.is_empty() || id.len() > MAX_ID {
            return Err(ApiError::Id);
        }
        let (before, after) = path.split_once(ID).ok_or(ApiError::Id)?;
        let written = format!("{}{before}{}{after}", self.root, utf8_percent_encode(id, SEGMENT));
        // A segment of dots would be resolved, encoded or not, and the path would lead elsewhere.
        Url::parse(&written).ok().filter(|url| url.as_str() == written).ok_or(ApiError::Id)
    }

    /// A page of the messages of the session called `id`, beside the session under `path`.
    pub(super) fn messages(&self, path: &str, id: &str, page: u32) -> Result<Url, ApiError> {
        let mut url = self.session(path, id)?;
        url.path_segments_mut().map_err(|()| ApiError::Id)?.push("messages");
        url.set_query(Some(&format!("page={page}&limit={MESSAGES_LIMIT}")));
        Ok(url)
    }

    /// A page of the listing, under `path`.
    pub(super) fn list(&self, path: &str, query: &ListQuery) -> Result<Url, ApiError> {
        let mut written = format!("sort=createdAt:desc&page={}&limit={}", query.page, query.limit);
        if let Some(after) = query.created_after {
            // Writing to a string cannot fail.
            let _ = write!(written, "&createdAfter={after}");
        }
        if query.open_only {
            written.push_str("&state=OPEN");
        }
        self.plain(path, Some(&written))
    }

    /// The event stream, under `path`.
    pub(super) fn stream(&self, path: &str) -> Result<Url, ApiError> {
        self.plain(path, None)
    }

    /// A page of the agents, under `path`.
    pub(super) fn agents(&self, path: &str, page: u32) -> Result<Url, ApiError> {
        self.plain(path, Some(&format!("page={page}&limit={AGENTS_LIMIT}")))
    }

    fn plain(&self, path: &str, query: Option<&str>) -> Result<Url, ApiError> {
        // The paths were checked when this was made.
        let mut url = Url::parse(&format!("{}{path}", self.root)).map_err(|_| ApiError::Id)?;
        url.set_query(query);
        Ok(url)
    }
}

/// Whether the API is on this machine.
pub(super) fn is_loopback(base: &Url) -> bool {
    let name = base.host_str().unwrap_or_default();
    let ip = name.trim_matches(['[', ']']).parse();
    name == "localhost" || ip.is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// The URL of the API.
pub(super) fn base(text: &str) -> Result<Url, ClientError> {
    let refuse = |reason| {
        // There may be a password in front of an @, also where the rest is no URL.
        let value = if text.contains('@') { "<hidden>".to_owned() } else { format!("{text:?}") };
        ClientError::BaseUrl { value, reason }
    };
    let url = Url::parse(text.trim()).map_err(|_| refuse("must be a URL such as https://api.agntix.ai"))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(refuse("must begin with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("must not hold a user or a password: the credential has settings of its own"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("must not hold a query or a fragment"));
    }
    Ok(url)
}

/// Rejects what cannot be the path of a route under `root`.
fn check(route: ApiPath, root: &str, path: &str) -> Result<(), ClientError> {
    let refuse = |reason| Err(ClientError::Path { key: route.key(), value: path.to_owned(), reason });
    if route == ApiPath::Session && path.matches(ID).count() != 1 {
        return refuse("must hold {id} once");
    }
    if !path.starts_with('/') {
        return refuse("must begin with a slash");
    }
    // As it would be sent.
    let written = format!("{root}{}", path.replace(ID, "x"));
    let url = Url::parse(&written).ok();
    match url.filter(|url| url.as_str() == written && url.query().is_none() && url.fragment().is_none()) {
        Some(_) => Ok(()),
        None => refuse("must be a plain path: no query, no dot segments, anything unusual percent-encoded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "/api/v1/chat/sessions/{id}";

    fn address(base_url: &str) -> Address {
        Address::new(base_url, &PathOptions::default()).unwrap()
    }

    #[test]
    fn an_id_is_one_segment_whatever_is_in_it() {
        let address = address("https://api.agntix.ai");
        for (id, segment) in [
            ("4981804c-2658-4893-84ff-9c2fa90fb3c2", "4981804c-2658-4893-84ff-9c2fa90fb3c2"),
            ("ses_1.a~b", "ses_1.a~b"),
            ("...", "..."),
            ("a/../b", "a%2F..%2Fb"),
            ("../agents", "..%2Fagents"),
            ("a\\b", "a%5Cb"),
            ("a?b#c", "a%3Fb%23c"),
            ("a b+c&d=e", "a%20b%2Bc%26d%3De"),
            ("%2e%2e", "%252e%252e"),
            ("%", "%25"),
            ("é\u{0}\r\n", "%C3%A9%00%0D%0A"),
            (" ", "%20"),
            (":@;,!$'()*[]{}|\"<>^`", "%3A%40%3B%2C%21%24%27%28%29%2A%5B%5D%7B%7D%7C%22%3C%3E%5E%60"),
        ] {
            let url = address.session(SESSION, id).unwrap();
            assert_eq!(url.as_str(), format!("https://api.agntix.ai/api/v1/chat/sessions/{segment}"), "{id:?}");
        }
        for nowhere in ["", ".", "..", &"x".repeat(1025)] {
            assert_eq!(address.session(SESSION, nowhere), Err(ApiError::Id), "{nowhere:?}");
        }
    }

    #[test]
    fn url_parser_resolves_encoded_dot_segments() {
        let resolved = Url::parse("https://x/a/%2e%2E").unwrap();
        assert_eq!(resolved.as_str(), "https://x/");
    }

    #[test]
    fn base_url_may_have_a_prefix_and_a_port() {
        for base in ["http://Gateway:8080/agntix/v2", " http://gateway:8080/agntix/v2/ "] {
            let address = address(base);
            assert_eq!(address.host(), "gateway:8080");
            let url = address.session(SESSION, "a").unwrap();
            assert_eq!(url.as_str(), "http://gateway:8080/agntix/v2/api/v1/chat/sessions/a");
        }
        assert_eq!(address("https://api.agntix.ai:443/").host(), "api.agntix.ai");
        assert_eq!(address("http://[::1]:1/").host(), "[::1]:1");
        for (base, is_loopback) in
            [("http://[::1]", true), ("http://127.0.0.2", true), ("http://localhost", true), ("http://10.0.0.1", false)]
        {
            assert_eq!(address(base).is_loopback(), is_loopback, "{base}");
        }
    }

    #[test]
    fn lists_are_asked_for_newest_first() {
        let address = address("https://api.agntix.ai");
        let query = ListQuery { created_after: None, open_only: false, page: 1, limit: 100 };
        let base = "https://api.agntix.ai/api/v1/chat/sessions?sort=createdAt:desc";
        assert_eq!(address.list("/api/v1/chat/sessions", &query).unwrap().as_str(), format!("{base}&page=1&limit=100"));
        let created_after = Timestamp::parse_rfc3339("2026-04-08T05:10:00.5Z");
        let query = ListQuery { created_after, open_only: true, page: 3, limit: 100 };
        let after = "createdAfter=2026-04-08T05:10:00.500Z";
        assert_eq!(
            address.list("/api/v1/chat/sessions", &query).unwrap().as_str(),
            format!("{base}&page=3&limit=100&{after}&state=OPEN")
        );
        assert_eq!(
            address.agents("/v1/chat/agents", 2).unwrap().as_str(),
            "https://api.agntix.ai/v1/chat/agents?page=2&limit=100"
        );
    }

    #[test]
    fn error_names_key_value_and_reason_but_no_password() {
        let of_base = |base_url: &str| Address::new(base_url, &PathOptions::default()).unwrap_err().to_string();
        let of_paths = |paths: &PathOptions| Address::new("https://api.agntix.ai", paths).unwrap_err().to_string();
        assert_eq!(of_base("ftp://x"), "api.base_url is \"ftp://x\", but must begin with https:// or http://");
        for base in ["https://me:hunter2@x", "https://me:hunter2@x y", "api.agntix.ai", "", "https://x?a=b", "https://"]
        {
            let message = of_base(base);
            assert!(message.starts_with("api.base_url is ") && !message.contains("hunter2"), "{message}");
        }
        for path in ["/sessions", "/{id}/{id}", "sessions/{id}", "/a/../{id}", "/a b/{id}", "/{id}?x", "/{id}#x"] {
            let message = of_paths(&PathOptions { session: Some(path.into()), ..PathOptions::default() });
            assert!(message.starts_with(&format!("api.session_path is {path:?}, but must ")), "{message}");
        }
        let paths = PathOptions { list: Some("/a?org=1".into()), ..PathOptions::default() };
        assert!(of_paths(&paths).starts_with("api.list_path is \"/a?org=1\""));
    }
}
