//! Following the stream: a connection and its next piece, at the simulator's present time.

use super::connection::{Connection, Then};
use crate::simulator::Simulator;

impl Simulator {
    /// A client that has seen the event called `last_event_id`, if it has seen any.
    pub(super) fn connect(&self, last_event_id: Option<u64>) -> Connection {
        self.stream.connect(last_event_id, self.generator(), self.now(), self.real_now())
    }

    /// What the client is sent now, and how its stream goes on.
    pub(super) fn next_piece(&self, connection: &mut Connection) -> (Vec<u8>, Then) {
        let faults = self.faults();
        self.stream.next_piece(connection, &faults.stream, self.generator(), self.now(), self.real_now())
    }
}
