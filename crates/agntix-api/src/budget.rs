//! The request budget (promise P6): at most a share of the organization's rate limit, over any window that the limit is
//! stated for, whatever the requests are for. Pure: time is handed in.
//!
//! A request counts from the moment it is sent until a whole window after its answer has come, so that no window at the
//! API's end can hold more of them, however long each travelled. Requests are taken from *leases*, which are durable
//! before they are used: after a crash, what the last process may have sent still counts. A lease begins small and grows
//! while leases are used up quickly, so that a crash charges at most about twice what was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Quota;
use crate::time::Tick;

/// The window of the vendor's rate limit.
const WINDOW: Duration = Duration::from_secs(60);
/// Longer windows are scaled down to this one.
const LONGEST_WINDOW: Duration = Duration::from_secs(3600);
/// Finished requests are remembered in steps of this length, so that memory does not grow with their number.
const STEP_MS: i64 = 100;
/// An unused lease lapses, so that a crash long after it was granted need not count it.
pub const LEASE_VALID: Duration = Duration::from_secs(30);
/// Requests that the first lease holds at most.
const FIRST_LEASE: u32 = 10;
/// Requests that one lease holds at most.
const MAX_LEASE: u32 = 10_000;
/// A lease that is used up within this time is followed by one twice as large.
const QUICK: Duration = Duration::from_secs(1);
/// One that lasts longer than this is followed by one half as large.
const SLOW: Duration = Duration::from_secs(4);
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

/// The budget's answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Send it; it counts from now on.
    Granted,
    /// First make a lease of this many requests durable, then call [`Budget::leased`].
    Lease(u32),
    /// Not before then.
    Wait(Tick),
}

/// A window, and how much of it is used.
#[derive(Clone, Debug)]
struct Window {
    length_ms: i64,
    allowed: u32,
    /// Requests that were finished and still count.
    total: u32,
    /// Requests finished up to here do not count any more, in ms.
    expired: i64,
}

impl Window {
    /// A window in which `share` of `quota` may be sent. With less than one request a window nothing could ever be asked.
    fn new(quota: Quota, share: f64) -> Self {
        let length = Duration::from_secs(quota.seconds.max(1).into());
        let scaled = length.min(LONGEST_WINDOW);
        let part = share * scaled.as_secs_f64() / length.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let allowed = (f64::from(quota.requests) * part) as u32;
        Self { length_ms: ms(scaled), allowed: allowed.max(1), total: 0, expired: i64::MIN }
    }

    fn expire(&mut self, finished: &BTreeMap<i64, u32>, now: i64) {
        let until = now.saturating_sub(self.length_ms);
        if until > self.expired {
            let from = self.expired.saturating_add(1);
            let gone: u32 = finished.range(from..=until).map(|(_, count)| *count).fold(0, u32::saturating_add);
            (self.total, self.expired) = (self.total.saturating_sub(gone), until);
        }
    }

    /// When `count` more requests are free. Those in flight free theirs a window after their answer.
    fn frees(&self, finished: &BTreeMap<i64, u32>, count: u32, now: Tick) -> Tick {
        let mut freed = 0_u32;
        for (at, finished) in finished.range(self.expired.saturating_add(1)..) {
            freed = freed.saturating_add(*finished);
            if freed >= count {
                return Duration::from_millis(u64::try_from(at.saturating_add(self.length_ms)).unwrap_or(0));
            }
        }
        now + Duration::from_millis(u64::try_from(self.length_ms).unwrap_or(0))
    }
}

/// What is left of the budget.
#[derive(Clone, Debug)]
pub struct Budget {
    share: f64,
    requests_per_minute: u32,
    /// What the API said of its limit.
    quotas: Option<Vec<Quota>>,
    /// The limit was learned by an earlier process and may be out of date.
    is_remembered: bool,
    /// Never empty.
    windows: Vec<Window>,
    /// Until the first answer only one request is in flight, because the assumed limit may be out of date.
    answered: bool,
    /// Requests by when they were finished, in ms; before the start of this process for those of earlier ones.
    finished: BTreeMap<i64, u32>,
    in_flight: u32,
    leased: u32,
    /// Requests of the last lease that were left when it lapsed.
    unused: u32,
    lease_lapses: Tick,
    lease: Leasing,
    paused_until: Tick,
}

/// How large the next lease is.
#[derive(Clone, Copy, Debug)]
struct Leasing {
    next: u32,
    granted: Option<Tick>,
}

impl Budget {
    /// A budget of `requests_per_minute` until the API has said its limit; of that, `share` may be used.
    pub fn new(share: f64, requests_per_minute: u32) -> Self {
        let mut budget = Self {
            share,
            requests_per_minute,
            quotas: None,
            is_remembered: false,
            windows: Vec::new(),
            answered: false,
            finished: BTreeMap::new(),
            in_flight: 0,
            leased: 0,
            unused: 0,
            lease_lapses: Tick::ZERO,
            lease: Leasing { next: FIRST_LEASE, granted: None },
            paused_until: Tick::ZERO,
        };
        budget.rebuild();
        budget
    }

