//! What the simulator keeps of its event stream: the events that all connections share, and how many may be open.

use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::StreamConfig;
use super::connection::{Connection, Moment, Then};
use super::faults::StreamFaults;
use super::hub::Hub;
use crate::generate::Generator;
use crate::lock::lock;
use crate::random::mix;
use crate::time::Timestamp;

/// Keeps the chance of stream faults apart from all other.
const STREAM: u64 = 0x53_5345;

/// The organization's event stream.
pub(crate) struct Stream {
    config: StreamConfig,
    hub: Mutex<Hub>,
    slots: Arc<Semaphore>,
}

impl Stream {
    pub(crate) fn new(config: StreamConfig) -> Self {
        let slots = Arc::new(Semaphore::new(config.slots.min(Semaphore::MAX_PERMITS)));
        Self { config, hub: Mutex::new(Hub::new(config.capacity)), slots }
    }

    /// How many streams are open.
    pub(crate) fn open(&self) -> usize {
        self.config.slots.saturating_sub(self.slots.available_permits())
    }

    pub(crate) fn has_free_slot(&self) -> bool {
        self.slots.available_permits() > 0
    }

    /// One of the streams that may be open, until it is dropped; `None` when all are taken.
    pub(super) fn take_slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// A client that has seen the event `last`, if it has seen any; `now` is simulated, `real_now` is not.
    pub(super) fn connect(
        &self,
        last: Option<u64>,
        generator: &Generator,
        now: Timestamp,
        real_now: Timestamp,
    ) -> Connection {
        let mut hub = lock(&self.hub);
        hub.advance(generator, now);
        Connection::new(&hub, last, real_now.plus(self.config.heartbeat))
    }

    /// What `connection` is sent now, and how its stream goes on.
    pub(super) fn next_piece(
        &self,
        connection: &mut Connection,
        faults: &StreamFaults,
        generator: &Generator,
        now: Timestamp,
        real_now: Timestamp,
    ) -> (Vec<u8>, Then) {
        let mut hub = lock(&self.hub);
        hub.advance(generator, now);
        connection.next(&Moment {
            hub: &hub,
            faults,
            seed: mix(&[generator.config().seed, STREAM]),
            heartbeat: self.config.heartbeat,
            real_now,
        })
    }
}
