//! A bounded log: what is pushed beyond its capacity makes it forget the oldest.

use std::collections::VecDeque;

/// The latest entries, the oldest first.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    entries: VecDeque<T>,
    capacity: usize,
}

impl<T> Ring<T> {
    /// Keeps `capacity` entries at most.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), capacity }
    }

    pub(crate) fn push(&mut self, entry: T) {
        if self.capacity == 0 {
            return;
        }
        if self.entries.len() >= self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut ring = Ring::new(2);
        (0..5).for_each(|entry| ring.push(entry));
        assert_eq!(ring.iter().copied().collect::<Vec<_>>(), [3, 4]);
        let mut nothing = Ring::new(0);
        nothing.push(1);
        assert_eq!(nothing.iter().len(), 0);
    }
}
