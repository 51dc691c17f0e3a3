//! A limit on log lines about single sessions: a few a minute, so that a broken API cannot flood the log (promise P9). The
//! metrics count all of them.

use std::time::Duration;

use crate::clock::Tick;

const A_MINUTE: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// How many lines of this minute are written already.
#[derive(Debug, Default)]
pub struct LogLimit {
    since: Option<Tick>,
    lines: u32,
    suppressed: u64,
}

impl LogLimit {
    /// Whether one more line may be written; if so, how many were suppressed since the last one that was.
    pub fn admit(&mut self, now: Tick) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_sub(since) >= MINUTE) {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines >= A_MINUTE {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_lines_a_minute_are_written_and_the_rest_counted_as_suppressed() {
        let mut complaints = LogLimit::default();
        let written = (0..25).filter_map(|_| complaints.admit(Duration::ZERO)).collect::<Vec<_>>();
        assert_eq!(written, [0; 10]);
        assert_eq!((complaints.admit(MINUTE), complaints.admit(MINUTE)), (Some(15), Some(0)));
    }
}
