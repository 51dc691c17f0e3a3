//! What the page says of an agent in sum, and by how much it grows. What counts as unresolved and as negative, and of which sessions
//! that is a share, is what the shipped rules and dashboards say.

use std::collections::HashMap;
use std::sync::Arc;

use super::Agent;
use crate::catalogue::{Exposition, Family};

/// What an agent's sessions add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Sessions that have their outcome, or will have none.
    pub(super) sessions: u64,
    /// Of these: those of which it was judged whether the problem was solved.
    pub(super) judged: u64,
    /// Of these: those in which it was not.
    pub(super) unresolved: u64,
    /// Of the sessions: those with a sentiment.
    pub(super) toned: u64,
    /// Of these: those in which it was negative.
    pub(super) negative: u64,
    /// Sessions by their duration: how many are in each bucket.
    pub(super) handled: Box<[u64]>,
}

impl Totals {
    /// By how much they have grown. What is less than before does not count: a database has lost it.
    pub(super) fn since(&self, before: &Self) -> Self {
        let no_more = std::iter::repeat(&0);
        let grown = self.handled.iter().zip(before.handled.iter().chain(no_more));
        Self {
            sessions: self.sessions.saturating_sub(before.sessions),
            judged: self.judged.saturating_sub(before.judged),
            unresolved: self.unresolved.saturating_sub(before.unresolved),
            toned: self.toned.saturating_sub(before.toned),
            negative: self.negative.saturating_sub(before.negative),
            handled: grown.map(|(now, before)| now.saturating_sub(*before)).collect(),
        }
    }

    pub(super) fn has_any(&self) -> bool {
        self.sessions > 0 || self.handled.iter().any(|count| *count > 0)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.judged += other.judged;
        self.unresolved += other.unresolved;
        self.toned += other.toned;
        self.negative += other.negative;
        self.add_handled(&other.handled);
    }

    fn add_handled(&mut self, counts: &[u64]) {
        if self.handled.len() < counts.len() {
            let mut longer = std::mem::take(&mut self.handled).into_vec();
            longer.resize(counts.len(), 0);
            self.handled = longer.into();
        }
        for (sum, count) in self.handled.iter_mut().zip(counts) {
            *sum += count;
        }
    }

    fn add_outcome(&mut self, resolution: &str, sentiment: &str, count: u64) {
        self.sessions += count;
        if matches!(resolution, "resolved" | "partially_resolved" | "unresolved") {
            self.judged += count;
            self.unresolved += if resolution == "unresolved" { count } else { 0 };
        }
        if matches!(sentiment, "positive" | "neutral" | "negative") {
            self.toned += count;
            self.negative += if sentiment == "negative" { count } else { 0 };
        }
    }
}

/// The totals of all agents on the page. Those that are `known` stay told apart, and of the others as many as there is room for.
pub(super) fn of(
    exposition: &Exposition,
    known: Option<&HashMap<Agent, Totals>>,
    most: usize,
) -> HashMap<Agent, Totals> {
    let mut totals: HashMap<Agent, Totals> = HashMap::with_capacity(known.map_or(0, HashMap::len));
    for agent in known.into_iter().flat_map(HashMap::keys) {
        totals.insert(agent.clone(), Totals::default());
    }
    let mut total_of = |id: &str, add: &mut dyn FnMut(&mut Totals)| {
        let agent = Some(Arc::from(id));
        let is_told_apart = totals.contains_key(&agent) || totals.len() < most;
        add(totals.entry(if is_told_apart { agent } else { None }).or_default());
    };
    exposition.visit(Family::Outcomes, |labels, _, counts| {
        let mut values = exposition::values(labels);
        let (Some(agent), Some(resolution), Some(sentiment)) = (values.next(), values.nth(3), values.next()) else {
            return;
        };
        let count = counts.first().copied().unwrap_or(0);
        total_of(&agent, &mut |total| total.add_outcome(&resolution, &sentiment, count));
    });
    exposition.visit(Family::Duration, |labels, bounds, counts| {
        let Some(agent) = exposition::values(labels).next() else { return };
        // What follows the buckets is their sum.
        let buckets = counts.get(..=bounds.len()).unwrap_or(counts);
        total_of(&agent, &mut |total| total.add_handled(buckets));
    });
    totals
}

/// The upper bounds of the buckets of durations, in seconds.
pub(super) fn bounds(exposition: &Exposition) -> Box<[f64]> {
    let mut found = Box::default();
    exposition.visit(Family::Duration, |_, bounds, _| {
        if bounds.len() > <[f64]>::len(&found) {
            found = bounds.into();
        }
    });
    found
}
