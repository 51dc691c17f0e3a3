//! What the parts of the daemon ask of its life: to be reloaded, to be stopped.

use tokio::sync::oneshot;

/// A wish to read the configuration again.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Who wants to know how it went; the error is a sentence for a person.
    pub reply: Option<oneshot::Sender<Result<(), String>>>,
}
