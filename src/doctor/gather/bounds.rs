//! What all of `gather` has in common: it reports progress, and ends in time.

use std::time::Duration;

/// How long a disk may take.
pub(super) const DISK_PATIENCE: Duration = Duration::from_secs(10);
/// How long one of our own listeners may take.
pub(super) const LISTENER_PATIENCE: Duration = Duration::from_secs(5);

/// Called with what is being done, to show progress.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// Does something that may block for ever; `None` if it does.
pub(super) async fn bounded<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::time::timeout(DISK_PATIENCE, tokio::task::spawn_blocking(act)).await.ok()?.ok()
}
