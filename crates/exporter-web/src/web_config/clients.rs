//! Checks the certificates of clients: whether an authority has signed them, and whether they bear an allowed name. This
//! happens at the handshake, so that a client that is not let in sends no request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ASN1Time, X509Certificate};

/// Checks the certificates of clients.
#[derive(Debug)]
pub(super) struct Clients {
    /// The authorities that must have signed them; any certificate is accepted if it is absent.
    pub authorities: Option<Arc<dyn ClientCertVerifier>>,
    /// Certificates that are trusted themselves, whoever signed them.
    pub trusted: Vec<CertificateDer<'static>>,
    pub is_required: bool,
    /// One of these must be among the names of a certificate; if it is empty, no name is needed.
    pub allowed_sans: Vec<String>,
    pub algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.as_ref().map_or(&[], |authorities| authorities.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(authorities) = &self.authorities {
            // As in Go, a certificate that is itself in the list of authorities is trusted. webpki would refuse one that
            // `openssl req -x509` has made, as it may also sign others.
            if self.trusted.iter().any(|trusted| trusted.as_ref() == certificate.as_ref()) {
                is_for_clients_now(certificate, now)?;
            } else {
                authorities.verify_client_cert(certificate, intermediates, now)?;
            }
        }
        if !self.allowed_sans.is_empty() {
            let names = names(&parsed(certificate)?);
            if !names.iter().any(|name| self.allowed_sans.contains(name)) {
                return Err(CertificateError::ApplicationVerificationFailure.into());
            }
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn parsed<'c>(certificate: &'c CertificateDer<'_>) -> Result<X509Certificate<'c>, Error> {
    match x509_parser::parse_x509_certificate(certificate) {
        Ok((_, parsed)) => Ok(parsed),
        Err(_) => Err(CertificateError::BadEncoding.into()),
    }
}

/// Whether a certificate is valid now, and may be used by clients.
fn is_for_clients_now(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let certificate = parsed(certificate)?;
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    let now = now.ok_or(Error::FailedToGetCurrentTime)?;
    let validity = certificate.validity();
    if now < validity.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after {
        return Err(CertificateError::Expired.into());
    }
    match certificate.extended_key_usage() {
        Ok(None) => Ok(()),
        Ok(Some(usage)) if usage.value.client_auth || usage.value.any => Ok(()),
        Ok(Some(_)) => Err(CertificateError::InvalidPurpose.into()),
        Err(_) => Err(CertificateError::BadEncoding.into()),
    }
}

/// The subject's alternative names: DNS names, e-mail addresses, IP addresses and URIs, each as its usual text.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    // Go shows an IPv4 address that was written as IPv6 as what it is.
    <[u8; 16]>::try_from(bytes).ok().map(|v6| IpAddr::from(Ipv6Addr::from(v6)).to_canonical())
}

/// Why clients will refuse a certificate of this server at `now`, as half a sentence; `None` if its dates are good.
pub(super) fn out_of_date(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let now = ASN1Time::from_timestamp(i64::try_from(now.as_secs()).ok()?).ok()?;
    let validity = certificate.validity();
    if now > validity.not_after {
        return Some(format!("has expired ({}); clients will refuse it", validity.not_after));
    }
    (now < validity.not_before)
        .then(|| format!("is not valid yet (from {} on); clients will refuse it", validity.not_before))
}

/// The last second of a certificate's validity.
pub(super) fn ends(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    let since_epoch = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { UNIX_EPOCH.checked_sub(since_epoch) } else { UNIX_EPOCH.checked_add(since_epoch) }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType, date_time_ymd};
    use rustls::crypto::ring;

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["one.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name("a@b.example".try_into().unwrap()));
        params.subject_alt_names.push(SanType::URI("spiffe://cluster/prometheus".try_into().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress("2001:db8::1".parse().unwrap()));
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn clients(trusted: Vec<CertificateDer<'static>>, allowed: &[&str]) -> Clients {
        Clients {
            authorities: None,
            trusted,
            is_required: true,
            allowed_sans: allowed.iter().map(|name| (*name).to_owned()).collect(),
            algorithms: ring::default_provider().signature_verification_algorithms,
        }
    }

    #[test]
    fn a_name_of_any_kind_must_match_wholly() {
        let certificate = certificate(|_| ());
        let now = UnixTime::now();
        for name in ["one.example", "10.0.0.1", "a@b.example", "spiffe://cluster/prometheus", "2001:db8::1"] {
            let clients = clients(Vec::new(), &["other", name]);
            assert!(clients.verify_client_cert(&certificate, &[], now).is_ok(), "{name}");
        }
        for name in ["one", "ONE.example", "*.example", "one.example.", "10.0.0.2", "b.example"] {
            let clients = clients(Vec::new(), &[name]);
            let refused = clients.verify_client_cert(&certificate, &[], now).unwrap_err();
            assert_eq!(refused, CertificateError::ApplicationVerificationFailure.into(), "{name}");
        }
    }

    #[test]
    fn a_certificate_that_is_trusted_itself_must_still_be_valid_and_for_clients() {
        let now = UnixTime::now();
        let refusal = |change: fn(&mut CertificateParams)| is_for_clients_now(&certificate(change), now).err();
        assert_eq!(refusal(|_| ()), None);
        assert_eq!(refusal(|p| p.not_after = date_time_ymd(2001, 1, 1)), Some(CertificateError::Expired.into()));
        assert_eq!(refusal(|p| p.not_before = date_time_ymd(2999, 1, 1)), Some(CertificateError::NotValidYet.into()));
        assert_eq!(
            refusal(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            Some(CertificateError::InvalidPurpose.into())
        );
        assert_eq!(refusal(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]), None);
    }

    #[test]
    fn junk_is_refused() {
        let junk = CertificateDer::from(vec![0x30, 0x82, 0xff, 0xff, 1, 2, 3]);
        assert!(clients(Vec::new(), &["x"]).verify_client_cert(&junk, &[], UnixTime::now()).is_err());
        assert_eq!(out_of_date(&junk, UnixTime::now()), None);
    }

    #[test]
    fn expiry_of_a_certificate_is_read() {
        let certificate = certificate(|p| p.not_after = date_time_ymd(2031, 4, 8));
        assert_eq!(ends(&certificate), Some(UNIX_EPOCH + Duration::from_secs(1_933_372_800)));
    }

    #[test]
    fn server_certificate_out_of_date_is_warned_of() {
        let warning = |change: fn(&mut CertificateParams)| out_of_date(&certificate(change), UnixTime::now());
        assert_eq!(warning(|_| ()), None);
        assert!(warning(|p| p.not_after = date_time_ymd(2001, 1, 1)).unwrap().starts_with("has expired (Jan  1"));
        assert!(warning(|p| p.not_before = date_time_ymd(2999, 1, 1)).unwrap().starts_with("is not valid yet"));
    }
}
