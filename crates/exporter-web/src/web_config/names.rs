//! The names that Go gives to TLS versions, cipher suites, curves and client policies, and what they stand for.

use rustls::{CipherSuite, NamedGroup};

/// A cipher suite that a file may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    /// Of TLS 1.2, and supported here.
    Tls12(CipherSuite),
    /// Of TLS 1.3. All of these are always on, as in Go.
    Tls13,
    /// Known to some version of Go, not supported here: CBC, or RSA without forward secrecy.
    Legacy,
}

/// Every name that some version of Go has accepted.
const SUITES: [(&str, Suite); 17] = [
    ("TLS_AES_128_GCM_SHA256", Suite::Tls13),
    ("TLS_AES_256_GCM_SHA384", Suite::Tls13),
    ("TLS_CHACHA20_POLY1305_SHA256", Suite::Tls13),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Suite::Tls12(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Suite::Tls12(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Suite::Tls12(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Suite::Tls12(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        Suite::Tls12(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        Suite::Tls12(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Suite::Legacy),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Suite::Legacy),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Suite::Legacy),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Suite::Legacy),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", Suite::Legacy),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", Suite::Legacy),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", Suite::Legacy),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", Suite::Legacy),
];

/// The suite of this name.
pub(super) fn suite(name: &str) -> Option<Suite> {
    SUITES.iter().find(|(known, _)| *known == name).map(|(_, suite)| *suite)
}

/// The names of all suites.
pub(super) fn suites() -> impl Iterator<Item = &'static str> {
    SUITES.iter().map(|(name, _)| *name)
}

/// The curves; `None` for one that is not supported here.
pub(super) const CURVES: [(&str, Option<NamedGroup>); 4] = [
    ("X25519", Some(NamedGroup::X25519)),
    ("CurveP256", Some(NamedGroup::secp256r1)),
    ("CurveP384", Some(NamedGroup::secp384r1)),
    ("CurveP521", None),
];

/// A version of TLS, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// 1.0 or 1.1, which are not supported here.
    Older,
    Tls12,
    Tls13,
}

/// The versions.
pub(super) const VERSIONS: [(&str, Version); 4] =
    [("TLS10", Version::Older), ("TLS11", Version::Older), ("TLS12", Version::Tls12), ("TLS13", Version::Tls13)];

/// What is asked of clients at the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// No certificate.
    #[default]
    None,
    /// A certificate, which is not checked; it may be missing.
    Request,
    /// A certificate, whoever has signed it.
    RequireAny,
    /// If there is a certificate, an authority must have signed it.
    VerifyIfGiven,
    /// A certificate that an authority has signed.
    RequireAndVerify,
}

/// The policies. `RequireClientCert` is an old name.
pub(super) const POLICIES: [(&str, ClientAuth); 6] = [
    ("NoClientCert", ClientAuth::None),
    ("RequestClientCert", ClientAuth::Request),
    ("RequireAnyClientCert", ClientAuth::RequireAny),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
    ("RequireClientCert", ClientAuth::RequireAny),
];

impl ClientAuth {
    /// Whether an authority must have signed a certificate.
    pub(super) const fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    /// Whether there must be a certificate.
    pub(super) const fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

/// The meaning of a name in one of the lists above.
pub(super) fn find<T: Copy>(names: &[(&str, T)], name: &str) -> Option<T> {
    names.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring;

    use super::*;

    #[test]
    fn every_suite_of_tls_1_2_and_every_group_that_ring_has_can_be_named() {
        let named: Vec<_> = SUITES.iter().map(|(_, suite)| *suite).collect();
        for suite in ring::ALL_CIPHER_SUITES.iter().filter(|suite| suite.tls13().is_none()) {
            assert!(named.contains(&Suite::Tls12(suite.suite())), "{suite:?}");
        }
        for (name, suite) in SUITES {
            if let Suite::Tls12(suite) = suite {
                assert!(ring::ALL_CIPHER_SUITES.iter().any(|known| known.suite() == suite), "{name}");
                assert_eq!(suite.as_str(), Some(name));
            }
        }
        for group in ring::ALL_KX_GROUPS {
            assert!(CURVES.iter().any(|(_, named)| *named == Some(group.name())), "{group:?}");
        }
    }
}
