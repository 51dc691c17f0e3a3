//! The web configuration file of Prometheus' exporters: TLS, client certificates, users, and what becomes of them while
//! the daemon runs.

mod family;
mod guests;
mod handshakes;
mod rotation;
mod scrapers;
mod toolkit;

use std::path::{Path, PathBuf};

use simulator::SimulatorConfig;
use tempfile::TempDir;

use crate::support::certificates::{Authority, TLS};
use crate::support::{Api, Daemon, Setup};

/// A directory of certificates with a web configuration file, an API, and a place for the state.
struct Site {
    directory: TempDir,
    api: Api,
    /// Vouches for the server.
    authority: Authority,
}

/// TLS with the certificate of the site.
impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new(directory.path(), "authority");
        authority.server("server", |_| ());
        Self { directory, api: Api::start(SimulatorConfig { speed: 0.0, ..SimulatorConfig::default() }), authority }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn web_config(&self) -> PathBuf {
        self.path().join("web.yml")
    }

    /// Writes a file in one go, as a careful deployment does it.
    fn write(&self, name: &str, text: &str) {
        let draft = self.path().join("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(&draft, self.path().join(name)).unwrap();
    }

    /// With this web configuration.
    fn setup(&self, text: &str) -> Setup {
        self.write("web.yml", text);
        Setup::new(self.api.address, &self.path().join("state"))
            .argument(&format!("--web.config.file={}", self.web_config().display()))
    }

    fn start(&self, text: &str) -> Daemon {
        self.setup(text).start()
    }
}

/// A line of `basic_auth_users`, by a hash that costs as little as it may.
fn user(name: &str, password: &str) -> String {
    format!("  {name}: {}\n", bcrypt::hash(password, 4).unwrap())
}
