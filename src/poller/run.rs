//! The shell around [`Core`]: sends its requests, commits its batches, tells it the time.

use std::sync::Arc;
use std::time::Instant;

use agntix_api::{Answer, Client, ListQuery};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::core::{Ask, Core, CoreDeps, NextAction, Now};
use super::pipeline::Batch;
use super::publish::Publisher;
use crate::catalogue::{ExporterMetrics, Exposition};
use crate::clock::{ApiClock, Clock, Tick};
use crate::config::Config;
use crate::discovery::{News, Watched};
use crate::ledger::{CommitOutcome, Ledger, LedgerError, Opened};
use crate::status::Status;
use crate::supervisor::Pulse;

/// News that are heard in one turn: what a turn costs besides is shared by all that has come since the last one.
const MOST_NEWS: usize = 256;
/// How long commits under way may take once the daemon stops.
const GRACE: std::time::Duration = std::time::Duration::from_secs(3);

/// A reloaded configuration, and a client for it.
#[derive(Debug)]
pub struct Reconfigure {
    /// The configuration.
    pub config: Box<Config>,
    /// The client.
    pub client: Client,
    /// Told when it is in effect.
    pub done: oneshot::Sender<()>,
}

/// What reaches the poller while it runs.
#[derive(Debug)]
pub struct Inbox {
    /// Sources say which sessions they want watched.
    pub watched: mpsc::Receiver<Watched>,
    /// What sources hear without being asked.
    pub news: mpsc::Receiver<News>,
    /// Configurations to take into effect.
    pub reconfigure: mpsc::Receiver<Reconfigure>,
}

/// Why the poller stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum PollerError {
    /// A defect: a part of the poller ended by itself.
    #[error("the poller has stopped ({0}); this is a defect, and a restart loses nothing")]
    Stopped(String),
}

type Committed = Result<Vec<CommitOutcome>, Arc<LedgerError>>;

/// Asks the API, and keeps the ledger and the gauges up to date.
pub struct Poller {
    core: Core,
    publisher: Publisher,
    client: Client,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    began: Instant,
    max_concurrency: usize,
    inbox: Inbox,
    requests: JoinSet<(Ask, Answer, u64)>,
    /// Counts the clients: an answer to an earlier one is no evidence about the present one.
    generation: u64,
    commits: JoinSet<(Batch, Committed)>,
    /// A look at the file with the credential, which waits for its disk: whether it has changed.
    looks: JoinSet<bool>,
}

impl Poller {
    /// A poller that goes on from what the ledger holds.
    #[expect(clippy::too_many_arguments, reason = "the parts of the daemon, each given once")]
    pub fn new(
        config: &Config,
        client: Client,
        ledger: Arc<dyn Ledger>,
        opened: &Opened,
        exposition: Arc<Exposition>,
        own: ExporterMetrics,
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
        api_clock: Arc<ApiClock>,
        inbox: Inbox,
    ) -> Self {
        let began = Instant::now();
        let deps = CoreDeps {
            credential: client.credential_name(),
            host: client.host().to_owned(),
            seed: fastrand::u64(..),
            counted: status.snapshot().counted,
        };
        let now = Now { tick: Tick::ZERO, instant: began, local: clock.now() };
        let mut core = Core::new(config, opened, deps, now);
        let publisher = Publisher::new(exposition, own, status, api_clock, opened.windows.clone());
        publisher.apply(&mut core);
        Self {
            core,
            publisher,
            client,
            ledger,
            clock,
            began,
            max_concurrency: config.api.max_concurrency,
            inbox,
            requests: JoinSet::new(),
            generation: 0,
            commits: JoinSet::new(),
            looks: JoinSet::new(),
        }
    }

