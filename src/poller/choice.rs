//! Which request is sent next, of all that are due, and whether the budget allows it. Pure: what is due and how the routes
//! stand are handed in.

use std::sync::Arc;
use std::time::Duration;

use agntix_api::Route;
use agntix_api::budget::{Budget, Grant, Priority};

use super::spare::SpareRequests;
use crate::clock::Tick;
use crate::tracker::Class;

/// A listing that waits for so long goes before open sessions, which would otherwise starve it.
const LISTING_PATIENCE: Duration = Duration::from_secs(60);
/// One that waits for so long goes before everything: sessions that cannot be finished must not stop discovery.
const LISTING_STARVED: Duration = Duration::from_secs(300);

/// When to look again whether there is room for messages.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What could be asked for, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Candidate {
    Sessions(Class),
    StarvedListing,
    FirstListing,
    FirstAgents,
    OverdueListing,
    OverdueAgents,
    Listing,
    Agents,
    Messages,
}

const CANDIDATES: [Candidate; 11] = [
    Candidate::StarvedListing,
    Candidate::Sessions(Class::Finishing),
    Candidate::FirstListing,
    Candidate::FirstAgents,
    Candidate::OverdueListing,
    Candidate::OverdueAgents,
    Candidate::Sessions(Class::Open),
    Candidate::Listing,
    Candidate::Agents,
    Candidate::Sessions(Class::Watched),
    Candidate::Messages,
];

impl Candidate {
    const fn route(self) -> Route {
        match self {
            // Messages are asked for only where sessions are.
            Self::Sessions(_) | Self::Messages => Route::Session,
            Self::StarvedListing | Self::FirstListing | Self::OverdueListing | Self::Listing => Route::List,
            Self::FirstAgents | Self::OverdueAgents | Self::Agents => Route::Agents,
        }
    }
}

/// What is due.
#[derive(Clone, Debug)]
pub(super) struct Due {
    /// Of each [`Class`] the session that has been due for longest, if one is.
    pub(super) sessions: [Option<Arc<str>>; 3],
    /// When the next session is due.
    pub(super) next_session: Option<Tick>,
    /// When a page of the listing is due; `None` while there is none to ask for.
    pub(super) listing: Option<Tick>,
    /// When a page of the agents is due.
    pub(super) agents: Tick,
    /// The agents are overdue so long after that.
    pub(super) agents_interval: Duration,
    /// The session whose messages are due.
    pub(super) messages: Option<Arc<str>>,
    /// When the messages of the next session are.
    pub(super) next_messages: Option<Tick>,
}

/// How a route stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteState {
    /// Whether it may be asked; else from when on.
    pub(super) may_ask: Result<(), Tick>,
    /// One request is finding out its path, and others wait for that.
    pub(super) waits_for_path: bool,
    /// It has answered as it promises once.
    pub(super) has_answered: bool,
}

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This session; the request is granted.
    Session(Arc<str>),
    /// A page of the listing; the request is granted.
    Listing,
    /// A page of the agents; the request is granted.
    Agents,
    /// A page of the messages of this session; the request is granted.
    Messages(Arc<str>),
    /// A lease of so many requests has to be durable first.
    Lease(u32),
    /// Nothing before then.
    Wait(Tick),
}

/// The choice of the next request: the budget, and for how long it has made requests wait.
#[derive(Debug)]
pub(super) struct RequestChoice {
    pub(super) budget: Budget,
    /// Due requests have been waiting for the budget since.
    throttled_since: Option<Tick>,
    is_throttled: bool,
    spare: SpareRequests,
}

