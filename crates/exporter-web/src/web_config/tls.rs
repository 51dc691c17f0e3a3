//! Makes a configuration of rustls of what the file asks for. Certificates and keys are read here.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig, SupportedCipherSuite};

use super::clients::{self, Clients};
use super::error::Mistake;
use super::file::{Pem, PemSource, Tls, Versions};
use super::names::ClientAuth;

/// A chain has kilobytes, a bundle of all authorities of the world less than one megabyte.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A configuration that is ready to serve, and what is probably not meant in it.
pub(super) struct Ready {
    pub config: Arc<ServerConfig>,
    pub ends: Option<SystemTime>,
    pub warnings: Vec<String>,
}

/// The files that a section names.
pub(super) fn files(tls: &Tls) -> impl Iterator<Item = &Path> {
    [Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()].into_iter().flatten().filter_map(file_of)
}

/// The file that it is in; `None` if it is inline.
pub(super) fn file_of(pem: &Pem) -> Option<&Path> {
    match &pem.source {
        PemSource::File(path) => Some(path),
        PemSource::Inline(_) => None,
    }
}

/// Reads certificates and keys, and makes a configuration.
pub(super) fn configure(tls: &Tls) -> Result<Ready, Mistake> {
    let provider = Arc::new(provider(tls));
    let versions: &[&rustls::SupportedProtocolVersion] = match tls.versions {
        Versions::Only12 => &[&rustls::version::TLS12],
        Versions::Only13 => &[&rustls::version::TLS13],
        Versions::Both => &[&rustls::version::TLS13, &rustls::version::TLS12],
    };
    let chain = certificates(&tls.cert)?;
    let key = private_key(&tls.key)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| at(&tls.cert, &format!("cannot be served ({error})")))?;
    let verifier = verifier(tls, &provider)?;
    let asks_clients = verifier.is_some();
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let dates = chain.first().and_then(|certificate| clients::out_of_date(certificate, UnixTime::now()));
    let ends = chain.first().and_then(clients::ends);
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            at(&tls.key, &format!("is not the key of the certificate in tls_server_config.{}", tls.cert.key))
        }
        rustls::Error::InvalidCertificate(error) => at(
            &tls.cert,
            &format!("begins with a certificate that cannot be used ({error:?}); it must be one of X.509 version 3"),
        ),
        // The text of this error is from the library, and holds nothing of the key.
        error => at(
            &tls.key,
            &format!(
                "cannot be used ({error}); it must be an RSA key of 2048 bits or more, a P-256 or P-384 key, or Ed25519"
            ),
        ),
    })?;
    // HTTP/2 is not offered; every client of metrics speaks 1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = tls.prefers_own_order;
    if asks_clients {
        // A client that resumes a session would not be asked for its certificate again, which may have expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    let warnings = dates.map(|dates| format!("the certificate in {} {dates}", named(&tls.cert))).into_iter().collect();
    Ok(Ready { config: Arc::new(config), ends, warnings })
}

/// The suites and curves of ring that the file allows, in its order.
fn provider(tls: &Tls) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if let Some(wanted) = &tls.suites {
        let of_tls13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
        let all = std::mem::take(&mut provider.cipher_suites);
        let named = wanted.iter().filter_map(|name| all.iter().find(|suite| suite.suite() == *name));
        provider.cipher_suites = all.iter().filter(|suite| of_tls13(suite)).chain(named).copied().collect();
    }
    if let Some(wanted) = &tls.curves {
        let all = std::mem::take(&mut provider.kx_groups);
        provider.kx_groups =
            wanted.iter().filter_map(|name| all.iter().find(|group| group.name() == *name)).copied().collect();
    }
    provider
}

fn verifier(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Option<Arc<dyn ClientCertVerifier>>, Mistake> {
    if tls.client_auth == ClientAuth::None {
        return Ok(None);
    }
    let (mut authorities, mut trusted) = (None, Vec::new());
    if tls.client_auth.verifies() {
        let mut roots = RootCertStore::empty();
        match &tls.client_ca {
            Some(pem) => {
                trusted = certificates(pem)?;
                for certificate in &trusted {
                    let added = roots.add(certificate.clone());
                    added.map_err(|error| {
                        at(pem, &format!("holds a certificate that cannot vouch for others ({error})"))
                    })?;
                }
            }
            // As in Go: the authorities of the system.
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
        authorities = Some(verifier.map_err(|_| {
            let what = "tls_server_config names no client_ca_file, and this system has no root certificates; set tls_server_config.client_ca_file to the authority of your clients";
            Mistake::new(tls.cert.line, what)
        })?);
    }
    Ok(Some(Arc::new(Clients {
        authorities,
        trusted,
        // A list of allowed clients means that those without a certificate are not allowed.
        is_required: tls.client_auth.requires() || !tls.allowed_sans.is_empty(),
        allowed_sans: tls.allowed_sans.clone(),
        algorithms: provider.signature_verification_algorithms,
    })))
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Mistake> {
    let text = read(pem)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(at(pem, "holds no certificate; it must be PEM, with a line \"-----BEGIN CERTIFICATE-----\"")),
        Err(_) => Err(at(pem, "is broken PEM, perhaps cut short; it must hold whole certificates")),
    }
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, Mistake> {
    use rustls::pki_types::pem::Error;
    let text = read(pem)?;
    // The parser's message may hold what it read, and is not shown.
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        Error::NoItemsFound if text.windows(9).any(|word| word == b"ENCRYPTED") => {
            at(pem, "is encrypted; decrypt it with openssl pkey, and protect the file by its permissions")
        }
        Error::NoItemsFound => {
            at(pem, "holds no private key; it must be PEM, with a line \"-----BEGIN PRIVATE KEY-----\"")
        }
        _ => at(pem, "is broken PEM, perhaps cut short; it must hold a whole private key"),
    })
}

fn read(pem: &Pem) -> Result<Vec<u8>, Mistake> {
    match &pem.source {
        PemSource::Inline(text) => Ok(text.clone().into_bytes()),
        PemSource::File(path) => {
            read_file(path, MAX_BYTES).map_err(|reason| at(pem, &format!("cannot be read: {reason}")))
        }
    }
}

/// A whole file. The reason is a half sentence.
pub(super) fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    // Asked before opening, because opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(|e| e.to_string())?.is_file() {
        return Err("it is not a file".into());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > most {
        return Err(format!("it is longer than {} MiB", most >> 20));
    }
    Ok(bytes)
}

fn named(pem: &Pem) -> String {
    match &pem.source {
        PemSource::File(path) => path.display().to_string(),
        PemSource::Inline(_) => format!("tls_server_config.{}", pem.key),
    }
}

fn at(pem: &Pem, what: &str) -> Mistake {
    let what = match &pem.source {
        PemSource::File(path) => format!("tls_server_config.{}: {} {what}", pem.key, path.display()),
        PemSource::Inline(_) => format!("tls_server_config.{} {what}", pem.key),
    };
    Mistake::new(pem.line, what)
}
