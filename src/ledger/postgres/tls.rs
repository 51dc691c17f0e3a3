//! TLS to the database, as libpq has it.
//!
//! <https://www.postgresql.org/docs/current/libpq-ssl.html> says what each mode checks. Where no `sslrootcert` is given, the
//! modes that check a certificate trust the system's authorities.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode as Asked;

use crate::config::{SslMode, TlsParameters};

/// How a server is asked, one after the other: whether for TLS, and whether it may say no. Another one is tried if TLS or the
/// access rules fail.
pub(super) fn attempts(mode: SslMode) -> &'static [Asked] {
    match mode {
        SslMode::Disable => &[Asked::Disable],
        SslMode::Allow => &[Asked::Disable, Asked::Require],
        SslMode::Prefer => &[Asked::Prefer, Asked::Disable],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Asked::Require],
    }
}

/// What a connection is to be made with. Files are read each time, since they may be replaced.
///
/// # Errors
/// If one of them is of no use: which, and why.
pub(super) async fn connector(tls: &TlsParameters) -> Result<ClientConfig, String> {
    let tls = tls.clone();
    let made = tokio::task::spawn_blocking(move || read(&tls)).await;
    made.unwrap_or_else(|error| Err(error.to_string()))
}

fn read(tls: &TlsParameters) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder();
    let provider = Arc::clone(builder.crypto_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match tls.mode {
        SslMode::VerifyCa => Arc::new(Authority::read(tls, false)?),
        SslMode::VerifyFull => Arc::new(Authority::read(tls, true)?),
        _ => Arc::new(AnyServer(provider)),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &tls.certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let unusable = |file: &Path, error: &dyn fmt::Display| format!("{}: {error}", file.display());
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable(key, &e))?;
            builder.with_client_auth_cert(certificates(certificate)?, key).map_err(|e| unusable(certificate, &e))?
        }
    };
    if tls.is_direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(config)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
    let read = CertificateDer::pem_file_iter(file).map_err(|e| unusable(&e))?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|e| unusable(&e))?;
    if read.is_empty() { Err(unusable(&"there is no certificate in it")) } else { Ok(read) }
}

/// Takes whoever answers for the server, as libpq does where nothing is to be verified.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

/// Takes a server with a certificate of a trusted authority.
#[derive(Debug)]
struct Authority {
    web: Arc<WebPkiServerVerifier>,
    /// The certificates of `sslrootcert`. A server may show one of them itself, as with `openssl req -x509` it does.
    trusted: Vec<CertificateDer<'static>>,
    /// Whether the certificate must be for the host's name.
    checks_name: bool,
}

impl Authority {
    fn read(tls: &TlsParameters, checks_name: bool) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let trusted = tls.authorities.as_deref().map(certificates).transpose()?.unwrap_or_default();
        match &tls.authorities {
            Some(file) => {
                for certificate in &trusted {
                    roots.add(certificate.clone()).map_err(|error| format!("{}: {error}", file.display()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err("this machine trusts no authority; name one with sslrootcert".into());
        }
        let web = WebPkiServerVerifier::builder(roots.into()).build().map_err(|error| error.to_string())?;
        Ok(Self { web, trusted, checks_name })
    }

    /// Takes a trusted certificate that the server shows as its own, if it is for that name and has not expired.
    fn takes(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        let (_, parsed) =
            x509_parser::parse_x509_certificate(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let (validity, now) = (parsed.validity(), i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        match now {
            _ if now > validity.not_after.timestamp() => Err(CertificateError::Expired.into()),
            _ if now < validity.not_before.timestamp() => Err(CertificateError::NotValidYet.into()),
            _ if self.checks_name => verify_server_name(&ParsedCertificate::try_from(certificate)?, name),
            _ => Ok(()),
        }
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Authority {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is looked at last: who gets that far has a certificate of the authority.
        match self.web.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => Ok(ServerCertVerified::assertion()),
            Err(_) if self.trusted.iter().any(|trusted| trusted == certificate) => {
                self.takes(certificate, name, now).map(|()| ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.web.supported_verify_schemes()
    }
}
