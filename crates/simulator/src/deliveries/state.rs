//! What the simulator keeps of its deliveries: the endpoint with its queue, and the log of attempts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Client;
use tokio::sync::Notify;

use super::client::client;
use super::config::DeliveryConfig;
use super::queue::{Attempt, Progress, Queue};
use super::record::DeliveryRecord;
use crate::generate::Generator;
use crate::lock::lock;
use crate::ring::Ring;
use crate::time::Timestamp;

/// What the simulator keeps of its deliveries.
pub(crate) struct Deliveries {
    /// The endpoint; `None` while deliveries are switched off.
    endpoint: Mutex<Option<Endpoint>>,
    /// Told when the endpoint has changed.
    changed: Notify,
    log: Mutex<Ring<DeliveryRecord>>,
    switched_on: AtomicU64,
}

struct Endpoint {
    queue: Queue,
    client: Client,
    /// How often deliveries had been switched on before: an attempt that outlives its endpoint is not the next one's.
    generation: u64,
}

/// An attempt that is to be made now, with all that it takes.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) attempt: Attempt,
    pub(super) config: Arc<DeliveryConfig>,
    pub(super) client: Client,
    /// Which switching on it belongs to.
    pub(super) generation: u64,
}

impl Deliveries {
    /// As the configuration of the simulation has it; `now` is simulated.
    pub(crate) fn new(generator: &Generator, now: Timestamp) -> Self {
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
        let client = client(&config)?;
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

    /// Switches deliveries on, changes them, or switches them off with `None`; `now` is simulated.
    ///
    /// # Errors
    /// A message that names the value that is out of range.
    pub(crate) fn set(
        &self,
        config: Option<DeliveryConfig>,
        generator: &Generator,
        now: Timestamp,
    ) -> Result<(), String> {
        if let Some(config) = config {
            return self.switch_on(config, generator, now);
        }
        *lock(&self.endpoint) = None;
        self.changed.notify_one();
        Ok(())
    }

    /// What is delivered where at present.
    pub(crate) fn config(&self) -> Option<DeliveryConfig> {
        lock(&self.endpoint).as_ref().map(|endpoint| DeliveryConfig::clone(endpoint.queue.config()))
    }

    /// How far they have got; `None` while they are switched off.
    pub(crate) fn progress(&self, now: Timestamp) -> Option<Progress> {
        lock(&self.endpoint).as_ref().map(|endpoint| endpoint.queue.progress(now))
    }

    /// Reads the log of the attempts without copying it.
    pub(crate) fn with_log<T>(&self, read: impl FnOnce(&Ring<DeliveryRecord>) -> T) -> T {
        read(&lock(&self.log))
    }

    pub(super) fn are_on(&self) -> bool {
        lock(&self.endpoint).is_some()
    }

    /// Waits until deliveries are switched on, off, or changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The attempt to be made now, if one is due; `now` is simulated, `real_now` is not.
    pub(super) fn next(&self, generator: &Generator, now: Timestamp, real_now: Timestamp) -> Option<Due> {
        let mut endpoint = lock(&self.endpoint);
        let Endpoint { queue, client, generation } = endpoint.as_mut()?;
        let attempt = queue.take(generator, now, real_now)?;
        Some(Due { attempt, config: Arc::clone(queue.config()), client: client.clone(), generation: *generation })
    }

    /// The attempt has been made, with this result.
    pub(super) fn finish(&self, due: &Due, record: DeliveryRecord, real_now: Timestamp) {
        let acknowledged = (200..300).contains(&record.status);
        // The log first: who sees that all is done must find all in it.
        lock(&self.log).push(record);
        self.with_queue_of(due, |queue| {
            if acknowledged {
                queue.acknowledge();
            } else {
                queue.fail(due.attempt, real_now);
            }
        });
    }

    /// The attempt was given up before it had a result.
    pub(super) fn put_back(&self, due: &Due, real_now: Timestamp) {
        self.with_queue_of(due, |queue| queue.put_back(due.attempt, real_now));
    }

    /// The queue that `due` was taken from, unless it has been switched off since.
    fn with_queue_of(&self, due: &Due, change: impl FnOnce(&mut Queue)) {
        let mut endpoint = lock(&self.endpoint);
        if let Some(endpoint) = endpoint.as_mut().filter(|endpoint| endpoint.generation == due.generation) {
            change(&mut endpoint.queue);
        }
    }
}
