//! Which attempt is next: retries in real time, first attempts as simulated time brings them. No network, no clock.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::config::DeliveryConfig;
use super::plan::{self, Delivery};
use crate::agenda::Agenda;
use crate::generate::Generator;
use crate::time::Timestamp;
use crate::timeline::{Timeline, longest_life};

/// Svix's schedule: how long after a failed attempt the next one is made. After the last it gives up.
const RETRIES: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(10 * 3600),
];

/// With more retries than this waiting, nothing new is delivered.
const MOST_WAITING: usize = 1_000_000;

/// The deliveries to one endpoint, from when it is switched on until it is switched off.
#[derive(Debug)]
pub(super) struct Queue {
    config: Arc<DeliveryConfig>,
    timeline: Timeline<Delivery>,
    retries: Agenda<Attempt>,
    progress: Progress,
}

/// How far the deliveries have got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Deliveries that wait for a retry.
    pub waiting: usize,
    /// Deliveries under way.
    pub in_flight: usize,
    /// Deliveries that were answered 2xx.
    pub acknowledged: u64,
    /// Deliveries whose last retry has failed.
    pub given_up: u64,
    /// Whether everything due by now was attempted, acknowledged or given up: nothing waits and nothing is under way.
    pub done: bool,
}

/// One attempt at a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) delivery: Delivery,
    /// From 1.
    pub(super) number: u32,
}

impl Queue {
    /// Delivers what happens from `since` on.
    pub(super) fn new(config: Arc<DeliveryConfig>, generator: &Generator, since: Timestamp) -> Self {
        let longest = longest_life(generator.config()).saturating_add(plan::longest_delay(&config));
        let timeline = Timeline::new(since.minus(Duration::from_millis(1)), longest);
        Self { config, timeline, retries: Agenda::new(), progress: Progress::default() }
    }

    pub(super) fn config(&self) -> &Arc<DeliveryConfig> {
        &self.config
    }

    /// From now on as `config` says; what waits goes there as well.
    pub(super) fn set_config(&mut self, config: Arc<DeliveryConfig>) {
        self.config = config;
    }

    /// The next attempt, if one is due and may begin. It must be given back to one of the methods below.
    pub(super) fn take(&mut self, generator: &Generator, now: Timestamp, real_now: Timestamp) -> Option<Attempt> {
        if self.progress.in_flight >= self.config.parallelism {
            return None;
        }
        let attempt = match self.retries.take_due(real_now) {
            None if self.retries.len() >= MOST_WAITING => None,
            None => {
                let config = &self.config;
                let first = self.timeline.next(generator, now, |outline| plan::plan(generator, config, outline));
                first.map(|delivery| Attempt { delivery, number: 1 })
            }
            retry => retry,
        };
        self.progress.in_flight += usize::from(attempt.is_some());
        attempt
    }

    /// The attempt was answered 2xx.
    pub(super) fn acknowledge(&mut self) {
        self.progress.in_flight = self.progress.in_flight.saturating_sub(1);
        self.progress.acknowledged += 1;
    }

    /// The attempt has failed, and is made again according to the schedule.
    pub(super) fn fail(&mut self, attempt: Attempt, real_now: Timestamp) {
        self.progress.in_flight = self.progress.in_flight.saturating_sub(1);
        match wait_after(attempt.number, self.config.backoff_scale) {
            Some(wait) => self.retries.add(real_now.plus(wait), Attempt { number: attempt.number + 1, ..attempt }),
            None => self.progress.given_up += 1,
        }
    }

    /// The attempt was broken off on this side, and is to be made as if it had not begun.
    pub(super) fn put_back(&mut self, attempt: Attempt, real_now: Timestamp) {
        self.progress.in_flight = self.progress.in_flight.saturating_sub(1);
        self.retries.add(real_now, attempt);
    }

    pub(super) fn progress(&self, now: Timestamp) -> Progress {
        let waiting = self.retries.len();
        let done = waiting == 0 && self.progress.in_flight == 0 && self.timeline.is_caught_up(now);
        Progress { waiting, done, ..self.progress }
    }
}

/// How long after the failure of attempt `number` the next one is made; `None` if there is none.
fn wait_after(number: u32, scale: f64) -> Option<Duration> {
    let index = usize::try_from(number.saturating_sub(1)).ok()?;
    RETRIES.get(index).map(|wait| wait.mul_f64(scale))
}
