//! Ledgers in this process, so that nothing but they is measured; and ledgers with many series.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agntix_exporter::catalogue::{ExporterMetrics, Exposition, SeriesKey, buckets};
use agntix_exporter::ledger::policy::PolicyConfig;
use agntix_exporter::ledger::postgres::{Database, Inbox, Observers, PageReader, PostgresLedger, Replica, StoreConfig};
use agntix_exporter::ledger::sqlite::{LedgerConfig, SqliteLedger};
use agntix_exporter::ledger::{Change, Committed, Ledger, LedgerError, Observer, Opened};
use agntix_exporter::tasks::Tasks;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::sessions;

/// Changes that are committed at once where it does not matter.
const AT_ONCE: usize = 1_024;

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// A replica, with the page that it shows.
pub struct Running {
    pub reader: PageReader,
    pub exposition: Arc<Exposition>,
    keys: Arc<Mutex<Vec<SeriesKey>>>,
    ledger: watch::Receiver<Option<Arc<PostgresLedger>>>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// Starts a replica in that schema.
pub async fn start(url: &str, name: &str, schema: &str) -> Running {
    let config = sessions::config();
    let exposition = exposition();
    let keys = Arc::<Mutex<Vec<SeriesKey>>>::default();
    let store = StoreConfig { lease: Duration::from_secs(10), policy: PolicyConfig::from(&config) };
    let database = Database::new(url, None, schema, Tasks::new().0).unwrap();
    let inbox = Inbox::new(database.clone(), &store.policy);
    let (commits, news) = (observer(&exposition, &keys), observer(&exposition, &keys));
    let observers = Observers { commits, news, looks: Box::new(|_| ()) };
    let started = Replica::start(database, name, store, inbox, observers).await;
    let (replica, reader) = started.unwrap();
    let (counting, ledger) = watch::channel(None);
    let (shutdown, shown) = (CancellationToken::new(), Arc::clone(&exposition));
    let stop = shutdown.clone();
    let count = move |ledger: PostgresLedger, opened: Opened| {
        shown.apply(&opened.series, Vec::new());
        let (counting, stop, ledger) = (counting.clone(), stop.clone(), Arc::new(ledger));
        async move {
            counting.send_replace(Some(Arc::clone(&ledger)));
            tokio::select! {
                () = stop.cancelled() => {}
                () = ledger.lost().cancelled() => {}
            }
            counting.send_replace(None);
            tokio::task::spawn_blocking(move || drop(ledger)).await.unwrap();
        }
    };
    let task = tokio::spawn(replica.run(count, shutdown.clone()));
    Running { reader, exposition, keys, ledger, shutdown, task }
}

fn exposition() -> Arc<Exposition> {
    let schemas = Arc::new(buckets::schemas(&sessions::config().metrics));
    let exposition = Exposition::new(schemas, ExporterMetrics::new().unwrap().registry);
    exposition.publish();
    Arc::new(exposition)
}

/// Shows what is committed, as the daemon does, and notes what began.
fn observer(exposition: &Arc<Exposition>, keys: &Arc<Mutex<Vec<SeriesKey>>>) -> Observer {
    let (exposition, keys) = (Arc::clone(exposition), Arc::clone(keys));
    Box::new(move |result: Result<Committed, &LedgerError>| {
        let Ok(committed) = result else { return };
        let held = committed.series.iter().filter(|state| state.held_counts.is_some());
        keys.lock().unwrap().extend(held.map(|state| state.key.clone()));
        exposition.apply(&committed.series, committed.exemplars);
    })
}

impl Running {
    /// The ledger, when it counts.
    pub async fn counts(&self) -> Arc<PostgresLedger> {
        let mut ledger = self.ledger.clone();
        Arc::clone(ledger.wait_for(Option::is_some).await.unwrap().as_ref().unwrap())
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

/// Fills a schema with so many series, as a daemon would that has run for a while.
pub fn fill_postgres(url: &str, schema: &str, series: u64) {
    runtime().block_on(async {
        let running = start(url, "seed", schema).await;
        let ledger = running.counts().await;
        fill(&*ledger, series, &running.keys).await;
        drop(ledger);
        running.stop().await;
    });
}

/// The same in a directory.
pub fn fill_sqlite(directory: &Path, series: u64) {
    let mut config = sessions::config();
    config.state.path = directory.into();
    let keys = Arc::<Mutex<Vec<SeriesKey>>>::default();
    let observer = observer(&exposition(), &keys);
    let (ledger, _) = SqliteLedger::open(LedgerConfig::from(&config), observer).unwrap();
    runtime().block_on(fill(&ledger, series, &keys));
}

async fn fill(ledger: &dyn Ledger, series: u64, keys: &Mutex<Vec<SeriesKey>>) {
    ledger.commit(vec![Change::FirstStart(sessions::first_start())]).await.unwrap();
    for first in (0..series).step_by(AT_ONCE) {
        let last = (first + AT_ONCE as u64).min(series);
        ledger.commit((first..last).map(sessions::new_series).collect()).await.unwrap();
    }
    let keys = std::mem::take(&mut *keys.lock().unwrap());
    for some in keys.chunks(AT_ONCE) {
        ledger.commit(vec![Change::Release(some.into())]).await.unwrap();
    }
    ledger.commit(vec![Change::LookBackDone, Change::OpenListed]).await.unwrap();
}
