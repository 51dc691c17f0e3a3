//! The daemon as a whole, put together from its parts: built from a configuration, run until it is stopped. What the parts
//! do is in their own modules; here they are only connected.

mod commits;
mod reload;
mod shared;
mod shown;
mod whole_log;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use agntix_api::Client;
use agntix_api::paths::ApiPath;
use exporter_web::{Server, WebConfigError};
pub use reload::Reloader;
use reload::{Counting, IdFiles, Reload};
use shared::{Current, Shared, TurnDeps};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::api::{self, ApiSetupError};
use crate::catalogue::{self, ExporterMetrics, Exposition, Family};
use crate::clock::{ApiClock, Clock};
use crate::config::{Config, Loaded};
use crate::discovery::webhook::Deliveries;
use crate::discovery::{News, Watched, stream};
use crate::ledger::sqlite::{LedgerConfig, SqliteLedger, neighbours};
use crate::ledger::{Ledger, LedgerError, Observer, Opened};
use crate::lifecycle::ReloadRequest;
use crate::observation::{AgentParts, ObservationConfig};
use crate::poller::{Inbox, Poller, Reconfigure};
use crate::recent::{self, Recent};
use crate::status::{Status, StatusSnapshot};
use crate::supervisor::{self, Pulse};
use crate::tasks::{TaskError, Tasks, infallible};
use crate::telemetry::LogLevel;
use crate::web::{self, Guards, WebError, WebState};

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
    /// The key that customers are hashed with.
    #[error("{0}")]
    ContactKey(String),
    /// The client of the API, or the webhook's secret.
    #[error(transparent)]
    Api(#[from] ApiSetupError),
    /// A defect in the catalogue.
    #[error("the exporter's own metrics cannot be registered ({0}); this is a defect")]
    Metrics(#[from] prometheus::Error),
    /// Opening or closing the state has panicked.
    #[error("the state could not be opened or closed ({0}); this is a defect")]
    Panic(#[from] JoinError),
    /// One of its tasks has failed.
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// Lists of watched sessions that may wait for the poller.
const INBOX: usize = 64;
/// News that may wait for the poller; beyond it, deliveries are deferred.
const NEWS: usize = 4096;

/// The webhook, if it is enabled.
struct Webhook {
    deliveries: Arc<Deliveries>,
    /// Its own, if it does not share the other one.
    listener: Option<TcpListener>,
}

/// Who counts.
enum Mode {
    /// This process, always.
    Alone(Box<Alone>),
    /// This process, in turn with others.
    Shared(Box<Shared>),
}

/// What a single daemon counts with.
struct Alone {
    ledger: Arc<SqliteLedger>,
    poller: Poller,
    news: mpsc::Sender<News>,
    /// The place of the stream's path that the state remembers.
    stream_path: Option<u32>,
    watched: mpsc::Sender<Watched>,
    reconfigure: mpsc::Sender<Reconfigure>,
    /// What is known of the agents.
    agents: AgentParts,
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
    clients: watch::Sender<Client>,
    mode: Mode,
    exposition: Arc<Exposition>,
    own: ExporterMetrics,
    status: Arc<Status>,
    api_clock: Arc<ApiClock>,
    pulse: Pulse,
    reload: (mpsc::Sender<ReloadRequest>, mpsc::Receiver<ReloadRequest>),
    tasks: Tasks,
    failures: mpsc::UnboundedReceiver<TaskError>,
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
        let Loaded { mut config, api_key, webhook_secret, .. } = loaded;
        // They read files, which a slow disk must not make this thread wait for. The warnings were logged when the
        // configuration was loaded.
        let (client, guards, config) = tokio::task::spawn_blocking(move || {
            let client = api::client(&config.api, api_key.as_ref())?;
            let (guards, _) = Guards::open(&config)?;
            if let Some(contacts) = &mut config.metrics.repeat_contacts {
                contacts.read_key().map_err(AppError::ContactKey)?;
            }
            Ok::<_, AppError>((client, guards, config))
        })
        .await??;
        if let Some(proxy) = client.proxy() {
            tracing::info!(%proxy, variable = proxy.variable, "requests to the API go through a proxy");
        }
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
        let exposition = Arc::new(own.exposition(Arc::clone(&ledger_config.policy.bucket_schemas)));
        catalogue::configure(&exposition, &config.metrics);
        let status = Arc::new(Status::new(StatusSnapshot { started_at: clock.now(), ..StatusSnapshot::default() }));
        let outage = commits::Outage::default();
        let observer = commits::observer(Arc::clone(&exposition), own.clone(), Arc::clone(&status), outage.clone());
        own.state_writable.set(1);
        own.config_last_reload_successful.set(1);
        if let Some(url) = config.web.external_address() {
            own.web_info.with_label_values(&[url]).set(1);
        }
        own.config_last_reload_success.set(clock.now().as_seconds_f64());
        let (tasks, failures) = Tasks::new();
        let (pulse, api_clock) = (Pulse::default(), Arc::<ApiClock>::default());
        let mode = if let Some(url) = &config.state.url {
            let parts = (Arc::clone(&exposition), own.clone(), Arc::clone(&status));
            let in_effect = Current { config: config.clone(), client: client.clone() };
            let clock = (Arc::clone(&clock), pulse.clone());
            let shared = shared::open(in_effect, url, (observer, outage), parts, clock, &tasks);
            Mode::Shared(Box::new(Box::pin(shared).await?))
        } else {
            let parts = (Arc::clone(&exposition), own.clone(), Arc::clone(&status));
            let clocks = (Arc::clone(&clock), Arc::clone(&api_clock));
            Mode::Alone(Box::new(alone(&config, ledger_config, client.clone(), observer, parts, clocks).await?))
        };
        let webhook = if config.webhook.enabled {
            let secrets = api::webhook_secrets(&config.webhook, webhook_secret.as_ref())?;
            let (ledger, news, agents) = match &mode {
                Mode::Alone(alone) => {
                    let ledger = Arc::clone(&alone.ledger) as Arc<dyn Ledger>;
                    (ledger, alone.news.clone(), alone.agents.clone())
                }
                Mode::Shared(shared) => {
                    let ledger = Arc::new(shared.deliveries.clone()) as Arc<dyn Ledger>;
                    (ledger, shared::unheard(&tasks), shared.agents.clone())
                }
            };
            let observation = ObservationConfig::from(&config).knowing(agents);
            let deliveries =
                Deliveries::new(secrets, ledger, news, observation, Arc::clone(&clock), Arc::clone(&api_clock));
            Some(Webhook { deliveries: Arc::new(deliveries), listener: webhook_listener })
        } else {
            None
        };
        let (clients, _) = watch::channel(client);
        Ok(Self {
            config,
            clock,
            reloader,
            log_level,
            listeners,
            guards,
            webhook,
            clients,
            mode,
            exposition,
            own,
            status,
            api_clock,
            pulse,
            reload: mpsc::channel(1),
            tasks,
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

    /// Receives requests to reload.
    pub fn reload_sender(&self) -> mpsc::Sender<ReloadRequest> {
        self.reload.0.clone()
    }

    /// The tasks of the daemon: if one of them fails, the daemon ends with an error.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Runs until `shutdown`, and then ends within 5 s: answers under way are sent, commits under way are finished.
    ///
    /// # Errors
    /// If one of its tasks fails.
    pub async fn run_until_stopped(self, shutdown: CancellationToken) -> Result<(), AppError> {
        let Self {
            exposition, own, status, clock, config, listeners, guards, mode, tasks, pulse, mut failures, ..
        } = self;
        let (reload_sender, reload_requests) = self.reload;
        let recent = Arc::<Recent>::default();
        let web_state = WebState {
            exposition: Arc::clone(&exposition),
            recent: Arc::clone(&recent),
            status: Arc::clone(&status),
            reload: reload_sender,
            clock: Arc::clone(&clock),
            security: Arc::clone(&guards.web),
            replica: if let Mode::Shared(shared) = &mode { Some(shared.reader.clone()) } else { None },
        };
        guards.watch(&own, &tasks, &shutdown);
        let mut routes = web::router(web_state, &config.web)?;
        let deliveries = self.webhook.as_ref().map(|webhook| Arc::clone(&webhook.deliveries));
        let serve = |name, listeners, routes, access| {
            let server = Server::new(routes).with_access(access).with_options(web::server_options(&config.web));
            tasks.spawn_essential(name, infallible(server.serve(listeners, shutdown.clone())), &shutdown);
        };
        if let Some(Webhook { deliveries, listener }) = self.webhook {
            let (path, own) = (&config.webhook.path, own.clone());
            match listener {
                None => routes = routes.merge(web::webhook::route(path, deliveries, own, shutdown.clone())),
                Some(listener) => {
                    let routes = web::webhook::listener_routes(path, deliveries, own, shutdown.clone());
                    let access = guards.webhook_access(&config).unwrap_or_else(|| guards.access(&config));
                    serve("the listener of the webhook", vec![listener], routes, access);
                }
            }
        }
        serve("the web server", listeners, routes, guards.access(&config));
        let looking = recent::keep(recent, Arc::clone(&exposition), Arc::clone(&clock), shutdown.clone());
        tasks.spawn("the look at recent counts", looking);
        let notices = supervisor::notify(Arc::clone(&status), pulse.clone(), shutdown.clone());
        tasks.spawn("the notifier of systemd", notices);
        let mut closing = None;
        let counting = match mode {
            Mode::Alone(alone) => {
                let Alone { ledger, poller, news, stream_path, watched, reconfigure, .. } = *alone;
                if config.stream.enabled {
                    let following = stream::follow(self.clients.subscribe(), news, stream_path, shutdown.clone());
                    tasks.spawn("the follower of the event stream", following);
                }
                tasks.spawn_essential("the poller", poller.run(pulse, shutdown.clone()), &shutdown);
                let id_files = IdFiles::watch(&config.sessions.files, watched, tasks.clone(), shutdown.clone());
                closing = Some(Arc::clone(&ledger));
                Counting::Alone { ledger, reconfigure, id_files }
            }
            Mode::Shared(shared) => {
                let (replica, current) = (shared.reader.clone(), shared.current.clone());
                let deps = TurnDeps {
                    current: current.subscribe(),
                    clients: self.clients.clone(),
                    webhook: deliveries.clone(),
                    exposition: Arc::clone(&exposition),
                    own: own.clone(),
                    status,
                    clock: Arc::clone(&clock),
                    api_clock: self.api_clock,
                    pulse,
                    tasks: tasks.clone(),
                    shutdown: shutdown.clone(),
                };
                tasks.spawn_essential("the replica", infallible(shared.run(deps)), &shutdown);
                Counting::InTurn { replica, current }
            }
        };
        let reload = Reload {
            config,
            reloader: self.reloader,
            clock,
            exposition,
            own,
            log_level: self.log_level,
            guards,
            counting,
            deliveries,
            clients: self.clients,
        };
        tasks.spawn("the reloading of the configuration", reload.run(reload_requests, shutdown.clone()));
        let first = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            Some(failure) = failures.recv() => Err(failure),
        };
        // A task that fails takes the others with it.
        shutdown.cancel();
        tasks.ended().await;
        // Closing the state waits for its writer, which must not hold up this thread.
        tokio::task::spawn_blocking(move || drop(closing)).await?;
        // A task that failed while the others ended is a defect all the same.
        first.and_then(|()| failures.try_recv().map_or(Ok(()), Err)).map_err(AppError::from)
    }
}

/// Opens the state of a single daemon, and makes what counts in it.
async fn alone(
    config: &Config,
    ledger_config: LedgerConfig,
    client: Client,
    observer: Observer,
    (exposition, own, status): (Arc<Exposition>, ExporterMetrics, Arc<Status>),
    (clock, api_clock): (Arc<dyn Clock>, Arc<ApiClock>),
) -> Result<Alone, AppError> {
    let (ledger, opened, begun) = open_state(ledger_config, config.state.path.clone(), observer).await?;
    let ledger = Arc::new(ledger);
    exposition.apply(&opened.series, Vec::new());
    let outcomes = opened.series.iter().filter(|series| series.key.family == Family::Outcomes);
    let counted = outcomes.flat_map(|series| &series.counts).sum();
    status.update(|status| status.counted = counted);
    tracing::info!(
        path = %std::path::absolute(&config.state.path).unwrap_or_else(|_| config.state.path.clone()).display(),
        series = opened.series.len(), pending = opened.pending.len(),
        "the state is open"
    );
    if let Some(place) = begun {
        log_new_state(&place);
    }
    let (watched, watched_inbox) = mpsc::channel(INBOX);
    let (reconfigure, reconfigure_inbox) = mpsc::channel(1);
    let (news, news_inbox) = mpsc::channel(NEWS);
    let poller = Poller::new(
        config,
        client,
        Arc::clone(&ledger) as Arc<dyn Ledger>,
        &opened,
        exposition,
        own,
        status,
        clock,
        api_clock,
        Inbox { watched: watched_inbox, news: news_inbox, reconfigure: reconfigure_inbox },
    );
    let stream_path = opened.paths.get(ApiPath::Stream as usize).copied().flatten();
    Ok(Alone { ledger, poller, news, stream_path, watched, reconfigure, agents: opened.agents })
}

/// Opens the state in `directory`, and looks at where it was begun if it is new.
async fn open_state(
    config: LedgerConfig,
    directory: PathBuf,
    observer: Observer,
) -> Result<(SqliteLedger, Opened, Option<neighbours::Place>), AppError> {
    // It waits for a predecessor that is just stopping, and looks into other directories: neither may hold up this thread.
    let opened = tokio::task::spawn_blocking(move || {
        let (ledger, opened) = SqliteLedger::open(config, observer)?;
        let begun = opened.begun.then(|| neighbours::look(&directory));
        Ok::<_, LedgerError>((ledger, opened, begun))
    });
    Ok(opened.await??)
}

fn log_new_state(place: &neighbours::Place) {
    let path = place.directory.display();
    if let Some(warning) = place.warning() {
        tracing::warn!(%path, "a new state was begun, and counting starts at 0; {warning}");
    } else {
        tracing::info!(%path, "a new state was begun, and counting starts at 0");
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use agntix_api::install_crypto_provider;

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::{Environment, Overrides, load};

    /// Runs a daemon after `spawn` has added a task to it. What the daemon ends with, and the token that would have
    /// stopped it.
    async fn run_with(spawn: impl FnOnce(&Tasks, &CancellationToken)) -> (String, CancellationToken) {
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
        let build = App::build(loaded, reloader, LogLevel::fixed(), Arc::new(SystemClock), Vec::new());
        let app = Box::pin(build).await.unwrap();
        let shutdown = CancellationToken::new();
        spawn(app.tasks(), &shutdown);
        let run = Box::pin(app.run_until_stopped(shutdown.clone()));
        let ended = tokio::time::timeout(Duration::from_secs(60), run).await.unwrap();
        (ended.unwrap_err().to_string(), shutdown)
    }

    #[tokio::test]
    async fn daemon_ends_with_an_error_when_a_background_task_panics() {
        let (error, shutdown) = run_with(|tasks, _| tasks.spawn("a test", async { panic!("on purpose") })).await;
        assert!(error.starts_with("a test has stopped (panic: on purpose)"), "{error}");
        assert!(shutdown.is_cancelled(), "the other tasks were told to stop");
    }

    #[tokio::test]
    async fn daemon_ends_with_an_error_when_a_detached_task_panics() {
        let (error, _) = run_with(|tasks, _| tasks.spawn_detached("a test", async { panic!("on purpose") })).await;
        assert!(error.starts_with("a test has stopped (panic: on purpose)"), "{error}");
    }

    #[tokio::test]
    async fn daemon_ends_with_an_error_when_an_essential_task_panics_or_ends() {
        let panic = async { panic!("on purpose") };
        let (error, _) = run_with(|tasks, shutdown| tasks.spawn_essential("a test", infallible(panic), shutdown)).await;
        assert!(error.starts_with("a test has stopped (panic: on purpose)"), "{error}");
        let (error, _) =
            run_with(|tasks, shutdown| tasks.spawn_essential("a test", infallible(async {}), shutdown)).await;
        assert!(error.starts_with("a test has stopped (it has ended by itself)"), "{error}");
    }
}
