//! The HTTP client: one attempt a call. Budget, retries, schedule and metrics are elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{StatusCode, Url, redirect, retry};

use crate::address::{Address, ListQuery};
use crate::answer::{Answer, ApiRateLimit, Route};
use crate::credential::Credential;
use crate::error::{ApiError, ClientError};
use crate::options::ClientOptions;
use crate::paths::ApiPath;
use crate::proxy::{Proxy, ProxyVariables};
use crate::stream::EventStream;
use crate::time::Timestamp;
use crate::tls::{self, Roots};
use crate::{body, headers};

/// An HTTP/2 connection whose peer has vanished would take every request until TCP gives up; these pings end it sooner.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A stream is reopened after this time.
const STREAM_AT_MOST: Duration = Duration::from_secs(86_400);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the API. Cheap to clone; the clones share their connections.
///
/// A call sends one request and never another: no redirect is followed, since the credential must not reach another
/// host, and nothing is repeated. (A request that a connection refused before any of it was written may go over a new
/// connection; the API sees it once.) HTTP/2 is used where the server offers it in the TLS handshake.
///
/// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are obeyed, except for an API on this machine.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    address: Address,
    credential: Arc<Credential>,
    proxy: Option<Proxy>,
    /// Limits the head of a stream; its body has no end.
    timeout: Duration,
}

