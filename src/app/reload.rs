//! Reloading the configuration while the daemon runs, as one transaction: everything that can fail happens first (the
//! configuration, the credential and the web configuration files are read on threads that may wait for their disk), and
//! only then do the parts take over what is new. If anything fails, the old configuration stays in effect.

use std::path::PathBuf;
use std::sync::Arc;

use agntix_api::Client;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::shared::{Current, store_config};
use crate::api;
use crate::catalogue::{self, ExporterMetrics, Exposition};
use crate::clock::Clock;
use crate::config::{Config, Loaded, restart_only_changes};
use crate::discovery::Watched;
use crate::discovery::files::{self, Lists};
use crate::discovery::webhook::Deliveries;
use crate::ledger::postgres::PageReader;
use crate::ledger::sqlite::{LedgerConfig, SqliteLedger};
use crate::lifecycle::ReloadRequest;
use crate::observation::ObservationConfig;
use crate::poller::Reconfigure;
use crate::supervisor::Reloading;
use crate::tasks::Tasks;
use crate::telemetry::LogLevel;
use crate::web::Guards;

/// Reads the configuration again, from where it was read at the start; the error is a sentence. It may block.
pub type Reloader = Arc<dyn Fn() -> Result<Loaded, String> + Send + Sync>;

/// The watcher of `sessions.files`; a reload replaces it.
pub(super) struct IdFiles {
    /// What has been read of the files, kept over a reload.
    lists: Arc<Mutex<Lists>>,
    watched: mpsc::Sender<Watched>,
    tasks: Tasks,
    shutdown: CancellationToken,
    /// Stops the present watcher.
    stop: CancellationToken,
}

impl IdFiles {
    /// Begins to watch `files`, if there are any.
    pub(super) fn watch(
        files: &[PathBuf],
        watched: mpsc::Sender<Watched>,
        tasks: Tasks,
        shutdown: CancellationToken,
    ) -> Self {
        let mut id_files = Self { lists: Arc::default(), watched, tasks, stop: shutdown.child_token(), shutdown };
        id_files.rewatch(files);
        id_files
    }

    /// Watches `files` in place of those before.
    pub(super) fn rewatch(&mut self, files: &[PathBuf]) {
        self.stop.cancel();
        self.stop = self.shutdown.child_token();
        if !files.is_empty() {
            let (lists, watched, stop) = (Arc::clone(&self.lists), self.watched.clone(), self.stop.clone());
            self.tasks.spawn("the watcher of sessions.files", files::watch(files.to_vec(), lists, watched, stop));
        }
    }
}

/// Carries out the requests to reload, one after the other.
pub(super) struct Reload {
    /// What is in effect.
    pub(super) config: Config,
    pub(super) reloader: Reloader,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) exposition: Arc<Exposition>,
    pub(super) own: ExporterMetrics,
    pub(super) log_level: LogLevel,
    pub(super) guards: Guards,
    pub(super) counting: Counting,
    pub(super) deliveries: Option<Arc<Deliveries>>,
    /// Receives the client of the event stream, if the stream is followed.
    pub(super) clients: watch::Sender<Client>,
}

/// What counts, and is to take over a new configuration.
pub(super) enum Counting {
    /// This process alone, always.
    Alone { ledger: Arc<SqliteLedger>, reconfigure: mpsc::Sender<Reconfigure>, id_files: IdFiles },
    /// This process in turn with others.
    InTurn { replica: PageReader, current: watch::Sender<Current> },
}

impl Counting {
    /// Has the configuration taken into effect.
    async fn reconfigure(&mut self, config: &Config, client: &Client) -> Result<(), String> {
        match self {
            Self::Alone { ledger, reconfigure, id_files } => {
                let (done, in_effect) = oneshot::channel();
                let request = Reconfigure { config: Box::new(config.clone()), client: client.clone(), done };
                let stopping = "the daemon is stopping";
                reconfigure.send(request).await.map_err(|_| stopping)?;
                in_effect.await.map_err(|_| stopping)?;
                ledger.reconfigure(LedgerConfig::from(config));
                id_files.rewatch(&config.sessions.files);
            }
            Self::InTurn { replica, current } => {
                replica.reconfigure(&store_config(config));
                // Whoever does not count takes it up with its next turn.
                current.send_replace(Current { config: config.clone(), client: client.clone() });
            }
        }
        Ok(())
    }
}

impl Reload {
    /// Carries out requests until `shutdown`, which also ends a reload that is under way.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<ReloadRequest>, shutdown: CancellationToken) {
        let serve = async {
            while let Some(request) = requests.recv().await {
                self.carry_out(request).await;
            }
        };
        shutdown.run_until_cancelled(serve).await;
    }

    async fn carry_out(&mut self, request: ReloadRequest) {
        let reloading = Reloading::begin();
        let result = self.reload().await;
        drop(reloading);
        self.own.config_last_reload_successful.set(i64::from(result.is_ok()));
        match &result {
            Ok(()) => {
                self.own.config_last_reload_success.set(self.clock.now().as_seconds_f64());
                tracing::info!("the configuration was reloaded");
            }
            Err(why) => tracing::error!("the configuration was not reloaded, the old one stays in effect: {why}"),
        }
        if let Some(reply) = request.reply {
            // The sender may have gone.
            let _ = reply.send(result);
        }
    }

    async fn reload(&mut self) -> Result<(), String> {
        let (Loaded { config, warnings, .. }, client) = self.read().await?;
        self.counting.reconfigure(&config, &client).await?;
        if let Some(deliveries) = &self.deliveries {
            deliveries.reconfigure(ObservationConfig::from(&config));
        }
        catalogue::configure(&self.exposition, &config.metrics);
        // There is no receiver unless the stream is followed.
        self.clients.send_replace(client);
        self.log_level.set(&config.log.level);
        self.config = config;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(())
    }

    /// Reads all files. What this refuses changes nothing.
    async fn read(&self) -> Result<(Loaded, Client), String> {
        let reloader = Arc::clone(&self.reloader);
        let (loaded, client) = blocking(move || {
            let mut loaded = reloader()?;
            if let Some(contacts) = &mut loaded.config.metrics.repeat_contacts {
                contacts.read_key()?;
            }
            let client = api::client(&loaded.config.api, loaded.api_key.as_ref()).map_err(|e| e.to_string());
            Ok((loaded, client))
        })
        .await?;
        let restart = restart_only_changes(&self.config, &loaded.config);
        if !restart.is_empty() {
            return Err(format!("{} cannot change while the exporter runs; restart it", restart.join(", ")));
        }
        let client = client?;
        let guards = self.guards.clone();
        blocking(move || guards.reread()).await?;
        Ok((loaded, client))
    }
}

/// Reads files on a thread that may wait for their disk.
async fn blocking<T: Send + 'static>(read: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?
}

#[cfg(test)]
mod tests;
