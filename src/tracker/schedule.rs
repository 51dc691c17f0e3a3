//! How long to wait before a session is asked for again: pure functions of its age.

use std::time::Duration;

use super::{EndSeen, Progress, Tracked};
use crate::clock::{Tick, Timestamp};
use crate::config::PollConfig;
use crate::session::Stage;

/// A session that has been open for long will hardly end this very minute: it is asked for after this part of its age.
const OPEN_AGE_PART: u32 = 20;
const OPEN_AT_MOST: Duration = Duration::from_secs(300);
/// Beyond a day, a session is more likely forgotten than held.
const STALE_AGE: Duration = Duration::from_secs(86_400);
const STALE_AT_MOST: Duration = Duration::from_secs(3600);
const ENDED_AT_MOST: Duration = Duration::from_secs(120);
const ENDED_GROWTH: f64 = 1.5;
/// Watched sessions are read again this often, for their gauges and for reclassifications.
const RECHECK: Duration = Duration::from_secs(3600);

/// The intervals of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    open_interval: Duration,
    ended_interval: Duration,
    analysis_deadline: Duration,
}

impl From<&PollConfig> for Schedule {
    fn from(config: &PollConfig) -> Self {
        Self {
            open_interval: config.open_interval,
            ended_interval: config.ended_interval,
            analysis_deadline: config.analysis_deadline,
        }
    }
}

impl Schedule {
    /// How long after a successful look at `tick` the session is due again. `now` is the API's time; `random` (0 to 1)
    /// spreads the sessions by ±10 %.
    pub fn after(&self, tracked: &Tracked, now: Timestamp, tick: Tick, random: f64) -> Duration {
        let wait = match tracked.progress {
            Progress::Pending(Stage::Known | Stage::Open) => {
                let age = tracked.created.map_or(Duration::ZERO, |created| now.since(created));
                let at_most = if age > STALE_AGE { STALE_AT_MOST } else { OPEN_AT_MOST };
                (age / OPEN_AGE_PART).min(at_most).max(self.open_interval)
            }
            Progress::Pending(Stage::Ended) => {
                let growth = ENDED_GROWTH.powi(i32::from(tracked.looks.min(30)));
                let wait = self.ended_interval.mul_f64(growth).min(ENDED_AT_MOST.max(self.ended_interval));
                // At the deadline itself it can be counted, so it is asked for then at the latest.
                let deadline = self.analysis_deadline;
                let mut left = tracked.ended.map_or(wait, |ended| ended.plus(deadline).since(now));
                if let EndSeen { at: Some(seen), is_recent: true } = tracked.end {
                    left = left.max((seen + deadline).saturating_sub(tick));
                }
                if left.is_zero() { wait } else { wait.min(left) }
            }
            Progress::Pending(Stage::Messages) | Progress::Counted => RECHECK,
        };
        wait.mul_f64(0.9 + 0.2 * random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Source;
    use crate::tracker::Announced;

    fn tracked(progress: Progress, looks: u16) -> Tracked {
        Tracked {
            progress,
            source: Source::Listing,
            watched: false,
            looks,
            failures: 0,
            failing_since: None,
            missing_since: None,
            end_unread: false,
            announced: Announced::No,
            end: EndSeen::default(),
            refused: false,
            created: Some(Timestamp::from_millis(0)),
            ended: Some(Timestamp::from_millis(0)),
            heard: Timestamp::from_millis(0),
            channel: None,
            due: None,
        }
    }

    fn after_ms(progress: Progress, looks: u16, seconds: u64) -> u128 {
        let schedule = Schedule::from(&PollConfig::default());
        let now = Timestamp::from_millis(0).plus(Duration::from_secs(seconds));
        schedule.after(&tracked(progress, looks), now, Tick::ZERO, 0.5).as_millis()
    }

    #[test]
    fn long_open_sessions_are_asked_for_less_often() {
        let open = Progress::Pending(Stage::Open);
        let waits = [0, 600, 2_400, 10_000, 90_000].map(|age| after_ms(open, 0, age));
        assert_eq!(waits, [30_000, 30_000, 120_000, 300_000, 3_600_000]);
    }

    #[test]
    fn an_analysis_is_waited_for_with_growing_patience_but_never_past_its_deadline() {
        let ended = Progress::Pending(Stage::Ended);
        assert_eq!((after_ms(ended, 0, 1), after_ms(ended, 2, 1), after_ms(ended, 20, 1)), (10_000, 22_500, 120_000));
        assert_eq!(after_ms(ended, 20, 890), 10_000);
        assert_eq!(after_ms(ended, 0, 5_000), 10_000);
    }
}
