//! One of the replicas that share the ledger: it counts while it has the lease, and follows while another one has it.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::connect::Database;
use super::currency::Currency;
use super::error::PostgresError;
use super::follower::{Follower, Found};
use super::gauges::Shown;
use super::inbox::Inbox;
use super::lease::{Uptime, uptime};
use super::lease_row::{self, Asked};
use super::settlement::{self, LONGEST};
use super::store::StoreConfig;
use super::{PostgresLedger, schema, upkeep};
use crate::ledger::{LedgerError, Observer, Opened};

/// Of a lease: how much of it passes between two looks at what is new and whether it is free. A replica that stops gives it up,
/// and another one is to count within a second.
const LOOKS_A_LEASE: u32 = 20;
/// Scrapes that may wait for a read; further ones are told at once that they cannot be answered.
const MOST_WAITING: usize = 1024;
/// How long scrapes are answered after the replica was told to stop; a daemon ends within 5 s.
const LAST_ANSWERS: Duration = Duration::from_secs(4);
/// How long a scrape waits for a read.
const PATIENCE: Duration = Duration::from_secs(8);

/// What a scrape is answered with if the page may be older than one that was shown before.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the page cannot be known to be current ({0})")]
pub struct NotCurrent(Arc<LedgerError>);

type Reply = oneshot::Sender<Result<(), NotCurrent>>;

/// Says whether the page in memory is current, and makes it so. Clones do so for the same page.
#[derive(Clone, Debug)]
pub struct PageReader {
    currency: Arc<Currency>,
    reads: mpsc::Sender<Reply>,
    standing: Arc<Mutex<Standing>>,
    config: watch::Sender<StoreConfig>,
}

/// How this replica stands among the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Which replica counts, or did last.
    pub holder: String,
    /// The number of the last commit that this one has shown.
    pub sequence: i64,
}

/// What is told of what was read and committed.
pub struct Observers {
    /// Told of the commits of this replica while it counts.
    pub commits: Observer,
    /// Told of what others have committed.
    pub news: Observer,
    /// Told of every look at what is new.
    pub looks: OnRead,
}

impl PageReader {
    /// Whether this replica counts.
    pub fn is_active(&self) -> bool {
        self.currency.is_certain()
    }

    /// How this replica stands among the others, as it was seen last.
    pub fn standing(&self) -> Standing {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Standing { sequence: standing.sequence.max(self.currency.sequence()), ..standing }
    }

    /// Takes a reloaded configuration into effect, but for the buckets and the database, which need a restart.
    pub fn reconfigure(&self, new: &StoreConfig) {
        self.config.send_modify(|config| config.policy.reload(&new.policy));
    }

    /// Comes back when the page in memory holds everything that any replica has shown before the call.
    ///
    /// # Errors
    /// If that cannot be had now.
    pub async fn current(&self) -> Result<(), NotCurrent> {
        let unanswered = || NotCurrent(Arc::new(LedgerError::Busy));
        tokio::time::timeout(PATIENCE, self.read()).await.ok().flatten().unwrap_or_else(|| Err(unanswered()))
    }
}

impl PageReader {
    /// `None`: nobody can read now.
    async fn read(&self) -> Option<Result<(), NotCurrent>> {
        loop {
            // A replica that begins to count answers no reads, since its page is current then.
            let mut confirmed = pin!(self.currency.is_confirmed());
            confirmed.as_mut().enable();
            if self.currency.is_current().await {
                return Some(Ok(()));
            }
            let (reply, answer) = oneshot::channel();
            self.reads.try_send(reply).ok()?;
            tokio::select! {
                answer = answer => return answer.ok(),
                () = confirmed => {}
            }
        }
    }
}

/// Called with what a look at the database has found, or why nothing is known.
pub type OnRead = Box<dyn FnMut(Result<Look, &LedgerError>) + Send>;

/// What a look at the database has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// How this replica stands among the others.
    pub standing: Standing,
    /// Whether the page is shown: the look-back is done.
    pub is_published: bool,
    /// How long it took.
    pub took: Duration,
    /// How long the replica that counts, or did last, has done so.
    pub since: Duration,
    /// What it shows besides the counts, if that is new.
    pub shown: Option<Shown>,
    /// How old that is, new or not: it is shown anew every few seconds.
    pub shown_age: Duration,
}

/// A replica.
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of the last look at the database")]
pub struct Replica {
    database: Database,
    name: Box<str>,
    config: watch::Receiver<StoreConfig>,
    currency: Arc<Currency>,
    follower: Follower,
    commits: Arc<Mutex<Observer>>,
    news: Observer,
    on_read: OnRead,
    reads: mpsc::Receiver<Reply>,
    standing: Arc<Mutex<Standing>>,
    inbox: Inbox,
    /// The tables were made, or found.
    is_prepared: bool,
    /// The history of the database, as it was seen last.
    timeline: Option<String>,
    /// The last look has failed.
    is_failing: bool,
    /// Since when commits that were shown are missing.
    lost_since: Option<Uptime>,
    /// Another server has become the primary, and this replica has said what it had seen before.
    has_reported: bool,
    is_put_failing: bool,
    /// It was given the lease, and could not read what it needs to count.
    cannot_count: bool,
}

