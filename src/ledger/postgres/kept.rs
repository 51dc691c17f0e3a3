//! What was committed lately, to be committed again: a standby that is promoted may lack what the primary had acknowledged, unless
//! it is synchronous. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use super::lease::Uptime;

/// How long it is kept: longer than a standby is behind and than its promotion takes.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// How many things are kept, whatever their age.
const MOST_KEPT: usize = 100_000;

/// Things that were committed, by the numbers of their commits.
#[derive(Debug)]
pub(super) struct Kept<T> {
    commits: VecDeque<Commit<T>>,
    things: usize,
}

#[derive(Debug)]
struct Commit<T> {
    number: i64,
    at: Uptime,
    things: Vec<T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { commits: VecDeque::new(), things: 0 }
    }
}

impl<T: Clone> Kept<T> {
    /// Keeps what a commit was made of. What is too old goes.
    pub(super) fn push(&mut self, number: i64, things: Vec<T>, now: Uptime) {
        self.things += things.len();
        self.commits.push_back(Commit { number, at: now, things });
        let is_too_old = |commit: &Commit<T>| now.saturating_sub(commit.at) > KEPT_FOR;
        while let Some(first) = self.commits.front()
            && (is_too_old(first) || self.things > MOST_KEPT)
        {
            self.things -= first.things.len();
            self.commits.pop_front();
        }
    }

    /// What was committed after the commit of that number, commit by commit; and whether that is all of it.
    pub(super) fn after(&self, number: i64) -> (Vec<Vec<T>>, bool) {
        let missing: Vec<_> = self.commits.iter().filter(|commit| commit.number > number).collect();
        let is_all = missing.first().is_none_or(|first| first.number == number + 1);
        (missing.into_iter().map(|commit| commit.things.clone()).collect(), is_all)
    }

    /// Everything that is kept.
    pub(super) fn all(&self) -> Vec<T> {
        self.commits.iter().flat_map(|commit| commit.things.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_kept_for_a_minute_and_given_from_a_number_on() {
        let mut kept = Kept::default();
        let at = Duration::from_secs;
        for number in 1..=4 {
            kept.push(number, vec![number * 10, number * 10 + 1], at(number.unsigned_abs() * 20));
        }
        assert_eq!(kept.all(), [10, 11, 20, 21, 30, 31, 40, 41]);
        assert_eq!(kept.after(2), (vec![vec![30, 31], vec![40, 41]], true));
        assert_eq!(kept.after(4), (vec![], true));
        kept.push(5, vec![50], at(121));
        assert_eq!(kept.after(0), (vec![vec![40, 41], vec![50]], false));
        kept.push(6, vec![0; MOST_KEPT], at(121));
        assert_eq!(kept.after(4), (vec![vec![0; MOST_KEPT]], false));
    }
}
