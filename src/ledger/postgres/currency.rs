//! Whether the page in memory is current: nothing newer was shown before, by whichever replica.
//!
//! The replica that counts is the only one that changes what is counted. While it certainly has the lease and no commit of its
//! own is under way, what it has in memory is all there is.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, RwLock, RwLockWriteGuard};

use super::lease::{Uptime, uptime};

/// What the replica that counts knows of its own page.
#[derive(Debug, Default)]
pub(super) struct Currency {
    /// In milliseconds; 0 while it does not count.
    certain_until: AtomicU64,
    /// Held while a commit may be durable and not yet shown here.
    committing: RwLock<()>,
    /// The number of the last commit that was shown.
    sequence: AtomicI64,
    /// This replica has begun to count, or goes on.
    confirmed: Notify,
}

impl Currency {
    /// Until when this replica certainly counts.
    pub(super) fn certain_until(&self, until: Option<Uptime>) {
        let ms = until.map_or(0, |until| u64::try_from(until.as_millis()).unwrap_or(u64::MAX));
        self.certain_until.store(ms, Ordering::Release);
        if until.is_some() {
            self.confirmed.notify_waiters();
        }
    }

    /// This replica counts no more, or does not know what has become of its last commit.
    pub(super) fn lost(&self) {
        self.certain_until(None);
    }

    /// This replica begins to count after the commit of that number.
    pub(super) fn counts_from(&self, sequence: i64) {
        self.sequence.store(sequence, Ordering::Release);
    }

    /// The commit of that number is shown.
    pub(super) fn counted(&self, sequence: i64) {
        self.sequence.fetch_max(sequence, Ordering::AcqRel);
    }

    /// The number of the last commit of this replica's own that was shown.
    pub(super) fn sequence(&self) -> i64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Whether this replica certainly counts at this moment.
    pub(super) fn is_certain(&self) -> bool {
        uptime() < Duration::from_millis(self.certain_until.load(Ordering::Acquire))
    }

    /// Comes back when the database has confirmed again that this replica counts.
    pub(super) fn is_confirmed(&self) -> Notified<'_> {
        self.confirmed.notified()
    }

    /// To be held from before a commit is sent until it is shown.
    pub(super) async fn commit_under_way(&self) -> RwLockWriteGuard<'_, ()> {
        self.committing.write().await
    }

    /// Waits for the end of a commit that is under way. Whether what is in memory then is current.
    pub(super) async fn is_current(&self) -> bool {
        if !self.is_certain() {
            return false;
        }
        drop(self.committing.read().await);
        self.is_certain()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn page_in_memory_is_current_only_while_the_lease_certainly_holds_and_no_commit_is_under_way() {
        let currency = Currency::default();
        let mut waiting = Context::from_waker(Waker::noop());
        let mut ask = |currency: &Currency| pin!(currency.is_current()).poll(&mut waiting);
        assert_eq!(ask(&currency), Poll::Ready(false), "it does not count");
        let now = uptime();
        currency.certain_until(Some(now + Duration::from_secs(60)));
        assert_eq!(ask(&currency), Poll::Ready(true));
        let Poll::Ready(commit) = pin!(currency.commit_under_way()).poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("nobody holds it");
        };
        assert_eq!(ask(&currency), Poll::Pending, "others may show the commit already");
        drop(commit);
        assert_eq!(ask(&currency), Poll::Ready(true));
        currency.certain_until(Some(now));
        assert_eq!(ask(&currency), Poll::Ready(false), "another replica may count");
    }
}
