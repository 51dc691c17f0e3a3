//! No command: the exporter itself, and `--config.check`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Failure, Global, environment, runtime};
use crate::app::{App, Reloader};
use crate::clock::SystemClock;
use crate::config::{self, Loaded};
use crate::{agntix, lifecycle, telemetry};

pub(super) fn run(global: Global) -> Result<(), Failure> {
    let loaded = load(&global).map_err(Failure::Mistake)?;
    if global.config_check {
        println!("{}", loaded.report());
        return Ok(());
    }
    serve(loaded, Box::new(move || load(&global)), |_| Ok(()))
}

fn load(global: &Global) -> Result<Loaded, String> {
    config::load(global.config_file.as_deref(), &environment(), &global.overrides()).map_err(|e| e.to_string())
}

/// Runs the daemon until a signal stops it. `announce` is given it as it begins to listen.
pub(super) fn serve(
    loaded: Loaded,
    reloader: Reloader,
    announce: impl FnOnce(&App) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let log_level = telemetry::init(&loaded.config.log).map_err(Failure::running)?;
    agntix::install_crypto_provider();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = runtime()?;
    runtime.block_on(async {
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            file = loaded.file.as_ref().map(|file| file.display().to_string()),
            "agntix-exporter starts"
        );
        let app = App::build(loaded, reloader, log_level, Arc::new(SystemClock)).await.map_err(Failure::running)?;
        let address = app.address().map_err(Failure::running)?;
        tracing::info!(%address, "listening");
        if let Some(address) = app.webhook_address() {
            tracing::info!(%address, "deliveries are taken on a listener of their own");
        }
        announce(&app)?;
        let shutdown = CancellationToken::new();
        lifecycle::heed_signals(app.reload_sender(), shutdown.clone()).map_err(Failure::running)?;
        app.run_until_stopped(shutdown).await.map_err(Failure::running)?;
        tracing::info!("stopped");
        Ok(())
    })
}
