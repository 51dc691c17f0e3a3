//! The request budget (promise P6): at most a share of the organization's rate limit, over any 60 s, whatever the
//! requests are for. Pure: time is handed in.
//!
//! A request counts from the moment it is sent until 60 s after its answer has come, so that no 60 s at the API's end
//! can hold more of them, however long each travelled. Requests are taken from *leases*, which are durable before they
//! are used: after a crash, what the last process may have sent still counts.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Tick;

/// The window of the vendor's rate limit.
const WINDOW: Duration = Duration::from_secs(60);
/// Finished requests are forgotten in steps of this length, so that memory does not grow with their number.
const STEP_MS: u64 = 100;
/// An unused lease lapses, so that a crash long after it was granted need not count it.
pub const LEASE_VALID: Duration = Duration::from_secs(30);
/// Requests that one lease holds at most.
const MAX_LEASE: u32 = 10_000;
/// This part of the window is kept for sessions that have ended and wait for their analysis.
const RESERVED_PART: u32 = 10;
/// The vendor caps backoff at a minute; a longer wait that it asks for by itself is obeyed.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// How urgent a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Finishes an ended session: may use the whole window.
    Urgent,
    /// Everything else: leaves a tenth of the window to the urgent ones.
    Normal,
}

/// What the budget says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Send it; it counts from now on.
    Granted,
    /// First make a lease of this many requests durable, and tell it with [`Budget::leased`].
    Lease(u32),
    /// Not before then.
    Wait(Tick),
}

/// What is left of the budget.
#[derive(Clone, Debug)]
pub struct Budget {
    share: f64,
    /// What the API said of its limit.
    limit: Option<u32>,
    per_window: u32,
    /// Until the first answer only one request is under way, since the limit that is gone by may be out of date.
    answered: bool,
    /// Finished requests, by the time from which they no longer count.
    finished: BTreeMap<Tick, u32>,
    finished_total: u32,
    in_flight: u32,
    leased: u32,
    lease_lapses: Tick,
    paused_until: Tick,
}

impl Budget {
    /// A budget of `requests_per_minute` until the API has said its limit; of that, `share` may be used.
    pub fn new(share: f64, requests_per_minute: u32) -> Self {
        Self {
            share,
            limit: None,
            per_window: requests_per_minute.max(1),
            answered: false,
            finished: BTreeMap::new(),
            finished_total: 0,
            in_flight: 0,
            leased: 0,
            lease_lapses: Tick::ZERO,
            paused_until: Tick::ZERO,
        }
    }

    /// Takes over a lease that an earlier process was granted `age` ago, when its window held `per_window`; the last of
    /// its requests arrived after `used_for` at most. None was sent since that process ended.
    pub fn restore(&mut self, age: Duration, used_for: Duration, count: u32, per_window: u32, now: Tick) {
        let counts_for = (WINDOW + used_for.min(age)).saturating_sub(age);
        if !counts_for.is_zero() {
            self.per_window = per_window.max(1);
            self.forget_at(now + counts_for, count);
        }
    }

    /// Takes a changed share into effect, and a changed limit of the configuration unless the API has said its own.
    pub fn reconfigure(&mut self, share: f64, requests_per_minute: u32) {
        (self.share, self.per_window) = (share, requests_per_minute.max(1));
        self.leased = 0;
        if let Some(limit) = self.limit {
            self.learn_limit(limit);
        }
    }

