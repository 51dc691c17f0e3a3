//! The organization's stream of server-sent events. An endless event, silence or nonsense ends the connection and nothing
//! else. Events say what to ask for and are never counted: they can be missed, repeated and out of order.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream as _;
use http_body::{Body, Frame};
use sse_stream::{Sse, SseStream};

use crate::error::root_cause;
use crate::json::JsonText;
use crate::json::object::object;
use crate::value::Scalar;

/// A heartbeat comes every 30 s; after two and a half of them the connection counts as dead. A comment counts as a
/// heartbeat: many servers and proxies send nothing else.
const SILENCE: Duration = Duration::from_secs(75);
/// An event has a few hundred bytes; one that does not end would fill the memory.
const MAX_EVENT: usize = 256 * 1024;
/// Ids of events are short; a longer one is not sent back.
const MAX_EVENT_ID: usize = 256;
const MAX_SESSION_ID: usize = 512;

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `session.started`
    Started,
    /// `session.updated`
    Updated,
    /// `session.ended`
    Ended,
    /// Anything else, heartbeats among it: the connection lives.
    Other,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEvent {
    /// What happened.
    pub kind: EventKind,
    /// To which session.
    pub session_id: Option<Arc<str>>,
    /// Where to resume behind it. Empty where the server takes back what it said before; `None` where the event says
    /// nothing of it, or nothing that a header can carry.
    pub id: Option<String>,
    /// How long to wait before connecting again, as the server asks for.
    pub retry: Option<Duration>,
}

/// One thing read from a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamItem {
    /// An event.
    Event(StreamEvent),
    /// A comment or an empty line: the connection lives.
    Alive,
}

/// Why a stream is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamEnd {
    /// Not even a heartbeat or a comment arrived.
    #[error("nothing came for {} s, not even a heartbeat", SILENCE.as_secs())]
    Silent,
    /// The server ended it.
    #[error("the server ended it")]
    Ended,
    /// The connection broke.
    #[error("the connection broke ({0})")]
    Broken(String),
    /// It is no stream of events.
    #[error("what came is no stream of events")]
    Nonsense,
    /// An event does not end.
    #[error("an event is longer than {MAX_EVENT} bytes")]
    TooLong,
}

/// An open stream.
pub struct EventStream {
    events: SseStream<CappedBody>,
    has_lived: Arc<AtomicBool>,
    silence: Duration,
}

impl EventStream {
    /// The events in the body of an answer.
    pub(super) fn new(body: reqwest::Body) -> Self {
        let has_lived = Arc::new(AtomicBool::new(false));
        let (lines, text) = (Lines::default(), Utf8::default());
        let body = CappedBody { body, text, lines, has_lived: Arc::clone(&has_lived) };
        Self { events: SseStream::new(body), has_lived, silence: SILENCE }
    }

