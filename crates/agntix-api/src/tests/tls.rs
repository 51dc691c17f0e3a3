//! HTTPS: whom the client trusts, and HTTP/2.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use reqwest::Certificate;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server on loopback that speaks the first of `protocols` that the client offers too, and answers with the
/// version of HTTP that it was asked in.
struct HttpsServer {
    address: SocketAddr,
    certificate: Certificate,
    connections: Arc<AtomicUsize>,
}

/// What the first connection of a server does with the requests that it is sent.
#[derive(Clone, Copy)]
enum First {
    /// Answers them.
    Answers,
    /// Sends these frames when it has seen so many of them, and closes.
    Ends(u32, &'static [u8]),
}

impl HttpsServer {
    async fn new(names: &[&str], protocols: &[&str]) -> Self {
        Self::showing(&parameters(names), protocols).await
    }

    async fn showing(parameters: &CertificateParams, protocols: &[&str]) -> Self {
        Self::beginning(parameters, protocols, First::Answers).await
    }

    async fn beginning(parameters: &CertificateParams, protocols: &[&str], first: First) -> Self {
        install_crypto_provider();
        let signing_key = KeyPair::generate().unwrap();
        let cert = parameters.self_signed(&signing_key).unwrap();
        let certificate = Certificate::from_der(cert.der()).unwrap();
        let key = signing_key.serialize_der().try_into().unwrap();
        let mut config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let first = if count.fetch_add(1, Ordering::SeqCst) == 0 { first } else { First::Answers };
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate ends the handshake.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    if let First::Ends(requests, frames) = first {
                        // The client may have gone by then.
                        drop(end(stream, requests, frames).await);
                        return;
                    }
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let (io, service) = (TokioIo::new(stream), service_fn(answer));
                    let served = if is_http2 {
                        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        server.serve_connection(io, service).await
                    } else {
                        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
                    };
                    drop(served);
                });
            }
        });
        Self { address, certificate, connections }
    }

    fn client(&self, roots: Roots) -> Client {
        client_with(format!("https://localhost:{}", self.address.port()), roots, |_| {})
    }

    fn trusted(&self) -> Roots {
        Roots::Only(vec![self.certificate.clone()])
    }
}

/// Speaks just enough HTTP/2 to see `requests` requests, and then ends the connection with `frames`.
async fn end(
    mut stream: tokio_rustls::server::TlsStream<TcpStream>,
    requests: u32,
    frames: &[u8],
) -> std::io::Result<()> {
    const HEADERS: u8 = 1;
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ACKNOWLEDGED: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    stream.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await?;
    stream.write_all(&[SETTINGS, ACKNOWLEDGED].concat()).await?;
    let mut seen = 0;
    while seen < requests {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await?;
        seen += u32::from(head[3] == HEADERS);
    }
    stream.write_all(frames).await?;
    stream.flush().await?;
    // Until the client has read it and goes.
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// No error; the last stream that was taken is none.
const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// `REFUSED_STREAM` for the first stream, and the rest is left out.
const REFUSED: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
/// `CANCEL`: it may have been begun with.
const CANCELLED: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8];

#[tokio::test]
async fn requests_above_the_last_stream_of_a_goaway_are_unprocessed() {
    const REQUESTS: usize = 40;
    let first = First::Ends(u32::try_from(REQUESTS).unwrap(), GOAWAY);
    let server = HttpsServer::beginning(&parameters(&["localhost"]), &["h2"], first).await;
    let client = server.client(server.trusted());
    let asked = (0..REQUESTS).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { client.session(&n.to_string()).await })
    });
    for answer in asked.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        assert!(matches!(answer.result, Err(ApiError::Unprocessed(_))), "{:?}", answer.result);
    }
    assert_eq!(client.session("a").await.result.unwrap(), "2");
}

