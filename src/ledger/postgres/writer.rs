//! The thread of the replica that counts: it commits what waits, keeps the lease, and ends when the lease is gone.
//!
//! While it works, the lease is certain. When it is not, because the database has not confirmed it in time or has given it to
//! another replica, nothing more is done: whoever waits for a commit gets an error, and the replica begins again by asking for
//! the lease. It reads everything anew then, which says what has become durable.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connect::Database;
use super::currency::Currency;
use super::error::PostgresError;
use super::inbox::Inbox;
use super::kept::Kept;
use super::lease::{Step, Term, Uptime, uptime};
use super::lease_row;
use super::settlement::{Settlement, Verdict};
use super::store::{Store, StoreConfig};
use crate::ledger::hold::InitialZeroWindows;
use crate::ledger::queue::{Queue, Taken, commit_all};
use crate::ledger::{Change, CommitOutcome, Committed, LedgerError, Observer, hold};

/// Changes that one transaction takes at most; the rest waits for the next.
const MAX_BATCH: usize = 2048;
/// How long nothing was asked for before something is tidied up.
const IDLE: Duration = Duration::from_millis(20);
/// How long to wait after the database has failed before it is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// The writer's side of the queue. When the writer ends, even by a panic, every waiting caller gets an error, and whoever
/// counts is told to stop.
pub(super) struct Serving {
    pub(super) queue: Arc<Queue>,
    /// What is reloaded takes effect with the next commit.
    pub(super) configs: watch::Receiver<StoreConfig>,
    pub(super) lost: CancellationToken,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.queue.abandon();
        self.lost.cancel();
    }
}

/// Applies what waits in the queue, batch after batch.
pub(super) struct Writer {
    pub(super) database: Database,
    pub(super) runtime: Handle,
    /// `None` after a failure, until everything could be read again.
    pub(super) store: Option<Store>,
    pub(super) epoch: i64,
    pub(super) term: Term,
    pub(super) config: StoreConfig,
    pub(super) currency: Arc<Currency>,
    pub(super) observer: Observer,
    pub(super) windows: InitialZeroWindows,
    /// What was read again after a failure. It is shown with the next success, as the changes of that commit are.
    pub(super) reread: Option<Committed>,
    /// What is to be done before anything is shown, after another server has become the primary while this replica did not count.
    pub(super) settlement: Option<Settlement>,
    /// The changes of a commit of which it is not known whether it is durable. Others may have shown it.
    pub(super) attempted: Option<Vec<Change>>,
    /// The last commit has failed. That the lease can be renewed does not mend it: a table may be missing, or the disk full.
    pub(super) has_failed: bool,
    /// Where goes what was committed if another replica counts before it is known to be there still.
    pub(super) inbox: Inbox,
    pub(super) kept: Kept<Change>,
}

impl Writer {
    /// Works until the queue is closed and empty, or the lease is gone.
    pub(super) fn run(mut self, mut serving: Serving) {
        let runtime = self.runtime.clone();
        while self.is_certain() {
            runtime.block_on(Box::pin(self.settle_if_due()));
            let wait = match self.term.step(uptime()) {
                Step::Wait(wait) => wait,
                Step::Acquire | Step::Renew => {
                    runtime.block_on(Box::pin(self.renew()));
                    continue;
                }
            };
            let wait = self.settlement.as_ref().map_or(wait, |settlement| wait.min(settlement.wait()));
            let is_tidy = self.store.as_ref().is_none_or(|store| !store.has_forgotten());
            match serving.queue.take(MAX_BATCH, if is_tidy { wait } else { wait.min(IDLE) }) {
                Taken::Nothing if is_tidy => {}
                Taken::Nothing => runtime.block_on(self.tidy_up()),
                Taken::Batches(batches) => {
                    if serving.configs.has_changed().is_ok_and(|has_changed| has_changed) {
                        let config = serving.configs.borrow_and_update().clone();
                        self.reconfigure(&config);
                    }
                    commit_all(batches, |changes| runtime.block_on(self.commit(changes)));
                    runtime.block_on(self.fold_if_due());
                }
                Taken::Closed => {
                    runtime.block_on(self.give_up());
                    return;
                }
            }
        }
        self.currency.lost();
        // Another replica counts, perhaps in a database that has lost what was committed here lately.
        self.inbox.keep(&self.kept.all());
        self.inbox.keep(&self.attempted.unwrap_or_default());
        tracing::warn!("this replica counts no more: the database did not confirm that it may");
    }

