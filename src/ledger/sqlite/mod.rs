//! The ledger on SQLite: one connection on one writer thread, which commits whatever has gathered while the last
//! commit was being synced.
//!
//! It loads rows for the [policy](super::policy), writes rows that the policy gives, and knows of neither why. What lives
//! here is the file: its tables, its checksums, its place on the disk, and what an operator does to it ([`upkeep`]).

mod backup;
mod begin;
mod checksums;
mod contacts;
mod counted;
mod header;
mod in_place;
mod leases;
mod mark;
mod meta;
mod migration;
pub mod neighbours;
mod new_ids;
mod pages;
mod partitions;
mod pending;
mod rows;
mod schema;
mod series;
mod sharing;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod totals;
pub mod upkeep;
mod wal;
mod writer;

use std::sync::{Arc, PoisonError, mpsc};
use std::thread;

pub use store::LedgerConfig;
use store::Store;
use writer::{Reloaded, Serving, Writer};

use super::queue::Queue;
use super::{Change, Commit, Ledger, LedgerError, Observer, Opened, hold};

/// A ledger in an SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    queue: Arc<Queue>,
    reloaded: Arc<Reloaded>,
    writer: Option<thread::JoinHandle<()>>,
}

impl SqliteLedger {
    /// Opens the ledger, reads what it holds, and starts its writer.
    ///
    /// # Errors
    /// If the file is locked, newer, damaged or foreign, or its directory cannot be used. Nothing is changed then.
    pub fn open(config: LedgerConfig, observer: Observer) -> Result<(Self, Opened), LedgerError> {
        let store = Store::open(config)?;
        let opened = store.contents()?;
        opened.windows.read(hold::stored(&opened.series));
        let windows = opened.windows.clone();
        let (queue, reloaded) = (Arc::<Queue>::default(), Arc::<Reloaded>::default());
        let unusable = |e: std::io::Error| LedgerError::Directory {
            path: store.path().into(),
            detail: format!("no thread for the writer: {e}"),
        };
        let builder = thread::Builder::new().name("ledger".into());
        let config = store.config().clone();
        // The store is handed over through the queue's side, so that a failed spawn leaves it to be closed here.
        let (hand_over, handed) = mpsc::channel::<Store>();
        let serving = Serving { queue: Arc::clone(&queue), reloaded: Arc::clone(&reloaded) };
        let writer = builder
            .spawn(move || {
                if let Ok(store) = handed.recv() {
                    Writer::new(store, config, observer, windows).run(&serving);
                }
            })
            .map_err(unusable)?;
        hand_over.send(store).map_err(|_| LedgerError::Closed)?;
        Ok((Self { queue, reloaded, writer: Some(writer) }, opened))
    }

    /// Changes that wait for the writer.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Takes a reloaded configuration into effect, but for the directory and the buckets, which need a restart.
    pub fn reconfigure(&self, config: LedgerConfig) {
        *self.reloaded.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(config));
    }
}

impl Ledger for SqliteLedger {
    fn commit(&self, changes: Vec<Change>) -> Commit {
        Box::pin(self.queue.add(changes))
    }
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}
