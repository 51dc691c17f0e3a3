//! One client's stream as bytes: what it is sent next. No network, no clock.

use std::time::Duration;

use super::faults::{self, StreamFaults};
use super::hub::{Event, Hub};
use crate::lenient::{self, Writing};
use crate::random::{mix, unit};
use crate::time::Timestamp;

/// Events sent in one piece at most.
const PIECE: usize = 500;
/// Bytes of an endless line sent in one piece.
const ENDLESS_PIECE: usize = 64 * 1024;

/// How a stream goes on after a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// There may be more.
    Goes,
    /// It ends as an answer does.
    Ends,
    /// The connection is cut.
    Breaks,
}

/// What one client has been sent.
#[derive(Debug)]
pub(super) struct Connection {
    /// The event that it has seen, or missed, last.
    seen: u64,
    sent: u64,
    begun: bool,
    /// An event that the next one overtakes.
    held: Option<Event>,
    heartbeat_at: Timestamp,
    /// Bytes still to come of a line without end.
    endless: Option<usize>,
}

/// What decides on the next piece.
pub(super) struct Moment<'a> {
    pub(super) hub: &'a Hub,
    pub(super) faults: &'a StreamFaults,
    pub(super) seed: u64,
    pub(super) heartbeat: Duration,
    pub(super) real_now: Timestamp,
}

/// A piece being written.
struct Piece {
    bytes: Vec<u8>,
    line_end: &'static str,
}

impl Piece {
    fn line(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(self.line_end.as_bytes());
    }

    fn event(&mut self, event: &Event, data: &[u8], with_id: bool) {
        self.line(&format!("event: {}", event.name));
        if with_id {
            self.line(&format!("id: {}", event.id));
        }
        self.bytes.extend_from_slice(b"data: ");
        self.bytes.extend_from_slice(data);
        self.line("");
        self.line("");
    }
}

impl Connection {
    /// A client that has seen the event `last`, if it has seen any: it gets those after it, otherwise only new ones.
    pub(super) fn new(hub: &Hub, last: Option<u64>, heartbeat_at: Timestamp) -> Self {
        let latest = hub.latest();
        let seen = last.filter(|last| *last <= latest).unwrap_or(latest);
        Self { seen, sent: 0, begun: false, held: None, heartbeat_at, endless: None }
    }

    /// What is sent now, and how it goes on.
    pub(super) fn next(&mut self, moment: &Moment<'_>) -> (Vec<u8>, Then) {
        let line_end = if moment.faults.crlf { "\r\n" } else { "\n" };
        let mut piece = Piece { bytes: Vec::new(), line_end };
        if !self.begun && moment.faults.bom {
            piece.bytes.extend_from_slice("\u{feff}".as_bytes());
        }
        if let (false, Some(retry)) = (self.begun, moment.faults.retry_ms) {
            piece.line(&format!("retry: {retry}"));
            piece.line("");
        }
        self.begun = true;
        let then = self.write(&mut piece, moment);
        (piece.bytes, then)
    }

    fn write(&mut self, piece: &mut Piece, moment: &Moment<'_>) -> Then {
        let reached = |limit: Option<u64>, sent: u64| limit.is_some_and(|limit| sent >= limit);
        let faults = moment.faults;
        if faults.comments_only {
            self.seen = moment.hub.latest();
            if self.beats(moment) {
                piece.line(": ping");
                piece.line("");
            }
            return Then::Goes;
        }
        let mut news = moment.hub.after(self.seen).take(PIECE).peekable();
        let quiet = news.peek().is_none();
        loop {
            if self.endless.is_some() || reached(faults.endless_after, self.sent) {
                return self.write_endless(piece);
            }
            if reached(faults.end_after, self.sent) {
                return Then::Ends;
            }
            if reached(faults.drop_after, self.sent) {
                return Then::Breaks;
            }
            if reached(faults.silent_after, self.sent) {
                return Then::Goes;
            }
            let Some(event) = news.next() else { break };
            if reached(faults.cut_after, self.sent) {
                piece.line(&format!("event: {}", event.name));
                piece.line(&format!("id: {}", event.id));
                return Then::Breaks;
            }
            self.seen = event.id;
            self.write_event(piece, event, moment);
        }
        if quiet {
            // Nothing comes that could overtake it.
            self.write_held(piece, faults);
        }
        if self.beats(moment) {
            piece.line("event: heartbeat");
            piece.line(&format!("data: {{\"timestamp\":\"{}\"}}", moment.real_now));
            piece.line("");
        }
        Then::Goes
    }

    /// Whether a heartbeat is due, which it is then no more.
    fn beats(&mut self, moment: &Moment<'_>) -> bool {
        let is_due = moment.real_now >= self.heartbeat_at;
        if is_due {
            self.heartbeat_at = moment.real_now.plus(moment.heartbeat);
        }
        is_due
    }

    fn write_event(&mut self, piece: &mut Piece, event: &Event, moment: &Moment<'_>) {
        let faults = moment.faults;
        let chance = |what: u64| mix(&[moment.seed, event.id, what]);
        let hit = |share: f64, what: u64| unit(chance(what)) < share;
        if hit(faults.comment_share, 1) {
            piece.line(": nothing to see here");
        }
        if hit(faults.garbage_share, 2) {
            piece.bytes.extend_from_slice(faults::garbage(chance(3)));
        }
        if hit(faults.missed_share, 4) {
            return;
        }
        if self.held.is_none() && hit(faults.swapped_share, 5) {
            self.held = Some(event.clone());
            return;
        }
        let data = if hit(faults.lenient_share, 7) {
            lenient::rewrite(event.data.as_bytes(), Writing::Any, chance(8))
        } else {
            event.data.clone().into_bytes()
        };
        for _ in 0..=u32::from(hit(faults.repeated_share, 6)) {
            piece.event(event, &data, !faults.without_ids);
            self.sent += 1;
        }
        self.write_held(piece, faults);
    }

    fn write_held(&mut self, piece: &mut Piece, faults: &StreamFaults) {
        if let Some(held) = self.held.take() {
            piece.event(&held, held.data.as_bytes(), !faults.without_ids);
            self.sent += 1;
        }
    }

    fn write_endless(&mut self, piece: &mut Piece) -> Then {
        let left = self.endless.unwrap_or_else(|| {
            piece.bytes.extend_from_slice(b"data: ");
            faults::ENDLESS
        });
        let now = left.min(ENDLESS_PIECE);
        piece.bytes.resize(piece.bytes.len() + now, b'x');
        self.endless = Some(left - now);
        if left == now { Then::Ends } else { Then::Goes }
    }
}
