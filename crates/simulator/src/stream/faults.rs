//! What goes wrong with event streams on purpose.

use serde::{Deserialize, Serialize};

/// What goes wrong with every stream from now on. What happens to which event is the same for all connections, so that
/// an event that is missed is missed by all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "switches, each of which can be on with any other")]
pub struct StreamFaults {
    /// The connection breaks after so many events.
    pub drop_after: Option<u64>,
    /// The stream ends, as an answer does, after so many events; with 0 at once.
    pub end_after: Option<u64>,
    /// The connection breaks in the middle of the event after so many.
    pub cut_after: Option<u64>,
    /// The connection falls silent after so many events: no heartbeats either.
    pub silent_after: Option<u64>,
    /// After so many events a line begins that does not end; at 8 MiB the stream ends.
    pub endless_after: Option<u64>,
    /// Share of events that are never sent.
    pub missed_share: f64,
    /// Share of events that are sent twice.
    pub repeated_share: f64,
    /// Share of events that are sent after the next one.
    pub swapped_share: f64,
    /// Share of events before which something senseless is sent.
    pub garbage_share: f64,
    /// Share of events whose data is written as some writers write JSON.
    pub lenient_share: f64,
    /// Share of events before which a comment is sent.
    pub comment_share: f64,
    /// A request with `Last-Event-ID` is answered with this status.
    pub refused_ids: Option<u16>,
    /// `Last-Event-ID` is ignored: the stream goes on with new events, as if the server had forgotten the earlier ones.
    pub ids_forgotten: bool,
    /// Events carry no id.
    pub without_ids: bool,
    /// Nothing is sent but a comment in place of each heartbeat.
    pub comments_only: bool,
    /// The time before reconnecting that the stream asks for when it begins, in milliseconds.
    pub retry_ms: Option<u64>,
    /// Whether the stream begins with a byte order mark.
    pub bom: bool,
    /// Whether lines end with a carriage return as well.
    pub crlf: bool,
}

impl StreamFaults {
    /// Says what is wrong with values that came from outside.
    pub(crate) fn check(&self) -> Result<(), String> {
        let shares = [
            self.missed_share,
            self.repeated_share,
            self.swapped_share,
            self.garbage_share,
            self.lenient_share,
            self.comment_share,
        ];
        if let Some(share) = shares.into_iter().find(|share| !(0.0..=1.0).contains(share)) {
            return Err(format!("a share of the stream is {share}, but must be from 0 to 1"));
        }
        match self.refused_ids {
            Some(status) if !(400..=599).contains(&status) => {
                Err(format!("refused_ids is {status}, but must be from 400 to 599"))
            }
            _ => Ok(()),
        }
    }
}

/// Length of a line without end.
pub(super) const ENDLESS: usize = 8 * 1024 * 1024;

/// What no client should trip over.
const GARBAGE: [&[u8]; 10] = [
    b"event: session.ended\ndata: no JSON\n\n",
    b"event: session.ended\ndata: {\"sessionId\": 7}\n\n",
    b"event: session.ended\ndata: {}\n\n",
    b"event: session.ended\ndata: {\"sessionId\": \"ses_nobody_knows\"}\n\n",
    b"event: session.ended\ndata: {\"sessionId\": \"\"}\n\n",
    b"event: nobody.knows\ndata: {\"sessionId\": \"ses_nobody_knows\"}\n\n",
    b"data: [1,\ndata: 2\n\n",
    b"event\ndata\nid: \0\nretry: soon\nnothing: of this\n\n",
    b"retry: 99999999999999999999\n\n",
    b"event: session.ended\ndata: \xff\xfe\xfd\n\n",
];

/// One piece of garbage.
pub(super) fn garbage(chance: u64) -> &'static [u8] {
    let index = usize::try_from(chance % GARBAGE.len() as u64).unwrap_or(0);
    GARBAGE.get(index).copied().unwrap_or_default()
}
