//! The event stream: as pieces on clocks that are moved by hand, and over real connections.

mod faults;
mod http;
mod pieces;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::connection::{Connection, Then};
use super::faults::StreamFaults;
use crate::time::{Clock, ManualClock, Timestamp};
use crate::{Simulator, SimulatorConfig};

const SECOND: Duration = Duration::from_secs(1);

/// An event as a client reads it.
#[derive(Clone, Debug, PartialEq)]
struct Read {
    name: String,
    id: Option<u64>,
    data: Value,
}

/// Reads whole events, and nothing else.
fn read(bytes: &[u8]) -> Vec<Read> {
    let text = std::str::from_utf8(bytes).unwrap().replace("\r\n", "\n");
    let blocks = text.strip_prefix('\u{feff}').unwrap_or(&text).split_terminator("\n\n");
    blocks
        .map(|block| {
            let mut event = Read { name: String::new(), id: None, data: Value::Null };
            for line in block.lines().filter(|line| !line.starts_with(':')) {
                match line.split_once(": ").unwrap() {
                    ("event", name) => name.clone_into(&mut event.name),
                    ("id", id) => event.id = Some(id.parse().unwrap()),
                    ("data", data) => event.data = serde_json::from_str(data).unwrap(),
                    other => panic!("{other:?}"),
                }
            }
            event
        })
        .collect()
}

fn ids(bytes: &[u8]) -> Vec<u64> {
    read(bytes).into_iter().filter_map(|event| event.id).collect()
}

/// A simulator whose clocks stand still, half an hour after the first session.
fn frozen(change: impl FnOnce(&mut SimulatorConfig)) -> (Arc<Simulator>, Arc<ManualClock>) {
    let mut config = SimulatorConfig { reclassified_share: 0.2, ..SimulatorConfig::default() };
    config.now = Some(config.start.plus(SECOND * 1800));
    change(&mut config);
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
    (Simulator::with_clock(config, Arc::clone(&clock) as Arc<dyn Clock>), clock)
}

fn set_faults(simulator: &Simulator, stream: StreamFaults) {
    simulator.set_faults(crate::Faults { stream, ..Default::default() }).unwrap();
}

/// All pieces until nothing more comes or the stream is over.
fn pieces(simulator: &Simulator, connection: &mut Connection) -> (Vec<u8>, Then) {
    let mut bytes = Vec::new();
    loop {
        let (piece, then) = simulator.next_piece(connection);
        bytes.extend_from_slice(&piece);
        if piece.is_empty() || then != Then::Goes {
            return (bytes, then);
        }
    }
}
