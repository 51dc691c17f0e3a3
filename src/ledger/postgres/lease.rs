//! The right to count: when to ask for it, when to renew it, and how long this replica can be certain of it. Pure: it is told
//! the time.
//!
//! The database decides who has it, by its own clock. What is certain here is counted from before a renewal was sent, so that
//! it ends before the database's does, whatever the network did meanwhile. Past it this replica does nothing that needs the
//! lease until the database has confirmed it again; that nothing slips through is what the epoch is for, which every
//! transaction checks.

use std::time::Duration;

/// Points in time: since the machine has started, the time that it slept included.
pub(super) type Uptime = Duration;

/// The time since the machine has started: a lease does not stand still while a machine is suspended.
pub(super) fn uptime() -> Uptime {
    crate::ledger::system::uptime()
}

/// Of a lease: how much of it passes between two renewals.
const RENEWED_AFTER: u32 = 3;
/// Of a lease: how much of it passes between two looks at whether it is free. A replica that stops gives it up, and another one
/// is to count within a second.
const LOOKED_AT_AFTER: u32 = 20;
/// Of a lease: how much earlier than the database this replica takes it to have ended, since no two clocks go alike.
const MARGIN: u32 = 20;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing for so long.
    Wait(Duration),
    /// Ask for the lease.
    Acquire,
    /// Renew the lease that this replica has.
    Renew,
}

/// The lease, as far as this replica knows.
#[derive(Clone, Debug)]
pub(super) struct Term {
    length: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Somebody else has it, or nobody.
    NotHeld { look_at: Uptime },
    /// This replica has it.
    Held { certain_until: Uptime, renew_at: Uptime },
}

impl Term {
    /// A replica that has just started: it asks at once.
    pub(super) fn new(length: Duration) -> Self {
        Self { length, state: State::NotHeld { look_at: Uptime::ZERO } }
    }

    /// What to do next.
    pub(super) fn step(&self, now: Uptime) -> Step {
        let (at, step) = match self.state {
            State::NotHeld { look_at } => (look_at, Step::Acquire),
            State::Held { renew_at, .. } => (renew_at, Step::Renew),
        };
        let wait = at.saturating_sub(now);
        if wait.is_zero() { step } else { Step::Wait(wait) }
    }

    /// The database gave the lease to this replica, or extended it, by a request that was sent at `sent`.
    pub(super) fn confirmed(&mut self, sent: Uptime) {
        let certain_until = sent + self.length.saturating_sub(self.length / MARGIN);
        let confirmed = State::Held { certain_until, renew_at: sent + self.length / RENEWED_AFTER };
        match self.state {
            // Answers may come in another order than the requests were sent.
            State::Held { certain_until: known, .. } if known > certain_until => {}
            _ => self.state = confirmed,
        }
    }

    /// Somebody else has it.
    pub(super) fn refused(&mut self, now: Uptime) {
        self.state = State::NotHeld { look_at: now + self.length / LOOKED_AT_AFTER };
    }

    /// A renewal failed, or whether it did is not known: it is tried again soon, and what was certain stays so.
    pub(super) fn failed(&mut self, now: Uptime) {
        let soon = now + self.length / LOOKED_AT_AFTER;
        match &mut self.state {
            State::NotHeld { look_at } => *look_at = soon,
            State::Held { renew_at, .. } => *renew_at = soon,
        }
    }

    /// Until when this replica certainly has the lease; `None` if it is not known to have it.
    pub(super) fn certain_until(&self) -> Option<Uptime> {
        match self.state {
            State::NotHeld { .. } => None,
            State::Held { certain_until, .. } => Some(certain_until),
        }
    }

    /// Whether this replica certainly has the lease.
    pub(super) fn is_certain(&self, now: Uptime) -> bool {
        self.certain_until().is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(10);

    fn at(ms: u64) -> Uptime {
        Duration::from_millis(1_000_000 + ms)
    }

    #[test]
    fn lease_is_asked_for_at_once_and_renewed_every_third_of_it() {
        let mut term = Term::new(LENGTH);
        assert_eq!(term.step(at(0)), Step::Acquire);
        assert!(!term.is_certain(at(0)));
        term.confirmed(at(0));
        assert_eq!(term.step(at(0)), Step::Wait(LENGTH / 3));
        assert_eq!(term.step(at(3_334)), Step::Renew);
        assert!(term.is_certain(at(9_499)) && !term.is_certain(at(9_500)));
    }

    #[test]
    fn failed_renewal_is_tried_again_and_extends_nothing() {
        let mut term = Term::new(LENGTH);
        term.confirmed(at(0));
        term.failed(at(4_000));
        assert_eq!(term.step(at(4_000)), Step::Wait(LENGTH / 20));
        assert!(!term.is_certain(at(9_500)));
        assert_eq!(term.step(at(9_500)), Step::Renew, "it may still be free for this replica");
        term.refused(at(9_600));
        assert_eq!((term.step(at(9_600)), term.certain_until()), (Step::Wait(LENGTH / 20), None));
    }

    proptest! {
        /// A database that grants the lease at any time between a request and its answer, as its clock says, which goes up to a
        /// hundredth faster.
        #[test]
        fn what_is_certain_here_has_not_ended_in_the_database(
            requests in prop::collection::vec((0..9_000_u64, 0..3_000_u64, 0..3_000_u64, any::<bool>()), 1..20),
            look in 0..20_000_u64,
        ) {
            let mut term = Term::new(LENGTH);
            let (mut now, mut ends) = (0, 0);
            for (pause, there, back, is_answered) in requests {
                now += pause;
                let sent = now;
                ends = ends.max(sent + there + 9_900);
                now += there + back;
                if is_answered { term.confirmed(at(sent)) } else { term.failed(at(now)) }
                prop_assert!(!term.is_certain(at(now + look)) || now + look < ends);
            }
        }
    }
}