impl Replica {
    /// Makes or upgrades the tables. `name` tells this replica from the others.
    ///
    /// A database that is away, or has no primary now, is waited for by [`run`](Self::run): it may be back sooner than whoever
    /// restarts this process would try again, and meanwhile the process says what is wrong.
    ///
    /// # Errors
    /// If the database cannot be used, for a reason that does not pass by itself.
    pub async fn start(
        database: Database,
        name: &str,
        config: StoreConfig,
        inbox: Inbox,
        observers: Observers,
    ) -> Result<(Self, PageReader), LedgerError> {
        database.find_primary().await;
        let is_prepared = match prepare(&database).await {
            Ok(()) => true,
            Err(
                error @ (PostgresError::Unreachable { .. }
                | PostgresError::Standby { .. }
                | PostgresError::NoRoom { .. }),
            ) => {
                // The first look at it, which follows at once, says so to whoever reads the log.
                tracing::debug!(%error, "the tables could not be made or found yet");
                false
            }
            Err(error) => return Err(error.into()),
        };
        let (reads, waiting) = mpsc::channel(MOST_WAITING);
        let (currency, standing) = (Arc::<Currency>::default(), Arc::<Mutex<Standing>>::default());
        let follower = Follower::new(database.clone(), config.lease, config.policy.clone());
        let (config, configs) = watch::channel(config);
        let replica = Self {
            follower,
            database,
            name: name.into(),
            config: configs,
            currency: Arc::clone(&currency),
            commits: Arc::new(Mutex::new(observers.commits)),
            news: observers.news,
            on_read: observers.looks,
            reads: waiting,
            standing: Arc::clone(&standing),
            inbox,
            is_prepared,
            timeline: None,
            is_failing: false,
            lost_since: None,
            has_reported: false,
            is_put_failing: false,
            cannot_count: false,
        };
        Ok((replica, PageReader { currency, reads, standing, config }))
    }

    /// Follows, and counts whenever nobody else does: `count` is given the ledger and what it holds, and comes back when it has
    /// stopped counting, which it must when the ledger is [lost](PostgresLedger::lost), and when it is to end.
    ///
    /// After `shutdown` it goes on answering scrapes that are under way, for as long as there is a [`PageReader`].
    pub async fn run<F, C>(mut self, mut count: F, shutdown: CancellationToken)
    where
        F: FnMut(PostgresLedger, Opened) -> C,
        C: Future<Output = ()>,
    {
        let every = self.config.borrow().lease / LOOKS_A_LEASE;
        let mut waiting = Vec::new();
        while !shutdown.is_cancelled() {
            if self.config.has_changed().is_ok_and(|has_changed| has_changed) {
                self.follower.reconfigure(&self.config.borrow_and_update().policy);
            }
            Box::pin(self.read(std::mem::take(&mut waiting))).await;
            if self.follower.is_free()
                && !shutdown.is_cancelled()
                && let Some((ledger, opened)) = Box::pin(self.ask()).await
            {
                count(ledger, opened).await;
                self.currency.lost();
                self.follower.forget(self.currency.sequence());
                // Another one may be in a better position.
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(every) => {}
                reply = self.reads.recv() => waiting.extend(reply),
            }
            self.take_waiting(&mut waiting);
        }
        let answering = async {
            loop {
                if waiting.is_empty() {
                    let Some(reply) = self.reads.recv().await else { break };
                    waiting.push(reply);
                }
                self.take_waiting(&mut waiting);
                Box::pin(self.read(std::mem::take(&mut waiting))).await;
            }
        };
        // A database that does not answer must not hold up the end.
        let _ = tokio::time::timeout(LAST_ANSWERS, answering).await;
    }

    /// Those who wait for a read besides.
    fn take_waiting(&mut self, waiting: &mut Vec<Reply>) {
        while let Ok(reply) = self.reads.try_recv() {
            waiting.push(reply);
        }
    }

    /// Reads what is new; before that, makes the tables if it could not be done at the start.
    async fn look(&mut self, accepts_loss: bool) -> Result<Found, PostgresError> {
        if !self.is_prepared {
            prepare(&self.database).await?;
            self.is_prepared = true;
        }
        self.follower.read(accepts_loss).await
    }

