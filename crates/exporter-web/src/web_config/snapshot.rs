//! What a web configuration file says, all files that it names read, and which protection a change of it would take away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::http::{HeaderName, HeaderValue};
use rustls::ServerConfig;

use super::error::WebConfigError;
use super::names::ClientAuth;
use super::password::PasswordHash;
use super::rate_limit::RateLimit;
use super::{file, tls, yaml};
use crate::stamp::Stamp;

/// A longer file is not a web configuration.
const MAX_BYTES: u64 = 1024 * 1024;

/// What a file says.
pub(crate) struct Snapshot {
    pub tls: Option<Arc<ServerConfig>>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub users: BTreeMap<String, PasswordHash>,
    pub rate_limit: Option<RateLimit>,
    /// What is probably not meant in it, a sentence each.
    pub(super) warnings: Vec<String>,
    pub(super) client_auth: ClientAuth,
    /// Whether it lists names of which a client's certificate must have one.
    pub(super) names_clients: bool,
    /// Whether it names the authority that client certificates must be from.
    names_authority: bool,
    pub(super) certificate_ends: Option<SystemTime>,
    pub(super) key_file: Option<PathBuf>,
}

/// Files, and their states when they were read.
pub(super) type Stamps = Vec<(PathBuf, Option<Stamp>)>;

/// The result of reading a file, together with the states of all files that were read for it.
pub(super) struct Reading {
    pub stamps: Stamps,
    pub result: Result<Snapshot, WebConfigError>,
}

impl Snapshot {
    /// Which protection that this snapshot gives would be lost with `new`, as a half sentence. A file that is written only half
    /// way, or is empty, must not take it away.
    pub(super) fn lost_with(&self, new: &Self) -> Option<&'static str> {
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

/// Reads the file and all that it names.
pub(super) fn read(path: &Path) -> Reading {
    // Taken before the file is read: if it changes in between, the next check sees another stamp.
    let mut stamps = vec![(path.to_owned(), Stamp::of(path))];
    let result = read_file(path, &mut stamps);
    Reading { stamps, result }
}

fn read_file(path: &Path, stamps: &mut Stamps) -> Result<Snapshot, WebConfigError> {
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
    Ok(Snapshot {
        tls: config,
        headers: contents.headers,
        users: contents.users,
        rate_limit,
        warnings: warnings.into_iter().map(|warning| format!("{}: {warning}", path.display())).collect(),
        client_auth,
        names_clients,
        names_authority,
        certificate_ends,
        key_file: contents.tls.as_ref().and_then(|section| tls::file_of(&section.key)).map(Into::into),
    })
}
