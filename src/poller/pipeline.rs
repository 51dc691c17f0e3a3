//! What is to be made durable: batches of changes in the order in which they came up, and what follows when one fails.
//!
//! The invariant: while the state cannot be written, one batch at a time is tried, and none is lost but those that are made
//! anew anyway (leases and releases). Pure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::backoff;
use crate::catalogue::SeriesKey;
use crate::clock::Tick;
use crate::discovery::listing::PageSeen;
use crate::ledger::{Change, Lease};
use crate::session::{Facts, SkipReason};

/// Changes under way at once; beyond it, answers have to wait for the disk.
const MAX_COMMITTING: usize = 4096;
/// Commits are tried again after this much at most while the state cannot be written.
const RETRY_CAP: Duration = Duration::from_secs(5);
const RETRY_MIN: Duration = Duration::from_millis(100);

/// Changes to be made durable together, and what for.
#[derive(Debug)]
pub struct Batch {
    /// The changes.
    pub changes: Vec<Change>,
    /// What follows when they are durable.
    pub purpose: Purpose,
}

/// What a batch is for.
#[derive(Debug)]
pub enum Purpose {
    /// One session was asked for.
    Session(Arc<Facts>),
    /// A page of the listing was read: what it held, and the sessions of the batch.
    Page {
        /// What is known before the outcomes.
        seen: PageSeen,
        /// One a change.
        entries: Vec<Arc<Facts>>,
        /// Sessions whose entries could not be used; they are asked for one by one.
        unusable: Vec<Arc<str>>,
        /// Most entries have no id, so that the page is read again.
        again: bool,
    },
    /// A session is given up.
    GiveUp(Arc<str>),
    /// The messages of a session were read, or are given up.
    Messages {
        /// Whose.
        id: Arc<str>,
        /// Why they are given up, if they are.
        skipped: Option<SkipReason>,
        /// A response time was left out because of what the times say.
        left_out: bool,
    },
    /// The budget may spend requests.
    Lease {
        /// So many.
        count: u32,
        /// Granted then; they lapse some time later.
        granted: Tick,
    },
    /// Series may rise, whose initial-zero window is over.
    Release,
    /// The look-back is done.
    LookBackDone,
    /// Nothing follows.
    Note,
}

/// What the pipeline has for the shell.
#[derive(Debug)]
pub(super) enum Commit {
    /// Make this durable.
    Batch(Batch),
    /// Nothing may be asked for before then: the state could not be written.
    RetryAt(Tick),
    /// Nothing may be asked for until a commit under way has ended.
    Full,
    /// Nothing is to be made durable now.
    Nothing,
}

/// What is to be made durable, and what is being made so.
#[derive(Debug, Default)]
pub(super) struct CommitPipeline {
    queued: VecDeque<Batch>,
    /// Changes that are being committed.
    committing: usize,
    leasing: bool,
    releasing: bool,
    /// After a failed commit, nothing is done before.
    retry_at: Tick,
    /// Commits that failed in a row.
    failures: u32,
}

impl CommitPipeline {
    /// Queues changes.
    pub(super) fn push(&mut self, changes: Vec<Change>, purpose: Purpose) {
        self.queued.push_back(Batch { changes, purpose });
    }

    /// Queues a change from which nothing follows.
    pub(super) fn note(&mut self, change: Change) {
        self.push(vec![change], Purpose::Note);
    }

    /// Whether nothing is queued.
    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// What to do at `now`. `probe` is a change that has to be written and means nothing.
    pub(super) fn next(&mut self, now: Tick, probe: impl FnOnce() -> Lease) -> Commit {
        if self.retry_at > now {
            return Commit::RetryAt(self.retry_at);
        }
        if self.failures > 0 {
            // One commit tells whether the state can be written again.
            if self.committing > 0 {
                return Commit::Full;
            }
            let probe = || Batch { changes: vec![Change::Lease(probe())], purpose: Purpose::Note };
            let batch = self.queued.pop_front().unwrap_or_else(probe);
            return self.begin(batch);
        }
        if self.committing >= MAX_COMMITTING {
            return Commit::Full;
        }
        match self.queued.pop_front() {
            Some(batch) => self.begin(batch),
            None => Commit::Nothing,
        }
    }

    fn begin(&mut self, batch: Batch) -> Commit {
        self.committing += batch.changes.len();
        Commit::Batch(batch)
    }

    /// A lease to be made durable now, unless one is being made so. `unused` requests of the one before were not sent, and
    /// a crash is not to charge them.
    pub(super) fn lease(&mut self, lease: Lease, unused: u32, granted: Tick) -> Option<Batch> {
        if std::mem::replace(&mut self.leasing, true) {
            return None;
        }
        let unused = (unused > 0).then_some(Change::LeaseUnused(unused));
        let changes: Vec<Change> = unused.into_iter().chain([Change::Lease(lease)]).collect();
        self.committing += changes.len();
        Some(Batch { changes, purpose: Purpose::Lease { count: lease.count, granted } })
    }

    /// Whether series are being released.
    pub(super) fn is_releasing(&self) -> bool {
        self.releasing
    }

    /// Queues the end of the initial-zero window of these series, unless there is none or others are being released.
    pub(super) fn release(&mut self, keys: Arc<[SeriesKey]>) {
        if !self.releasing && !keys.is_empty() {
            self.releasing = true;
            self.push(vec![Change::Release(keys)], Purpose::Release);
        }
    }

