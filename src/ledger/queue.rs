//! The batches that wait for the writer of a ledger.
//!
//! The queue is bounded, and a batch is in it only as long as somebody waits for its answer: whoever drops the future of a
//! commit takes the batch out again, unless the writer has begun it. So a disk that hangs lets nothing pile up but what
//! live callers wait for, and what was given up is not applied later.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use super::{Change, CommitOutcome, LedgerError};

/// Changes that may wait. The poller has some four thousand of them on their way at most, and each delivery one.
pub(super) const MOST_WAITING: usize = 16_384;

/// What a commit is answered with.
pub(super) type Answer = Result<Vec<CommitOutcome>, Arc<LedgerError>>;

/// The queue; shared by the callers and the writer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// A batch was added, or the queue was closed.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By number, ascending.
    batches: VecDeque<Waiting>,
    /// Changes in all of them.
    changes: usize,
    next_number: u64,
    is_closed: bool,
}

/// A batch that waits, and where its answer goes.
#[derive(Debug)]
pub(super) struct Waiting {
    number: u64,
    /// The changes, which are applied together or not at all.
    pub(super) changes: Vec<Change>,
    /// Where the answer goes.
    pub(super) reply: oneshot::Sender<Answer>,
    /// Whose threads run the caller, if they run by themselves.
    runtime: Option<Handle>,
}

/// What [`Queue::take`] found.
#[derive(Debug)]
pub(super) enum Taken {
    /// Batches in the order in which they were added.
    Batches(Vec<Waiting>),
    /// Nothing came in time.
    Nothing,
    /// The queue is closed, and nothing is left in it.
    Closed,
}

/// Has the changes of all these batches committed at once, and answers whoever waits for one of them.
pub(super) fn commit_all(batches: Vec<Waiting>, commit: impl FnOnce(&[Change]) -> Answer) {
    let (mut changes, mut replies) = (Vec::new(), Vec::new());
    for batch in batches {
        replies.push((batch.changes.len(), batch.reply, batch.runtime));
        changes.extend(batch.changes);
    }
    let (mut outcomes, error) = match commit(&changes) {
        Ok(outcomes) => (outcomes.into_iter(), None),
        Err(error) => (Vec::new().into_iter(), Some(error)),
    };
    let runtime = replies.first().and_then(|(.., runtime)| runtime.clone());
    let mut answers = Vec::with_capacity(replies.len());
    for (count, reply, runs) in replies {
        let answer = error.clone().map_or_else(|| Ok(outcomes.by_ref().take(count).collect()), Err);
        if runtime.as_ref().zip(runs.as_ref()).is_some_and(|(one, other)| one.id() == other.id()) {
            answers.push((reply, answer));
        } else {
            send(reply, answer);
        }
    }
    match runtime {
        // To wake each caller from here would cost a call of the system for each; one of the runtime's own threads wakes the
        // others for next to nothing.
        Some(runtime) if answers.len() > 1 => {
            runtime.spawn(async move { send_all(answers) });
        }
        _ => send_all(answers),
    }
}

fn send_all(answers: Vec<(oneshot::Sender<Answer>, Answer)>) {
    for (reply, answer) in answers {
        send(reply, answer);
    }
}

/// Answers a caller. Whoever stopped waiting does not need the answer; the changes are durable all the same.
fn send(reply: oneshot::Sender<Answer>, answer: Answer) {
    let _ = reply.send(answer);
}

impl Queue {
    /// Adds a batch. The future ends with its answer; dropping it withdraws the batch if it was not begun.
    pub(super) fn add(self: &Arc<Self>, changes: Vec<Change>) -> impl Future<Output = Answer> + Send + use<> {
        let awaited = self.enqueue(changes);
        async move { awaited.map_err(Arc::new)?.await }
    }

    fn enqueue(self: &Arc<Self>, changes: Vec<Change>) -> Result<Awaited, LedgerError> {
        let mut state = self.state();
        if state.is_closed {
            return Err(LedgerError::Closed);
        }
        if !state.batches.is_empty() && state.changes.saturating_add(changes.len()) > MOST_WAITING {
            return Err(LedgerError::Busy);
        }
        let (reply, answer) = oneshot::channel();
        // One that runs on the thread of its caller may not run when the answer is there.
        let runtime = Handle::try_current().ok().filter(|of| of.runtime_flavor() == RuntimeFlavor::MultiThread);
        let number = state.next_number;
        state.next_number += 1;
        state.changes += changes.len();
        state.batches.push_back(Waiting { number, changes, reply, runtime });
        self.changed.notify_one();
        Ok(Awaited { queue: Arc::clone(self), number, answer })
    }

