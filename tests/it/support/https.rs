//! Requests over TLS, each on a connection of its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, NamedGroup, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::Reply;
use super::certificates::{Authority, Certified};

/// A client that trusts one authority.
pub struct Https {
    roots: RootCertStore,
    provider: CryptoProvider,
    versions: Vec<&'static SupportedProtocolVersion>,
    identity: Option<(Vec<CertificateDer<'static>>, rustls::pki_types::PrivateKeyDer<'static>)>,
}

/// What the two sides have agreed on.
#[derive(Debug, PartialEq)]
pub struct Agreed {
    pub suite: CipherSuite,
    pub group: Option<NamedGroup>,
    pub protocol: Option<Vec<u8>>,
    /// The certificate that the server has shown.
    pub certificate: Vec<u8>,
}

impl Https {
    pub fn trusting(authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der()).unwrap();
        let versions = rustls::ALL_VERSIONS.to_vec();
        Self { roots, provider: ring::default_provider(), versions, identity: None }
    }

    /// Shows this certificate if it is asked for one.
    pub fn showing(mut self, client: &Certified) -> Self {
        self.identity = Some((client.chain(), client.private_key()));
        self
    }

    pub fn speaking(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    pub fn with_suites(mut self, suites: &[CipherSuite]) -> Self {
        self.provider.cipher_suites.retain(|suite| suites.contains(&suite.suite()));
        self.provider.cipher_suites.sort_by_key(|suite| suites.iter().position(|wanted| *wanted == suite.suite()));
        self
    }

    pub fn with_group(mut self, group: NamedGroup) -> Self {
        self.provider.kx_groups.retain(|known| known.name() == group);
        self
    }

    /// Status, headers and body; why there are none if the connection or the handshake fails.
    pub fn get(&self, address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Reply, String> {
        self.ask(address, path, headers).map(|(reply, _)| reply)
    }

    /// The same, and what was agreed on.
    pub fn ask(&self, address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<(Reply, Agreed), String> {
        let builder = ClientConfig::builder_with_provider(Arc::new(self.provider.clone()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        // As Prometheus offers them.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream);
        let more: String = headers.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect();
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n");
        stream.write_all(head.as_bytes()).map_err(|e| e.to_string())?;
        let mut answer = Vec::new();
        // With TLS 1.3 a client learns only now that its certificate was refused.
        stream.read_to_end(&mut answer).map_err(|e| e.to_string())?;
        let agreed = Agreed {
            suite: stream.conn.negotiated_cipher_suite().unwrap().suite(),
            group: stream.conn.negotiated_key_exchange_group().map(SupportedKxGroup::name),
            protocol: stream.conn.alpn_protocol().map(<[u8]>::to_vec),
            certificate: stream.conn.peer_certificates().unwrap()[0].to_vec(),
        };
        let reply = Reply::parse(&answer).ok_or_else(|| format!("no answer: {}", String::from_utf8_lossy(&answer)))?;
        Ok((reply, agreed))
    }
}

/// The header of a user and a password.
pub fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}
