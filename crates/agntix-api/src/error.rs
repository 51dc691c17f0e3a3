//! Why a client cannot be made, and why a request returned no usable body. These types hold neither the API's own error
//! message, which may contain personal data (promise P7), nor a URL.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::proxy::{Proxy, ProxyError};
use crate::time::Timestamp;

/// Longest reason that is kept: some are partly written by the other side.
const MAX_REASON: usize = 200;

/// Why a client cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// `api.base_url` cannot be used. The value is hidden if there may be a password in it.
    #[error("api.base_url is {value}, but {reason}")]
    BaseUrl {
        /// What it is.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// One of the paths cannot be used.
    #[error("{key} is {value:?}, but {reason}")]
    Path {
        /// The key in the configuration.
        key: &'static str,
        /// What it is.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The key that was handed over is not one.
    #[error("{name} {fault}")]
    Credential {
        /// How the credential is named to a person.
        name: String,
        /// What is wrong with it.
        fault: CredentialFault,
    },
    /// The operator named other root certificates, and there are none.
    #[error("no certificate can be read from {variables}: correct the path, or unset it to use the system's own")]
    Roots {
        /// The environment variables, with their values.
        variables: String,
    },
    /// The operator named a file of further certificates, and it holds none.
    #[error("api.ca_file is {file:?}, but {reason}")]
    CaFile {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A variable of the environment names a proxy that cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The process has not chosen its TLS cryptography.
    #[error("no TLS provider is installed: call install_crypto_provider() before the first client is made")]
    CryptoProvider,
    /// The HTTP library refuses to start.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
}

/// Why a text cannot be sent as a credential. Does not hold the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialFault {
    /// Only white space.
    #[error("is empty")]
    Empty,
    /// It is longer than any credential.
    #[error("is longer than {0} bytes, and so no credential")]
    Long(u64),
    /// RFC 9110, section 5.5: visible ASCII and spaces.
    #[error("holds a line break or another character that an HTTP header cannot carry")]
    Character,
    /// Most likely another kind of file.
    #[error("is not UTF-8 text")]
    NotText,
    /// A directory, a pipe, a device.
    #[error("is not a regular file")]
    NotAFile,
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

/// Why there is no usable body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Any status but 2xx; redirects are not followed.
    #[error("the API answered {}", StatusSentence(*.status, .code.as_deref(), .request_id.as_deref()))]
    Status {
        /// The status.
        status: u16,
        /// The stable code of the error envelope, such as `SESSION_NOT_FOUND`, if there was one.
        code: Option<String>,
        /// What the vendor's support asks for.
        request_id: Option<String>,
        /// How long to wait before any other request.
        retry_after: Option<Duration>,
    },
    /// No answer: refused, reset, name not known, certificate not trusted.
    #[error("the API cannot be reached: {0}")]
    Connect(String),
    /// The API said that it did not begin to process the request (a GOAWAY with a lower stream id, or a refused stream). The
    /// same request may be sent again, and the rate limit does not count it.
    #[error("the API closed the connection before it took the request: {0}")]
    Unprocessed(String),
    /// The answer, or its end, did not come in time.
    #[error("the API did not answer within api.timeout, or not connect within api.connect_timeout")]
    Timeout,
    /// The same, through a proxy.
    #[error(
        "neither the proxy {0} nor the API behind it answered within api.timeout, or let a connection be made within api.connect_timeout"
    )]
    ProxyTimeout(String),
    /// The answer cannot be used: cut off, too long, not HTTP, broken or unknown encoding.
    #[error("the answer of the API cannot be used: it is {0}")]
    Body(String),
    /// The file with the credential has never been readable.
    #[error("there is no credential for the API: {0}")]
    Credential(String),
    /// No request was sent: a URL whose last segment is empty or made of one or two dots means another route (RFC
    /// 3986, section 6.2.2.3), also when the dots are percent-encoded.
    #[error("no URL can name this session: its id is empty, \".\", \"..\" or longer than 1024 bytes")]
    Id,
}

