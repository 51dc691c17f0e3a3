//! The events that all connections share, numbered as they happen.

use super::moment::{self, Moment};
use crate::generate::Generator;
use crate::ring::Ring;
use crate::time::Timestamp;
use crate::timeline::{Timeline, longest_life};

/// Events found in one turn; the rest is found in the next ones.
const TURN: usize = 10_000;

/// An event that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// From 1, one more each time.
    pub(super) id: u64,
    pub(super) name: &'static str,
    pub(super) data: String,
}

/// The latest events. Nothing happens before the first connection; from then on nothing is left out, whether anybody
/// is connected or not.
#[derive(Debug)]
pub(super) struct Hub {
    timeline: Option<Timeline<Moment>>,
    events: Ring<Event>,
    latest: u64,
}

impl Hub {
    pub(super) fn new(capacity: usize) -> Self {
        Self { timeline: None, events: Ring::new(capacity), latest: 0 }
    }

    /// Takes in what has happened up to `now`, simulated.
    pub(super) fn advance(&mut self, generator: &Generator, now: Timestamp) {
        let timeline = self.timeline.get_or_insert_with(|| Timeline::new(now, longest_life(generator.config())));
        for _ in 0..TURN {
            let Some(moment) = timeline.next(generator, now, |outline| moment::plan(generator, outline)) else {
                return;
            };
            self.latest += 1;
            self.events.push(Event { id: self.latest, name: moment.name(), data: moment.data(generator) });
        }
    }

    /// The id of the latest event; 0 before the first.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// The events after the one called `id`, as far as they are remembered.
    pub(super) fn after(&self, id: u64) -> impl Iterator<Item = &Event> {
        let known = u64::try_from(self.events.iter().len()).unwrap_or(u64::MAX);
        let forgotten = self.latest - known;
        self.events.iter().skip(usize::try_from(id.saturating_sub(forgotten)).unwrap_or(usize::MAX))
    }
}
