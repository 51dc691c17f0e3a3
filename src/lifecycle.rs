//! What the parts of the daemon ask of its life: to be reloaded, to be stopped.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A wish to read the configuration again.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Who wants to know how it went; the error is a sentence for a person.
    pub reply: Option<oneshot::Sender<Result<(), String>>>,
}

/// Turns signals into wishes until `shutdown`: SIGTERM and SIGINT stop, SIGHUP reloads. A second SIGTERM or SIGINT ends
/// the process at once. The task that does so never ends by itself.
///
/// # Errors
/// If the system does not let signals be handled.
pub fn heed_signals(
    reload: mpsc::Sender<ReloadRequest>,
    shutdown: CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                _ = hang_up.recv() => {
                    // A reload that is still under way will not be helped by a second wish.
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
    }))
}
