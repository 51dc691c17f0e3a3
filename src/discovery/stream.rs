//! The event stream as a source: it hints at which session to ask for next. What it misses costs delay, never truth.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Hint, News};
use crate::agntix::stream::{EventKind, StreamEnd};
use crate::agntix::{ApiError, Client};
use crate::ledger::Source;

const BACKOFF_CAP: Duration = Duration::from_secs(60);
/// A gateway that knows no stream may get one.
const MISSING_WAIT: Duration = Duration::from_secs(3600);
/// A stream that has lived for so long was good; the next one is connected at once.
const GOOD: Duration = Duration::from_secs(60);

/// Follows the stream of whatever client `clients` holds until `shutdown`.
pub async fn follow(mut clients: watch::Receiver<Client>, news: mpsc::Sender<News>, shutdown: CancellationToken) {
    let mut follower = Follower { news, last_event_id: None, failures: 0, is_connected: false };
    loop {
        let client = clients.borrow_and_update().clone();
        let wait = tokio::select! {
            () = shutdown.cancelled() => return,
            changed = clients.changed() => {
                if changed.is_err() {
                    return;
                }
                follower.begin_anew();
                continue;
            }
            wait = follower.connect(&client) => wait,
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = clients.changed() => {
                if changed.is_err() {
                    return;
                }
                follower.begin_anew();
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Follower {
    news: mpsc::Sender<News>,
    last_event_id: Option<String>,
    failures: u32,
    is_connected: bool,
}

impl Follower {
    /// A new client may be for another organization: what the old one was told where to resume says nothing there.
    fn begin_anew(&mut self) {
        (self.last_event_id, self.failures) = (None, 0);
    }

    /// Follows one connection to its end. How long to wait before the next.
    async fn connect(&mut self, client: &Client) -> Duration {
        let began = tokio::time::Instant::now();
        let mut stream = match client.stream(self.last_event_id.as_deref()).await {
            Ok(stream) => stream,
            Err(error) => return self.refused(&error),
        };
        if !std::mem::replace(&mut self.is_connected, true) {
            tracing::info!("the event stream is connected");
        }
        let mut heard = false;
        loop {
            match stream.next().await {
                Ok(event) => {
                    (self.failures, heard) = (0, true);
                    if event.id.is_some() {
                        self.last_event_id = event.id;
                    }
                    let hint = match event.kind {
                        EventKind::Started => Some(Hint::Started),
                        EventKind::Updated => Some(Hint::Updated),
                        EventKind::Ended => Some(Hint::Ended),
                        EventKind::Other => None,
                    };
                    let news = match (hint, event.session_id) {
                        (Some(hint), Some(id)) => News::Hint { id, hint },
                        _ => News::Alive(Source::Stream),
                    };
                    // A hint that finds no room is one that was missed: polling finds the session.
                    let _ = self.news.try_send(news);
                }
                Err(end) => {
                    if !heard && matches!(end, StreamEnd::Nonsense | StreamEnd::TooLong) {
                        // What cannot be read comes first again wherever it is resumed: it is skipped.
                        self.last_event_id = None;
                    }
                    return self.ended(&end, began.elapsed());
                }
            }
        }
    }

    fn ended(&mut self, end: &StreamEnd, lived: Duration) -> Duration {
        tracing::debug!(%end, "the event stream is over; it is resumed");
        if lived >= GOOD {
            self.failures = 0;
        }
        self.backoff()
    }

    fn refused(&mut self, error: &ApiError) -> Duration {
        let is_missing = matches!(error, ApiError::Status { status: 404 | 405, .. });
        if std::mem::take(&mut self.is_connected) || self.failures == 0 {
            if is_missing {
                tracing::warn!(%error, "there is no event stream at api.stream_path; polling goes on (set api.stream_path, or stream.enabled = false)");
            } else {
                tracing::warn!(%error, "the event stream cannot be had at present; polling goes on, and it is tried again");
            }
        }
        let wait = self.backoff();
        if is_missing {
            return MISSING_WAIT;
        }
        error.retry_after().map_or(wait, |asked| asked.max(wait))
    }

    fn backoff(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let cap = Duration::from_secs(1_u64.checked_shl(self.failures.min(16)).unwrap_or(u64::MAX)).min(BACKOFF_CAP);
        cap.mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_missing_stream_is_asked_for_hourly_and_a_broken_one_with_backoff() {
        let (news, _inbox) = mpsc::channel(1);
        let mut follower = Follower { news, last_event_id: None, failures: 0, is_connected: true };
        let status = |status| ApiError::Status { status, code: None, request_id: None, retry_after: None };
        assert_eq!(follower.refused(&status(404)), MISSING_WAIT);
        for _ in 0..100 {
            assert!(follower.refused(&status(500)) <= BACKOFF_CAP);
        }
        follower.ended(&StreamEnd::Ended, GOOD);
        assert_eq!(follower.failures, 1, "it had been good");
        let told = Arc::<str>::from("s");
        assert!(follower.news.try_send(News::Hint { id: told, hint: Hint::Ended }).is_ok());
    }
}