#[tokio::test]
async fn refused_stream_is_unprocessed_and_a_cancelled_one_is_not() {
    for (frames, is_unprocessed) in [(REFUSED, true), (CANCELLED, false), (&[][..], false)] {
        let first = First::Ends(1, frames);
        let server = HttpsServer::beginning(&parameters(&["localhost"]), &["h2"], first).await;
        let client = client_with(format!("https://localhost:{}", server.address.port()), server.trusted(), |options| {
            options.timeout = Duration::from_secs(2);
        });
        let error = client.session("a").await.result.unwrap_err();
        assert_eq!(matches!(error, ApiError::Unprocessed(_)), is_unprocessed, "{error}");
    }
}

#[tokio::test]
async fn request_without_a_connection_is_unsent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let answer = client(address, |_| {}).session("a").await;
    assert!(answer.is_unsent && matches!(answer.result, Err(ApiError::Connect(_))), "{answer:?}");
    let answer = ask(whole("200 OK", b"x"), After::Close).await;
    assert!(!answer.is_unsent);
    let answer = ask("", After::Close).await;
    assert!(!answer.is_unsent && answer.result.is_err(), "it may have been read");
}

fn parameters(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

async fn answer(request: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let has_key = |headers: &HeaderMap| headers.get("x-api-key").is_some_and(|key| key == KEY);
    let version = match request.version() {
        Version::HTTP_2 if has_key(request.headers()) => "2",
        Version::HTTP_11 if has_key(request.headers()) => "1.1",
        _ => "?",
    };
    Ok(Response::new(Full::from(version)))
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered_over_one_connection() {
    for (protocols, version) in [(&["h2", "http/1.1"][..], "2"), (&["http/1.1"], "1.1"), (&[], "1.1")] {
        let server = HttpsServer::new(&["localhost"], protocols).await;
        let client = server.client(server.trusted());
        for _ in 0..5 {
            let answer = client.session("a").await;
            assert_eq!(answer.result.unwrap(), version);
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), 1, "{protocols:?}");
    }
}

#[tokio::test]
async fn certificate_must_be_trusted_and_name_the_host() {
    let server = HttpsServer::new(&["localhost"], &["h2"]).await;
    let other = HttpsServer::new(&["elsewhere.test"], &["h2"]).await;
    let mut expired = parameters(&["localhost"]);
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
    let expired = HttpsServer::showing(&expired, &["h2"]).await;
    let mut early = parameters(&["localhost"]);
    (early.not_before, early.not_after) = (date_time_ymd(2999, 1, 1), date_time_ymd(2999, 2, 1));
    let early = HttpsServer::showing(&early, &["h2"]).await;
    let mut authority = parameters(&["localhost"]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = HttpsServer::showing(&authority, &["h2"]).await;
    for (client, reason) in [
        (server.client(Roots::Only(Vec::new())), "is vouched for by no authority that this machine trusts"),
        (server.client(Roots::find().unwrap()), "is vouched for by no authority that this machine trusts"),
        (other.client(other.trusted()), "is not trusted (certificate not valid for name \"localhost\""),
        (expired.client(expired.trusted()), "expired at 2020-02-01T00:00:00.000Z; this machine's clock says 2"),
        (early.client(early.trusted()), "is valid from 2999-01-01T00:00:00.000Z on; this machine's clock says 2"),
        (authority.client(authority.trusted()), "is one of an authority (CA:TRUE)"),
    ] {
        let error = client.session("a").await.result.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ApiError::Connect(_)) && error.is_transient());
        let said = text.strip_prefix("the API cannot be reached: its certificate ");
        assert!(said.is_some_and(|said| said.starts_with(reason)) && !text.contains("sessions"), "{text}");
    }
}

#[tokio::test]
async fn error_says_that_the_server_has_no_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let client = client_with(base_url, Roots::Only(Vec::new()), |_| {});
    let text = client.session("a").await.result.unwrap_err().to_string();
    assert!(text.starts_with("the API cannot be reached: it does not speak TLS; does api.base_url have"), "{text}");
}

#[test]
fn the_public_constructor_uses_the_roots_of_the_system() {
    install_crypto_provider();
    let client = Client::new(ClientOptions::new("https://api.agntix.ai", credential())).unwrap();
    assert_eq!(client.host(), "api.agntix.ai");
    assert!(!format!("{client:?}").contains(KEY));
}