    /// Reads what is new, shows it, and answers those who waited for that.
    async fn read(&mut self, waiting: Vec<Reply>) {
        let accepts_loss = self.lost_since.is_some_and(|since| uptime().saturating_sub(since) >= LONGEST);
        let began = uptime();
        let read = self.look(accepts_loss).await;
        let answer = match read {
            Ok(mut found) => {
                self.lost_since = None;
                let standing = Standing {
                    holder: std::mem::take(&mut found.holder),
                    sequence: self.follower.sequence().unwrap_or_default(),
                };
                self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&standing);
                self.look_at_timeline(std::mem::take(&mut found.timeline)).await;
                let committed = std::mem::take(&mut found.committed);
                if committed.has_lost {
                    tracing::warn!(
                        "the database has lost commits that this replica had shown; everything was read again"
                    );
                }
                let is_news = committed.has_lost || !committed.series.is_empty() || !committed.released.is_empty();
                if is_news || std::mem::take(&mut self.is_failing) {
                    (self.news)(Ok(committed));
                }
                (self.on_read)(Ok(Look {
                    standing,
                    is_published: found.is_published,
                    took: uptime().saturating_sub(began),
                    since: found.since,
                    shown: found.shown.take(),
                    shown_age: found.shown_age,
                }));
                self.has_reported = false;
                Ok(())
            }
            Err(error) => {
                if matches!(error, PostgresError::Lost { .. }) && self.lost_since.is_none() {
                    self.lost_since = Some(uptime());
                    self.put_again().await;
                }
                if matches!(error, PostgresError::Unsettled { .. }) && !self.has_reported {
                    self.has_reported = self.report().await;
                }
                let error = LedgerError::from(error);
                self.is_failing = true;
                (self.news)(Err(&error));
                (self.on_read)(Err(&error));
                Err(NotCurrent(Arc::new(error)))
            }
        };
        for reply in waiting {
            // Whoever went does not need the answer.
            let _ = reply.send(answer.clone());
        }
    }

    /// Says to whoever counts what this replica had seen, so that it can be known what the database lacks. Whether that is done.
    async fn report(&mut self) -> bool {
        if !self.put_again().await {
            return false;
        }
        let report = settlement::report(&self.database, &self.name, self.follower.newest()).await;
        if let Err(error) = &report {
            tracing::debug!(%error, "what this replica had seen could not be said");
        }
        report.is_ok()
    }

    /// A standby that was promoted may lack what was acknowledged lately.
    async fn look_at_timeline(&mut self, timeline: String) {
        if self.timeline.as_ref().is_some_and(|known| *known != timeline) {
            tracing::warn!(timeline, "another server is the primary");
            // It is tried again with the next look.
            if !self.put_again().await {
                return;
            }
        }
        self.timeline = Some(timeline);
    }

    /// Puts the latest deliveries into the inbox again. Whether that is done.
    async fn put_again(&mut self) -> bool {
        let put = self.inbox.put_again().await;
        // It is tried again with each look, and said once.
        let was_failing = std::mem::replace(&mut self.is_put_failing, put.is_err());
        if let (false, Err(error)) = (was_failing, &put) {
            tracing::warn!(%error, "the latest deliveries could not be put into the inbox again");
        }
        put.is_ok()
    }

    /// Asks for the right to count.
    async fn ask(&mut self) -> Option<(PostgresLedger, Opened)> {
        let lease = self.config.borrow().lease;
        // An old primary that answers still would give it as well.
        self.database.find_primary().await;
        let asked = lease_row::ask(&self.database, &self.name, lease).await;
        let (epoch, sent) = match asked {
            Ok(Asked::Granted { epoch, sent }) => (epoch, sent),
            Ok(Asked::HeldBy { holder }) => {
                tracing::debug!(holder, "another replica was first to count");
                return None;
            }
            Err(error) => {
                tracing::debug!(%error, "the lease could not be asked for");
                return None;
            }
        };
        let observer = Arc::clone(&self.commits);
        let observer: Observer = Box::new(move |result| {
            (observer.lock().unwrap_or_else(PoisonError::into_inner))(result);
        });
        let (config, shared) = (self.config.clone(), (Arc::clone(&self.currency), self.inbox.clone()));
        match PostgresLedger::open(&self.database, (epoch, sent), config, shared, observer).await {
            Ok((ledger, opened)) => {
                self.cannot_count = false;
                self.standing.lock().unwrap_or_else(PoisonError::into_inner).holder = self.name.to_string();
                Some((ledger, opened))
            }
            Err(error) => {
                if std::mem::replace(&mut self.cannot_count, true) {
                    tracing::debug!(%error, "this replica still cannot count");
                } else {
                    tracing::warn!(%error, "this replica may count, but cannot");
                }
                None
            }
        }
    }
}

/// Makes or upgrades the tables, unless they are not to be used any more.
async fn prepare(database: &Database) -> Result<(), PostgresError> {
    schema::prepare(database).await?;
    upkeep::refuse_moved(database).await
}
