//! What reaches the daemon from outside: a request to reload the configuration, and the signals that reload or stop it.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// A request to read the configuration again.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Receives the result, if the sender wants it; the error is a sentence for a person.
    pub reply: Option<oneshot::Sender<Result<(), String>>>,
}

/// Handles signals from here on: SIGTERM and SIGINT cancel `shutdown`, SIGHUP sends a reload request. A second SIGTERM or
/// SIGINT ends the process at once. The future that is returned does so and never ends; it has to be spawned.
///
/// # Errors
/// If the system does not let signals be handled.
pub fn handle_signals(
    reload: mpsc::Sender<ReloadRequest>,
    shutdown: CancellationToken,
) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                _ = hang_up.recv() => {
                    // While a request is still queued, a second one would add nothing.
                    let _ = reload.try_send(ReloadRequest { reply: None });
                    continue;
                }
            };
            if shutdown.is_cancelled() {
                tracing::warn!(signal = name, "stopping at once");
                std::process::exit(1);
            }
            tracing::info!(signal = name, "stopping");
            shutdown.cancel();
        }
    })
}
