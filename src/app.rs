//! The daemon as a whole: built from a configuration, run until it is stopped, reloaded meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;

use exporter_web::{Access, Server, WebConfigError};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use axum::Router;

use crate::agntix::paths::ApiPath;
use crate::agntix::{Client, ClientError, WebhookSecretError, WebhookSecretSource};
use crate::clock::{ApiClock, Clock};
use crate::config::{Config, Loaded, restart_only_changes};
use crate::discovery::files::Lists;
use crate::discovery::webhook::Deliveries;
use crate::discovery::{News, Watched, files, stream};
use crate::exposition::Exposition;
use crate::exposition::catalogue::Family;
use crate::exposition::own::ExporterMetrics;
use crate::ledger::sqlite::{LedgerConfig, Observer, SqliteLedger};
use crate::ledger::{Committed, Ledger, LedgerError, neighbours};
use crate::lifecycle::ReloadRequest;
use crate::observation::ObservationConfig;
use crate::parts::{PartFailed, Parts};
use crate::poller::{Inbox, Poller, PollerError, Reconfigure};
use crate::status::{Status, StatusSnapshot};
use crate::supervisor::{self, Pulse, Reloading};
use crate::telemetry::LogLevel;
use crate::web::{self, Guards, WebError, WebState};

/// Reads the configuration again, from where it was read at the start; the error is a sentence.
pub type Reloader = Arc<dyn Fn() -> Result<Loaded, String> + Send + Sync>;

