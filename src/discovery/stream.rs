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
    let mut follower = Follower::new(news);
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
    /// What was said last of why there are no events; nothing, once there are.
    said: Option<Trouble>,
}

/// Why there are no events, as far as one would do something else about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// There is nothing at that address.
    Missing,
    /// What is there is something else.
    NoStream,
    /// It is refused or cannot be reached, for now.
    Unavailable,
}

impl Follower {
    fn new(news: mpsc::Sender<News>) -> Self {
        Self { news, last_event_id: None, failures: 0, is_connected: false, said: None }
    }

    /// A new client may be for another organization: what the old one was told where to resume says nothing there.
    fn begin_anew(&mut self) {
        (self.last_event_id, self.failures, self.said) = (None, 0, None);
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
                    (self.failures, self.said, heard) = (0, None, true);
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
                        // What cannot be read comes first again wherever it is resumed: it is skipped. If nothing was
                        // resumed, there is nothing else.
                        if self.last_event_id.take().is_none() && self.is_news(Trouble::NoStream) {
                            tracing::warn!(%end, "what comes from api.stream_path are no events; polling goes on, and it is tried again");
                        }
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
        let trouble = match error {
            ApiError::Status { status: 404 | 405, .. } => Trouble::Missing,
            ApiError::Body(_) => Trouble::NoStream,
            _ => Trouble::Unavailable,
        };
        self.is_connected = false;
        if self.is_news(trouble) {
            match trouble {
                Trouble::Missing | Trouble::NoStream => tracing::warn!(
                    %error, "there is no event stream at api.stream_path; polling goes on (set api.stream_path, or stream.enabled = false)"
                ),
                Trouble::Unavailable => tracing::warn!(
                    %error, "the event stream cannot be had at present; polling goes on, and it is tried again"
                ),
            }
        }
        let wait = self.backoff();
        if trouble == Trouble::Missing {
            return MISSING_WAIT;
        }
        error.retry_after().map_or(wait, |asked| asked.max(wait))
    }

    /// Whether this is to be said: once, and again when it was something else meanwhile.
    fn is_news(&mut self, trouble: Trouble) -> bool {
        self.said.replace(trouble) != Some(trouble)
    }

    fn backoff(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let cap = Duration::from_secs(1_u64.checked_shl(self.failures.min(16)).unwrap_or(u64::MAX)).min(BACKOFF_CAP);
        cap.mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::agntix::install_crypto_provider;
    use crate::config::ApiConfig;
    use crate::secret::Secret;

    fn follower() -> (Follower, mpsc::Receiver<News>) {
        let (news, inbox) = mpsc::channel(8);
        (Follower::new(news), inbox)
    }

    fn status(status: u16) -> ApiError {
        ApiError::Status { status, code: None, request_id: None, retry_after: None }
    }

    #[test]
    fn a_missing_stream_is_asked_for_hourly_and_a_broken_one_with_backoff() {
        let (mut follower, _inbox) = follower();
        follower.is_connected = true;
        assert_eq!(follower.refused(&status(404)), MISSING_WAIT);
        for _ in 0..100 {
            assert!(follower.refused(&status(500)) <= BACKOFF_CAP);
        }
        follower.ended(&StreamEnd::Ended, GOOD);
        assert_eq!(follower.failures, 1, "it had been good");
        let told = Arc::<str>::from("s");
        assert!(follower.news.try_send(News::Hint { id: told, hint: Hint::Ended }).is_ok());
    }

    #[test]
    fn each_trouble_is_said_once_until_it_is_another() {
        let (mut follower, _inbox) = follower();
        let html = ApiError::Body("text/html, and no event stream".into());
        let mut said = Vec::new();
        for error in [&html, &html, &status(502), &ApiError::Timeout, &html, &status(404), &status(405)] {
            let before = follower.said;
            assert!(follower.refused(error) <= MISSING_WAIT);
            said.push(follower.said != before);
        }
        assert_eq!(said, [true, false, true, false, true, true, false]);
        follower.begin_anew();
        assert_eq!(follower.said, None);
    }

    /// A server that gives each connection one event, numbered 7, and then nothing; what it is asked.
    async fn silent_server() -> (SocketAddr, mpsc::Receiver<String>) {
        const ANSWER: &[u8] =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nid: 7\nevent: heartbeat\ndata: {}\n\n";
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (asked, requests)) = (listener.local_addr().unwrap(), mpsc::channel(8));
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(connection.read_u8().await.unwrap());
                }
                connection.write_all(ANSWER).await.unwrap();
                asked.send(String::from_utf8(request).unwrap().to_lowercase()).await.unwrap();
                held.push(connection);
            }
        });
        (address, requests)
    }

    #[tokio::test]
    async fn a_connection_that_falls_silent_is_dropped_after_75_s_and_resumed() {
        install_crypto_provider();
        let (address, mut requests) = silent_server().await;
        let config = ApiConfig { base_url: format!("http://{address}"), ..ApiConfig::default() };
        let client = Client::new(&config, Secret::new("pk_test")).unwrap();
        let (mut follower, mut inbox) = follower();
        {
            let connection = follower.connect(&client);
            tokio::pin!(connection);
            tokio::select! {
                _ = &mut connection => panic!("it ended before its first event"),
                news = inbox.recv() => assert!(matches!(news, Some(News::Alive(Source::Stream))), "{news:?}"),
            }
            // All that is waited for from here on is time.
            tokio::time::pause();
            let began = tokio::time::Instant::now();
            connection.await;
            let silent = began.elapsed();
            tokio::time::resume();
            assert!(silent.abs_diff(Duration::from_secs(75)) < Duration::from_secs(1), "{silent:?}");
        }
        assert!(!requests.recv().await.unwrap().contains("last-event-id"));
        tokio::select! {
            _ = follower.connect(&client) => panic!("it ended before its first event"),
            request = requests.recv() => assert!(request.unwrap().contains("\r\nlast-event-id: 7\r\n")),
        }
    }
}
