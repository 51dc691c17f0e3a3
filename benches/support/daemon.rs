//! The parts of the daemon between the API and the pages, in this process.

use std::sync::Arc;

use agntix_api::Client;
use agntix_exporter::catalogue::ExporterMetrics;
use agntix_exporter::config::Config;
use agntix_exporter::ledger::sqlite::{LedgerConfig, SqliteLedger};
use agntix_exporter::ledger::{Committed, Ledger, LedgerError};
use agntix_exporter::poller::{Inbox, Poller};
use agntix_exporter::status::Status;
use agntix_exporter::supervisor::Pulse;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The parts of the daemon between the API and the pages, put together as `App` does.
pub struct Daemon {
    pub own: ExporterMetrics,
    pub status: Arc<Status>,
    stop: CancellationToken,
    polling: tokio::task::JoinHandle<Result<(), agntix_exporter::poller::PollerError>>,
}

impl Daemon {
    /// Starts it with a new ledger in `state.path`, which `through` may put something in front of.
    pub fn start(
        config: &Config,
        client: Client,
        runtime: &Runtime,
        through: impl FnOnce(Arc<dyn Ledger>) -> Arc<dyn Ledger>,
    ) -> Self {
        let ledger_config = LedgerConfig::from(config);
        let own = ExporterMetrics::new().unwrap();
        let exposition = own.exposition(Arc::clone(&ledger_config.policy.bucket_schemas));
        let exposition = Arc::new(exposition);
        let status = Arc::new(Status::default());
        let (shown, commits) = (Arc::clone(&exposition), own.state_commits.clone());
        let observer = move |committed: Result<Committed, &LedgerError>| {
            let committed = committed.unwrap();
            commits.with_label_values(&["success"]).inc();
            shown.apply(&committed.series, committed.exemplars);
            for released in &committed.released {
                shown.release(released);
            }
        };
        let (ledger, opened) = SqliteLedger::open(ledger_config, Box::new(observer)).unwrap();
        let (_, watched) = mpsc::channel(1);
        let (_, news) = mpsc::channel(1);
        let (_, reconfigure) = mpsc::channel(1);
        let poller = Poller::new(
            config,
            client,
            through(Arc::new(ledger)),
            &opened,
            exposition,
            own.clone(),
            Arc::clone(&status),
            Arc::new(agntix_exporter::clock::SystemClock),
            Arc::default(),
            Inbox { watched, news, reconfigure },
        );
        let stop = CancellationToken::new();
        Self { own, status, polling: runtime.spawn(poller.run(Pulse::default(), stop.clone())), stop }
    }

    pub fn stop(self, runtime: &Runtime) {
        self.stop.cancel();
        runtime.block_on(self.polling).unwrap().unwrap();
    }
}

pub fn threads(name: &str) -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build().unwrap()
}