    /// Runs until `shutdown`, and then until the commits under way are done; `pulse` beats as long as it does.
    ///
    /// # Errors
    /// If a part of it has a defect and ends.
    pub async fn run(mut self, pulse: Pulse, shutdown: CancellationToken) -> Result<(), PollerError> {
        let mut next_tick = self.began;
        let mut heard = Vec::with_capacity(MOST_NEWS);
        loop {
            let now = self.now();
            pulse.beat(now.instant);
            if now.instant >= next_tick {
                if self.core.contact.health.waits_for_credential() && self.looks.is_empty() {
                    let client = self.client.clone();
                    self.looks.spawn_blocking(move || client.credential_has_changed());
                }
                self.publisher.tick(&mut self.core, now);
                next_tick = now.instant + self.core.tick_interval();
            }
            let wake = next_tick.min(self.began + self.dispatch());
            self.publisher.apply(&mut self.core);
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(done) = self.requests.join_next() => {
                    let (ask, answer, generation) = done.map_err(|e| PollerError::Stopped(e.to_string()))?;
                    if generation == self.generation {
                        self.core.answered(&ask, answer, self.now());
                    } else {
                        self.core.answered_before_reload(&ask, answer, self.now());
                    }
                }
                Some(looked) = self.looks.join_next() => {
                    let has_changed = looked.map_err(|e| PollerError::Stopped(e.to_string()))?;
                    if has_changed && self.core.contact.health.waits_for_credential() {
                        self.core.contact.health.credential_changed();
                    }
                }
                Some(done) = self.commits.join_next() => {
                    let (batch, result) = done.map_err(|e| PollerError::Stopped(e.to_string()))?;
                    self.committed(batch, result)?;
                }
                Some(watched) = self.inbox.watched.recv() => self.core.watch(watched, self.now()),
                1.. = self.inbox.news.recv_many(&mut heard, MOST_NEWS) => {
                    let now = self.now();
                    for news in heard.drain(..) {
                        self.core.hear(news, now);
                    }
                }
                Some(request) = self.inbox.reconfigure.recv() => self.reconfigure(request),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.publisher.apply(&mut self.core);
        }
        self.requests.abort_all();
        let finish = async { while self.commits.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, finish).await.is_err() {
            tracing::warn!("the last counts were not saved in time; they will be read from Agntix again");
        }
        Ok(())
    }

    fn now(&self) -> Now {
        let instant = Instant::now();
        Now { tick: instant.saturating_duration_since(self.began), instant, local: self.clock.now() }
    }

    /// Does what there is to do, and says until when to wait.
    fn dispatch(&mut self) -> Tick {
        loop {
            let may_ask = self.requests.len() < self.max_concurrency;
            match self.core.next(self.now(), may_ask) {
                NextAction::Wait(until) => return until,
                NextAction::Commit(batch) => {
                    // Called here, so that batches are applied in the order in which the core gave them.
                    let committed = self.ledger.commit(batch.changes.clone());
                    self.commits.spawn(async move { (batch, committed.await) });
                }
                NextAction::Ask(ask) => {
                    let (client, generation) = (self.client.clone(), self.generation);
                    let path = self.core.path(ask.route());
                    self.requests.spawn(async move {
                        let answer = match &ask {
                            Ask::Session(id) => client.session_at(path, id).await,
                            Ask::Messages(id, page) => client.messages_at(path, id, *page).await,
                            Ask::Agents(page) => client.agents_at(path, *page).await,
                            Ask::List(page) => {
                                let query = ListQuery {
                                    created_after: page.created_after,
                                    open_only: page.open_only,
                                    page: page.page,
                                    limit: page.limit,
                                };
                                client.list_at(path, &query).await
                            }
                        };
                        (ask, answer, generation)
                    });
                }
            }
        }
    }

    fn committed(&mut self, batch: Batch, result: Committed) -> Result<(), PollerError> {
        let (now, changes) = (self.now(), batch.changes.len());
        match result {
            Ok(outcomes) => {
                self.core.commit_ended(changes, None, now);
                self.core.committed(batch.purpose, &outcomes, now);
            }
            Err(error) if matches!(*error, LedgerError::Closed) => return Err(PollerError::Stopped(error.to_string())),
            // The log has it from whoever observes the commits.
            Err(_) => self.core.commit_ended(changes, Some(batch), now),
        }
        Ok(())
    }

    fn reconfigure(&mut self, Reconfigure { config, client, done }: Reconfigure) {
        let (credential, host) = (client.credential_name(), client.host().to_owned());
        self.core.reconfigure(&config, credential, host, self.now());
        self.client = client;
        self.generation += 1;
        self.max_concurrency = config.api.max_concurrency;
        self.publisher.apply(&mut self.core);
        // Whoever asked may have gone; the configuration is in effect all the same.
        let _ = done.send(());
    }
}
