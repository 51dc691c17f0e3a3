//! Servers with TLS.

use crate::server::Setup;

impl Setup {
    /// With TLS. `certificate` and `key` are PEM, as is `authority`, whose signature a client certificate must have to be
    /// accepted.
    #[must_use]
    pub fn with_tls(mut self, certificate: &str, key: &str, authority: Option<&str>) -> Self {
        self.files.push(("server.crt".into(), certificate.into()));
        self.files.push(("server.key".into(), key.into()));
        self.settings.push_str("\nssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n");
        if let Some(authority) = authority {
            self.files.push(("clients.crt".into(), authority.into()));
            self.settings.push_str("ssl_ca_file = 'clients.crt'\n");
        }
        self
    }

    /// The superuser is taken for whom it says it is, from this machine; `lines` of `pg_hba.conf` say what is asked of others.
    #[must_use]
    pub fn asking(mut self, lines: &str) -> Self {
        self.access =
            format!("host all postgres 127.0.0.1/32 trust\nhost replication postgres 127.0.0.1/32 trust\n{lines}\n");
        self
    }
}
