//! The web configuration file, in the format of Prometheus' exporter-toolkit: TLS, users, headers, a rate limit. It is read
//! again when it or a certificate changes; while the new state cannot be used, the last good one stays in force.
//!
//! Nothing in here knows a route or a request: [`access`](crate::access) applies it to them.

mod clients;
mod duration;
mod error;
mod file;
mod names;
mod password;
mod rate_limit;
mod section;
mod snapshot;
#[cfg(test)]
mod tests;
mod tls;
pub(crate) mod users;
mod yaml;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
pub use error::WebConfigError;
use rustls::ServerConfig;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::names::ClientAuth;
use self::snapshot::{Reading, Snapshot, Stamps, read};
use self::users::Authenticator;
use crate::stamp::Stamp;

/// How often the files are checked. A check is a `stat`; they are read only if that shows a change.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Checks between two attempts to read files that could not be used and have not changed.
const RETRY_AFTER: u32 = 60;

/// A web configuration file: what it says at the moment. Without a file, plain HTTP for everybody.
///
/// [`watch`](Self::watch) keeps it up to date, and [`Access::guarded`](crate::Access::guarded) applies it to a server.
pub struct WebConfigFile(Option<Guard>);

struct Guard {
    path: PathBuf,
    current: ArcSwap<Snapshot>,
    authenticator: Authenticator,
    checks: Mutex<Checks>,
}

/// What the checks have seen of the files.
struct Checks {
    /// As they were when they were last read.
    read: Stamps,
    /// As they were at the last check.
    seen: Stamps,
    /// Why the latest state is not in force.
    rejection: Option<String>,
    /// Checks until files that could not be used are read again although they have not changed: the system may have been
    /// out of memory or of file descriptors.
    until_retry: u32,
}

impl WebConfigFile {
    /// No file: plain HTTP, open to everybody.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Reads the file, and the certificates and keys that it names. Relative paths in it begin at its directory.
    ///
    /// # Errors
    /// If one of them cannot be used. The message names the file, the line and what would do, and shows no secret.
    pub fn load(path: &Path) -> Result<Self, WebConfigError> {
        let Reading { stamps, result } = read(path);
        let snapshot = result?;
        let authenticator = Authenticator::new().map_err(|_| WebConfigError::Unreadable {
            file: path.to_owned(),
            reason: "the system gives no random numbers".into(),
        })?;
        let checks = Checks { read: stamps.clone(), seen: stamps, rejection: None, until_retry: 0 };
        let guard = Guard {
            path: path.to_owned(),
            current: ArcSwap::from_pointee(snapshot),
            authenticator,
            checks: Mutex::new(checks),
        };
        Ok(Self(Some(guard)))
    }

    /// What is allowed but probably not meant in the file, or not supported here; a sentence each, which names the file.
    pub fn warnings(&self) -> Vec<String> {
        self.current().map(|snapshot| snapshot.warnings.clone()).unwrap_or_default()
    }

    /// What is in force, and what checks users with it; `None` if there is no file.
    pub(crate) fn in_force(&self) -> Option<(Arc<Snapshot>, &Authenticator)> {
        self.0.as_ref().map(|guard| (guard.current.load_full(), &guard.authenticator))
    }

    fn current(&self) -> Option<Arc<Snapshot>> {
        self.0.as_ref().map(|guard| guard.current.load_full())
    }

