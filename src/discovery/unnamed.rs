//! Entries of a listing without a usable id, each remembered once, so that it is counted and said once. Pure.

use std::collections::{HashSet, VecDeque};

/// Entries that are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 10_000;

/// The entries that were met, as hashes.
#[derive(Debug, Default)]
pub struct Unnamed {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Unnamed {
    /// Remembers the entry; whether it was not met before.
    pub fn meet(&mut self, entry: u64) -> bool {
        if !self.known.insert(entry) {
            return false;
        }
        self.order.push_back(entry);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_new_once_and_memory_is_bounded() {
        let mut unnamed = Unnamed::default();
        assert!(unnamed.meet(1) && !unnamed.meet(1));
        for entry in 0..3 * REMEMBERED as u64 {
            unnamed.meet(entry);
        }
        assert_eq!((unnamed.known.len(), unnamed.order.len()), (REMEMBERED, REMEMBERED));
        assert!(!unnamed.meet(3 * REMEMBERED as u64 - 1) && unnamed.meet(1));
    }
}
