//! No command: the exporter itself, and `--config.check`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::flags::Global;
use super::terminal::{Failure, environment, print, runtime};
use crate::api;
use crate::app::{App, Reloader};
use crate::clock::SystemClock;
use crate::config::Loaded;
use crate::web::{Guards, WebError};
use crate::{lifecycle, telemetry};

/// How long to wait for blocking work that is still under way at the end.
const LEFT_OVER: Duration = Duration::from_millis(200);

pub(super) fn run(global: Global) -> Result<(), Failure> {
    let (loaded, guards) = load(&global).map_err(Failure::Mistake)?;
    if global.config_check {
        let webhook = guards.webhook.as_ref().map(|webhook| format!("# webhook: {}\n", webhook.summary()));
        let proxy = api::proxy(&loaded.config.api).map_err(Failure::mistake)?;
        let proxy = proxy.map(|proxy| format!("# proxy: {proxy}, as {} says\n", proxy.variable)).unwrap_or_default();
        let (report, web) = (loaded.report(), guards.web.summary());
        let text = format!("{report}{proxy}# web: {web}\n{}", webhook.unwrap_or_default());
        return print(text);
    }
    serve(loaded, Arc::new(move || load(&global).map(|(loaded, _)| loaded)), |_| Ok(()))
}

/// Loads the configuration and the web configuration files that it names, so that a mistake in any of them is reported
/// before anything is opened.
fn load(global: &Global) -> Result<(Loaded, Guards), String> {
    let mut loaded = api::load(global.config_file.as_deref(), &environment(), &global.overrides())
        .map_err(|error| error.to_string())?;
    let (guards, warnings) = Guards::open(&loaded.config).map_err(|error| error.to_string())?;
    loaded.warnings.extend(warnings);
    Ok((loaded, guards))
}

/// Runs the daemon until a signal stops it. `announce` is called once it listens.
pub(super) fn serve(
    loaded: Loaded,
    reloader: Reloader,
    announce: impl FnOnce(&App) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let log_level = telemetry::init(&loaded.config.log).map_err(Failure::running)?;
    agntix_api::install_crypto_provider();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    // Before there are other threads.
    let systemd_socket = loaded.config.web.systemd_socket;
    let sockets = if systemd_socket {
        exporter_web::take_systemd_sockets().map_err(|error| Failure::running(WebError::from(error)))?
    } else {
        Vec::new()
    };
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            file = loaded.file.as_ref().map(|file| file.display().to_string()),
            "agntix-exporter starts"
        );
        let app =
            App::build(loaded, reloader, log_level, Arc::new(SystemClock), sockets).await.map_err(Failure::running)?;
        // Before a line says that it listens: who has read that may end it.
        let shutdown = CancellationToken::new();
        let signals = lifecycle::handle_signals(app.reload_sender(), shutdown.clone()).map_err(Failure::running)?;
        let addresses = app.addresses().map_err(Failure::running)?;
        let guards = app.guards();
        for address in &addresses {
            let (tls, users) = (guards.web.has_tls(), guards.web.has_users());
            tracing::info!(%address, tls, basic_auth = users, "listening");
        }
        if let Some(address) = app.webhook_address() {
            let tls = guards.webhook.as_ref().is_some_and(|webhook| webhook.has_tls());
            tracing::info!(%address, tls, "deliveries have a listener of their own");
        }
        announce(&app)?;
        app.tasks().spawn_detached("the signal handler", signals);
        app.run_until_stopped(shutdown).await.map_err(Failure::running)?;
        tracing::info!("stopped");
        Ok(())
    });
    // All tasks have ended but the check of a password, which may take long and whose result nobody needs any more.
    runtime.shutdown_timeout(LEFT_OVER);
    done
}
