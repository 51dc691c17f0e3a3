//! How much of the budget the messages may use: what everything else leaves of it at its busiest. Pure.
//!
//! A request for messages uses the same window as all others, and what it has used is missing a minute later when sessions end.
//! So it is only sent while enough is free for the busiest minute of late, and for a third of the window more than now.

use std::collections::VecDeque;

use crate::clock::Tick;

/// The window of the budget, in seconds.
const WINDOW: u64 = 60;
/// For how many windows the busiest one is remembered.
const REMEMBERED: usize = 10;

/// What was sent lately, by the second.
#[derive(Debug, Default)]
pub(super) struct SpareRequests {
    /// Seconds since the start, requests for messages then, and all others.
    seconds: VecDeque<(u64, u32, u32)>,
    /// Windows since the start, and the most others that were in 60 s that ended in it.
    busiest: VecDeque<(u64, u32)>,
}

impl SpareRequests {
    /// A request was sent.
    pub(super) fn sent(&mut self, is_for_messages: bool, now: Tick) {
        let second = now.as_secs();
        if self.seconds.back().is_none_or(|(last, ..)| *last != second) {
            self.seconds.push_back((second, 0, 0));
        }
        if let Some((_, messages, others)) = self.seconds.back_mut() {
            *(if is_for_messages { messages } else { others }) += 1;
        }
        self.forget(second);
        let (_, others) = self.used();
        let window = second / WINDOW;
        match self.busiest.back_mut().filter(|(last, _)| *last == window) {
            Some((_, most)) => *most = others.max(*most),
            None => self.busiest.push_back((window, others)),
        }
        while self.busiest.len() > REMEMBERED {
            self.busiest.pop_front();
        }
    }

    /// Whether one more request for messages leaves enough of the `allowed` requests a window.
    pub(super) fn has_room(&mut self, allowed: u32, now: Tick) -> bool {
        self.forget(now.as_secs());
        let (messages, others) = self.used();
        let busiest = self.busiest.iter().map(|(_, most)| *most).max().unwrap_or(0);
        let kept = busiest.max(others.saturating_add(allowed / 3));
        messages.saturating_add(kept) < allowed
    }

    fn used(&self) -> (u32, u32) {
        self.seconds.iter().fold((0, 0), |(messages, others), second| (messages + second.1, others + second.2))
    }

    fn forget(&mut self, second: u64) {
        while self.seconds.front().is_some_and(|(then, ..)| then + WINDOW < second) {
            self.seconds.pop_front();
        }
        let window = second / WINDOW;
        while self.busiest.front().is_some_and(|(then, _)| then + (REMEMBERED as u64) < window) {
            self.busiest.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn messages_take_what_others_leave_at_their_busiest() {
        let mut spare = SpareRequests::default();
        let fill = |spare: &mut SpareRequests, now| {
            let mut sent = 0;
            while spare.has_room(90, now) {
                spare.sent(true, now);
                sent += 1;
            }
            sent
        };
        assert_eq!(fill(&mut spare, S), 60, "a third is kept for what may come");
        (0..40).for_each(|_| spare.sent(false, S * 100));
        assert_eq!(fill(&mut spare, S * 100), 20);
        assert_eq!(fill(&mut spare, S * 300), 50, "40 may come again as they did");
        assert_eq!(fill(&mut spare, S * 900), 60, "that is long ago");
        (0..85).for_each(|_| spare.sent(false, S * 1_000));
        assert_eq!(fill(&mut spare, S * 1_000), 0, "a budget that is short costs messages");
    }
}