impl Client {
    /// A client for the API that `options` name. Connects to nothing, and reads no credential from a file yet.
    ///
    /// # Errors
    /// If a URL, a path or the credential is wrong, or if TLS cannot be set up. The error is one sentence that says what
    /// to do.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        Self::with_roots(options, Roots::find()?)
    }

    /// [`Client::new`], trusting `roots`.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_roots(options: ClientOptions, roots: Roots) -> Result<Self, ClientError> {
        // Without one, the HTTP library panics.
        if !tls::is_crypto_provider_installed() {
            return Err(ClientError::CryptoProvider);
        }
        let address = Address::new(&options.base_url, &options.paths)?;
        let credential = Arc::new(Credential::new(options.credential)?);
        let mut builder = reqwest::Client::builder()
            .user_agent(options.user_agent)
            .default_headers(HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]))
            .timeout(options.timeout)
            .connect_timeout(options.connect_timeout)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .gzip(true)
            .pool_max_idle_per_host(options.max_idle_connections)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true);
        builder = roots.trusted_by(builder);
        if let Some(file) = &options.ca_file {
            builder = builder.tls_certs_merge(tls::read_certificates(file)?);
        }
        let proxy = ProxyVariables::from_process().proxy_for(&options.base_url)?;
        if address.is_loopback() {
            builder = builder.no_proxy();
        } else if !address.is_encrypted() {
            tracing::warn!(host = address.host(), "api.base_url is not https://: the credential is sent in clear");
        }
        let http = builder.build().map_err(|error| ClientError::Setup(super::error::root_cause(&error)))?;
        Ok(Self(Arc::new(Inner { http, address, credential, proxy, timeout: options.timeout })))
    }

    /// One session, with its analysis. The id may be any text. Asked under the configured path, or the first spelling.
    pub async fn session(&self, id: &str) -> Answer {
        self.session_at(self.0.address.first(ApiPath::Session), id).await
    }

    /// [`session`](Self::session), under `path`.
    pub async fn session_at(&self, path: Arc<str>, id: &str) -> Answer {
        let url = self.0.address.session(&path, id);
        self.ask(Route::Session, path, url).await
    }

    /// A page of the listing. Asked under the configured path, or the first spelling.
    pub async fn list(&self, query: &ListQuery) -> Answer {
        self.list_at(self.0.address.first(ApiPath::List), query).await
    }

    /// [`list`](Self::list), under `path`.
    pub async fn list_at(&self, path: Arc<str>, query: &ListQuery) -> Answer {
        let url = self.0.address.list(&path, query);
        self.ask(Route::List, path, url).await
    }

    /// A page of the agents, from 1. Asked under the configured path, or the first spelling.
    pub async fn agents(&self, page: u32) -> Answer {
        self.agents_at(self.0.address.first(ApiPath::Agents), page).await
    }

    /// [`agents`](Self::agents), under `path`.
    pub async fn agents_at(&self, path: Arc<str>, page: u32) -> Answer {
        let url = self.0.address.agents(&path, page);
        self.ask(Route::Agents, path, url).await
    }

    /// A page of the messages of a session, from 1; `path` is the session's.
    pub async fn messages_at(&self, path: Arc<str>, id: &str, page: u32) -> Answer {
        let url = self.0.address.messages(&path, id, page);
        self.ask(Route::Messages, path, url).await
    }

    /// The paths under which a route may be asked: the configured one, or its spellings.
    pub fn candidates(&self, path: ApiPath) -> Vec<Arc<str>> {
        self.0.address.candidates(path).to_vec()
    }

    /// Opens the organization's event stream, to be resumed behind `last_event_id`. It ends after a day at the latest.
    ///
    /// # Errors
    /// As for any request; there is no stream then.
    pub async fn stream(&self, last_event_id: Option<&str>) -> Result<EventStream, ApiError> {
        self.stream_at(&self.0.address.first(ApiPath::Stream), last_event_id).await
    }

    /// [`stream`](Self::stream), under `path`.
    ///
    /// # Errors
    /// As for any request; there is no stream then.
    pub async fn stream_at(&self, path: &str, last_event_id: Option<&str>) -> Result<EventStream, ApiError> {
        let (name, value) = self.0.credential.current().await?;
        let mut request = self.0.http.get(self.0.address.stream(path)?).header(name, value);
        // Compression would delay events.
        request =
            request.header(ACCEPT, "text/event-stream").header(ACCEPT_ENCODING, "identity").timeout(STREAM_AT_MOST);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        // The time-out of ordinary requests applies to the head of the answer only.
        let sent =
            tokio::time::timeout(self.0.timeout, request.send()).await.map_err(|_| ApiError::timeout(self.proxy()))?;
        let response = sent.map_err(|error| ApiError::from_sending(&error, self.host(), self.proxy()))?;
        if response.status().is_success() {
            if response.status() != StatusCode::OK {
                // 204 is how a server says that it has no events for anybody.
                return Err(ApiError::Body(format!("status {}, and no event stream", response.status().as_u16())));
            }
            return match headers::not_event_stream(response.headers()) {
                None => Ok(EventStream::new(response.into())),
                Some(what) => Err(ApiError::Body(format!("{what}, and no event stream"))),
            };
        }
        let error = body::refusal(response).await;
        if matches!(error, ApiError::Status { status: 401, .. }) {
            self.0.credential.refused();
        }
        Err(error)
    }

    /// How the credential is named to a person: `AGNTIX_API_KEY`, `api.key_file /path`, `api.bearer_token_file /path`.
    pub fn credential_name(&self) -> String {
        self.0.credential.name().to_owned()
    }

    /// Whether the credential's file has changed since it was last read. Always false for a key that is in no file.
    pub fn credential_has_changed(&self) -> bool {
        self.0.credential.has_changed()
    }

    /// Host and, where it is not the usual one, port of `api.base_url`.
    pub fn host(&self) -> &str {
        self.0.address.host()
    }

    /// The proxy that requests go through, if they do.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.0.proxy.as_ref()
    }

    async fn ask(&self, route: Route, path: Arc<str>, url: Result<Url, ApiError>) -> Answer {
        let begun = Instant::now();
        let mut head = Head::default();
        let result = match url {
            Ok(url) => self.attempt(url, &mut head).await,
            Err(error) => Err(error),
        };
        if matches!(result, Err(ApiError::Status { status: 401, .. })) {
            self.0.credential.refused();
        }
        Answer {
            route,
            path,
            status: head.status,
            content_type: head.content_type,
            elapsed: begun.elapsed(),
            rate_limit: head.rate_limit,
            date: head.date,
            head_received: head.received,
            request_id: head.request_id,
            is_unsent: head.is_unsent,
            result,
        }
    }

    async fn attempt(&self, url: Url, head: &mut Head) -> Result<Bytes, ApiError> {
        let (name, value) = self.0.credential.current().await?;
        let sent = self.0.http.get(url).header(name, value).send().await;
        let response = sent.map_err(|error| {
            head.is_unsent = error.is_connect();
            ApiError::from_sending(&error, self.host(), self.proxy())
        })?;
        let received = Instant::now();
        head.rate_limit = ApiRateLimit::read(response.headers());
        head.status = Some(response.status().as_u16());
        head.content_type = headers::media_type(response.headers());
        if !response.status().is_success() {
            return Err(body::refusal(response).await);
        }
        (head.date, head.received) = (headers::date(response.headers()), Some(received));
        head.request_id = body::request_id(response.headers());
        body::whole(response).await
    }
}

/// The head of an answer, which is known even if the body fails.
#[derive(Default)]
struct Head {
    status: Option<u16>,
    content_type: Option<&'static str>,
    rate_limit: ApiRateLimit,
    date: Option<Timestamp>,
    received: Option<Instant>,
    request_id: Option<String>,
    is_unsent: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.host())
            .field("credential", &self.0.credential.name())
            .finish_non_exhaustive()
    }
}