/// `404 (SESSION_NOT_FOUND), request id req_1`
struct StatusSentence<'a>(u16, Option<&'a str>, Option<&'a str>);

impl fmt::Display for StatusSentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(status, code, request_id) = self;
        write!(f, "{status}")?;
        if let Some(code) = code {
            write!(f, " ({code})")?;
        }
        match request_id {
            Some(request_id) => write!(f, ", request id {request_id}"),
            None => Ok(()),
        }
    }
}

impl ApiError {
    /// The value of the label `code`: the status as a number, `timeout`, `connect`, `body`, `credential` or `id`.
    pub fn code_label(&self) -> Cow<'static, str> {
        match self {
            Self::Status { status, .. } => Cow::Owned(status.to_string()),
            Self::Connect(_) | Self::Unprocessed(_) => Cow::Borrowed("connect"),
            Self::Timeout | Self::ProxyTimeout(_) => Cow::Borrowed("timeout"),
            Self::Body(_) => Cow::Borrowed("body"),
            Self::Credential(_) => Cow::Borrowed("credential"),
            Self::Id => Cow::Borrowed("id"),
        }
    }

    /// Whether the same request may succeed later: 408, 425, 429, 5xx, and every error without a status except
    /// [`Credential`](Self::Credential) and [`Id`](Self::Id).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Connect(_) | Self::Unprocessed(_) | Self::Timeout | Self::ProxyTimeout(_) | Self::Body(_) => true,
            Self::Credential(_) | Self::Id => false,
        }
    }

    /// Whether it is an answer that is longer than any is read.
    pub fn is_too_long(&self) -> bool {
        matches!(self, Self::Body(why) if why == crate::body::TOO_LONG)
    }

    /// How long the API asks to wait; an hour at most.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What the vendor's support asks for.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Status { request_id, .. } => request_id.as_deref(),
            _ => None,
        }
    }

    /// The error of a request to `host`, through `proxy`, that got no head of an answer.
    pub(super) fn from_sending(error: &reqwest::Error, host: &str, proxy: Option<&Proxy>) -> Self {
        if error.is_timeout() {
            return Self::timeout(proxy);
        }
        if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
            return Self::Body("not valid HTTP".into());
        }
        if find::<h2::Error>(error).is_some_and(is_unprocessed) {
            return Self::Unprocessed(root_cause(error).chars().filter(|c| !c.is_control()).take(MAX_REASON).collect());
        }
        Self::Connect(match proxy {
            None => unreachable(error, host),
            Some(proxy) => refused_by_proxy(&root_cause(error), host, proxy).unwrap_or_else(|| {
                format!("{}, through the proxy {}", unreachable(error, proxy.host()), proxy.named())
            }),
        })
    }

    /// That no head of an answer came in time.
    pub(super) fn timeout(proxy: Option<&Proxy>) -> Self {
        proxy.map_or(Self::Timeout, |proxy| Self::ProxyTimeout(proxy.named()))
    }

    /// The error of an answer whose body failed.
    pub(super) fn from_reading(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        // What fails on the way is an error of hyper's; what fails in the decoder is not.
        let is_of_the_connection = find::<hyper::Error>(error).is_some();
        Self::Body(if is_of_the_connection { "cut off" } else { "not well-formed gzip" }.into())
    }
}

/// Whether the server said that it did not begin to process the request (RFC 9113, sections 6.8 and 8.7). Streams up to the
/// last id of a GOAWAY go on; one that ends with it is above that id.
fn is_unprocessed(error: &h2::Error) -> bool {
    let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (error.is_go_away() || is_refused)
}

