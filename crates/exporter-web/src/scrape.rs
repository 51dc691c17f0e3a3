//! What the server and the handler of the metrics tell each other, and a limit on the scrapes that are answered at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One in so many slots is for pipelined requests.
const PIPELINED_ONE_IN: usize = 4;

/// Who sent a request, as far as the connection shows. The server puts it among the extensions of every request; a handler
/// takes it as `Option<Extension<Origin>>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nothing is known of the client.
    #[default]
    Anybody,
    /// The connection has scraped for a second or longer, as that of a Prometheus does.
    Regular,
    /// The client has not waited for the answers to its earlier requests, which no Prometheus does.
    Pipeliner,
}

/// Marks an answer as a page of metrics. A handler puts it among the extensions of its answer, as `Extension(Scraped)`: the
/// connection then counts as one that scrapes, and stays open when others are closed to make room.
#[derive(Clone, Copy, Debug)]
pub struct Scraped;

/// Limits the scrapes that are answered at once. Prometheus and whoever floods the exporter have slots of their own.
#[derive(Clone, Debug)]
pub struct ScrapeSlots {
    anybody: Arc<Semaphore>,
    regular: Arc<Semaphore>,
    pipelined: Arc<Semaphore>,
}

/// A slot; it is free again when this is dropped.
#[derive(Debug)]
pub struct ScrapeSlot(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl ScrapeSlots {
    /// `count` slots, at least 1, for each of [`Origin::Anybody`] and [`Origin::Regular`], and a quarter of them for
    /// [`Origin::Pipeliner`].
    pub fn new(count: usize) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        let slots = [count, count, (count / PIPELINED_ONE_IN).max(1)];
        let [anybody, regular, pipelined] = slots.map(|slots| Arc::new(Semaphore::new(slots)));
        Self { anybody, regular, pipelined }
    }

    /// A slot for a request from `origin`; `None` if all of them are taken.
    pub fn take(&self, origin: Origin) -> Option<ScrapeSlot> {
        let slots = match origin {
            Origin::Anybody => &self.anybody,
            Origin::Regular => &self.regular,
            Origin::Pipeliner => &self.pipelined,
        };
        Arc::clone(slots).try_acquire_owned().ok().map(ScrapeSlot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_separate_for_each_origin_and_free_again_when_dropped() {
        let slots = ScrapeSlots::new(1);
        let taken = slots.take(Origin::Anybody).unwrap();
        assert!(slots.take(Origin::Anybody).is_none());
        assert!(slots.take(Origin::Regular).is_some() && slots.take(Origin::Pipeliner).is_some());
        drop(taken);
        assert!(slots.take(Origin::Anybody).is_some());
    }
}
