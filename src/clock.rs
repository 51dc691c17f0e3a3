//! Where "now" comes from.
//!
//! Everything that decides by time takes a [`Timestamp`] or asks an injected [`Clock`]; only [`SystemClock`]
//! reads the machine's clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use agntix_api::time::{Tick, Timestamp};
use arc_swap::ArcSwapOption;

/// Where "now" comes from.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 reads as 1970: nothing that happened then can be a session.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::default().plus(since_epoch)
    }
}

/// The API's time, for parts that do not ask the API themselves: the poller says it, and it is carried on by a clock that
/// never jumps.
#[derive(Debug, Default)]
pub struct ApiClock(ArcSwapOption<(Instant, Timestamp)>);

impl ApiClock {
    /// The API's clock showed `time` at `at`; `None` while it is not known.
    pub fn set(&self, at: Instant, time: Option<Timestamp>) {
        self.0.store(time.map(|time| (at, time).into()));
    }

    /// What the API's clock shows at `now`, if that is known.
    pub fn now(&self, now: Instant) -> Option<Timestamp> {
        let known = self.0.load();
        let (at, time) = **known.as_ref()?;
        Some(time.plus(now.saturating_duration_since(at)))
    }
}

/// A clock that stands still until it is moved: for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_millis()))
    }

    /// Moves the clock to `now`, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