    fn is_certain(&self) -> bool {
        self.term.is_certain(uptime())
    }

    fn reconfigure(&mut self, config: &StoreConfig) {
        if let Some(store) = &mut self.store {
            store.reconfigure(config);
        }
        self.config.policy.reload(&config.policy);
    }

    async fn commit(&mut self, changes: &[Change]) -> Result<Vec<CommitOutcome>, Arc<LedgerError>> {
        // Other replicas may show the commit as soon as it is durable: whoever asks here meanwhile waits for its end.
        let currency = Arc::clone(&self.currency);
        let _under_way = currency.commit_under_way().await;
        let done = match self.ready().await.map(drop) {
            Ok(()) => self.attempt(changes).await,
            Err(error) => Err(error),
        };
        match done {
            Ok((outcomes, committed)) => {
                self.has_failed = false;
                self.confirmed();
                self.show(committed);
                Ok(outcomes)
            }
            Err(error) => {
                self.has_failed = true;
                Err(self.failed(error).await)
            }
        }
    }

    async fn attempt(&mut self, changes: &[Change]) -> Result<(Vec<CommitOutcome>, Committed), PostgresError> {
        let Some(store) = &mut self.store else { return Err(PostgresError::Superseded) };
        self.attempted = Some(changes.to_vec());
        let done = store.commit(changes).await?;
        self.kept.push(store.sequence(), self.attempted.take().unwrap_or_default(), uptime());
        Ok(done)
    }

    /// Gives what is durable to whoever shows it, and then begins and ends windows by it.
    fn show(&mut self, mut committed: Committed) {
        let reread = self.reread.take();
        let stored = reread.as_ref().map(|reread| hold::stored(&reread.series));
        let zero_initialized = std::mem::take(&mut committed.zero_initialized);
        let released = committed.released.clone();
        let mut shown = reread.unwrap_or_default();
        shown.absorb(committed);
        if self.settlement.is_some() {
            // All of it is shown at the end.
            (shown.series, shown.released) = (Vec::new(), Vec::new());
        }
        (self.observer)(Ok(shown));
        if let Some(stored) = stored {
            self.windows.read(stored);
        }
        self.windows.committed(zero_initialized, &released);
    }

    async fn renew(&mut self) {
        let done = match self.ready().await {
            Ok(store) => store.renew().await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {
                // Before the page is taken for current again.
                if self.reread.is_some() {
                    self.show(Committed { is_read_only: self.has_failed, ..Committed::default() });
                }
                self.confirmed();
            }
            Err(error) => drop(self.failed(error).await),
        }
    }

    async fn fold_if_due(&mut self) {
        if let Some(store) = self.store.as_mut().filter(|store| store.is_to_be_folded()) {
            match store.fold().await {
                Ok(()) => self.confirmed(),
                Err(error) => drop(self.failed(error).await),
            }
        }
    }

    async fn tidy_up(&mut self) {
        if let Some(store) = &mut self.store
            && let Err(error) = store.delete_forgotten().await
        {
            self.failed(error).await;
        }
    }

    fn confirmed(&mut self) {
        if let Some(sent) = self.store.as_ref().and_then(Store::extended) {
            self.term.confirmed(sent);
            if self.settlement.is_none() {
                self.currency.certain_until(self.term.certain_until());
            }
        }
        if let Some(store) = &self.store {
            self.currency.counted(store.sequence());
        }
    }

    /// What a failure left behind is not known; the database says it, when it is read again. Until then the page is not current:
    /// a commit that seems to have failed may be durable, and others show it.
    async fn failed(&mut self, error: PostgresError) -> Arc<LedgerError> {
        self.store = None;
        self.currency.lost();
        if error == PostgresError::Superseded {
            self.term.refused(uptime());
        } else {
            self.term.failed(uptime());
            tokio::time::sleep(PAUSE).await;
        }
        let is_superseded = error == PostgresError::Superseded;
        let error = LedgerError::from(error);
        // That another replica counts is no failure of the state.
        if !is_superseded {
            (self.observer)(Err(&error));
        }
        Arc::new(error)
    }

