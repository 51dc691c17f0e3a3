//! Authorities and certificates that are made anew for each test, as files of a directory.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The part of a web configuration file that shows the certificate of [`Authority::server`] named `server`.
pub const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// Somebody who vouches for certificates. Its own is in `NAME.pem`.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

/// A certificate and its key, and the files that they are in.
pub struct Certified {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(directory: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(directory.join(format!("{name}.pem")), issuer.pem()).unwrap();
        Self { issuer, directory: directory.to_owned() }
    }

    /// The certificate of the authority itself.
    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A certificate of a server for this machine, in `NAME.crt` and `NAME.key`.
    pub fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Certified {
        self.certify(name, &["localhost", "127.0.0.1"], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            change(params);
        })
    }

    /// A certificate of a server that is reached at `host`.
    pub fn server_at(&self, host: &str) -> Certified {
        self.certify("server", &[host], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// A certificate of a client that bears this name.
    pub fn client(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Certified {
        self.certify(name, &[name], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            change(params);
        })
    }

    fn certify(&self, file: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Certified {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certified::write(&self.directory, file, &certificate.pem(), &key)
    }
}

impl Certified {
    /// One that vouches for itself and for others, as `openssl req -x509` makes it.
    pub fn self_signed(directory: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self::write(directory, name, &certificate.pem(), &key)
    }

    fn write(directory: &Path, name: &str, certificate: &str, key: &KeyPair) -> Self {
        let file = |extension: &str, text: &str| {
            // Renamed into place, so that whoever looks sees the old file or the new one.
            let (path, draft) =
                (directory.join(format!("{name}.{extension}")), directory.join(format!("{name}.draft")));
            std::fs::write(&draft, text).unwrap();
            std::fs::rename(&draft, &path).unwrap();
            path
        };
        Self { certificate: file("crt", certificate), key: file("key", &key.serialize_pem()) }
    }

    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(&self.certificate).unwrap().map(Result::unwrap).collect()
    }

    /// The first certificate in this text.
    pub fn first_in(pem: &str) -> Vec<u8> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
    }

    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(&self.key).unwrap()
    }
}