    /// Takes over a lease that an earlier process was granted `age` ago, when its window held `per_window`; the last of
    /// its requests arrived after `used_for` at most. None was sent since that process ended.
    pub fn restore(&mut self, age: Duration, used_for: Duration, count: u32, per_window: u32, now: Tick) {
        let at = ms(now).saturating_sub(ms(age)).saturating_add(ms(used_for.min(age)));
        if at.saturating_add(ms(LONGEST_WINDOW)) > ms(now) {
            self.count(at, count);
        }
        if at.saturating_add(ms(WINDOW)) > ms(now)
            && let Some(minute) = self.windows.iter_mut().find(|window| window.length_ms == ms(WINDOW))
        {
            minute.allowed = per_window.max(1);
        }
    }

    /// The limit that an earlier process learned, in requests a minute. It holds until the first good answer, which
    /// states a limit or none.
    pub fn remember_limit(&mut self, limit: u32) {
        self.learn_limit(limit);
        self.is_remembered = true;
    }

    /// A good answer states no limit. Returns whether a limit that an earlier process learned is dropped for that reason.
    pub fn learn_no_limit(&mut self) -> bool {
        let is_outdated = std::mem::take(&mut self.is_remembered);
        if is_outdated {
            self.quotas = None;
            self.rebuild();
        }
        is_outdated
    }

    /// Takes a changed share into effect, and a changed limit of the configuration unless the API has said its own.
    pub fn reconfigure(&mut self, share: f64, requests_per_minute: u32) {
        (self.share, self.requests_per_minute) = (share, requests_per_minute);
        self.unused = self.unused.saturating_add(std::mem::take(&mut self.leased));
        self.rebuild();
    }

    /// The API's limit for the organization, in requests a minute.
    pub fn learn_limit(&mut self, limit: u32) {
        self.learn(&[Quota { requests: limit, seconds: 60 }]);
    }

    /// The API's limits for the organization; all of them hold. Returns whether they have changed.
    pub fn learn(&mut self, quotas: &[Quota]) -> bool {
        self.is_remembered = false;
        if quotas.is_empty() || self.quotas.as_deref() == Some(quotas) {
            return false;
        }
        self.quotas = Some(quotas.to_vec());
        self.rebuild();
        true
    }

    fn rebuild(&mut self) {
        let own = Quota { requests: self.requests_per_minute.max(1), seconds: 60 };
        self.windows = match &self.quotas {
            Some(quotas) => quotas.iter().map(|quota| Window::new(*quota, self.share)).collect(),
            // It is the share already.
            None => vec![Window::new(own, 1.0)],
        };
        let total = self.finished.values().copied().fold(0, u32::saturating_add);
        for window in &mut self.windows {
            window.total = total;
        }
    }

    /// Requests that may be sent in any 60 s.
    pub fn per_window(&self) -> u32 {
        let per_minute = |window: &Window| {
            let scaled = i64::from(window.allowed).saturating_mul(ms(WINDOW)) / window.length_ms.max(1);
            u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
        };
        self.windows.iter().map(per_minute).min().unwrap_or(1)
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
        self.expire(now);
        if !self.answered && self.in_flight > 0 {
            return Grant::Wait(now + WINDOW);
        }
        let mut wait = None;
        let mut free = u32::MAX;
        for window in &self.windows {
            let reserved = match priority {
                Priority::Urgent => 0,
                Priority::Normal => window.allowed / RESERVED_PART,
            };
            let usable = window.allowed - reserved;
            let used = window.total.saturating_add(self.in_flight);
            if used >= usable {
                wait = wait.max(Some(window.frees(&self.finished, used - usable + 1, now)));
            }
            free = free.min(window.allowed.saturating_sub(used));
        }
        if let Some(until) = wait {
            return Grant::Wait(until);
        }
        if now >= self.lease_lapses {
            self.unused = self.unused.saturating_add(std::mem::take(&mut self.leased));
        }
        if self.leased == 0 {
            let most = (self.per_window() / 10).clamp(1, MAX_LEASE);
            return Grant::Lease(free.min(self.next_lease(now).min(most)).max(1));
        }
        self.leased -= 1;
        self.in_flight += 1;
        Grant::Granted
    }

    /// How many requests the next lease is to hold, after how long the last one lasted.
    fn next_lease(&self, now: Tick) -> u32 {
        let Leasing { next, granted } = self.lease;
        match granted.map(|granted| now.saturating_sub(granted)) {
            Some(lasted) if lasted <= QUICK => next.saturating_mul(2),
            Some(lasted) if lasted > SLOW => (next / 2).max(FIRST_LEASE),
            _ => next,
        }
    }