    /// The TLS configuration for a new connection; `None` if TLS is off.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.0.as_ref()?.current.load().tls.clone()
    }

    /// In words, whether connections are encrypted and who is let in: `TLS, 2 users (basic authentication)`.
    pub fn summary(&self) -> String {
        let Some(snapshot) = self.current() else { return "plain HTTP, open to everybody who can reach it".to_owned() };
        let transport = match (&snapshot.tls, snapshot.client_auth) {
            (None, _) => "plain HTTP",
            (Some(_), ClientAuth::None) => "TLS",
            (Some(_), ClientAuth::Request | ClientAuth::RequireAny) => "TLS, any client certificate",
            (Some(_), ClientAuth::VerifyIfGiven) => "TLS, client certificates verified if given",
            (Some(_), ClientAuth::RequireAndVerify) => "TLS, client certificates required and verified",
        };
        let users = match snapshot.users.len() {
            0 if snapshot.tls.is_some() && snapshot.client_auth.requires() => return transport.to_owned(),
            0 => "open to everybody who can reach it".to_owned(),
            1 => "1 user (basic authentication)".to_owned(),
            count => format!("{count} users (basic authentication)"),
        };
        format!("{transport}, {users}")
    }

    /// Whether connections are encrypted.
    pub fn has_tls(&self) -> bool {
        self.current().is_some_and(|snapshot| snapshot.tls.is_some())
    }

    /// Whether requests need a user and a password.
    pub fn has_users(&self) -> bool {
        self.current().is_some_and(|snapshot| !snapshot.users.is_empty())
    }

    /// When the server's certificate expires; `None` without TLS.
    pub fn certificate_ends(&self) -> Option<SystemTime> {
        self.current()?.certificate_ends
    }

    /// The files with secrets in them: the private key, and this file if it holds hashes of passwords.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let Some(guard) = &self.0 else { return Vec::new() };
        let snapshot = guard.current.load();
        let file = (!snapshot.users.is_empty()).then(|| guard.path.clone());
        file.into_iter().chain(snapshot.key_file.clone()).collect()
    }

    /// Whether clients must show a certificate.
    pub fn requires_certificates(&self) -> bool {
        self.current().is_some_and(|s| s.tls.is_some() && (s.client_auth.requires() || s.names_clients))
    }

    /// Whether the latest state of the files is in force; `None` if there is no file. `false` means that it cannot be used, and
    /// that the last good state is.
    pub fn is_up_to_date(&self) -> Option<bool> {
        Some(self.0.as_ref()?.checks().rejection.is_none())
    }

    /// Checks the files every second until `shutdown` is cancelled, and takes their new state if they have changed and can be
    /// used; the log says so. `checked` is called after each check, for example to set metrics. Ends at once if there is no
    /// file.
    ///
    /// # Panics
    /// If a check does, which is a defect of this crate.
    pub async fn watch(self: Arc<Self>, checked: impl Fn(&Self) + Send + 'static, shutdown: CancellationToken) {
        if self.0.is_none() {
            return;
        }
        let mut ticks = tokio::time::interval(CHECK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let file = Arc::clone(&self);
            // A slow disk must not delay requests.
            if let Err(error) = tokio::task::spawn_blocking(move || file.check()).await {
                if error.is_panic() {
                    // The owner of this task must learn of it: the file is not watched any more.
                    std::panic::resume_unwind(error.into_panic());
                }
                return;
            }
            checked(&self);
        }
    }

    /// Takes the new state of the files if there is one and it has not changed since the last check: a file that is being
    /// written may be valid by chance.
    fn check(&self) {
        let Some(guard) = &self.0 else { return };
        let mut checks = guard.checks();
        let now: Stamps = checks.read.iter().map(|(path, _)| (path.clone(), Stamp::of(path))).collect();
        let is_stable = now == checks.seen;
        let is_new = now != checks.read;
        checks.seen = now;
        checks.until_retry = checks.until_retry.saturating_sub(1);
        let is_due = checks.rejection.is_some() && checks.until_retry == 0;
        if (is_new || is_due) && is_stable {
            // Why it failed is in the log.
            let _ = guard.read_again(&mut checks);
        }
    }

    /// Reads the files again now, as for a reload.
    ///
    /// # Errors
    /// If they cannot be used, or would take away a protection that only a restart may take away: TLS, users, client
    /// certificates. What was in force stays in force then.
    pub fn reread(&self) -> Result<(), String> {
        let Some(guard) = &self.0 else { return Ok(()) };
        guard.read_again(&mut guard.checks())
    }
}

impl Guard {
    fn checks(&self) -> MutexGuard<'_, Checks> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_again(&self, checks: &mut Checks) -> Result<(), String> {
        let Reading { mut stamps, result } = read(&self.path);
        if result.is_err() {
            // A file that cannot be read to its end does not say which other files it names.
            let more = checks.read.iter().filter(|(old, _)| !stamps.iter().any(|(new, _)| new == old));
            let more: Vec<_> = more.map(|(path, _)| (path.clone(), Stamp::of(path))).collect();
            stamps.extend(more);
        }
        checks.read.clone_from(&stamps);
        checks.seen = stamps;
        let taken = result.map_err(|error| error.to_string()).and_then(|snapshot| {
            match self.current.load().lost_with(&snapshot) {
                None => Ok(snapshot),
                Some(loss) => Err(format!("{}: {loss}; restart the exporter if it is meant", self.path.display())),
            }
        });
        match taken {
            Ok(snapshot) => {
                let warnings = snapshot.warnings.clone();
                self.current.store(Arc::new(snapshot));
                checks.rejection = None;
                tracing::info!(file = %self.path.display(), "the web configuration was read again");
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                Ok(())
            }
            Err(why) => {
                checks.until_retry = RETRY_AFTER;
                if checks.rejection.as_ref() != Some(&why) {
                    tracing::warn!("{why}; the last good web configuration stays in force");
                    checks.rejection = Some(why.clone());
                }
                Err(why)
            }
        }
    }
}