/// Why a request was not answered, as the end of a sentence.
fn unreachable(error: &reqwest::Error, host: &str) -> String {
    let reason = if error.is_dns() {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        format!("the name {name} is not known ({})", root_cause(error))
    } else if let Some(tls) = find::<rustls::Error>(error) {
        match tls {
            rustls::Error::InvalidCertificate(reason) => format!("its certificate {}", untrusted(reason)),
            // Such as the plain text of a server without TLS.
            rustls::Error::InvalidMessage(_) => {
                "it does not speak TLS; does api.base_url have to begin with http:// or name another port?".into()
            }
            other => format!("the TLS handshake failed ({other})"),
        }
    } else if let Some(kind) = find::<std::io::Error>(error).map(std::io::Error::kind) {
        match kind {
            ErrorKind::ConnectionRefused => "connection refused".into(),
            ErrorKind::ConnectionReset => "connection reset".into(),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "no route to it".into(),
            ErrorKind::UnexpectedEof => CLOSED.into(),
            _ => root_cause(error),
        }
    } else if find::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message) {
        CLOSED.into()
    } else {
        root_cause(error)
    };
    reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
}

/// What the proxy said to CONNECT. The HTTP library tells it by its text only.
fn refused_by_proxy(cause: &str, host: &str, proxy: &Proxy) -> Option<String> {
    let proxy = proxy.named();
    match cause.strip_prefix("tunnel error: ")? {
        "proxy authorization required" => Some(format!(
            "the proxy {proxy} asks for a user and a password (407): write them into the variable, as http://user:password@host:port"
        )),
        "unsuccessful" => Some(format!(
            "the proxy {proxy} does not let a connection to {host} pass: see that it allows this host and port, and that its user and password are right"
        )),
        _ => None,
    }
}

/// Why a certificate is not accepted. Reads on after "its certificate".
fn untrusted(reason: &CertificateError) -> String {
    let when =
        |time: UnixTime| Timestamp::from_millis(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000));
    match reason {
        CertificateError::UnknownIssuer => {
            "is vouched for by no authority that this machine trusts; api.ca_file names further ones, SSL_CERT_FILE others".into()
        }
        CertificateError::ExpiredContext { time, not_after } => {
            format!("expired at {}; this machine's clock says {}", when(*not_after), when(*time))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("is valid from {} on; this machine's clock says {}", when(*not_before), when(*time))
        }
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "is one of an authority (CA:TRUE), which no server may show as its own".into()
        }
        other => format!("is not trusted ({other})"),
    }
}

const CLOSED: &str = "the connection was closed before an answer";

/// The innermost error; reqwest's own text has the URL in it, and says little else.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let text = causes(error).last().map_or_else(|| "unknown reason".to_owned(), ToString::to_string);
    text.trim_start_matches("failed to lookup address information: ").to_owned()
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| inner(*cause))
}

/// `source()` of an I/O error passes over the error that it wraps.
fn inner<'e>(cause: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => cause.source(),
    }
}

fn find<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> ApiError {
        let (code, request_id) = (Some("SESSION_NOT_FOUND".into()), Some("req_1".into()));
        ApiError::Status { status, code, request_id, retry_after: Some(Duration::from_secs(2)) }
    }

    #[test]
    fn an_error_is_one_sentence_and_one_label() {
        let error = status(404);
        assert_eq!(error.to_string(), "the API answered 404 (SESSION_NOT_FOUND), request id req_1");
        assert_eq!((error.code_label().as_ref(), error.request_id()), ("404", Some("req_1")));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
        let bare = ApiError::Status { status: 502, code: None, request_id: None, retry_after: None };
        assert_eq!(bare.to_string(), "the API answered 502");
        let others =
            [ApiError::Connect("x".into()), ApiError::Body("x".into()), ApiError::Credential("x".into()), ApiError::Id];
        assert_eq!(others.map(|e| e.code_label()), ["connect", "body", "credential", "id"]);
    }

    #[test]
    fn transient_errors_may_succeed_later() {
        for passing in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(status(passing).is_transient(), "{passing}");
        }
        for lasting in [301, 400, 401, 403, 404, 405, 409, 410, 422] {
            assert!(!status(lasting).is_transient(), "{lasting}");
        }
        assert!(ApiError::Timeout.is_transient() && ApiError::Body(String::new()).is_transient());
        assert!(!ApiError::Credential(String::new()).is_transient() && !ApiError::Id.is_transient());
    }
}
