//! `[sessions]`: which sessions to follow and how they are found.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::error::{Violation, shown};
use super::rules::{self, DAY, HOUR};

/// Longer ids are a mistake; the same bound holds in `sessions.files`.
const MAX_ID: usize = 512;

/// See `config.toml`, section `[sessions]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionsConfig {
    /// Sessions to follow and to expose one by one.
    pub ids: Vec<String>,
    /// Files of session ids (a JSON array, or one id a line), watched.
    pub files: Vec<PathBuf>,
    /// Find recent sessions by listing them.
    pub listing: bool,
    /// How far back "recently seen" reaches on a first start.
    #[serde(with = "duration")]
    pub recent_window: Duration,
    /// How long a first start may leave out the session metrics while it looks back.
    #[serde(with = "duration")]
    pub look_back_deadline: Duration,
    /// How long a counted session is remembered.
    #[serde(with = "duration")]
    pub retention: Duration,
    /// Sessions that are not yet counted, at most; beyond it discovery waits.
    pub max_tracked: usize,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            files: Vec::new(),
            listing: true,
            recent_window: Duration::from_secs(3600),
            look_back_deadline: Duration::from_secs(300),
            retention: Duration::from_secs(30 * 86_400),
            max_tracked: 100_000,
        }
    }
}

impl SessionsConfig {
    /// Rejects invalid ids, and times that would break a promise.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self) -> Result<(), Violation> {
        let plain =
            |id: &str| !id.is_empty() && id == id.trim() && id.len() <= MAX_ID && !id.contains(char::is_control);
        if let Some(id) = self.ids.iter().find(|id| !plain(id)) {
            let rule = format!(
                "must hold session ids of 1 to {MAX_ID} bytes only, without control characters or spaces around them"
            );
            return rules::check(false, "sessions.ids", format!("a list with {} in it", shown(id)), rule);
        }
        for file in &self.files {
            rules::path("sessions.files", file, "file")?;
        }
        // Svix delivers again for more than a day; an id forgotten sooner could be counted twice (promise P1).
        let (least, most) = (2 * DAY, 3653 * DAY);
        rules::duration("sessions.retention", self.retention, (least, most), "must be from 48h to 10 years")?;
        let rule = format!("must be at most sessions.retention, which is {}", rules::written(self.retention));
        rules::duration("sessions.recent_window", self.recent_window, (Duration::ZERO, self.retention), &rule)?;
        let bounds = (Duration::ZERO, HOUR);
        rules::duration("sessions.look_back_deadline", self.look_back_deadline, bounds, "must be at most 1h")?;
        rules::check(self.max_tracked >= 100, "sessions.max_tracked", self.max_tracked, "must be 100 or more")
    }

    /// Drops repeated ids, and returns how many there were.
    pub(super) fn drop_repeated_ids(&mut self) -> usize {
        let mut seen = HashSet::new();
        let before = self.ids.len();
        self.ids.retain(|id| seen.insert(id.clone()));
        before - self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(change: impl FnOnce(&mut SessionsConfig)) -> String {
        let mut config = SessionsConfig::default();
        change(&mut config);
        config.validate().map_or_else(|v| format!("{} is {}; it {}", v.key, v.value, v.rule), |()| "kept".into())
    }

    #[test]
    fn configured_ids_are_valid_session_ids() {
        let said = |id: &str| said(|c| c.ids = vec!["good".into(), id.into()]);
        assert_eq!(said("cm3x9"), "kept");
        let rule = "it must hold session ids of 1 to 512 bytes only, without control characters or spaces around them";
        assert_eq!(said(" "), format!("sessions.ids is a list with \" \" in it; {rule}"));
        assert_eq!(said("a\nb"), format!("sessions.ids is a list with \"a\\nb\" in it; {rule}"));
        assert!(said(&"x".repeat(513)).ends_with(rule));
    }

    #[test]
    fn retention_and_deadlines_keep_the_promises() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!(
            said(|c| c.retention = hours(47)),
            "sessions.retention is \"1day 23h\"; it must be from 48h to 10 years"
        );
        assert_eq!(
            said(|c| (c.retention, c.recent_window) = (hours(48), hours(49))),
            "sessions.recent_window is \"2days 1h\"; it must be at most sessions.retention, which is \"2days\""
        );
        assert_eq!(said(|c| c.look_back_deadline = Duration::ZERO), "kept");
        assert_eq!(
            said(|c| c.look_back_deadline = hours(2)),
            "sessions.look_back_deadline is \"2h\"; it must be at most 1h"
        );
        assert_eq!(said(|c| c.max_tracked = 99), "sessions.max_tracked is 99; it must be 100 or more");
    }

    #[test]
    fn a_repeated_id_is_dropped_and_the_order_kept() {
        let ids = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut config = SessionsConfig { ids: ids(&["b", "a", "b", "b"]), ..SessionsConfig::default() };
        assert_eq!(config.drop_repeated_ids(), 2);
        assert_eq!(config.ids, ids(&["b", "a"]));
    }
}