    /// Takes what waits, `most` changes and the rest of the last batch at most; waits for it for `patience` at most.
    pub(super) fn take(&self, most: usize, patience: Duration) -> Taken {
        let until = Instant::now() + patience;
        let mut state = self.state();
        while state.batches.is_empty() {
            if state.is_closed {
                return Taken::Closed;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::Nothing;
            }
            (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut taken, mut changes) = (Vec::new(), 0);
        while changes < most
            && let Some(batch) = state.batches.pop_front()
        {
            changes += batch.changes.len();
            taken.push(batch);
        }
        state.changes = state.changes.saturating_sub(changes);
        Taken::Batches(taken)
    }

    /// Takes no more batches. What waits is still to be done.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }

    /// Nobody will do what waits: it is answered with an error, and so is what comes.
    pub(super) fn abandon(&self) {
        let abandoned = {
            let mut state = self.state();
            state.is_closed = true;
            state.changes = 0;
            std::mem::take(&mut state.batches)
        };
        drop(abandoned);
    }

    /// Changes that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.state().changes
    }

    fn withdraw(&self, number: u64) {
        let withdrawn = {
            let mut state = self.state();
            let Ok(place) = state.batches.binary_search_by_key(&number, |batch| batch.number) else { return };
            let withdrawn = state.batches.remove(place);
            state.changes = state.changes.saturating_sub(withdrawn.as_ref().map_or(0, |batch| batch.changes.len()));
            withdrawn
        };
        drop(withdrawn);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the answer to a batch.
struct Awaited {
    queue: Arc<Queue>,
    number: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Future for Awaited {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let answer = Pin::new(&mut self.answer).poll(context);
        answer.map(|answer| answer.unwrap_or_else(|_| Err(Arc::new(LedgerError::Closed))))
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.queue.withdraw(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watermarks(count: i64) -> Vec<Change> {
        (0..count).map(|ms| Change::Watermark(crate::clock::Timestamp::from_millis(ms))).collect()
    }

    fn taken(queue: &Queue, most: usize) -> Vec<usize> {
        match queue.take(most, Duration::ZERO) {
            Taken::Batches(batches) => batches.iter().map(|batch| batch.changes.len()).collect(),
            Taken::Nothing | Taken::Closed => Vec::new(),
        }
    }

    #[test]
    fn batches_are_taken_in_order_and_withdrawn_ones_are_not() {
        let queue = Arc::<Queue>::default();
        let mut callers: Vec<_> = [1, 2, 3, 4].map(|count| queue.add(watermarks(count))).into_iter().collect();
        drop(callers.remove(1));
        assert_eq!(queue.waiting(), 8);
        assert_eq!(taken(&queue, 2), [1, 3]);
        // What was begun is done, whoever has gone.
        callers.truncate(1);
        assert_eq!((queue.waiting(), taken(&queue, 99).len()), (0, 0));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_has_room_again_when_callers_go() {
        let queue = Arc::<Queue>::default();
        let most = i64::try_from(MOST_WAITING).unwrap();
        let first = queue.add(watermarks(most + 1));
        assert!(matches!(&*queue.add(watermarks(1)).await.unwrap_err(), LedgerError::Busy));
        let refused = queue.add(watermarks(1));
        drop(first);
        let second = queue.add(watermarks(1));
        drop(refused);
        assert_eq!(queue.waiting(), 1, "who was refused has nothing to withdraw");
        drop(second);
        assert_eq!(queue.waiting(), 0);
    }

    #[tokio::test]
    async fn a_closed_queue_is_emptied_and_an_abandoned_one_answers_with_an_error() {
        let queue = Arc::<Queue>::default();
        let waiting = queue.add(watermarks(1));
        queue.close();
        assert!(matches!(&*queue.add(watermarks(1)).await.unwrap_err(), LedgerError::Closed));
        assert_eq!(queue.waiting(), 1);
        queue.abandon();
        assert!(matches!(&*waiting.await.unwrap_err(), LedgerError::Closed));
        assert!(matches!(queue.take(1, Duration::ZERO), Taken::Closed));
    }
}
