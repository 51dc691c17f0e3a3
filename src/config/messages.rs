//! `[messages]`: whether the messages of ended sessions are read, and of how many.

use serde::{Deserialize, Serialize};

use super::error::Violation;
use super::rules;

/// See `config.toml`, section `[messages]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessagesConfig {
    /// Whether the messages of a session are read once after its end.
    pub enabled: bool,
    /// Of which share of the sessions; which ones is decided by a hash of their ids.
    pub share: f64,
}

impl Default for MessagesConfig {
    fn default() -> Self {
        Self { enabled: false, share: 1.0 }
    }
}

impl MessagesConfig {
    /// Rejects what is no share.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self) -> Result<(), Violation> {
        let is_share = self.share > 0.0 && self.share <= 1.0;
        rules::check(is_share, "messages.share", self.share, "must be more than 0 and at most 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_is_more_than_nothing_and_at_most_all() {
        let said = |share| MessagesConfig { enabled: true, share }.validate().map_err(|violation| violation.rule);
        assert_eq!((said(0.01), said(1.0)), (Ok(()), Ok(())));
        for share in [0.0, -0.1, 1.01, f64::NAN] {
            assert_eq!(said(share), Err("must be more than 0 and at most 1".into()), "{share}");
        }
    }
}
