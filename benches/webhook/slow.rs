//! Connections that send a byte a second, for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::deliveries::PATH;

/// The slow senders, on a thread of their own; they end when this is dropped.
pub struct SlowSenders {
    stop: CancellationToken,
    counts: Arc<Counts>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    open: AtomicU64,
    opened: AtomicU64,
}

impl SlowSenders {
    /// So many connections to `to`. One that is closed by the other side is opened again a second later.
    pub fn start(to: SocketAddr, count: u32) -> Self {
        let (stop, counts) = (CancellationToken::new(), Arc::new(Counts::default()));
        let (stopped, counted) = (stop.clone(), Arc::clone(&counts));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for number in 0..count {
                    let counts = Arc::clone(&counted);
                    tokio::spawn(async move {
                        // Spread over a second.
                        tokio::time::sleep(Duration::from_secs(1) * number / count).await;
                        loop {
                            send_slowly(to, number, &counts).await;
                            tokio::time::sleep(Duration::from_secs(1)).await;
                        }
                    });
                }
                stopped.cancelled().await;
            });
        });
        Self { stop, counts, thread: Some(thread) }
    }

    /// How many are open, and how many have ever been.
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.open.load(Ordering::Relaxed), self.counts.opened.load(Ordering::Relaxed))
    }
}

impl Drop for SlowSenders {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Sends a byte a second until the other side has had enough.
async fn send_slowly(to: SocketAddr, number: u32, counts: &Counts) {
    // Half of them are slow with the body already, the others with the head.
    let head =
        format!("POST {PATH} HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\ncontent-length: 2200\r\n");
    let first = if number.is_multiple_of(2) { format!("{head}\r\n") } else { head };
    let Ok(mut stream) = TcpStream::connect(to).await else { return };
    counts.open.fetch_add(1, Ordering::Relaxed);
    counts.opened.fetch_add(1, Ordering::Relaxed);
    let mut written = stream.write_all(first.as_bytes()).await;
    while written.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        written = stream.write_all(b"x").await;
    }
    counts.open.fetch_sub(1, Ordering::Relaxed);
}
