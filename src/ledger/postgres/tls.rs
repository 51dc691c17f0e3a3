//! TLS to the database, by the parameters of libpq: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`.
//!
//! <https://www.postgresql.org/docs/current/libpq-ssl.html> says what each mode checks. Where no `sslrootcert` is given, the
//! modes that check a certificate trust the system's authorities.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;

use super::error::PostgresError;

/// What a server's certificate is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// There is no TLS.
    Disable,
    /// TLS if the server has it; nobody is asked who it is.
    Prefer,
    /// TLS; nobody is asked who it is, unless there is an authority to ask.
    Require,
    /// TLS with a certificate of a trusted authority, for whatever name.
    VerifyCa,
    /// TLS with a certificate of a trusted authority for the host's name.
    VerifyFull,
}

/// What the URL says of TLS.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    mode: Mode,
    authorities: Option<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
}

/// Takes the parameters of TLS out of a URL, which the library does not know or knows fewer values of.
///
/// # Errors
/// If one of them has no meaning.
pub(super) fn split(url: &str) -> Result<(String, Tls), PostgresError> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let mut rest = Vec::new();
    let (mut mode, mut authorities, mut certificate, mut key) = (None, None, None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = || percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
        match name {
            "sslmode" => mode = Some(Mode::read(&value())?),
            "sslrootcert" => authorities = Some(value()),
            "sslcert" => certificate = Some(value()),
            "sslkey" => key = Some(value()),
            _ => rest.push(pair),
        }
    }
    // As libpq has it since version 16: who trusts the system's authorities cannot mean them for any name.
    let is_system = authorities.as_deref() == Some("system");
    let mode = match (mode, &authorities) {
        (None, Some(_)) if is_system => Mode::VerifyFull,
        (Some(Mode::Require), Some(_)) if !is_system => Mode::VerifyCa,
        (mode, _) => mode.unwrap_or(Mode::Prefer),
    };
    let certificate = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
        _ => return Err(PostgresError::Url { detail: "sslcert and sslkey must be given together".into() }),
    };
    let authorities = authorities.filter(|_| !is_system).map(PathBuf::from);
    let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    Ok((format!("{address}{query}"), Tls { mode, authorities, certificate }))
}

impl Mode {
    fn read(text: &str) -> Result<Self, PostgresError> {
        Ok(match text {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                let detail = "sslmode must be disable, prefer, require, verify-ca or verify-full".into();
                return Err(PostgresError::Url { detail });
            }
        })
    }
}

impl Tls {
    /// Whether the server is asked for TLS, and whether it may say no.
    pub(super) fn mode(&self) -> SslMode {
        match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }

    /// What a connection is to be made with; `None` without TLS. Files are read each time, since they may be replaced. If one
    /// of them is of no use, no certificate is trusted, and the log says which.
    pub(super) async fn connector(&self) -> Option<ClientConfig> {
        if self.mode == Mode::Disable {
            return None;
        }
        let tls = self.clone();
        let made = tokio::task::spawn_blocking(move || tls.read()).await;
        match made.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(config) => Some(config),
            Err(error) => {
                tracing::warn!(%error, "TLS to the database cannot be set up");
                Some(ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth())
            }
        }
    }

    fn read(&self) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder();
        let provider = Arc::clone(builder.crypto_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self.mode {
            Mode::Disable | Mode::Prefer | Mode::Require => Arc::new(AnyServer(provider)),
            Mode::VerifyCa => Arc::new(AnyName(self.authority()?)),
            Mode::VerifyFull => self.authority()?,
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let Some((certificate, key)) = &self.certificate else { return Ok(builder.with_no_client_auth()) };
        let unusable = |file: &Path, error: &dyn fmt::Display| format!("{}: {error}", file.display());
        let key = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable(key, &e))?;
        let chain = certificates(certificate)?;
        builder.with_client_auth_cert(chain, key).map_err(|e| unusable(certificate, &e))
    }

    fn authority(&self) -> Result<Arc<WebPkiServerVerifier>, String> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = &self.authorities {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        WebPkiServerVerifier::builder(roots.into()).build().map_err(|error| error.to_string())
    }
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

/// Takes a server with a certificate of the authority, whatever name is in it.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

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

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is looked at last: who gets that far has a certificate of the authority.
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_of_libpq() {
        let of = |query: &str| {
            let (url, tls) = split(&format!("postgres://db/x?a=b{query}&c=d")).unwrap();
            assert_eq!(url, "postgres://db/x?a=b&c=d");
            (tls.mode, tls.authorities.is_some())
        };
        assert_eq!(of(""), (Mode::Prefer, false));
        assert_eq!(of("&sslmode=disable"), (Mode::Disable, false));
        assert_eq!(of("&sslmode=require"), (Mode::Require, false));
        assert_eq!(of("&sslmode=require&sslrootcert=%2Fca.pem"), (Mode::VerifyCa, true));
        assert_eq!(of("&sslmode=verify-full"), (Mode::VerifyFull, false));
        assert_eq!(of("&sslrootcert=system"), (Mode::VerifyFull, false));
        assert!(split("postgres://db/x?sslmode=on").is_err());
        assert!(split("postgres://db/x?sslcert=a").is_err());
    }
}
