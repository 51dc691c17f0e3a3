//! The event stream as a source: it hints at which session to ask for next. What it misses costs delay, never truth.

use std::sync::Arc;
use std::time::Duration;

use agntix_api::paths::{AfterWrong, ApiPath, PathChoice};
use agntix_api::promise::{self, Unexpected};
use agntix_api::stream::{EventKind, StreamEnd, StreamEvent, StreamItem};
use agntix_api::{ApiError, Client};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::reconnect::{Connection, Reconnect, Trouble};
use super::{Hint, News};
use crate::session::Source;

/// How often it is reported at most that the stream lives.
const REPORT_LIFE_EVERY: Duration = Duration::from_secs(1);

/// Follows the stream of whatever client `clients` holds until `shutdown`.
/// Under which spelling of its path it was found before is `remembered`.
pub async fn follow(
    mut clients: watch::Receiver<Client>,
    news: mpsc::Sender<News>,
    remembered: Option<u32>,
    shutdown: CancellationToken,
) {
    let candidates = clients.borrow().candidates(ApiPath::Stream);
    let mut follower = Follower::new(news, PathChoice::among(ApiPath::Stream, candidates, remembered));
    loop {
        let client = clients.borrow_and_update().clone();
        let is_same = |new: &Client| new.host() == client.host() && new.credential_name() == client.credential_name();
        let wait = tokio::select! {
            () = shutdown.cancelled() => return,
            changed = clients.changed() => {
                if changed.is_err() {
                    return;
                }
                follower.begin_anew(is_same(&clients.borrow()), clients.borrow().candidates(ApiPath::Stream));
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
                follower.begin_anew(is_same(&clients.borrow()), clients.borrow().candidates(ApiPath::Stream));
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Follower {
    news: mpsc::Sender<News>,
    state: Reconnect,
    path: PathChoice,
    /// When it was last reported that the stream lives.
    reported_alive: Option<Instant>,
}

impl Follower {
    fn new(news: mpsc::Sender<News>, path: PathChoice) -> Self {
        Self { news, state: Reconnect::default(), path, reported_alive: None }
    }

    /// A new client may be for another organization, where the last event id of the old one means nothing.
    fn begin_anew(&mut self, is_same: bool, candidates: Vec<Arc<str>>) {
        if !is_same || self.path.candidates() != candidates {
            self.path = self.path.anew_among(candidates);
        }
        if is_same {
            self.state.reloaded();
        } else {
            self.state.begin_anew();
        }
    }

    /// Follows one connection to its end. How long to wait before the next.
    async fn connect(&mut self, client: &Client) -> Duration {
        let began = Instant::now();
        let path = self.path.current();
        let mut stream = match client.stream_at(&path, self.state.id()).await {
            Ok(stream) => stream,
            Err(error) => return self.refused(&error),
        };
        self.state.opened();
        let place = self.path.good(&path);
        if place.is_some() {
            tracing::info!(%path, "the path of the event stream was found (api.stream_path is auto)");
        }
        // What it brings must not overtake it. That nobody takes it any more is seen at the next event.
        let _ = self.news.send(News::StreamOpened { path, place }).await;
        let mut connection = Connection::default();
        loop {
            match stream.next().await {
                Ok(heard) => {
                    (connection.alive, connection.lived) = (true, began.elapsed());
                    connection.events += u64::from(matches!(heard, StreamItem::Event(_)));
                    if self.state.received(connection) {
                        tracing::info!("the event stream is connected");
                    }
                    match heard {
                        StreamItem::Alive => self.alive(),
                        StreamItem::Event(event) => self.event(event),
                    }
                }
                Err(end) => {
                    connection.lived = began.elapsed();
                    return self.ended(&end, connection);
                }
            }
        }
    }

    fn event(&mut self, event: StreamEvent) {
        self.state.event(event.id, event.retry);
        let hint = match event.kind {
            EventKind::Started => Hint::Started,
            EventKind::Updated => Hint::Updated,
            EventKind::Ended => Hint::Ended,
            EventKind::Other => return self.alive(),
        };
        match event.session_id {
            // A hint that finds no room is one that was missed: polling finds the session.
            Some(id) => drop(self.news.try_send(News::Hint { id, hint })),
            None => self.alive(),
        }
    }

    /// Reports that the stream lives, once a second at most: deliveries need the room in the queue, too.
    fn alive(&mut self) {
        let now = Instant::now();
        if self.reported_alive.is_none_or(|reported| now.saturating_duration_since(reported) >= REPORT_LIFE_EVERY)
            && self.news.try_send(News::Alive(Source::Stream)).is_ok()
        {
            self.reported_alive = Some(now);
        }
    }

    fn ended(&mut self, end: &StreamEnd, connection: Connection) -> Duration {
        tracing::debug!(%end, "the event stream ended; it is resumed");
        let next = self.state.ended(end, connection, fastrand::f64());
        match next.report {
            Some(Trouble::ShortLived) => tracing::warn!(
                %end, "the event stream ends soon after each connection; polling continues, and the stream is retried (check the proxies in between)"
            ),
            Some(Trouble::Silent) => tracing::warn!(
                %end, "the event stream opens and then stays silent; polling continues, and the stream is retried (check for proxies that buffer answers)"
            ),
            Some(_) => tracing::warn!(
                %end, "the answer of api.stream_path holds no events; polling continues, and the stream is retried"
            ),
            None => {}
        }
        next.wait
    }

    fn refused(&mut self, error: &ApiError) -> Duration {
        if self.state.may_be_elsewhere(error)
            && let Unexpected::Foreign { came, .. } = promise::of_stream(error)
        {
            let asked = self.path.current();
            let after = self.path.wrong(&asked, came, true);
            let (path, why) = (self.path.current(), format!("GET {}", self.path.tried()));
            tracing::debug!(%error, %path, why, "no event stream");
            // It is reported again at the next attempt.
            drop(self.news.try_send(News::StreamMissing { path, why }));
            if after == AfterWrong::TryNext {
                self.state.path_changed();
                return Duration::ZERO;
            }
        }
        let had_id = self.state.id().is_some();
        let next = self.state.refused(error, fastrand::f64());
        if had_id && self.state.id().is_none() {
            tracing::debug!(%error, "the event stream cannot be resumed; it is tried without the last event's id");
        }
        match next.report {
            Some(Trouble::Missing | Trouble::NoStream) => tracing::warn!(
                %error, tried = self.path.tried(), "there is no event stream at api.stream_path; polling continues (set api.stream_path, or stream.enabled = false)"
            ),
            Some(_) => tracing::warn!(
                %error, "the event stream is unavailable; polling continues, and the stream is retried"
            ),
            None => {}
        }
        next.wait
    }
}

#[cfg(test)]
mod tests;
