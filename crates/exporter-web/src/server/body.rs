//! The bodies of requests and answers. They report to the connection when their last byte has passed.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::{Buf, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::connections::Activity;

/// The body of a request. It reports when the last of it has arrived.
pub(super) struct RequestBody {
    body: Incoming,
    activity: Arc<Activity>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, activity: Arc<Activity>) -> Self {
        Self { body, activity }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.activity.received();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// So many pieces are handed to the connection at once. It sends so many with one call.
const PIECES: usize = 64;

/// Pieces of an answer that were there at the same time, one behind the other: many small ones, each sent by itself, would cost a call to the
/// system each.
#[derive(Default)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    left: usize,
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.left += piece.len();
            self.pieces.push_back(piece);
        }
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(&self.pieces).map(|(slice, piece)| *slice = IoSlice::new(piece));
        filled.count()
    }

    fn advance(&mut self, mut count: usize) {
        self.left = self.left.saturating_sub(count);
        while let Some(piece) = self.pieces.front_mut() {
            if piece.len() > count {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            self.pieces.pop_front();
        }
    }
}

/// The body of an answer. It reports when the last of it has been handed to the connection: a long answer is sent piece by
/// piece, and its connection is not idle between two pieces.
pub(super) struct AnswerBody {
    body: Body,
    /// What came behind the pieces that were handed on, and could not go with them.
    next: Option<Result<Frame<Bytes>, axum::Error>>,
    activity: Arc<Activity>,
}

impl AnswerBody {
    pub(super) fn new(body: Body, activity: Arc<Activity>) -> Self {
        if body.is_end_stream() {
            activity.answered();
        }
        Self { body, next: None, activity }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.next.take() {
            Some(next) => Poll::Ready(Some(next)),
            // What has ended is not asked again.
            None if self.body.is_end_stream() => Poll::Ready(None),
            None => Pin::new(&mut self.body).poll_frame(context),
        }
    }

    /// The pieces that are there, at least one of them.
    fn poll_pieces(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Pieces>, axum::Error>>> {
        let mut pieces = Pieces::default();
        while pieces.pieces.len() < PIECES {
            match self.poll_next(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => pieces.push(piece),
                    Err(other) if pieces.left == 0 => {
                        return Poll::Ready(Some(Ok(other.map_data(|_| Pieces::default()))));
                    }
                    Err(other) => {
                        self.next = Some(Ok(other));
                        break;
                    }
                },
                Poll::Ready(Some(Err(error))) if pieces.left == 0 => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Err(error))) => {
                    self.next = Some(Err(error));
                    break;
                }
                Poll::Ready(None) if pieces.left == 0 => return Poll::Ready(None),
                Poll::Pending if pieces.left == 0 => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(Frame::data(pieces))))
    }
}

impl http_body::Body for AnswerBody {
    type Data = Pieces;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let pieces = self.poll_pieces(context);
        if self.is_end_stream() {
            self.activity.answered();
        }
        pieces
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    /// Reports the end of a body that does not know its end in advance, and of one that is not sent, as with HEAD.
    fn drop(&mut self) {
        self.activity.answered();
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A body of these, which is not ready at `None`.
    struct Given(VecDeque<Option<io::Result<Bytes>>>);

    impl http_body::Body for Given {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            match self.0.pop_front() {
                Some(Some(piece)) => Poll::Ready(Some(piece.map(Frame::data))),
                Some(None) => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                None => Poll::Ready(None),
            }
        }
    }

    fn given_as(piece: &'static str) -> io::Result<Bytes> {
        if piece == "!" { Err(io::Error::other("broken")) } else { Ok(Bytes::from_static(piece.as_bytes())) }
    }

    /// What the connection is handed of these pieces, one entry each time: `None` is a wait, and "!" an error.
    fn handed(given: impl IntoIterator<Item = Option<&'static str>>) -> Vec<Result<Vec<u8>, ()>> {
        let mut body = AnswerBody::new(
            Body::new(Given(given.into_iter().map(|piece| piece.map(given_as)).collect())),
            Arc::default(),
        );
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut handed = Vec::new();
        loop {
            match Pin::new(&mut body).poll_frame(&mut context) {
                Poll::Pending => handed.push(Ok(b"-".to_vec())),
                Poll::Ready(None) => return handed,
                Poll::Ready(Some(Err(_))) => handed.push(Err(())),
                Poll::Ready(Some(Ok(frame))) => {
                    let mut pieces = frame.into_data().ok().unwrap();
                    handed.push(Ok(pieces.copy_to_bytes(pieces.remaining()).to_vec()));
                }
            }
        }
    }

    #[test]
    fn pieces_that_are_there_go_together() {
        let all = handed([Some("one "), Some(""), Some("two "), None, Some("three"), None, None]);
        assert_eq!(all, [&b"one two "[..], b"three", b"-"].map(|text| Ok(text.to_vec())), "what is there is not kept");
        let many = handed((0..=PIECES).map(|_| Some("x")));
        assert_eq!(many, [Ok(vec![b'x'; PIECES]), Ok(vec![b'x'])]);
    }

    #[test]
    fn what_came_before_an_error_is_sent_and_then_the_error_ends_the_answer() {
        assert_eq!(handed([Some("one"), Some("!")]), [Ok(b"one".to_vec()), Err(())]);
    }

    #[test]
    fn pieces_are_read_to_any_place_in_any_steps() {
        for step in 1..9 {
            let mut pieces = Pieces::default();
            for text in ["abc", "d", "efgh"] {
                pieces.push(Bytes::from_static(text.as_bytes()));
            }
            let mut read = Vec::new();
            while pieces.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 2];
                let filled = pieces.chunks_vectored(&mut slices);
                let there: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                assert!(there.starts_with(pieces.chunk()) && filled > 0);
                let count = step.min(there.len());
                read.extend_from_slice(&there[..count]);
                pieces.advance(count);
            }
            assert_eq!(read, b"abcdefgh", "{step}");
        }
    }
}
