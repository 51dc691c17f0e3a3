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

use super::error::root_cause;
use super::json::{JsonText, object};
use super::wire::Scalar;

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
mod tests {
    use super::*;

    fn stream(text: impl Into<Bytes>) -> EventStream {
        EventStream::new(reqwest::Body::from(text.into()))
    }

    #[tokio::test]
    async fn invalid_utf_8_or_json_costs_only_its_own_value() {
        let text = [
            b"event: session.ended\ndata: {\"sessionId\":\"\xc3\xa4\",\"name\":\"\xff\xc3\",\"sessionId\":\"s\xc3\xa4\",\"x\":NaN}\n\n".as_slice(),
            b"event: session.updated\ndata: \xef\xbb\xbf{\"sessionId\":\"s\xff\"}\n\nevent: session.ended\ndata: {\"sessionId\":\"t\"}\n\n",
        ]
        .concat();
        // Cut in every place, so that characters are as well.
        let pieces = text.iter().map(|byte| Ok::<_, std::io::Error>(Bytes::copy_from_slice(&[*byte])));
        let mut stream = EventStream::new(reqwest::Body::wrap(Pieces(pieces.collect())));
        let ids = [event(&mut stream).await, event(&mut stream).await, event(&mut stream).await]
            .map(|event| event.session_id);
        assert_eq!(ids, [Some("sä".into()), None, Some("t".into())]);
    }

    struct Pieces(std::collections::VecDeque<Result<Bytes, std::io::Error>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.pop_front().map(|piece| piece.map(Frame::data)))
        }
    }

    #[tokio::test]
    async fn event_gives_kind_session_and_id() {
        let text = "\u{feff}: a comment\r\nid: 7\r\nevent: session.ended\r\ndata: {\"sessionId\":\"s\",\"summary\":\"x\"}\r\n\r\n\
                    event: heartbeat\ndata: {}\n\nevent: session.updated\ndata: not json\n\nid: a b\nevent: message.added\ndata: {\"sessionId\":7}\n\n";
        let mut stream = stream(text);
        let ended = event(&mut stream).await;
        let (session_id, id) = (Some("s".into()), Some("7".into()));
        assert_eq!(ended, StreamEvent { kind: EventKind::Ended, session_id, id, retry: None });
        assert_eq!(event(&mut stream).await.kind, EventKind::Other);
        let updated = event(&mut stream).await;
        assert_eq!((updated.kind, updated.session_id), (EventKind::Updated, None));
        let message = event(&mut stream).await;
        assert_eq!((message.kind, message.session_id, message.id), (EventKind::Other, None, None));
        assert_eq!(stream.next().await, Err(StreamEnd::Ended));
    }

    async fn event(stream: &mut EventStream) -> StreamEvent {
        match stream.next().await.unwrap() {
            StreamItem::Event(event) => event,
            StreamItem::Alive => panic!("a sign of life, and no event"),
        }
    }

    #[tokio::test]
    async fn id_and_retry_are_read_without_data() {
        let text =
            "retry: 3000\n\nid\ndata: x\n\nid: a\0b\nretry: soon\ndata: y\n\nretry: 99999999999999999999\n\nid: 9\n\n";
        let mut stream = stream(text);
        let mut read = Vec::new();
        while let Ok(StreamItem::Event(event)) = stream.next().await {
            read.push((event.id, event.retry));
        }
        assert!(
            read.starts_with(&[(None, Some(Duration::from_secs(3))), (Some(String::new()), None), (None, None)]),
            "{read:?}"
        );
        assert_eq!(read.last(), Some(&(Some("9".into()), None)));
    }

    #[tokio::test(start_paused = true)]
    async fn comments_keep_a_stream_alive() {
        let (send, pieces) = tokio::sync::mpsc::unbounded_channel();
        let mut stream = EventStream::new(reqwest::Body::wrap(Slow(pieces)));
        let sender = tokio::spawn(async move {
            for piece in [": ping\n\n", ":\r\n", "\n", ": half a ", "comment\r"] {
                tokio::time::sleep(SILENCE.mul_f64(0.99)).await;
                send.send(piece).unwrap();
            }
            send
        });
        for _ in 0..3 {
            assert_eq!(stream.next().await, Ok(StreamItem::Alive));
        }
        let began = tokio::time::Instant::now();
        assert_eq!(stream.next().await, Err(StreamEnd::Silent), "half a comment may be all that ever comes");
        assert_eq!(began.elapsed(), SILENCE);
        drop(sender.await.unwrap());
    }

    /// A body that comes in pieces.
    struct Slow(tokio::sync::mpsc::UnboundedReceiver<&'static str>);

    impl Body for Slow {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(Bytes::from(piece)))))
        }
    }

    #[test]
    fn long_stream_of_short_events_is_not_too_long() {
        let mut lines = Lines::default();
        for line in [": ping\n", "data: x\n\n", ":\r\n\r\n", "id: 7\r\r"] {
            assert!(lines.read(line.repeat(MAX_EVENT / 4).as_bytes()).unwrap(), "{line:?}");
        }
        assert!(!lines.read(b"data: x\r\n").unwrap());
        assert!(lines.read(b"\r\n").unwrap());
        for endless in [": ping ", "data: x\n", "x"] {
            let mut lines = Lines::default();
            let result = lines.read(endless.repeat(MAX_EVENT + 1).as_bytes());
            assert!(matches!(result, Err(CappedError::TooLong)), "{endless:?}");
        }
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
