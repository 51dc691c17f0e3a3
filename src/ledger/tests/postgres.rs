//! A ledger in a schema of a real PostgreSQL.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agntix_api::install_crypto_provider;
use test_postgres::Server;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Backend;
use crate::config::Config;
use crate::ledger::policy::PolicyConfig;
use crate::ledger::postgres::{Database, Inbox, Observers, PostgresLedger, Replica, StoreConfig};
use crate::ledger::{Change, CommitOutcome, Committed, Ledger as _, LedgerError, Opened};
use crate::tasks::Tasks;

thread_local! {
    /// A server lives no longer than the thread that started it.
    static SERVER: Server = Server::start();
    static SCHEMAS: Cell<u32> = const { Cell::new(0) };
}

/// A replica that is alone.
pub(super) struct Postgres {
    config: Config,
    database: Database,
    ledger: Option<PostgresLedger>,
    overflow: Arc<Mutex<Vec<Box<str>>>>,
    runtime: tokio::runtime::Runtime,
}

/// A schema of its own, on a server that the tests of a thread share.
pub(in crate::ledger) fn new_schema() -> Database {
    install_crypto_provider();
    let schema = SCHEMAS.replace(SCHEMAS.get() + 1);
    SERVER.with(|server| Database::new(&server.url(), None, &format!("ledger {schema}"), Tasks::new().0).unwrap())
}

impl Postgres {
    /// What counts in that schema from now on, and what it found there.
    pub(super) fn at(config: Config, database: Database) -> (Self, Opened) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut begun = Self { config, database, ledger: None, overflow: Arc::default(), runtime };
        let opened = begun.open();
        (begun, opened)
    }

    fn open(&mut self) -> Opened {
        let overflow = Arc::clone(&self.overflow);
        let commits = Box::new(move |result: Result<Committed, &LedgerError>| {
            overflow.lock().unwrap().extend(result.unwrap().overflow);
        });
        // What is learned of the agents must come from the database.
        let config = StoreConfig { lease: Duration::from_secs(60), policy: PolicyConfig::from(&self.config) };
        let inbox = Inbox::new(self.database.clone(), &config.policy);
        let observers = Observers { commits, news: Box::new(|_| ()), looks: Box::new(|_| ()) };
        let start = Replica::start(self.database.clone(), "a test", config, inbox, observers);
        let (replica, _) = self.runtime.block_on(start).unwrap();
        let (counting, mut counts) = mpsc::channel(1);
        let count = move |ledger, opened| {
            let counting = counting.clone();
            async move {
                assert!(counting.send((ledger, opened)).await.is_ok());
                std::future::pending::<()>().await;
            }
        };
        // It stops following when there is a ledger, which this test drops.
        let run = replica.run(count, CancellationToken::new());
        let counts = self.runtime.block_on(async {
            tokio::select! {
                counts = counts.recv() => counts,
                () = run => None,
            }
        });
        let (ledger, mut opened) = counts.unwrap();
        self.ledger = Some(ledger);
        opened.pending.sort_by(|a, b| a.id.cmp(&b.id));
        opened
    }
}

impl Backend for Postgres {
    fn begin(config: Config) -> Self {
        Self::at(config, new_schema()).0
    }

    fn commit(&mut self, changes: Vec<Change>) -> Vec<CommitOutcome> {
        self.runtime.block_on(self.ledger.as_ref().unwrap().commit(changes)).unwrap()
    }

    fn reopen(&mut self) -> Opened {
        self.ledger = None;
        self.open()
    }

    fn take_overflow(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut *self.overflow.lock().unwrap())
    }
}
