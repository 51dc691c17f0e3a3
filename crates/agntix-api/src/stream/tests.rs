//! The event stream: what is read of it, and what ends it.

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
    let ids =
        [event(&mut stream).await, event(&mut stream).await, event(&mut stream).await].map(|event| event.session_id);
    assert_eq!(ids, [Some("sä".into()), None, Some("t".into())]);
}

struct Pieces(std::collections::VecDeque<Result<Bytes, std::io::Error>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
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
        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }
    let mut stream = EventStream::new(reqwest::Body::wrap(Never));
    let began = tokio::time::Instant::now();
    assert_eq!(stream.next().await, Err(StreamEnd::Silent));
    assert_eq!(began.elapsed(), SILENCE);
}
