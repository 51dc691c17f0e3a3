//! A stream with a deadline for each answer: a client that reads a byte a second is cut off, not served for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::connections::Activity;

/// The stream. The time runs from the first write that has to wait for the client until everything written has been sent,
/// however slowly bytes are read in between.
pub(crate) struct WriteDeadline<S> {
    stream: S,
    timeout: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    activity: Arc<Activity>,
}

impl<S> WriteDeadline<S> {
    /// Gives the client of `stream` at most `timeout` to read an answer; reports to `activity` what the client does.
    pub fn new(stream: S, timeout: Duration, activity: Arc<Activity>) -> Self {
        Self { stream, timeout, deadline: None, activity }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.activity.progressed();
        }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            return written;
        }
        self.activity.blocked();
        let timeout = self.timeout;
        ready!(self.deadline.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client read its answer too slowly")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_pending() {
            self.activity.waited();
        } else if buf.filled().len() > before {
            self.activity.progressed();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(&written);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(&written);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has nothing left to write: the answer has been sent.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.deadline = None;
            self.activity.flushed();
        }
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn client_that_reads_a_byte_a_second_is_cut_off() {
        let (server, mut client) = duplex(16);
        let began = Instant::now();
        let mut stream = WriteDeadline::new(server, Duration::from_secs(60), Arc::default());
        let reader = tokio::spawn(async move {
            let mut read = 0;
            while let Ok(1) = client.read(&mut [0; 1]).await {
                read += 1;
                sleep(Duration::from_secs(1)).await;
            }
            read
        });
        let error = stream.write_all(&[7; 1024]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 60);
        drop(stream);
        assert!(reader.await.unwrap() < 100);
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_the_full_time() {
        let (server, mut client) = duplex(16);
        let mut stream = WriteDeadline::new(server, Duration::from_secs(60), Arc::default());
        let reader = tokio::spawn(async move {
            for _ in 0..64 {
                sleep(Duration::from_secs(3)).await;
                client.read_exact(&mut [0; 16]).await.unwrap();
            }
        });
        for _ in 0..8 {
            stream.write_all(&[7; 128]).await.unwrap();
            stream.flush().await.unwrap();
        }
        reader.await.unwrap();
    }
}