    /// The next event, or a sign that the connection is alive.
    ///
    /// # Errors
    /// When the stream is over.
    pub async fn next(&mut self) -> Result<StreamItem, StreamEnd> {
        let next = std::future::poll_fn(|context| {
            let event = Pin::new(&mut self.events).poll_next(context);
            let has_lived = self.has_lived.swap(false, Ordering::Relaxed);
            match event {
                Poll::Ready(event) => Poll::Ready(Some(event)),
                Poll::Pending if has_lived => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        let next = tokio::time::timeout(self.silence, next).await.map_err(|_| StreamEnd::Silent)?;
        let Some(event) = next else { return Ok(StreamItem::Alive) };
        match event {
            None => Err(StreamEnd::Ended),
            Some(Ok(event)) => Ok(StreamItem::Event(read(&event))),
            Some(Err(sse_stream::Error::Body(error))) => Err(match error.downcast::<CappedError>() {
                Ok(error) => match *error {
                    CappedError::TooLong => StreamEnd::TooLong,
                    CappedError::Broken(why) => StreamEnd::Broken(why),
                },
                Err(_) => StreamEnd::Nonsense,
            }),
            Some(Err(_)) => Err(StreamEnd::Nonsense),
        }
    }
}

object! {
    /// Of the data only the session's id is read (promise P7).
    struct Payload<'a> {
        "sessionId" => session_id: Scalar<'a>,
    }
}

fn read(event: &Sse) -> StreamEvent {
    let data = JsonText::new(event.data.as_deref().unwrap_or_default().as_bytes());
    let payload = data.read::<Payload<'_>>().ok();
    let session_id = payload
        .as_ref()
        .and_then(|payload| payload.session_id.text())
        .filter(|id| (1..=MAX_SESSION_ID).contains(&id.len()));
    let kind = match event.event.as_deref() {
        Some("session.started" | "session.created") => EventKind::Started,
        Some("session.updated") => EventKind::Updated,
        Some("session.ended" | "session.closed") => EventKind::Ended,
        _ => EventKind::Other,
    };
    let id = event.id.clone().filter(|id| id.len() <= MAX_EVENT_ID && id.bytes().all(|byte| byte.is_ascii_graphic()));
    StreamEvent { kind, session_id: session_id.map(Arc::from), id, retry: event.retry.map(Duration::from_millis) }
}

/// The lines of a body, of which only lengths are kept. They end with LF, CRLF or CR.
#[derive(Debug, Default)]
struct Lines {
    /// Bytes of the lines of the present event, without comments.
    event: usize,
    /// Bytes of the present line.
    line: usize,
    is_comment: bool,
    /// The last byte was a CR: an LF after it ends no other line.
    after_return: bool,
}

impl Lines {
    /// Reads on. Whether a comment or an empty line, which ends an event, has come to its end.
    ///
    /// # Errors
    /// If an event or a comment is longer than `MAX_EVENT`.
    fn read(&mut self, bytes: &[u8]) -> Result<bool, CappedError> {
        let mut has_lived = false;
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    let length = std::mem::take(&mut self.line);
                    if length == 0 {
                        self.event = 0;
                    } else if !self.is_comment {
                        self.event += length + 1;
                    }
                    has_lived |= length == 0 || self.is_comment;
                }
                _ => {
                    if self.line == 0 {
                        self.is_comment = *byte == b':';
                    }
                    self.line += 1;
                    if self.event + self.line > MAX_EVENT {
                        return Err(CappedError::TooLong);
                    }
                }
            }
        }
        Ok(has_lived)
    }
}

/// A body that ends with an error when an event or a comment does not end.
struct CappedBody {
    body: reqwest::Body,
    text: Utf8,
    lines: Lines,
    has_lived: Arc<AtomicBool>,
}

/// Turns the body into UTF-8. An invalid byte makes the value around it invalid, not the stream.
#[derive(Default)]
struct Utf8 {
    /// The beginning of a character whose rest is still to come.
    begun: Vec<u8>,
}

impl Utf8 {
    /// Replaces invalid UTF-8: a control character, which is invalid inside a JSON string too.
    const SUBSTITUTE: u8 = 0x1A;

    fn read(&mut self, data: Bytes) -> Bytes {
        if self.begun.is_empty() && std::str::from_utf8(&data).is_ok() {
            return data;
        }
        let bytes = [std::mem::take(&mut self.begun).as_slice(), &data].concat();
        let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes.as_slice());
        while let Err(error) = std::str::from_utf8(rest) {
            let (valid, bad) = rest.split_at(error.valid_up_to());
            out.extend_from_slice(valid);
            let Some(length) = error.error_len() else {
                self.begun = bad.to_vec();
                return out.into();
            };
            out.push(Self::SUBSTITUTE);
            rest = bad.get(length..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
        out.into()
    }
}

#[derive(Debug, thiserror::Error)]
enum CappedError {
    #[error("too long")]
    TooLong,
    #[error("{0}")]
    Broken(String),
}

impl Body for CappedBody {
    type Data = Bytes;
    type Error = CappedError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CappedError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            let frame =
                frame.map_err(|error| CappedError::Broken(root_cause(&error)))?.map_data(|data| self.text.read(data));
            if let Some(bytes) = frame.data_ref()
                && self.lines.read(bytes)?
            {
                self.has_lived.store(true, Ordering::Relaxed);
            }
            Ok(frame)
        }))
    }
}

#[cfg(test)]
mod tests;
