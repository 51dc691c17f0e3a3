//! What is to be done when: the earliest first, and what was added first among what is due at the same moment.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::time::Timestamp;

/// Things to come.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    entries: BinaryHeap<Reverse<Entry<T>>>,
    added: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Timestamp,
    number: u64,
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self { entries: BinaryHeap::new(), added: 0 }
    }

    pub(crate) fn add(&mut self, at: Timestamp, what: T) {
        self.entries.push(Reverse(Entry { at, number: self.added, what }));
        self.added += 1;
    }

    /// Takes the first thing that is due by `now`.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<T> {
        if self.is_due(now) { self.entries.pop().map(|Reverse(entry)| entry.what) } else { None }
    }

    /// Whether anything is due by `now`.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.entries.peek().is_some_and(|Reverse(entry)| entry.at <= now)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_equals_in_the_order_in_which_they_were_added() {
        let at = Timestamp::from_millis;
        let mut agenda = Agenda::new();
        for (ms, what) in [(5, 'c'), (3, 'a'), (5, 'd'), (4, 'b'), (6, 'e')] {
            agenda.add(at(ms), what);
        }
        assert_eq!(agenda.take_due(at(2)), None);
        let due: Vec<char> = std::iter::from_fn(|| agenda.take_due(at(5))).collect();
        assert_eq!(due, ['a', 'b', 'c', 'd']);
        assert_eq!((agenda.len(), agenda.is_due(at(5)), agenda.is_due(at(6))), (1, false, true));
    }
}
