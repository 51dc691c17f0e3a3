//! The ledger on PostgreSQL, which any number of replicas share: one of them counts, all of them show what is counted.
//!
//! It loads rows for the [policy](super::policy) and writes those that the policy gives, as [`sqlite`](super::sqlite) does. What
//! lives here besides: who may count (`lease`), how the others learn of it (`news`), and whether a page is current
//! (`currency`).
//!
//! Nothing relies on what a connection remembers but within a transaction, so that poolers may be in between, and only plain SQL
//! is spoken: no advisory locks, no triggers, no extensions.

mod census;
mod connect;
mod currency;
mod durability;
mod error;
mod fault;
mod follower;
mod gauges;
mod inbox;
mod kept;
mod lease;
mod lease_row;
mod news;
mod primary;
mod replica;
mod rows;
mod schema;
mod settlement;
mod snapshot;
mod statements;
mod store;
mod survey;
mod tables;
#[cfg(test)]
mod tests;
mod tls;
mod totals;
pub mod upkeep;
mod writer;

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(super) use census::THERE;
pub use census::{Census, Whole, this_process};
pub use connect::{Database, MOST_CONNECTIONS};
use currency::Currency;
pub use durability::{Danger, Durability};
pub use error::PostgresError;
pub use fault::{Fault, ServerFault};
pub use gauges::{GaugeBoard, Gauges, Shown};
pub use inbox::{DeliveryId, DeliveryLedger, Inbox, Waiting};
pub(in crate::ledger) use inbox::{Names, decode, encode};
use kept::Kept;
use lease::{Term, Uptime};
pub use replica::{Look, NotCurrent, Observers, PageReader, Replica, Standing};
use store::Store;
pub use store::StoreConfig;
pub use survey::{Facts, Shared, Survey, Tables};
use writer::{Serving, Writer};

use super::queue::Queue;
use super::{Change, Commit, Ledger, LedgerError, Observer, Opened, hold};

/// How long the last commit and giving up the lease may take; a daemon ends within 5 s.
const PATIENCE: Duration = Duration::from_secs(4);

/// The ledger of the replica that counts.
#[derive(Debug)]
pub struct PostgresLedger {
    queue: Arc<Queue>,
    lost: CancellationToken,
    gauges: GaugeBoard,
    is_settled: bool,
    /// Told when the writer has ended.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl PostgresLedger {
    /// Reads everything, and starts the writer. `epoch` is that of the lease, which was asked for at `sent`.
    async fn open(
        database: &Database,
        (epoch, sent): (i64, Uptime),
        mut configs: watch::Receiver<StoreConfig>,
        (currency, inbox): (Arc<Currency>, Inbox),
        observer: Observer,
    ) -> Result<(Self, Opened), LedgerError> {
        let config = configs.borrow_and_update().clone();
        let opening = Box::pin(Store::open(database, epoch, config.clone()));
        let (opened, sent) = lease_row::extended_during(database, (epoch, sent), config.lease, opening).await;
        let (store, opened) = opened?;
        opened.windows.read(hold::stored(&opened.series));
        let mut term = Term::new(config.lease);
        term.confirmed(sent);
        if let Some(sent) = store.extended() {
            term.confirmed(sent);
        }
        let settlement = store.settlement();
        currency.counts_from(store.sequence());
        if settlement.is_none() {
            currency.certain_until(term.certain_until());
        }
        let is_settled = settlement.is_none();
        let (queue, lost) = (Arc::<Queue>::default(), CancellationToken::new());
        let serving = Serving { queue: Arc::clone(&queue), configs, lost: lost.clone() };
        let writer = Writer {
            database: database.clone(),
            runtime: Handle::current(),
            store: Some(store),
            epoch,
            term,
            config,
            currency,
            observer,
            windows: opened.windows.clone(),
            reread: None,
            settlement,
            attempted: None,
            has_failed: false,
            inbox,
            kept: Kept::default(),
        };
        let builder = thread::Builder::new().name("ledger".into());
        let (end, ended) = mpsc::channel();
        let spawned = builder.spawn(move || {
            // Dropped when the writer ends, even by a panic.
            let _end = end;
            writer.run(serving);
        });
        spawned.map_err(|error| PostgresError::Unreachable {
            database: database.name().into(),
            detail: format!("no thread for the writer: {error}"),
        })?;
        let gauges = GaugeBoard { database: database.clone(), epoch };
        Ok((Self { queue, lost, gauges, is_settled, ended: Mutex::new(ended) }, opened))
    }

    /// Where the other replicas find the gauges of this one.
    pub fn gauges(&self) -> &GaugeBoard {
        &self.gauges
    }

    /// Whether what it was opened with can be shown at once. Else another server has become the primary, and all of it is shown
    /// when it is settled what was lost.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Is cancelled when this replica counts no more.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}

impl Ledger for PostgresLedger {
    fn commit(&self, changes: Vec<Change>) -> Commit {
        Box::pin(self.queue.add(changes))
    }
}

impl Drop for PostgresLedger {
    /// Commits what waits, and gives the lease up. It waits for that, so that it must not be dropped on a thread of the runtime.
    fn drop(&mut self) {
        self.queue.close();
        // The writer cannot end where the runtime has ended before it, and the lease runs out by itself then.
        let _ = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(PATIENCE);
    }
}
