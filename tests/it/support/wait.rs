//! How long tests wait: as long as something moves. On a busy machine everything takes longer, so that a number of seconds would
//! only say how fast the machine is.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

/// How long nothing may move, on a busy machine, until what is waited for is held not to come; it takes far less.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The end of a wait in which something moves, but not what is waited for.
const LONGEST: Duration = Duration::from_secs(900);

const BETWEEN_PROBES: Duration = Duration::from_millis(25);

thread_local! {
    /// What the durable samples of the page came to that this thread has read last. They only rise, and not for ever.
    static LAST_PAGE: Cell<u64> = const { Cell::new(0) };
}

/// Notes the page that a test has read: while its durable samples change, whoever waits goes on waiting.
pub fn seen(page: &str) {
    let mut hash = DefaultHasher::new();
    page.lines().filter(|line| super::is_durable(line)).for_each(|line| line.hash(&mut hash));
    LAST_PAGE.set(hash.finish());
}

/// A wait for something that this thread looks at again and again.
pub struct Wait {
    began: Instant,
    moved: Instant,
    seen: u64,
}

impl Wait {
    pub fn begin() -> Self {
        // The machine's clock, not tokio's: what is waited for runs in other processes, which no test can pause.
        let now = Instant::now();
        Self { began: now, moved: now, seen: LAST_PAGE.get() }
    }

    /// Whether to give up: nothing has moved for [`PATIENCE`]. To be asked after each look.
    pub fn is_in_vain(&mut self) -> bool {
        let seen = LAST_PAGE.get();
        if seen != self.seen {
            (self.seen, self.moved) = (seen, Instant::now());
        }
        self.moved.elapsed() > PATIENCE || self.began.elapsed() > LONGEST
    }
}

/// Waits until `condition` gives something.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let mut wait = Wait::begin();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(!wait.is_in_vain(), "waited in vain: {what}");
        // Only spares the processor: the condition decides, not the time.
        std::thread::sleep(BETWEEN_PROBES);
    }
}

/// [`until`] for tests that are asynchronous: asks `probe` until it has an answer; `None` if it has none within [`PATIENCE`].
pub async fn eventually<T>(mut probe: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe().await {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(BETWEEN_PROBES).await;
    }
}
