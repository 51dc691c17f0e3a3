//! The request budget (promise P6): at most a share of the organization's rate limit, over any window that the limit is
//! stated for, whatever the requests are for. Pure: time is handed in.
//!
//! A request counts from the moment it is sent until a whole window after its answer has come, so that no window at the
//! API's end can hold more of them, however long each travelled. Requests are taken from *leases*, which are durable
//! before they are used: after a crash, what the last process may have sent still counts. A lease begins small and grows
//! while leases are used up quickly, so that a crash charges at most about twice what was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::answer::Quota;
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
    /// its requests arrived after `used_for` at most, which may lie ahead if that process may still run.
    pub fn restore(&mut self, age: Duration, used_for: Duration, count: u32, per_window: u32, now: Tick) {
        let at = ms(now).saturating_sub(ms(age)).saturating_add(ms(used_for));
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
mod tests;
