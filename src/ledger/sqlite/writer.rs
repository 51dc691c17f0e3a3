//! The writer thread: it takes what waits, commits it, and opens the file again after a failure. Between the commits it looks
//! after the file.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::in_place::InPlace;
use super::store::{LedgerConfig, Store};
use crate::ledger::hold::{self, InitialZeroWindows};
use crate::ledger::queue::{Queue, Taken, commit_all};
use crate::ledger::{Change, CommitOutcome, Committed, LedgerError, Observer};

/// Changes that one transaction takes at most; the rest waits for the next.
const MAX_BATCH: usize = 2048;

/// How long nothing was asked for before the next day of remembered ids is checked.
const IDLE: Duration = Duration::from_millis(20);
/// How often to look whether the file is still where the next start looks for it, and whether a copy of it is wanted.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A configuration that the writer is to take into effect before its next commit.
pub(super) type Reloaded = Mutex<Option<Box<LedgerConfig>>>;

/// The writer's side of the queue. When the writer ends, even by a panic, every waiting caller gets an error.
pub(super) struct Serving {
    pub(super) queue: Arc<Queue>,
    pub(super) reloaded: Arc<Reloaded>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

/// Applies what waits in the queue, batch after batch.
pub(super) struct Writer {
    /// `None` after a failed commit, until the file could be opened again.
    store: Option<Store>,
    /// The file is open, but not at its path. It stays open, so that it is known again when it is back.
    is_displaced: bool,
    /// What recognises the file while it is closed.
    in_place: InPlace,
    config: LedgerConfig,
    observer: Observer,
    windows: InitialZeroWindows,
    /// What was read when the file was opened again after a failure. It is shown with the next success: that a file can be
    /// opened does not mean that it can be written.
    reread: Option<Committed>,
    /// When the file was last looked at without being asked to.
    looked: Instant,
    /// Days of ids are still to be checked.
    unchecked: bool,
    /// Something in the file was found damaged: none of it is used before all of it was checked.
    distrusted: bool,
}

impl Writer {
    /// A writer to an open store.
    pub(super) fn new(store: Store, config: LedgerConfig, observer: Observer, windows: InitialZeroWindows) -> Self {
        let in_place = store.in_place();
        let store = Some(store);
        let looked = Instant::now();
        Self {
            store,
            is_displaced: false,
            in_place,
            config,
            observer,
            windows,
            reread: None,
            looked,
            unchecked: true,
            distrusted: false,
        }
    }

    /// What waits. While nothing does, the remembered ids are checked, day by day. Once a second, however much there is, it
    /// is looked whether the file is at its path and whether a copy of it is wanted.
    fn next(&mut self, queue: &Queue) -> Taken {
        loop {
            if self.looked.elapsed() >= LOOK_EVERY {
                self.look();
                self.looked = Instant::now();
            }
            match queue.take(MAX_BATCH, if self.unchecked { IDLE } else { LOOK_EVERY }) {
                Taken::Nothing if self.unchecked => self.check_next_day(),
                Taken::Nothing => {}
                taken => return taken,
            }
        }
    }

    fn check_next_day(&mut self) {
        match self.store.as_mut().map_or(Ok(false), Store::check_next_day) {
            Ok(more) => self.unchecked = more,
            Err(error) => self.failed(&error),
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self, serving: &Serving) {
        self.serve(serving);
        if let Some(store) = self.store {
            drop(store.close());
        }
    }

    fn serve(&mut self, serving: &Serving) {
        while let Taken::Batches(batches) = self.next(&serving.queue) {
            let reloaded = serving.reloaded.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(config) = reloaded {
                self.reconfigure(&config);
            }
            commit_all(batches, |changes| self.commit(changes));
        }
    }

    fn reconfigure(&mut self, config: &LedgerConfig) {
        if let Some(store) = &mut self.store {
            store.reconfigure(config);
        }
        self.config.policy.reload(&config.policy);
    }

    fn commit(&mut self, changes: &[Change]) -> Result<Vec<CommitOutcome>, Arc<LedgerError>> {
        let done = self.ready().and_then(|store| store.commit(changes));
        match done {
            Ok((outcomes, committed)) => {
                let reread = self.reread.take();
                self.show(reread, committed);
                Ok(outcomes)
            }
            Err(error) => {
                self.failed(&error);
                Err(Arc::new(error))
            }
        }
    }

    /// Gives what is durable to whoever shows it, and then begins and ends windows by it.
    fn show(&mut self, reread: Option<Committed>, mut committed: Committed) {
        let stored = reread.as_ref().map(|reread| hold::stored(&reread.series));
        let zero_initialized = std::mem::take(&mut committed.zero_initialized);
        let released = committed.released.clone();
        let mut shown = reread.unwrap_or_default();
        shown.absorb(committed);
        (self.observer)(Ok(shown));
        if let Some(stored) = stored {
            self.windows.read(stored);
        }
        self.windows.committed(zero_initialized, &released);
    }

    fn failed(&mut self, error: &LedgerError) {
        if matches!(error, LedgerError::Displaced { .. }) {
            self.is_displaced = true;
        } else if let Some(store) = self.store.take() {
            // What a failed commit or sync left behind is not known; the file says it, when it is read again.
            self.in_place = store.close();
        }
        self.unchecked = false;
        self.distrusted |= matches!(error, LedgerError::Damaged { .. });
        (self.observer)(Err(error));
    }

    /// Looks whether the file is at its path.
    fn look(&mut self) {
        match &self.store {
            Some(store) if !self.is_displaced => match store.look() {
                Ok(()) => store.serve_backup(),
                Err(error) => self.failed(&error),
            },
            // The reason was reported when the file went missing.
            Some(_) => drop(self.ready().map(drop)),
            None => {}
        }
    }

    /// The open store; opened again if a commit has failed or the file was not at its path.
    fn ready(&mut self) -> Result<&mut Store, LedgerError> {
        if let Some(store) = self.store.take() {
            if !self.is_displaced {
                return Ok(self.store.insert(store));
            }
            if let Err(error) = store.is_back() {
                self.store = Some(store);
                return Err(error);
            }
            self.in_place = store.close();
        }
        let mut store = Store::reopen(self.config.clone(), self.in_place.clone())?;
        while self.distrusted && store.check_next_day()? {}
        (self.distrusted, self.unchecked) = (false, true);
        let was_displaced = std::mem::take(&mut self.is_displaced);
        self.in_place = store.in_place();
        let reread = Committed { series: store.contents()?.series, ..Committed::default() };
        if was_displaced {
            // Nothing was wrong but its place, and there may be nothing to commit for long.
            self.show(Some(reread), Committed::default());
        } else {
            self.reread = Some(reread);
        }
        Ok(self.store.insert(store))
    }
}
