//! A stream as the body of an answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::connection::{Connection, Then};
use crate::Simulator;

/// How often it is looked whether something has happened.
const TICK: Duration = Duration::from_millis(20);

/// Holds its slot until it is dropped, and ends when the server stops.
pub(super) struct EventBody {
    simulator: Arc<Simulator>,
    connection: Connection,
    then: Then,
    /// Whether the server has had the time to send the last piece.
    flushed: bool,
    tick: Pin<Box<Sleep>>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    _slot: OwnedSemaphorePermit,
}

impl EventBody {
    pub(super) fn new(
        simulator: Arc<Simulator>,
        connection: Connection,
        stop: CancellationToken,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            simulator,
            connection,
            then: Then::Goes,
            flushed: false,
            tick: Box::pin(sleep(TICK)),
            stop: Box::pin(stop.cancelled_owned()),
            _slot: slot,
        }
    }
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = &mut *self;
        loop {
            if this.stop.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            match this.then {
                Then::Goes => {}
                Then::Ends => return Poll::Ready(None),
                Then::Breaks if this.flushed => {
                    return Poll::Ready(Some(Err(std::io::Error::other("cut off on purpose"))));
                }
                // The server sends what it has only while it waits for more; an error at once would swallow it.
                Then::Breaks => {
                    this.flushed = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            let (bytes, then) = this.simulator.next_piece(&mut this.connection);
            this.then = then;
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
            }
            if then == Then::Goes {
                if this.tick.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                this.tick.as_mut().reset(Instant::now() + TICK);
            }
        }
    }
}