    /// The API's limit for the organization, in requests a minute.
    pub fn learn_limit(&mut self, limit: u32) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let allowed = (f64::from(limit) * self.share) as u32;
        self.limit = Some(limit);
        // With a share of less than one request a minute nothing could ever be asked.
        self.per_window = allowed.max(1);
    }

    /// Requests that may be sent in any 60 s.
    pub fn per_window(&self) -> u32 {
        self.per_window
    }

    /// Sends nothing before `until`.
    pub fn pause(&mut self, until: Tick, now: Tick) {
        self.paused_until = self.paused_until.max(until.min(now + LONGEST_PAUSE));
    }

    /// Asks to send one request.
    pub fn ask(&mut self, priority: Priority, now: Tick) -> Grant {
        if self.paused_until > now {
            return Grant::Wait(self.paused_until);
        }
        while let Some(entry) = self.finished.first_entry()
            && *entry.key() <= now
        {
            self.finished_total = self.finished_total.saturating_sub(entry.remove());
        }
        if !self.answered && self.in_flight > 0 {
            return Grant::Wait(now + WINDOW);
        }
        let reserved = match priority {
            Priority::Urgent => 0,
            Priority::Normal => self.per_window / RESERVED_PART,
        };
        let usable = self.per_window - reserved;
        let used = self.finished_total.saturating_add(self.in_flight);
        if used >= usable {
            return Grant::Wait(self.frees(used - usable + 1, now));
        }
        if now >= self.lease_lapses {
            self.leased = 0;
        }
        if self.leased == 0 {
            return Grant::Lease((self.per_window - used).min((self.per_window / 10).clamp(1, MAX_LEASE)));
        }
        self.leased -= 1;
        self.in_flight += 1;
        Grant::Granted
    }

    /// A lease of `count` requests that was granted at `granted` is durable.
    pub fn leased(&mut self, count: u32, granted: Tick) {
        self.leased = count;
        self.lease_lapses = granted + LEASE_VALID;
    }

    /// A request that was granted was certainly not sent: it is free again.
    pub fn give_back(&mut self, now: Tick) {
        self.in_flight = self.in_flight.saturating_sub(1);
        // Its lease holds one more, unless that has lapsed.
        if now < self.lease_lapses {
            self.leased = self.leased.saturating_add(1);
        }
    }

    /// A request has been answered, or has failed.
    pub fn finished(&mut self, now: Tick) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.answered = true;
        let step = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).div_ceil(STEP_MS);
        self.forget_at(Duration::from_millis(step.saturating_mul(STEP_MS)) + WINDOW, 1);
    }

    fn forget_at(&mut self, at: Tick, count: u32) {
        let entry = self.finished.entry(at).or_default();
        *entry = entry.saturating_add(count);
        self.finished_total = self.finished_total.saturating_add(count);
    }

    /// When `count` more requests are free. Those in flight free theirs a window after their answer.
    fn frees(&self, count: u32, now: Tick) -> Tick {
        let mut freed = 0_u32;
        for (at, finished) in &self.finished {
            freed = freed.saturating_add(*finished);
            if freed >= count {
                return *at;
            }
        }
        now + WINDOW
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn granted(budget: &mut Budget, priority: Priority, now: Tick) -> bool {
        loop {
            match budget.ask(priority, now) {
                Grant::Granted => return true,
                Grant::Lease(count) => budget.leased(count, now),
                Grant::Wait(until) => {
                    assert!(until > now);
                    return false;
                }
            }
        }
    }

    fn spend(budget: &mut Budget, priority: Priority, now: Tick) -> u32 {
        let mut spent = 0;
        while granted(budget, priority, now) {
            budget.finished(now);
            spent += 1;
        }
        spent
    }

    #[test]
    fn a_window_holds_its_share_and_a_tenth_is_for_the_urgent() {
        let mut budget = Budget::new(0.5, 50);
        assert_eq!(spend(&mut budget, Priority::Normal, S), 45);
        assert_eq!(spend(&mut budget, Priority::Urgent, S), 5);
        assert_eq!(budget.ask(Priority::Urgent, S), Grant::Wait(S * 61));
        assert_eq!(spend(&mut budget, Priority::Urgent, S * 61), 50);
        budget.learn_limit(600);
        assert_eq!(budget.per_window(), 300);
        assert_eq!(spend(&mut budget, Priority::Urgent, S * 62), 250);
        budget.learn_limit(1);
        assert_eq!(budget.per_window(), 1);
    }

    #[test]
    fn a_request_counts_until_a_window_after_its_answer() {
        let mut budget = Budget::new(1.0, 1);
        assert!(granted(&mut budget, Priority::Urgent, S));
        assert_eq!(budget.ask(Priority::Urgent, S * 50), Grant::Wait(S * 110));
        budget.finished(S * 100);
        assert_eq!(budget.ask(Priority::Urgent, S * 101), Grant::Wait(S * 160));
        assert!(granted(&mut budget, Priority::Urgent, S * 160));
    }

    #[test]
    fn request_that_was_not_sent_is_free_again_and_teaches_nothing() {
        let mut budget = Budget::new(1.0, 3);
        for _ in 0..10 {
            assert!(granted(&mut budget, Priority::Urgent, S));
            budget.give_back(S);
        }
        assert!(granted(&mut budget, Priority::Urgent, S));
        assert!(!granted(&mut budget, Priority::Urgent, S), "the first answer is still to come");
        budget.finished(S);
        assert_eq!(spend(&mut budget, Priority::Urgent, S), 2);
        budget.leased(1, S * 61);
        assert_eq!(budget.ask(Priority::Urgent, S * 62), Grant::Granted);
        budget.give_back(S * 100);
        assert!(matches!(budget.ask(Priority::Urgent, S * 100), Grant::Lease(_)), "its lease has lapsed");
    }

    #[test]
    fn what_an_earlier_process_may_have_sent_still_counts() {
        let mut budget = Budget::new(0.5, 50);
        budget.restore(S * 20, LEASE_VALID, 290, 300, S);
        budget.restore(S * 95, LEASE_VALID, 300, 300, S);
        budget.restore(S * 65, S * 4, 300, 300, S);
        assert_eq!(budget.per_window(), 300);
        assert_eq!(spend(&mut budget, Priority::Urgent, S), 10);
        assert_eq!(spend(&mut budget, Priority::Urgent, S * 72), 300);
    }

    #[test]
    fn the_limit_is_learned_by_one_request_and_kept_over_a_reload() {
        let mut budget = Budget::new(1.0, 50);
        assert!(granted(&mut budget, Priority::Urgent, S) && !granted(&mut budget, Priority::Urgent, S));
        budget.finished(S);
        budget.learn_limit(10);
        budget.reconfigure(0.5, 50);
        assert_eq!(budget.per_window(), 5);
    }

    #[test]
    fn a_pause_is_obeyed_and_an_old_lease_is_not_used() {
        let mut budget = Budget::new(1.0, 100);
        budget.leased(7, S);
        budget.pause(S * 40, S);
        assert_eq!(budget.ask(Priority::Urgent, S * 39), Grant::Wait(S * 40));
        assert_eq!(budget.ask(Priority::Urgent, S * 40), Grant::Lease(10));
    }

    proptest! {
        /// Promise P6: however requests are asked for and however long they take, no 60 s hold more than the budget.
        #[test]
        fn no_window_holds_more_than_the_budget(
            per_window in 1..20_u32,
            calls in prop::collection::vec((0..20_000_u64, 0..30_000_u64, any::<bool>()), 1..200),
        ) {
            let mut budget = Budget::new(1.0, per_window);
            let mut now = Tick::ZERO;
            // Sent at, and answered at; a request arrives at any time between the two.
            let mut sent: Vec<(Tick, Tick, bool)> = Vec::new();
            for (gap, takes, urgent) in calls {
                now += Duration::from_millis(gap);
                for request in sent.iter_mut().filter(|(_, end, told)| *end <= now && !told) {
                    budget.finished(request.1);
                    request.2 = true;
                }
                let priority = if urgent { Priority::Urgent } else { Priority::Normal };
                if granted(&mut budget, priority, now) {
                    sent.push((now, now + Duration::from_millis(takes), false));
                }
            }
            // The worst case at the API's end: everything of a window's first half arrives late, of the second early.
            for (start, ..) in &sent {
                let within = sent.iter().filter(|(from, to, _)| *from < *start + WINDOW && *to >= *start).count();
                prop_assert!(within <= per_window as usize);
            }
        }
    }
}
