//! Webhooks as Svix delivers them: signed, at least once, retried, several at once, in no order that can be relied on.
//!
//! What is delivered when is pure (`plan`, `body`), what is attempted next as well (`queue`); `send` makes the attempts.

mod body;
mod config;
mod plan;
mod queue;
mod record;
mod secret;
mod send;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub use config::DeliveryConfig;
pub use queue::Progress as DeliveryProgress;
use queue::Queue;
pub use record::DeliveryRecord;
pub use secret::WebhookSecret;
use send::Due;
#[cfg(test)]
pub(super) use send::client;
pub(super) use send::run;
use tokio::sync::Notify;

use super::generate::Generator;
use super::ring::Ring;
use super::{Simulator, lock};
use crate::time::Timestamp;

/// What the simulator keeps of its deliveries.
pub(super) struct Deliveries {
    /// The endpoint; `None` while deliveries are switched off.
    endpoint: Mutex<Option<Endpoint>>,
    /// Told when the endpoint has changed.
    changed: Notify,
    log: Mutex<Ring<DeliveryRecord>>,
    switched_on: AtomicU64,
}

struct Endpoint {
    queue: Queue,
    client: reqwest::Client,
    /// How often deliveries had been switched on before: an attempt that outlives its endpoint is not the next one's.
    generation: u64,
}

impl Deliveries {
    /// As the configuration of the simulation has it; `now` is simulated.
    pub(super) fn new(generator: &Generator, now: Timestamp) -> Self {
        let config = generator.config();
        let deliveries = Self {
            endpoint: Mutex::default(),
            changed: Notify::new(),
            log: Mutex::new(Ring::new(config.log_capacity)),
            switched_on: AtomicU64::new(0),
        };
        if let Some(wanted) = config.deliveries.clone()
            && let Err(mistake) = deliveries.switch_on(wanted, generator, now)
        {
            tracing::error!(%mistake, "no webhooks are delivered");
        }
        deliveries
    }

    fn switch_on(&self, config: DeliveryConfig, generator: &Generator, now: Timestamp) -> Result<(), String> {
        config.check()?;
        let client = send::client(&config)?;
        let config = Arc::new(config);
        let mut endpoint = lock(&self.endpoint);
        if let Some(endpoint) = &mut *endpoint {
            endpoint.queue.set_config(config);
            endpoint.client = client;
        } else {
            let queue = Queue::new(Arc::clone(&config), generator, config.since.unwrap_or(now));
            let generation = self.switched_on.fetch_add(1, Ordering::Relaxed);
            *endpoint = Some(Endpoint { queue, client, generation });
        }
        drop(endpoint);
        self.changed.notify_one();
        Ok(())
    }
}

impl Simulator {
    /// Switches the delivery of webhooks on, or off with `None`: then what waits is forgotten. While it is on, another
    /// configuration goes on with what waits, as when an endpoint is edited; `since` is for switching on only.
    ///
    /// Deliveries are made while the simulator [serves](Simulator::serve).
    ///
    /// # Errors
    /// A message that names the value that is out of range.
    pub fn set_deliveries(&self, config: Option<DeliveryConfig>) -> Result<(), String> {
        if let Some(config) = config {
            return self.deliveries.switch_on(config, self.generator(), self.now());
        }
        *lock(&self.deliveries.endpoint) = None;
        self.deliveries.changed.notify_one();
        Ok(())
    }

    /// What is delivered where at present.
    pub fn delivery_config(&self) -> Option<DeliveryConfig> {
        lock(&self.deliveries.endpoint).as_ref().map(|endpoint| DeliveryConfig::clone(endpoint.queue.config()))
    }

    /// How far the deliveries have got; `None` while they are switched off.
    pub fn delivery_progress(&self) -> Option<DeliveryProgress> {
        let now = self.now();
        lock(&self.deliveries.endpoint).as_ref().map(|endpoint| endpoint.queue.progress(now))
    }

    /// Every attempt at a delivery that is over, oldest first, as far back as the log reaches.
    pub fn deliveries(&self) -> Vec<DeliveryRecord> {
        lock(&self.deliveries.log).iter().cloned().collect()
    }

    /// The log of the attempts, for who only reads it.
    pub(super) fn with_delivery_log<T>(&self, read: impl FnOnce(&Ring<DeliveryRecord>) -> T) -> T {
        read(&lock(&self.deliveries.log))
    }

    fn delivers(&self) -> bool {
        lock(&self.deliveries.endpoint).is_some()
    }

    fn next_attempt(&self) -> Option<Due> {
        let (now, real_now) = (self.now(), self.real_now());
        let mut endpoint = lock(&self.deliveries.endpoint);
        let Endpoint { queue, client, generation } = endpoint.as_mut()?;
        let attempt = queue.take(self.generator(), now, real_now)?;
        Some(Due { attempt, config: Arc::clone(queue.config()), client: client.clone(), generation: *generation })
    }

    fn finish_attempt(&self, due: &Due, record: DeliveryRecord) {
        let acknowledged = (200..300).contains(&record.status);
        // The log first: who sees that all is done must find all in it.
        lock(&self.deliveries.log).push(record);
        let real_now = self.real_now();
        self.with_queue_of(due, |queue| {
            if acknowledged {
                queue.acknowledge();
            } else {
                queue.fail(due.attempt, real_now);
            }
        });
    }

    fn put_back_attempt(&self, due: &Due) {
        let real_now = self.real_now();
        self.with_queue_of(due, |queue| queue.put_back(due.attempt, real_now));
    }

    /// The queue that `due` was taken from, unless it has been switched off since.
    fn with_queue_of(&self, due: &Due, change: impl FnOnce(&mut Queue)) {
        let mut endpoint = lock(&self.deliveries.endpoint);
        if let Some(endpoint) = endpoint.as_mut().filter(|endpoint| endpoint.generation == due.generation) {
            change(&mut endpoint.queue);
        }
    }
}