    /// A batch of so many changes is durable, or comes back because it `failed`. `random` gives a number from 0 to 1.
    pub(super) fn ended(&mut self, changes: usize, failed: Option<Batch>, now: Tick, random: impl FnOnce() -> f64) {
        self.committing = self.committing.saturating_sub(changes);
        let Some(batch) = failed else {
            self.failures = 0;
            return;
        };
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + backoff(self.failures, random()).clamp(RETRY_MIN, RETRY_CAP);
        match batch.purpose {
            Purpose::Lease { .. } => self.leasing = false,
            Purpose::Release => self.releasing = false,
            // Recognised by the ledger if it was durable after all.
            _ => self.queued.push_back(batch),
        }
    }

    /// A lease is durable.
    pub(super) fn leased(&mut self) {
        self.leasing = false;
    }

    /// A release is durable.
    pub(super) fn released(&mut self) {
        self.releasing = false;
    }
}

#[cfg(test)]
mod tests {
    use exposition::LabelSet;

    use super::*;
    use crate::catalogue::Family;
    use crate::clock::Timestamp;

    const S: Duration = Duration::from_secs(1);

    fn lease() -> Lease {
        Lease { granted: Timestamp::from_millis(0), count: 3, per_window: 50 }
    }

    fn next(pipeline: &mut CommitPipeline, now: Tick) -> Commit {
        pipeline.next(now, || Lease { count: 0, ..lease() })
    }

    fn batch(pipeline: &mut CommitPipeline, now: Tick) -> Batch {
        match next(pipeline, now) {
            Commit::Batch(batch) => batch,
            other => panic!("{other:?}"),
        }
    }

    fn watermark(ms: i64) -> Change {
        Change::Watermark(Timestamp::from_millis(ms))
    }

    fn key() -> SeriesKey {
        let family = Family::Outcomes;
        SeriesKey { family, labels: LabelSet::new(family.descriptor().labels, ["A"; 6]) }
    }

    #[test]
    fn batches_come_in_the_order_in_which_they_were_queued() {
        let mut pipeline = CommitPipeline::default();
        assert!(matches!(next(&mut pipeline, S), Commit::Nothing) && pipeline.is_empty());
        (1..4).for_each(|ms| pipeline.note(watermark(ms)));
        for ms in 1..4 {
            let batch = batch(&mut pipeline, S);
            assert!(matches!(&batch.changes[..], [Change::Watermark(at)] if *at == Timestamp::from_millis(ms)));
        }
        assert!(matches!(next(&mut pipeline, S), Commit::Nothing));
    }

    #[test]
    fn answers_wait_for_the_disk_when_too_much_is_under_way() {
        let mut pipeline = CommitPipeline::default();
        pipeline.push(vec![watermark(1); MAX_COMMITTING], Purpose::Note);
        pipeline.note(watermark(2));
        let first = batch(&mut pipeline, S);
        assert!(matches!(next(&mut pipeline, S), Commit::Full));
        pipeline.ended(first.changes.len(), None, S, || 0.5);
        assert_eq!(batch(&mut pipeline, S).changes.len(), 1);
    }

    #[test]
    fn one_batch_at_a_time_tells_whether_the_state_can_be_written_again() {
        let mut pipeline = CommitPipeline::default();
        pipeline.note(watermark(1));
        let failed = batch(&mut pipeline, S);
        pipeline.ended(1, Some(failed), S, || 1.0);
        assert!(matches!(next(&mut pipeline, S), Commit::RetryAt(at) if at == S * 3));
        pipeline.note(watermark(2));
        let again = batch(&mut pipeline, S * 3);
        assert!(matches!(&again.changes[..], [Change::Watermark(at)] if *at == Timestamp::from_millis(1)));
        assert!(matches!(next(&mut pipeline, S * 3), Commit::Full), "nothing else is tried meanwhile");
        pipeline.ended(1, None, S * 3, || 1.0);
        assert_eq!(batch(&mut pipeline, S * 3).changes.len(), 1);
    }

    #[test]
    fn a_state_that_fails_is_probed_where_nothing_is_left_to_be_written() {
        let mut pipeline = CommitPipeline::default();
        let first = pipeline.lease(lease(), 0, S).unwrap();
        assert!(pipeline.lease(lease(), 0, S).is_none(), "one at a time");
        pipeline.ended(1, Some(first), S, || 0.0);
        let probe = batch(&mut pipeline, S * 2);
        assert!(matches!(&probe.changes[..], [Change::Lease(lease)] if lease.count == 0));
        pipeline.ended(1, None, S * 2, || 0.0);
        assert!(matches!(next(&mut pipeline, S * 2), Commit::Nothing), "a lease that failed is asked for anew");
        let second = pipeline.lease(lease(), 2, S * 2).unwrap();
        assert!(matches!(&second.changes[..], [Change::LeaseUnused(2), Change::Lease(_)]));
        pipeline.leased();
        assert!(pipeline.lease(lease(), 0, S * 3).is_some());
    }

    #[test]
    fn series_are_released_by_one_batch_at_a_time() {
        let mut pipeline = CommitPipeline::default();
        pipeline.release(Arc::default());
        assert!(!pipeline.is_releasing());
        pipeline.release([key()].into());
        pipeline.release([key()].into());
        let released = batch(&mut pipeline, S);
        assert!(matches!(&released.changes[..], [Change::Release(keys)] if keys.len() == 1));
        assert!(matches!(next(&mut pipeline, S), Commit::Nothing) && pipeline.is_releasing());
        pipeline.released();
        assert!(!pipeline.is_releasing());
    }
}
