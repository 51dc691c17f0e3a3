//! The organization's stream of server-sent events, read with care: an endless event, silence and nonsense end the
//! connection and nothing else. Events are hints of what to ask for, never a count: they can be missed, repeated and out
//! of order.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use futures_core::Stream as _;
use http_body::{Body, Frame};
use sse_stream::{Sse, SseStream};

use super::error::root_cause;
use super::json::{JsonText, object};
use super::wire::Scalar;

/// A heartbeat comes every 30 s; after two and a half of them nobody is there any more.
const SILENCE: Duration = Duration::from_secs(75);
/// An event is a few hundred bytes; one that does not end would fill the memory.
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
    /// Where to resume behind it.
    pub id: Option<String>,
}

/// Why a stream is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamEnd {
    /// Not even a heartbeat came.
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
    since_event: Arc<AtomicUsize>,
    silence: Duration,
}

impl EventStream {
    /// The events in the body of an answer.
    pub(super) fn new(body: reqwest::Body) -> Self {
        let since_event = Arc::new(AtomicUsize::new(0));
        let body = CappedBody { body, since_event: Arc::clone(&since_event) };
        Self { events: SseStream::new(body), since_event, silence: SILENCE }
    }

    /// The next event.
    ///
    /// # Errors
    /// When there will be none.
    pub async fn next(&mut self) -> Result<StreamEvent, StreamEnd> {
        let next = std::future::poll_fn(|context| Pin::new(&mut self.events).poll_next(context));
        let next = tokio::time::timeout(self.silence, next).await.map_err(|_| StreamEnd::Silent)?;
        self.since_event.store(0, Ordering::Relaxed);
        match next {
            None => Err(StreamEnd::Ended),
            Some(Ok(event)) => Ok(read(&event)),
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
    StreamEvent { kind, session_id: session_id.map(Arc::from), id }
}

/// A body that ends with an error when too much comes without an event.
struct CappedBody {
    body: reqwest::Body,
    since_event: Arc<AtomicUsize>,
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
            let frame = frame.map_err(|error| CappedError::Broken(root_cause(&error)))?;
            let length = frame.data_ref().map_or(0, Bytes::len);
            let since_event = self.since_event.fetch_add(length, Ordering::Relaxed).saturating_add(length);
            if since_event > MAX_EVENT { Err(CappedError::TooLong) } else { Ok(frame) }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(text: impl Into<Bytes>) -> EventStream {
        EventStream::new(reqwest::Body::from(text.into()))
    }

    #[tokio::test]
    async fn events_are_read_for_what_they_hint_at() {
        let text = "\u{feff}: a comment\r\nid: 7\r\nevent: session.ended\r\ndata: {\"sessionId\":\"s\",\"summary\":\"x\"}\r\n\r\n\
                    event: heartbeat\ndata: {}\n\nevent: session.updated\ndata: not json\n\nid: a b\nevent: message.added\ndata: {\"sessionId\":7}\n\n";
        let mut stream = stream(text);
        let ended = stream.next().await.unwrap();
        assert_eq!(ended, StreamEvent { kind: EventKind::Ended, session_id: Some("s".into()), id: Some("7".into()) });
        assert_eq!(stream.next().await.unwrap().kind, EventKind::Other);
        let updated = stream.next().await.unwrap();
        assert_eq!((updated.kind, updated.session_id), (EventKind::Updated, None));
        let message = stream.next().await.unwrap();
        assert_eq!((message.kind, message.session_id, message.id), (EventKind::Other, None, None));
        assert_eq!(stream.next().await, Err(StreamEnd::Ended));
    }

    #[tokio::test]
    async fn an_event_without_end_is_cut_off() {
        let mut endless = "data: x\n\n".to_owned();
        endless.push_str(&"data: y\n".repeat(MAX_EVENT / 8 + 1));
        let mut stream = stream(endless);
        assert_eq!(stream.next().await, Err(StreamEnd::TooLong));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_stream() {
        struct Never;
        impl Body for Never {
            type Data = Bytes;
            type Error = std::io::Error;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
                Poll::Pending
            }
        }
        let mut stream = EventStream::new(reqwest::Body::wrap(Never));
        let began = tokio::time::Instant::now();
        assert_eq!(stream.next().await, Err(StreamEnd::Silent));
        assert_eq!(began.elapsed(), SILENCE);
    }
}
