//! The web configuration file, in the format of Prometheus' exporter-toolkit: TLS, users, headers, a rate limit. It is read
//! again when it or a certificate changes, and the last good state stays in force while the new one is not good.
//!
//! Nothing in here knows a route or a request: [`access`](crate::access) decides with it what is let in.

mod clients;
mod duration;
mod error;
mod file;
mod names;
mod password;
mod rate_limit;
mod section;
#[cfg(test)]
mod tests;
mod tls;
pub(crate) mod users;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use axum::http::{HeaderName, HeaderValue};
pub use error::WebConfigError;
use names::ClientAuth;
use password::PasswordHash;
use rustls::ServerConfig;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::rate_limit::RateLimit;
use self::users::Authenticator;
use crate::stamp::Stamp;

/// How often the files are looked at. Looking is a `stat`; they are read only when that shows a change.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two attempts to read files that could not be used and have not changed.
const RETRY_AFTER: u32 = 60;
/// A longer file is another one.
const MAX_BYTES: u64 = 1024 * 1024;

/// What guards a listener: what its web configuration file says at the moment, or nothing.
pub struct WebConfigFile(Option<Guard>);

struct Guard {
    path: PathBuf,
    current: ArcSwap<Snapshot>,
    authenticator: Authenticator,
    looks: Mutex<Looks>,
}

/// What a file says.
pub(crate) struct Snapshot {
    pub tls: Option<Arc<ServerConfig>>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub users: BTreeMap<String, PasswordHash>,
    pub rate_limit: Option<RateLimit>,
    client_auth: ClientAuth,
    names_clients: bool,
    /// Whether it names the authority that vouches for clients.
    names_authority: bool,
    certificate_ends: Option<SystemTime>,
    key_file: Option<PathBuf>,
}

/// What has been seen of the files.
struct Looks {
    /// As they were when they were last read.
    read: Stamps,
    /// As they were at the last look.
    seen: Stamps,
    /// Why the latest state is not in force.
    complaint: Option<String>,
    /// Looks until files that could not be used are read again although they look the same: the reason may have been
    /// that the system had no memory or no file left.
    until_retry: u32,
}

/// Files, and their states.
type Stamps = Vec<(PathBuf, Option<Stamp>)>;

/// What came of reading.
struct Reading {
    stamps: Stamps,
    result: Result<(Snapshot, Vec<String>), WebConfigError>,
}

impl WebConfigFile {
    /// Plain HTTP, open to everybody.
    pub const fn none() -> Self {
        Self(None)
    }

    /// What the file says now, together with what is probably not meant in it, a sentence each.
    ///
    /// # Errors
    /// If the file, or a certificate or key that it names, cannot be used.
    pub fn load(path: &Path) -> Result<(Self, Vec<String>), WebConfigError> {
        let Reading { stamps, result } = read(path);
        let (snapshot, warnings) = result?;
        let authenticator = Authenticator::new().map_err(|_| WebConfigError::Unreadable {
            file: path.to_owned(),
            reason: "the system gives no random numbers".into(),
        })?;
        let looks = Looks { read: stamps.clone(), seen: stamps, complaint: None, until_retry: 0 };
        let guard = Guard {
            path: path.to_owned(),
            current: ArcSwap::from_pointee(snapshot),
            authenticator,
            looks: Mutex::new(looks),
        };
        Ok((Self(Some(guard)), warnings))
    }

    /// What is in force, and the one who checks users; none if there is no file.
    pub(crate) fn in_force(&self) -> Option<(Arc<Snapshot>, &Authenticator)> {
        self.0.as_ref().map(|guard| (guard.current.load_full(), &guard.authenticator))
    }

    fn current(&self) -> Option<Arc<Snapshot>> {
        self.0.as_ref().map(|guard| guard.current.load_full())
    }

    /// The configuration of TLS for a new connection; none if it is not to be encrypted.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.0.as_ref()?.current.load().tls.clone()
    }

    /// Whether connections are encrypted, and requests asked for a user, in words.
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

    /// Whether requests are asked for a user.
    pub fn has_users(&self) -> bool {
        self.current().is_some_and(|snapshot| !snapshot.users.is_empty())
    }

    /// When the certificate that is shown ends.
    pub fn certificate_ends(&self) -> Option<SystemTime> {
        self.current()?.certificate_ends
    }

    /// The files that hold what not everybody is to read: a private key, hashes of passwords.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let Some(guard) = &self.0 else { return Vec::new() };
        let snapshot = guard.current.load();
        let file = (!snapshot.users.is_empty()).then(|| guard.path.clone());
        file.into_iter().chain(snapshot.key_file.clone()).collect()
    }

    /// Whether clients must show a certificate, which Agntix has not got.
    pub fn requires_certificates(&self) -> bool {
        self.current().is_some_and(|s| s.tls.is_some() && (s.client_auth.requires() || s.names_clients))
    }

    /// Whether the files are in force as they were last read; none if there is no file.
    pub fn is_up_to_date(&self) -> Option<bool> {
        Some(self.0.as_ref()?.looks().complaint.is_none())
    }

    /// Looks at the files now and then, until `shutdown`; `seen` is called after each look.
    pub async fn watch(self: Arc<Self>, seen: impl Fn(&Self) + Send + 'static, shutdown: CancellationToken) {
        if self.0.is_none() {
            return;
        }
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let security = Arc::clone(&self);
            // A disk that is slow to answer must not hold up the requests.
            if let Err(error) = tokio::task::spawn_blocking(move || security.look()).await {
                if error.is_panic() {
                    // Whoever watches over this task is to know.
                    std::panic::resume_unwind(error.into_panic());
                }
                return;
            }
            seen(&self);
        }
    }

    /// Takes the new state of the files if there is one and it has rested since the last look: a file that is being
    /// written may be valid in the middle of it.
    fn look(&self) {
        let Some(guard) = &self.0 else { return };
        let mut looks = guard.looks();
        let now: Stamps = looks.read.iter().map(|(path, _)| (path.clone(), Stamp::of(path))).collect();
        let rests = now == looks.seen;
        let is_new = now != looks.read;
        looks.seen = now;
        looks.until_retry = looks.until_retry.saturating_sub(1);
        let is_due = looks.complaint.is_some() && looks.until_retry == 0;
        if (is_new || is_due) && rests {
            // The log has it.
            let _ = guard.read_again(&mut looks);
        }
    }

    /// Reads the files again now.
    ///
    /// # Errors
    /// If they cannot be used, or would open a door that is closed; what was in force stays so.
    pub fn reread(&self) -> Result<(), String> {
        let Some(guard) = &self.0 else { return Ok(()) };
        guard.read_again(&mut guard.looks())
    }
}

