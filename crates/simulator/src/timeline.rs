//! What happens to sessions, in order of simulated time: for deliveries and for the event stream.
//!
//! A walk takes each session once, as it is created, and puts what will happen to it on an agenda. Both are asked for one
//! entry at a time, so that a walk over a long past holds no more than the sessions that are under way.

use std::time::Duration;

use crate::agenda::Agenda;
use crate::config::SimulatorConfig;
use crate::generate::{Generator, Outline};
use crate::time::Timestamp;

/// Slots walked through before a caller gets its turn again; most of a long past is empty.
const STEPS: usize = 2_000;

/// Entries to come, and how far the walk has got.
#[derive(Debug)]
pub(crate) struct Timeline<T> {
    /// Nothing that happens then or earlier is reported.
    since: Timestamp,
    /// The sessions created up to here are on the agenda.
    reached: Timestamp,
    agenda: Agenda<T>,
}

impl<T> Timeline<T> {
    /// What happens after `since`. Sessions that are under way then were created up to `longest` before.
    pub(crate) fn new(since: Timestamp, longest: Duration) -> Self {
        Self { since, reached: since.minus(longest), agenda: Agenda::new() }
    }

    /// The next entry up to `now`; `plan` says what will happen to a session. `None` when there is none, or none was
    /// found yet.
    pub(crate) fn next(
        &mut self,
        generator: &Generator,
        now: Timestamp,
        mut plan: impl FnMut(Outline) -> Vec<(Timestamp, T)>,
    ) -> Option<T> {
        for _ in 0..STEPS {
            if let Some(what) = self.agenda.take_due(self.reached.min(now)) {
                return Some(what);
            }
            if self.reached >= now {
                return None;
            }
            for outline in self.step(generator, now) {
                for (at, what) in plan(outline).into_iter().filter(|(at, _)| *at > self.since) {
                    self.agenda.add(at, what);
                }
            }
        }
        None
    }

    /// Whether everything that happened up to `now` has been taken.
    pub(crate) fn is_caught_up(&self, now: Timestamp) -> bool {
        self.reached >= now && !self.agenda.is_due(now)
    }

    /// Walks on by a slot, not beyond `now`, and gives the sessions created on the way.
    fn step(&mut self, generator: &Generator, now: Timestamp) -> Vec<Outline> {
        let from = self.reached.plus(Duration::from_millis(1));
        let Some(slots) = generator.slots(from, now) else {
            self.reached = self.reached.max(now);
            return Vec::new();
        };
        let slot = *slots.start();
        self.reached = generator.slot_end(slot).min(now);
        let created = from..=self.reached;
        generator.outlines(slot).iter().filter(|outline| created.contains(&outline.created)).copied().collect()
    }
}

/// The longest time from the creation of a session to the last change of its analysis.
pub(crate) fn longest_life(config: &SimulatorConfig) -> Duration {
    let longest = config.agents.iter().map(|agent| agent.longest.max(agent.shortest)).max().unwrap_or_default();
    longest.saturating_add(config.analysis_delay.1).saturating_add(config.reclassified_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn generator() -> Generator {
        Generator::new(SimulatorConfig { slot: SECOND * 7, ..SimulatorConfig::default() })
    }

    fn ends(outline: Outline) -> Vec<(Timestamp, Timestamp)> {
        vec![(outline.ended, outline.ended)]
    }

    /// All ends from `since` on, asked for as the clock goes on by `tick`.
    fn taken(since: u64, tick: u64) -> Vec<Timestamp> {
        let generator = generator();
        let start = generator.config().start;
        let mut timeline =
            Timeline::new(start.plus(SECOND * u32::try_from(since).unwrap()), longest_life(generator.config()));
        let mut taken = Vec::new();
        for ms in (since * 1000..=3_600_000).step_by(usize::try_from(tick).unwrap()) {
            let now = start.plus(Duration::from_millis(ms));
            while let Some(at) = timeline.next(&generator, now, ends) {
                assert!(at <= now);
                taken.push(at);
            }
            assert!(timeline.is_caught_up(now));
        }
        taken
    }

    #[test]
    fn everything_is_taken_once_and_in_order_whatever_the_ticks() {
        let generator = generator();
        let slots = generator.slots(generator.config().start, generator.config().start.plus(SECOND * 3600)).unwrap();
        let mut ends: Vec<Timestamp> =
            slots.flat_map(|slot| generator.outlines(slot).to_vec()).map(|outline| outline.ended).collect();
        ends.sort_unstable();
        for since in [0, 1000] {
            let after = generator.config().start.plus(SECOND * u32::try_from(since).unwrap());
            let until = generator.config().start.plus(SECOND * 3600);
            let expected: Vec<Timestamp> = ends.iter().filter(|at| **at > after && **at <= until).copied().collect();
            assert!(expected.len() > 100);
            for tick in [900, 20_000, 3_600_000 - since * 1000] {
                assert_eq!(taken(since, tick), expected, "since {since} s, every {tick} ms");
            }
        }
    }

    #[test]
    fn an_empty_past_takes_several_turns_and_a_clock_set_back_repeats_nothing() {
        let generator = generator();
        let start = generator.config().start;
        let mut timeline = Timeline::new(start.minus(SECOND), Duration::ZERO);
        let now = start.plus(SECOND * 7 * u32::try_from(STEPS * 2).unwrap());
        assert_eq!(timeline.next(&generator, now, |_| Vec::<(Timestamp, ())>::new()), None);
        assert!(!timeline.is_caught_up(now));
        while !timeline.is_caught_up(now) {
            assert_eq!(timeline.next(&generator, now, |_| Vec::new()), None);
        }
        assert_eq!(timeline.next(&generator, start, |_| unreachable!()), None);
    }
}