impl RequestChoice {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, throttled_since: None, is_throttled: false, spare: SpareRequests::default() }
    }

    /// What to ask for at `now`, and at the latest by `until` if nothing. `routes` are in the order of [`Route::ALL`].
    pub(super) fn choose(
        &mut self,
        due: &Due,
        routes: &[RouteState; Route::ALL.len()],
        until: Tick,
        now: Tick,
    ) -> Choice {
        let mut wait = until;
        for candidate in CANDIDATES {
            let Some(state) = routes.get(candidate.route() as usize) else { continue };
            let Some(choice) = due_choice(candidate, due, state, now) else { continue };
            if let Err(until) = state.may_ask {
                wait = wait.min(until);
                continue;
            }
            if state.waits_for_path {
                continue;
            }
            let is_for_messages = candidate == Candidate::Messages;
            if is_for_messages && !self.spare.has_room(self.budget.per_window(), now) {
                wait = wait.min(now + LOOK_AGAIN);
                continue;
            }
            let priority = match candidate {
                Candidate::Sessions(Class::Finishing) => Priority::Urgent,
                _ => Priority::Normal,
            };
            match self.budget.ask(priority, now) {
                Grant::Granted => {
                    self.spare.sent(is_for_messages, now);
                    return choice;
                }
                Grant::Lease(count) => return Choice::Lease(count),
                // Less urgent ones would have to wait as long.
                Grant::Wait(until) => {
                    // Of messages nothing is late.
                    self.is_throttled |= !is_for_messages;
                    return Choice::Wait(wait.min(until));
                }
            }
        }
        for due in [due.next_session, due.listing, Some(due.agents), due.next_messages].into_iter().flatten() {
            if due > now {
                wait = wait.min(due);
            }
        }
        Choice::Wait(wait)
    }

    /// A turn is over. For how long due requests have waited for the budget since the turn before, if they had to then.
    pub(super) fn turn_ended(&mut self, now: Tick) -> Option<Duration> {
        let is_throttled = std::mem::take(&mut self.is_throttled);
        let since = std::mem::replace(&mut self.throttled_since, is_throttled.then_some(now));
        since.map(|since| now.saturating_sub(since))
    }
}

