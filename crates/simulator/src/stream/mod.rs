//! The organization's event stream: what happens to sessions, fire and forget.
//!
//! What is told of a session is pure (`moment`); all connections share one numbered list of events (`hub`); what one
//! client is sent of it, and how badly, is `connection`'s.

mod body;
mod config;
mod connection;
mod faults;
mod hub;
mod moment;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{HeaderMap, Response, header};
use body::EventBody;
pub use config::StreamConfig;
use connection::{Connection, Moment, Then};
pub use faults::StreamFaults;
use hub::Hub;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::random::mix;
use super::routes::send;
use super::{Simulator, lock};

/// Keeps the chance of stream faults apart from all other.
const STREAM: u64 = 0x53_5345;

/// What the simulator keeps of its event stream.
pub(super) struct Stream {
    hub: Mutex<Hub>,
    slots: Arc<Semaphore>,
}

impl Stream {
    pub(super) fn new(config: StreamConfig) -> Self {
        let slots = Arc::new(Semaphore::new(config.slots.min(Semaphore::MAX_PERMITS)));
        Self { hub: Mutex::new(Hub::new(config.capacity)), slots }
    }

    pub(super) fn has_free_slot(&self) -> bool {
        self.slots.available_permits() > 0
    }
}

impl Simulator {
    /// Event streams that are open.
    pub fn open_streams(&self) -> usize {
        self.config().stream.slots.saturating_sub(self.stream.slots.available_permits())
    }

    fn connect(&self, last_event_id: Option<u64>) -> Connection {
        let mut hub = lock(&self.stream.hub);
        hub.advance(self.generator(), self.now());
        Connection::new(&hub, last_event_id, self.real_now().plus(self.config().stream.heartbeat))
    }

    fn next_piece(&self, connection: &mut Connection) -> (Vec<u8>, Then) {
        let (now, real_now, faults) = (self.now(), self.real_now(), self.faults());
        let mut hub = lock(&self.stream.hub);
        hub.advance(self.generator(), now);
        connection.next(&Moment {
            hub: &hub,
            faults: &faults.stream,
            seed: mix(&[self.config().seed, STREAM]),
            heartbeat: self.config().stream.heartbeat,
            real_now,
        })
    }
}

/// Turns the answer to an admitted request into a stream that ends with `stop`.
pub(super) fn open(
    simulator: &Arc<Simulator>,
    answer: Answer,
    headers: &HeaderMap,
    stop: CancellationToken,
) -> Response<Body> {
    let Ok(slot) = Arc::clone(&simulator.stream.slots).try_acquire_owned() else {
        // Taken since the request was admitted.
        return send(
            Answer::error(429, "TOO_MANY_STREAMS", "No stream is free", "").with_header("retry-after", "1".into()),
        );
    };
    let remembers = !simulator.faults().stream.ids_forgotten;
    let last = headers
        .get("last-event-id")
        .filter(|_| remembers)
        .and_then(|value| value.to_str().ok())
        .and_then(|id| id.parse().ok());
    let connection = simulator.connect(last);
    let mut response = send(Answer { content_type: "text/event-stream", ..answer });
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    *response.body_mut() = Body::new(EventBody::new(Arc::clone(simulator), connection, stop, slot));
    response
}
