//! What to do next: a batch to be made durable, a request to be sent, or how long to wait.

use std::time::Duration;

use agntix_api::Route;

use super::choice::{Choice, Due};
use super::core::{Ask, Core, NextAction, Now};
use super::pipeline::{Batch, Commit};
use super::updates::MetricUpdate;
use crate::clock::Tick;
use crate::ledger::Lease;
use crate::tracker::Class;

const FAR: Duration = Duration::from_secs(3600);

impl Core {
    /// What to do at `now`; to be called until it says to wait. Without `may_ask`, all requests that may be under way at
    /// once are, and only commits are given.
    pub fn next(&mut self, now: Now, may_ask: bool) -> NextAction {
        let next = self.decide(now, may_ask);
        if let Some(throttled) = self.choice.turn_ended(now.tick) {
            self.updates.metric(MetricUpdate::Throttled(throttled));
        }
        next
    }

    fn decide(&mut self, now: Now, may_ask: bool) -> NextAction {
        let far = now.tick + FAR;
        let per_window = self.choice.budget.per_window();
        let lease = |count| Lease { granted: now.local, count, per_window };
        // A lease of nothing is a change that means nothing.
        match self.commits.next(now.tick, || lease(0)) {
            Commit::Batch(batch) => return NextAction::Commit(batch),
            Commit::RetryAt(at) => return NextAction::Wait(at),
            Commit::Full => return NextAction::Wait(far),
            Commit::Nothing if !may_ask => return NextAction::Wait(far),
            Commit::Nothing => {}
        }
        let (due, routes) = (self.due(now.tick), self.contact.route_states(now.tick));
        let ask = match self.choice.choose(&due, &routes, far, now.tick) {
            Choice::Wait(until) => return NextAction::Wait(until),
            Choice::Lease(count) => {
                let batch = self.commits.lease(lease(count), self.choice.budget.unused(), now.tick);
                return batch.map_or(NextAction::Wait(far), NextAction::Commit);
            }
            Choice::Session(id) => {
                self.tracker.take(&id);
                Ask::Session(id)
            }
            Choice::Listing => {
                let api_now = self.api_time.now(now.tick, now.local);
                let begin = self.recent_window_begin(now);
                Ask::List(self.listing.ask(now.tick, begin, api_now))
            }
            // Messages lie beside the session, whose path is searched for by asking for one: where the listing has all that is
            // counted, none was asked for yet.
            Choice::Messages(id) if !self.contact.path_is_known(Route::Session) => {
                self.messages.pause(Duration::ZERO, now.tick);
                Ask::Session(id)
            }
            Choice::Messages(id) => {
                let page = self.messages.ask(&id);
                Ask::Messages(id, page)
            }
            Choice::Agents => {
                self.agents.asked();
                Ask::Agents(self.agents.page())
            }
        };
        self.contact.asked(ask.route(), now.tick);
        NextAction::Ask(ask)
    }

    fn due(&self, now: Tick) -> Due {
        let lists = self.config.listing && self.tracker.pending() < self.config.max_tracked;
        Due {
            sessions: [Class::Finishing, Class::Open, Class::Watched].map(|class| self.tracker.due_in(class, now)),
            next_session: self.tracker.next_due(),
            listing: self.listing.due().filter(|_| lists),
            agents: self.agents.due(),
            agents_interval: self.config.agents_interval,
            messages: self.messages_to_ask(now),
            next_messages: self.messages.next_due(),
        }
    }

    /// A batch was committed, or not; the batch itself comes back in the latter case.
    pub fn commit_ended(&mut self, changes: usize, failed: Option<Batch>, now: Now) {
        self.commits.ended(changes, failed, now.tick, || self.rng.f64());
    }
}