    /// A lease of `count` requests that was granted at `granted` is durable.
    pub fn leased(&mut self, count: u32, granted: Tick) {
        self.lease = Leasing { next: self.next_lease(granted).min(MAX_LEASE), granted: Some(granted) };
        (self.leased, self.unused) = (count, 0);
        self.lease_lapses = granted + LEASE_VALID;
    }

    /// Requests of the last lease that were not sent and never will be, once another one is asked for.
    pub fn unused(&self) -> u32 {
        self.unused
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
        self.expire(now);
        let steps = ms(now).saturating_add(STEP_MS - 1) / STEP_MS;
        self.count(steps.saturating_mul(STEP_MS), 1);
        // Forget requests that no window counts any more.
        let oldest = ms(now).saturating_sub(ms(LONGEST_WINDOW));
        while let Some(entry) = self.finished.first_entry()
            && *entry.key() <= oldest
        {
            entry.remove();
        }
    }

    fn expire(&mut self, now: Tick) {
        for window in &mut self.windows {
            window.expire(&self.finished, ms(now));
        }
    }

    fn count(&mut self, at: i64, count: u32) {
        let entry = self.finished.entry(at).or_default();
        *entry = entry.saturating_add(count);
        for window in self.windows.iter_mut().filter(|window| at > window.expired) {
            window.total = window.total.saturating_add(count);
        }
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
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
    fn tenth_of_the_window_is_kept_for_urgent_requests() {
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
    fn unsent_request_is_given_back() {
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
    fn leases_of_an_earlier_process_count() {
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

    #[test]
    fn every_stated_window_is_kept() {
        let mut budget = Budget::new(0.5, 50);
        assert!(granted(&mut budget, Priority::Urgent, S));
        budget.finished(S);
        let [second, minute] = [(10, 1), (600, 60)].map(|(requests, seconds)| Quota { requests, seconds });
        assert!(budget.learn(&[second, minute]) && !budget.learn(&[second, minute]));
        assert_eq!(budget.per_window(), 300);
        let mut spent = 1;
        for second in 1..61 {
            let now = spend(&mut budget, Priority::Urgent, S * second);
            assert!(now <= 5, "{now} in a second");
            spent += now;
        }
        assert_eq!(spent, 300);
        budget.learn(&[Quota { requests: 600, seconds: 3600 }]);
        assert_eq!((budget.per_window(), spend(&mut budget, Priority::Urgent, S * 1_000)), (5, 0));
        assert_eq!(budget.ask(Priority::Urgent, S * 1_000), Grant::Wait(S * 3_601));
        assert_eq!(spend(&mut budget, Priority::Urgent, S * 3_700), 300);
        budget.learn(&[Quota { requests: 86_400, seconds: 86_400 }]);
        assert_eq!(spend(&mut budget, Priority::Urgent, S * 10_000), 1_800, "a day is scaled down to an hour");
    }

    #[test]
    fn remembered_limit_holds_until_the_first_good_answer() {
        let mut budget = Budget::new(0.5, 20);
        budget.remember_limit(600);
        assert_eq!(budget.per_window(), 300);
        assert!(budget.learn_no_limit() && budget.per_window() == 20, "the configuration was lowered meanwhile");
        budget.remember_limit(600);
        budget.learn_limit(100);
        assert!(!budget.learn_no_limit() && budget.per_window() == 50, "an answer without it changes nothing");
        budget.learn_limit(0);
        assert_eq!(budget.per_window(), 1, "it is asked once a minute whether that has changed");
    }

    #[test]
    fn leases_grow_while_they_are_used_up_quickly_and_shrink_again() {
        let mut budget = Budget::new(1.0, 100_000);
        let mut lease = |now: Tick| match budget.ask(Priority::Urgent, now) {
            Grant::Lease(count) => {
                budget.leased(count, now);
                for _ in 0..count {
                    assert_eq!(budget.ask(Priority::Urgent, now), Grant::Granted);
                    budget.finished(now);
                }
                count
            }
            other => panic!("{other:?}"),
        };
        assert_eq!([1, 1, 1, 2, 4, 9, 20].map(|second| lease(S * second)), [10, 20, 40, 80, 80, 40, 20]);
    }

    proptest! {
        /// What a crash charges is never less than what was sent, and at most about twice that.
        #[test]
        fn crash_charges_what_was_sent_and_little_more(sent in 0..3_000_u32, gap in 0..400_u64) {
            let mut budget = Budget::new(1.0, 100_000);
            let (mut charged, mut now) = (0, S);
            for _ in 0..sent {
                if let Grant::Lease(count) = budget.ask(Priority::Urgent, now) {
                    charged += count - budget.unused();
                    budget.leased(count, now);
                    prop_assert_eq!(budget.ask(Priority::Urgent, now), Grant::Granted);
                }
                budget.finished(now);
                now += Duration::from_millis(gap);
            }
            prop_assert!(charged >= sent && charged <= 2 * sent + FIRST_LEASE, "{charged} for {sent}");
        }

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
