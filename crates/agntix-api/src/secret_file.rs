//! A file with a secret in it: read again when it changes, and the last good value kept. Nothing here shows what is in it.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::CredentialFault;
use crate::secret::Secret;
use crate::stamp::Stamp;

/// How often a file is looked at, at most. Looking is a `stat`; it is read only when that shows a change.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longer files are not credentials: servers refuse longer headers, and webhook secrets are short.
const MAX_BYTES: u64 = 16 * 1024;

/// A file that should hold a `T`; `E` says why it does not.
#[derive(Debug)]
pub(super) struct SecretFile<T, E> {
    /// What is in it, as the log names it.
    what: &'static str,
    path: PathBuf,
    known: Mutex<Known<T, E>>,
}

/// What is known of a file.
#[derive(Debug)]
struct Known<T, E> {
    looked: Option<Instant>,
    /// The file as it was when it was last read; `None` where there was none.
    stamp: Option<Stamp>,
    /// The last good value.
    value: Option<T>,
    /// Why the current content of the file is not a value.
    fault: Option<E>,
    /// The value was refused: read the file again even if it looks unchanged.
    suspect: bool,
}

impl<T, E> SecretFile<T, E>
where
    T: Clone + PartialEq,
    E: Clone + PartialEq + fmt::Display + From<CredentialFault>,
{
    /// Does not look at the file yet. `what` is a noun for the log.
    pub(super) fn new(what: &'static str, path: &Path) -> Self {
        let known = Known { looked: None, stamp: None, value: None, fault: None, suspect: false };
        Self { what, path: path.to_owned(), known: Mutex::new(known) }
    }

    /// The last good value, at `now`; `parse` makes one of what is in the file, without the white space around it.
    pub(super) fn value(&self, now: Instant, parse: impl FnOnce(&Secret) -> Result<T, E>) -> Result<T, E> {
        self.with(|known| {
            known.look(self, now, parse);
            let fault = || known.fault.clone().unwrap_or_else(|| CredentialFault::Empty.into());
            known.value.clone().ok_or_else(fault)
        })
    }

    /// Whether the file has changed since it was last read.
    pub(super) fn has_changed(&self) -> bool {
        self.with(|known| known.stamp != Stamp::of(&self.path))
    }

    /// The value was refused: the file is read again before the next use, even if it looks unchanged.
    pub(super) fn suspect(&self) {
        self.with(|known| known.suspect = true);
    }

    // A panic while the lock is held would leave usable data, so poisoning is ignored.
    fn with<R>(&self, act: impl FnOnce(&mut Known<T, E>) -> R) -> R {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T, E> Known<T, E>
where
    T: PartialEq,
    E: PartialEq + fmt::Display + From<CredentialFault>,
{
    fn look(&mut self, file: &SecretFile<T, E>, now: Instant, parse: impl FnOnce(&Secret) -> Result<T, E>) {
        let recently = self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_EVERY);
        if recently && !self.suspect {
            return;
        }
        self.looked = Some(now);
        let (what, path) = (file.what, file.path.as_path());
        let stamp = Stamp::of(path);
        let changed = self.stamp != stamp;
        let suspect = std::mem::take(&mut self.suspect) || self.fault.is_some() || self.value.is_none();
        if !changed && !suspect {
            return;
        }
        // Taken before the file is read: if it changes in between, the next look sees another stamp.
        self.stamp = stamp;
        match read(path).map_err(E::from).and_then(|secret| parse(&secret)) {
            Ok(value) => {
                if self.value.as_ref().is_some_and(|known| *known != value) {
                    tracing::info!(file = %path.display(), "the {what} in the file has changed; the new one is used");
                }
                self.value = Some(value);
                self.fault = None;
            }
            Err(fault) => {
                let news = changed || self.fault.as_ref() != Some(&fault);
                // Without a last good value every use fails, with this as its reason.
                if news && self.value.is_some() {
                    tracing::warn!(
                        file = %path.display(), reason = %fault,
                        "the {what} cannot be taken from the file; the last good one stays in use"
                    );
                }
                self.fault = Some(fault);
            }
        }
    }
}

/// Blocks: the file is small, and on a local disk or an orchestrator's secret mount.
fn read(path: &Path) -> Result<Secret, CredentialFault> {
    let unreadable = |error: std::io::Error| CredentialFault::Unreadable(error.to_string());
    // Asked before opening, because opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(CredentialFault::NotAFile);
    }
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Err(CredentialFault::NotText),
        Err(error) => return Err(unreadable(error)),
        Ok(_) => {}
    }
    if text.len() as u64 > MAX_BYTES {
        return Err(CredentialFault::Long(MAX_BYTES));
    }
    Secret::new(text.trim_start_matches('\u{feff}')).ok_or(CredentialFault::Empty)
}
