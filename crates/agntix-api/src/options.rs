//! What a [`Client`](crate::Client) is made of. Plain values: where they come from is the caller's business.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// Where the API is and how it is asked.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Who asks: the `User-Agent` of each request, visible ASCII.
    pub user_agent: String,
    /// Scheme, host, and where there are any port and prefix of the API; no credential in it.
    pub base_url: String,
    /// What authenticates requests.
    pub credential: CredentialSource,
    /// A whole request, from connect to the last byte of the answer.
    pub timeout: Duration,
    /// TCP and TLS handshake.
    pub connect_timeout: Duration,
    /// Idle connections that are kept at most: as many as requests are made at once.
    pub max_idle_connections: usize,
    /// Certificates of authorities to trust besides the system's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Where the routes are.
    pub paths: PathOptions,
}

impl ClientOptions {
    /// Those of an API at `base_url`: 10 s a request, 5 s of them to connect, 16 connections, the vendor's paths.
    pub fn new(base_url: impl Into<String>, credential: CredentialSource) -> Self {
        Self {
            user_agent: concat!("agntix-api/", env!("CARGO_PKG_VERSION")).into(),
            base_url: base_url.into(),
            credential,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            max_idle_connections: 16,
            ca_file: None,
            paths: PathOptions::default(),
        }
    }
}

/// The paths of the routes. `None`: one of the vendor's spellings, whichever answers as the route promises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathOptions {
    /// One session; holds `{id}` once, which is replaced.
    pub session: Option<String>,
    /// The listing of sessions.
    pub list: Option<String>,
    /// The agents.
    pub agents: Option<String>,
    /// The event stream.
    pub stream: Option<String>,
}

/// What authenticates requests, and how it is sent.
#[derive(Clone, Debug)]
pub struct CredentialSource {
    /// How it is named to a person, without the path of a file: a variable, a flag, a key of a configuration.
    pub name: String,
    /// Where it is.
    pub place: CredentialPlace,
}

/// Where a credential is. A file is read again when it changes.
#[derive(Clone, Debug)]
pub enum CredentialPlace {
    /// An API key that stays as it is; sent as `x-api-key`.
    Key(Secret),
    /// A file with an API key; sent as `x-api-key`.
    KeyFile(PathBuf),
    /// A file with a JWT; sent as `Authorization: Bearer`.
    BearerTokenFile(PathBuf),
}
