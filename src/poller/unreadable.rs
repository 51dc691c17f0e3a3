//! Sessions whose every look has failed, again and again: whether that is their own fault or the API's, and when to ask for
//! all of them once more. Pure.

use std::time::Duration;

use crate::clock::Tick;

/// So many sessions that cannot be read are theirs alone; more of them show a fault of the API, and the numbers lag behind.
const FEW: usize = 3;
/// All of them are asked for once more this often at most.
const RETRY: Duration = Duration::from_secs(60);

/// What is known of the sessions that cannot be read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnreadableSessions {
    count: usize,
    /// One of them has been read since the last look.
    read_again: bool,
    next_retry: Tick,
}

impl UnreadableSessions {
    /// Whether so many cannot be read that the fault is the API's.
    pub(super) fn is_general(&self) -> bool {
        self.count > FEW
    }

    /// One of them has been read.
    pub(super) fn read_one(&mut self) {
        self.read_again = true;
    }

    /// So many there are at `now`. Whether to ask for all of them: one could be read again, so that the fault that they share
    /// may be mended.
    pub(super) fn look(&mut self, count: usize, now: Tick) -> bool {
        self.count = count;
        let retry = std::mem::take(&mut self.read_again) && self.is_general() && now >= self.next_retry;
        if retry {
            self.next_retry = now + RETRY;
        }
        retry
    }
}
