//! [`until`](super::until) for tests that are asynchronous.

use std::time::{Duration, Instant};

use super::PATIENCE;

const BETWEEN_PROBES: Duration = Duration::from_millis(25);

/// Asks `probe` until it has an answer; `None` if it has none within [`PATIENCE`].
pub async fn eventually<T>(mut probe: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    // The machine's clock, not tokio's: what is waited for runs in other processes, which no test can pause.
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe().await {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(BETWEEN_PROBES).await;
    }
}
