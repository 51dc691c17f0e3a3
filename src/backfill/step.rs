//! The grid of sample times. Pure.

use std::time::Duration;

use crate::clock::Timestamp;

const DAY_MS: i64 = 86_400_000;
/// A longer step leaves holes: Prometheus takes a series for ended five minutes after its last sample, and a graph asks at times
/// of its own.
const LONGEST: Duration = Duration::from_secs(180);
const SHORTEST: Duration = Duration::from_secs(10);

/// The distance of two samples: it divides a day, so that every day begins with a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step(i64);

impl Step {
    /// A step of that length.
    ///
    /// # Errors
    /// Why there is none, as a sentence.
    pub fn new(length: Duration) -> Result<Self, String> {
        let shown = humantime::format_duration(length);
        if length > LONGEST {
            return Err(format!(
                "--step is {shown}, which leaves holes: Prometheus takes a series for ended 5 minutes after its last sample; use 3m at most"
            ));
        }
        if length < SHORTEST {
            return Err(format!("--step is {shown}, which writes more samples than anybody scrapes; use 10s at least"));
        }
        let ms = i64::try_from(length.as_millis()).unwrap_or(DAY_MS);
        if ms % 1_000 != 0 || DAY_MS % ms != 0 {
            return Err(format!(
                "--step is {shown}, but must be whole seconds that divide a day, such as 1m, 2m or 3m"
            ));
        }
        Ok(Self(ms))
    }

    /// Its length in seconds.
    pub const fn seconds(self) -> i64 {
        self.0 / 1_000
    }

    /// The grid's last point at or before `at`.
    pub const fn before(self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.as_millis().div_euclid(self.0) * self.0)
    }

    /// The point after this one.
    pub const fn next(self, point: Timestamp) -> Timestamp {
        Timestamp::from_millis(point.as_millis() + self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_divide_a_day_and_leave_no_holes() {
        for (seconds, is_good) in [
            (10, true),
            (15, true),
            (60, true),
            (120, true),
            (180, true),
            (7, false),
            (70, false),
            (181, false),
            (300, false),
        ] {
            assert_eq!(Step::new(Duration::from_secs(seconds)).is_ok(), is_good, "{seconds}");
        }
        assert!(Step::new(Duration::from_millis(10_500)).is_err());
        let step = Step::new(Duration::from_secs(120)).unwrap();
        let at = Timestamp::from_millis(1_775_628_119_999);
        assert_eq!(step.before(at), Timestamp::from_millis(1_775_628_000_000));
        assert_eq!(step.next(step.before(at)), Timestamp::from_millis(1_775_628_120_000));
    }
}