impl Guard {
    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_again(&self, looks: &mut Looks) -> Result<(), String> {
        let Reading { mut stamps, result } = read(&self.path);
        if result.is_err() {
            // A file that cannot be read to its end does not say which others it names.
            let more = looks.read.iter().filter(|(old, _)| !stamps.iter().any(|(new, _)| new == old));
            let more: Vec<_> = more.map(|(path, _)| (path.clone(), Stamp::of(path))).collect();
            stamps.extend(more);
        }
        looks.read.clone_from(&stamps);
        looks.seen = stamps;
        let taken = result.map_err(|error| error.to_string()).and_then(|(snapshot, warnings)| {
            match self.current.load().closed_by(&snapshot) {
                None => Ok((snapshot, warnings)),
                Some(door) => Err(format!("{}: {door}; restart the exporter if it is meant", self.path.display())),
            }
        });
        match taken {
            Ok((snapshot, warnings)) => {
                self.current.store(Arc::new(snapshot));
                looks.complaint = None;
                tracing::info!(file = %self.path.display(), "the web configuration was read again");
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                Ok(())
            }
            Err(why) => {
                looks.until_retry = RETRY_AFTER;
                if looks.complaint.as_ref() != Some(&why) {
                    tracing::warn!("{why}; the last good web configuration stays in force");
                    looks.complaint = Some(why.clone());
                }
                Err(why)
            }
        }
    }
}

impl Snapshot {
    /// Which door that is closed now would be open with `new`, as a half sentence. A file that was written half way, or an
    /// empty one, must not open it.
    fn closed_by(&self, new: &Self) -> Option<&'static str> {
        if self.tls.is_some() && new.tls.is_none() {
            return Some("it would switch TLS off");
        }
        if !self.users.is_empty() && new.users.is_empty() {
            return Some("it would let everybody in without a password");
        }
        let verified = |s: &Self| s.client_auth.verifies() && (s.client_auth.requires() || s.names_clients);
        if verified(self) && verified(new) && self.names_authority && !new.names_authority {
            return Some("it would let any authority of the system vouch for clients");
        }
        let asked = |s: &Self| s.client_auth.verifies() && s.client_auth.requires();
        if (asked(self) && !asked(new))
            || (verified(self) && !verified(new))
            || (self.names_clients && !new.names_clients)
        {
            return Some("it would let clients in whose certificates are refused now");
        }
        None
    }
}

fn read(path: &Path) -> Reading {
    // Before it is read: if it changes in between, the next look sees another stamp.
    let mut stamps = vec![(path.to_owned(), Stamp::of(path))];
    let result = read_file(path, &mut stamps);
    Reading { stamps, result }
}

fn read_file(path: &Path, stamps: &mut Stamps) -> Result<(Snapshot, Vec<String>), WebConfigError> {
    let unreadable = |reason: String| WebConfigError::Unreadable { file: path.to_owned(), reason };
    let bytes = tls::read_file(path, MAX_BYTES).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8 text".into()))?;
    let root = yaml::parse(&text).map_err(|fault| WebConfigError::Syntax {
        file: path.to_owned(),
        line: fault.line,
        reason: fault.reason,
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let contents = file::read(root.as_ref(), directory).map_err(|mistake| mistake.in_file(path))?;
    let mut warnings = contents.warnings;
    let (mut config, mut client_auth, mut names_clients) = (None, ClientAuth::None, false);
    let names_authority = contents.tls.as_ref().is_some_and(|section| section.client_ca.is_some());
    let mut certificate_ends = None;
    if let Some(section) = &contents.tls {
        stamps.extend(tls::files(section).map(|file| (file.to_owned(), Stamp::of(file))));
        let ready = tls::configure(section).map_err(|mistake| mistake.in_file(path))?;
        config = Some(ready.config);
        certificate_ends = ready.ends;
        warnings.extend(ready.warnings);
        (client_auth, names_clients) = (section.client_auth, !section.allowed_sans.is_empty());
    }
    let rate_limit = contents.rate_limit.map(|(interval, burst)| RateLimit::new(interval, burst, Instant::now()));
    let snapshot = Snapshot {
        tls: config,
        headers: contents.headers,
        users: contents.users,
        rate_limit,
        client_auth,
        names_clients,
        names_authority,
        certificate_ends,
        key_file: contents.tls.as_ref().and_then(|section| tls::file_of(&section.key)).map(Into::into),
    };
    let warnings = warnings.into_iter().map(|warning| format!("{}: {warning}", path.display())).collect();
    Ok((snapshot, warnings))
}
