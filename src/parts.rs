//! The parts of the daemon that work beside the others, each in a task of its own. A panic in one of them must not go unseen:
//! the daemon would report as well what nobody does any more. It is passed on, and whoever runs the daemon ends it; a
//! restart loses nothing.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::task::TaskTracker;

use crate::telemetry::panic_text;

/// How long the parts may take to end once the daemon stops.
const GRACE: Duration = Duration::from_secs(1);

/// A part has failed.
#[derive(Debug, thiserror::Error)]
#[error("{part} has stopped ({reason}); this is a defect, and a restart loses nothing")]
pub struct PartFailed {
    /// What it did.
    part: &'static str,
    reason: String,
}

/// Starts parts, and passes on which of them have failed. Clones start parts of the same daemon.
#[derive(Clone, Debug)]
pub struct Parts {
    failures: mpsc::UnboundedSender<PartFailed>,
    tasks: TaskTracker,
}

impl Parts {
    /// No part yet, and where failures come out.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<PartFailed>) {
        let (failures, failed) = mpsc::unbounded_channel();
        (Self { failures, tasks: TaskTracker::new() }, failed)
    }

    /// Starts a part, which is waited for at the end; `part` is what it does, for an error message.
    pub fn spawn(&self, part: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(work);
        self.tasks.spawn(pass_on(part, task, self.failures.clone()));
    }

    /// Passes on the failure of a task that was started elsewhere. It is not waited for.
    pub fn watch_over(&self, part: &'static str, task: JoinHandle<()>) {
        tokio::spawn(pass_on(part, task, self.failures.clone()));
    }

    /// Waits until all parts have ended, for a second at most.
    pub async fn ended(&self) {
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!(parts = self.tasks.len(), "parts of the daemon did not end in time; they are left behind");
        }
    }
}

async fn pass_on(part: &'static str, task: JoinHandle<()>, failures: mpsc::UnboundedSender<PartFailed>) {
    if let Err(error) = task.await
        && let Some(reason) = reason(error)
    {
        // Nobody is there to hear it once the daemon has ended.
        let _ = failures.send(PartFailed { part, reason });
    }
}

/// What made a task fail; nothing of one that was ended on purpose.
fn reason(error: JoinError) -> Option<String> {
    let panic = error.try_into_panic().ok()?;
    Some(format!("panic: {}", panic_text(&*panic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panic_is_passed_on_and_a_good_end_is_not() {
        let (parts, mut failures) = Parts::new();
        parts.spawn("the first part", async {});
        parts.spawn("the second part", async { panic!("no such thing") });
        let failed = failures.recv().await.unwrap();
        let expected =
            "the second part has stopped (panic: no such thing); this is a defect, and a restart loses nothing";
        assert_eq!(failed.to_string(), expected);
        let aborted = tokio::spawn(std::future::pending());
        aborted.abort();
        parts.watch_over("the third part", aborted);
        parts.watch_over("the fourth part", tokio::spawn(async { panic!("nor that") }));
        assert!(failures.recv().await.unwrap().to_string().starts_with("the fourth part has stopped"));
        parts.ended().await;
        assert!(failures.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn part_that_does_not_end_is_left_behind() {
        let (parts, _failures) = Parts::new();
        parts.spawn("a part", std::future::pending());
        let began = tokio::time::Instant::now();
        parts.ended().await;
        assert_eq!(began.elapsed(), GRACE);
    }
}
