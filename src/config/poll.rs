//! `[poll]`: how often the API is asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::error::Violation;
use super::rules::{self, DAY};

/// See `config.toml`, section `[poll]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PollConfig {
    /// Time between two requests for an open session.
    #[serde(with = "duration")]
    pub open_interval: Duration,
    /// Time before the second request for an ended session whose analysis has not arrived; each later one waits longer.
    #[serde(with = "duration")]
    pub ended_interval: Duration,
    /// Time between two sweeps of the listing.
    #[serde(with = "duration")]
    pub listing_interval: Duration,
    /// Time between two requests for the agents' names.
    #[serde(with = "duration")]
    pub agents_interval: Duration,
    /// How long after a session's end its analysis is waited for.
    #[serde(with = "duration")]
    pub analysis_deadline: Duration,
}

impl Default for PollConfig {
    fn default() -> Self {
        Self {
            open_interval: Duration::from_secs(30),
            ended_interval: Duration::from_secs(10),
            listing_interval: Duration::from_secs(30),
            agents_interval: Duration::from_secs(600),
            analysis_deadline: Duration::from_secs(900),
        }
    }
}

impl PollConfig {
    /// Rejects intervals that would spin or never come around.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn validate(&self) -> Result<(), Violation> {
        // Tests of the daemon ask many times a second. In production the request budget limits what that costs.
        let bounds = (Duration::from_millis(10), DAY);
        for (key, interval) in [
            ("poll.open_interval", self.open_interval),
            ("poll.ended_interval", self.ended_interval),
            ("poll.listing_interval", self.listing_interval),
            ("poll.agents_interval", self.agents_interval),
        ] {
            rules::duration(key, interval, bounds, "must be from 10ms to 1d")?;
        }
        let bounds = (Duration::from_secs(1), 7 * DAY);
        rules::duration("poll.analysis_deadline", self.analysis_deadline, bounds, "must be from 1s to 7d")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_stay_in_their_range() {
        let said = |change: fn(&mut PollConfig)| {
            let mut config = PollConfig::default();
            change(&mut config);
            config.validate().map_or_else(|v| format!("{} is {}; it {}", v.key, v.value, v.rule), |()| "kept".into())
        };
        assert_eq!(said(|c| c.open_interval = Duration::from_millis(10)), "kept");
        assert_eq!(
            said(|c| c.listing_interval = Duration::from_millis(9)),
            "poll.listing_interval is \"9ms\"; it must be from 10ms to 1d"
        );
        assert_eq!(
            said(|c| c.agents_interval = 2 * DAY),
            "poll.agents_interval is \"2days\"; it must be from 10ms to 1d"
        );
        assert_eq!(
            said(|c| c.analysis_deadline = Duration::ZERO),
            "poll.analysis_deadline is \"0s\"; it must be from 1s to 7d"
        );
    }
}
