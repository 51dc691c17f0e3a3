//! `metrics.repeat_contacts`: whether the same customer came back.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{Violation, shown};
use super::rules;

/// Longer names of fields are a mistake.
const MAX_FIELD: usize = 256;
/// Each makes a series of its own, and takes a bit of what is remembered of a session.
const MAX_WINDOWS: usize = 4;
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(90 * 86_400);
/// A key that is shorter can be guessed, and a phone number with it.
const LEAST_KEY: usize = 16;
/// No key is longer.
const MOST_KEY: u64 = 4096;

/// Which field of a session tells its customer, and within how long coming back counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatContacts {
    /// The name of a field of `metadata`, or of its `sessionVariables`.
    pub field: String,
    /// Durations, ascending; each is a value of the label `within`, as it is written here.
    pub windows: Vec<String>,
    /// The file of the key that the customers are hashed with.
    pub key_file: PathBuf,
    /// What is in it, once it was read.
    #[serde(skip)]
    pub key: Option<ContactSecret>,
}

/// A key that customers are hashed with. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ContactSecret(Arc<[u8]>);

impl fmt::Debug for ContactSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContactSecret(not shown)")
    }
}

impl ContactSecret {
    /// The key in the file at `path`.
    ///
    /// # Errors
    /// If there is none that can be used, as a sentence.
    pub fn read(path: &Path) -> Result<Self, String> {
        let refuse = |why: String| {
            format!(
                "the key of metrics.repeat_contacts in {} cannot be used: {why}; make one with `openssl rand -base64 32` and keep it: with another one, nobody is recognised",
                path.display()
            )
        };
        let file = std::fs::File::open(path).map_err(|error| refuse(error.to_string()))?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MOST_KEY + 1), &mut bytes)
            .map_err(|error| refuse(error.to_string()))?;
        let key = bytes.trim_ascii();
        if key.len() < LEAST_KEY || bytes.len() as u64 > MOST_KEY {
            return Err(refuse(format!("it has {} bytes, and needs {LEAST_KEY} to {MOST_KEY}", key.len())));
        }
        Ok(Self(key.into()))
    }

    /// The bytes of the key.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl RepeatContacts {
    /// The windows, as long as they are.
    pub fn lengths(&self) -> Vec<Duration> {
        self.windows.iter().filter_map(|window| humantime::parse_duration(window).ok()).collect()
    }

    /// Reads the key.
    ///
    /// # Errors
    /// If there is none that can be used, as a sentence.
    pub fn read_key(&mut self) -> Result<(), String> {
        self.key = Some(ContactSecret::read(&self.key_file)?);
        Ok(())
    }

    /// Rejects fields without a name, and windows that are none.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub(super) fn validate(&self) -> Result<(), Violation> {
        let name = self.field.as_str();
        let is_plain = !name.is_empty() && name.len() <= MAX_FIELD && !name.contains(char::is_control);
        let rule = format!("must name a field of 1 to {MAX_FIELD} bytes without control characters");
        rules::check(is_plain, "metrics.repeat_contacts.field", shown(name), &rule)?;
        let windows = "metrics.repeat_contacts.windows";
        let count = self.windows.len();
        let rule = format!("must have 1 to {MAX_WINDOWS} windows, such as [\"24h\", \"7d\"]");
        rules::check((1..=MAX_WINDOWS).contains(&count), windows, format!("a list of {count}"), &rule)?;
        let mut before = Duration::ZERO;
        for window in &self.windows {
            let length = humantime::parse_duration(window).ok();
            let is_window = length.is_some_and(|length| (SHORTEST..=LONGEST).contains(&length) && length > before);
            let rule = "must have ascending windows from \"1m\" to \"90d\", such as [\"24h\", \"7d\"]";
            rules::check(is_window, windows, format!("a list with {} in it", shown(window)), rule)?;
            before = length.unwrap_or_default();
        }
        let is_named = !self.key_file.as_os_str().is_empty();
        rules::check(is_named, "metrics.repeat_contacts.key_file", "\"\"", "must name the file of the key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(change: impl FnOnce(&mut RepeatContacts)) -> String {
        let windows = ["24h", "7d"].map(str::to_owned).to_vec();
        let mut contacts = RepeatContacts { field: "phone".into(), windows, key_file: "key".into(), key: None };
        change(&mut contacts);
        contacts.validate().map_or_else(|v| format!("{} is {}; it {}", v.key, v.value, v.rule), |()| "kept".into())
    }

    #[test]
    fn windows_ascend_and_there_are_a_few_of_them() {
        assert_eq!(said(|_| ()), "kept");
        let wrong = "it must have ascending windows from \"1m\" to \"90d\", such as [\"24h\", \"7d\"]";
        for window in ["24h", "1 day", "91d", "soon", "0s"] {
            let said = said(|contacts| contacts.windows[1] = window.into());
            assert_eq!(said, format!("metrics.repeat_contacts.windows is a list with \"{window}\" in it; {wrong}"));
        }
        let said_of = |windows: usize| said(|contacts| contacts.windows = vec!["1h".into(); windows]);
        for count in [0, 5] {
            let rule = "it must have 1 to 4 windows, such as [\"24h\", \"7d\"]";
            assert_eq!(said_of(count), format!("metrics.repeat_contacts.windows is a list of {count}; {rule}"));
        }
        assert!(said(|contacts| contacts.field.clear()).starts_with("metrics.repeat_contacts.field is \"\""));
        let no_file = said(|contacts| contacts.key_file = PathBuf::new());
        assert!(no_file.starts_with("metrics.repeat_contacts.key_file is \"\""));
    }

    #[test]
    fn key_is_read_from_its_file_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        assert!(ContactSecret::read(&path).unwrap_err().contains("openssl rand"));
        std::fs::write(&path, "too short\n").unwrap();
        assert!(ContactSecret::read(&path).unwrap_err().contains("it has 9 bytes"));
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let key = ContactSecret::read(&path).unwrap();
        assert_eq!((key.bytes(), format!("{key:?}").as_str()), (&b"0123456789abcdef"[..], "ContactSecret(not shown)"));
    }
}
