//! Taking a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// No code panics while it holds one of these, and if it did, what it guards is still good.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
