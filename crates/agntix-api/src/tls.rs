//! TLS: the cryptography provider and the trusted authorities.

use std::path::Path;

use reqwest::{Certificate, ClientBuilder};
use rustls::crypto::{CryptoProvider, ring};

use crate::error::ClientError;

/// The variables by which OpenSSL, and so most programs, are told of other root certificates.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Makes ring the TLS cryptography of this process. Call it before the first [`Client`](crate::Client) is made; a second
/// call changes nothing.
///
/// It must be an explicit choice: if dependencies bring two providers and none is installed, rustls panics at the first
/// handshake.
pub fn install_crypto_provider() {
    // The error says that a provider is installed already.
    let _ = ring::default_provider().install_default();
}

pub(super) fn is_crypto_provider_installed() -> bool {
    CryptoProvider::get_default().is_some()
}

/// Which authorities may vouch for the API.
#[derive(Debug)]
pub enum Roots {
    /// Those of the operating system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name instead.
    System,
    /// These and no others.
    Only(Vec<Certificate>),
}

impl Roots {
    /// The system's; Mozilla's, as they were when this program was built, where the system has none at all, as in a
    /// container made from scratch.
    ///
    /// Not both: an operator who takes an authority away, or names one of their own, means it.
    pub fn find() -> Result<Self, ClientError> {
        let is_set = |name: &&str| std::env::var_os(name).is_some();
        let variables: Vec<&str> = VARIABLES.into_iter().filter(is_set).collect();
        let system_has_any = !rustls_native_certs::load_native_certs().certs.is_empty();
        Self::choose(system_has_any, &variables)
    }

    /// Makes a client trust these.
    pub fn trusted_by(self, client: ClientBuilder) -> ClientBuilder {
        match self {
            Self::System => client,
            Self::Only(certificates) => client.tls_certs_only(certificates),
        }
    }

    fn choose(system_has_any: bool, variables: &[&str]) -> Result<Self, ClientError> {
        if system_has_any {
            return Ok(Self::System);
        }
        if !variables.is_empty() {
            let named = |name: &&str| format!("{name}={}", std::env::var_os(name).unwrap_or_default().display());
            let variables = variables.iter().map(named).collect::<Vec<_>>().join(" or ");
            return Err(ClientError::Roots { variables });
        }
        tracing::info!("this system has no root certificates; Mozilla's, built in, are trusted instead");
        Ok(Self::Only(built_in()))
    }
}

/// The certificates in a file of PEM.
pub(super) fn read_certificates(file: &Path) -> Result<Vec<Certificate>, ClientError> {
    let refuse = |reason: String| ClientError::CaFile { file: file.display().to_string(), reason };
    let bytes = std::fs::read(file).map_err(|error| refuse(format!("it cannot be read: {error}")))?;
    let certificates =
        Certificate::from_pem_bundle(&bytes).map_err(|_| refuse("it holds what is no certificate".into()))?;
    if certificates.is_empty() {
        return Err(refuse("it holds no certificate: name a file with -----BEGIN CERTIFICATE----- in it".into()));
    }
    Ok(certificates)
}

fn built_in() -> Vec<Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| Certificate::from_der(der).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_twice_changes_nothing() {
        install_crypto_provider();
        install_crypto_provider();
        assert!(is_crypto_provider_installed());
    }

    #[test]
    fn built_in_authorities_are_used_only_where_the_system_has_none() {
        assert!(matches!(Roots::choose(true, &["SSL_CERT_FILE"]), Ok(Roots::System)));
        assert!(matches!(Roots::choose(false, &[]), Ok(Roots::Only(roots)) if roots.len() > 50));
        let error = Roots::choose(false, &["SSL_CERT_FILE"]).unwrap_err().to_string();
        assert!(error.starts_with("no certificate can be read from SSL_CERT_FILE="), "{error}");
    }

    #[test]
    fn the_built_in_authorities_are_all_usable() {
        let mut store = rustls::RootCertStore::empty();
        let certificates = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
        let (usable, ignored) = store.add_parsable_certificates(certificates);
        assert!(usable > 50 && ignored == 0, "{usable} usable, {ignored} ignored");
    }
}