    /// The store; read again if something has failed.
    async fn ready(&mut self) -> Result<&mut Store, PostgresError> {
        if let Some(store) = self.store.take() {
            return Ok(self.store.insert(store));
        }
        let opening = Box::pin(Store::open(&self.database, self.epoch, self.config.clone()));
        // Until the first extension the lease is as certain as it was.
        let unextended = (self.epoch, Uptime::ZERO);
        let lease = self.config.lease;
        let (opened, sent) = lease_row::extended_during(&self.database, unextended, lease, opening).await;
        self.term.confirmed(sent);
        let (mut store, _) = opened?;
        let has_lost = store.sequence() < self.currency.sequence();
        let (replayed, is_all) = self.commit_again(&mut store).await?;
        // A settlement that was committed, without an answer, is one that is to be shown.
        let is_settled = store.is_settled() && self.settlement.take().is_some();
        if self.settlement.is_none() {
            store.settle();
        }
        let replaces = is_settled || !is_all;
        let series = store.series();
        self.reread = Some(Committed { series, replayed, replaces, has_lost, ..Committed::default() });
        Ok(self.store.insert(store))
    }

    /// Commits again what was acknowledged and is not there any more: how many commits, and whether these are all.
    async fn commit_again(&mut self, store: &mut Store) -> Result<(u64, bool), PostgresError> {
        let (mut last, found) = (self.currency.sequence(), store.sequence());
        // A commit that has failed may have been durable, and others have shown it. On the same timeline it would be there.
        let attempted = self.attempted.clone().filter(|_| !store.is_settled() && found <= last);
        last += i64::from(attempted.is_some());
        if found >= last {
            return Ok((0, true));
        }
        let (mut commits, is_all) = self.kept.after(found);
        commits.extend(attempted);
        tracing::warn!(
            found,
            committed = last,
            again = commits.len(),
            is_all,
            "the database has lost commits that it had acknowledged; they are committed again"
        );
        let replayed = commits.len() as u64;
        for changes in commits {
            store.commit(&changes).await?;
        }
        // What was read by others has the numbers that were lost.
        while store.sequence() < last {
            store.commit(&[]).await?;
        }
        Ok((replayed, is_all))
    }

    /// Looks whether everything that was shown before is there, if that is not known, and then shows what is there.
    async fn settle_if_due(&mut self) {
        if !self.settlement.as_ref().is_some_and(|settlement| settlement.wait().is_zero()) {
            return;
        }
        match self.settle().await {
            Ok(Some(committed)) => {
                (self.settlement, self.reread) = (None, None);
                self.show(committed);
                self.confirmed();
            }
            Ok(None) => {}
            Err(error) => drop(self.failed(error).await),
        }
    }

    /// What is to be shown, once it is known what is there.
    async fn settle(&mut self) -> Result<Option<Committed>, PostgresError> {
        self.ready().await?;
        let (Some(store), Some(settlement)) = (&mut self.store, &mut self.settlement) else { return Ok(None) };
        let Some(verdict) = settlement.look(store.connection()).await? else { return Ok(None) };
        match verdict {
            Verdict::Whole => tracing::info!("the database has everything that any replica has seen of it"),
            Verdict::Lost(commits) => tracing::error!(
                commits,
                "the database has lost commits that were acknowledged; what the replicas knew of them was counted again"
            ),
            Verdict::Unknown => tracing::error!(
                "another server has become the primary, and a replica that could say whether it lacks commits is gone; the last \
                 commits before may be lost, and nobody knows how many"
            ),
        }
        store.settle();
        let mut committed = Committed::default();
        if verdict == Verdict::Whole {
            store.renew().await?;
        } else {
            let held = hold::stored(&store.series());
            let released = settlement.released(store.connection(), held, self.config.policy.hold).await?;
            committed = store.commit(&[Change::Release(released.into())]).await?.1;
        }
        (committed.series, committed.replaces, committed.has_lost) = (store.series(), true, verdict != Verdict::Whole);
        Ok(Some(committed))
    }

    /// Lets another replica count at once.
    async fn give_up(mut self) {
        self.currency.lost();
        let Some(store) = self.store.take() else { return };
        if let Err(error) = store.release().await {
            tracing::warn!(%error, "the lease could not be given up, and runs out by itself");
        }
    }
}