/// What to ask for if the candidate is due.
fn due_choice(candidate: Candidate, due: &Due, route: &RouteState, now: Tick) -> Option<Choice> {
    let listing = |patience: Duration| due.listing.filter(|due| *due + patience <= now).map(|_| Choice::Listing);
    let agents = |patience: Duration| (due.agents.saturating_add(patience) <= now).then_some(Choice::Agents);
    match candidate {
        Candidate::Sessions(class) => due.sessions.get(class as usize).cloned().flatten().map(Choice::Session),
        Candidate::StarvedListing => listing(LISTING_STARVED),
        Candidate::OverdueListing => listing(LISTING_PATIENCE),
        Candidate::OverdueAgents => agents(due.agents_interval),
        // Whether these routes work is not known yet, and one request each tells.
        Candidate::FirstListing | Candidate::FirstAgents if route.has_answered => None,
        Candidate::FirstListing | Candidate::Listing => listing(Duration::ZERO),
        Candidate::FirstAgents | Candidate::Agents => agents(Duration::ZERO),
        Candidate::Messages => due.messages.clone().map(Choice::Messages),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    /// With a lease of `now` that is large enough.
    fn choice(now: Tick) -> RequestChoice {
        let mut budget = Budget::new(1.0, 6_000);
        // The limit is known once something was answered.
        budget.leased(100, now);
        assert_eq!(budget.ask(Priority::Urgent, now), Grant::Granted);
        budget.finished(now);
        RequestChoice::new(budget)
    }

    fn routes(has_answered: bool) -> [RouteState; 3] {
        [RouteState { may_ask: Ok(()), waits_for_path: false, has_answered }; 3]
    }

    fn nothing_due() -> Due {
        let never = Tick::MAX;
        let (messages, next_messages) = (None, None);
        let sessions = [None, None, None];
        Due {
            sessions,
            next_session: None,
            listing: None,
            agents: never,
            agents_interval: S * 600,
            messages,
            next_messages,
        }
    }

    fn sessions() -> [Option<Arc<str>>; 3] {
        ["ended", "open", "watched"].map(|id| Some(id.into()))
    }

    /// The order in which all that is due is asked for.
    fn order(mut due: Due, routes: &[RouteState; 3], now: Tick) -> Vec<String> {
        let (mut choice, mut order) = (choice(now), Vec::new());
        loop {
            match choice.choose(&due, routes, Tick::MAX, now) {
                Choice::Session(id) => {
                    due.sessions.iter_mut().for_each(|due| {
                        due.take_if(|due| *due == id);
                    });
                    order.push(id.to_string());
                }
                Choice::Listing => {
                    due.listing = None;
                    order.push("listing".into());
                }
                Choice::Agents => {
                    due.agents = Tick::MAX;
                    order.push("agents".into());
                }
                Choice::Messages(id) => {
                    due.messages = None;
                    order.push(id.to_string());
                }
                Choice::Lease(_) | Choice::Wait(_) => return order,
            }
        }
    }

    #[test]
    fn ended_sessions_go_before_open_ones_and_lists_before_both_once_they_are_late() {
        let messages = Some("messages".into());
        let due = Due { sessions: sessions(), listing: Some(S), agents: S, messages, ..nothing_due() };
        let answered = routes(true);
        assert_eq!(order(due.clone(), &answered, S * 2), ["ended", "open", "listing", "agents", "watched", "messages"]);
        assert_eq!(
            order(due.clone(), &answered, S * 61),
            ["ended", "listing", "open", "agents", "watched", "messages"]
        );
        assert_eq!(
            order(due.clone(), &answered, S * 301),
            ["listing", "ended", "open", "agents", "watched", "messages"]
        );
        assert_eq!(
            order(due.clone(), &answered, S * 601),
            ["listing", "ended", "agents", "open", "watched", "messages"]
        );
        assert_eq!(
            order(due, &routes(false), S * 2),
            ["ended", "listing", "agents", "open", "watched", "messages"],
            "one request each tells whether these routes work"
        );
    }

    #[test]
    fn a_route_that_may_not_be_asked_holds_up_no_other_and_says_when_it_may() {
        let due = Due { sessions: sessions(), next_session: Some(S), listing: Some(S), ..nothing_due() };
        let mut states = routes(true);
        states[Route::Session as usize].may_ask = Err(S * 9);
        assert_eq!(order(due.clone(), &states, S * 2), ["listing"]);
        let waiting = Due { listing: None, ..due.clone() };
        assert_eq!(choice(S).choose(&waiting, &states, S * 99, S * 2), Choice::Wait(S * 9));
        states[Route::Session as usize] = RouteState { may_ask: Ok(()), waits_for_path: true, has_answered: false };
        assert_eq!(order(due, &states, S * 2), ["listing"], "one request is finding out the path");
    }

    #[test]
    fn it_waits_for_what_is_due_next() {
        let due = Due { next_session: Some(S * 7), listing: Some(S * 5), agents: S * 6, ..nothing_due() };
        assert_eq!(choice(S).choose(&due, &routes(true), S * 99, S * 2), Choice::Wait(S * 5));
        assert_eq!(choice(S).choose(&nothing_due(), &routes(true), S * 99, S * 2), Choice::Wait(S * 99));
    }

    #[test]
    fn only_the_time_in_which_the_budget_made_requests_wait_is_throttled() {
        let due = Due { sessions: sessions(), ..nothing_due() };
        let mut choice = choice(S);
        choice.budget.pause(S * 10, S * 2);
        assert_eq!(choice.choose(&due, &routes(true), S * 99, S * 2), Choice::Wait(S * 10));
        assert_eq!(choice.turn_ended(S * 2), None, "it begins");
        assert_eq!(choice.choose(&due, &routes(true), S * 99, S * 5), Choice::Wait(S * 10));
        assert_eq!(choice.turn_ended(S * 5), Some(S * 3));
        assert!(matches!(choice.choose(&due, &routes(true), S * 99, S * 10), Choice::Session(_)));
        assert_eq!((choice.turn_ended(S * 10), choice.turn_ended(S * 11)), (Some(S * 5), None));
    }

    #[test]
    fn a_lease_comes_before_the_first_request() {
        let mut choice = RequestChoice::new(Budget::new(1.0, 6_000));
        let due = Due { listing: Some(S), ..nothing_due() };
        assert!(matches!(choice.choose(&due, &routes(false), S * 99, S), Choice::Lease(1..)));
    }
}
