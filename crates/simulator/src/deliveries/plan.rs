//! Which deliveries a session makes, and when in simulated time: a pure function of the session and the configuration.

use std::time::Duration;

use fastrand::Rng;

use super::config::DeliveryConfig;
use crate::generate::{Generator, Outline, purpose};
use crate::random::mix;
use crate::time::Timestamp;

/// Types that no one has agreed on; the vendor announces more than it sends.
pub(super) const UNKNOWN_TYPES: [&str; 4] =
    ["message.received", "session.transferred", "call.recording.ready", "agent.updated"];

/// What a delivery reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Created,
    Ended,
    /// The end once more, with a changed analysis.
    Changed,
    /// An event of this type.
    Unknown(&'static str),
}

/// One delivery; everything in it that is sent can be made from this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) outline: Outline,
    pub(super) event: Event,
    /// The session looks as it did at this moment.
    pub(super) shows: Timestamp,
    /// Tells apart the deliveries of one event that have an id of their own.
    pub(super) sending: u32,
    /// Whether parts of the analysis are left out.
    pub(super) truncated: bool,
}

impl Delivery {
    pub(super) fn event_type<'a>(&self, config: &'a DeliveryConfig) -> &'a str {
        match self.event {
            Event::Created => "session.created",
            Event::Ended | Event::Changed => &config.ended_type,
            Event::Unknown(name) => name,
        }
    }

    /// `msg_` and 27 letters and digits, as Svix's ids are; the same for each attempt.
    pub(super) fn svix_id(&self, generator: &Generator) -> String {
        let event = match self.event {
            Event::Created => 0,
            Event::Ended => 1,
            Event::Changed => 2,
            Event::Unknown(_) => 3,
        };
        let seed = generator.chance(purpose::DELIVERIES, self.outline.place);
        let mut rng = Rng::with_seed(mix(&[seed, event, u64::from(self.sending)]));
        std::iter::once("msg_".to_owned()).chain((0..27).map(|_| rng.alphanumeric().to_string())).collect()
    }
}

/// All deliveries of a session, with the simulated time at which each is due.
pub(super) fn plan(generator: &Generator, config: &DeliveryConfig, outline: Outline) -> Vec<(Timestamp, Delivery)> {
    let Some(session) = generator.session(outline) else { return Vec::new() };
    let mut planner = Planner {
        rng: Rng::with_seed(generator.chance(purpose::DELIVERIES, outline.place)),
        config,
        planned: Vec::new(),
    };
    let out_of_order = planner.hit(config.out_of_order_share);
    let truncated = planner.hit(config.truncated_share) && !generator.is_hidden(outline.place);
    let unknown = planner.hit(config.unknown_share).then(|| planner.rng.choice(UNKNOWN_TYPES)).flatten();

    let end = session.whole_at().unwrap_or(session.ended);
    let delivery = |event, shows| Delivery { outline, event, shows, sending: 0, truncated: false };
    if config.created {
        let created = delivery(Event::Created, session.created);
        if out_of_order {
            let late = end.plus(planner.delay()).plus(Duration::from_millis(1));
            planner.add(late, created);
        } else {
            planner.add_perhaps_late(session.created, created);
        }
    }
    if config.ended {
        let ended = Delivery { truncated: truncated && session.analysis_at.is_some(), ..delivery(Event::Ended, end) };
        if out_of_order {
            planner.add(end, ended);
        } else {
            planner.add_perhaps_late(end, ended);
        }
    }
    if let Some((changed, _)) = session.change.filter(|_| config.changes) {
        planner.add_perhaps_late(changed, delivery(Event::Changed, changed));
    }
    if let Some(name) = unknown {
        planner.add_perhaps_late(end, delivery(Event::Unknown(name), end));
    }
    planner.planned
}

/// How long after the last change of a session its last delivery can be due.
pub(super) fn longest_delay(config: &DeliveryConfig) -> Duration {
    config.longest_delay.saturating_mul(2).saturating_add(Duration::from_millis(1))
}

struct Planner<'c> {
    rng: Rng,
    config: &'c DeliveryConfig,
    planned: Vec<(Timestamp, Delivery)>,
}

impl Planner<'_> {
    fn hit(&mut self, share: f64) -> bool {
        self.rng.f64() < share
    }

    fn delay(&mut self) -> Duration {
        self.config.longest_delay.mul_f64(self.rng.f64())
    }

    fn add_perhaps_late(&mut self, at: Timestamp, delivery: Delivery) {
        let late = if self.hit(self.config.delayed_share) { self.delay() } else { Duration::ZERO };
        self.add(at.plus(late), delivery);
    }

    fn add(&mut self, at: Timestamp, delivery: Delivery) {
        self.planned.push((at, delivery));
        if self.config.most_repeats == 0 || !self.hit(self.config.repeated_share) {
            return;
        }
        for repeat in 1..=self.rng.u32(1..=self.config.most_repeats) {
            let sending = if self.rng.bool() { repeat } else { 0 };
            let late = at.plus(self.delay());
            self.planned.push((late, Delivery { sending, ..delivery }));
        }
    }
}