/// Why the daemon cannot start, or has stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The state.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The listener.
    #[error(transparent)]
    Web(#[from] WebError),
    /// What guards a listener.
    #[error(transparent)]
    WebConfig(#[from] WebConfigError),
    /// The client of the API.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The webhook's secret.
    #[error(transparent)]
    WebhookSecret(#[from] WebhookSecretError),
    /// The poller.
    #[error(transparent)]
    Poller(#[from] PollerError),
    /// A defect in the catalogue.
    #[error("the exporter's own metrics cannot be registered ({0}); this is a defect")]
    Metrics(#[from] prometheus::Error),
    /// A part of the daemon ended without being told to.
    #[error("a part of the daemon has stopped ({0}); this is a defect")]
    Part(#[from] JoinError),
    /// A part that works beside the others has failed.
    #[error(transparent)]
    SidePart(#[from] PartFailed),
}

/// Lists of watched sessions that may wait for the poller.
const INBOX: usize = 64;
/// News that may wait for the poller; beyond it, deliveries are put off.
const NEWS: usize = 4096;

/// The webhook, if it is enabled.
struct Webhook {
    deliveries: Arc<Deliveries>,
    /// Its own, if it does not share the other one.
    listener: Option<TcpListener>,
}

/// A daemon that is ready to run: its state is open and its port taken.
pub struct App {
    config: Config,
    clock: Arc<dyn Clock>,
    reloader: Reloader,
    log_level: LogLevel,
    listeners: Vec<TcpListener>,
    guards: Guards,
    webhook: Option<Webhook>,
    news: mpsc::Sender<News>,
    clients: watch::Sender<Client>,
    /// The place of the stream's path that the state remembers.
    stream_path: Option<u32>,
    ledger: Arc<SqliteLedger>,
    exposition: Arc<Exposition>,
    status: Arc<Status>,
    poller: Poller,
    watched: mpsc::Sender<Watched>,
    reconfigure: mpsc::Sender<Reconfigure>,
    reload: (mpsc::Sender<ReloadRequest>, mpsc::Receiver<ReloadRequest>),
    parts: Parts,
    failures: mpsc::UnboundedReceiver<PartFailed>,
}

impl App {
    /// Takes the ports, or the sockets that were handed over if there are any, opens the state, and makes the parts.
    ///
    /// # Errors
    /// If the port, the state or the client cannot be had; nothing has been asked of the API then.
    pub async fn build(
        loaded: Loaded,
        reloader: Reloader,
        log_level: LogLevel,
        clock: Arc<dyn Clock>,
        sockets: Vec<std::net::TcpListener>,
    ) -> Result<Self, AppError> {
        let Loaded { config, api_key, webhook_secret, .. } = loaded;
        let client = Client::new(&config.api, api_key)?;
        // Who loaded the configuration has told the warnings.
        let (guards, _) = Guards::open(&config)?;
        let listeners = listen(&config, sockets).await?;
        let webhook_listener = match &config.webhook {
            webhook if !webhook.enabled => None,
            webhook => match &webhook.listen_address {
                Some(address) => Some(exporter_web::bind(address).await.map_err(WebError::from)?),
                None => None,
            },
        };
        let ledger_config = LedgerConfig::from(&config);
        let own = if config.web.disable_exporter_metrics {
            ExporterMetrics::without_process()?
        } else {
            ExporterMetrics::new()?
        };
        let exposition = Arc::new(Exposition::new(Arc::clone(&ledger_config.bucket_schemas), own));
        let status = Arc::new(Status::new(StatusSnapshot { started_at: clock.now(), ..StatusSnapshot::default() }));
        let observer = observer(Arc::clone(&exposition), Arc::clone(&status));
        // Waits for a predecessor that is just stopping, which must not hold up this thread.
        let directory = config.state.path.clone();
        let (ledger, opened, begun) = tokio::task::spawn_blocking(move || {
            let (ledger, opened) = SqliteLedger::open(ledger_config, observer)?;
            // Other directories are looked into, which a slow disk must not make this thread wait for either.
            let begun = opened.begun.then(|| neighbours::look(&directory));
            Ok::<_, LedgerError>((ledger, opened, begun))
        })
        .await??;
        let ledger = Arc::new(ledger);
        exposition.apply(&opened.series, Vec::new());
        let outcomes = opened.series.iter().filter(|series| series.key.family == Family::Outcomes);
        let counted = outcomes.flat_map(|series| &series.counts).sum();
        status.update(|status| status.counted = counted);
        let own = exposition.own();
        own.state_writable.set(1);
        // Until the poller has seen that nothing is left to catch up with.
        own.catching_up.set(1);
        own.config_last_reload_successful.set(1);
        own.config_last_reload_success.set(clock.now().as_seconds_f64());
        tracing::info!(
            path = %config.state.path.display(), series = opened.series.len(), pending = opened.pending.len(),
            "the state is open"
        );
        if let Some(place) = begun {
            let path = place.directory.display();
            if let Some(warning) = place.warning() {
                tracing::warn!(%path, "a new state was begun, and counting starts at 0; {warning}");
            } else {
                tracing::info!(%path, "a new state was begun, and counting starts at 0");
            }
        }
        let (watched, watched_inbox) = mpsc::channel(INBOX);
        let (reconfigure, reconfigure_inbox) = mpsc::channel(1);
        let (news, news_inbox) = mpsc::channel(NEWS);
        let inbox = Inbox { watched: watched_inbox, news: news_inbox, reconfigure: reconfigure_inbox };
        let api_clock = Arc::<ApiClock>::default();
        let webhook = if config.webhook.enabled {
            let secrets = WebhookSecretSource::new(&config.webhook, webhook_secret.as_ref())?;
            let ledger = Arc::clone(&ledger) as Arc<dyn Ledger>;
            let observation = ObservationConfig::from(&config).knowing(opened.agents.clone());
            let deliveries =
                Deliveries::new(secrets, ledger, news.clone(), observation, Arc::clone(&clock), Arc::clone(&api_clock));
            Some(Webhook { deliveries: Arc::new(deliveries), listener: webhook_listener })
        } else {
            None
        };
        let (clients, _) = watch::channel(client.clone());
        let poller = Poller::new(
            &config,
            client,
            Arc::clone(&ledger) as Arc<dyn Ledger>,
            &opened,
            Arc::clone(&exposition),
            Arc::clone(&status),
            Arc::clone(&clock),
            api_clock,
            inbox,
        );
        let (parts, failures) = Parts::new();
        Ok(Self {
            config,
            clock,
            reloader,
            log_level,
            listeners,
            guards,
            webhook,
            news,
            clients,
            stream_path: opened.paths.get(ApiPath::Stream as usize).copied().flatten(),
            ledger,
            exposition,
            status,
            poller,
            watched,
            reconfigure,
            reload: mpsc::channel(1),
            parts,
            failures,
        })
    }

    /// Where it listens; of several addresses the first.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listeners.first().ok_or(std::io::ErrorKind::NotConnected)?.local_addr()
    }

    /// Everywhere that it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// What guards the listeners.
    pub fn guards(&self) -> &Guards {
        &self.guards
    }

    /// Where deliveries are taken, if they have a listener of their own.
    pub fn webhook_address(&self) -> Option<SocketAddr> {
        self.webhook.as_ref()?.listener.as_ref()?.local_addr().ok()
    }

    /// Where a wish to reload goes.
    pub fn reload_sender(&self) -> mpsc::Sender<ReloadRequest> {
        self.reload.0.clone()
    }

    /// The parts of the daemon that work beside the others: if one of them fails, the daemon ends with an error.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Runs until `shutdown`, and then ends within 5 s: answers under way are sent, commits under way are finished.
    ///
    /// # Errors
    /// If a part of it cannot go on.
    pub async fn run_until_stopped(self, shutdown: CancellationToken) -> Result<(), AppError> {
        let Self { exposition, status, clock, config, listeners, guards, poller, ledger, parts, mut failures, .. } =
            self;
        let (reload_sender, wishes) = self.reload;
        let web_state = WebState {
            exposition: Arc::clone(&exposition),
            status: Arc::clone(&status),
            reload: reload_sender,
            clock: Arc::clone(&clock),
            security: Arc::clone(&guards.web),
        };
        guards.watch(exposition.own(), &parts, &shutdown);
        let mut routes = web::router(web_state, &config.web)?;
        let deliveries = self.webhook.as_ref().map(|webhook| Arc::clone(&webhook.deliveries));
        let mut receiving = None;
        if let Some(Webhook { deliveries, listener }) = self.webhook {
            let (path, own) = (&config.webhook.path, exposition.own().clone());
            match listener {
                None => routes = routes.merge(web::webhook::route(path, deliveries, own, shutdown.clone())),
                Some(listener) => {
                    let routes = web::webhook::listener_routes(path, deliveries, own, shutdown.clone());
                    let access = guards.webhook_access(&config).unwrap_or_else(|| guards.access(&config));
                    receiving = Some(serve(vec![listener], routes, access, &config, &shutdown));
                }
            }
        }
        let mut serving = serve(listeners, routes, guards.access(&config), &config, &shutdown);
        if config.stream.enabled {
            let (clients, news) = (self.clients.subscribe(), self.news.clone());
            let following = stream::follow(clients, news, self.stream_path, shutdown.clone());
            parts.spawn("the following of the event stream", following);
        }
        let pulse = Pulse::default();
        parts.spawn("the talk with systemd", supervisor::attend(status, pulse.clone(), shutdown.clone()));
        let lists = Arc::default();
        let mut polling = tokio::spawn(poller.run(pulse, shutdown.clone()));
        let mut reloads = Reloads {
            watcher: watch_files(&config, &lists, &self.watched, &parts, &shutdown),
            lists,
            parts: parts.clone(),
            guards,
            config,
            clock,
            reloader: self.reloader,
            log_level: self.log_level,
            ledger: Arc::clone(&ledger),
            exposition,
            deliveries,
            clients: self.clients,
            watched: self.watched,
            reconfigure: self.reconfigure,
            shutdown: shutdown.clone(),
        };
        // Whichever part ends first, by itself or because it was told to, takes the others with it.
        let first: Result<(), AppError> = tokio::select! {
            ended = &mut serving => ended.map_err(AppError::from),
            ended = ended(&mut receiving) => ended.map_err(AppError::from),
            ended = &mut polling => ended.map_err(AppError::from).and_then(|ended| ended.map_err(AppError::from)),
            () = reloads.run(wishes) => Ok(()),
            Some(failed) = failures.recv() => Err(failed.into()),
        };
        shutdown.cancel();
        if !serving.is_finished() {
            serving.await?;
        }
        let receiving = receiving.filter(|task| !task.is_finished());
        if let Some(task) = receiving {
            task.await?;
        }
        if !polling.is_finished() {
            polling.await??;
        }
        drop(reloads);
        parts.ended().await;
        // Closing the state waits for its writer, which must not hold up this thread.
        tokio::task::spawn_blocking(move || drop(ledger)).await?;
        // One that failed while the others ended is a defect all the same.
        first.and_then(|()| failures.try_recv().map_or(Ok(()), |failed| Err(failed.into())))
    }
}

/// The end of a task; never, if there is none.
async fn ended(task: &mut Option<JoinHandle<()>>) -> Result<(), JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

async fn listen(config: &Config, sockets: Vec<std::net::TcpListener>) -> Result<Vec<TcpListener>, AppError> {
    if !sockets.is_empty() {
        return Ok(exporter_web::adopt(sockets).map_err(WebError::from)?);
    }
    let mut listeners = Vec::new();
    for address in config.web.listen_addresses() {
        listeners.push(exporter_web::bind(address).await.map_err(WebError::from)?);
    }
    Ok(listeners)
}

fn serve(
    listeners: Vec<TcpListener>,
    routes: Router,
    access: Access,
    config: &Config,
    shutdown: &CancellationToken,
) -> JoinHandle<()> {
    let server = Server::new(routes).with_access(access).with_options(web::server_options(&config.web));
    tokio::spawn(server.serve(listeners, shutdown.clone()))
}

/// Shows what a commit has made durable, and whether commits succeed; the log says when they begin to fail, whosever commit
/// it was, and when they succeed again.
fn observer(exposition: Arc<Exposition>, status: Arc<Status>) -> Observer {
    let mut was_written = true;
    Box::new(move |result: Result<Committed, &LedgerError>| {
        let own = exposition.own();
        let is_written = result.is_ok();
        match &result {
            Err(error) if was_written => tracing::error!(
                %error,
                "counts cannot be saved; deliveries are put off, requests to Agntix pause, and the last saved counts stay on \
                 /metrics"
            ),
            Ok(_) if !was_written => tracing::info!("the state can be written again; nothing was lost"),
            _ => {}
        }
        was_written = is_written;
        own.state_writable.set(i64::from(is_written));
        own.state_commits.with_label_values(&[if is_written { "success" } else { "error" }]).inc();
        if status.snapshot().state_writable != is_written {
            status.update(|status| status.state_writable = is_written);
        }
        if let Ok(committed) = result {
            for label in &committed.overflow {
                own.label_overflow.with_label_values(&[&**label]).inc();
            }
            exposition.apply(&committed.series, committed.exemplars);
        }
    })
}

/// Watches the files of ids; `lists` is what has been read of them before. What is given ends the watching.
fn watch_files(
    config: &Config,
    lists: &Arc<Mutex<Lists>>,
    watched: &mpsc::Sender<Watched>,
    parts: &Parts,
    shutdown: &CancellationToken,
) -> CancellationToken {
    let stop = shutdown.child_token();
    if !config.sessions.files.is_empty() {
        let (files, lists) = (config.sessions.files.clone(), Arc::clone(lists));
        parts.spawn("the watching of sessions.files", files::watch(files, lists, watched.clone(), stop.clone()));
    }
    stop
}

/// The reloading of the configuration: all of it, or nothing.
struct Reloads {
    config: Config,
    guards: Guards,
    clock: Arc<dyn Clock>,
    reloader: Reloader,
    log_level: LogLevel,
    ledger: Arc<SqliteLedger>,
    exposition: Arc<Exposition>,
    deliveries: Option<Arc<Deliveries>>,
    clients: watch::Sender<Client>,
    watched: mpsc::Sender<Watched>,
    reconfigure: mpsc::Sender<Reconfigure>,
    watcher: CancellationToken,
    lists: Arc<Mutex<Lists>>,
    parts: Parts,
    shutdown: CancellationToken,
}

impl Reloads {
    async fn run(&mut self, mut wishes: mpsc::Receiver<ReloadRequest>) {
        loop {
            let wish = tokio::select! {
                () = self.shutdown.cancelled() => return,
                wish = wishes.recv() => wish,
            };
            let Some(wish) = wish else { return };
            let reloading = Reloading::begin();
            let result = self.reload().await;
            drop(reloading);
            let own = self.exposition.own();
            own.config_last_reload_successful.set(i64::from(result.is_ok()));
            match &result {
                Ok(()) => {
                    own.config_last_reload_success.set(self.clock.now().as_seconds_f64());
                    tracing::info!("the configuration was reloaded");
                }
                Err(why) => tracing::error!("the configuration was not reloaded, the old one stays in effect: {why}"),
            }
            if let Some(reply) = wish.reply {
                // Whoever asked may have gone.
                let _ = reply.send(result);
            }
        }
    }

    async fn reload(&mut self) -> Result<(), String> {
        let reloader = Arc::clone(&self.reloader);
        // Files are read here and below, which may take as long as their disk likes.
        let loaded = tokio::task::spawn_blocking(move || {
            let loaded = reloader()?;
            let client = Client::new(&loaded.config.api, loaded.api_key.clone()).map_err(|e| e.to_string());
            Ok::<_, String>((loaded, client))
        });
        let (Loaded { config, warnings, .. }, client) = loaded.await.map_err(|e| e.to_string())??;
        let restart = restart_only_changes(&self.config, &config);
        if !restart.is_empty() {
            return Err(format!("{} cannot change while the exporter runs; restart it", restart.join(", ")));
        }
        let client = client?;
        let guards = self.guards.clone();
        tokio::task::spawn_blocking(move || guards.reread()).await.map_err(|e| e.to_string())??;
        let (done, in_effect) = oneshot::channel();
        let wish = Reconfigure { config: Box::new(config.clone()), client: client.clone(), done };
        let stopping = "the daemon is stopping";
        self.reconfigure.send(wish).await.map_err(|_| stopping)?;
        in_effect.await.map_err(|_| stopping)?;
        self.ledger.reconfigure(LedgerConfig::from(&config));
        if let Some(deliveries) = &self.deliveries {
            deliveries.reconfigure(ObservationConfig::from(&config));
        }
        // Nobody may be following the stream.
        self.clients.send_replace(client);
        self.log_level.set(&config.log.level);
        self.watcher.cancel();
        self.watcher = watch_files(&config, &self.lists, &self.watched, &self.parts, &self.shutdown);
        self.config = config;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::agntix::install_crypto_provider;
    use crate::clock::SystemClock;
    use crate::config::{Environment, Overrides, load};

    #[tokio::test]
    async fn daemon_ends_with_an_error_when_a_side_part_panics() {
        install_crypto_provider();
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment::from_pairs([
            ("AGNTIX_API_KEY", "pk_test"),
            ("AGNTIX_EXPORTER__API__BASE_URL", "http://127.0.0.1:9"),
            ("AGNTIX_EXPORTER__WEB__LISTEN_ADDRESS", "127.0.0.1:0"),
            ("AGNTIX_EXPORTER__STATE__PATH", &directory.path().display().to_string()),
        ]);
        let loaded = load(None, &environment, &Overrides::default()).unwrap();
        let reloader: Reloader = Arc::new(|| Err("a test has nothing to reload".into()));
        let app = App::build(loaded, reloader, LogLevel::fixed(), Arc::new(SystemClock), Vec::new()).await.unwrap();
        app.parts().spawn("a part of the test", async { panic!("on purpose") });
        let run = app.run_until_stopped(CancellationToken::new());
        let error = tokio::time::timeout(Duration::from_secs(60), run).await.unwrap().unwrap_err();
        assert!(error.to_string().starts_with("a part of the test has stopped (panic: on purpose)"), "{error}");
    }
}
