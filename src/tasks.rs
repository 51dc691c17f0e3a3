//! The tasks of the daemon: whatever runs as long as the daemon does is spawned here and nowhere else. A task that panics,
//! or that ends although the daemon needs it, must not go unnoticed, since the daemon would go on without what it did. The
//! failure is sent to whoever runs the daemon, which then ends with an error; a restart loses nothing.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::panic_text;

/// How long background tasks may take to end once the daemon stops.
const GRACE: Duration = Duration::from_secs(1);

/// A task has failed.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// It has panicked, or has ended before the daemon was asked to stop.
    #[error("{task} has stopped ({reason}); this is a defect, and a restart loses nothing")]
    Stopped {
        /// What the task was.
        task: &'static str,
        /// The message of the panic, or how it ended.
        reason: String,
    },
    /// It has given up with an error.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
}

/// Spawns tasks and reports which of them have failed. Clones spawn tasks of the same daemon.
#[derive(Clone, Debug)]
pub struct Tasks {
    failures: mpsc::UnboundedSender<TaskError>,
    essential: TaskTracker,
    background: TaskTracker,
}

impl Tasks {
    /// No task yet, and the receiver of failures.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<TaskError>) {
        let (failures, failed) = mpsc::unbounded_channel();
        (Self { failures, essential: TaskTracker::new(), background: TaskTracker::new() }, failed)
    }

    /// Spawns a task that the daemon cannot do without. That it panics, fails, or ends before `shutdown` is a failure. At the
    /// end it is waited for as long as it takes. `name` says in an error message what the task was.
    pub fn spawn_essential<E: Error + Send + Sync + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
        shutdown: &CancellationToken,
    ) {
        let shutdown = shutdown.clone();
        self.essential.spawn(report(tokio::spawn(work), name, self.failures.clone(), move |result| match result {
            Err(error) => Some(TaskError::Failed(Box::new(error))),
            Ok(()) if shutdown.is_cancelled() => None,
            Ok(()) => Some(TaskError::Stopped { task: name, reason: "it has ended by itself".into() }),
        }));
    }

    /// Spawns a task that may end at any time. Only a panic in it is a failure. At the end it is waited for, for a second at
    /// most. `name` says in an error message what the task was.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.background.spawn(report(tokio::spawn(work), name, self.failures.clone(), |()| None));
    }

    /// Spawns a task like [`spawn`](Self::spawn), but never waits for it: it works until the process ends.
    pub fn spawn_detached(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(report(tokio::spawn(work), name, self.failures.clone(), |()| None));
    }

    /// Waits until all tasks have ended: for the essential ones as long as they take, then a second for the others.
    pub async fn ended(&self) {
        self.essential.close();
        self.essential.wait().await;
        self.background.close();
        if tokio::time::timeout(GRACE, self.background.wait()).await.is_err() {
            tracing::warn!(tasks = self.background.len(), "background tasks did not end in time; not waiting for them");
        }
    }
}

/// An essential task that cannot fail, for [`Tasks::spawn_essential`].
pub async fn infallible(work: impl Future<Output = ()>) -> Result<(), Infallible> {
    work.await;
    Ok(())
}

/// Waits for a task, and sends its failure, if it is one: a panic, or what `judge` makes of its result.
async fn report<T>(
    task: JoinHandle<T>,
    name: &'static str,
    failures: mpsc::UnboundedSender<TaskError>,
    judge: impl FnOnce(T) -> Option<TaskError>,
) {
    let failure = match task.await {
        Ok(result) => judge(result),
        Err(error) => reason(error).map(|reason| TaskError::Stopped { task: name, reason }),
    };
    if let Some(failure) = failure {
        // Nobody receives it once the daemon has ended.
        let _ = failures.send(failure);
    }
}

/// The reason for which a task failed; none if it was aborted on purpose.
fn reason(error: JoinError) -> Option<String> {
    let panic = error.try_into_panic().ok()?;
    Some(format!("panic: {}", panic_text(&*panic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panic_of_any_task_is_reported_and_its_end_is_not() {
        let ((tasks, mut failures), shutdown) = (Tasks::new(), CancellationToken::new());
        tasks.spawn("the first task", async {});
        tasks.spawn_detached("the second task", async {});
        tasks.spawn("the third task", async { panic!("no such thing") });
        let failed = failures.recv().await.unwrap();
        let expected =
            "the third task has stopped (panic: no such thing); this is a defect, and a restart loses nothing";
        assert_eq!(failed.to_string(), expected);
        tasks.spawn_detached("the fourth task", async { panic!("nor that") });
        let failed = failures.recv().await.unwrap().to_string();
        assert!(failed.starts_with("the fourth task has stopped (panic: nor that)"), "{failed}");
        tasks.spawn_essential("the fifth task", infallible(async { panic!("nor this") }), &shutdown);
        let failed = failures.recv().await.unwrap().to_string();
        assert!(failed.starts_with("the fifth task has stopped (panic: nor this)"), "{failed}");
        tasks.ended().await;
        assert!(failures.try_recv().is_err());
    }

    #[tokio::test]
    async fn essential_task_fails_unless_it_ends_after_shutdown() {
        let ((tasks, mut failures), shutdown) = (Tasks::new(), CancellationToken::new());
        tasks.spawn_essential("the first task", async { Err(std::io::Error::other("it is broken")) }, &shutdown);
        assert_eq!(failures.recv().await.unwrap().to_string(), "it is broken");
        tasks.spawn_essential("the second task", infallible(async {}), &shutdown);
        let failed = failures.recv().await.unwrap().to_string();
        assert!(failed.starts_with("the second task has stopped (it has ended by itself)"), "{failed}");
        tasks.spawn_essential("the third task", infallible(shutdown.clone().cancelled_owned()), &shutdown);
        shutdown.cancel();
        tasks.ended().await;
        assert!(failures.try_recv().is_err());
    }

    #[tokio::test]
    async fn aborted_task_is_no_failure() {
        let (failures, mut failed) = mpsc::unbounded_channel();
        let aborted = tokio::spawn(std::future::pending::<()>());
        aborted.abort();
        report(aborted, "a task", failures, |()| None).await;
        assert!(failed.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn essential_task_is_waited_for_and_a_background_task_only_briefly() {
        let ((tasks, _failures), shutdown) = (Tasks::new(), CancellationToken::new());
        let seconds = Duration::from_secs(60);
        tasks.spawn_essential("a task", infallible(tokio::time::sleep(seconds)), &shutdown);
        tasks.spawn("another task", std::future::pending());
        tasks.spawn_detached("a third task", std::future::pending());
        let began = tokio::time::Instant::now();
        tasks.ended().await;
        assert_eq!(began.elapsed(), seconds + GRACE);
    }
}
