//! The reload transaction on its own: the test takes the place of the poller and of the event stream.

use std::path::Path;
use std::time::{Duration, Instant};

use agntix_api::install_crypto_provider;
use exposition::negotiation::{Encoding, Format};

use super::*;
use crate::api;
use crate::clock::SystemClock;
use crate::config::{Environment, Overrides, load};
use crate::ledger::Observer;
use crate::tasks::TaskError;

/// A reload with everything that it passes the new configuration on to.
struct Fixture {
    reload: Reload,
    /// What the next reload reads: pairs of environment variables.
    next: Arc<std::sync::Mutex<Vec<(String, String)>>>,
    reconfigured: mpsc::Receiver<Reconfigure>,
    client: watch::Receiver<Client>,
    watched: mpsc::Receiver<Watched>,
    shutdown: CancellationToken,
    directory: tempfile::TempDir,
    _failures: mpsc::UnboundedReceiver<TaskError>,
}

fn read(directory: &Path, more: &[(String, String)]) -> Result<Loaded, String> {
    let base = [
        ("AGNTIX_API_KEY".to_owned(), "pk_test".to_owned()),
        ("AGNTIX_EXPORTER__STATE__PATH".to_owned(), directory.join("state").display().to_string()),
        ("AGNTIX_EXPORTER__WEB__CONFIG_FILE".to_owned(), directory.join("web.yml").display().to_string()),
    ];
    let environment = Environment::from_pairs(base.into_iter().chain(more.iter().cloned()));
    load(None, &environment, &Overrides::default()).map_err(|error| error.to_string())
}

impl Fixture {
    fn new() -> Self {
        install_crypto_provider();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("web.yml"), "").unwrap();
        let loaded = read(directory.path(), &[]).unwrap();
        let next = Arc::<std::sync::Mutex<Vec<(String, String)>>>::default();
        let (path, pairs) = (directory.path().to_owned(), Arc::clone(&next));
        let observer: Observer = Box::new(|_| {});
        let (ledger, _) = SqliteLedger::open(LedgerConfig::from(&loaded.config), observer).unwrap();
        let (clients, client) = watch::channel(api::client(&loaded.config.api, loaded.api_key.as_ref()).unwrap());
        let (reconfigure, reconfigured) = mpsc::channel(1);
        let (watched_sender, watched) = mpsc::channel(8);
        let (tasks, failures) = Tasks::new();
        let shutdown = CancellationToken::new();
        let own = ExporterMetrics::without_process().unwrap();
        let schemas = Arc::clone(&LedgerConfig::from(&loaded.config).policy.bucket_schemas);
        let reload = Reload {
            guards: Guards::open(&loaded.config).unwrap().0,
            config: loaded.config,
            reloader: Arc::new(move || read(&path, &pairs.lock().unwrap())),
            clock: Arc::new(SystemClock),
            exposition: Arc::new(own.exposition(schemas)),
            own,
            log_level: LogLevel::fixed(),
            counting: Counting::Alone {
                ledger: Arc::new(ledger),
                reconfigure,
                id_files: IdFiles::watch(&[], watched_sender, tasks, shutdown.clone()),
            },
            deliveries: None,
            clients,
        };
        Self { reload, next, reconfigured, client, watched, shutdown, directory, _failures: failures }
    }

    /// Sets what the next reload reads.
    fn set(&self, key: &str, value: &str) {
        self.next.lock().unwrap().push((format!("AGNTIX_EXPORTER__{key}"), value.to_owned()));
    }

    /// A reload that must be refused, and must change nothing. Why it was refused.
    async fn refused(&mut self) -> String {
        let before = self.reload.config.clone();
        let (reply, result) = oneshot::channel();
        self.reload.carry_out(ReloadRequest { reply: Some(reply) }).await;
        let why = result.await.unwrap().unwrap_err();
        assert_eq!(self.reload.config, before);
        assert!(self.reconfigured.try_recv().is_err() && !self.client.has_changed().unwrap());
        assert_eq!(self.reload.own.config_last_reload_successful.get(), 0);
        why
    }
}

#[tokio::test]
async fn new_configuration_reaches_every_part() {
    let mut fixture = Fixture::new();
    let ids = fixture.directory.path().join("ids");
    std::fs::write(&ids, "a\nb\n").unwrap();
    fixture.set("SESSIONS__FILES", &ids.display().to_string());
    fixture.set("METRICS__STATIC_LABELS", "organization=acme");
    let poller = async {
        let reconfigure = fixture.reconfigured.recv().await.unwrap();
        assert_eq!(reconfigure.config.sessions.files, [ids]);
        reconfigure.done.send(()).unwrap();
    };
    let (reply, result) = oneshot::channel();
    tokio::join!(fixture.reload.carry_out(ReloadRequest { reply: Some(reply) }), poller);
    assert_eq!(result.await.unwrap(), Ok(()));
    assert!(fixture.client.has_changed().unwrap(), "the event stream has the new client");
    let watched = tokio::time::timeout(Duration::from_secs(60), fixture.watched.recv()).await.unwrap().unwrap();
    assert_eq!(watched.ids, ["a".into(), "b".into()]);
    assert_eq!(fixture.reload.own.config_last_reload_successful.get(), 1);
    let page = fixture.reload.exposition.page(Format::Text, Encoding::Identity, Instant::now()).unwrap().to_vec();
    assert!(String::from_utf8(page).unwrap().contains("\nagntix_up{organization=\"acme\"} 0\n"));
    fixture.shutdown.cancel();
}

#[tokio::test]
async fn mistake_in_the_configuration_changes_nothing() {
    let mut fixture = Fixture::new();
    fixture.set("POLL__OPEN_INTERVAL", "never");
    let why = fixture.refused().await;
    assert!(why.contains("poll.open_interval"), "{why}");
}

#[tokio::test]
async fn key_that_needs_a_restart_changes_nothing() {
    let mut fixture = Fixture::new();
    fixture.set("WEB__LISTEN_ADDRESS", "127.0.0.1:1");
    fixture.set("POLL__OPEN_INTERVAL", "1m");
    let why = fixture.refused().await;
    assert_eq!(why, "web.listen_address cannot change while the exporter runs; restart it");
}

#[tokio::test]
async fn mistake_in_the_web_configuration_changes_nothing() {
    let mut fixture = Fixture::new();
    fixture.set("POLL__OPEN_INTERVAL", "1m");
    std::fs::write(fixture.directory.path().join("web.yml"), "tls_server_config: {cert_fil: x}\n").unwrap();
    let why = fixture.refused().await;
    assert!(why.contains("cert_fil"), "{why}");
}

#[tokio::test]
async fn shutdown_ends_a_reload_that_is_under_way() {
    let Fixture { reload, mut reconfigured, shutdown, directory: _directory, .. } = Fixture::new();
    let (requests, receiver) = mpsc::channel(1);
    let (reply, result) = oneshot::channel();
    requests.send(ReloadRequest { reply: Some(reply) }).await.unwrap();
    let running = tokio::spawn(reload.run(receiver, shutdown.clone()));
    // Taken and not answered.
    let _reconfigure = reconfigured.recv().await.unwrap();
    shutdown.cancel();
    running.await.unwrap();
    assert!(result.await.is_err());
}
